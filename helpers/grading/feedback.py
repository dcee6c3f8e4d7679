"""What the student gets back: the notebook as it ran, each task's verdict, and nothing that acts or that is secret."""

from __future__ import annotations

import base64
import binascii
import copy
import html
import re
from typing import Any

from helpers.grading.verdict import TaskVerdict, Verdict

_IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_TABLES = ("table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption")
_TEXT = (
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code"),
    *("em", "strong", "del", "sub", "sup", "div", "span"),
)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff; }
pre { background: #f4f4f4; padding: .6rem .8rem; overflow-x: auto; border-radius: 4px; font-size: .85rem; }
table { border-collapse: collapse; font-size: .9rem; } th, td { border: 1px solid #ccc; padding: .2rem .6rem; }
th { text-align: left; } img { max-width: 100%; background: #fff; }
.full { border-left: 4px solid #1b7f3b; } .part { border-left: 4px solid #b36b00; }
.none { border-left: 4px solid #b3261e; } .open { border-left: 4px solid #555; }
.task { padding: .3rem .9rem; margin: 1rem 0; background: #f8f8f8; } .output { margin-left: 1rem; }
"""
WITHHELD = "Outputs after this point are not shown."


def executed(notebook: Any, by_place: dict[int, dict[str, Any]], verdict: Verdict) -> Any:
    """The mended notebook with its outputs; a test that failed shows its reason."""
    made = copy.deepcopy(notebook)
    tasks = {task.task: task for task in verdict.tasks}
    for place, cell in enumerate(made.cells):
        if cell.cell_type != "code":
            continue
        entry = by_place.get(place, {})
        cell.execution_count = entry.get("count")
        cell.outputs = [output for given in entry.get("outputs", []) if (output := clean_output(given))]
        if entry.get("withheld"):
            cell.metadata["withheld"] = True
        task = tasks.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
        if task is not None and task.score is not None and task.score < task.points:
            text = f"{task.score:g} of {task.points:g} points: {task.reason}"
            cell.outputs = [{"output_type": "error", "ename": "Verdict", "evalue": text, "traceback": [text]}]
    return made


def with_hidden_tests(notebook: Any, source: dict[str, Any]) -> Any:
    """The notebook for the instructor, whose tests are whole."""
    made = copy.deepcopy(notebook)
    whole = {cell["id"]: cell for cell in source["cells"]}
    for cell in made.cells:
        options = cell.metadata.get("nbgrader", {})
        if options.get("grade") and not options.get("solution") and options["grade_id"] in whole:
            text = whole[options["grade_id"]]["source"]
            cell.source = "".join(text) if isinstance(text, list) else text
    return made


def clean_output(given: Any) -> dict[str, Any] | None:
    """An output of the student's interpreter as nbformat has it, from parts that are checked one by one; else None."""
    if not isinstance(given, dict):
        return None
    kind = given.get("output_type")
    if kind == "stream":
        name = "stderr" if given.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": str(given.get("text", ""))}
    if kind == "error":
        lines = given.get("traceback")
        told = [str(line) for line in lines] if isinstance(lines, list) else []
        entry = {"output_type": "error", "ename": str(given.get("ename", "")), "evalue": str(given.get("evalue", ""))}
        return entry | {"traceback": told}
    data = given.get("data")
    if kind not in ("display_data", "execute_result") or not isinstance(data, dict):
        return None
    kept: dict[str, Any] = {}
    for mime in ("text/plain", "text/html"):
        if isinstance(data.get(mime), str):
            kept[mime] = clean_html(data[mime], _TABLES) if mime == "text/html" else data[mime]
    for mime in _IMAGES:
        if isinstance(data.get(mime), str) and is_image(data[mime], mime):
            kept[mime] = data[mime]
    output: dict[str, Any] = {"output_type": kind, "data": kept, "metadata": {}}
    if kind == "execute_result":
        count = given.get("execution_count")
        output["execution_count"] = count if type(count) is int else None
    return output


def clean_html(text: str, tags: tuple[str, ...]) -> str:
    """HTML with these tags only, without attributes, scripts and styles."""
    import bleach

    text = re.sub(r"(?is)<(script|style)\b.*?(</\1\s*>|\Z)", "", text)
    return bleach.clean(text, tags=set(tags), attributes={}, protocols=set(), strip=True, strip_comments=True)


def is_image(encoded: str, mime: str) -> bool:
    """Whether base64 text begins like an image of this type."""
    try:
        return base64.b64decode(encoded[:64], validate=True).startswith(_IMAGES[mime])
    except (binascii.Error, ValueError):
        return False


def page(notebook: Any, verdict: Verdict, lab: str) -> str:
    """The feedback page: verdicts first, then the notebook with what it printed; the source of tests is left out."""
    tasks = {task.task: task for task in verdict.tasks}
    parts = [_head(verdict, lab), _summary(verdict)]
    withheld = False
    for cell in notebook.cells:
        options = cell.metadata.get("nbgrader", {})
        task = tasks.get(options.get("grade_id"))
        if cell.cell_type == "markdown":
            parts.append(_markdown(cell.source))
        elif task is None or options.get("solution"):
            parts.append(f"<pre><code>{_shown(cell.source)}</code></pre>")
            if cell.metadata.get("withheld"):
                parts += [] if withheld else [f"<p><em>{WITHHELD}</em></p>"]
                withheld = True
            elif cell.cell_type == "code":
                parts += [_output(output) for output in cell.outputs]
        if task is not None:
            parts.append(_verdict_of(task))
    return "\n".join([*parts, "</body></html>\n"])


def _shown(text: str) -> str:
    """Text for a page: without the sequences and characters that steer terminals, and nothing of it is markup."""
    kept = "".join(letter for letter in _ANSI.sub("", text) if letter.isprintable() or letter in "\n\t")
    return html.escape(kept)


def _head(verdict: Verdict, lab: str) -> str:
    title = _shown(f"{lab}: {verdict.student}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1>"
    )


def _summary(verdict: Verdict) -> str:
    rows = "".join(
        f"<tr><td>{_shown(task.task)}</td><td>{_points(task)}</td><td>{_shown(task.reason)}</td></tr>"
        for task in verdict.tasks
    )
    more = " so far; a person grades the rest" if verdict.open_tasks else ""
    notes = "".join(f"<li>{_shown(note)}</li>" for note in verdict.notes)
    mended = f"<p>Before it ran, this was mended:</p><ul>{notes}</ul>" if notes else ""
    return (
        f"<p>{verdict.total:g} of {verdict.points:g} points{more}.</p><table><thead><tr><th>task</th><th>points</th>"
        f"<th>why not all</th></tr></thead><tbody>{rows}</tbody></table>{mended}<hr>"
    )


def _points(task: TaskVerdict) -> str:
    return f"open of {task.points:g}" if task.score is None else f"{task.score:g} of {task.points:g}"


def _verdict_of(task: TaskVerdict) -> str:
    kind = "open" if task.score is None else "full" if task.score == task.points else "part" if task.score else "none"
    text = f"<strong>{_shown(task.task)}</strong>: {_points(task)} points"
    if task.reason:
        text += f"<br>{_shown(task.reason)}"
    told = "".join(task.traceback)
    trace = f"<pre>{_shown(told)}</pre>" if told else ""
    return f'<div class="task {kind}"><p>{text}</p>{trace}</div>'


def _markdown(source: str) -> str:
    from nbconvert.filters import markdown2html

    return clean_html(markdown2html(source), (*_TEXT, *_TABLES))


def _output(output: dict[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return f'<div class="output"><pre>{_shown(output["text"])}</pre></div>'
    if kind == "error":
        lines = "\n".join(output["traceback"])
        return f'<div class="output"><pre>{_shown(lines)}</pre></div>'
    data = output["data"]
    for mime in _IMAGES:
        if mime in data:
            return (
                f'<div class="output"><img alt="a figure of the notebook" src="data:{mime};base64,{data[mime]}"></div>'
            )
    if "text/html" in data:
        return f'<div class="output">{data["text/html"]}</div>'
    return f'<div class="output"><pre>{_shown(str(data.get("text/plain", "")))}</pre></div>'
