"""What stands under an S3 URI at this moment: the identifiers and hashes by which its content is known again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker.staging import Location

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

# More than that is known by the ETags of its objects: nobody waits for gigabytes to be read again.
MOST_HASHED_BYTES = 256 * 1024**2
_LONGEST_PROPERTY = 2500
_CHUNK = 1024**2


@dataclass(frozen=True)
class Content:
    """The objects under an S3 URI.

    Attributes:
        location: where they are.
        objects: Key, ETag and Bytes of each, in the order of their keys.
    """

    location: Location
    objects: tuple[dict, ...]

    @property
    def manifest_hash(self) -> str:
        """The SHA-256 of key, ETag and size of each object: the same files under the same keys have the same."""
        lines = (f"{one['Key']}\t{one['ETag']}\t{one['Bytes']}\n" for one in self.objects)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def identifiers(self) -> list[dict]:
        """SourceTypes of its artifact: the ETag of one object (`S3ETag`), the hash of many (`Custom`), none of none."""
        if len(self.objects) == 1:
            return [{"SourceIdType": "S3ETag", "Value": self.objects[0]["ETag"]}]
        return [{"SourceIdType": "Custom", "Value": self.manifest_hash}] if self.objects else []

    def properties(self, server: Server) -> dict[str, str]:
        """Properties of its artifact: Objects and Bytes (how many), SHA256 (of the object, or the hash of many), and
        Manifest: JSON with Key, ETag, Bytes and SHA256 of each object, where there is room for it.

        The content is read, unless it is larger than MOST_HASHED_BYTES.
        """
        size, objects = sum(one["Bytes"] for one in self.objects), list(self.objects)
        if size <= MOST_HASHED_BYTES:
            objects = [one | {"SHA256": _sha256(server, self.location.bucket, one)} for one in objects]
        alone = objects[0] if len(objects) == 1 else {}
        properties = {
            "Objects": str(len(objects)),
            "Bytes": str(size),
            "SHA256": alone.get("SHA256") or self.manifest_hash,
            "Manifest": json.dumps(objects),
        }
        return {name: value for name, value in properties.items() if len(value) <= _LONGEST_PROPERTY}


def find(server: Server, location: Location) -> Content:
    """What stands there now, which may be nothing."""
    pages = server.client("s3").get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key)
    try:
        found = [item for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
        found = []
    told = ({"Key": item["Key"], "ETag": item["ETag"].strip('"'), "Bytes": item["Size"]} for item in found)
    return Content(location, tuple(told))


def _sha256(server: Server, bucket: str, one: dict) -> str:
    """Of an object's content; the object has changed meanwhile where this raises."""
    digest = hashlib.sha256()
    body = server.client("s3").get_object(Bucket=bucket, Key=one["Key"], IfMatch=one["ETag"])["Body"]
    for chunk in body.iter_chunks(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
