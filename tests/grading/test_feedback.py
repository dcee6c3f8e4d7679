"""A page of feedback says what was wrong, shows no hidden test, and runs nothing."""

import html
import json
import re
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pages import feedback_of, hidden_lines, text_of
from playwright.sync_api import Browser
from tiny import ANSWERS

from helpers.course.grade import grade_all
from helpers.course.labs import generate
from helpers.course.project import find_labs
from helpers.grading import cleaning, kept
from helpers.grading.intake import find_submissions

AUDIT = {
    "innocent": ("wrong_suspects_the_innocent", "wrong_no_delay"),
    "misses": ("wrong_misses_the_alarm", "wrong_decisions"),
    "invents": ("wrong_invents_a_fault", "wrong_index_lost"),
}


@pytest.mark.parametrize(
    ("student", "told"),
    [
        ("wrong", "expected 2, got 1"),
        ("wrong", "expected 3.141592653589793, got 1"),
        ("raises", "NameError: name 'nothing' is not defined"),
        ("raises", "Cell In[3], line 3, in add_step\n    return number + nothing"),
        ("visible-only", "A hidden test failed."),
        ("partly", "A hidden test failed."),
        ("blank", "NotImplementedError: Student exercise: replace this line"),
        ("explains", "open, of 4 points"),
    ],
)
def test_a_page_says_what_was_wrong(kinds: Path, student: str, told: str):
    assert told in text_of(feedback_of(kinds, student))


def test_the_own_traceback_names_nothing_of_the_grader(kinds: Path):
    for page in (kinds / "feedback").rglob("*.html"):
        assert "helpers/grading" not in page.read_text(), page


def test_a_test_is_shown_as_it_was_released(kinds: Path):
    text = text_of(feedback_of(kinds, "wrong"))
    assert 'assert add_step(1) == 1 + STEP, f"expected' in text
    assert "HIDDEN TESTS" not in text


def test_no_line_of_a_hidden_test_is_in_a_page_of_the_tiny_lab(kinds: Path):
    hidden = hidden_lines(json.loads((kinds / "source/tiny/tiny.ipynb").read_text()))
    assert len(hidden) == 3
    for student in [*ANSWERS, "blank"]:
        text = text_of(feedback_of(kinds, student))
        assert [line for line in hidden if line in text] == [], student


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """The fraud-audit lab with wrong answers out of its variants, graded."""
    root = tmp_path_factory.mktemp("audited")
    shutil.copytree(project / "labs/01-fraud-audit", root / "labs/01-fraud-audit")
    shutil.copyfile(project / "nbgrader_config.py", root / "nbgrader_config.py")
    generate(root, find_labs(root), root)
    variants = {task: (root / f"labs/01-fraud-audit/variants/{task}.py").read_text() for task in TASKS}
    for student, chosen in AUDIT.items():
        notebook = json.loads((root / "release/fraud-audit/fraud-audit.ipynb").read_text())
        for task, variant in zip(TASKS, chosen, strict=True):
            cell = next(cell for cell in notebook["cells"] if cell["id"] == task)
            cell["source"] = f"{variants[task]}\n\n{task} = {variant}\n"
        folder = root / "submitted" / student / "fraud-audit"
        folder.mkdir(parents=True)
        (folder / "fraud-audit.ipynb").write_text(json.dumps(notebook))
    grade_all(root, "fraud-audit", find_submissions(root / "submitted", "fraud-audit"), workers=2)
    return root


TASKS = ("audit", "honest_scores")


@pytest.mark.parametrize(
    ("student", "told"),
    [
        ("innocent", "lines that are not faulty cost as much as faulty ones earn"),
        ("innocent", "labels that arrive after the cut must have no influence"),
        ("misses", "6 of 7 points"),
        ("misses", "give scores that rank the transactions, not decisions"),
        ("invents", "line 2: 'leakage' is not one of ['future'"),
        ("invents", "indexed as in cards"),
    ],
)
def test_a_page_of_the_audit_says_what_was_wrong(audited: Path, student: str, told: str):
    assert told in text_of(feedback_of(audited, student, "fraud-audit"))


def test_no_line_of_a_hidden_test_is_in_a_page_of_the_audit(audited: Path):
    hidden = hidden_lines(json.loads((audited / "source/fraud-audit/fraud-audit.ipynb").read_text()))
    assert len(hidden) > 40
    for student in AUDIT:
        page = text_of(feedback_of(audited, student, "fraud-audit"))
        handed_in = json.loads((audited / f"submitted/{student}/fraud-audit/fraud-audit.ipynb").read_text())
        own = "\n".join("".join(cell["source"]) for cell in handed_in["cells"])
        assert [line for line in hidden if line in page and line not in own] == [], student


