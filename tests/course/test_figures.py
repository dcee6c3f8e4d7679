"""The page of figures shows what its file holds, and names the machine."""

import json
import re

import pytest

from helpers.course import figures

PAGE, FILE = "book/reference/figures.md", "book/reference/figures.json"


def test_every_figure_of_the_file_is_shown_with_its_bar(project):
    measured = json.loads((project / FILE).read_text())
    text = "\n".join(figures.topics(measured["results"]))
    for name, result in measured["results"].items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert f"| {figures.figure(result['value'], result['unit'])} |" in row
        assert f"\N{NO-BREAK SPACE}{figures.figure(result['bar'], result['unit'])} |" in row
        for key, value in result["details"].items():
            assert f"{key.removesuffix('_ms').replace('_', ' ')} {figures.figure(value)}" in row


def test_the_machine_is_named(project):
    measured = json.loads((project / FILE).read_text())
    told = figures.machine(measured)
    for member in ("cores", "memory_gib", "processor", "python"):
        assert str(measured["machine"][member]) in told
    assert measured["date"] in told and f"{measured['load']:.1f}" in told


def test_the_page_itself_holds_no_figure(project):
    text = (project / PAGE).read_text()
    assert "```{figures} figures.json" in text
    assert re.findall(r"\d+", text.replace("kill -9", "")) == []


def test_one_topic_is_shown_alone(project):
    results = json.loads((project / FILE).read_text())["results"]
    [text] = figures.topics(results, "Grading")
    names = {name for name, result in results.items() if result["topic"] == "Grading"}
    assert len(names) >= 4 and [name for name in results if f"| {name} |" in text] == [n for n in results if n in names]
    with pytest.raises(KeyError):
        figures.topics(results, "nothing")


def test_the_plan_of_a_large_class_follows_from_what_was_measured():
    rate = {"details": {"ours_per_minute": 100}}
    measured = {
        "machine": {"cores": 2},
        "results": {"A lab": rate, "Memory of a worker": {"value": 140, "details": {}}},
    }
    text = figures.grading_plan(measured).replace("\N{NO-BREAK SPACE}", " ")
    assert "| A lab: 50 a minute and core | 5 min | 50 min | 7 min | 2 min |" in text
    assert "2 workers: 0.28 GB; 16 workers: 2.24 GB; 64 workers: 8.96 GB" in text
    rate["details"]["ours_per_minute"] = 3
    assert "| 2.78 h | 27.8 h | 3.47 h | 53 min |" in figures.grading_plan(measured).replace("\N{NO-BREAK SPACE}", " ")


def test_the_guide_shows_figures_and_types_none(project):
    text = (project / "book/instructor/grading.md").read_text()
    assert "```{grading-plan} ../reference/figures.json" in text
    assert re.search(r"```{figures} \.\./reference/figures\.json\n:topic: Grading", text)
    assert re.findall(r"\d+(?:\.\d+)? (?:times|seconds|minutes|hours|a minute|MB|GB)", text) == []


def test_numbers_are_short():
    assert [figures.number(value) for value in (0.3321, 1.5, 2, 12.345, 1487.89, 3000.0)] == [
        *("0.332", "1.5", "2"),
        *("12.3", "1,488", "3,000"),
    ]
