"""Clarify: bias of data and of predictions, and explanations of a model's answers.

Source: "Analysis Configuration Files" and "Analysis Results" of Clarify in the Amazon SageMaker developer guide.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from . import bias_metrics, clarify_data, clarify_monitors, job, kernel_shap
from .bias_metrics import Sample
from .clarify_data import Data
from .job import DataError
from .predictor import Predictor, serving

if TYPE_CHECKING:
    import numpy as np

_DATA, _OUTPUT = "processing/input/data", "processing/output"
_DEFAULT_THRESHOLD = 0.5


def main(ml: Path) -> str:
    """Does what analysis_config.json asks for; returns the exit message."""
    config = clarify_data.configuration(ml)
    environment = os.environ
    if "analysis_type" in environment:  # of a monitoring schedule
        settings = job.settings(ml)
        data = clarify_monitors.read(settings, config)
        report = analyse(data, settings.output)
        clarify_monitors.publish(settings, report)
        return job.exit_message(clarify_monitors.check(settings.output, settings.constraints or {}, report))
    output = ml / _OUTPUT
    if "model_name" in environment:  # of a ClarifyCheck step, as is the baseline
        config["predictor"] = config.get("predictor", {}) | {"model_name": environment["model_name"]}
    report = analyse(clarify_data.read(ml / _DATA, config), output)
    baseline = job.baseline(environment.get("baseline_constraints"))
    if baseline is not None:
        return job.exit_message(clarify_monitors.check(output, baseline, report))
    return "Completed: Job completed successfully."


def analyse(data: Data, output: Path) -> dict:
    """Writes analysis.json and what belongs to it; returns its content.

    Raises:
        DataError: the data is not as configured.
    """
    methods = data.config.get("methods", {})
    output.mkdir(parents=True, exist_ok=True)
    report: dict = {"version": "1.0"}
    needs_model = "shap" in methods or "pdp" in methods or ("post_training_bias" in methods and not data.predicted)
    with serving(data.config.get("predictor", {})) if needs_model else contextlib.nullcontext() as predictor:
        predicted = None
        if "post_training_bias" in methods:
            predicted = _predicted(data, predictor)
        for method, metrics in (
            ("pre_training_bias", bias_metrics.PRE_TRAINING),
            ("post_training_bias", bias_metrics.POST_TRAINING),
        ):
            if method in methods:
                names = methods[method].get("methods", "all")
                report[f"{method}_metrics"] = _bias(data, metrics, names, predicted)
        if "shap" in methods:
            values = kernel_shap.explain(data, methods["shap"], predictor, output)
            report["explanations"] = {"kernel_shap": values}
        if "pdp" in methods:
            report.setdefault("explanations", {})["pdp"] = _partial_dependence(data, methods["pdp"], predictor)
    job.write(output, "analysis.json", report)
    return report


def _bias(data: Data, metrics: dict, names: list[str] | str, predicted: np.ndarray | None) -> dict:
    """The metrics of every facet and of each of its values."""
    if data.label is None or "facet" not in data.config:
        raise DataError("Bias metrics need label and facet.")
    wanted = data.config.get("label_values_or_threshold")
    labels = data.frame[data.label]
    positive = clarify_data.chosen(labels, wanted)
    by_values = labels.isin(wanted or []).any() or labels.astype(str).isin([str(each) for each in wanted or []]).any()
    group = data.config.get("group_variable")
    facets: dict[str, list] = {}
    for facet in data.config["facet"]:
        column = data.column(facet["name_or_index"])
        values = data.frame[column]
        given = facet.get("value_or_threshold")
        for value in [given] if given else [[each] for each in sorted(values.dropna().unique().tolist())]:
            features = clarify_data.encoded(data.features.drop(columns=column, errors="ignore"))
            sample = Sample(
                facet=clarify_data.chosen(values, value),
                label=positive,
                classes=labels.astype(str).to_numpy() if by_values else positive,
                predicted=predicted,
                group=None if group is None else data.frame[data.column(group)].astype(str).to_numpy(),
                features=features.to_numpy(dtype=float),
            )
            name = ",".join(map(str, value))
            found = {"value_or_threshold": name, "metrics": bias_metrics.measure(sample, metrics, names)}
            facets.setdefault(column, []).append(found)
    return {"label": data.label, "facets": facets, "label_value_or_threshold": ",".join(map(str, wanted or []))}


def _predicted(data: Data, predictor: Predictor | None) -> np.ndarray:
    """Whether each predicted label is positive: by its value, or by the probability's threshold."""
    import pandas as pd

    wanted = data.config.get("label_values_or_threshold")
    if data.predicted:
        return clarify_data.chosen(data.frame[data.predicted], wanted)
    config = data.config.get("predictor", {})
    if "label" in config and "probability" not in config:
        labels = clarify_data.interpreted(pd.DataFrame({"label": predictor.labels(data.features)}))["label"]
        return clarify_data.chosen(labels, wanted)
    scores = predictor.scores(data.features)
    if scores.shape[1] != 1:
        raise DataError("predictor.label or a probability of one label is needed for post-training bias.")
    return scores[:, 0] > data.config.get("probability_threshold", _DEFAULT_THRESHOLD)


def _partial_dependence(data: Data, method: dict, predictor: Predictor) -> list[dict]:
    """What the model answers on average when one feature has the same value in all rows."""
    import numpy as np
    import pandas as pd

    features = data.features
    found = []
    for name in map(data.column, method.get("features", list(features))):
        values = features[name]
        if pd.api.types.is_numeric_dtype(values):
            kind, points = "numerical", np.linspace(values.min(), values.max(), method["grid_resolution"]).tolist()
        else:
            kind, points = "categorical", sorted(values.dropna().unique().tolist())
        answers = [predictor.scores(features.assign(**{name: point})).mean(axis=0) for point in points]
        predictions = np.stack(answers, axis=1).tolist()
        found.append(
            {"feature_name": name, "data_type": kind, "feature_values": points, "model_predictions": predictions}
        )
    return found
