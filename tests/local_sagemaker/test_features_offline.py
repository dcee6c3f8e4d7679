"""The offline store: its Parquet files, their layout and types, and records that outlive a kill."""

import collections
import itertools
import re
import threading
import time
from random import Random

import featured
import psutil
import pyarrow as pa
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from helpers import local_sagemaker
from helpers.local_sagemaker import Running


@pytest.fixture(scope="module")
def features(client, bucket, role_arn):
    """Creates feature groups."""
    numbers = itertools.count()
    return featured.Features(client, bucket, role_arn, lambda prefix: f"{prefix}-off-{next(numbers)}")


def test_records_are_written_by_the_hour_of_their_event_times(features):
    name = features.create(**features.offline())
    features.put(name, "1", "2026-01-31T23:59:59Z", age=41, spend=2.5)
    features.put(name, "1", "2026-02-01T01:00:00+02:00", age=42)
    features.put(name, "2", "2026-02-01T05:30:00Z", spend=1)
    features.rows(name, 3)
    tables = features.tables(name)
    folders = sorted(key.rpartition("/")[0] for key in tables)
    assert folders == ["year=2026/month=01/day=31/hour=23", "year=2026/month=02/day=01/hour=05"]
    assert all(re.fullmatch(r"\d{8}T\d{6}Z_[0-9a-f]{16}\.parquet", key.rpartition("/")[2]) for key in tables)
    [table] = [table for key, table in tables.items() if "hour=23" in key]
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        **{"customer": pa.string(), "at": pa.string(), "age": pa.int64(), "spend": pa.float64()},
        **{"write_time": pa.timestamp("us"), "api_invocation_time": pa.timestamp("us"), "is_deleted": pa.bool_()},
    }
    first, second = table.to_pylist()
    assert (first["age"], first["spend"], second["age"], second["spend"]) == (41, 2.5, 42, None)
    assert first["api_invocation_time"] < second["api_invocation_time"] <= first["write_time"]


def test_the_offline_store_keeps_every_version_and_marks_deletions(features):
    name = features.create(**features.offline())
    features.put(name, "1", "2026-01-01T12:00:00Z", age=1)
    features.put(name, "1", "2026-01-01T06:00:00Z", age=2)  # too old for the online store
    features.delete(name, "1", "2026-01-01T13:00:00Z")
    with pytest.raises(ClientError):
        features.delete(name, "1", "2026-01-01T05:00:00Z", DeletionMode="HardDelete")  # leaves no marker
    rows = sorted(features.rows(name, 3), key=lambda row: row["at"])
    told = [(row["at"][11:13], row["age"], row["is_deleted"]) for row in rows]
    assert told == [("06", 2, False), ("12", 1, False), ("13", None, True)]


def test_target_stores_say_where_a_record_goes(features):
    name = features.create(**features.offline())
    features.put(name, "on", "2026-01-01T00:00:00Z", request={"TargetStores": ["OnlineStore"]})
    features.put(name, "off", "2026-01-01T00:00:00Z", request={"TargetStores": ["OfflineStore"]})
    assert [row["customer"] for row in features.rows(name, 1)] == ["off"]
    assert features.get(name, "on") is not None
    assert features.get(name, "off") is None


def test_collections_and_features_that_came_later_are_columns(features):
    more = {"FeatureName": "more", "FeatureType": "Integral", "CollectionType": "List"}
    online = {"EnableOnlineStore": True, "StorageType": "InMemory"}
    name = features.create(definitions=[*featured.DEFINITIONS, more], OnlineStoreConfig=online, **features.offline())
    features.put(name, "1", "2026-01-01T00:00:00Z", more=[1, 2])
    addition = [{"FeatureName": "visits", "FeatureType": "Integral"}]
    features.sm.update_feature_group(FeatureGroupName=name, FeatureAdditions=addition)
    features.put(name, "2", "2026-01-01T00:00:00Z", visits=7)
    rows = {row["customer"]: row for row in features.rows(name, 2)}
    assert rows["1"]["more"] == [1, 2]
    assert rows["2"]["visits"] == 7


def test_what_is_on_its_way_is_written_before_a_group_is_deleted(features):
    name = features.create(**features.offline())
    folder = features.described(name)["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
    features.put(name, "1", "2026-01-01T00:00:00Z")
    features.sm.delete_feature_group(FeatureGroupName=name)
    features.gone(name)
    prefix = folder.removeprefix(f"s3://{features.bucket}/")
    assert features.s3.list_objects_v2(Bucket=features.bucket, Prefix=prefix)["KeyCount"] == 1


def test_a_store_whose_bucket_is_gone_is_blocked_and_goes_on_when_it_is_back(features):
    bucket = {"Bucket": "goes-and-comes"}
    features.s3.create_bucket(**bucket)
    config = {"S3StorageConfig": {"S3Uri": "s3://goes-and-comes/x"}}
    name = features.create(OfflineStoreConfig=config, RoleArn=features.role_arn)
    features.s3.delete_bucket(**bucket)
    features.put(name, "1", "2026-01-01T00:00:00Z")
    group = features.when(name, lambda group: group["OfflineStoreStatus"]["Status"] == "Blocked")
    assert "NoSuchBucket" in group["OfflineStoreStatus"]["BlockedReason"]
    features.s3.create_bucket(**bucket)
    features.when(name, lambda group: group["OfflineStoreStatus"]["Status"] == "Active")
    assert features.s3.list_objects_v2(**bucket)["KeyCount"] == 1


def test_what_was_acknowledged_outlives_kills_at_random_points(tmp_path, client_of, role_arn):
    """Killed while records are put and written to S3: each that was acknowledged is in both stores, once."""
    random, numbers, acknowledged, doubtful = Random(5), itertools.count(), [], []

    def started() -> tuple[Running, featured.Features]:
        running = local_sagemaker.start(tmp_path)
        return running, featured.Features(client_of(running), "outlives", role_arn, lambda prefix: f"{prefix}-it")

    def work(features: featured.Features) -> None:
        """Puts records until the server is gone."""
        for number in numbers:
            try:
                features.put("group-it", str(number), f"2026-01-01T{number % 24:02}:00:00Z", age=number)
            except BotoCoreError:
                return doubtful.append(number)
            acknowledged.append(number)

    running, features = started()
    try:
        features.s3.create_bucket(Bucket="outlives")
        name = features.create(**features.offline())
        for _ in range(4):
            worker = threading.Thread(target=work, args=(features,))
            worker.start()
            begun = len(acknowledged)
            while len(acknowledged) < begun + 30:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 6))  # a flush is due every five seconds
            process = psutil.Process(running.pid)
            process.kill()
            process.wait()
            worker.join()
            running, features = started()
        found = collections.Counter(row["age"] for row in features.rows(name, len(acknowledged)))
        assert set(found.values()) == {1}
        assert set(acknowledged) <= found.keys() <= {*acknowledged, *doubtful}
        for number in random.sample(acknowledged, 20):
            assert features.get(name, str(number))["age"] == str(number)
    finally:
        local_sagemaker.stop(tmp_path)
