"""The report on a lab for its instructor: what went well, what went wrong and why, and what to look at."""

from __future__ import annotations

import base64
import html
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from helpers.grading.similarity import Pair
from helpers.grading.verdict import Verdict

MOST_REASONS = 5
SHOWN_REASON = 200
_NUMBERS = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { border: 1px solid #ccc; padding: .25rem .6rem; }
th { text-align: left; background: #f4f4f4; } td.n { text-align: right; } img { max-width: 100%; }
.wide { overflow-x: auto; }
"""


def report(lab: str, verdicts: Sequence[Verdict], pairs: Sequence[Pair]) -> str:
    """The report as one HTML page without scripts.

    Args:
        lab: its name.
        verdicts: one for each student.
        pairs: of `similarity.similar_pairs`.
    """
    graded = [verdict for verdict in verdicts if not verdict.refusal]
    refused = [verdict for verdict in verdicts if verdict.refusal]
    parts = [f"<h1>Lab {html.escape(lab)}</h1>", _overview(graded, refused)]
    if graded:
        parts += [_figure(_totals(graded), "Histogram of the students' points"), _tasks(graded)]
        parts += [_figure(_seconds(graded), "Histogram of the wall time that submissions took"), _reasons(graded)]
    parts += [_flagged(graded), _refused(refused), _pairs(pairs)]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>Lab {html.escape(lab)}</title>"
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head += f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def alike(reason: str) -> str:
    """A reason without its numbers, so that the same mistake with other values counts as one."""
    return _NUMBERS.sub("#", " ".join(reason.split()))[:SHOWN_REASON]


def _overview(graded: list[Verdict], refused: list[Verdict]) -> str:
    flagged = sum(bool(verdict.flags) for verdict in graded)
    points = [verdict.total for verdict in graded]
    mean = f"; mean {sum(points) / len(points):.1f} of {graded[0].points:g} points" if points else ""
    return f"<p>{len(graded)} submissions graded{mean}; {flagged} flagged, {len(refused)} refused.</p>"


def _tasks(graded: list[Verdict]) -> str:
    rows = []
    for task in (task.task for task in graded[0].tasks):
        results = [entry for verdict in graded for entry in verdict.tasks if entry.task == task]
        given = [entry for entry in results if entry.score is not None]
        full = sum(entry.score == entry.points for entry in given)
        nothing = sum(not entry.score for entry in given)
        slowest = max((entry.seconds for entry in results), default=0.0)
        share = f"{100 * full / len(given):.0f} %" if given else "a person decides"
        numbers = (f"{results[0].points:g}", share, str(len(given) - full - nothing), str(nothing), f"{slowest:.1f} s")
        rows.append((task, *numbers))
    return "<h2>Tasks</h2>" + _table(("task", "points", "full", "part", "none", "slowest test"), rows)


def _reasons(graded: list[Verdict]) -> str:
    """The commonest reasons of each task for less than full points."""
    rows = []
    for task in (task.task for task in graded[0].tasks):
        counted = Counter(
            alike(entry.reason) for verdict in graded for entry in verdict.tasks if entry.task == task and entry.reason
        )
        rows += [(task, str(count), reason) for reason, count in counted.most_common(MOST_REASONS)]
    return "<h2>Why points were lost</h2>" + _table(("task", "students", "reason"), rows)


def _flagged(graded: list[Verdict]) -> str:
    rows = [(verdict.student, flag) for verdict in graded for flag in verdict.flags]
    return "<h2>Flagged: a person decides</h2>" + _table(("student", "why"), rows)


def _refused(refused: list[Verdict]) -> str:
    return "<h2>Refused</h2>" + _table(("student", "why"), [(verdict.student, verdict.refusal) for verdict in refused])


def _pairs(pairs: Sequence[Pair]) -> str:
    rows = [(*pair.students, f"{100 * pair.share:.0f} %", str(pair.fingerprints)) for pair in pairs]
    remark = (
        "<p>Share of the smaller answer's fingerprints that the larger one has too, by winnowing over code without "
        "names and values. Small tasks have few right answers: read both before you conclude anything.</p>"
    )
    return "<h2>Answers that are alike</h2>" + remark + _table(("student", "student", "share", "fingerprints"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>None.</p>"
    titles = "".join(f"<th>{html.escape(title)}</th>" for title in header)
    lines = "".join("<tr>" + "".join(f"<td>{_plain(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def _plain(text: str) -> str:
    return html.escape("".join(letter if letter.isprintable() else " " for letter in text))


def _totals(graded: list[Verdict]) -> Mapping[str, Any]:
    return {
        "values": [verdict.total for verdict in graded],
        "label": "points given by tests",
        "title": "Points",
        "limits": (0, graded[0].points),
    }


def _seconds(graded: list[Verdict]) -> Mapping[str, Any]:
    return {
        "values": [verdict.seconds for verdict in graded],
        "label": "wall time of a submission (s)",
        "title": "Time",
        "limits": (0, max(verdict.seconds for verdict in graded) or 1),
    }


def _figure(drawn: Mapping[str, Any], alt: str) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.hist(drawn["values"], bins=24, range=drawn["limits"], color="#3b6ea5")
    axes.set(xlabel=drawn["label"], ylabel="submissions", title=drawn["title"], xlim=drawn["limits"])
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    encoded = base64.b64encode(image.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{encoded}">'
