"""QualityCheck steps of pipelines: baselines calculated, supplied and registered, and violations of them."""

import json

import deployed
import pipelined
import pytest
from pipelined import fail, get

ANALYZER = "156813124566.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer"
ROWS = "age,plan\n" + "".join(f"{20 + number % 50},{'basic' if number % 3 else 'plus'}\n" for number in range(120))
DRIFTED = ROWS.replace("basic", "gold")


@pytest.fixture
def place(bucket, unique):
    """A prefix of S3."""
    return f"s3://{bucket}/{unique('checks')}"


def check(name, rows, output, **members):
    """A QualityCheck step, as the SDK writes it."""
    source = {"LocalPath": "/opt/ml/processing/input/baseline_dataset_input", "S3DataType": "S3Prefix"}
    target = {"S3Uri": output, "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
    return {
        "Name": name,
        "Type": "QualityCheck",
        "CheckType": "DATA_QUALITY",
        "ModelPackageGroupName": None,
        "SkipCheck": False,
        "FailOnViolation": True,
        "RegisterNewBaseline": False,
        "SuppliedBaselineStatistics": None,
        "SuppliedBaselineConstraints": None,
        "Arguments": {
            "ProcessingInputs": [
                {"InputName": "rows", "S3Input": source | {"S3Uri": rows, "S3InputMode": "File"}},
            ],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "monitoring_output", "S3Output": target}]},
            "ProcessingResources": {"ClusterConfig": pipelined.CLUSTER},
            "AppSpecification": {"ImageUri": ANALYZER},
            "RoleArn": pipelined.ROLE,
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "Environment": {
                "dataset_format": json.dumps({"csv": {"header": True}}),
                "dataset_source": source["LocalPath"],
                "output_path": target["LocalPath"],
            },
        },
    } | members


def test_a_first_check_is_skipped_and_its_baseline_is_held_by_the_next(pipelines, place, put, s3):
    rows, drifted = put(f"{place}/rows/a.csv", ROWS), put(f"{place}/drifted/a.csv", DRIFTED)
    first = check("First", rows, f"{place}/first", SkipCheck=True, RegisterNewBaseline=True)
    parts = ("Statistics", "Constraints")
    baseline = {f"SuppliedBaseline{part}": get(f"Steps.First.CalculatedBaseline{part}") for part in parts}
    same = check("Same", rows, f"{place}/same", **baseline)
    other = check("Other", drifted, f"{place}/other", DependsOn=["Same"], **baseline)
    _, steps = pipelines.run(first, same, other)
    assert pipelines.statuses(steps) == {"First": "Succeeded", "Other": "Failed", "Same": "Succeeded"}, steps
    told = steps["First"]["Metadata"]["QualityCheck"]
    assert told["BaselineUsedForDriftCheckConstraints"] == f"{place}/first/constraints.json"
    assert told["SkipCheck"] is True and "ViolationReport" not in told
    told = steps["Same"]["Metadata"]["QualityCheck"]
    assert told["CalculatedBaselineStatistics"] == f"{place}/same/statistics.json"
    assert told["BaselineUsedForDriftCheckStatistics"] == f"{place}/first/statistics.json"
    assert ":processing-job/pipelines-" in told["CheckJobArn"]
    report = steps["Other"]["Metadata"]["QualityCheck"]["ViolationReport"]
    assert report == f"{place}/other/constraint_violations.json" and report in steps["Other"]["FailureReason"]
    bucket, _, key = report.removeprefix("s3://").partition("/")
    violations = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())["violations"]
    assert {violation["feature_name"] for violation in violations} == {"plan"}


def test_violations_need_not_fail_and_the_baseline_may_come_from_an_approved_model(pipelines, place, put, sm, unique):
    rows, drifted = put(f"{place}/rows/a.csv", ROWS), put(f"{place}/drifted/a.csv", DRIFTED)
    group = unique("group")
    first = check("First", rows, f"{place}/first", SkipCheck=True, RegisterNewBaseline=True)
    metrics = {
        part: {
            "ContentType": "application/json",
            "S3Uri": get(f"Steps.First.BaselineUsedForDriftCheck{part}"),
        }
        for part in ("Statistics", "Constraints")
    }
    container = {"Image": deployed.SKLEARN, "ModelDataUrl": "s3://models/none.tar.gz"}
    types = {key: ["text/csv"] for key in ("SupportedContentTypes", "SupportedResponseMIMETypes")}
    register = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": group,
            "SkipModelValidation": "All",
            "InferenceSpecification": {"Containers": [container]} | types,
            "ModelApprovalStatus": "Approved",
            "DriftCheckBaselines": {"ModelDataQuality": metrics},
        },
    }
    _, steps = pipelines.run(first, register)
    assert pipelines.statuses(steps) == {"First": "Succeeded", "Register": "Succeeded"}, steps
    loose = check("Loose", drifted, f"{place}/loose", ModelPackageGroupName=group, FailOnViolation=False)
    _, steps = pipelines.run(loose, fail("End", get("Steps.Loose.BaselineUsedForDriftCheckConstraints")))
    assert steps["Loose"]["StepStatus"] == "Succeeded"
    assert steps["End"]["FailureReason"] == f"{place}/first/constraints.json"
    assert steps["Loose"]["Metadata"]["QualityCheck"]["ModelPackageGroupName"] == group


def test_a_check_without_a_baseline_fails(pipelines, place, put, unique):
    rows = put(f"{place}/rows/a.csv", ROWS)
    _, steps = pipelines.run(check("Lone", rows, f"{place}/lone", ModelPackageGroupName=unique("nobody")))
    assert steps["Lone"]["FailureReason"].startswith("ClientError: There is no baseline to check against")
