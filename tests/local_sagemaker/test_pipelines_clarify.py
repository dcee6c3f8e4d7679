"""ClarifyCheck steps of pipelines: bias and attributions are held to a baseline, violations fail the step."""

import json

import deployed
import pipelined
import pytest
from pipelined import get

CLARIFY = "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"
ML = "/opt/ml/processing"
HEADERS = ["granted", "sex", "income"]
# Answers each row with an expression of its two features.
MODEL = """
def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return [[float(value) for value in line.split(",")] for line in data.splitlines()]

def predict_fn(rows, model):
    return "".join(f"{%s}\\n" for sex, income in rows)

def output_fn(answer, accept):
    return answer, "text/csv"
"""
BIAS = {
    "label": "granted",
    "label_values_or_threshold": [1],
    "facet": [{"name_or_index": "sex", "value_or_threshold": [1]}],
}
PREDICTOR = {"instance_type": "ml.m5.large", "initial_instance_count": 1, "accept_type": "text/csv"}


def loans(women: int) -> str:
    """40 rows of men and 40 of women: half of the men are granted theirs, and so many of the women."""
    rows = [(int(number < (women if sex else 20)), sex, number % 7) for sex in (0, 1) for number in range(40)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def place(bucket, unique):
    """A prefix of S3."""
    return f"s3://{bucket}/{unique('clarify')}"


@pytest.fixture
def read(s3):
    """Reads a JSON object."""

    def load(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])

    return load


