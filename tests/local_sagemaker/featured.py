"""Feature groups as the tests create them, by plain boto3."""

import io
import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.client import BaseClient

PATIENCE_SECONDS = 240
DEFINITIONS = [
    {"FeatureName": "customer", "FeatureType": "String"},
    {"FeatureName": "at", "FeatureType": "String"},
    {"FeatureName": "age", "FeatureType": "Integral"},
    {"FeatureName": "spend", "FeatureType": "Fractional"},
]


class Features:
    """Creates feature groups in one server, and writes and reads their records.

    Args:
        client: makes clients of the server.
        bucket: of the offline stores.
        role_arn: of those.
        unique: makes names.
    """

    def __init__(
        self, client: Callable[..., BaseClient], bucket: str, role_arn: str, unique: Callable[[str], str]
    ) -> None:
        self.sm, self.s3, self.client = client("sagemaker"), client("s3"), client
        self.runtime = client("sagemaker-featurestore-runtime")
        self.bucket, self.role_arn, self.unique = bucket, role_arn, unique

    def offline(self, **config: object) -> dict:
        """The members of CreateFeatureGroup for an offline store."""
        storage = {"S3StorageConfig": {"S3Uri": f"s3://{self.bucket}/features"}} | config
        return {"OfflineStoreConfig": storage, "RoleArn": self.role_arn}

    def create(self, wait: bool = True, definitions: list[dict] | None = None, **request: object) -> str:
        """Creates a group with an online store, unless the request says otherwise; returns its name."""
        name = request.get("FeatureGroupName") or self.unique("group")
        body = {
            "FeatureGroupName": name,
            "RecordIdentifierFeatureName": "customer",
            "EventTimeFeatureName": "at",
            "FeatureDefinitions": definitions or DEFINITIONS,
            "OnlineStoreConfig": {"EnableOnlineStore": True},
        }
        self.sm.create_feature_group(**{key: value for key, value in (body | request).items() if value is not None})
        if wait:
            self.when(name, lambda group: group["FeatureGroupStatus"] != "Creating")
        return name

    def described(self, name: str) -> dict:
        """DescribeFeatureGroup."""
        return self.sm.describe_feature_group(FeatureGroupName=name)

    def when(self, name: str, is_so: Callable[[dict], bool]) -> dict:
        """The description of a group once something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so(group := self.described(name)):
            assert time.monotonic() < deadline, f"{name} does not come to that: {group}"
            time.sleep(0.02)
        return group

    def gone(self, name: str) -> None:
        """Returns when a group is deleted."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                group = self.described(name)
            except self.sm.exceptions.ResourceNotFound:
                return
            assert group["FeatureGroupStatus"] == "Deleting" and time.monotonic() < deadline, group
            time.sleep(0.02)

    def put(self, name: str, customer: str, at: str, request: dict | None = None, **features: object) -> None:
        """PutRecord; lists are collections."""
        record = [
            {"FeatureName": feature, "ValueAsStringList": list(map(str, value))}
            if isinstance(value, list)
            else {"FeatureName": feature, "ValueAsString": str(value)}
            for feature, value in ({"customer": customer, "at": at} | features).items()
        ]
        self.runtime.put_record(FeatureGroupName=name, Record=record, **request or {})

    def get(self, name: str, customer: str, **request: object) -> dict | None:
        """The values of GetRecord, None where there is no record."""
        answer = self.runtime.get_record(FeatureGroupName=name, RecordIdentifierValueAsString=customer, **request)
        return values(answer["Record"]) if "Record" in answer else None

    def delete(self, name: str, customer: str, at: str, **request: object) -> None:
        """DeleteRecord."""
        self.runtime.delete_record(
            FeatureGroupName=name, RecordIdentifierValueAsString=customer, EventTime=at, **request
        )

    def tables(self, name: str) -> dict[str, pa.Table]:
        """The Parquet files of the offline store of a group, by what follows `data/` in their keys."""
        folder = self.described(name)["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
        prefix = folder.removeprefix(f"s3://{self.bucket}/") + "/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {
            each["Key"].removeprefix(prefix): pq.ParquetFile(
                io.BytesIO(self.s3.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read())
            ).read()
            for page in pages
            for each in page.get("Contents", [])
        }

    def rows(self, name: str, count: int) -> list[dict]:
        """The rows of the offline store, once there are so many."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(rows := [row for table in self.tables(name).values() for row in table.to_pylist()]) < count:
            assert time.monotonic() < deadline, f"{name} has {len(rows)} rows"
            time.sleep(0.1)
        return rows


def values(record: list[dict]) -> dict:
    """The values of a Record by feature."""
    return {each["FeatureName"]: each.get("ValueAsString", each.get("ValueAsStringList")) for each in record}
