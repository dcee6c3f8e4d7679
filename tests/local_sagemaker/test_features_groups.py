"""Feature groups: made, described, changed, listed and deleted."""

import itertools

import featured
import pytest
from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def features(client, bucket, role_arn):
    """Creates feature groups."""
    numbers = itertools.count()
    return featured.Features(client, bucket, role_arn, lambda prefix: f"{prefix}-made-{next(numbers)}")


def test_a_group_is_created_with_the_stores_that_it_asks_for(features):
    name = features.create(
        wait=False,
        Description="customers",
        Tags=[{"Key": "team", "Value": "churn"}],
        **features.offline(),
    )
    group = features.when(name, lambda group: group["FeatureGroupStatus"] == "Created")
    epoch = int(group["CreationTime"].timestamp())
    assert group["FeatureGroupArn"] == f"arn:aws:sagemaker:us-east-1:111122223333:feature-group/{name}"
    assert group["FeatureDefinitions"] == featured.DEFINITIONS
    assert group["OnlineStoreConfig"] == {"EnableOnlineStore": True}
    assert group["OfflineStoreStatus"] == {"Status": "Active"}
    offline = group["OfflineStoreConfig"]
    folder = f"features/111122223333/sagemaker/us-east-1/offline-store/{name}-{epoch}/data"
    assert offline["S3StorageConfig"]["ResolvedOutputS3Uri"] == f"s3://{features.bucket}/{folder}"
    table = {"TableName": f"{name.replace('-', '_')}_{epoch}", "Catalog": "AwsDataCatalog"}
    assert offline["DataCatalogConfig"] == table | {"Database": "sagemaker_featurestore"}
    assert features.sm.list_tags(ResourceArn=group["FeatureGroupArn"])["Tags"] == [{"Key": "team", "Value": "churn"}]
    assert features.described(group["FeatureGroupArn"])["Description"] == "customers"


def test_the_offline_store_has_a_table_in_glue(features):
    group = features.described(features.create(**features.offline()))
    config = group["OfflineStoreConfig"]["DataCatalogConfig"]
    glue = features.client("glue")
    addition = [{"FeatureName": "visits", "FeatureType": "Integral"}]
    features.sm.update_feature_group(FeatureGroupName=group["FeatureGroupName"], FeatureAdditions=addition)
    table = glue.get_table(DatabaseName=config["Database"], Name=config["TableName"])["Table"]
    columns = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    assert columns == {
        **{"customer": "string", "at": "string", "age": "bigint", "spend": "double", "visits": "bigint"},
        **{"write_time": "timestamp", "api_invocation_time": "timestamp", "is_deleted": "boolean"},
    }
    assert [key["Name"] for key in table["PartitionKeys"]] == ["year", "month", "day", "hour"]
    assert table["StorageDescriptor"]["Location"].endswith("/data")
    without = features.described(features.create(**features.offline(DisableGlueTableCreation=True)))
    assert "DataCatalogConfig" not in without["OfflineStoreConfig"]


def test_a_group_whose_bucket_is_missing_fails(features):
    config = {"S3StorageConfig": {"S3Uri": "s3://nobody-has-this-bucket/x"}}
    group = features.described(features.create(OfflineStoreConfig=config, RoleArn=features.role_arn))
    assert group["FeatureGroupStatus"] == "CreateFailed"
    assert "nobody-has-this-bucket" in group["FailureReason"]
    features.sm.delete_feature_group(FeatureGroupName=group["FeatureGroupName"])
    features.gone(group["FeatureGroupName"])


def collection(kind: str, feature_type: str = "Fractional", **config: object) -> list[dict]:
    """Definitions with a collection more."""
    return [
        *featured.DEFINITIONS,
        {"FeatureName": "more", "FeatureType": feature_type, "CollectionType": kind} | config,
    ]


