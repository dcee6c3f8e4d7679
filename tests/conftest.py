"""What every test sees: a local SageMaker of its own, never the one in the project's folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from measured import RESULTS, Report
from playwright.sync_api import Browser, sync_playwright

from helpers import SageMakerHelper, connect, local_sagemaker

PROJECT = Path(__file__).parents[1]
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--figures FILE` keeps what was measured for the book's page of figures."""
    parser.addoption("--figures", type=Path, help="file to write the measured figures to, besides _build")


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """Prints, keeps and asserts figures; see `Report`."""
    made = Report()
    yield made
    worker = os.environ.get("PYTEST_XDIST_WORKER")  # one of several, which each keep their own
    kept = RESULTS.with_stem(f"{RESULTS.stem}-{worker}") if worker else RESULTS
    for path in filter(None, (kept, request.config.getoption("figures"))):
        if made.results:
            made.write(path)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return PROJECT


@pytest.fixture(scope="session", autouse=True)
def own_local_sagemaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point everything that tests start at a home in a temporary folder, and stop what was started."""
    before = dict(os.environ)
    os.environ["LOCAL_SAGEMAKER_HOME"] = str(tmp_path_factory.mktemp("sagemaker"))
    os.environ["COURSE_SCALE"] = "smoke"
    os.environ.pop("COURSE_BACKEND", None)
    os.environ.pop("COURSE_LEDGER", None)
    yield
    local_sagemaker.stop(Path(os.environ["LOCAL_SAGEMAKER_HOME"]))
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def aws(request: pytest.FixtureRequest) -> SageMakerHelper:
    """A session for a lab that is named after the test's module."""
    return connect(lab=request.module.__name__.rpartition("test_")[2].replace("_", "-"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is missing: install it, on Debian with `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()
