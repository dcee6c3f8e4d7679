"""What the console draws: layers of graphs, and charts with their words."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest

from helpers.local_sagemaker.console import charts, graphs, rendering, s3_pages
from helpers.local_sagemaker.console.charts import Series


def test_every_edge_of_a_graph_leads_downwards_and_boxes_do_not_overlap():
    edges = {("a", "b"): "", ("a", "c"): "", ("b", "d"): "", ("c", "d"): "", ("d", "e"): "True", ("d", "f"): "False"}
    drawn = graphs.layered("abcdef", edges)
    places = {box.name: box for box in drawn.boxes}
    assert all(places[source].y + graphs.HEIGHT < places[target].y for source, target in edges)
    for one, other in itertools.combinations(drawn.boxes, 2):
        assert abs(one.x - other.x) >= graphs.WIDTH or abs(one.y - other.y) >= graphs.HEIGHT, (one, other)
    assert {line.label for line in drawn.lines} == {"", "True", "False"}
    assert max(box.x + graphs.WIDTH for box in drawn.boxes) <= drawn.width
    assert max(box.y + graphs.HEIGHT for box in drawn.boxes) <= drawn.height


def test_an_edge_that_longer_ways_imply_is_not_drawn_unless_it_has_a_label():
    edges = {("a", "b"): "", ("b", "c"): "", ("a", "c"): ""}
    assert len(graphs.layered("abc", edges).lines) == 2
    assert len(graphs.layered("abc", edges | {("a", "c"): "False"}).lines) == 3


def test_neighbours_stand_below_each_other_so_that_lines_do_not_cross():
    drawn = graphs.layered(["a", "b", "under b", "under a"], {("a", "under a"): "", ("b", "under b"): ""})
    x = {box.name: box.x for box in drawn.boxes}
    assert (x["a"] < x["b"]) == (x["under a"] < x["under b"])


def test_a_line_that_passes_a_row_goes_around_its_boxes():
    drawn = graphs.layered("abc", {("a", "b"): "", ("b", "c"): "", ("a", "c"): "False"})
    long_way = next(line for line in drawn.lines if line.label)
    (middle,) = [box for box in drawn.boxes if box.name == "b"]
    passed = float(re.search(r"(\d+) \d+V", long_way.path)[1])
    assert not middle.x <= passed <= middle.x + graphs.WIDTH


def test_a_graph_of_nothing_is_empty():
    assert graphs.layered([], {}).boxes == []


def test_a_chart_says_in_words_what_it_draws():
    chart = charts.line_chart(
        "Latency", [Series("p99", [(0, 1.0), (1, None), (2, 5.0), (3, 4.0)])], unit="ms", is_time=False
    )
    assert chart.description == "Latency, 0 to 3. latest 4, lowest 1, highest 5 ms."
    assert (chart.top, chart.bottom) == ("5", "0")
    assert chart.lines[0].path.count("M") == 2, "a gap cuts the line"
    assert chart.lines[0].path.startswith("M0.0 80.0h0"), "a value alone is a dot"


def test_a_threshold_is_within_the_scale():
    chart = charts.line_chart("Errors", [Series("5xx", [(0, 1.0), (1, 2.0)])], threshold=10)
    assert chart.threshold == 0
    assert "Threshold 10." in chart.description


def test_a_chart_without_data_says_so():
    chart = charts.line_chart("Latency", [Series("p50", [(0, None)])])
    assert chart.is_empty
    assert "no data" in chart.description


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (rendering.number(12345), "12,345"),
        (rendering.number(0.93123), "0.9312"),
        (rendering.number(float("inf")), "inf"),
        (rendering.size(812), "812 B"),
        (rendering.size(3 * 2**20), "3.0 MiB"),
        (rendering.duration(0.42), "0.4 s"),
        (rendering.duration(200), "3 min 20 s"),
        (rendering.duration(7500), "2 h 5 min"),
        (rendering.usd(0.23), "$0.23"),
        (rendering.usd(0.00001), "< $0.0001"),
        (rendering.usd(1234.5), "$1,234.50"),
    ],
)
def test_numbers_are_written_for_people(written, shown):
    assert written == shown


@pytest.mark.parametrize(
    ("key", "content", "is_whole", "kind"),
    [
        ("a.txt", b"plain", True, "text"),
        ("a.csv", b"a,b\n1,2\n", True, "table"),
        ("a.csv", b"no table", True, "text"),
        ("a.csv", b'a,b\n1,"open', False, "table"),
        ("a.json", b'{"a": 1}', True, "text"),
        ("a.json", b"{broken", True, "text"),
        ("a.json", b"[" * 60_000, True, "text"),
        ("a.bin", b"\x1f\x8b\x00\x01", True, "binary"),
        ("a.txt", b"\xff\xfe\xfd\xfc", False, "binary"),
        ("a.txt", b"abc" + "ä".encode()[:1], False, "text"),
        ("a.txt", b"", True, "empty"),
    ],
)
def test_the_head_of_an_object_is_shown_by_what_it_is(key, content, is_whole, kind):
    assert s3_pages.preview(key, content, is_whole)["kind"] == kind


def test_a_cut_row_of_a_table_is_left_out():
    assert s3_pages.preview("a.csv", b"a,b\n1,2\n3,", False)["rows"] == [["a", "b"], ["1", "2"]]


def test_the_wheel_holds_every_template_and_static_file(project):
    package = "helpers.local_sagemaker.console"
    declared = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][package]
    folder = Path(rendering.__file__).parent
    packed = {path for pattern in declared for path in folder.glob(pattern)}
    assert packed == {path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
