"""Data between S3 and folders, and tar archives made and extracted."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_HTTPS = re.compile(
    r"https?://(?P<bucket>[a-z0-9][a-z0-9.-]+)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?/(?P<key>.*)"
)
_HTTPS_PATH = re.compile(r"https?://s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?/(?P<bucket>[^/]+)/(?P<key>.*)")
_AT_ONCE = 4


class StagingError(Exception):
    """Data that cannot be copied; the message is worded as AWS words it."""


@dataclass(frozen=True)
class Location:
    """A place in S3: an object, or all objects whose key begins with `key`."""

    bucket: str
    key: str

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
    pages = server.client("s3").get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key)
    try:
        return [item["Key"] for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]
    except ClientError as error:
        raise StagingError(_worded(error, location)) from error


def download_prefix(server: Server, location: Location, folder: Path, keys: Iterable[str] | None = None) -> list[Path]:
    """Copies the objects under a prefix into a folder; keys keep the part behind the prefix's last slash.

    Args:
        location: an object or a prefix.
        folder: made when missing.
        keys: copy only these (for a sharded channel); by default all under the prefix.

    Raises:
        StagingError: the bucket is missing, or nothing is stored under the prefix.
    """
    keys = list_keys(server, location) if keys is None else list(keys)
    if not keys:
        raise StagingError(
            f"No S3 objects found under S3 URL {str(location)!r}. Please ensure that the bucket exists in the selected "
            'region (us-east-1), that objects exist under that S3 prefix, and that the role has "s3:ListBucket" '
            f"permissions on bucket {location.bucket!r}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    base = location.key.rpartition("/")[0]
    pairs = [(key, _inside(folder, key.removeprefix(base).lstrip("/") or Path(key).name)) for key in keys]
    with ThreadPoolExecutor(min(_AT_ONCE, len(pairs))) as pool:
        list(pool.map(lambda pair: _download(server, location.bucket, *pair), pairs))
    return [path for _, path in pairs]


def download_file(server: Server, location: Location, path: Path) -> Path:
    """Copies one object to a file.

    Raises:
        StagingError: the bucket or the object is missing.
    """
    _download(server, location.bucket, location.key, path)
    return path


def _download(server: Server, bucket: str, key: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(server.client("s3").get_object(Bucket=bucket, Key=key)["Body"], file, 1 << 20)
    except ClientError as error:
        path.unlink(missing_ok=True)
        raise StagingError(_worded(error, Location(bucket, key))) from error


def upload_folder(server: Server, folder: Path, location: Location) -> list[str]:
    """Copies every file of a folder under a prefix; returns the keys.

    Raises:
        StagingError: the bucket is missing.
    """
    prefix = location.key.rstrip("/")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
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


def require_bucket(server: Server, location: Location) -> None:
    """Raises StagingError when the bucket is missing."""
    try:
        server.client("s3").head_bucket(Bucket=location.bucket)
    except ClientError as error:
        raise StagingError(_worded(error, location, "HeadBucket")) from error


def _worded(error: ClientError, location: Location, call: str = "") -> str:
    code = error.response["Error"]["Code"]
    if code == "NoSuchBucket" or (code == "404" and call == "HeadBucket"):
        return f"S3 bucket {location.bucket!r} does not exist: The specified bucket does not exist ({location})"
    if code in ("NoSuchKey", "404"):
        return f"The specified key does not exist: {location}"
    return f"{error.operation_name} on {location} failed: {error.response['Error'].get('Message', code)}"


def make_tar(folder: Path, archive: Path) -> None:
    """Packs a folder's content as a gzip tar; an empty or missing folder makes an empty archive."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            tar.add(path, arcname=path.name)


def extract_tar(archive: Path, folder: Path) -> None:
    """Extracts a tar of any compression; names that leave the folder, by path or by link, are refused.

    Raises:
        StagingError: the file is no tar archive, or holds an unsafe member, which is named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise StagingError(f"{archive.name} cannot be extracted: {error}") from error


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise StagingError(f"The S3 key {name!r} leads out of the folder that it is copied to")
    return path
