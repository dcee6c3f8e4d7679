"""Sphinx directive of the course: figures that the benchmarks measured, with the machine that they were measured on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from helpers.course.what_runs import parsed, table

CLASSES = ((500, 2), (5_000, 2), (5_000, 16), (5_000, 64))  # submissions, and cores that grade them


class Figures(SphinxDirective):
    """`{figures} figures.json`: the machine in a sentence, then a table of figures and bars for each topic.

    With `:topic: Grading`, of this topic only; `{grading-plan} figures.json` says how long large classes take.
    """

    required_arguments = 1
    option_spec: ClassVar[dict] = {"topic": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Read the file that `make figures` writes, and show all of it, or what is asked for."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        try:
            return parsed(self, self.markdown(json.loads(Path(path).read_text())))
        except (OSError, ValueError, KeyError) as error:
            raise self.error(f"{self.name}: {path}: {error!r}") from error

    def markdown(self, measured: dict) -> str:
        """What is shown of a file's content."""
        return "\n\n".join([machine(measured), *topics(measured["results"], self.options.get("topic"))])


class GradingPlan(Figures):
    """`{grading-plan} figures.json`: hours of grading by size of class and number of cores, out of measured rates."""

    def markdown(self, measured: dict) -> str:
        """A table of times, and the memory that its workers need."""
        return grading_plan(measured)


def machine(measured: dict) -> str:
    """What the figures were measured on, in a sentence."""
    of = measured["machine"]
    return (
        f"Measured on {measured['date']} on one machine with {of['cores']} cores ({of['processor']}) and "
        f"{of['memory_gib']} GiB of memory, under Python {of['python']}; client, server and workers share the cores. "
        f"The load average at the end was {measured['load']:.1f}."
    )


def topics(results: dict[str, dict], only: str | None = None) -> list[str]:
    """A heading and a table for each topic, or for the one that is asked for, in the order of the file.

    Raises:
        KeyError: nothing of the topic was measured.
    """
    names = dict.fromkeys(result["topic"] for result in results.values() if only in (None, result["topic"]))
    if only is not None and not names:
        raise KeyError(only)
    return [f"**{topic}**\n\n{_table({n: r for n, r in results.items() if r['topic'] == topic})}" for topic in names]


def grading_plan(measured: dict) -> str:
    """How long classes take to grade, at the rates that were measured with a worker on each core of the machine."""
    cores = measured["machine"]["cores"]
    graded = {name: r for name, r in measured["results"].items() if "ours_per_minute" in r["details"]}
    head = ["Rate measured as", *(f"{count:,} submissions, {many} cores" for count, many in CLASSES)]
    rows = []
    for name, result in graded.items():
        rate = result["details"]["ours_per_minute"] / cores
        rows.append((f"{name}: {number(rate)} a minute and core", *(duration(n / rate / many) for n, many in CLASSES)))
    if not rows:
        raise KeyError("ours_per_minute")
    worker = measured["results"]["Memory of a worker"]["value"]
    memory = "; ".join(f"{many} workers: {number(many * worker / 1000)} GB" for many in sorted({m for _, m in CLASSES}))
    return f"{table(head, rows, numbers=True)}\n\nMemory of the workers, beyond what their submissions use: {memory}."


def duration(minutes: float) -> str:
    """A time in the unit in which people plan."""
    if minutes < 1:
        return figure(math.ceil(60 * minutes), "s")
    return figure(math.ceil(minutes), "min") if minutes < 120 else figure(minutes / 60, "h")


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
