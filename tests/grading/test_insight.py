"""The instructor's report: what it says of each task, whom it names, and that nothing in it acts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import text_of
from playwright.sync_api import Browser, Page
from tiny import put

from helpers.course.grade import grade_all
from helpers.grading import charts, insight
from helpers.grading.intake import RefusedSubmission, find_submissions
from helpers.grading.similarity import Pair
from helpers.grading.verdict import TaskVerdict, Verdict

HOSTILE = "<img src=x onerror=\"document.title='RAN'\">"


def task(score: float | None, reason: str = "", name: str = "test_f", **more) -> TaskVerdict:
    return TaskVerdict(name, score, 2.0, reason, **more)


def page_of(path: Path, verdicts: list[Verdict], pairs: tuple = (), answers: dict | None = None) -> Path:
    path.write_text(insight.report("tiny", verdicts, pairs, answers or {}, ""))
    return path


def rows_of(page: Path, section: str) -> list[list[str]]:
    """The cells of a section's tables, row by row, as text."""
    found = re.search(rf'<section id="{section}">.*?</section>', page.read_text(), re.DOTALL)[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in found.split("<tr>")]
    return [[re.sub(r"<details>.*|<[^>]+>", "", cell, flags=re.DOTALL) for cell in row] for row in rows if row]


@pytest.fixture(scope="module")
def reported(kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report that `course report` writes of a graded course, a copy of an answer and a refused id among it."""
    root = Path(shutil.copytree(kinds, tmp_path_factory.mktemp("reported") / "course"))
    put(root, "copied", "another-road")
    refused = RefusedSubmission("=cmd()<b>", "tiny", "the file's name is no student id")
    grade_all(root, "tiny", [*find_submissions(root / "submitted", "tiny"), refused], workers=2)
    command = [sys.executable, "-m", "helpers.course", "report", "tiny"]
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"COLUMNS": "300"}, capture_output=True, text=True, timeout=240, check=True
    )
    assert "13 submissions:" in done.stdout
    return root / "_build/report/tiny.html"


def test_each_task_has_its_counts(reported: Path):
    rows = {row[0]: row[2:] for row in rows_of(reported, "tasks")}
    assert rows["test_add_step"][:6] == ["2", "1.1", "6", "0", "5", "0"]
    assert rows["test_area"][:6] == ["3", "1.4", "5", "0", "6", "0"]
    assert rows["why"][:6] == ["4", "0.0", "0", "0", "9", "2"]


def test_each_task_has_its_reasons_the_commonest_first(reported: Path):
    rows = [row for row in rows_of(reported, "why-points-were-lost") if row[0] == "test_area"]
    assert [int(row[2]) for row in rows] == sorted((int(row[2]) for row in rows), reverse=True)
    told = {row[1]: row[2:] for row in rows}
    assert told["ValueError: no area"] == ["2", "18 %", "visible"]
    assert told["AssertionError"] == ["2", "18 %", "hidden"]
    assert told["expected #, got #"] == ["1", "9 %", "visible"]


def test_those_who_need_a_person_are_named_with_the_reason(reported: Path):
    text = text_of(reported)
    assert "refused: 2" in text and "=cmd()<b>the file's name is no student id" in text
    assert "damagedtiny.ipynb is not JSON" in text
    assert "to grade by hand: 2" in text and "explainswhy" in text


def test_time_and_memory_are_those_of_the_submissions(reported: Path):
    rows = rows_of(reported, "time-and-memory")
    times, used = ([float(row[1].split()[0]) for row in rows if row[1].endswith(unit)] for unit in (" s", " MiB"))
    assert len(times) == len(used) == 8
    assert times == sorted(times, reverse=True) and times[0] > 0 and used == sorted(used, reverse=True) and used[0] > 0


def test_flags_late_and_mended_submissions_are_listed(tmp_path: Path):
    verdicts = [
        Verdict("a", (task(2.0),), flags=("test_f: a control passed",)),
        Verdict("b", (task(2.0),), late_penalty=0.5),
        Verdict("c", (task(None),), notes=("test_f: was changed, is as released again",)),
        Verdict("d", (task(2.0),)),
    ]
    rows = rows_of(page_of(tmp_path / "report.html", verdicts), "look-at")
    assert ["a", "test_f: a control passed"] in rows and ["b", "0.5 points taken off"] in rows
    assert ["c", "test_f: was changed, is as released again"] in rows and ["c", "test_f"] in rows
    assert not [row for row in rows if row[0] == "d"]


def test_the_same_mistake_with_other_numbers_is_one_reason(tmp_path: Path):
    verdicts = [Verdict(f"s{n}", (task(0.0, f"expected 2.5, got {n}e-3"),)) for n in range(7)]
    [row] = rows_of(page_of(tmp_path / "report.html", verdicts), "why-points-were-lost")
    assert row == ["test_f", "expected #, got #", "7", "100 %", "visible"]


def test_groups_of_alike_answers_show_the_two_that_are_most_alike(tmp_path: Path):
    code = "def f(x):\n" + "".join(f"    x = [y + {n} for y in x if y]\n" for n in range(30))
    answers = {"a": "z = 1\n" + code, "b": code.replace("x", "w"), "c": code + "b = 2\n"}
    pairs = [Pair(("a", "b"), 0.9, 40), Pair(("b", "c"), 0.8, 30)]
    page = page_of(tmp_path / "report.html", [Verdict(name, (task(2.0),)) for name in answers], pairs, answers)
    assert "3 students, up to 90 % alike: a, b, c" in text_of(page)
    assert rows_of(page, "answers-that-are-alike") == [["a", "b", "90 %", "40"], ["b", "c", "80 %", "30"]]
    assert "<mark>    w = [y + 3 for y in w if y]</mark>" in page.read_text()
    assert "<mark>z = 1</mark>" not in page.read_text()


@pytest.mark.parametrize("verdicts", [[], [Verdict("a", refusal="no")], [Verdict("a", (task(None),))]])
def test_a_lab_with_nothing_to_count_has_a_report_too(tmp_path: Path, verdicts: list[Verdict]):
    assert "Lab tiny: report" in text_of(page_of(tmp_path / "report.html", verdicts))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A report in which every text of a student's tries to run."""
    answers = {f"{HOSTILE}{name}": f"x = '{HOSTILE}'\n" + "x = [y for y in x]\n" * 20 for name in "ab"}
    told = task(0.0, f"{HOSTILE}\x1b[31m\u202e</table><script>document.title='RAN'</script>", name=f"test{HOSTILE}")
    verdicts = [
        Verdict(name, (told,), notes=(HOSTILE,), flags=(HOSTILE,), seconds=1.0, memory=2**26) for name in answers
    ]
    verdicts.append(Verdict(f"=cmd(){HOSTILE}", refusal=HOSTILE))
    return page_of(tmp_path / "report.html", verdicts, (Pair(tuple(answers), 1.0, 20),), answers)


@pytest.fixture
def phone(chromium: Browser) -> Page:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True)
    yield context.new_page()
    context.close()


