"""The thread behind feature groups: it brings them into being, lets them go, and writes their offline stores.

Records lie in SQLite until a Parquet file with them is in S3, `.../data/year=/month=/day=/hour=/<time>_<id>.parquet` by
their event times. Which file a record will be in is written down before the file is, so that a kill in between leaves
neither a gap nor a second copy. On AWS a record is in the offline store within some minutes; these pass
`LOCAL_SAGEMAKER_SPEEDUP` times faster.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/feature-store-storage-configurations-offline-store.html
"""

from __future__ import annotations

import io
import secrets
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from helpers.local_sagemaker import staging
from helpers.local_sagemaker.background import Background
from helpers.local_sagemaker.failures import shortened
from helpers.local_sagemaker.feature_store import feature_groups, glue_tables
from helpers.local_sagemaker.feature_store.feature_data import FeatureData, OfflineRow

if TYPE_CHECKING:
    import pyarrow as pa

    from helpers.local_sagemaker.app import Server

DELAY_SECONDS = 300.0  # on AWS
_LEAST_SECONDS = 1.0
_MOST_ROWS = 20_000  # read at once
_MICROSECONDS = 1_000_000


class FeatureStore:
    """Keeps the feature groups of a server.

    Attributes:
        data: the records.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.data = FeatureData(server.home / "features.db")
        self._next_flush = 0.0
        self._background = Background("feature store", self._work, retry_seconds=_LEAST_SECONDS)

    def start(self) -> None:
        """Begins where the last server ended."""
        self._background.start()

    def wake(self) -> None:
        """A group is to be created or deleted."""
        self._background.wake()

    def close(self) -> None:
        """Ends the thread; what is on the way to S3 gets there after the next start."""
        self._background.stop()
        self.data.close()

    def _work(self) -> float:
        self._move_groups()
        if time.monotonic() >= self._next_flush:
            self._next_flush = time.monotonic() + max(DELAY_SECONDS / self._server.speedup, _LEAST_SECONDS)
            self.data.expire()
            for name in self.data.groups_on_the_way():
                self._flush(name)
        return max(self._next_flush - time.monotonic(), 0)

    def _move_groups(self) -> None:
        """Brings groups that are Creating or Deleting to their ends."""
        store = self._server.store
        for group in store.list(feature_groups.KIND):
            name = group["FeatureGroupName"]
            if group["FeatureGroupStatus"] == "Creating":
                reason = self._create(group)
                status = "CreateFailed" if reason else "Created"
                store.update(feature_groups.KIND, name, FeatureGroupStatus=status, FailureReason=reason)
            elif group["FeatureGroupStatus"] == "Deleting":
                self._delete(name)

    def _create(self, group: dict) -> str | None:
        """Prepares the offline store of a group; why that cannot be, if it cannot."""
        offline = group.get("OfflineStoreConfig")
        if offline is None:
            return None
        place = staging.parse(offline["S3StorageConfig"]["ResolvedOutputS3Uri"])
        try:
            staging.require_bucket(self._server, place, "The offline store cannot be written")
        except staging.StagingError as error:
            return shortened(f"Validation Failed: {error}")
        glue_tables.create(self._server, group)
        return None

    def _delete(self, name: str) -> None:
        fault = self._flush(name)
        if fault not in (None, "NoSuchBucket"):  # without its bucket there is no offline store to be kept whole
            reason = "Records on the way to the offline store cannot be written: see OfflineStoreStatus."
            changes = {"FeatureGroupStatus": "DeleteFailed", "FailureReason": reason}
            self._server.store.update(feature_groups.KIND, name, **changes)
            return
        with self._server.store.transaction():
            self.data.drop(name)
            self._server.store.delete(feature_groups.KIND, name)

    def _flush(self, name: str) -> str | None:
        """Writes the records of a group that are on the way; the error code of S3 where it does not take them."""
        from botocore.exceptions import ClientError

        group = self._server.store.require(feature_groups.KIND, name)
        if "OfflineStoreConfig" not in group:
            return None
        folder = staging.parse(group["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"])
        try:
            self._write_objects(name, group, folder.bucket)  # of a flush that a kill or S3 has cut short
            is_more = True
            while is_more:  # what comes meanwhile waits for the next flush, lest each record get an object of its own
                unplaced = self.data.unplaced(name, _MOST_ROWS)
                is_more = len(unplaced) == _MOST_ROWS
                self.data.place(_by_object(folder, unplaced))
                self._write_objects(name, group, folder.bucket)
        except ClientError as error:
            self._tell(group, {"Status": "Blocked", "BlockedReason": shortened(str(error))})
            return error.response["Error"]["Code"]
        self._tell(group, {"Status": "Active"})
        return None

    def _write_objects(self, name: str, group: dict, bucket: str) -> None:
        """Writes the objects whose rows are placed and that are not in S3 yet."""
        for key in self.data.objects(name):
            body = _parquet(group, self.data.rows(name, key))
            self._server.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
            self.data.written(name, key)

    def _tell(self, group: dict, status: dict) -> None:
        if group["OfflineStoreStatus"] != status:
            self._server.store.update(feature_groups.KIND, group["FeatureGroupName"], OfflineStoreStatus=status)


def _by_object(folder: staging.Location, rows: list[tuple[int, float]]) -> dict[str, list[int]]:
    """The ids of rows by the key of the object that they will be in: one for each hour of event times."""
    hours: defaultdict[datetime, list[int]] = defaultdict(list)
    for number, event_time in rows:
        hours[datetime.fromtimestamp(event_time, UTC).replace(minute=0, second=0, microsecond=0)].append(number)
    written = datetime.now(UTC)
    return {
        folder.below(
            hour.strftime("year=%Y/month=%m/day=%d/hour=%H"), f"{written:%Y%m%dT%H%M%SZ}_{secrets.token_hex(8)}.parquet"
        ).key: ids
        for hour, ids in hours.items()
    }


def _parquet(group: dict, rows: list[OfflineRow]) -> bytes:
    """A Parquet file of rows: the group's features, and what AWS adds to them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    moment = pa.timestamp("us")
    columns = {
        definition["FeatureName"]: _column(definition, [row.values.get(definition["FeatureName"]) for row in rows])
        for definition in group["FeatureDefinitions"]
    }
    columns["write_time"] = pa.array([int(time.time() * _MICROSECONDS)] * len(rows), moment)
    columns["api_invocation_time"] = pa.array([int(row.invoked * _MICROSECONDS) for row in rows], moment)
    columns["is_deleted"] = pa.array([row.deleted for row in rows], pa.bool_())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _column(definition: dict, texts: list[str | list[str] | None]) -> pa.Array:
    import pyarrow as pa

    kind, convert = {
        "Integral": (pa.int64(), int),
        "Fractional": (pa.float64(), float),
        "String": (pa.string(), str),
    }[definition["FeatureType"]]
    if "CollectionType" in definition:
        return pa.array([None if each is None else [convert(text) for text in each] for each in texts], pa.list_(kind))
    return pa.array([None if text is None else convert(text) for text in texts], kind)


def start(server: Server) -> None:
    """Gives the server its feature store."""
    server.features = FeatureStore(server)
    server.features.start()


def stop(server: Server) -> None:
    """Ends it."""
    server.features.close()
