"""Data between S3 and folders, and tar archives made and extracted."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from helpers.local_sagemaker.arns import REGION

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_HTTPS = re.compile(
    r"https?://(?P<bucket>[a-z0-9][a-z0-9.-]+)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?/(?P<key>.*)"
)
_HTTPS_PATH = re.compile(r"https?://s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?/(?P<bucket>[^/]+)/(?P<key>.*)")
_AT_ONCE = 4
_SHARE_OF_FREE_DISK = 0.9  # that an archive may take


class StagingError(Exception):
    """Data that cannot be copied; the message is worded as AWS words it."""


@dataclass(frozen=True)
class Location:
    """A place in S3: an object, or all objects whose key begins with `key`."""

    bucket: str
    key: str

    def below(self, *names: str) -> Location:
        """The place with names added, `/` between them."""
        return Location(self.bucket, "/".join(filter(None, (self.key.rstrip("/"), *names))))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse(uri: str) -> Location:
    """The bucket and key of `s3://bucket/key` or of an S3 https URL.

    Raises:
        StagingError: it is neither.
    """
    if uri.startswith("s3://"):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket:
            return Location(bucket, key)
    elif match := _HTTPS.fullmatch(uri) or _HTTPS_PATH.fullmatch(uri):
        return Location(match["bucket"], match["key"])
    raise StagingError(f"The S3 URI is not valid: {uri!r} is neither s3://bucket/key nor an S3 https URL")


def list_keys(server: Server, location: Location) -> list[str]:
    """Keys of the objects under a prefix, sorted, without the empty folder markers.

    Raises:
        StagingError: there is no such bucket, worded as AWS words it.
    """
    return [key for key, _ in list_objects(server, location)]


def list_objects(server: Server, location: Location) -> list[tuple[str, float]]:
    """What `list_keys` lists, with the epoch seconds at which each was written.

    Raises:
        StagingError: there is no such bucket, worded as AWS words it.
    """
    pages = server.client("s3").get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key)
    try:
        items = [item for page in pages for item in page.get("Contents", [])]
    except ClientError as error:
        raise StagingError(_worded(error, location)) from error
    return [(item["Key"], item["LastModified"].timestamp()) for item in items if not item["Key"].endswith("/")]


def nothing_found(location: Location) -> str:
    """What AWS says of a prefix under which nothing is stored."""
    return (
        f'No S3 objects found under S3 URL "{location}" given in input data source. Please ensure that the bucket '
        f"exists in the selected region ({REGION}), that objects exist under that S3 prefix, and that the role has "
        f'"s3:ListBucket" permissions on bucket "{location.bucket}".'
    )


def has_objects(server: Server, location: Location) -> bool:
    """Whether anything is stored under a prefix.

    Raises:
        StagingError: the bucket is missing.
    """
    try:
        found = server.client("s3").list_objects_v2(Bucket=location.bucket, Prefix=location.key, MaxKeys=1)
    except ClientError as error:
        raise StagingError(_worded(error, location)) from error
    return bool(found["KeyCount"])


def download_prefix(server: Server, location: Location, folder: Path) -> list[Path]:
    """Copies the objects under a prefix into a folder; names keep the part of the key behind the prefix's last slash.

    Raises:
        StagingError: the bucket is missing, or nothing is stored under the prefix.
    """
    keys = list_keys(server, location)
    if not keys:
        raise StagingError(nothing_found(location))
    return download_keys(server, location, keys, folder)


def download_keys(server: Server, location: Location, keys: Iterable[str], folder: Path) -> list[Path]:
    """Copies the given objects of a prefix, as `download_prefix` does for all.

    Raises:
        StagingError: an object is missing, or two of them need the same name as file and as folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = list(keys)
    pairs = [(key, _inside(folder, name)) for key, name in zip(keys, names(location, keys), strict=True)]
    with ThreadPoolExecutor(max(1, min(_AT_ONCE, len(pairs)))) as pool:
        list(pool.map(lambda pair: _download(server, location.bucket, *pair), pairs))
    return [path for _, path in pairs]


def names(location: Location, keys: list[str]) -> list[str]:
    """What the objects of a prefix are called below it.

    `data/train` and `data/train/` both stand for the content of that folder; else the part of a key behind the
    prefix's last slash counts.
    """
    base = location.key if location.key.endswith("/") or not location.key else f"{location.key}/"
    if not all(key.startswith(base) for key in keys):
        base = location.key[: location.key.rfind("/") + 1]
    return [key.removeprefix(base) for key in keys]


def download_file(server: Server, location: Location, path: Path) -> Path:
    """Copies one object to a file.

    Raises:
        StagingError: the bucket or the object is missing.
    """
    _download(server, location.bucket, location.key, path)
    return path


