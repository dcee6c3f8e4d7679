"""Clarify on a monitoring schedule: captured data in, drift of bias and of attributions out.

Source: "Bias Drift Violations", "Feature Attribution Drift Violations" and their CloudWatch metrics in the Amazon
SageMaker developer guide.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from . import captured, clarify_data, datasets, job, model_quality
from .clarify_data import Data
from .job import DataError, Settings

if TYPE_CHECKING:
    import pandas as pd

_LEAST_NDCG = 0.9
_PREDICTED = "predicted label"
_STAGES = {"pre_training_bias_metrics": "Pre-training", "post_training_bias_metrics": "Post-Training"}


def read(settings: Settings, config: dict) -> Data:
    """Captured requests as features, with ground truth and predictions where they are merged.

    Raises:
        DataError: the data is not as configured.
    """
    import pandas as pd

    if datasets.CAPTURED not in settings.data_format:
        return clarify_data.read(settings.source, config)
    environment = settings.environment
    rows: list[dict] = []
    for event in captured.events(settings.source):
        for record in captured.values(event.sides[captured.INPUT]):
            names = config.get("headers") or (list(record) if isinstance(record, dict) else range(len(record)))
            row = dict(record) if isinstance(record, dict) else dict(zip(names, record, strict=False))
            if event.ground_truth:
                row[config["label"]] = captured.values({"encoding": "CSV"} | event.ground_truth)[0][0]
                row[_PREDICTED] = _prediction(event, environment)
            rows.append(row)
    if not rows:
        raise DataError("There are no captured records to analyse.")
    frame: pd.DataFrame = clarify_data.interpreted(pd.DataFrame(rows))
    if _PREDICTED in frame and _is_probability(environment):
        positive = (config.get("label_values_or_threshold") or [1])[0]
        threshold = float(environment.get("probability_threshold_attribute") or 0.5)
        frame[_PREDICTED] = [positive if score > threshold else "" for score in frame[_PREDICTED]]
    return Data(frame, config, _PREDICTED if _PREDICTED in frame else None)


def _is_probability(environment: dict) -> bool:
    return "probability_attribute" in environment and "inference_attribute" not in environment


def _prediction(event: captured.Event, environment: dict) -> object:
    way = environment.get("inference_attribute") or environment.get("probability_attribute") or "0"
    return model_quality.pick(captured.values(event.sides[captured.OUTPUT])[0], way)


def check(output: Path, baseline: dict, report: dict) -> list[dict]:
    """Compares analysis.json with the baseline's; writes and returns the violations."""
    found = _bias_violations(baseline, report) + _attribution_violations(baseline, report)
    job.write(output, "constraint_violations.json", {"version": "1.0", "violations": found})
    return found


def publish(settings: Settings, report: dict) -> None:
    """Leaves the metrics of analysis.json for CloudWatch, where they are asked for."""
    if settings.publishes_metrics:
        job.write_metrics(settings, _metrics(report))


def _bias_values(report: dict) -> dict[tuple[str, str, str, str], float]:
    """The metrics that have a value, by stage, facet, facet's value and name."""
    return {
        (stage, facet, each["value_or_threshold"], metric["name"]): metric["value"]
        for stage in _STAGES
        for facet, values in report.get(stage, {}).get("facets", {}).items()
        for each in values
        for metric in each["metrics"]
        if metric["value"] is not None
    }


def _bias_violations(baseline: dict, report: dict) -> list[dict]:
    """A metric that is farther from balance than the baseline's: DI is balanced at 1, all others at 0."""
    before, found = _bias_values(baseline), []
    for key, value in _bias_values(report).items():
        _, facet, facet_value, name = key
        balance = 1.0 if name == "DI" else 0.0
        if key in before and abs(value - balance) > abs(before[key] - balance):
            found.append(
                {
                    "facet": facet,
                    "facet_value": facet_value,
                    "metric_name": name,
                    "constraint_check_type": "bias_drift_check",
                    "description": f"Value {value} does not meet the constraint requirement",
                }
            )
    return found


def _attribution_violations(baseline: dict, report: dict) -> list[dict]:
    before = baseline.get("explanations", {}).get("kernel_shap", {})
    found = []
    for label, values in report.get("explanations", {}).get("kernel_shap", {}).items():
        if label not in before:
            continue
        score = ndcg(before[label]["global_shap_values"], values["global_shap_values"])
        if score < _LEAST_NDCG:
            found.append(
                {
                    "label": label,
                    "metric_name": "shap",
                    "constraint_check_type": "feature_attribution_drift_check",
                    "description": f"Feature attribution drift {score} exceeds threshold {_LEAST_NDCG}",
                }
            )
    return found


def ndcg(baseline: dict[str, float], current: dict[str, float]) -> float:
    """How well the current order of features keeps the baseline's important ones first, 0 to 1."""
    ours, best = (sorted(each, key=each.get, reverse=True) for each in (current, baseline))

    def gain(order: list[str]) -> float:
        return sum(abs(baseline.get(name, 0.0)) / math.log2(place + 2) for place, name in enumerate(order))

    ideal = gain(best)
    return gain(ours) / ideal if ideal else 1.0


def _metrics(report: dict) -> list[dict]:
    found = []
    for (stage, facet, facet_value, name), value in _bias_values(report).items():
        about = report[stage]
        dimensions = {
            "BiasStage": _STAGES[stage],
            "Label": str(about["label"]),
            "LabelValue": about["label_value_or_threshold"],
            "Facet": facet,
            "FacetValue": facet_value,
        }
        found.append({"MetricName": f"bias_metric_{name}", "Value": value, "Dimensions": _named(dimensions)})
    for label, values in report.get("explanations", {}).get("kernel_shap", {}).items():
        dimensions = {"ExplainabilityMethod": "KernelShap", "Label": label, "ValueType": "GlobalShapValues"}
        found += [
            {"MetricName": f"feature_{name}", "Value": value, "Dimensions": _named(dimensions)}
            for name, value in values["global_shap_values"].items()
        ]
    return found


def _named(dimensions: dict[str, str]) -> list[dict]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items() if value]