@pytest.mark.parametrize("student", ["scripts", "raises", "explains"])
def test_a_page_runs_nothing_and_asks_for_nothing(kinds: Path, chromium: Browser, student: str):
    page = chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True).new_page()
    happened: list[str] = []
    page.on("dialog", lambda dialog: (happened.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda message: happened.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: happened.append(f"error: {error}"))
    page.on("request", lambda request: happened.append(request.url))
    address = feedback_of(kinds, student).as_uri()
    page.goto(address, wait_until="networkidle")
    for element in page.locator("summary").all():
        element.click()
    page.locator("body").press("Tab")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert page.title() == f"tiny: {student}"
    assert [each for each in happened if each != address and not each.startswith("data:image/")] == []
    assert wide <= 390
    page.context.close()


def test_what_is_inert_of_a_hostile_page_stays(kinds: Path):
    text = text_of(feedback_of(kinds, "scripts"))
    assert "kept" in text
    assert "printed <script>document.title='RAN'</script> red" in text  # shown as text, without the terminal's codes
    assert "<img src=x onerror=\"document.title='RAN'\">: <img src=x" in text  # the exception's name and text


def test_outputs_keep_tables_pictures_and_text_and_nothing_else(kinds: Path):
    elements = BeautifulSoup(feedback_of(kinds, "scripts").read_text(), "html.parser").main.find_all(True)
    inert = {"a", "aside", "details", "div", "h1", "h2", "h3", "hr", "img", "p", "section", "span", "strong", "summary"}
    inert |= {"code", "math", "mtext", "pre", "table", "tbody", "td", "th", "thead", "tr"}
    assert {element.name for element in elements} <= inert
    attributes = {"alt", "aria-label", "class", "href", "id", "role", "scope", "src", "tabindex"}
    assert {name for element in elements for name in element.attrs} <= attributes
    links = [element.get(name) for element in elements for name in ("href", "src") if element.get(name)]
    assert links and all(link.startswith(("#task-", "data:image/png;base64,")) for link in links)


def test_formulas_are_drawn_without_a_script(kinds: Path, chromium: Browser):
    page = chromium.new_page()
    page.goto(feedback_of(kinds, "explains").as_uri())
    fraction = page.locator("math mfrac").bounding_box()
    assert fraction is not None
    assert fraction["height"] > page.locator("math mfrac mi").first.bounding_box()["height"]
    page.close()


@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("`$a$` costs $5", "<p><code>$a$</code> costs $5</p>\n"),
        ("$\\nonsense{$", "<p><code>\\nonsense{</code></p>\n"),
        ("```python\nx < 1\n```", "<pre><code>x &lt; 1\n</code></pre>\n"),
        ("[a](javascript:x) **b**", "<p>a <strong>b</strong></p>\n"),
        ("[a]: javascript:x\n\n[b][a] <javascript:x>", "<p>b javascript:x</p>\n"),
        ("<svg><script>x</script><text>t</text></svg>", "<p>t</p>\n"),
        ("a <!-- <b>c</b> --> <b onclick=x>d</b>", "<p>a  <b>d</b></p>\n"),
        ("&lt;script&gt;", "<p>&lt;script&gt;</p>\n"),
    ],
)
def test_markdown_becomes_inert_html(typed: str, made: str):
    assert cleaning.markdown(typed) == made


@pytest.mark.parametrize(
    "typed",
    [
        "*a* [b](http://192.0.2.1) `c` $x$",
        "<b>a</b>\n\n[b](javascript:x)\n\n![c](http://192.0.2.1/c.png)",
        "```\n<script>x</script>\n\n    [a](b)\n```",
        "&lt;script&gt;x&lt;/script&gt; &amp;lt;b&amp;gt;",
        "- a\n\n    - <i>b</i>\n\n> c",
    ],
)
def test_inert_markdown_shows_in_nbgrader_what_it_shows_in_feedback(typed: str):
    from nbconvert.filters import markdown2html

    inert = cleaning.markdown(typed)
    again = markdown2html(cleaning.as_markdown(inert))
    assert re.findall(r"<[^>]+>", again) == ["<div>", *re.findall(r"<[^>]+>", inert), "</div>"]
    said = [" ".join(html.unescape(re.sub(r"<[^>]+>", "", made)).split()) for made in (inert, again)]
    assert said[0] == said[1]


@pytest.mark.parametrize("typed", ["<div>" * 100_000, "[" * 1_000_000, "> " * 9_000, "$$" * 9_000], ids=lambda t: t[:9])
def test_markdown_that_is_made_to_take_long_is_soon_done(typed: str):
    assert cleaning.markdown(typed)


def test_a_picture_is_one_from_its_first_to_its_last_letter():
    assert cleaning.is_image("iVBORw0KGgoA\n", "image/png")
    assert not cleaning.is_image('iVBORw0KGgoA"><script>', "image/png")
    assert not cleaning.is_image("iVBORw0KGgoA", "image/jpeg")


def test_feedback_is_written_anew_as_it_was(kinds: Path):
    before = {path: path.read_text() for path in (kinds / "feedback").rglob("*.html")}
    assert kept.write_feedback(kinds, "tiny") == len(before) == len(ANSWERS) + 3
    assert {path: path.read_text() for path in (kinds / "feedback").rglob("*.html")} == before
