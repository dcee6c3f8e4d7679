"""Grading against stock `nbgrader autograde`, on the same submissions and machine, and on one and two Dask workers."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from helpers.course.grade import choose_submissions
from helpers.course.labs import generate, nbgrader_config
from helpers.course.project import find_labs, put_environment_on_path, skip_slow_grammars
from helpers.grading import batch, cluster, pool
from helpers.grading.gradebook import GradebookWriter

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

TOPIC = "Grading"
SHOP = Path(__file__).parent / "labs" / "01-shop"
MANY, MANY_BY_STOCK, FEW, FEW_BY_STOCK, BUSY = 240, 40, 16, 4, 24  # submissions
BUSY_LOOP = "total = 0\nfor number in range(16_000_000):\n    total += number & 7"  # a second or two of one core


def make_course(root: Path, project: Path, folder: Path, count: int) -> Path:
    """A course with one lab, and submissions of which each other one is solved and the rest blank."""
    put_environment_on_path()
    skip_slow_grammars()
    lab = folder.name.partition("-")[2]
    shutil.copytree(folder, root / "labs" / folder.name)
    shutil.copyfile(project / "nbgrader_config.py", root / "nbgrader_config.py")
    generate(root, find_labs(root), root)
    for number in range(count):
        target = root / "submitted" / f"student-{number:03d}" / lab
        shutil.copytree(root / "release" / lab, target)
        if number % 2 == 0:
            shutil.copyfile(root / "source" / lab / f"{lab}.ipynb", target / f"{lab}.ipynb")
    return root


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compared(root: Path, lab: str, by_stock: int) -> tuple[list[float], float]:
    """When our command gave each verdict, in seconds from its start, and stock's submissions a minute.

    Stock gets the first of the same submissions. Both with their imports; stock after its preparation of the lab, which
    ours does on the way.
    """
    stock = shutil.copytree(root, root.parent / "stock")
    for folder in sorted((stock / "submitted").iterdir())[by_stock:]:
        shutil.rmtree(folder)
    nbgrader = [sys.executable, "-m", "nbgrader"]
    options = ["--force", "--log-level=ERROR", "--ExecutePreprocessor.timeout=600"]
    subprocess.run([*nbgrader, "generate_assignment", lab, *options], cwd=stock, check=True, capture_output=True)
    ours = [sys.executable, "-m", "helpers.course", "grade", lab, "--workers", "2"]
    began, moments = time.perf_counter(), []
    with subprocess.Popen(ours, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        moments += [time.perf_counter() - began for line in process.stdout if line.startswith("[")]
    assert process.returncode == 0 and len(moments) == len(list((root / "submitted").iterdir()))
    theirs = seconds(
        lambda: subprocess.run([*nbgrader, "autograde", lab, *options], cwd=stock, check=True, capture_output=True)
    )
    return moments, 60 * by_stock / theirs


def steady(moments: list[float]) -> float:
    """Submissions a minute once all workers are up: of the last three quarters."""
    first = len(moments) // 4
    return 60 * (len(moments) - 1 - first) / (moments[-1] - moments[first])


def test_a_lab_of_pandas_is_graded_many_times_faster_than_by_stock_nbgrader(tmp_path, project, report):
    moments, stock = compared(make_course(tmp_path / "own", project, SHOP, MANY), "shop", MANY_BY_STOCK)
    own = 60 * len(moments) / moments[-1]
    report(
        "Pandas lab against `nbgrader autograde`",
        own / stock,
        topic=TOPIC,
        bar=10.0,
        unit="times",
        slack=3.0,
        at_least=True,
        ours_per_minute=round(own),
        stock_per_minute=round(stock),
    )


@pytest.mark.slow
def test_the_fraud_lab_is_graded_many_times_faster_than_by_stock_nbgrader(tmp_path, project, report):
    root = make_course(tmp_path / "own", project, project / "labs" / "01-fraud", FEW)
    moments, stock = compared(root, "fraud", FEW_BY_STOCK)
    # The workers import the lab's modules once a batch: the longer the batch, the less it is of it.
    report(
        "Fraud lab against `nbgrader autograde`",
        steady(moments) / stock,
        topic=TOPIC,
        bar=5.0,
        unit="times",
        slack=10.0,
        at_least=True,
        submissions=FEW,
        by_stock=FEW_BY_STOCK,
        ours_per_minute=round(steady(moments), 1),
        stock_per_minute=round(stock, 1),
        times_with_the_start=round(60 * FEW / moments[-1] / stock, 2),
        load=round(os.getloadavg()[0], 1),
    )


def test_a_worker_needs_little_memory(tmp_path, project, report):
    root = make_course(tmp_path / "own", project, SHOP, 1)
    package = pool.read_package(root / "source" / "shop", "shop")
    desk = pool.Desk(package)
    notebook = json.loads((root / "submitted/student-000/shop/shop.ipynb").read_text())
    assert not desk.grade(notebook["cells"])["broken"]
    family = [process for child in psutil.Process().children() for process in (child, *child.children(True))]
    used = sum(p.memory_full_info().pss for p in family if "helpers.grading.worker" in p.cmdline()) / 1e6
    desk.close()
    report("Memory of a worker", used, topic=TOPIC, bar=400.0, unit="MB")


def test_two_dask_workers_grade_nearly_twice_as_much_as_one(tmp_path, project, report):
    from distributed import LocalCluster

    rates, plain = {}, {}
    for count in (1, 2):
        root = make_course(tmp_path / str(count), project, SHOP, BUSY)
        for path in (root / "submitted").rglob("*.ipynb"):
            keep_busy(path)
        plain[count] = plain_rate(count)
        with LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as local:
            rates[count] = rate(root, cluster.Cluster(local.scheduler_address))
    # What two plain processes do more than one says how much of two cores the machine had to give.
    report(
        "Two Dask workers against one",
        rates[2] / rates[1],
        topic=TOPIC,
        bar=1.8,
        unit="times",
        slack=1.8,
        at_least=True,
        one_per_minute=round(rates[1], 1),
        two_per_minute=round(rates[2], 1),
        two_plain_processes_against_one=round(plain[2] / plain[1], 2),
        load=round(os.getloadavg()[0], 1),
    )


def plain_rate(count: int) -> float:
    """Loops a minute of so many processes that do nothing else."""
    program = [sys.executable, "-c", f"for _ in range(6):\n {BUSY_LOOP.replace(chr(10), chr(10) + ' ')}"]
    took = seconds(lambda: [each.wait() for each in [subprocess.Popen(program) for _ in range(count)]])
    return 60 * 6 * count / took


def keep_busy(path: Path) -> None:
    """Let a submission compute for about a second, in one thread."""
    notebook = json.loads(path.read_text())
    cell = {"cell_type": "code", "id": "busy", "metadata": {}, "source": BUSY_LOOP}
    notebook["cells"].insert(1, cell | {"outputs": [], "execution_count": None})
    path.write_text(json.dumps(notebook))


def rate(root: Path, runner: batch.Runner) -> float:
    """Submissions a minute once all workers are up."""
    moments: list[float] = []
    package = pool.read_package(root / "source" / "shop", "shop")
    submissions = choose_submissions(root / "submitted", "shop", [], root)
    with closing(GradebookWriter(root, "shop", nbgrader_config(root, root))) as writer:
        batch.grade(writer, package, submissions, runner, lambda *_: moments.append(time.perf_counter()))
    return steady(moments)
