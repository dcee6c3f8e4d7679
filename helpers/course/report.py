"""What `course run` prints and writes about the executed labs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from helpers.course.execute import Outcome


def write_junit(path: Path, outcomes: list[Outcome]) -> None:
    """Write one JUnit test case per lab."""
    failures = sum(bool(outcome.failure) for outcome in outcomes)
    total = sum(outcome.seconds for outcome in outcomes)
    suite = ElementTree.Element(
        "testsuite", name="labs", tests=str(len(outcomes)), failures=str(failures), time=f"{total:.3f}"
    )
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite, "testcase", classname="labs", name=outcome.lab, time=f"{outcome.seconds:.3f}"
        )
        if outcome.failure:
            message = outcome.failure.splitlines()[0]
            ElementTree.SubElement(case, "failure", message=message).text = outcome.failure
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def print_times(outcomes: list[Outcome], slowest: int) -> None:
    """Print a table of the labs' wall times, with the slowest cells of each."""
    table = Table("lab", "result", "time (s)", "slowest cells (s)", title="Times")
    for outcome in outcomes:
        cells = sorted(outcome.cells, key=lambda cell: -cell[1])[:slowest]
        state = "failed" if outcome.failure else "unchanged" if outcome.unchanged else "passed"
        listed = ", ".join(f"{name} {seconds:.1f}" for name, seconds in cells)
        table.add_row(outcome.lab, state, f"{outcome.seconds:.1f}", escape(listed))
    table.add_row("total", "", f"{sum(outcome.seconds for outcome in outcomes):.1f}", "", style="bold")
    Console().print(table)


def print_costs(outcomes: list[Outcome]) -> None:
    """Print a table of what the labs' jobs and endpoints would cost on AWS, by lab, kind and instance type."""
    sums: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for outcome in outcomes:
        for row in outcome.costs:
            entry = sums[outcome.lab, row["kind"], row["instance_type"]]
            entry[0] += 1
            entry[1] += row["instances"] * row["hours"]
            entry[2] += row["usd"]
    table = Table(
        "lab", "what", "instance type", "number", "instance hours", "USD", title="Costs on AWS at list prices"
    )
    for (lab, kind, instance_type), (number, hours, usd) in sums.items():
        table.add_row(lab, kind, instance_type, str(number), f"{hours:.4f}", f"{usd:.4f}")
    table.add_row("total", "", "", "", "", f"{sum(entry[2] for entry in sums.values()):.4f}", style="bold")
    Console().print(table)


def print_failures(failed: list[Outcome]) -> None:
    """Print lab, cell, end of the traceback and the executed notebook of each failure."""
    console = Console(stderr=True, highlight=False)
    for outcome in failed:
        text = f"[bold red]{outcome.lab}[/]: {escape(outcome.failure)}\nexecuted notebook: {outcome.notebook}\n"
        console.print(text, soft_wrap=True)
