"""What the student gets back: the notebook as it ran, each task's verdict, and nothing that acts or that is secret."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from helpers.grading import cleaning, pages
from helpers.grading.cleaning import shown
from helpers.grading.examination import visible
from helpers.grading.verdict import TaskVerdict, Verdict

HTML_OF_A_NOTEBOOK = 400_000  # characters of HTML in outputs, and of Markdown below, that are rendered
MARKDOWN_OF_A_NOTEBOOK = 100_000
AS_SUBMITTED = "as_submitted"  # where the instructor's notebook keeps the student's own Markdown
WITHHELD = "Outputs after this point are not shown: from here on, your program could have known the hidden tests."


def executed(notebook: Any, by_place: dict[int, dict[str, Any]], verdict: Verdict) -> Any:
    """The mended notebook with its outputs; a test that failed shows its reason."""
    made = copy.deepcopy(notebook)
    tasks = {task.task: task for task in verdict.tasks}
    room = HTML_OF_A_NOTEBOOK
    for place, cell in enumerate(made.cells):
        if cell.cell_type != "code":
            continue
        entry = by_place.get(place, {})
        cell.execution_count = entry.get("count")
        cell.outputs = []
        for given in entry.get("outputs", []):
            if output := cleaning.clean_output(given, room):
                cell.outputs.append(output)
                room -= len(str(given["data"].get("text/html", ""))) if "text/html" in output.get("data", {}) else 0
        if entry.get("withheld"):
            cell.metadata["withheld"] = True
        task = tasks.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
        if task is not None and task.score is not None and task.score < task.points:
            text = f"{task.score:g} of {task.points:g} points: {task.reason}"
            cell.outputs = [{"output_type": "error", "ename": "Verdict", "evalue": text, "traceback": [text]}]
    return made


def for_instructor(notebook: Any, source: dict[str, Any], release: Any) -> Any:
    """The notebook for formgrader: its tests are whole, and Markdown of the student's does nothing where it is shown.

    Args:
        notebook: as it ran.
        source: the lab's source notebook, JSON.
        release: the released one.
    """
    made = copy.deepcopy(notebook)
    whole = {cell["id"]: cell for cell in source["cells"]}
    released = {cell.source for cell in release.cells}
    room = MARKDOWN_OF_A_NOTEBOOK
    for cell in made.cells:
        options = cell.metadata.get("nbgrader", {})
        if options.get("grade") and not options.get("solution") and options["grade_id"] in whole:
            text = whole[options["grade_id"]]["source"]
            cell.source = "".join(text) if isinstance(text, list) else text
        elif cell.cell_type != "code" and cell.source not in released:
            cell.metadata[AS_SUBMITTED] = cell.source
            cell.source, room = cleaning.as_markdown(_markdown(cell.source, room)), room - len(cell.source)
    return made


def page(notebook: Any, verdict: Verdict, lab: str, comments: Mapping[str, str] = MappingProxyType({})) -> str:
    """The feedback page: verdicts first, then the notebook with what it printed; of tests, what was released.

    Args:
        notebook: as it ran.
        verdict: on it.
        lab: the lab's name.
        comments: what a person wrote about a cell, by its grade_id; Markdown.
    """
    places = {task.task: number for number, task in enumerate(verdict.tasks, 1)}
    tasks = {task.task: task for task in verdict.tasks}
    parts = [_summary(verdict, lab), "<hr>"]
    withheld, room = False, MARKDOWN_OF_A_NOTEBOOK
    for cell in notebook.cells:
        options = cell.metadata.get("nbgrader", {})
        task = tasks.get(options.get("grade_id"))
        is_test = task is not None and not options.get("solution")
        if cell.cell_type != "code":
            text = cell.metadata.get(AS_SUBMITTED, cell.source)
            parts.append(_markdown(text, room))
            room -= len(text)
        elif not is_test:
            parts.append(cleaning.code(cell.source))
            if cell.metadata.get("withheld"):
                parts += [] if withheld else [f'<p class="muted">{WITHHELD}</p>']
                withheld = True
            else:
                parts += [_output(output) for output in cell.outputs]
        if task is not None:
            parts.append(_verdict_of(task, places[task.task], visible(cell.source) if is_test else ""))
        if comment := comments.get(options.get("grade_id")):
            parts.append(f'<aside class="comment" aria-label="Comment">{cleaning.markdown(comment)}</aside>')
    return pages.document(f"{lab}: {verdict.student}", "\n".join(parts))


def _markdown(text: str, room: int) -> str:
    """A cell as inert HTML; as it is typed if there is no room to render it."""
    return cleaning.markdown(text) if len(text) <= room else f"<pre>{shown(text)}</pre>"


def _summary(verdict: Verdict, lab: str) -> str:
    rows = [
        (f'<a href="#task-{number}">{shown(task.task)}</a>', _points(task), _outcome(task))
        for number, task in enumerate(verdict.tasks, 1)
    ]
    given = verdict.total - verdict.late_penalty
    total = f"<strong>{given:g} of {verdict.points:g} points</strong>"
    total += f", after {verdict.late_penalty:g} taken off for being late" if verdict.late_penalty else ""
    total += "; a person still grades the rest." if verdict.open_tasks else "."
    notes = "".join(f"<li>{shown(note)}</li>" for note in verdict.notes)
    mended = f"<h2>What was mended before it ran</h2><ul>{notes}</ul>" if notes else ""
    heading = f'<h1>Feedback on lab {shown(lab)}</h1><p class="muted">for {shown(verdict.student)}</p>'
    table = pages.table(("Task", "Points", "What to look at"), rows, numbers=("Points",))
    return f'{heading}<p class="score">{total}</p>{table}{mended}'


def _points(task: TaskVerdict) -> str:
    return f"open, of {task.points:g}" if task.score is None else f"{task.score:g} of {task.points:g}"


def _outcome(task: TaskVerdict) -> str:
    """In one line why points are missing; empty if none are."""
    if task.score is None:
        return "a person grades it"
    return shown(_hint(task).partition("\n")[0][:200])


def _hint(task: TaskVerdict) -> str:
    """Why points are missing, said of a test that the student cannot see as what it is."""
    if not task.hidden or task.score == task.points:
        return task.reason
    told = "" if task.reason == "AssertionError" else f": {task.reason}"
    return f"A hidden test failed{told or '.'}"


def _verdict_of(task: TaskVerdict, number: int, test: str) -> str:
    kind = "open" if task.score is None else "full" if task.score == task.points else "part" if task.score else "none"
    parts = [f"<h3><span>{shown(task.task)}</span><span>{_points(task)} points</span></h3>"]
    if hint := _hint(task):
        parts.append(f'<p class="reason">{shown(hint)}</p>')
    if told := "".join(task.traceback):
        parts.append(f'<p class="muted">Your code, when the test called it:</p><pre>{shown(told)}</pre>')
    if test.strip():
        parts.append(f"<details><summary>The test, as it was released</summary>{cleaning.code(test)}</details>")
    return f'<section class="task {kind}" id="task-{number}">{"".join(parts)}</section>'


def _output(output: dict[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return f'<div class="output"><pre>{shown(output["text"])}</pre></div>'
    if kind == "error":
        lines = "\n".join(output["traceback"])
        return f'<div class="output"><pre class="error">{shown(lines)}</pre></div>'
    data = output["data"]
    for mime in cleaning.IMAGES:
        if mime in data:
            alt = shown(str(data.get("text/plain", ""))[:100]) or "figure"
            return f'<div class="output"><img alt="{alt}" src="data:{mime};base64,{data[mime]}"></div>'
    if "text/html" in data:
        return f'<div class="output">{data["text/html"]}</div>'
    return f'<div class="output"><pre>{shown(str(data.get("text/plain", "")))}</pre></div>'
