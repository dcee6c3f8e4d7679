"""The report on a lab for its instructor: whom to look at, what went wrong and why, and what it took."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from helpers.grading import charts, pages
from helpers.grading.cleaning import LONGEST_CODE, shown
from helpers.grading.similarity import Pair, groups, shared_lines
from helpers.grading.verdict import TaskVerdict, Verdict

MOST_REASONS = 5
MOST_NAMED = 300  # students that a line names
MOST_COMPARED = 25  # groups whose most alike answers are shown side by side
MOST_COSTLY = 8
SHOWN_REASON = 200
MIB = 2**20
NONE = "<p>None.</p>"
_NUMBERS = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_OUTCOMES = {"full": "full points", "part": "some points", "none": "no points"}
_STYLE = """
body { max-width: 72rem; } nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; list-style: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .7rem; margin: 1rem 0; }
.cards div { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .8rem; background: var(--quiet); }
.cards dt { color: var(--muted); font-size: .85rem; } .cards dd { margin: 0; font-size: 1.3rem; font-weight: 600; }
.cards .look { border-left: 5px solid var(--fair); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem; } .pair > div { min-width: 0; }
.pair pre { max-height: 32rem; overflow: auto; } .pair code { display: inline-block; min-width: 100%; }
mark { background: var(--fair-ground); color: inherit; display: block; box-shadow: -3px 0 0 var(--fair); }
.names { columns: 12rem; padding-left: 1.2rem; margin: .3rem 0; max-height: 14rem; overflow: auto; }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } }
"""


def report(
    lab: str, verdicts: Sequence[Verdict], pairs: Sequence[Pair], answers: Mapping[str, str], released: str
) -> str:
    """The report as one HTML page without scripts, which loads nothing.

    Args:
        lab: its name.
        verdicts: one for each student.
        pairs: of `similarity.similar_pairs`.
        answers: student to the source that was compared.
        released: source of the stubs.
    """
    graded = [verdict for verdict in verdicts if not verdict.refusal]
    sections = {
        "Look at": _look_at(verdicts),
        "Points": charts.histogram(
            [_given(verdict) for verdict in graded], "Students by points", "points", _most(graded)
        )
        if graded
        else NONE,
        "Tasks": _tasks(graded),
        "Why points were lost": _reasons(graded),
        "Answers that are alike": _alike(pairs, answers, released),
        "Time and memory": _costs(graded),
    }
    links = "".join(f'<li><a href="#{_anchor(title)}">{title}</a></li>' for title in sections)
    parts = [f'<h1>Lab {shown(lab)}: report</h1><nav aria-label="Sections"><ul>{links}</ul></nav>', _overview(verdicts)]
    parts += [f'<section id="{_anchor(title)}"><h2>{title}</h2>{body}</section>' for title, body in sections.items()]
    return pages.document(f"Lab {lab}: report", "\n".join(parts), charts.STYLE + _STYLE)


def alike(reason: str) -> str:
    """A reason without its numbers, so that the same mistake with other values counts as one."""
    return _NUMBERS.sub("#", " ".join(reason.split()))[:SHOWN_REASON]


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _given(verdict: Verdict) -> float:
    return verdict.total - verdict.late_penalty


def _most(graded: Sequence[Verdict]) -> float:
    return max(verdict.points for verdict in graded)


def _overview(verdicts: Sequence[Verdict]) -> str:
    graded = [verdict for verdict in verdicts if not verdict.refusal]
    points = [_given(verdict) for verdict in graded]
    cards = {"submissions": f"{len(verdicts)}"}
    if graded:
        cards |= {"mean": f"{statistics.mean(points):.1f} of {_most(graded):g}"}
        cards |= {"median": f"{statistics.median(points):.1f} of {_most(graded):g}"}
        cards |= {"full points": f"{sum(verdict.total >= verdict.points for verdict in graded)}"}
    cards |= {name: str(len(found)) for name, found in _by_kind(verdicts).items()}
    marked = {name for name, found in _by_kind(verdicts).items() if found}
    made = "".join(
        f"<div{' class=look' if name in marked else ''}><dt>{name}</dt><dd>{value}</dd></div>"
        for name, value in cards.items()
    )
    return f'<dl class="cards">{made}</dl>'


def _by_kind(verdicts: Sequence[Verdict]) -> dict[str, list[tuple[str, str]]]:
    """Whom a person should look at: student and why, by kind."""
    return {
        "flagged": [(verdict.student, flag) for verdict in verdicts for flag in verdict.flags],
        "refused": [(verdict.student, verdict.refusal) for verdict in verdicts if verdict.refusal],
        "to grade by hand": [(v.student, ", ".join(v.open_tasks)) for v in verdicts if v.open_tasks],
        "late": [(v.student, f"{v.late_penalty:g} points taken off") for v in verdicts if v.late_penalty],
        "mended": [(v.student, "; ".join(v.notes)) for v in verdicts if v.notes],
    }


def _look_at(verdicts: Sequence[Verdict]) -> str:
    parts = []
    for kind, found in _by_kind(verdicts).items():
        if found:
            opened = " open" if kind in ("flagged", "refused") else ""
            rows = [(shown(student), shown(why)) for student, why in found]
            listed = pages.table(("Student", "Why"), rows)
            parts.append(f"<details{opened}><summary>{kind}: {len(found)}</summary>{listed}</details>")
    return "".join(parts) or "<p>Nobody: each submission was graded as it is.</p>"


def _results(graded: Sequence[Verdict]) -> dict[str, list[tuple[str, TaskVerdict]]]:
    """Student and verdict, by task."""
    found: dict[str, list[tuple[str, TaskVerdict]]] = defaultdict(list)
    for verdict in graded:
        for entry in verdict.tasks:
            found[entry.task].append((verdict.student, entry))
    return found


def _tasks(graded: Sequence[Verdict]) -> str:
    rows = []
    for task, results in _results(graded).items():
        given = [entry for _, entry in results if entry.score is not None]
        full = sum(entry.score >= entry.points for entry in given)
        nothing = sum(not entry.score for entry in given)
        counts = {"full": full, "part": len(given) - full - nothing, "none": nothing, "open": len(results) - len(given)}
        mean = f"{statistics.mean(entry.score for entry in given):.1f}" if given else "-"
        slowest = f"{max(entry.seconds for _, entry in results):.1f} s"
        numbers = (f"{results[0][1].points:g}", mean, *map(str, counts.values()), slowest)
        rows.append((shown(task), charts.stack(counts), *numbers))
    numbers = ("Points", "Mean", "Full", "Part", "None", "Open", "Slowest test")
    return charts.legend(_OUTCOMES) + pages.table(("Task", "Students", *numbers), rows, numbers)


def _reasons(graded: Sequence[Verdict]) -> str:
    """The commonest reasons of each task for less than full points, and who they befell."""
    rows = []
    for task, results in _results(graded).items():
        who: dict[str, list[str]] = defaultdict(list)
        hidden: dict[str, bool] = {}
        for student, entry in results:
            if entry.reason and entry.score is not None and entry.score < entry.points:
                reason = alike(entry.reason)
                who[reason].append(student)
                hidden[reason] = entry.hidden
        for reason, students in sorted(who.items(), key=lambda found: -len(found[1]))[:MOST_REASONS]:
            share = f"{100 * len(students) / len(results):.0f} %"
            told = f"{shown(reason)}{_names(students)}"
            where = "hidden" if hidden[reason] else "visible"
            rows.append((shown(task), told, str(len(students)), share, where))
    return pages.table(("Task", "Reason", "Students", "Share", "Test"), rows, ("Students", "Share")) if rows else NONE


def _names(students: Sequence[str]) -> str:
    named = "".join(f"<li>{shown(student)}</li>" for student in students[:MOST_NAMED])
    more = f"<li>and {len(students) - MOST_NAMED} more</li>" if len(students) > MOST_NAMED else ""
    return f'<details><summary>who</summary><ul class="names" tabindex="0">{named}{more}</ul></details>'


def _alike(pairs: Sequence[Pair], answers: Mapping[str, str], released: str) -> str:
    parts = [
        "<p>Groups of students whose code is alike, by fingerprints of code without its names, values and comments. "
        "The share is of the smaller answer. Short tasks have few right answers, so read both before you conclude "
        "anything.</p>"
    ]
    for number, group in enumerate(groups(pairs)):
        students = sorted({student for pair in group for student in pair.students})
        first, second = group[0].students
        summary = f"{len(students)} students, up to {100 * group[0].share:.0f} % alike: "
        summary += ", ".join(shown(student) for student in students[:5]) + (" and more" if len(students) > 5 else "")
        rows = [
            (*map(shown, pair.students), f"{100 * pair.share:.0f} %", str(pair.fingerprints))
            for pair in group[:MOST_NAMED]
        ]
        listed = pages.table(("Student", "And", "Share", "Fingerprints"), rows, ("Share", "Fingerprints"))
        if number < MOST_COMPARED:
            lines = shared_lines(answers[first], answers[second], released)
            sides = _side(first, answers[first], lines[0]) + _side(second, answers[second], lines[1])
            listed += f'<div class="pair">{sides}</div>'
        parts.append(f"<details><summary>{summary}</summary>{listed}</details>")
    return "".join(parts) if len(parts) > 1 else f"{parts[0]}{NONE}"


def _side(student: str, source: str, shared: set[int]) -> str:
    lines = [
        f"<mark>{shown(line)}</mark>" if number in shared else f"{shown(line)}\n"
        for number, line in enumerate(source[:LONGEST_CODE].splitlines(), 1)
    ]
    name, code = shown(student), "".join(lines)
    frame = f'<pre tabindex="0" role="region" aria-label="Code of {name}">'
    return f"<div><h4>{name}</h4>{frame}<code>{code}</code></pre></div>"


def _costs(graded: Sequence[Verdict]) -> str:
    if not graded:
        return NONE
    parts = [charts.histogram([verdict.seconds for verdict in graded], "Submissions by wall time", "seconds")]
    measured = [verdict for verdict in graded if verdict.memory is not None]
    if measured:
        used = [verdict.memory / MIB for verdict in measured]
        parts.append(charts.histogram(used, "Submissions by memory beyond the imports", "MiB"))
    kinds: dict[str, tuple[list[Verdict], Callable[[Verdict], float], str, str]] = {
        "Slowest": (graded, lambda verdict: verdict.seconds, "Wall time", "s"),
        "Largest": (measured, lambda verdict: (verdict.memory or 0) / MIB, "Memory", "MiB"),
    }
    for title, (found, of, measure, unit) in kinds.items():
        most = sorted(found, key=of, reverse=True)[:MOST_COSTLY]
        rows = [(shown(verdict.student), f"{of(verdict):.1f} {unit}") for verdict in most]
        parts.append(f"<h3>{title}</h3>{pages.table(('Student', measure), rows, (measure,))}" if rows else "")
    return "".join(parts)