def open_all(page: Page) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def test_a_hostile_class_runs_nothing_and_the_report_loads_nothing(hostile: Path, phone: Page):
    happened: list[str] = []
    phone.on("dialog", lambda dialog: (happened.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    phone.on("console", lambda message: happened.append(f"console: {message.text}"))
    phone.on("request", lambda request: happened.append(request.url))
    phone.goto(hostile.as_uri(), wait_until="networkidle")
    open_all(phone)
    assert phone.title() == "Lab tiny: report" and happened == [hostile.as_uri()]
    assert phone.evaluate("document.images.length + document.scripts.length") == 0
    assert HOSTILE in phone.inner_text("body") and "\u202e" not in phone.inner_text("body")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_legible_in_light_and_dark(reported: Path, chromium: Browser, scheme: str):
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(reported.as_uri())
    colours = page.evaluate(
        "['body', 'thead th', '.cards div', 'figcaption'].map(name => { const found = document.querySelector(name);"
        "const ground = [found, document.body].map(each => getComputedStyle(each).backgroundColor)"
        ".find(colour => colour != 'rgba(0, 0, 0, 0)'); return [getComputedStyle(found).color, ground]; })"
    )
    context.close()
    assert [pair for pair in colours if contrast(*pair) < 4.5] == []
    assert (luminance(colours[0][1]) > 0.5) == (scheme == "light")


def luminance(colour: str) -> float:
    """Relative luminance; Source: WCAG 2.2."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_phone_scrolls_tables_and_not_the_page(reported: Path, phone: Page):
    phone.goto(reported.as_uri())
    open_all(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_keyboard_reaches_every_section_list_and_table(reported: Path, chromium: Browser):
    page = chromium.new_page()
    page.goto(reported.as_uri())
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.tagName + ' ' + document.activeElement.innerText"))
        if reached[-1].startswith("SUMMARY to grade by hand") and reached[-1] not in reached[:-1]:
            page.keyboard.press("Enter")
    assert page.locator("details", has_text="to grade by hand").first.evaluate("found => found.open")
    wanted = ("A Tasks", "SUMMARY refused: 2", "DIV Student\tWhy", "DIV Task\tStudents", "DIV Task\tReason")
    assert [each for each in wanted if not any(one.startswith(each) for one in reached)] == []
    page.close()


def test_each_chart_is_told_in_words(reported: Path):
    made = reported.read_text()
    told = re.findall(r'role="img" aria-label="([^"]+)"', made)
    assert len(told) == 3 + 3
    assert told[0].startswith("Students by points (points): 5 from 0 to below 1")
    assert "6 full, 0 part, 5 none, 0 open" in told


@pytest.mark.parametrize(
    ("values", "high", "told"),
    [
        ([0, 0, 9], 9, "2 from 0 to below 1, 1 from 9 to below 10"),
        ([0.0, 0.25], 1, "1 from 0 to below 0.1, 1 from 0.2 to below 0.3"),
        ([0.3, 0.6, 0.9], None, "1 from 0.3 to below 0.35, 1 from 0.6 to below 0.65, 1 from 0.9 to below 0.95"),
        ([0], None, "1 from 0 to below 1"),
        ([1e6, 3], None, "1 from 0 to below 100000, 1 from 1e+06 to below 1.1e+06"),
    ],
)
def test_a_histogram_counts_each_value_once(values: list[float], high: float | None, told: str):
    made = charts.histogram(values, "Students", "points", high)
    assert f'aria-label="Students (points): {told}."' in made
    assert sum(int(count) for count in re.findall(r"<b>(\d+)</b>", made)) == len(values)
    assert made.count("<div style=") <= charts.MOST_BARS


def test_a_report_of_five_thousand_is_small_enough_to_open(tmp_path: Path):
    verdicts = [Verdict(f"student-{n}", (task(float(n % 3), f"reason {'x' * (n % 40)}"),)) for n in range(5000)]
    assert page_of(tmp_path / "report.html", verdicts).stat().st_size < 2**20
