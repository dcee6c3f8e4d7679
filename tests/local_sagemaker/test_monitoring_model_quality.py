"""Model Monitor's analyser: ground truth, and the metrics, constraints and violations of model quality."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysed import Analysis, analyse, baseline_of, event, write_lines
from sklearn import metrics

CSV = {"csv": {"header": True}}
CAPTURED = {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}
KEYS = {
    "BinaryClassification": "binary_classification",
    "MulticlassClassification": "multiclass_classification",
    "Regression": "regression",
}


def predictions(problem: str, noise: float, rows: int = 1000) -> pd.DataFrame:
    """What was true and what was predicted, with a probability where there are two labels."""
    random = np.random.default_rng(5)
    truth = random.integers(0, 3 if problem.startswith("Multi") else 2, rows)
    if problem == "Regression":
        return pd.DataFrame({"label": truth, "prediction": truth + random.normal(0, noise, rows)})
    wrong = random.random(rows) < noise
    frame = pd.DataFrame({"label": truth, "prediction": np.where(wrong, (truth + 1) % (truth.max() + 1), truth)})
    if problem.startswith("Binary"):
        frame["probability"] = np.clip(frame["prediction"] * 0.5 + random.random(rows) * 0.5, 0, 1)
    return frame


def environment(problem: str, probability: bool = False) -> dict[str, str]:
    """What the SDK sets for a table."""
    names = {"problem_type": problem, "inference_attribute": "prediction", "ground_truth_attribute": "label"}
    return (
        {"analysis_type": "MODEL_QUALITY"} | names | ({"probability_attribute": "probability"} if probability else {})
    )


def run(work: Path, problem: str, name: str, noise: float, **more: str) -> Analysis:
    """An analysis of a table."""
    path = work / f"{problem}-{name}.csv"
    predictions(problem, noise).to_csv(path, index=False)
    variables = environment(problem, probability=problem.startswith("Binary")) | more
    return analyse(work, f"{problem}-{name}-out", path, CSV, **variables)


def values(report: dict, problem: str) -> dict:
    """The numbers of statistics.json."""
    return {name: each["value"] for name, each in report[f"{KEYS[problem]}_metrics"].items() if "value" in each}


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder."""
    return tmp_path_factory.mktemp("quality")


@pytest.mark.parametrize("problem", KEYS)
def test_worse_predictions_violate_the_constraints_that_the_baseline_suggests(work, problem):
    baseline = run(work, problem, "baseline", 0.1)
    assert baseline.code == 0, baseline.log
    suggested = baseline.report("constraints.json")[f"{KEYS[problem]}_constraints"]
    measured = values(baseline.report("statistics.json"), problem)
    assert {name: each["threshold"] for name, each in suggested.items()} == {name: measured[name] for name in suggested}
    assert run(work, problem, "same", 0.1, **baseline_of(baseline)).report("constraint_violations.json") == {
        "violations": []
    }
    worse = run(work, problem, "worse", 0.4, **baseline_of(baseline))
    found = {each["metric_name"]: each for each in worse.report("constraint_violations.json")["violations"]}
    assert set(found) == set(suggested)
    for name, violation in found.items():
        operator = suggested[name]["comparison_operator"]
        assert violation["constraint_check_type"] == operator
        assert violation["description"].startswith(f"Metric {name} with ")
        assert f" was {operator} '{suggested[name]['threshold']}'" in violation["description"]
    assert worse.message == f"CompletedWithViolations: Job completed successfully with {len(found)} violations."


def test_metrics_of_two_labels_are_those_of_scikit_learn(work):
    frame = predictions("BinaryClassification", 0.2)
    report = run(work, "BinaryClassification", "check", 0.2).report("statistics.json")
    truth, predicted = frame["label"], frame["prediction"]
    found = values(report, "BinaryClassification")
    wanted = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "precision": metrics.precision_score(truth, predicted),
        "recall": metrics.recall_score(truth, predicted),
        "f0_5": metrics.fbeta_score(truth, predicted, beta=0.5),
        "f2": metrics.fbeta_score(truth, predicted, beta=2),
        "true_negative_rate": metrics.recall_score(truth, predicted, pos_label=0),
        "false_positive_rate": 1 - metrics.recall_score(truth, predicted, pos_label=0),
        "auc": metrics.roc_auc_score(truth, frame["probability"]),
        "accuracy_best_constant_classifier": truth.value_counts(normalize=True).max(),
    }
    assert {name: pytest.approx(value) for name, value in wanted.items()} == {name: found[name] for name in wanted}
    confusion = report["binary_classification_metrics"]["confusion_matrix"]
    assert [list(row.values()) for row in confusion.values()] == metrics.confusion_matrix(truth, predicted).tolist()
    deviation = report["binary_classification_metrics"]["accuracy"]["standard_deviation"]
    assert 0 < deviation < 0.02


