"""How good predictions are: metrics, constraints and violations by the names of Model Monitor.

Source: "Model Quality Metrics and Amazon CloudWatch Monitoring" of the Amazon SageMaker developer guide.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import captured, datasets, job
from .job import DataError, Settings
from .quality_metrics import METRICS, Predictions

if TYPE_CHECKING:
    import numpy as np

LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
_SAMPLES, _SHARE, _FEWEST = 5, 0.8, 200  # of records, for a standard deviation
_DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Problem:
    """What is measured of one kind of problem: the names of its metrics, and when each is a violation."""

    key: str
    worse: dict[str, str]


PROBLEMS = {
    "BinaryClassification": Problem(
        "binary_classification",
        dict.fromkeys(("recall", "precision", "accuracy", "true_positive_rate", "true_negative_rate", "auc"), LESS)
        | dict.fromkeys(("f0_5", "f1", "f2"), LESS)
        | dict.fromkeys(("false_positive_rate", "false_negative_rate"), GREATER),
    ),
    "MulticlassClassification": Problem(
        "multiclass_classification",
        dict.fromkeys(("accuracy", "weighted_recall", "weighted_precision"), LESS)
        | dict.fromkeys(("weighted_f0_5", "weighted_f1", "weighted_f2"), LESS),
    ),
    "Regression": Problem("regression", dict.fromkeys(("mae", "mse", "rmse"), GREATER) | {"r2": LESS}),
}


def analyse(settings: Settings) -> list[dict] | None:
    """Writes the reports; returns the violations, None for a baseline.

    Raises:
        DataError: the data or the problem type is not right.
    """
    kind = settings.environment.get("problem_type", "")
    if kind not in PROBLEMS:
        raise DataError(f"problem_type must be one of {', '.join(PROBLEMS)}, got {kind!r}.")
    problem = PROBLEMS[kind]
    predictions = _predictions(settings, kind)
    metrics = measure(predictions, kind)
    dataset = {"item_count": len(predictions.truth), "evaluation_time": _now()}
    dataset |= {key: settings.environment[key] for key in ("start_time", "end_time") if key in settings.environment}
    report = {"version": 0.0, "dataset": dataset, f"{problem.key}_metrics": metrics}
    job.write(settings.output, "statistics.json", report)
    if settings.publishes_metrics:
        job.write_metrics(settings, [{"MetricName": name, "Value": value} for name, value in _scalars(metrics).items()])
    job.write(settings.output, "constraints.json", suggest(metrics, problem))
    if settings.constraints is None:
        return None
    found = violations(settings.constraints, metrics, problem)
    job.write(settings.output, "constraint_violations.json", {"violations": found})
    return found


def measure(predictions: Predictions, kind: str) -> dict:
    """All metrics of a problem; of a number also its standard deviation over five samples of 80 %.

    Args:
        predictions: at least one.
        kind: the problem type.
    """
    import numpy as np

    compute = METRICS[kind]
    metrics = compute(predictions)
    size = len(predictions.truth)
    samples: list[dict] = []
    if size >= _FEWEST:
        random = np.random.default_rng(0)
        draws = [random.choice(size, int(size * _SHARE), replace=False) for _ in range(_SAMPLES)]
        samples = [compute(predictions.take(draw)) for draw in draws]
    return {
        name: {"value": value, "standard_deviation": _deviation([sample.get(name) for sample in samples])}
        if isinstance(value, float)
        else value
        for name, value in metrics.items()
    }


def suggest(metrics: dict, problem: Problem) -> dict:
    """The content of constraints.json: no metric may get worse than it is."""
    values = _scalars(metrics)
    thresholds = {
        name: {"threshold": values[name], "comparison_operator": operator}
        for name, operator in problem.worse.items()
        if name in values
    }
    return {"version": 0.0, f"{problem.key}_constraints": thresholds}


def violations(constraints: dict, metrics: dict, problem: Problem) -> list[dict]:
    """The metrics that are worse than their threshold."""
    found = []
    for name, constraint in constraints.get(f"{problem.key}_constraints", {}).items():
        if name not in _scalars(metrics):
            continue
        value, operator = metrics[name]["value"], constraint["comparison_operator"]
        threshold = constraint["threshold"]
        if value < threshold if operator == LESS else value > threshold:
            about = f"Metric {name} with {value} +/- {metrics[name]['standard_deviation']}"
            description = f"{about} was {operator} '{threshold}'"
            found.append({"constraint_check_type": operator, "description": description, "metric_name": name})
    return found


def _scalars(metrics: dict) -> dict[str, float]:
    return {name: entry["value"] for name, entry in metrics.items() if "value" in entry}


def _deviation(values: list[float | None]) -> float | str:
    known = [value for value in values if value is not None]
    if not known:
        return "NaN"
    mean = sum(known) / len(known)
    return math.sqrt(sum((value - mean) ** 2 for value in known) / len(known))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _predictions(settings: Settings, kind: str) -> Predictions:
    """What was predicted and what was true, of a table or of merged events."""
    environment = settings.environment
    names = {
        "truth": environment.get("ground_truth_attribute"),
        "predicted": environment.get("inference_attribute"),
        "probability": environment.get("probability_attribute"),
    }
    read = _from_events if datasets.CAPTURED in settings.data_format else _from_table
    columns = read(settings, names)
    rows = [index for index, value in enumerate(columns["truth"]) if value is not None]
    if not rows:
        raise DataError("There are no records with ground truth.")
    kept = {name: [values[index] for index in rows] for name, values in columns.items() if values}
    probability = _numbers(kept["probability"]) if "probability" in kept else None
    if kind == "Regression":
        if "predicted" not in kept:
            raise DataError("Regression needs inference_attribute.")
        return Predictions(_numbers(kept["truth"]), _numbers(kept["predicted"]), None)
    import numpy as np

    truth = np.array([_label(value) for value in kept["truth"]])
    if "predicted" in kept:
        predicted = np.array([_label(value) for value in kept["predicted"]])
    elif probability is not None:
        threshold = float(environment.get("probability_threshold_attribute") or _DEFAULT_THRESHOLD)
        labels = sorted({*truth, "0", "1"} if {*truth} <= {"0", "1"} else {*truth})
        if len(labels) != 2:
            raise DataError(f"probability_attribute alone needs two labels, there are {len(labels)}.")
        predicted = np.where(probability > threshold, labels[1], labels[0])
    else:
        raise DataError("inference_attribute or probability_attribute is needed.")
    return Predictions(truth, predicted, probability)


def _from_table(settings: Settings, names: dict[str, str | None]) -> dict[str, list]:
    table = datasets.read(settings.source, settings.data_format)
    columns = {}
    for role, name in names.items():
        if name is None:
            continue
        by_index = f"_c{name}" if name.isdigit() and name not in table.column_names else name
        if by_index not in table.column_names:
            raise DataError(f"The dataset has no column {name!r}. It has {', '.join(table.column_names)}.")
        columns[role] = table[by_index].to_pylist()
    if "truth" not in columns:
        raise DataError("ground_truth_attribute is needed.")
    return columns


def _from_events(settings: Settings, names: dict[str, str | None]) -> dict[str, list]:
    events = list(captured.events(settings.source))
    if names["predicted"] is None and names["probability"] is None:
        names = names | {"predicted": "0"}
    columns: dict[str, list] = {"truth": []}
    for event in events:
        [truth, *_] = captured.values({"encoding": "CSV"} | event.ground_truth) if event.ground_truth else [[None]]
        columns["truth"].append(pick(truth, names["truth"] or "0"))
        answers = captured.values(event.sides[captured.OUTPUT])
        for role in ("predicted", "probability"):
            if names[role] is not None:
                columns.setdefault(role, []).append(pick(answers[0], names[role]))
    return columns


def pick(record: dict | list, way: str) -> object:
    """A value of a record by its index, its name or its JSON path.

    Raises:
        DataError: there is none.
    """
    import jmespath

    if isinstance(record, list) and way.isdigit():
        if int(way) >= len(record):
            raise DataError(f"A record has {len(record)} values, none at {way}.")
        return record[int(way)]
    if isinstance(record, list):
        record = record[0] if len(record) == 1 and isinstance(record[0], dict) else {"": record}
    value = jmespath.search(re.sub(r"^\$\.?", "", way), record)
    value = value[0] if isinstance(value, list) and value else value
    if value is None:
        raise DataError(f"A record has nothing at {way!r}.")
    return value


def _label(value: object) -> str:
    """A label as text: 1, 1.0 and "1" are the same."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return str(int(number)) if number.is_integer() else str(number)


def _numbers(values: list) -> np.ndarray:
    import numpy as np

    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"A value is no number: {error}") from error
