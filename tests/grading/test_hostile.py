"""The hostile corpus, graded in one batch among honest neighbours: every verdict, and a host that nothing touched."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hostile.case import FULL, MARKER, NOTHING, Case
from hostile.cases import CASES
from playwright.sync_api import Browser

from helpers.course.labs import generate, nbgrader_config
from helpers.course.project import find_labs, put_environment_on_path, skip_slow_grammars
from helpers.grading import backends, batch, pool, sandbox
from helpers.grading.gradebook import GradebookWriter
from helpers.grading.intake import find_submissions
from helpers.grading.sandbox import Limits
from helpers.grading.verdict import Verdict

LAB = Path(__file__).parent / "hostile" / "labs"
SECRET = "SECRET_OF_THE_GRADER", "7bd1-what-nobody-may-read"
LIMITS = Limits(cell_seconds=5, notebook_seconds=45, memory=900 * 2**20, disk=64 * 2**20, processes=200, output=200_000)
NEIGHBOURS = {"honest-blank": NOTHING, "honest-solved": FULL, "honest-wrong": FULL | {"test_double": 0.0}}
MANY_TIMES = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Graded:
    """What the batch left."""

    root: Path
    verdicts: dict[str, Verdict]
    before: dict[str, bytes]
    connections: list[tuple]


def files_below(folder: Path) -> dict[str, bytes]:
    """The files by name, but for what interpreters beside this one compile and replace at any moment."""
    files = (path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts and path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, list]]:
    """A server on the host's loopback and one on an abstract socket, and who called them."""
    calls: list = []
    servers = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
    servers[1].bind("\0socket-of-the-test")
    servers[1].listen()

    def answer(server: socket.socket) -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            calls.append(address)
            connection.close()

    for server in servers:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
    yield servers[0].getsockname()[1], calls
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def graded(tmp_path_factory, project, listener) -> Iterator[Graded]:
    root = tmp_path_factory.mktemp("hostile")
    course = root / "course"
    shutil.copytree(LAB, course / "labs")
    shutil.copyfile(project / "nbgrader_config.py", course / "nbgrader_config.py")
    put_environment_on_path()
    skip_slow_grammars()
    generate(course, find_labs(course), course)
    canary = root / "canary.txt"
    canary.write_text("canary")
    submit(course, str(canary), listener[0])
    before = files_below(course / "source") | files_below(root) | files_below(project / "helpers")
    writer = GradebookWriter(course, "target", nbgrader_config(course, course))
    package = pool.read_package(course / "source" / "target", "target", limits=LIMITS)
    submissions = find_submissions(course / "submitted", "target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*SECRET)
        found = batch.grade(writer, package, submissions, pool.Local(2), lambda verdict, taken_over: None)
    writer.close()
    yield Graded(course, {verdict.student: verdict for verdict in found}, before, list(listener[1]))


def submit(course: Path, canary: str, port: int) -> None:
    source = json.loads((course / "source/target/target.ipynb").read_text())
    release = json.loads((course / "release/target/target.ipynb").read_text())
    written = {cell["id"]: cell for cell in source["cells"]}
    own = ("double", "totals", "claim", "inside")
    solved = release | {"cells": [written[c["id"]] if c["id"] in own else c for c in release["cells"]]}
    wrong = json.loads(json.dumps(solved))
    next(c for c in wrong["cells"] if c["id"] == "double")["source"] = "def double(number):\n    return number + 2"
    for student, notebook in {"honest-blank": release, "honest-solved": solved, "honest-wrong": wrong}.items():
        put(course, student, notebook)
    for case in CASES:
        built = case.build(json.loads(json.dumps(solved)))
        if isinstance(built, dict):
            text = json.dumps(built)
            built = text.replace("PORT_OF_THE_TEST", str(port)).replace("CANARY_OF_THE_TEST", canary).encode()
        folder = put(course, case.student or case.name, built)
        if case.prepare:
            case.prepare(folder)


def put(course: Path, student: str, content: dict | bytes) -> Path:
    folder = course / "submitted" / student / "target"
    folder.mkdir(parents=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "target.ipynb").write_bytes(data)
    return folder


def test_the_sandbox_holds_here():
    backends.probe(backends.NAMESPACES)


def test_the_corpus_is_large_and_its_names_are_unique():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 60


@MANY_TIMES
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_hostile_submission_gets_the_verdict_that_it_deserves(case: Case, graded: Graded):
    verdict = graded.verdicts[case.student or case.name]
    if case.scores is None:
        assert case.refusal in verdict.refusal and not verdict.tasks
        assert "\n" not in verdict.refusal
        return
    assert not verdict.refusal
    scores = {task.task: task.score for task in verdict.tasks}
    got = {task: scores[task] for task in case.scores}
    assert got == case.scores, [(task.task, task.reason) for task in verdict.tasks] + list(verdict.flags)
    if case.flagged == "":
        assert not verdict.flags
    elif case.flagged != "?":
        assert any(case.flagged in flag for flag in verdict.flags), verdict.flags
    assert sum(task.score or 0 for task in verdict.tasks) <= sum(FULL.values())


@MANY_TIMES
@pytest.mark.parametrize("student", NEIGHBOURS)
def test_an_honest_neighbour_scores_as_alone(student: str, graded: Graded):
    verdict = graded.verdicts[student]
    assert not verdict.flags
    assert {t.task: t.score for t in verdict.tasks if t.task in FULL} == NEIGHBOURS[student]


@MANY_TIMES
def test_the_host_is_untouched(graded: Graded, project: Path):
    after = files_below(graded.root / "source") | files_below(graded.root.parent) | files_below(project / "helpers")
    changed = [name for name, content in graded.before.items() if after.get(name) != content]
    assert changed == []
    new = [name for name in after if name not in graded.before]
    assert [
        name for name in new if not name.startswith(("course/autograded/", "course/feedback/", "course/grad"))
    ] == []
    assert graded.connections == []


@MANY_TIMES
def test_no_process_is_left(graded: Graded):
    family = [process for process in psutil.process_iter(["cmdline", "uids"]) if _of_grading(process)]
    assert family == []


def _of_grading(process: psutil.Process) -> bool:
    """Whether a process has one of the user ids that this process gives to the submissions that it grades."""
    uids, first = process.info["uids"], sandbox.OUTSIDE_UID + os.getpid() * 64 % 900_000
    return bool(uids) and first <= uids.real < first + 64


@MANY_TIMES
def test_nobody_reads_a_secret_or_a_hidden_test(graded: Graded):
    for case in CASES:
        pages = list((graded.root / "feedback" / case.name).rglob("*.html")) if case.scores is not None else []
        for page in pages:
            text = page.read_text()
            assert MARKER not in text and "marker_of_the_hidden_test = " not in text, case.name
            assert SECRET[1] not in text, case.name
            outputs = "".join(part.partition("</pre>")[0] for part in text.split('<div class="output"><pre>')[1:])
            assert "WROTE" not in outputs and "SHADOWED" not in outputs, case.name
            if case.reads:
                assert "FOUND" not in outputs, case.name


@MANY_TIMES
def test_no_page_of_feedback_carries_something_that_acts(graded: Graded):
    for page in (graded.root / "feedback").rglob("*.html"):
        body = page.read_text().partition("<body>")[2].lower()
        assert "<script" not in body and "<svg" not in body and "<iframe" not in body, page
        assert all(link.startswith('href="#task-') for link in body.split("<a ")[1:]), page
        assert "\x1b" not in body, page


@MANY_TIMES
def test_pages_with_script_run_nothing_in_a_browser(graded: Graded, chromium: Browser):
    page = chromium.new_page()
    happened: list[str] = []
    page.on("dialog", lambda dialog: (happened.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: happened.append(message.text))
    page.on("request", lambda request: happened.append(request.url))
    folders = [folder for folder in (graded.root / "feedback").iterdir() if "script" in folder.name]
    assert len(folders) >= 7
    for folder in folders:
        file = folder / "target" / "target.html"
        page.goto(file.as_uri(), wait_until="networkidle")
        assert page.title() == f"target: {folder.name}"
    assert [each for each in happened if not each.startswith(("file:", "data:image/"))] == []
    page.close()
