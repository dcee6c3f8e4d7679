"""Clarify's bias metrics against formulas of their own, and its monitor of bias."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysed import Analysis, analyse, event, write_lines

CAPTURED = {"sagemakerCaptureJson": {}}


def people(seed: int = 0, rows: int = 600) -> pd.DataFrame:
    """Loans: women (sex 1) are granted fewer, and are predicted even fewer."""
    random = np.random.default_rng(seed)
    sex = random.integers(0, 2, rows)
    granted = (random.random(rows) < 0.6 - 0.2 * sex).astype(int)
    flipped = random.random(rows) < 0.15 + 0.1 * sex
    predicted = np.where(flipped, 0, granted) | (random.random(rows) < 0.1)
    return pd.DataFrame(
        {
            "granted": granted,
            "sex": sex,
            "income": random.normal(40, 9, rows).round(3),
            "region": random.choice(["north", "south"], rows),
            "predicted": predicted.astype(int),
        }
    )


CONFIG = {
    "dataset_type": "text/csv",
    "headers": list(people(rows=1).columns),
    "label": "granted",
    "predicted_label": "predicted",
    "label_values_or_threshold": [1],
    "facet": [{"name_or_index": "sex", "value_or_threshold": [1]}],
    "group_variable": "region",
    "methods": {"pre_training_bias": {"methods": "all"}, "post_training_bias": {"methods": "all"}},
}


def clarify(work: Path, name: str, frame: pd.DataFrame, config: dict, header: bool = False) -> Analysis:
    """An analysis of a frame, as SageMakerClarifyProcessor asks for it."""
    ml = work / f"{name}-ml" / "processing" / "input"
    for folder in ("config", "data"):
        (ml / folder).mkdir(parents=True, exist_ok=True)
    (ml / "config" / "analysis_config.json").write_text(json.dumps(config))
    frame.to_csv(ml / "data" / "rows.csv", index=False, header=header)
    found = analyse(work, name, work, {}, program="clarify")
    return Analysis(found.code, found.log, found.ml, found.ml / "processing" / "output")


def values(report: dict, stage: str, facet: str = "sex", place: int = 0) -> dict:
    """The metrics of one facet's value, by name."""
    return {each["name"]: each["value"] for each in report[f"{stage}_bias_metrics"]["facets"][facet][place]["metrics"]}


def test_pre_training_metrics_are_those_of_their_formulas(tmp_path):
    frame = people()
    report = clarify(tmp_path, "pre", frame, CONFIG).report("analysis.json")
    men, women = (frame[frame.sex == sex].granted for sex in (0, 1))
    p, q = (np.array([1 - each.mean(), each.mean()]) for each in (men, women))
    middle = (p + q) / 2
    strata = [(len(each), *_shares(each)) for _, each in frame.groupby("region")]
    assert values(report, "pre_training") == pytest.approx(
        {
            "CI": (len(men) - len(women)) / len(frame),
            "DPL": men.mean() - women.mean(),
            "KL": np.sum(p * np.log(p / q)),
            "JS": (np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))) / 2,
            "LP": np.hypot(*(p - q)),
            "TVD": abs(p[1] - q[1]),
            "KS": abs(p[1] - q[1]),
            "CDDL": sum(size * (rejected - accepted) for size, rejected, accepted in strata) / len(frame),
        }
    )
    assert report["pre_training_bias_metrics"]["label_value_or_threshold"] == "1"


def _shares(rows: pd.DataFrame, label: str = "granted") -> list[float]:
    return [(rows[rows[label] == value].sex == 1).mean() for value in (0, 1)]


def test_post_training_metrics_are_those_of_their_formulas(tmp_path):
    frame = people()
    report = clarify(tmp_path, "post", frame, CONFIG).report("analysis.json")
    a, d = (
        {(y, z): ((rows.granted == y) & (rows.predicted == z)).sum() for y in (0, 1) for z in (0, 1)}
        for rows in (frame[frame.sex == 0], frame[frame.sex == 1])
    )
    size_a, size_d = sum(a.values()), sum(d.values())
    benefits = 1 + frame.predicted - frame.granted
    strata = [(len(each), *_shares(each, "predicted")) for _, each in frame.groupby("region")]
    wanted = {
        "DPPL": (a[0, 1] + a[1, 1]) / size_a - (d[0, 1] + d[1, 1]) / size_d,
        "DI": ((d[0, 1] + d[1, 1]) / size_d) / ((a[0, 1] + a[1, 1]) / size_a),
        "DCA": (a[1, 0] + a[1, 1]) / (a[0, 1] + a[1, 1]) - (d[1, 0] + d[1, 1]) / (d[0, 1] + d[1, 1]),
        "DCR": (d[0, 0] + d[0, 1]) / (d[0, 0] + d[1, 0]) - (a[0, 0] + a[0, 1]) / (a[0, 0] + a[1, 0]),
        "RD": a[1, 1] / (a[1, 0] + a[1, 1]) - d[1, 1] / (d[1, 0] + d[1, 1]),
        "DAR": a[1, 1] / (a[0, 1] + a[1, 1]) - d[1, 1] / (d[0, 1] + d[1, 1]),
        "DRR": d[0, 0] / (d[0, 0] + d[1, 0]) - a[0, 0] / (a[0, 0] + a[1, 0]),
        "SD": d[0, 0] / (d[0, 0] + d[0, 1]) - a[0, 0] / (a[0, 0] + a[0, 1]),
        "AD": (a[0, 0] + a[1, 1]) / size_a - (d[0, 0] + d[1, 1]) / size_d,
        "TE": d[1, 0] / d[0, 1] - a[1, 0] / a[0, 1],
        "GE": np.mean((benefits / benefits.mean()) ** 2 - 1) / 2,
        "CDDPL": sum(size * (rejected - accepted) for size, rejected, accepted in strata) / len(frame),
    }
    found = values(report, "post_training")
    flips = found.pop("FT")
    assert found == pytest.approx(wanted)
    ours, theirs = frame[frame.sex == 0], frame[frame.sex == 1]
    points = frame.assign(region=pd.factorize(frame.region)[0])[["income", "region"]].to_numpy()
    near = [
        ours.predicted.to_numpy()[np.argsort(((points[ours.index] - points[row]) ** 2).sum(axis=1), kind="stable")[:5]]
        for row in theirs.index
    ]
    expected = np.array([each.sum() >= 3 for each in near])
    got = theirs.predicted.to_numpy() == 1
    assert flips == pytest.approx(((expected & ~got).sum() - (~expected & got).sum()) / len(theirs))


