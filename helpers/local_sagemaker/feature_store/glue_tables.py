"""The Glue table of an offline store, as AWS makes it: moto keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

DATABASE, CATALOG = "sagemaker_featurestore", "AwsDataCatalog"
PARTITIONS = ("year", "month", "day", "hour")
_TYPES = {"Integral": "bigint", "Fractional": "double", "String": "string"}
_ADDED = {"write_time": "timestamp", "api_invocation_time": "timestamp", "is_deleted": "boolean"}
_FORMATS = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}


def default_config(group_name: str, epoch: int) -> dict:
    """The DataCatalogConfig that a group gets where it has none of its own."""
    table = f"{group_name.replace('-', '_')}_{epoch}".lower()
    return {"TableName": table, "Catalog": CATALOG, "Database": DATABASE}


def create(server: Server, group: dict) -> None:
    """Creates the table of a group, if it is to have one, and its database."""
    config, glue = _config(group), server.client("glue")
    if config is None:
        return
    for call, request in (
        (glue.create_database, {"DatabaseInput": {"Name": config["Database"]}}),
        (glue.create_table, {"DatabaseName": config["Database"], "TableInput": _table(group, config)}),
    ):
        try:
            call(**request)
        except glue.exceptions.AlreadyExistsException:
            continue


def update(server: Server, group: dict) -> None:
    """Gives the table of a group the columns of features that it has got."""
    if config := _config(group):
        server.client("glue").update_table(DatabaseName=config["Database"], TableInput=_table(group, config))


def _config(group: dict) -> dict | None:
    offline = group.get("OfflineStoreConfig", {})
    return None if offline.get("DisableGlueTableCreation") else offline.get("DataCatalogConfig")


def _table(group: dict, config: dict) -> dict:
    columns = {each["FeatureName"]: _type(each) for each in group["FeatureDefinitions"]} | _ADDED
    return {
        "Name": config["TableName"],
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": name, "Type": "string"} for name in PARTITIONS],
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
            "Location": group["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"],
            **_FORMATS,
        },
    }


def _type(definition: dict) -> str:
    kind = _TYPES[definition["FeatureType"]]
    return f"array<{kind}>" if "CollectionType" in definition else kind
