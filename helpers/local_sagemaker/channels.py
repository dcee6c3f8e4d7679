"""Input channels of a training job: checked when the job is created, copied when it starts."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, staging
from helpers.local_sagemaker.jobs import Host

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_MODES = ("File", "FastFile")


def check(server: Server, request: dict) -> None:
    """Checks the channels of a CreateTrainingJob request.

    Raises:
        AwsError: `ValidationException`; a name is repeated, a source is missing or not available here, or nothing is
            stored under a channel's prefix.
    """
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise errors.validation(f"Duplicate channel name in InputDataConfig: {', '.join(repeated)}")
    for channel in request.get("InputDataConfig", []):
        if not channel["ChannelName"].strip("."):
            raise errors.validation(f"Channel name {channel['ChannelName']!r} is no name for a folder")
        name, mode = channel["ChannelName"], input_mode(channel, request)
        if mode not in _MODES:
            raise errors.validation(
                f"Channel {name}: the local SageMaker has no input mode {mode}; use File or FastFile."
            )
        for member in ("CompressionType", "RecordWrapperType"):
            if channel.get(member, "None") != "None":
                raise errors.validation(
                    f"Channel {name}: {member} {channel[member]} goes with input mode Pipe, which is not available in "
                    "the local SageMaker; leave it out."
                )
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise errors.validation(f"Channel {name}: the local SageMaker reads channels from S3DataSource only.")
        if "InstanceGroupNames" in source:
            raise errors.validation(f"Channel {name}: the local SageMaker has no instance groups.")
        if mode == "FastFile" and source["S3DataType"] != "S3Prefix":
            raise errors.validation(
                f"Channel {name}: input mode FastFile supports S3DataType S3Prefix only, got {source['S3DataType']}."
            )
        if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
            raise errors.validation(
                f"Channel {name}: the local SageMaker has no S3DataType {source['S3DataType']}; "
                "use S3Prefix or ManifestFile."
            )
        _check_stored(server, name, source)


def _check_stored(server: Server, name: str, source: dict) -> None:
    try:
        location = staging.parse(source["S3Uri"])
    except staging.StagingError as error:
        raise errors.validation(f"Channel {name}: {error}") from error
    try:
        found = staging.has_objects(server, location)
    except staging.StagingError:
        found = False
    if not found:
        raise errors.validation(staging.nothing_found(location))


def input_mode(channel: dict, request: dict) -> str:
    """The input mode of a channel: its own, else the algorithm's."""
    return channel.get("InputMode") or request["AlgorithmSpecification"].get("TrainingInputMode", "File")


def configuration(request: dict) -> dict:
    """The content of `inputdataconfig.json`."""
    return {
        channel["ChannelName"]: {
            "TrainingInputMode": input_mode(channel, request),
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        | ({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {})
        for channel in request.get("InputDataConfig", [])
    }


def download(server: Server, request: dict, hosts: list[Host]) -> None:
    """Copies every channel to `/opt/ml/input/data/<channel>` of every host; a sharded channel is dealt out by key.

    A FastFile channel has all of its files before the job starts, as a File channel has: AWS streams each when it is
    read. They are read-only, as on AWS.

    Raises:
        StagingError: something is missing in S3, worded as AWS words it.
    """
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"]["S3DataSource"]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        folder = f"input/data/{channel['ChannelName']}"
        seed = channel.get("ShuffleConfig", {}).get("Seed")
        copy_source(server, source["S3Uri"], source["S3DataType"], hosts, folder, sharded, seed)
        if input_mode(channel, request) == "FastFile":
            for path in (path for host in hosts for path in host.path(folder).rglob("*") if path.is_file()):
                path.chmod(0o444)


def copy_source(
    server: Server,
    uri: str,
    data_type: str,
    hosts: list[Host],
    folder: str,
    sharded: bool = False,
    seed: int | None = None,
) -> None:
    """Copies the objects of an S3 source to a folder of every host.

    Args:
        server: whose S3 is read.
        uri: a prefix, an object, or a manifest.
        data_type: S3Prefix or ManifestFile.
        hosts: where to.
        folder: below `/opt/ml`.
        sharded: every host gets an n-th of the objects, by the order of their keys.
        seed: of a ShuffleConfig, which gives the keys another order.

    Raises:
        StagingError: something is missing in S3.
    """
    location, keys = objects(server, uri, data_type)
    if seed is not None:
        random.Random(seed).shuffle(keys)
    for index, host in enumerate(hosts):
        share = keys[index :: len(hosts)] if sharded else keys
        target = host.path(folder)
        target.mkdir(parents=True, exist_ok=True)
        if share:
            staging.download_keys(server, location, share, target)


def objects(server: Server, uri: str, data_type: str) -> tuple[staging.Location, list[str]]:
    """The prefix of an S3 source and the keys of its objects; `uri` and `data_type` are as in `copy_source`.

    Raises:
        StagingError: nothing is stored there, or the manifest is none.
    """
    location = staging.parse(uri)
    if data_type == "ManifestFile":
        return _manifest(server, location)
    keys = staging.list_keys(server, location)
    if not keys:
        raise staging.StagingError(staging.nothing_found(location))
    return location, keys


def _manifest(server: Server, location: staging.Location) -> tuple[staging.Location, list[str]]:
    """The prefix that a manifest names, and the keys that it lists."""
    try:
        first, *names = json.loads(staging.read(server, location))
        prefix = staging.parse(first["prefix"])
        return prefix, [prefix.key + name for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise staging.StagingError(
            f'{location} is no manifest: expected [{{"prefix": "s3://bucket/prefix/"}}, "key", ...]: {error!r}'
        ) from error