def test_a_facet_by_threshold_and_one_by_its_categories_and_a_metric_without_a_value(tmp_path):
    frame = people()
    facets = [{"name_or_index": "income", "value_or_threshold": [50]}, {"name_or_index": "region"}]
    config = {key: value for key, value in CONFIG.items() if key != "group_variable"} | {"facet": facets}
    report = clarify(tmp_path, "facets", frame, config).report("analysis.json")
    rich = (frame.income > 50).sum()
    assert values(report, "pre_training", "income")["CI"] == pytest.approx((len(frame) - 2 * rich) / len(frame))
    north, south = (values(report, "pre_training", "region", place)["DPL"] for place in (0, 1))
    assert north == pytest.approx(-south)
    metrics = report["pre_training_bias_metrics"]["facets"]["income"][0]["metrics"]
    [missing] = [each for each in metrics if each["name"] == "CDDL"]
    assert (missing["value"], missing["error"]) == (None, "Group variable is empty or not provided")


def test_a_configuration_that_does_not_fit_fails_with_the_reason(tmp_path):
    for name, change, words in (
        ("headers", {"headers": ["a", "b"]}, "2 headers for 5 columns"),
        ("label", {"label": "gone"}, "no column 'gone'"),
        ("method", {"methods": {"asymmetric_shapley_value": {}}}, "not available in the local SageMaker"),
        ("type", {"dataset_type": "application/x-image"}, "dataset_type application/x-image is not available"),
    ):
        assert words in clarify(tmp_path, name, people(), CONFIG | change).failure


def test_a_monitor_reports_bias_that_is_farther_from_balance_than_the_baseline_s(tmp_path):
    frame = people()
    baseline = clarify(tmp_path, "baseline", frame, CONFIG)
    config = CONFIG | {"headers": ["sex", "income", "region"]}
    folder = tmp_path / "monitor-ml" / "processing" / "input" / "config"
    folder.mkdir(parents=True)
    (folder / "analysis_config.json").write_text(json.dumps(config))

    def monitored(name: str, rows: pd.DataFrame) -> Analysis:
        lines = [
            event(f"{row.sex},{row.income},{row.region}", str(row.predicted), number)
            | {"groundTruthData": {"data": str(row.granted), "encoding": "CSV"}}
            for number, row in enumerate(rows.itertuples())
        ]
        source = write_lines(tmp_path / name / "merged.jsonl", lines)
        variables = {"analysis_type": "MODEL_BIAS", "inference_attribute": "0", "publish_cloudwatch_metrics": "Enabled"}
        variables |= {
            "baseline_constraints": str(baseline.output / "analysis.json"),
            "sagemaker_endpoint_name": "loans",
        }
        return analyse(tmp_path, "monitor", source, CAPTURED, program="clarify", **variables)

    same = monitored("same", frame)
    assert same.report("constraint_violations.json") == {"version": "1.0", "violations": []}
    worse = monitored("worse", frame.assign(predicted=frame.predicted * (1 - frame.sex)))
    found = {each["metric_name"]: each for each in worse.report("constraint_violations.json")["violations"]}
    assert {"DPPL", "DI", "RD"} <= set(found) and not {"CI", "DPL"} & set(found)
    assert found["DPPL"]["constraint_check_type"] == "bias_drift_check"
    assert (found["DPPL"]["facet"], found["DPPL"]["facet_value"]) == ("sex", "1")
    assert worse.message.startswith("CompletedWithViolations")
    [metric] = [each for each in worse.metrics if each["MetricName"] == "bias_metric_DI" and each["Value"] == 0]
    dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
    assert dimensions["Facet"] == "sex" and dimensions["Endpoint"] == "loans"
