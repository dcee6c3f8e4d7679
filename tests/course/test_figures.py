"""The page of figures shows what its file holds, and names the machine."""

import json
import re

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


def test_numbers_are_short():
    assert [figures.number(value) for value in (0.3321, 1.5, 2, 12.345, 1487.89, 3000.0)] == [
        *("0.332", "1.5", "2"),
        *("12.3", "1,488", "3,000"),
    ]
