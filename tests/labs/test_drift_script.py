"""The drift job of the monitoring lab, run as its container runs it: windows, reports, metrics."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import tasks

from helpers import monitoring

SCRIPT = tasks.LABS / "05-monitoring/src/drift.py"
DUE = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    """A baseline, and two captures: of the last hour with amounts doubled, and an older one like the baseline."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"amount": rng.lognormal(3, 1, 2000), "count": rng.poisson(3, 2000).astype(float)})
    rows.to_csv(tmp_path / "baseline.csv", index=False)
    for name, age, factor in (("old", 90, 1), ("new", 30, 2)):
        part = rows.sample(400, random_state=1) * [factor, 1]
        time = (DUE - timedelta(minutes=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = {
            "captureData": {"endpointInput": {"data": part.to_csv(header=False, index=False), "encoding": "CSV"}},
            "eventMetadata": {"eventId": name, "inferenceTime": time},
        }
        place = tmp_path / "capture" / name
        place.mkdir(parents=True)
        (place / "a.jsonl").write_text(json.dumps(record) + "\n")
    return tmp_path


def run(aws, folder, *options, **environment):
    command = [sys.executable, str(SCRIPT), "--endpoint", aws.name("watched"), *options]
    places = ("--baseline", "baseline.csv", "--capture", "capture", "--report", "report")
    return subprocess.run(
        [*command, *places],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_window_s_rows_are_compared_and_told(aws, folder):
    done = run(aws, folder, SCHEDULED_TIME=DUE.isoformat())
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "report").iterdir()
    report = json.loads(path.read_text())
    assert (path.name, report["rows"], report["due"]) == ("20260301T100000.json", 400, DUE.isoformat())
    assert report["psi"]["amount"] > 0.25 > 0.1 > report["psi"]["count"]
    baseline = pd.read_csv(folder / "baseline.csv")
    sent = (baseline.sample(400, random_state=1) * [2, 1])["amount"]
    want = monitoring.population_stability_index(baseline["amount"], sent)
    assert report["psi"]["amount"] == pytest.approx(want)
    found = aws.cloudwatch.list_metrics(Namespace="course/drift", MetricName="largest_psi")["Metrics"]
    assert any("watched" in dimension["Value"] for metric in found for dimension in metric["Dimensions"])


def test_a_window_reaches_as_far_back_as_it_is_told(aws, folder):
    done = run(aws, folder, "--minutes", "120", "--scheduled_time", "2026-03-01T10:00:00Z")
    assert json.loads(done.stdout)["rows"] == 800


def test_too_few_rows_are_reported_and_not_judged(aws, folder):
    done = run(aws, folder, "--min_rows", "1000", SCHEDULED_TIME=DUE.isoformat())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"due": DUE.isoformat(), "rows": 400, "psi": {}}


def test_without_a_time_nothing_is_guessed(aws, folder):
    done = run(aws, folder)
    assert done.returncode != 0
    assert "SCHEDULED_TIME" in done.stderr
