"""Model Monitor's analyser: statistics, constraints, violations and metrics of data quality."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysed import Analysis, analyse, baseline_of, event, write_lines

CSV = {"csv": {"header": True}}
CAPTURED = {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}
RUNS = 20


def people(seed: int, rows: int = 2000) -> pd.DataFrame:
    """Undrifted data: a score first, as an endpoint's answer is."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "score": random.random(rows),
            "age": random.integers(18, 90, rows),
            "income": np.where(random.random(rows) < 0.05, np.nan, random.lognormal(8, 1, rows)),
            "plan": random.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1]),
        }
    )


def drifted(seed: int) -> pd.DataFrame:
    """Older people, who took another plan."""
    frame = people(seed)
    return frame.assign(age=frame["age"] + 25, plan="pro")


def captures(path: Path, frame: pd.DataFrame) -> Path:
    """A frame as an endpoint captures it."""
    lines = frame.to_csv(index=False, header=False).splitlines()
    split = [line.partition(",") for line in lines]
    return write_lines(path, [event(request, score, number) for number, (score, _, request) in enumerate(split)])


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with the data of the baseline."""
    folder = tmp_path_factory.mktemp("monitoring")
    people(0, 4000).to_csv(folder / "baseline.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def baseline(work) -> Analysis:
    """What the data of the baseline gives."""
    return analyse(work, "baseline", work / "baseline.csv", CSV)


def test_statistics_are_those_of_pandas(work, baseline):
    frame = pd.read_csv(work / "baseline.csv")
    report = baseline.report("statistics.json")
    assert report["dataset"] == {"item_count": len(frame)}
    features = {feature["name"]: feature for feature in report["features"]}
    assert {name: feature["inferred_type"] for name, feature in features.items()} == {
        "score": "Fractional",
        "age": "Integral",
        "income": "Fractional",
        "plan": "String",
    }
    for name in ("score", "age", "income"):
        found, values = features[name]["numerical_statistics"], frame[name].dropna()
        assert found["common"] == {"num_present": len(values), "num_missing": len(frame) - len(values)}
        wanted = [values.mean(), values.sum(), values.std(ddof=0), values.min(), values.max()]
        assert np.allclose([found[key] for key in ("mean", "sum", "std_dev", "min", "max")], wanted)
        buckets = found["distribution"]["kll"]["buckets"]
        assert [bucket["count"] for bucket in buckets] == np.histogram(values, 10)[0].tolist()
        bounds = [buckets[0]["lower_bound"], buckets[-1]["upper_bound"]]
        assert np.allclose(bounds, [values.min(), values.max()])
    counts = features["plan"]["string_statistics"]["distribution"]["categorical"]["buckets"]
    assert {bucket["value"]: bucket["count"] for bucket in counts} == frame["plan"].value_counts().to_dict()
    assert features["plan"]["string_statistics"]["distinct_count"] == 3


def test_the_sketch_of_a_feature_stands_for_all_of_its_values(work, baseline):
    values = np.sort(pd.read_csv(work / "baseline.csv")["score"])
    feature = baseline.report("statistics.json")["features"][0]
    sketch = feature["numerical_statistics"]["distribution"]["kll"]["sketch"]
    kept = sorted((value, 2**level) for level, found in enumerate(sketch["data"]) for value in found)
    assert sketch["parameters"] == {"c": 0.64, "k": 2048.0}
    assert sum(weight for _, weight in kept) == len(values)
    share = np.cumsum([weight for _, weight in kept]) / len(values)
    truth = np.searchsorted(values, [value for value, _ in kept], side="right") / len(values)
    assert np.abs(share - truth).max() < 0.005


def test_constraints_are_what_the_baseline_holds(baseline):
    report = baseline.report("constraints.json")
    features = {feature.pop("name"): feature for feature in report["features"]}
    assert features["age"] == {
        "inferred_type": "Integral",
        "completeness": 1.0,
        "num_constraints": {"is_non_negative": True},
    }
    assert 0.9 < features["income"]["completeness"] < 1
    assert sorted(features["plan"]["string_constraints"]["domains"]) == ["basic", "plus", "pro"]
    assert report["monitoring_config"]["distribution_constraints"] == {
        "perform_comparison": "Enabled",
        "comparison_threshold": 0.1,
        "comparison_method": "Robust",
        "categorical_comparison_threshold": 0.1,
        "categorical_drift_method": "LInfinity",
    }
    assert baseline.message == "Completed: Job completed successfully with no violations."


def test_every_run_on_drifted_captures_finds_the_drift_and_no_run_on_undrifted_ones_does(work, baseline):
    assert analyse(
        work, "drifted", captures(work / "drifted.jsonl", drifted(1)), CAPTURED, **baseline_of(baseline)
    ).violations == {("age", "baseline_drift_check"), ("plan", "baseline_drift_check")}
    for seed in range(RUNS):
        source = captures(work / f"undrifted-{seed}.jsonl", people(100 + seed))
        undrifted = analyse(work, f"undrifted-{seed}", source, CAPTURED, **baseline_of(baseline))
        assert undrifted.violations == set(), seed
        assert undrifted.report("statistics.json")["dataset"]["item_count"] == 2000


def test_every_kind_of_violation_is_found_in_every_format(work, baseline):
    frame = people(2).drop(columns="score").assign(extra=1)
    frame["age"] = frame["age"] + 0.5
    frame.loc[:500, "income"] = np.nan
    frame.loc[:10, "plan"] = "gold"
    frame.to_csv(work / "bad.csv", index=False)
    frame.to_json(work / "bad.jsonl", orient="records", lines=True)
    frame.to_json(work / "bad.json", orient="records")
    frame.to_parquet(work / "bad.parquet")
    formats = {
        "csv": CSV,
        "jsonl": {"json": {"lines": True}},
        "json": {"Json": {"Line": False}},
        "parquet": {"parquet": {}},
    }
    for suffix, data_format in formats.items():
        found = analyse(work, f"bad-{suffix}", work / f"bad.{suffix}", data_format, **baseline_of(baseline))
        assert found.violations == {
            ("Extra columns", "extra_column_check"),
            ("Missing columns", "missing_column_check"),
            ("age", "data_type_check"),
            ("income", "completeness_check"),
            ("plan", "categorical_values_check"),
        }, suffix
        assert found.message == "CompletedWithViolations: Job completed successfully with 5 violations."


def test_the_monitoring_config_says_what_is_compared_and_how(work, baseline):
    constraints = baseline.report("constraints.json")
    source = captures(work / "older.jsonl", people(3).assign(age=lambda rows: rows["age"] + 9))

    def found(name: str, evaluate: str = "Enabled", **distribution) -> set:
        config = constraints["monitoring_config"]
        changed = config | {
            "evaluate_constraints": evaluate,
            "distribution_constraints": config["distribution_constraints"] | distribution,
        }
        path = work / f"{name}.json"
        path.write_text(json.dumps(constraints | {"monitoring_config": changed}))
        environment = baseline_of(baseline) | {"baseline_constraints": str(path)}
        violations = analyse(work, name, source, CAPTURED, **environment).violations
        return {check for feature, check in violations if feature == "age"}

    # The distance is 9/72 = 0.125, of which chance makes up to 1.8 * sqrt(1/2000 + 1/4000) = 0.049.
    drift = {"baseline_drift_check"}
    assert found("robust") == set()
    assert found("simple", comparison_method="Simple") == drift
    assert found("lower", comparison_threshold=0.05) == drift
    assert found("not-compared", perform_comparison="Disabled", comparison_method="Simple") == set()
    assert found("not-evaluated", evaluate="Disabled", comparison_method="Simple") == set()


def test_metrics_have_the_names_and_dimensions_of_aws(work, baseline):
    source = captures(work / "metrics.jsonl", drifted(4))
    environment = {
        "publish_cloudwatch_metrics": "Enabled",
        "sagemaker_endpoint_name": "churn",
        "sagemaker_monitoring_schedule_name": "hourly",
    }
    metrics = {
        each.pop("MetricName"): each
        for each in analyse(work, "metrics", source, CAPTURED, **baseline_of(baseline), **environment).metrics
    }
    names = {f"feature_{kind}_{name}" for kind in ("non_null", "baseline_drift") for name in people(0)}
    assert set(metrics) == names | {f"feature_data_{name}" for name in ("score", "age", "income")}
    assert (
        metrics["feature_baseline_drift_age"]["Value"] > 0.2 > 0.05 > metrics["feature_baseline_drift_score"]["Value"]
    )
    assert metrics["feature_data_age"]["StatisticValues"]["SampleCount"] == 2000
    assert metrics["feature_non_null_plan"]["Value"] == 1
    dimensions = [{"Name": "Endpoint", "Value": "churn"}, {"Name": "MonitoringSchedule", "Value": "hourly"}]
    assert all(each["Dimensions"] == dimensions for each in metrics.values())


def test_captured_json_batches_and_base64_are_rows(work):
    encoded = {side: base64.b64encode(text.encode()).decode() for side, text in {"in": "3,4\n", "out": "0.3"}.items()}
    hidden = event(encoded["in"], encoded["out"], encoding="BASE64")
    for side in hidden["captureData"].values():
        side["observedContentType"] = "text/csv; charset=utf-8"
    lines = {
        "batch": [event("1,2\n3,4\n", "0.1\n0.3\n"), event("5,6\n7,8", "0.5,0.7")],
        "base64": [hidden],
        "json": [event('{"a": 1, "b": {"c": 2}}', '{"score": 0.1}', encoding="JSON")],
        "rows": [event('[{"a": 1}, {"a": 2}]', "[0.1, 0.2]", encoding="JSON")],
    }
    found = {}
    for name, written in lines.items():
        report = analyse(work, name, write_lines(work / f"{name}.jsonl", written), CAPTURED)
        assert report.code == 0, report.log
        statistics = report.report("statistics.json")
        sums = {each["name"]: each["numerical_statistics"]["sum"] for each in statistics["features"]}
        found[name] = statistics["dataset"]["item_count"], {key: round(value, 6) for key, value in sums.items()}
    assert found == {
        "batch": (4, {"_c0": 1.6, "_c1": 16, "_c2": 20}),
        "base64": (1, {"_c0": 0.3, "_c1": 3, "_c2": 4}),
        "json": (1, {"score": 0.1, "a": 1, "b.c": 2}),
        "rows": (2, {"_c0": 0.3, "a": 3}),
    }


def test_scripts_of_the_user_run_before_and_after_the_analysis(work):
    before, after = work / "before.py", work / "after.py"
    before.write_text(
        "def preprocess_handler(inference_record, logger):\n"
        "    values = inference_record.endpoint_input.data.split(',')\n"
        "    if values[0] == '0':\n        return None\n"
        "    return {'sum': sum(map(float, values)), 'id': inference_record.event_metadata.event_id}\n"
    )
    after.write_text("def postprocess_handler():\n    print('after the analysis')\n")
    source = write_lines(work / "scripted.jsonl", [event(f"{number},2", "1", number) for number in range(3)])
    scripts = {"record_preprocessor_script": str(before), "post_analytics_processor_script": str(after)}
    found = analyse(work, "scripted", source, CAPTURED, **scripts)
    features = {each["name"]: each for each in found.report("statistics.json")["features"]}
    assert features["sum"]["numerical_statistics"]["sum"] == 7
    values = features["id"]["string_statistics"]["distribution"]["categorical"]["buckets"]
    assert [bucket["value"] for bucket in values] == ["event-1", "event-2"]
    assert "after the analysis" in found.log


def test_what_cannot_be_read_fails_with_the_reason(work):
    (work / "nothing").mkdir()
    assert "There is no data under" in analyse(work, "no-data", work / "nothing", CSV).failure
    ragged = write_lines(work / "ragged.jsonl", [event("1,2", "1"), event("1,2,3", "1")])
    assert "Captured CSV data cannot be read" in analyse(work, "ragged", ragged, CAPTURED).failure
    unequal = write_lines(work / "unequal.jsonl", [event("1\n2\n3", "1\n2")])
    assert "sides of event event-0 have 2 and 3 records" in analyse(work, "unequal", unequal, CAPTURED).failure
    failed = analyse(work, "no-format", work / "baseline.csv", {"xml": {}})
    assert failed.code == 255 and "none of csv, json, parquet" in failed.failure


def test_an_analyser_imports_nothing_of_the_server():
    program = (
        "import sys; sys.path.insert(0, 'helpers/local_sagemaker'); "
        "from analyzers import model_monitor, ground_truth_merge; "
        "print([name for name in sys.modules if name.startswith(('helpers', 'aiohttp', 'moto', 'boto'))])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
