"""Runs an analyser as its job does, in a process of its own, and reads what it left."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers.local_sagemaker import processing


@dataclass(frozen=True)
class Analysis:
    """How an analyser ended, and its reports."""

    code: int
    log: str
    ml: Path
    output: Path

    def report(self, name: str) -> dict:
        """A JSON file that it wrote, such as `statistics.json`."""
        assert self.code == 0, self.log
        return json.loads((self.output / name).read_text())

    @property
    def message(self) -> str:
        """Its exit message."""
        return (self.ml / "output" / "message").read_text()

    @property
    def failure(self) -> str:
        """Why it failed."""
        return (self.ml / "output" / "failure").read_text()

    @property
    def metrics(self) -> list[dict]:
        """What it leaves for CloudWatch."""
        path = self.ml / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    @property
    def violations(self) -> set[tuple[str, str]]:
        """Feature and check of every violation."""
        found = self.report("constraint_violations.json")["violations"]
        return {(each["feature_name"], each["constraint_check_type"]) for each in found}


def analyse(
    folder: Path, name: str, source: Path, data_format: dict, program: str = "model_monitor", **environment: str
) -> Analysis:
    """Runs an analyser on a file or folder of data; its reports are in `folder/name`."""
    ml, output = folder / f"{name}-ml", folder / name
    variables = {"dataset_source": source, "output_path": output, "dataset_format": json.dumps(data_format)}
    done = subprocess.run(
        [sys.executable, "-c", processing._ANALYZER.format(program), str(ml)],
        env={"PATH": os.environ["PATH"]} | {key: str(value) for key, value in (variables | environment).items()},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return Analysis(done.returncode, done.stdout + done.stderr, ml, output)


def baseline_of(baseline: Analysis) -> dict[str, str]:
    """The environment that holds an analysis to a baseline."""
    names = ("statistics", "constraints")
    return {f"baseline_{name}": str(baseline.output / f"{name}.json") for name in names}


def event(request: str, answer: str, number: int = 0, encoding: str = "CSV", **metadata: str) -> dict:
    """A captured line."""
    side = {"observedContentType": "text/csv" if encoding == "CSV" else "application/json", "encoding": encoding}
    return {
        "captureData": {
            "endpointInput": side | {"mode": "INPUT", "data": request},
            "endpointOutput": side | {"mode": "OUTPUT", "data": answer},
        },
        "eventMetadata": {"eventId": f"event-{number}", "inferenceTime": "2026-01-01T00:00:00Z"} | metadata,
        "eventVersion": "0",
    }


def write_lines(path: Path, lines: list[dict]) -> Path:
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
