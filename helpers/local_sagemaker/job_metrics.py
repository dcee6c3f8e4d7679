"""Metrics that MetricDefinitions find in a training job's output."""

from __future__ import annotations

import collections
import logging
import math
import re
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

NAMESPACE = "/aws/sagemaker/TrainingJobs"
_MOST_DENSE = 1000  # values of a metric that are all kept; of later ones, one a second
_LONGEST_CURVE = 20_000  # as many epochs as Hyperband knows

# As DescribeTrainingJob shows them for the built-in XGBoost algorithm.
_XGBOOST_METRICS = (
    *("accuracy", "aft-nloglik", "auc", "aucpr", "balanced_accuracy", "cox-nloglik", "error", "f1", "f1_binary"),
    *("f1_macro", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy", "logloss", "mae", "map", "mape"),
    *("merror", "mlogloss", "mphe", "mse", "ndcg", "poisson-nloglik", "pre", "precision", "precision_macro"),
    *("precision_micro", "r2", "recall", "recall_macro", "recall_micro", "rmse", "rmsle", "tweedie-nloglik"),
)
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
XGBOOST_DEFINITIONS = [
    {"Name": f"{data}:{metric}", "Regex": rf".*\[[0-9]+\].*#011{data}-{metric}:{_NUMBER}.*"}
    for metric in _XGBOOST_METRICS
    for data in ("train", "validation")
]


class MetricReader:
    """Reads the metrics of one job from its lines; safe to call from the threads of several hosts.

    Attributes:
        curve: all values of the objective, in order.

    Args:
        definitions: MetricDefinitions of the request.
        objective: the metric that a tuning job looks at, if one does.
    """

    def __init__(self, definitions: list[dict], objective: str | None = None) -> None:
        self.curve: list[float] = []
        self._objective = objective
        # A leading .* changes nothing for a search, but makes it quadratic in the length of a line.
        self._patterns = [
            (definition["Name"], re.compile(definition["Regex"].removeprefix(".*"))) for definition in definitions
        ]
        self._data: list[dict] = []
        self._last: dict[str, dict] = {}
        self._kept: collections.Counter[str] = collections.Counter()
        self._kept_time: dict[str, float] = {}
        self._lock = threading.Lock()

    def read(self, line: str) -> None:
        """Takes the first group of every definition that the line matches, if it is a number that CloudWatch takes."""
        for name, pattern in self._patterns:
            match = pattern.search(line)
            value = _number(match) if match else None
            if value is not None:
                datum = {"MetricName": name, "Value": value, "Timestamp": time.time()}
                with self._lock:
                    self._last[name] = datum
                    if name == self._objective and len(self.curve) < _LONGEST_CURVE:
                        self.curve.append(value)
                    if self._kept[name] < _MOST_DENSE or datum["Timestamp"] - self._kept_time[name] >= 1:
                        self._data.append(datum)
                        self._kept[name] += 1
                        self._kept_time[name] = datum["Timestamp"]

    def final(self) -> list[dict]:
        """FinalMetricDataList: the last value of every metric."""
        with self._lock:
            return list(self._last.values())

    def publish(self, server: Server, job_name: str) -> None:
        """Writes all values to CloudWatch, with the dimension TrainingJobName."""
        with self._lock:
            data, self._data = self._data, []
        points = [datum | {"Dimensions": [{"Name": "TrainingJobName", "Value": job_name}]} for datum in data]
        try:
            server.metric_data.put(NAMESPACE, points)
        except sqlite3.Error as error:
            logger.warning("metrics of %s: %s", job_name, error)


def _number(match: re.Match) -> float | None:
    try:
        value = float(match.group(1))
        return value if math.isfinite(value) else None
    except (IndexError, ValueError, TypeError):
        return None
