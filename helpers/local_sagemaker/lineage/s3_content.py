"""What stands under an S3 URI at this moment: the identifiers and hashes by which its content is known again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker import staging

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

# More than that is known by the ETags of its objects: nobody waits for gigabytes to be read again.
MOST_HASHED_BYTES = 256 * 1024**2
_LONGEST_PROPERTY = 2500
_CHUNK = 1024**2


def identify(server: Server, uri: str) -> tuple[list[dict], dict[str, str]]:
    """SourceTypes and properties of the artifact for what stands under a URI, both empty where that is nothing.

    One object is identified by its ETag (`S3ETag`). Many are by the SHA-256 of their manifest (`Custom`), the sorted
    list of key, ETag and size of each, so that the same files under the same keys are the same data.

    Properties: Objects and Bytes (how many), SHA256 (of the object, or of the manifest), and Manifest: JSON with the
    Key, ETag, Bytes and SHA256 of each object, where there is room for it.
    """
    try:
        objects = _objects(server, staging.parse(uri))
    except staging.StagingError:
        return [], {}
    if not objects:
        return [], {}
    size = sum(one["Bytes"] for one in objects)
    if size <= MOST_HASHED_BYTES:
        objects = [one | {"SHA256": _sha256(server, staging.parse(uri).bucket, one)} for one in objects]
    manifest = hashlib.sha256()
    for one in objects:
        manifest.update(f"{one['Key']}\t{one['ETag']}\t{one['Bytes']}\n".encode())
    alone = objects[0] if len(objects) == 1 else {}
    properties = {
        "Objects": str(len(objects)),
        "Bytes": str(size),
        "SHA256": alone.get("SHA256") or manifest.hexdigest(),
        "Manifest": json.dumps(objects),
    }
    identifier = ("S3ETag", alone["ETag"]) if alone else ("Custom", manifest.hexdigest())
    return [dict(zip(("SourceIdType", "Value"), identifier, strict=True))], {
        name: value for name, value in properties.items() if len(value) <= _LONGEST_PROPERTY
    }


def _objects(server: Server, location: staging.Location) -> list[dict]:
    pages = server.client("s3").get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key)
    try:
        found = [item for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":
            return []
        raise
    return [{"Key": item["Key"], "ETag": item["ETag"].strip('"'), "Bytes": item["Size"]} for item in found]


def _sha256(server: Server, bucket: str, one: dict) -> str:
    """Of an object's content; the object changed meanwhile where this raises."""
    digest = hashlib.sha256()
    body = server.client("s3").get_object(Bucket=bucket, Key=one["Key"], IfMatch=one["ETag"])["Body"]
    for chunk in body.iter_chunks(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
