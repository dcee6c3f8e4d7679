"""Sphinx directive of the course: what the local SageMaker runs, from its own code."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from helpers.local_sagemaker import catalogue, members
from helpers.local_sagemaker.operations import Level

SERVICES = {
    "sagemaker": "SageMaker",
    "sagemaker-runtime": "SageMaker Runtime",
    "sagemaker-featurestore-runtime": "Feature Store Runtime",
    "sagemaker-metrics": "SageMaker Metrics",
}
_VERB = re.compile(r"(?:Batch)?[A-Z][a-z]+")


class WhatRuns(SphinxDirective):
    """`{what-runs} TABLE`: one of `TABLES`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the table as Markdown; it is made anew when the local SageMaker's code has changed."""
        if self.arguments[0] not in TABLES:
            raise self.error(f"what-runs: {self.arguments[0]!r} is none of {', '.join(TABLES)}")
        for path in Path(catalogue.__file__).parent.rglob("*.py"):
            self.env.note_dependency(str(path))
        return parsed(self, TABLES[self.arguments[0]]())


def parsed(directive: SphinxDirective, markdown: str) -> list[nodes.Node]:
    """The nodes of Markdown text, as if it stood in the place of the directive."""
    container = nodes.Element()
    source, _ = directive.get_source_info()
    directive.state.nested_parse(StringList(markdown.splitlines(), source), directive.content_offset, container)
    return container.children


def counts() -> str:
    """How many operations of each service go how far."""
    rows = []
    for service, levels in catalogue.levels().items():
        found = Counter(levels.values())
        rows.append((SERVICES[service], *(str(found[level]) for level in Level), str(len(levels))))
    total = [str(sum(int(row[column]) for row in rows)) for column in range(1, 5)]
    return table(("Service", *(level.capitalize() for level in Level), "All"), [*rows, ("All", *total)], numbers=True)


def operations(level: Level) -> str:
    """The operations that go so far, by the resource that they are about."""
    rows = []
    for service, levels in catalogue.levels().items():
        found = [name for name, reached in levels.items() if reached is level]
        groups = by_resource(found, levels) if service == "sagemaker" else {SERVICES[service]: found}
        rows += [(resource, _code(", ".join(sorted(names)))) for resource, names in groups.items() if names]
    return table(("Resource", "Operations"), rows) if rows else "None."


def by_resource(names: Iterable[str], every: Iterable[str]) -> dict[str, list[str]]:
    """Names of operations by the resource that each is about: the longest that it begins with after its verb."""
    resources = {_VERB.sub("", name, count=1) for name in every if name.startswith(("Add", "Create", "Describe"))}
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        rest = re.sub("ies$", "y", _VERB.sub("", name, count=1)) or name
        known = [resource for resource in resources if resource and rest.startswith(resource)]
        groups[max(known, key=len) if known else rest].append(name)
    return dict(sorted(groups.items()))


def refused() -> str:
    """The members of requests that are refused, by operation."""
    rows = [(f"`{operation}`", _code(", ".join(ways))) for operation, ways in members.REFUSED.items()]
    return table(("Operation", "Members that are refused"), rows)


def kept() -> str:
    """The members of requests that have no effect, and why."""
    return table(("Member", "Why it has no effect"), [(f"`{name}`", why) for name, why in members.KEPT.items()])


def images() -> str:
    """The images that are known, by their repositories."""
    rows = [(f"`{name}`", runtime) for name, runtime in catalogue.repositories().items()]
    return table(("Repository of the image", "Local runtime"), rows)


def step_types() -> str:
    """The types of pipeline steps, and what each does."""
    rows = [(f"`{name}`", does, _mark(cache), _mark(retries)) for name, does, cache, retries in catalogue.step_types()]
    return table(("Step type", "What it does", "Cache", "Retry policies"), rows)


def _mark(value: bool) -> str:
    return "yes" if value else "no"


def shims() -> str:
    """Operations of other services that are not, or not only, moto's."""
    rows = [
        (service, _code(", ".join(names)), summary if summary.startswith("moto") else summary[:1].upper() + summary[1:])
        for service, names, summary in catalogue.shimmed()
    ]
    return table(("Service", "Operations", "What they do here"), rows)


def services() -> str:
    """The services that moto answers, in one paragraph."""
    names = catalogue.moto_services()
    return f"moto {catalogue.moto_version()} has {len(names)} of them: {', '.join(names)}."


TABLES: dict[str, Callable[[], str]] = {
    "counts": counts,
    "refused": refused,
    "kept": kept,
    "images": images,
    "step-types": step_types,
    "shims": shims,
    "services": services,
    **{level.replace(" ", "-"): partial(operations, level) for level in Level},
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers: bool = False) -> str:
    """A Markdown table; with `numbers`, all columns but the first are aligned to the right."""
    head = list(head)
    rule = ["---", *["---:" if numbers else "---"] * (len(head) - 1)]
    lines = [head, rule, *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))
