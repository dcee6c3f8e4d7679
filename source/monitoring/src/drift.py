"""A processing job: compares captured features with the baseline, and reports."""

import argparse
import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import boto3
import numpy as np
import pandas as pd


def main() -> None:
    arguments = parse()
    if not arguments.scheduled_time:
        raise SystemExit(
            "give --scheduled_time, or set SCHEDULED_TIME as the schedule does"
        )
    due = datetime.fromisoformat(arguments.scheduled_time.replace("Z", "+00:00"))
    baseline = pd.read_csv(arguments.baseline)
    rows = captured(
        Path(arguments.capture), due - timedelta(minutes=arguments.minutes), due
    )
    report = {"due": due.isoformat(), "rows": len(rows), "psi": {}}
    if len(rows) >= arguments.min_rows:
        rows = pd.DataFrame(rows, columns=baseline.columns)
        report["psi"] = {name: psi(baseline[name], rows[name]) for name in baseline}
        publish(arguments.endpoint, report["psi"])
    Path(arguments.report).mkdir(parents=True, exist_ok=True)
    (Path(arguments.report) / f"{due:%Y%m%dT%H%M%S}.json").write_text(
        json.dumps(report)
    )
    print(json.dumps(report))


def captured(folder: Path, since: datetime, until: datetime) -> list[list[float]]:
    """The rows of all text/csv requests that were captured between two times."""
    rows = []
    for path in sorted(folder.rglob("*.jsonl")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            time = datetime.fromisoformat(
                record["eventMetadata"]["inferenceTime"].replace("Z", "+00:00")
            )
            if since <= time < until:
                lines = record["captureData"]["endpointInput"]["data"].splitlines()
                rows.extend(
                    [float(value) for value in line.split(",")] for line in lines
                )
    return rows


def psi(reference: pd.Series, current: pd.Series, bins: int = 10) -> float:
    """Population stability index over the reference's deciles, half a row added."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, each), minlength=len(edges) + 1) + 0.5
        for each in (reference, current)
    ]
    p, q = (each / each.sum() for each in counts)
    return float(np.sum((q - p) * np.log(q / p)))


def publish(endpoint: str, values: dict[str, float]) -> None:
    """One metric per feature, and the largest as one of its own, for one alarm."""
    data = [
        ("psi", [("Endpoint", endpoint), ("Feature", name)], value)
        for name, value in values.items()
    ]
    data.append(("largest_psi", [("Endpoint", endpoint)], max(values.values())))
    metrics = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions],
            "Value": value,
        }
        for name, dimensions, value in data
    ]
    boto3.client("cloudwatch").put_metric_data(
        Namespace="course/drift", MetricData=metrics
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--scheduled_time", default=os.environ.get("SCHEDULED_TIME"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--min_rows", type=int, default=200)
    parser.add_argument(
        "--baseline", default="/opt/ml/processing/baseline/baseline.csv"
    )
    parser.add_argument("--capture", default="/opt/ml/processing/capture")
    parser.add_argument("--report", default="/opt/ml/processing/report")
    return parser.parse_args()


if __name__ == "__main__":
    main()
