"""Sphinx directive of the course: figures that the benchmarks measured, with the machine that they were measured on."""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from helpers.course.what_runs import parsed, table


class Figures(SphinxDirective):
    """`{figures} figures.json`: the machine in a sentence, then a table of figures and bars for each topic."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the file that `make figures` writes, and show all of it."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        try:
            measured = json.loads(Path(path).read_text())
            markdown = "\n\n".join([machine(measured), *topics(measured["results"])])
        except (OSError, ValueError, KeyError) as error:
            raise self.error(f"figures: {path}: {error!r}") from error
        return parsed(self, markdown)


def machine(measured: dict) -> str:
    """What the figures were measured on, in a sentence."""
    of = measured["machine"]
    return (
        f"Measured on {measured['date']} on one machine with {of['cores']} cores ({of['processor']}) and "
        f"{of['memory_gib']} GiB of memory, under Python {of['python']}; client, server and workers share the cores. "
        f"The load average at the end was {measured['load']:.1f}."
    )


def topics(results: dict[str, dict]) -> list[str]:
    """A heading and a table for each topic, in the order of the file."""
    names = dict.fromkeys(result["topic"] for result in results.values())
    return [f"**{topic}**\n\n{_table({n: r for n, r in results.items() if r['topic'] == topic})}" for topic in names]


def number(value: float) -> str:
    """A figure to three significant digits; whole numbers from 100 on."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def figure(value: object, unit: str = "") -> str:
    """A figure and its unit, on one line."""
    text = number(value) if isinstance(value, int | float) else str(value)
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit else text


def _table(results: dict[str, dict]) -> str:
    rows = []
    for name, result in results.items():
        sign = "≥" if result["at_least"] else "≤"
        more = ", ".join(_detail(key, value) for key, value in result["details"].items())
        bar = f"{sign}\N{NO-BREAK SPACE}{figure(result['bar'], result['unit'])}"
        rows.append((name, figure(result["value"], result["unit"]), bar, more))
    return table(("What", "Measured", "Bar", "In the same run"), rows)


def _detail(key: str, value: object) -> str:
    """`local_ms=0.4` as "local 0.4 ms"."""
    words, unit = (key.removesuffix("_ms"), "ms") if key.endswith("_ms") else (key, "")
    return f"{words.replace('_', ' ')} {figure(value, unit)}"
