"""Tags of every kind of resource, by ARN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.state import Store

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

MAX_TAGS = 50


def add(store: Store, arn: str, tags: list[dict]) -> None:
    """Adds tags, or changes the values of those that are there.

    Raises:
        AwsError: a key is AWS's own, or the resource would have more than 50 tags.
    """
    if any(tag["Key"].lower().startswith("aws:") for tag in tags):
        raise errors.validation("aws: prefixed tag key names are not allowed for external use.")
    with store.transaction() as connection:
        for tag in tags:
            connection.execute(
                "INSERT INTO tags VALUES (:arn, :key, :value, (SELECT 1 + COALESCE(MAX(position), 0) FROM tags))"
                " ON CONFLICT (arn, key) DO UPDATE SET value = :value",
                {"arn": arn, "key": tag["Key"], "value": tag["Value"]},
            )
        if len(of(store, arn)) > MAX_TAGS:
            raise errors.limit_exceeded(f"The resource {arn} would have more than {MAX_TAGS} tags.")


def of(store: Store, arn: str) -> list[dict]:
    """The tags of a resource, oldest first."""
    rows = store.execute("SELECT key, value FROM tags WHERE arn = ? ORDER BY position", (arn,))
    return [{"Key": key, "Value": value} for key, value in rows]


def delete(store: Store, arn: str, keys: list[str] | None = None) -> None:
    """Removes the tags with these keys, or all of them."""
    with store.transaction() as connection:
        for key in keys if keys is not None else [tag["Key"] for tag in of(store, arn)]:
            connection.execute("DELETE FROM tags WHERE arn = ? AND key = ?", (arn, key))


@operation("AddTags", stores=True)
def add_tags(server: Server, request: dict) -> dict:
    _require_resource(server, request["ResourceArn"])
    add(server.store, request["ResourceArn"], request["Tags"])
    return {"Tags": of(server.store, request["ResourceArn"])}


@operation("ListTags", stores=True)
def list_tags(server: Server, request: dict) -> dict:
    _require_resource(server, request["ResourceArn"])
    if "NextToken" in request:
        # A page holds at least 50 tags, and a resource at most: there is no second one.
        raise errors.validation("Invalid NextToken.")
    return {"Tags": of(server.store, request["ResourceArn"])}


@operation("DeleteTags", stores=True)
def delete_tags(server: Server, request: dict) -> None:
    _require_resource(server, request["ResourceArn"])
    delete(server.store, request["ResourceArn"], request["TagKeys"])


def _require_resource(server: Server, arn: str) -> None:
    if (found := kinds.parse(arn)) is None:
        raise errors.validation(f"The ARN {arn} is not of a resource that the local SageMaker has.")
    kind, name = found
    server.store.require(kind.name, name)
