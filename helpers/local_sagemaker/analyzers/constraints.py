"""Constraints that a baseline suggests, and what of other data violates them.

Source: "Schema for Constraints (constraints.json file)" and "Schema for Violations (constraint_violations.json file)"
of the Amazon SageMaker developer guide.
"""

from __future__ import annotations

import math

from . import drift
from .profile import NUMERIC, Column

# Values of a column are a domain when there are few of them, as a number and by the rows that each has.
_LARGEST_DOMAIN = 100
_ROWS_PER_VALUE = 10
_COMPLETENESS_ERRORS = 4.0  # standard errors of a share of missing values that two samples of one source may differ by


def suggest(columns: list[Column], categorical_drift_method: str = drift.L_INFINITY) -> dict:
    """The content of constraints.json."""
    return {
        "version": 0.0,
        "features": [_feature(each) for each in columns],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.1,
                "comparison_method": drift.ROBUST,
                "categorical_comparison_threshold": 0.1 if categorical_drift_method == drift.L_INFINITY else 0.05,
                "categorical_drift_method": categorical_drift_method,
            },
        },
    }


def _feature(column: Column) -> dict:
    feature: dict = {
        "name": column.name,
        "inferred_type": column.inferred_type,
        "completeness": column.completeness,
    }
    if column.inferred_type in NUMERIC:
        feature["num_constraints"] = {"is_non_negative": bool(column.numbers.min() >= 0)}
    values = [value for value, _ in column.texts]
    if values and len(values) <= min(_LARGEST_DOMAIN, max(column.present // _ROWS_PER_VALUE, 1)):
        feature["string_constraints"] = {"domains": values}
    return feature


def distances(constraints: dict, baseline: dict | None, current: dict) -> dict[str, float]:
    """The drift of every feature that both have in one kind, by name."""
    features = {feature["name"]: feature for feature in (baseline or {}).get("features", [])}
    configs = {feature["name"]: _config(constraints, feature) for feature in constraints["features"]}
    found = {}
    for feature in current["features"]:
        name = feature["name"]
        config = configs.get(name, _config(constraints, {}))["distribution_constraints"]
        if name not in features or config.get("perform_comparison", "Enabled") != "Enabled":
            continue
        method = config.get("comparison_method", drift.ROBUST)
        before = features[name]
        if "numerical_statistics" in before and "numerical_statistics" in feature:
            distance = drift.numeric(before["numerical_statistics"], feature["numerical_statistics"], method)
        elif "string_statistics" in before and "string_statistics" in feature:
            both = before["string_statistics"], feature["string_statistics"]
            distance = drift.categorical(*both, method, config.get("categorical_drift_method", drift.L_INFINITY))
        else:
            continue
        if distance is not None:
            found[name] = distance
    return found


def violations(
    constraints: dict, columns: list[Column], drifts: dict[str, float], baseline_rows: int | None
) -> list[dict]:
    """What is not as the constraints say, in the format of constraint_violations.json.

    Args:
        constraints: of the baseline.
        columns: of the data.
        drifts: of `distances`.
        baseline_rows: how many the baseline has, None where that is not known.
    """
    if constraints.get("monitoring_config", {}).get("evaluate_constraints", "Enabled") != "Enabled":
        return []
    found = _column_violations(constraints, columns)
    by_name = {column.name: column for column in columns}
    for feature in constraints["features"]:
        column = by_name.get(feature["name"])
        if column is None:
            continue
        config = _config(constraints, feature)
        for check, kind in _CHECKS.items():
            if description := check(feature, column, config, baseline_rows):
                found.append(_violation(column.name, kind, description))
        if description := _drift(column, drifts.get(column.name), config["distribution_constraints"]):
            found.append(_violation(column.name, "baseline_drift_check", description))
    return found


def _violation(name: str, check: str, description: str) -> dict:
    return {"feature_name": name, "constraint_check_type": check, "description": description}


def _config(constraints: dict, feature: dict) -> dict:
    """The monitoring_config that holds for a feature."""
    common = constraints.get("monitoring_config", {})
    own = feature.get("monitoring_config_overrides") or feature.get("monitoringConfigOverrides") or {}
    both = [each.get("distribution_constraints", {}) for each in (common, own)]
    return common | own | {"distribution_constraints": both[0] | both[1]}


def _column_violations(constraints: dict, columns: list[Column]) -> list[dict]:
    expected, observed = [{*names} for names in (_names(constraints), [column.name for column in columns])]
    counts = (
        f"Number of columns in current dataset: {len(observed)}, "
        f"Number of columns in baseline constraints: {len(expected)}"
    )
    found = []
    if observed - expected:
        text = f"There are extra columns in current dataset. {counts}"
        found.append(_violation("Extra columns", "extra_column_check", text))
    if expected - observed:
        text = f"There are missing columns in current dataset. {counts}"
        found.append(_violation("Missing columns", "missing_column_check", text))
    return found


def _names(constraints: dict) -> list[str]:
    return [feature["name"] for feature in constraints["features"]]


def _percent(share: float) -> str:
    return f"{share * 100}%"


def _data_type(feature: dict, column: Column, config: dict, _rows: int | None) -> str | None:
    expected, threshold = feature["inferred_type"], config.get("datatype_check_threshold", 1.0)
    share = column.matching(expected)
    if expected not in NUMERIC or share >= threshold:
        return None
    return (
        f"Data type match requirement is not met. Expected data type: {expected}, Expected match: "
        f"{_percent(threshold)}. Observed: Only {_percent(share)} of data is {expected}."
    )


def _completeness(feature: dict, column: Column, config: dict, baseline_rows: int | None) -> str | None:
    expected = feature.get("completeness", 0.0)
    allowed = expected
    if config["distribution_constraints"].get("comparison_method", drift.ROBUST) == drift.ROBUST and baseline_rows:
        # AWS allows nothing: half of all samples of a column with gaps would violate their own source's completeness.
        error = math.sqrt(expected * (1 - expected) * (1 / baseline_rows + 1 / max(column.rows, 1)))
        allowed -= _COMPLETENESS_ERRORS * error
    if column.completeness >= allowed:
        return None
    return (
        f"Data completeness requirement is not met. Expected completeness: {_percent(expected)}. Observed: Only "
        f"{_percent(column.completeness)} of data is complete."
    )


def _domain(feature: dict, column: Column, config: dict, _rows: int | None) -> str | None:
    domain = feature.get("string_constraints", {}).get("domains")
    if not domain or not column.texts:
        return None
    known, threshold = {*domain}, config.get("domain_content_threshold", 1.0)
    share = sum(count for value, count in column.texts if value in known) / column.present
    if share >= threshold:
        return None
    return (
        f"Value: {share} does not meet the constraint requirement: at least {_percent(threshold)} of values must be in "
        "the domain of the baseline."
    )


def _drift(column: Column, distance: float | None, config: dict) -> str | None:
    threshold = config.get("comparison_threshold", 0.1)
    if column.inferred_type == "String":
        threshold = config.get("categorical_comparison_threshold", threshold)
        if config.get("categorical_drift_method") == drift.CHI_SQUARED:
            threshold = 1 - threshold
    if distance is None or distance <= threshold:
        return None
    return f"Baseline drift distance: {distance} exceeds threshold: {threshold}"


_CHECKS = {
    _data_type: "data_type_check",
    _completeness: "completeness_check",
    _domain: "categorical_values_check",
}
