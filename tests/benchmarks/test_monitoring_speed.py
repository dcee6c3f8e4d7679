"""How long Model Monitor's analyser takes for a million rows, against a plain describe of pandas on the same file."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.local_sagemaker import processing

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ROWS, NUMERIC, TEXT = 1_000_000, 16, 4
TOPIC = "Monitoring"
DESCRIBE = "import sys, pandas; read = getattr(pandas, sys.argv[1]); read(sys.argv[2]).describe(include='all')"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million rows of 20 columns: CSV, Parquet and captured."""
    folder = tmp_path_factory.mktemp("million")
    random = np.random.default_rng(0)
    columns = {
        f"n{i}": random.normal(size=ROWS).round(4) if i % 2 else random.integers(0, 500, ROWS) for i in range(NUMERIC)
    }
    columns |= {f"t{i}": random.choice([f"value {k}" for k in range(5 * (i + 1))], ROWS) for i in range(TEXT)}
    frame = pd.DataFrame(columns)
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_parquet(folder / "rows.parquet")
    side = {"observedContentType": "text/csv", "encoding": "CSV"}
    with (folder / "rows.csv").open() as rows, (folder / "rows.jsonl").open("w") as captured:
        next(rows)
        for number, row in enumerate(rows):
            score, _, request = row.rstrip("\n").partition(",")
            both = {"endpointInput": side | {"data": request}, "endpointOutput": side | {"data": score}}
            line = {"captureData": both, "eventMetadata": {"eventId": str(number)}, "eventVersion": "0"}
            captured.write(json.dumps(line) + "\n")
    return folder


def analyse(folder: Path, source: str, data_format: dict, **environment: str) -> float:
    """Seconds of the analyser's process."""
    output = folder / f"{source}-reports"
    variables = {"dataset_source": str(folder / source), "output_path": str(output)}
    variables |= {"dataset_format": json.dumps(data_format), "PATH": os.environ["PATH"]} | environment
    command = [sys.executable, "-c", processing._ANALYZER.format("model_monitor"), str(folder / f"{source}-ml")]
    began = time.perf_counter()
    subprocess.run(command, env=variables, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    assert json.loads((output / "statistics.json").read_text())["dataset"]["item_count"] == ROWS
    return seconds


def describe(reader: str, path: Path) -> float:
    """Seconds of a process that reads and describes a file with pandas."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", DESCRIBE, reader, str(path)], check=True, capture_output=True)
    return time.perf_counter() - began


def test_a_million_rows_of_20_columns_take_at_most_a_minute(data, report):
    csv = analyse(data, "rows.csv", {"csv": {"header": True}})
    parquet = analyse(data, "rows.parquet", {"parquet": {}})
    names = {
        f"baseline_{name}": str(data / "rows.csv-reports" / f"{name}.json") for name in ("statistics", "constraints")
    }
    capture = analyse(data, "rows.jsonl", {"sagemakerCaptureJson": {}}, **names)
    by_pandas = {
        "csv": describe("read_csv", data / "rows.csv"),
        "parquet": describe("read_parquet", data / "rows.parquet"),
    }
    for name, seconds, other in (("CSV", csv, "csv"), ("Parquet", parquet, "parquet"), ("captured", capture, "csv")):
        report(
            f"Analysis of 1 M rows of 20 columns, {name}",
            seconds,
            topic=TOPIC,
            bar=60,
            unit="s",
            slack=3,
            pandas_describe_s=round(by_pandas[other], 2),
            times_as_long=round(seconds / by_pandas[other], 2),
        )
