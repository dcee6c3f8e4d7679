"""QueryLineage finds what an entity came from and what came of it, in any graph, and quickly."""

import itertools
import time
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from helpers.local_sagemaker import app, arns
from helpers.local_sagemaker.lineage.query_lineage import query_lineage
from helpers.local_sagemaker.state import Store

assert app.OPERATION_MODULES, "importing them registers their kinds"


@pytest.fixture
def graph(sm, unique):
    """`graph("a b", "b c")` links entities in these directions; returns their ARNs by name, a to f datasets."""

    def link(*edges):
        made = {}
        for name in sorted({name for edge in edges for name in edge.split()}):
            artifact_type = "DataSet" if name < "g" else "Model"
            source = {"SourceUri": f"s3://{unique(name)}"}
            made[name] = sm.create_artifact(Source=source, ArtifactType=artifact_type, Properties={"name": name})
        found = {name: artifact["ArtifactArn"] for name, artifact in made.items()}
        for source, destination in map(str.split, edges):
            ends = {"SourceArn": found[source], "DestinationArn": found[destination]}
            sm.add_association(**ends, AssociationType="ContributedTo")
        return found

    return link


def ask(sm, graph, start, direction="Both", edges=False, **request):
    """The names of the vertices that a query finds; with `edges` also the edges as pairs of names."""
    names = {arn: name for name, arn in graph.items()}
    found = sm.query_lineage(StartArns=[graph[start]], Direction=direction, IncludeEdges=edges, **request)
    vertices = {names[vertex["Arn"]] for vertex in found["Vertices"]}
    pairs = {names[edge["SourceArn"]] + names[edge["DestinationArn"]] for edge in found["Edges"]}
    assert len(vertices) == len(found["Vertices"])
    assert edges or not pairs
    return ("".join(sorted(vertices)), pairs) if edges else "".join(sorted(vertices))


def test_a_walk_goes_back_forth_and_both_ways(sm, graph):
    linked = graph("a m", "b m", "m x", "b y")
    assert ask(sm, linked, "m", "Ascendants") == "ab"
    assert ask(sm, linked, "m", "Descendants") == "x"
    assert ask(sm, linked, "a", "Descendants") == "mx"
    assert ask(sm, linked, "x", "Ascendants") == "abm"
    assert ask(sm, linked, "a", "Both") == "bmxy"


def test_cycles_end(sm, graph):
    linked = graph("a b", "b c", "c a", "c d")
    assert ask(sm, linked, "a", "Descendants") == "bcd"
    assert ask(sm, linked, "a", "Ascendants", edges=True) == ("abc", {"ab", "bc", "ca"})


def test_a_walk_is_as_long_as_it_may_be_and_ten_at_most(sm, graph):
    letters = "abcdefghijklmn"
    linked = graph(*(f"{here} {there}" for here, there in itertools.pairwise(letters)))
    assert ask(sm, linked, "a", "Descendants", MaxDepth=2) == "bc"
    assert ask(sm, linked, "a", "Descendants") == letters[1:11]
    with pytest.raises(ClientError, match="ValidationException"):
        ask(sm, linked, "a", MaxDepth=11)


def test_edges_tell_the_ways_and_no_more(sm, graph):
    linked = graph("a m", "b m", "m x", "n x")
    assert ask(sm, linked, "x", "Ascendants", edges=True) == ("abmnx", {"am", "bm", "mx", "nx"})
    assert ask(sm, linked, "x", "Ascendants", edges=True, Filters={"Types": ["DataSet"]}) == (
        "abmx",
        {"am", "bm", "mx"},
    )


def test_filters_pick_and_do_not_stop_the_walk(sm, graph, unique):
    linked = graph("a m", "m b", "b n")
    action = sm.create_action(ActionName=unique("train"), ActionType="Training", Source={"SourceUri": "x"})["ActionArn"]
    linked["t"] = action
    sm.add_association(SourceArn=linked["a"], DestinationArn=action, AssociationType="ContributedTo")
    for names, filters in (
        ("bmnt", {}),
        ("mn", {"Types": ["Model"]}),
        ("bmn", {"LineageTypes": ["Artifact"]}),
        ("t", {"LineageTypes": ["Action", "Context"]}),
        ("b", {"Types": ["DataSet", "Training"], "LineageTypes": ["Artifact"]}),
        ("m", {"Properties": {"name": "m", "none": "x"}}),
    ):
        assert ask(sm, linked, "a", "Descendants", Filters=filters) == names
    now = time.time()
    for filters, names in (
        ({"CreatedBefore": now + 60}, "bmnt"),
        ({"CreatedAfter": now + 60}, ""),
        ({"CreatedBefore": now - 600}, ""),
        ({"ModifiedAfter": now + 60}, ""),
        ({"ModifiedBefore": now - 600}, ""),
        ({"ModifiedAfter": now - 600, "ModifiedBefore": now + 60}, "bmnt"),
    ):
        assert ask(sm, linked, "a", "Descendants", Filters=filters) == names


def test_all_pages_together_tell_each_vertex_and_edge_once(sm, graph):
    linked = graph("a m", "b m", "m x", "m y", "x z")
    request = {"StartArns": [linked["m"]], "Direction": "Both", "MaxResults": 2}
    vertices, edges = [], []
    while True:
        page = sm.query_lineage(**request)
        vertices += [vertex["Arn"] for vertex in page["Vertices"]]
        edges += [(edge["SourceArn"], edge["DestinationArn"]) for edge in page["Edges"]]
        if "NextToken" not in page:
            break
        assert len(page["Vertices"]) == 2
        request["NextToken"] = page["NextToken"]
    assert sorted(vertices) == sorted(linked.values())
    assert vertices[0] == linked["m"]
    assert len(edges) == len(set(edges)) == 5
    with pytest.raises(ClientError, match="Invalid NextToken"):
        sm.query_lineage(**request | {"Direction": "Ascendants"})


def test_a_start_must_exist(sm):
    arn = "arn:aws:sagemaker:us-east-1:111122223333:context/nobody"
    with pytest.raises(ClientError, match="ResourceNotFound"):
        sm.query_lineage(StartArns=[arn])


def test_ten_thousand_entities_are_walked_in_a_statement_a_step(tmp_path, monkeypatch):
    store, count = Store(tmp_path / "state.db"), 10_000
    names = [f"{number:032x}" for number in range(count)]
    found = [arns.arn("artifact", name) for name in names]
    with store.transaction() as connection:
        for name, arn in zip(names, found, strict=True):
            store.put("Artifact", name, {"ArtifactArn": arn, "ArtifactType": "DataSet", "Source": {"SourceUri": name}})
        # A tree with five branches everywhere, and a way back from its last leaf to the root.
        ends = [(found[(number - 1) // 5], found[number]) for number in range(1, count)] + [(found[-1], found[0])]
        rows = [(*pair, "Produced", "DataSet", "DataSet", 0) for pair in ends]
        connection.executemany("INSERT INTO associations VALUES (?, ?, ?, ?, ?, ?)", rows)
    statements, execute = [], store.execute
    monkeypatch.setattr(store, "execute", lambda *given: statements.append(given[0]) or execute(*given))
    request = {"StartArns": found[:1], "Direction": "Descendants", "MaxResults": 50}
    began = time.process_time()
    page = query_lineage(SimpleNamespace(store=store), request)
    print(f"a walk over {count} entities: {time.process_time() - began:.3f} s of CPU")
    store.close()
    assert len(page["Vertices"]) == 50
    assert page["NextToken"]
    assert len(statements) <= 10  # one for each level of the tree