def read(server: Server, location: Location, version: str | None = None) -> bytes:
    """The content of an object, or of one of its versions.

    Raises:
        StagingError: the bucket or the object is missing.
    """
    which = {"Bucket": location.bucket, "Key": location.key} | ({"VersionId": version} if version else {})
    try:
        return server.client("s3").get_object(**which)["Body"].read()
    except ClientError as error:
        raise StagingError(_worded(error, location)) from error


def _download(server: Server, bucket: str, key: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(server.client("s3").get_object(Bucket=bucket, Key=key)["Body"], file, 1 << 20)
    except ClientError as error:
        path.unlink(missing_ok=True)
        raise StagingError(_worded(error, Location(bucket, key))) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise StagingError(
            f"Cannot download s3://{bucket}/{key}, a previously downloaded file/folder clashes with it. Please check "
            "your s3 objects and ensure that there is no object that is both a folder as well as a file."
        ) from error
    except (OSError, ValueError) as error:
        raise StagingError(f"Cannot download s3://{bucket}/{key}: {error}") from error


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that a job filled, sorted: its own, and links to them.

    A link that leads out of the folder is left out, as is all of a folder that is a link itself or lies behind one:
    there are files of this machine that the job has no business to publish, and that on AWS would not be there. The
    folder's path holds no link but those that the job made.
    """
    if folder.resolve() != folder:
        return []
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in found if not path.is_symlink() or path.resolve().is_relative_to(folder)]


def upload_folder(server: Server, folder: Path, location: Location) -> list[str]:
    """Copies every file of a folder under a prefix; returns the keys.

    Raises:
        StagingError: the bucket is missing.
    """
    prefix = location.key.rstrip("/")
    files = files_of(folder)
    keys = ["/".join(filter(None, (prefix, path.relative_to(folder).as_posix()))) for path in files]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda path, key: upload_file(server, path, Location(location.bucket, key)), files, keys))
    return keys


def upload_file(server: Server, path: Path, location: Location) -> None:
    """Copies a file to an object, in parts when it is large.

    Raises:
        StagingError: the bucket is missing.
    """
    from boto3.exceptions import S3UploadFailedError

    try:
        server.client("s3").upload_file(str(path), location.bucket, location.key)
    except ClientError as error:
        raise StagingError(_worded(error, location)) from error
    except (S3UploadFailedError, BotoCoreError) as error:
        raise StagingError(f"Unable to upload {path.name} to {location}: {error}") from error


def require_bucket(server: Server, location: Location, prefix: str) -> None:
    """Checks that a bucket is there before hours are spent on what shall go into it.

    Raises:
        StagingError: it is not; the message begins with `prefix`.
    """
    try:
        server.client("s3").head_bucket(Bucket=location.bucket)
    except ClientError as error:
        raise StagingError(f"{prefix}:{_worded(error, location)}") from error


def _worded(error: ClientError, location: Location) -> str:
    code = error.response["Error"]["Code"]
    if code == "NoSuchBucket" or (code == "404" and error.operation_name == "HeadBucket"):
        return f"NoSuchBucket: The specified bucket does not exist: {location.bucket} (of {location})"
    if code in ("NoSuchKey", "404"):
        return f"NoSuchKey: The specified key does not exist: {location}"
    return f"{error.operation_name} on {location} failed: {error.response['Error'].get('Message', code)}"


def make_tar(folder: Path, archive: Path) -> None:
    """Packs a folder's content as a gzip tar, links as links; an empty or missing folder makes an empty archive.

    A folder that is a link makes an empty one too: see `files_of`.
    """
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for path in sorted(folder.iterdir()) if folder.is_dir() and folder.resolve() == folder else []:
            tar.add(path, arcname=path.name, filter=_packed)


def _packed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Sockets and devices are no part of a model."""
    return member if member.isfile() or member.isdir() or member.issym() or member.islnk() else None


def extract_tar(archive: Path, folder: Path) -> None:
    """Extracts a tar of any compression; names that leave the folder, by path or by link, are refused.

    Raises:
        StagingError: the file is no tar archive, or holds an unsafe member, which is named, or more than the disk does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = shutil.disk_usage(folder).free * _SHARE_OF_FREE_DISK

    def safe(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        nonlocal left
        left -= member.size
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), member.name)
        return tarfile.data_filter(member, path)

    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter=safe)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise StagingError(f"{archive.name} cannot be extracted: {error}") from error


def _inside(folder: Path, name: str) -> Path:
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError) as error:
        raise StagingError(f"The S3 key {name!r} is no name for a file: {error}") from error
    if not path.is_relative_to(folder.resolve()):
        raise StagingError(f"The S3 key {name!r} leads out of the folder that it is copied to")
    return path
