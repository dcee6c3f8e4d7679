"""What artifacts, contexts and actions have in common: they are kept by name, have a source, properties and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds, listing

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

DEFAULT_PAGE = 10
DEFAULT_GROUP = "sagemaker-default-lineage-group"
_PAGE = {"MaxResults": DEFAULT_PAGE}


def register(kind: str, segment: str) -> str:
    """Makes a kind of entity known, with the words that AWS has for all of them; `segment` is of its ARNs."""
    return kinds.register(
        kind,
        segment,
        segment.removeprefix("experiment-").replace("-", " "),
        taken=(
            kinds.VALIDATION,
            "{Words} names must be unique within an AWS account and region. {Words} with name ({name}) already exists.",
        ),
        missing=(kinds.NOT_FOUND, "{Words} '{arn}' does not exist."),
    )


def key(name_or_arn: str) -> str:
    """The name in the store of what a request names: AWS tells names of entities apart without their case."""
    return name_or_arn.rpartition("/")[2].lower()


def create(server: Server, kind: str, name: str, record: dict, source: str | None, tags: list[dict]) -> str:
    """Keeps a new entity, and returns its ARN.

    Args:
        server: the server.
        kind: Artifact, Context, Action, Experiment, Trial or TrialComponent.
        name: in the store, see `key`.
        record: what Describe tells, without the ARN.
        source: the URI or ARN by which it is found with `with_source`.
        tags: as in a request.

    Raises:
        AwsError: the name is taken.
    """
    arn = kinds.of(kind).arn(name)
    with server.store.transaction() as connection:
        server.store.put(kind, name, record | {f"{kind}Arn": arn})
        if source:
            connection.execute("INSERT OR IGNORE INTO sources VALUES (?, ?, ?)", (source, kind, name))
        server.add_tags(arn, tags)
    return arn


def with_source(server: Server, kind: str, source: str) -> list[dict]:
    """The records of the entities of a kind that have this source."""
    names = server.store.execute("SELECT name FROM sources WHERE uri = ? AND kind = ?", (source, kind))
    return [server.store.require(kind, name) for (name,) in names]


def page(server: Server, kind: str, request: dict) -> tuple[list[dict], str | None]:
    """One page of the List operation of artifacts, contexts or actions; see `listing.page`."""
    wanted = request.get(f"{kind}Type")
    uri = request.get("SourceUri")
    records = server.store.list(kind) if uri is None else with_source(server, kind, uri)
    found = [record for record in records if wanted in (None, record[f"{kind}Type"])]
    return listing.page(found, _PAGE | request, f"{kind}Arn" if kind == "Artifact" else f"{kind}Name")


def update(server: Server, kind: str, name: str, request: dict, members: tuple[str, ...]) -> None:
    """Writes the members that a request has; Properties replace those that are there, and some of them can be removed.

    Raises:
        AwsError: there is no such entity.
    """
    changes = {member: request[member] for member in members if member in request}
    with server.store.transaction():
        properties = request.get("Properties", server.store.require(kind, name).get("Properties", {}))
        removed = request.get("PropertiesToRemove", [])
        kept = {key: value for key, value in properties.items() if key not in removed}
        server.store.update(kind, name, **changes, Properties=kept or None)


def delete(server: Server, kind: str, name: str) -> None:
    """Forgets an entity that has no associations.

    Raises:
        AwsError: there is no such entity, or it has associations.
    """
    with server.store.transaction() as connection:
        arn = server.store.require(kind, name)[f"{kind}Arn"]
        linked = "SELECT 1 FROM associations WHERE source = :arn OR destination = :arn LIMIT 1"
        if connection.execute(linked, {"arn": arn}).fetchone():
            raise errors.validation(f"Cannot delete {arn}: it has associations. Delete them first.")
        forget(server, kind, name)


def forget(server: Server, kind: str, name: str) -> None:
    """Removes an entity with its associations.

    Raises:
        AwsError: there is no such entity.
    """
    arn = kinds.of(kind).arn(name)
    with server.store.transaction() as connection:
        server.store.delete(kind, name)
        connection.execute("DELETE FROM associations WHERE source = :arn OR destination = :arn", {"arn": arn})
        connection.execute("DELETE FROM sources WHERE kind = ? AND name = ?", (kind, name))


def described(server: Server, record: dict) -> dict:
    """The record as a Describe operation tells it."""
    return record | {"LineageGroupArn": server.arn("lineage-group", DEFAULT_GROUP)}