@pytest.fixture
def check(place, put):
    """A ClarifyCheck step, as the SDK writes it, with its files."""

    def step(name, kind, rows, config, **members):
        whole = {"dataset_type": "text/csv", "headers": HEADERS} | config
        sources = {
            "analysis_config": (put(f"{place}/{name}/analysis_config.json", json.dumps(whole)), f"{ML}/input/config"),
            "dataset": (put(f"{place}/{name}/rows.csv", rows), f"{ML}/input/data"),
        }
        inputs = [
            {
                "InputName": source,
                "S3Input": {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"},
            }
            for source, (uri, path) in sources.items()
        ]
        output = {"S3Uri": f"{place}/{name}/found", "LocalPath": f"{ML}/output", "S3UploadMode": "EndOfJob"}
        return {
            "Name": name,
            "Type": "ClarifyCheck",
            "CheckType": kind,
            "ModelPackageGroupName": None,
            "SkipCheck": False,
            "FailOnViolation": True,
            "RegisterNewBaseline": False,
            "SuppliedBaselineConstraints": None,
            "Arguments": {
                "ProcessingInputs": inputs,
                "ProcessingOutputConfig": {"Outputs": [{"OutputName": "analysis_result", "S3Output": output}]},
                "ProcessingResources": {"ClusterConfig": pipelined.CLUSTER},
                "AppSpecification": {"ImageUri": CLARIFY},
                "RoleArn": pipelined.ROLE,
                "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            },
        } | members

    return step


NEW = {"SkipCheck": True, "RegisterNewBaseline": True}
HELD = {"SuppliedBaselineConstraints": get("Steps.First.CalculatedBaselineConstraints")}


def test_bias_of_data_is_held_to_the_baseline_of_an_earlier_check(pipelines, place, check, read):
    config = BIAS | {"methods": {"pre_training_bias": {"methods": ["DPL"]}, "report": {"name": "report"}}}
    _, steps = pipelines.run(
        check("First", "DATA_BIAS", loans(18), config, **NEW),
        check("Same", "DATA_BIAS", loans(18), config, **HELD),
        check("Loose", "DATA_BIAS", loans(4), config, **HELD, FailOnViolation=False),
        check("Other", "DATA_BIAS", loans(4), config, **HELD, DependsOn=["Same", "Loose"]),
    )
    wanted = {"First": "Succeeded", "Loose": "Succeeded", "Other": "Failed", "Same": "Succeeded"}
    assert pipelines.statuses(steps) == wanted, steps
    told = steps["First"]["Metadata"]["ClarifyCheck"]
    assert told["CalculatedBaselineConstraints"] == f"{place}/First/found/analysis.json"
    assert told["BaselineUsedForDriftCheckConstraints"] == f"{place}/First/found/analysis.json"
    assert told["SkipCheck"] is True and "ViolationReport" not in told
    told = steps["Same"]["Metadata"]["ClarifyCheck"]
    assert told["BaselineUsedForDriftCheckConstraints"] == f"{place}/First/found/analysis.json"
    assert read(told["ViolationReport"])["violations"] == []
    report = steps["Other"]["Metadata"]["ClarifyCheck"]["ViolationReport"]
    assert report == f"{place}/Other/found/constraint_violations.json" and report in steps["Other"]["FailureReason"]
    (violation,) = read(report)["violations"]
    assert (violation["facet"], violation["facet_value"], violation["metric_name"]) == ("sex", "1", "DPL")
    assert violation["description"].startswith("Value 0.4 ")


@pytest.mark.parametrize(
    ("kind", "config", "answers", "violated"),
    [
        (
            "MODEL_BIAS",
            BIAS | {"methods": {"post_training_bias": {"methods": ["DPPL"]}}, "predictor": PREDICTOR},
            ("1", "1 - sex"),
            "DPPL",
        ),
        (
            "MODEL_EXPLAINABILITY",
            {
                "label": "granted",
                "methods": {"shap": {"baseline": [[0, 0]], "num_samples": 20, "agg_method": "mean_abs", "seed": 1}},
                "predictor": PREDICTOR,
            },
            ("9 * sex + 0.1 * income", "0.1 * sex + 9 * income"),
            "shap",
        ),
    ],
)
def test_a_model_is_held_to_what_an_earlier_one_answered(
    pipelines, check, read, sm, s3, bucket, unique, kind, config, answers, violated
):
    before, after = (
        deployed.create_model(sm, s3, bucket, unique("model"), {"code/inference.py": MODEL % answer})
        for answer in answers
    )
    _, steps = pipelines.run(
        check("First", kind, loans(18), config, **NEW, ModelName=before),
        check("Same", kind, loans(18), config, **HELD, ModelName=before),
        check("Other", kind, loans(18), config, **HELD, ModelName=after, DependsOn=["Same"]),
    )
    assert pipelines.statuses(steps) == {"First": "Succeeded", "Other": "Failed", "Same": "Succeeded"}, steps
    report = read(steps["Other"]["Metadata"]["ClarifyCheck"]["ViolationReport"])
    assert {each["metric_name"] for each in report["violations"]} == {violated}


def test_the_baseline_of_bias_may_come_from_an_approved_model(pipelines, place, check, unique):
    group, config = unique("group"), BIAS | {"methods": {"pre_training_bias": {"methods": ["DPL"]}}}
    uri = get("Steps.First.BaselineUsedForDriftCheckConstraints")
    types = {key: ["text/csv"] for key in ("SupportedContentTypes", "SupportedResponseMIMETypes")}
    register = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": group,
            "SkipModelValidation": "All",
            "InferenceSpecification": {
                "Containers": [{"Image": deployed.SKLEARN, "ModelDataUrl": "s3://models/none.tar.gz"}]
            }
            | types,
            "ModelApprovalStatus": "Approved",
            "DriftCheckBaselines": {
                "Bias": {"PreTrainingConstraints": {"ContentType": "application/json", "S3Uri": uri}}
            },
        },
    }
    _, steps = pipelines.run(check("First", "DATA_BIAS", loans(18), config, **NEW), register)
    assert pipelines.statuses(steps) == {"First": "Succeeded", "Register": "Succeeded"}, steps
    _, steps = pipelines.run(check("Next", "DATA_BIAS", loans(4), config, ModelPackageGroupName=group))
    assert steps["Next"]["StepStatus"] == "Failed"
    told = steps["Next"]["Metadata"]["ClarifyCheck"]
    assert told["BaselineUsedForDriftCheckConstraints"] == f"{place}/First/found/analysis.json"
