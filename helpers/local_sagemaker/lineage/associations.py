"""Associations: directed links from what contributed to what came of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, kinds, listing
from helpers.local_sagemaker.lineage import entities
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

_MEMBERS = ("SourceArn", "DestinationArn", "AssociationType", "SourceType", "DestinationType", "CreationTime")


@operation("AddAssociation")
def add_association(server: Server, request: dict) -> dict:
    """Links two entities; there is one association from one to the other."""
    source, destination = request["SourceArn"], request["DestinationArn"]
    if not add(server, source, destination, request["AssociationType"]):
        raise errors.validation(f"Association between {source} and {destination} already exists.")
    return {"SourceArn": source, "DestinationArn": destination}


def add(server: Server, source: str, destination: str, association_type: str) -> bool:
    """Links two entities by their ARNs; returns False where they were linked before.

    Raises:
        AwsError: one of them does not exist, or they are the same.
    """
    if source == destination:
        raise errors.validation(f"{source} cannot be associated with itself.")
    with server.store.transaction() as connection:
        ends = (type_of(*entity(server, source)), type_of(*entity(server, destination)))
        row = (source, destination, association_type, *ends, time.time())
        added = connection.execute("INSERT OR IGNORE INTO associations VALUES (?, ?, ?, ?, ?, ?)", row)
        return added.rowcount > 0


def entity(server: Server, arn: str) -> tuple[str, dict]:
    """Kind and record of the entity that an ARN names.

    Raises:
        AwsError: `ResourceNotFound`.
    """
    found = kinds.parse(arn)
    record = found and server.store.get(found[0].name, found[1])
    if not record:
        raise errors.resource_not_found(f"Resource '{arn}' does not exist.")
    return found[0].name, record


def type_of(kind: str, record: dict) -> str:
    """The type of an entity in ListAssociations, such as DataSet or SageMakerTrainingJob."""
    if kind in ("Experiment", "TrialComponent"):
        return record.get("Source", {}).get("SourceType", f"SageMaker{kinds.of(kind).segment.title().replace('-', '')}")
    return record[f"{kind}Type"]


@operation("DeleteAssociation")
def delete_association(server: Server, request: dict) -> dict:
    """Removes a link."""
    source, destination = request["SourceArn"], request["DestinationArn"]
    with server.store.transaction() as connection:
        ends = (source, destination)
        if not connection.execute("DELETE FROM associations WHERE source = ? AND destination = ?", ends).rowcount:
            raise errors.resource_not_found(f"Association between {source} and {destination} does not exist.")
    return {"SourceArn": source, "DestinationArn": destination}


@operation("ListAssociations")
def list_associations(server: Server, request: dict) -> dict:
    """One page of summaries, by either end, the types of the ends, the association's type, and time."""
    source, destination = request.get("SourceArn"), request.get("DestinationArn")
    if source:
        rows = server.store.execute("SELECT * FROM associations WHERE source = ?", (source,))
    elif destination:
        rows = server.store.execute("SELECT * FROM associations WHERE destination = ?", (destination,))
    else:
        rows = server.store.execute("SELECT * FROM associations")
    every = [dict(zip(_MEMBERS, row, strict=True)) | {"_Ends": f"{row[0]} {row[1]}"} for row in rows]
    records = [one for one in every if all(request.get(name, one[name]) == one[name] for name in _MEMBERS[:-1])]
    found, token = listing.page(records, {"MaxResults": entities.DEFAULT_PAGE} | request, "_Ends")
    named = [
        record
        | _named("SourceName", entity(server, record["SourceArn"]))
        | _named("DestinationName", entity(server, record["DestinationArn"]))
        for record in found
    ]
    return listing.response("AssociationSummaries", named, token)


def _named(member: str, end: tuple[str, dict]) -> dict:
    kind, record = end
    return {member: record[f"{kind}Name"]} if f"{kind}Name" in record else {}
