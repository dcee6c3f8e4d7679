"""Model Monitor's analyser: statistics and constraints of a baseline, and what of captured data violates them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import captured, constraints, datasets, job, model_quality, profile
from .drift import L_INFINITY
from .job import Settings

if TYPE_CHECKING:
    import pyarrow as pa


def main(ml: Path) -> str:
    """Analyses what the environment names; returns the exit message."""
    settings = job.settings(ml)
    if settings.environment.get("analysis_type", "DATA_QUALITY") == "MODEL_QUALITY":
        violations = model_quality.analyse(settings)
    else:
        violations = analyse(settings)
    if script := settings.environment.get("post_analytics_processor_script"):
        captured.load_script(Path(script)).postprocess_handler()
    return job.exit_message(violations)


def analyse(settings: Settings) -> list[dict] | None:
    """Data quality: writes the reports, returns the violations, None for a baseline.

    Raises:
        DataError: the data cannot be read.
    """
    columns = [profile.column(name, values) for name, values in zip(*_columns(settings), strict=True)]
    statistics = profile.statistics(columns)
    job.write(settings.output, "statistics.json", statistics)
    method = settings.environment.get("categorical_drift_method", L_INFINITY)
    job.write(settings.output, "constraints.json", constraints.suggest(columns, method))
    if settings.constraints is None:
        drifts, violations = {}, None
    else:
        drifts = constraints.distances(settings.constraints, settings.statistics, statistics)
        rows = settings.statistics["dataset"]["item_count"] if settings.statistics else None
        violations = constraints.violations(settings.constraints, columns, drifts, rows)
        job.write(settings.output, "constraint_violations.json", {"violations": violations})
    if settings.publishes_metrics and _emits(settings):
        job.write_metrics(settings, _metrics(columns, drifts))
    return violations


def _columns(settings: Settings) -> tuple[list[str], list[pa.ChunkedArray]]:
    if datasets.CAPTURED in settings.data_format:
        names = [feature["name"] for feature in (settings.constraints or {}).get("features", [])]
        script = settings.environment.get("record_preprocessor_script")
        options = settings.data_format[datasets.CAPTURED] or {}
        table = captured.read(settings.source, options, names, Path(script) if script else None)
    else:
        table = datasets.read(settings.source, settings.data_format)
    excluded = {*filter(None, settings.environment.get("exclude_features_attribute", "").split(","))}
    kept = [name for name in table.column_names if name not in excluded]
    return kept, [table[name] for name in kept]


def _emits(settings: Settings) -> bool:
    return (settings.constraints or {}).get("monitoring_config", {}).get("emit_metrics", "Enabled") == "Enabled"


def _metrics(columns: list[profile.Column], drifts: dict[str, float]) -> list[dict]:
    """Source: "CloudWatch Metrics" of Model Monitor in the Amazon SageMaker developer guide."""
    metrics: list[dict] = []
    for column in columns:
        metrics.append({"MetricName": f"feature_non_null_{column.name}", "Value": column.completeness})
        if column.inferred_type in profile.NUMERIC:
            summary = {
                "SampleCount": float(len(column.numbers)),
                "Sum": float(column.numbers.sum()),
                "Minimum": float(column.numbers.min()),
                "Maximum": float(column.numbers.max()),
            }
            metrics.append({"MetricName": f"feature_data_{column.name}", "StatisticValues": summary})
        if column.name in drifts:
            metrics.append({"MetricName": f"feature_baseline_drift_{column.name}", "Value": drifts[column.name]})
    return metrics
