"""Damaged notebooks, files beside them, and student ids."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from hostile.case import FULL, NOTHING, WRONG, Notebook, case, solution, with_cell, without


def unchanged(solved: Notebook) -> Notebook:
    return solved


def raw(name: str, content: bytes, refusal: str) -> None:
    case(name, lambda solved: content, refusal=refusal)


raw("empty", b"", "is not JSON")
raw("binary", os.urandom(5000), "is not JSON")
raw("a-list", b"[]", "no notebook")
raw("deep-json", b'{"cells": ' + b"[" * 200_000, "is not JSON")
raw("not-a-number", b'{"nbformat": 4, "cells": [], "metadata": NaN}', "is not JSON")
raw("huge-number", b'{"nbformat": 4, "cells": [], "x": ' + b"9" * 100_000 + b"}", "is not JSON")
raw("old-format", b'{"nbformat": 3, "worksheets": []}', "no notebook")
raw("giant", b"{" + b" " * 21 * 2**20 + b"}", "MiB")
case("cut-off", lambda solved: json.dumps(solved)[:900].encode(), refusal="is not JSON")


def change_cells(name: str, change: Callable[[list], list], scores: dict, **expected: object) -> None:
    case(name, lambda solved: solved | {"cells": change(solved["cells"])}, scores, **expected)


def with_points(cells: list) -> list:
    for entry in cells:
        entry["metadata"].get("nbgrader", {})["points"] = 1000
    return cells


def tests_replaced(cells: list, by: dict) -> list:
    return [entry | by if entry["id"].startswith("test_") else entry for entry in cells]


def with_wrong_answers(solved: Notebook, *tasks: str) -> Notebook:
    for task in tasks:
        solution(solved, task)["source"] = WRONG[task]
    return solved


change_cells("no-cells", lambda cells: [], NOTHING)
change_cells("duplicated-cells", lambda cells: [*cells, *cells], FULL)
change_cells("stripped-metadata", lambda cells: [entry | {"metadata": {}} for entry in cells], FULL)
change_cells("deleted-tests", lambda cells: [e for e in cells if not e["id"].startswith("test_")], FULL)
change_cells("points-of-its-own", with_points, FULL)
change_cells("reversed-cells", lambda cells: cells[::-1], {}, flagged="?")
case(
    "tests-that-pass",
    lambda solved: {
        **with_wrong_answers(solved, "double", "inside"),
        "cells": tests_replaced(solved["cells"], {"source": "pass"}),
    },
    without("test_double", "test_inside"),
)
case(
    "tests-as-markdown",
    lambda solved: {
        **with_wrong_answers(solved, "double"),
        "cells": tests_replaced(solved["cells"], {"cell_type": "markdown"}),
    },
    without("test_double"),
)
case("surrogates", lambda solved: with_cell(solved, "print('\\udc80')", "totals"), FULL)


def dies_everywhere(solved: Notebook) -> Notebook:
    for code, task in enumerate(("double", "totals", "claim", "inside", "why"), 1):
        solved = with_cell(solved, f"import os; os._exit({code})", task)
    return solved


# Three deaths are outlived; what comes after the fourth is not reached.
case("dies-at-every-cell", dies_everywhere, without("test_inside"))


def shadow(folder: Path) -> None:
    for name in ("pandas", "numpy", "ipykernel_launcher", "IPython", "sitecustomize", "nbgrader_config"):
        (folder / f"{name}.py").write_text("raise SystemExit('shadowed')")


def replace_by_link(folder: Path) -> None:
    (folder / "target.ipynb").unlink()
    (folder / "target.ipynb").symlink_to("/etc/passwd")


def many_files(folder: Path) -> None:
    for number in range(600):
        (folder / str(number)).touch()


def linked(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


case("brings-modules", unchanged, FULL, prepare=shadow)
case("linked-notebook", unchanged, refusal="is a link", prepare=replace_by_link)
case("linked-file", unchanged, refusal="is a link", prepare=linked("data.csv", "/etc/shadow"))
case("linked-folder", unchanged, refusal="is a link", prepare=linked("data", "/"))
case("endless-link", unchanged, refusal="is a link", prepare=linked("self", "self"))
case("pipe", unchanged, refusal="no regular file", prepare=lambda folder: os.mkfifo(folder / "pipe"))
case("many-files", unchanged, refusal="at most", prepare=many_files)

IDS = {
    "formula": "=cmd()",
    "plus-formula": "+1",
    "at-formula": "@sum",
    "comma": "a,b",
    "quote": 'a"b',
    "newline": "a\nb",
    "escape": "\x1b[2Jx",
    "glob": "*",
    "brackets": "[a-z]*",
    "option": "-rf",
    "hidden": ".hidden",
    "markup": "<img src=x onerror=alert(1)>",
    "rich-markup": "[red]x",
    "shell": "$(touch x)",
    "long": "x" * 65,
    "letters": "ünïcode",
    "space": "a b",
    "semicolon": "a;b",
}
for what, student in IDS.items():
    case(f"id-{what}", unchanged, refusal="student id", student=student)