def test_metrics_of_many_labels_and_of_numbers_are_those_of_scikit_learn(work):
    frame = predictions("MulticlassClassification", 0.2)
    found = values(
        run(work, "MulticlassClassification", "check", 0.2).report("statistics.json"), "MulticlassClassification"
    )
    truth, predicted = frame["label"], frame["prediction"]
    assert found["weighted_f2"] == pytest.approx(metrics.fbeta_score(truth, predicted, beta=2, average="weighted"))
    assert found["weighted_precision"] == pytest.approx(metrics.precision_score(truth, predicted, average="weighted"))
    frame = predictions("Regression", 0.2)
    found = values(run(work, "Regression", "check", 0.2).report("statistics.json"), "Regression")
    errors = frame["prediction"] - frame["label"]
    assert found["mse"] == pytest.approx((errors**2).mean())
    assert found["rmse"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert found["mae"] == pytest.approx(errors.abs().mean())
    assert found["r2"] == pytest.approx(1 - (errors**2).sum() / ((frame["label"] - frame["label"].mean()) ** 2).sum())


def truth_of(event_id: str, label: object) -> dict:
    """A line of ground truth."""
    data = {"data": str(label), "encoding": "CSV"}
    return {"groundTruthData": data, "eventMetadata": {"eventId": event_id}, "eventVersion": "0"}


def merged(work: Path, name: str, events: list[dict], truths: list[dict]) -> Analysis:
    """The merge of captured events with ground truth."""
    write_lines(work / name / "captured" / "a.jsonl", events)
    write_lines(work / name / "truth" / "2026" / "01" / "01" / "00" / "a.jsonl", truths)
    truth = str(work / name / "truth")
    source = work / name / "captured"
    return analyse(work, f"{name}-merged", source, CAPTURED, program="ground_truth_merge", ground_truth_source=truth)


def test_ground_truth_is_merged_by_event_id_and_by_inference_id(work):
    events = [event("1", "0.9", 0), event("1", "0.2", 1, inferenceId="mine"), event("1", "0.4", 2)]
    found = merged(work, "ids", events, [truth_of("event-0", 0), truth_of("mine", 0), truth_of("event-0", 1)])
    assert found.message == "Completed: Merged 2 of 3 captured events with ground truth."
    lines = [json.loads(line) for line in (found.output / "merged.jsonl").read_text().splitlines()]
    assert [line["groundTruthData"]["data"] for line in lines] == ["1", "0"]
    assert [{**line, "groundTruthData": None} for line in lines] == [
        each | {"groundTruthData": None} for each in events[:2]
    ]
    nothing = merged(work, "none", events, [truth_of("other", 1)])
    assert "No ground truth matches any of the 3 captured events" in nothing.failure


@pytest.mark.parametrize(
    ("encoding", "answer", "attributes"),
    [
        ("CSV", "{label},{score}", {"inference_attribute": "0", "probability_attribute": "1"}),
        ("CSV", "{score}", {"probability_attribute": "0", "probability_threshold_attribute": "0.5"}),
        (
            "JSON",
            '{{"out": {{"label": {label}, "scores": [{score}]}}}}',
            {"inference_attribute": "$.out.label", "probability_attribute": "out.scores[0]"},
        ),
    ],
)
def test_predictions_are_found_in_the_answers_by_index_and_by_path(work, encoding, answer, attributes):
    pairs = [(1, 0.9), (0, 0.2), (1, 0.8), (0, 0.7)]
    truths = [1, 0, 1, 0]
    texts = [answer.format(label=int(score > 0.5), score=score) for _, score in pairs]
    events = [event("1", text, number, encoding) for number, text in enumerate(texts)]
    name = f"paths-{len(attributes)}-{encoding}"
    source = merged(work, name, events, [truth_of(f"event-{n}", label) for n, label in enumerate(truths)]).output
    variables = environment("BinaryClassification") | {"inference_attribute": "", "ground_truth_attribute": ""}
    kept = {key: value for key, value in (variables | attributes).items() if value}
    found = analyse(work, f"{name}-quality", source, CAPTURED, **kept, publish_cloudwatch_metrics="Enabled")
    assert found.code == 0, found.log
    measured = values(found.report("statistics.json"), "BinaryClassification")
    assert (measured["accuracy"], measured["recall"], measured["auc"]) == (0.75, 1, 1)
    assert {each["MetricName"]: each["Value"] for each in found.metrics}["f1"] == pytest.approx(0.8)


def test_what_is_not_a_question_of_two_labels_fails_with_the_reason(work):
    path = work / "three.csv"
    predictions("MulticlassClassification", 0.1).to_csv(path, index=False)
    three = analyse(work, "three", path, CSV, **environment("BinaryClassification"))
    assert "two labels, the data has 0, 1, 2" in three.failure
    assert (
        "no column 'label2'"
        in analyse(work, "gone", path, CSV, **environment("Regression") | {"ground_truth_attribute": "label2"}).failure
    )
    assert "problem_type must be one of" in analyse(work, "kind", path, CSV, **environment("Clustering")).failure
