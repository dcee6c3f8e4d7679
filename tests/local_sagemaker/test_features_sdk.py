"""The feature store of the SageMaker Python SDK 3, unmodified: groups, ingestion, records, and data sets by Athena."""

import pytest
from sdk_programs import run_program

PROGRAM = """
import io, json, time
import pandas as pd
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.shapes import FeatureValue
from sagemaker.mlops.feature_store import (
    FeatureGroup, OfflineStoreConfig, OnlineStoreConfig, S3StorageConfig, ingest_dataframe,
    load_feature_definitions_from_dataframe,
)
from sagemaker.mlops.feature_store.dataset_builder import DatasetBuilder

DAY = 86400.0  # as Unix time: the SDK joins by from_unixtime, also where event times are text, which Athena refuses
session = Session()
bucket, role = session.default_bucket(), "arn:aws:iam::111122223333:role/CourseExecutionRole"
boto = session.boto_session

def group(name, frame):
    made = FeatureGroup.create(
        feature_group_name=name, record_identifier_feature_name="customer", event_time_feature_name="at",
        feature_definitions=load_feature_definitions_from_dataframe(frame), role_arn=role,
        online_store_config=OnlineStoreConfig(enable_online_store=True),
        offline_store_config=OfflineStoreConfig(s3_storage_config=S3StorageConfig(s3_uri=f"s3://{bucket}/sdk")),
    )
    made.wait_for_status("Created")
    ingest_dataframe(name, frame, max_workers=2, wait=True)
    return FeatureGroup.get(feature_group_name=name)

orders = pd.DataFrame({
    "customer": ["1", "2", "1"], "at": [DAY * day for day in (10, 10, 20)], "amount": [5, 6, 7],
})
profiles = pd.DataFrame({
    "customer": ["1", "1", "2"], "at": [DAY * day for day in (1, 15, 12)],
    "score": [0.1, 0.2, 0.9],
})
base, joined = group("sdk-orders", orders), group("sdk-profiles", profiles)
latest = joined.get_record(record_identifier_value_as_string="1")
joined.put_record(record=[
    FeatureValue(feature_name="customer", value_as_string="3"),
    FeatureValue(feature_name="at", value_as_string=str(DAY)),
])
joined.delete_record(record_identifier_value_as_string="3", event_time=str(DAY * 2))

def rows(made):
    s3 = boto.client("s3")
    folder = made.offline_store_config.s3_storage_config.resolved_output_s3_uri.removeprefix(f"s3://{bucket}/")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", [])
    bodies = [s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed]
    return sum(len(pd.read_parquet(io.BytesIO(body))) for body in bodies)

while rows(base) < 3 or rows(joined) < 5:
    time.sleep(0.1)

builder = DatasetBuilder.create(base=base, output_path=f"s3://{bucket}/sets", session=session)
pairs, sql = builder.with_feature_group(joined).point_in_time_accurate_join().to_dataframe()
everything, _ = DatasetBuilder.create(base=joined, output_path=f"s3://{bucket}/sets", session=session).to_dataframe()
asked = pd.DataFrame({"customer": ["1"], "asked_at": [DAY * 16]})
of_frame, _ = DatasetBuilder.create(
    base=asked, output_path=f"s3://{bucket}/sets", session=session,
    record_identifier_feature_name="customer", event_time_identifier_feature_name="asked_at",
).with_feature_group(joined, target_feature_name_in_base="customer").point_in_time_accurate_join().to_dataframe()
print(json.dumps({
    "latest": {each.feature_name: each.value_as_string for each in latest.record},
    "columns": list(pairs.columns),
    "pairs": sorted(pairs[["customer", "amount", "score.1"]].values.tolist()),
    "everything": sorted(everything["score"].tolist()),
    "of_frame": of_frame.values.tolist(),
}))
"""


@pytest.fixture(scope="module")
def told(server, tmp_path_factory):
    """What the program found."""
    return run_program(server, tmp_path_factory.mktemp("sdk"), PROGRAM)[0]


def test_the_sdk_ingests_a_frame_and_reads_a_record(told):
    assert told["latest"] == {"customer": "1", "at": "1296000.0", "score": "0.2"}


def test_the_sdk_joins_groups_as_of_each_event_time(told):
    # The order of the 10th sees the score of the 1st only, and customer 2 had no score yet.
    assert told["pairs"] == [[1, 5, 0.1], [1, 7, 0.1], [1, 7, 0.2]]
    assert "customer.1" in told["columns"]


def test_the_sdk_leaves_deleted_records_out(told):
    assert told["everything"] == [0.1, 0.2, 0.9]


def test_the_sdk_joins_a_frame_to_a_group(told):
    assert sorted(row[:2] + row[-1:] for row in told["of_frame"]) == [[1, 1382400.0, 0.1], [1, 1382400.0, 0.2]]
