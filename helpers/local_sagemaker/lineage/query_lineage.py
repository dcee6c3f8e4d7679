"""QueryLineage: what an entity came from and what came of it, over many associations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from helpers.local_sagemaker import kinds, listing
from helpers.local_sagemaker.lineage import associations
from helpers.local_sagemaker.operations import operation

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

MAX_DEPTH = 10
MAX_RESULTS = 50
# What leads on from some entities, and on which side of an association its end is.
_FORWARD = ("SELECT source, destination, type FROM associations WHERE source IN (SELECT value FROM json_each(?))", 1)
_BACK = ("SELECT source, destination, type FROM associations WHERE destination IN (SELECT value FROM json_each(?))", 0)
_WAYS = {"Descendants": (_FORWARD,), "Ascendants": (_BACK,), "Both": (_FORWARD, _BACK)}

Edge = tuple[str, str, str]  # source, destination, association type


@operation("QueryLineage")
def query_lineage(server: Server, request: dict) -> dict:
    """One page of the entities that a walk along the associations finds, and of the edges between them.

    The filters pick from what is found; they do not stop the walk. With IncludeEdges, what lies on the way to a picked
    entity is told too, the start with it.
    """
    starts = request.get("StartArns", [])
    for arn in starts:
        associations.entity(server, arn)
    depths, edges = walk(server, starts, request.get("Direction", "Both"), int(request.get("MaxDepth", MAX_DEPTH)))
    picked = depths.keys() - set(starts)
    if filters := request.get("Filters"):
        picked = {arn for arn, vertex in _vertices(server, picked).items() if _matches(vertex, filters)}
    if request.get("IncludeEdges", True):
        picked = _on_the_way(picked, depths, edges) | set(filter(_is_lineage, starts))
    else:
        edges = set()
    order = sorted((depths[arn], arn) for arn in picked)
    found, token = _page(order, request)
    vertices = _vertices(server, [arn for _, arn in found])
    place = {arn: number for number, (_, arn) in enumerate(order)}
    told = {place[arn] for _, arn in found}
    # An edge is told with the later of its ends, so that all pages together tell it once.
    on_page = sorted(edge for edge in edges if {*edge[:2]} <= picked and max(place[edge[0]], place[edge[1]]) in told)
    return {
        "Vertices": [_told(arn, *vertex) for arn, vertex in vertices.items()],
        "Edges": [dict(zip(("SourceArn", "DestinationArn", "AssociationType"), edge, strict=True)) for edge in on_page],
        "NextToken": token,
    }


def walk(server: Server, starts: list[str], direction: str, max_depth: int) -> tuple[dict[str, int], set[Edge]]:
    """The entities that can be reached, each with its distance, and the associations that were followed.

    Args:
        server: the server.
        starts: ARNs; with none of them, every entity that has an association is found.
        direction: Ascendants, Descendants or Both.
        max_depth: the longest distance.
    """
    if not starts:
        edges = set(server.store.execute("SELECT source, destination, type FROM associations"))
        return {arn: 0 for edge in edges for arn in edge[:2] if _is_lineage(arn)}, edges
    depths, edges, reached = dict.fromkeys(starts, 0), set(), list(starts)
    for depth in range(1, max_depth + 1):
        for statement, side in _WAYS[direction]:
            followed = server.store.execute(statement, (json.dumps(reached),))
            edges |= {edge for edge in followed if _is_lineage(edge[side])}
        found = {arn: depth for edge in edges for arn in edge[:2] if arn not in depths}
        depths |= found
        reached = list(found)
        if not reached:
            break
    return depths, edges


def _is_lineage(arn: str) -> bool:
    """Experiments can be associated, and are no vertices of lineage."""
    return ":experiment/" not in arn


def _vertices(server: Server, arns: Iterable[str]) -> dict[str, tuple[str, dict]]:
    """Kind and record of those entities that are still there."""
    found = {}
    for arn in arns:
        kind, name = kinds.parse(arn)
        if record := server.store.get(kind.name, name):
            found[arn] = (kind.name, record)
    return found


def _on_the_way(picked: set[str], depths: dict[str, int], edges: set[Edge]) -> set[str]:
    """What lies on a shortest way from a start to what was picked."""
    nearer: dict[str, list[str]] = {}
    for source, destination, _ in edges:
        for end, other in ((source, destination), (destination, source)):
            if depths[other] < depths[end]:
                nearer.setdefault(end, []).append(other)
    found, reached = set(picked), list(picked)
    while reached:
        reached = list({arn for end in reached for arn in nearer.get(end, ())} - found)
        found |= {*reached}
    return found


def _matches(vertex: tuple[str, dict], filters: dict) -> bool:
    kind, record = vertex
    if kind not in filters.get("LineageTypes", [kind]):
        return False
    if "Types" in filters and _type(kind, record) not in filters["Types"]:
        return False
    created, modified = record["CreationTime"], record["LastModifiedTime"]
    if not filters.get("CreatedAfter", created) <= created <= filters.get("CreatedBefore", created):
        return False
    if not filters.get("ModifiedAfter", modified) <= modified <= filters.get("ModifiedBefore", modified):
        return False
    properties = filters.get("Properties")
    return not properties or bool(properties.items() & record.get("Properties", {}).items())


def _type(kind: str, record: dict) -> str:
    """The type of an entity in lineage: that of ListAssociations, without the service's name."""
    return associations.type_of(kind, record).removeprefix("SageMaker")


def _told(arn: str, kind: str, record: dict) -> dict:
    return {"Arn": arn, "Type": _type(kind, record), "LineageType": kind}


def _page(order: list[tuple[int, str]], request: dict) -> tuple[list[tuple[int, str]], str | None]:
    asked = {member: value for member, value in request.items() if member not in ("MaxResults", "NextToken")}
    if "NextToken" in request:
        last = tuple(listing.decode_token(request["NextToken"], [asked]))
        order = [position for position in order if position > last]
    size = int(request.get("MaxResults") or MAX_RESULTS)
    token = listing.encode_token([asked], list(order[size - 1])) if len(order) > size else None
    return order[:size], token
