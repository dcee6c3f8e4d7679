"""Lineage: what something came from and what came of it, as a graph and a table."""

from __future__ import annotations

from helpers.local_sagemaker.console import addresses, graphs
from helpers.local_sagemaker.console.visits import RefusedError, Visit, page

_KINDS = {"Artifact": "ListArtifacts", "Action": "ListActions", "Context": "ListContexts"}
_SEGMENTS = {"artifact": "Artifact", "action": "Action", "context": "Context", "experiment-trial-component": "Job"}
_LONGEST_LABEL = 26
_MOST_BOXES = 60


@page("/lineage", "lineage.html")
def lineage(visit: Visit) -> dict:
    """Ancestors and descendants of the thing with the ARN or the URI that the address names."""
    of = visit.query.get("arn", "").strip()
    context = {"section": "lineage", "of": of, "back": addresses.of_arn(of) or addresses.of_uri(of)}
    if not visit.has("QueryLineage"):
        return context | {"message": "This server keeps no lineage: it does not answer QueryLineage."}
    if not of:
        return context | {"message": "Give the ARN of a job, a model package or an endpoint, or the URI of an object."}
    starts = _entities(visit, of)
    if not starts:
        return context | {"message": f"Nothing is known of where {of} came from, or of what came of it."}
    try:
        vertices, edges = _found(visit, starts)
    except RefusedError as error:
        return context | {"message": str(error)}
    rows = {arn: _row(visit, arn, vertex) for arn, vertex in vertices.items()}
    for arn in starts:
        rows.setdefault(arn, _row(visit, arn, {}))
    shown = dict(list(rows.items())[:_MOST_BOXES])
    return context | {
        "rows": rows,
        "starts": starts,
        "graph": _graph(shown, edges, starts),
        "left_out": len(rows) - len(shown),
    }


def _entities(visit: Visit, of: str) -> list[str]:
    """The ARNs of the lineage entities that stand for something."""
    if of.startswith("arn:") and of.split(":", 5)[-1].partition("/")[0] in _SEGMENTS:
        return [of]
    found = []
    for kind, operation in _KINDS.items():
        for each in visit.all(operation, f"{kind}Summaries", SourceUri=of):
            found.append(each[f"{kind}Arn"])
    for each in (
        visit.all("ListTrialComponents", "TrialComponentSummaries", SourceArn=of) if of.startswith("arn:") else ()
    ):
        found.append(each["TrialComponentArn"])
    return found


def _found(visit: Visit, starts: list[str]) -> tuple[dict[str, dict], list[dict]]:
    vertices, edges, request = {}, [], {"StartArns": starts, "Direction": "Both", "IncludeEdges": True}
    while True:
        answer = visit.read("QueryLineage", **request)
        vertices |= {each["Arn"]: each for each in answer.get("Vertices", [])}
        edges += answer.get("Edges", [])
        if "NextToken" not in answer:
            return vertices, edges
        request["NextToken"] = answer["NextToken"]


def _row(visit: Visit, arn: str, vertex: dict) -> dict:
    """What the graph and the table say of an entity."""
    segment, _, name = arn.split(":", 5)[-1].partition("/")
    described: dict = {}
    if (kind := _SEGMENTS.get(segment)) in _KINDS:
        member = f"{kind}Arn" if kind == "Artifact" else f"{kind}Name"
        described = visit.read(f"Describe{kind}", **{member: arn if kind == "Artifact" else name})
    uri = described.get("Source", {}).get("SourceUri", "")
    return {
        "kind": vertex.get("LineageType", kind or segment),
        "type": vertex.get("Type", ""),
        "name": described.get(f"{kind}Name") or _last(uri) or name,
        "uri": uri,
        "address": addresses.of_arn(uri) or addresses.of_uri(uri) or addresses.of_arn(arn),
        "lineage": addresses.to("lineage", arn=arn),
    }


def _last(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def _graph(rows: dict[str, dict], edges: list[dict], starts: list[str]) -> dict:
    labels = {
        (edge["SourceArn"], edge["DestinationArn"]): ""
        for edge in edges
        if edge["SourceArn"] in rows and edge["DestinationArn"] in rows and edge["SourceArn"] != edge["DestinationArn"]
    }
    drawn = graphs.layered(rows, labels)
    boxes = {
        arn: {
            "label": row["name"] if len(row["name"]) <= _LONGEST_LABEL else f"{row['name'][: _LONGEST_LABEL - 1]}…",
            "type": f"{row['kind']} {row['type']}".strip(),
            "status": "",
            "is_start": arn in starts,
            "address": row["lineage"],
        }
        for arn, row in rows.items()
    }
    words = [f"{rows[source]['name']} leads to {rows[target]['name']}" for source, target in labels]
    return {
        "drawing": drawn,
        "boxes": boxes,
        "box": (graphs.WIDTH, graphs.HEIGHT),
        "description": f"Graph of {len(boxes)} entities. {'; '.join(words)}.",
    }