VECTOR = {"CollectionConfig": {"VectorConfig": {"Dimension": 2}}}
IN_MEMORY = {"EnableOnlineStore": True, "StorageType": "InMemory"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"OnlineStoreConfig": None}, "must enable a store"),
        ({"OnlineStoreConfig": {"EnableOnlineStore": False}}, "must enable a store"),
        ({"RecordIdentifierFeatureName": "nobody"}, "nobody is not in FeatureDefinitions"),
        ({"EventTimeFeatureName": "age"}, "must be one value of type Fractional or String"),
        ({"EventTimeFeatureName": "customer"}, "must be two features"),
        ({"definitions": [*featured.DEFINITIONS, featured.DEFINITIONS[2]]}, r"more than one feature .*\['age'\]"),
        (
            {"definitions": [*featured.DEFINITIONS, {"FeatureName": "write_time", "FeatureType": "String"}]},
            r"reserved feature names: \['write_time'\]",
        ),
        ({"definitions": collection("List")}, "StorageType of the OnlineStore is InMemory"),
        ({"definitions": collection("Vector"), "OnlineStoreConfig": IN_MEMORY}, "VectorConfig goes with"),
        ({"definitions": collection("Set", **VECTOR), "OnlineStoreConfig": IN_MEMORY}, "VectorConfig goes with"),
        (
            {"definitions": collection("Vector", "Integral", **VECTOR), "OnlineStoreConfig": IN_MEMORY},
            "FeatureType Fractional",
        ),
        (
            {
                "definitions": [
                    *collection("Vector", **VECTOR),
                    *[each | {"FeatureName": "yet"} for each in collection("Vector", **VECTOR)[-1:]],
                ],
                "OnlineStoreConfig": IN_MEMORY,
            },
            "one Vector only",
        ),
        ({"OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://b/x"}}}, "RoleArn is required"),
        ({"RoleArn": "arn:aws:iam::111122223333:role/Nobody"}, "Could not assume role"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(features, request_, message):
    with pytest.raises(ClientError, match=message):
        features.create(**request_)


def test_iceberg_and_repeated_names_are_refused(features):
    with pytest.raises(ClientError, match="Iceberg is not available"):
        features.create(**features.offline(TableFormat="Iceberg"))
    name = features.create()
    with pytest.raises(ClientError, match=r"ResourceInUse.*already exists"):
        features.create(FeatureGroupName=name)


def test_features_and_a_time_to_live_are_added(features):
    name = features.create()
    features.put(name, "1", "2026-01-01T00:00:00Z")
    ttl = {"TtlDuration": {"Unit": "Weeks", "Value": 5000}}
    addition = [{"FeatureName": "visits", "FeatureType": "Integral"}]
    features.sm.update_feature_group(FeatureGroupName=name, FeatureAdditions=addition, OnlineStoreConfig=ttl)
    group = features.described(name)
    assert group["FeatureDefinitions"] == [*featured.DEFINITIONS, *addition]
    assert group["OnlineStoreConfig"] == {"EnableOnlineStore": True} | ttl
    assert group["LastUpdateStatus"] == {"Status": "Successful"}
    features.put(name, "2", "2026-01-01T00:00:00Z", visits=3)
    assert features.get(name, "1") == {"customer": "1", "at": "2026-01-01T00:00:00Z"}
    assert features.get(name, "2")["visits"] == "3"
    for changes, message in (
        ({}, "UpdateFeatureGroup needs"),
        ({"FeatureAdditions": addition}, "more than one feature"),
        ({"OnlineStoreConfig": {"StorageType": "InMemory"}}, "cannot be changed"),
    ):
        with pytest.raises(ClientError, match=message):
            features.sm.update_feature_group(FeatureGroupName=name, **changes)


def test_throughput_is_told_as_it_was_asked_for(features):
    provisioned = {"ProvisionedReadCapacityUnits": 5, "ProvisionedWriteCapacityUnits": 6}
    name = features.create(ThroughputConfig={"ThroughputMode": "Provisioned"} | provisioned)
    assert features.described(name)["ThroughputConfig"] == {"ThroughputMode": "Provisioned"} | provisioned
    features.sm.update_feature_group(FeatureGroupName=name, ThroughputConfig={"ThroughputMode": "OnDemand"})
    assert features.described(name)["ThroughputConfig"]["ThroughputMode"] == "OnDemand"


def test_a_feature_is_described_by_people(features):
    name = features.create()
    feature = {"FeatureGroupName": name, "FeatureName": "age"}
    before = features.sm.describe_feature_metadata(**feature)
    assert before["FeatureType"] == "Integral"
    assert "Description" not in before and "Parameters" not in before
    parameters = [{"Key": "unit", "Value": "years"}, {"Key": "owner", "Value": "team"}]
    features.sm.update_feature_metadata(**feature, Description="of the customer", ParameterAdditions=parameters)
    features.sm.update_feature_metadata(**feature, ParameterRemovals=["owner"])
    after = features.sm.describe_feature_metadata(**feature)
    assert (after["Description"], after["Parameters"]) == ("of the customer", parameters[:1])
    assert after["LastModifiedTime"] > before["LastModifiedTime"]
    assert "Description" not in features.sm.describe_feature_metadata(FeatureGroupName=name, FeatureName="spend")
    with pytest.raises(ClientError, match=r"ResourceNotFound.*no feature with name nothing"):
        features.sm.describe_feature_metadata(FeatureGroupName=name, FeatureName="nothing")


def test_groups_are_listed_by_name_status_and_page(features):
    online, both = features.create(), features.create(**features.offline())
    found = features.sm.list_feature_groups(NameContains="made", OfflineStoreStatusEquals="Active", MaxResults=100)
    names = [summary["FeatureGroupName"] for summary in found["FeatureGroupSummaries"]]
    assert both in names and online not in names
    first = features.sm.list_feature_groups(MaxResults=1, FeatureGroupStatusEquals="Created", SortBy="Name")
    token = {"NextToken": first["NextToken"]}
    second = features.sm.list_feature_groups(MaxResults=1, FeatureGroupStatusEquals="Created", SortBy="Name", **token)
    one, two = (page["FeatureGroupSummaries"][0]["FeatureGroupName"] for page in (first, second))
    assert one > two


def test_a_deleted_group_is_gone_with_its_records_and_a_new_one_is_empty(features):
    name = features.create()
    features.put(name, "1", "2026-01-01T00:00:00Z")
    features.sm.delete_feature_group(FeatureGroupName=name)
    features.gone(name)
    with pytest.raises(ClientError, match=r"ResourceNotFound.*can't find a FeatureGroup"):
        features.sm.delete_feature_group(FeatureGroupName=name)
    features.create(FeatureGroupName=name)
    assert features.get(name, "1") is None
