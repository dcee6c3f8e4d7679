"""QualityCheck and ClarifyCheck steps: a job calculates a baseline, and holds what it found to an earlier one.

Source: "Baseline calculation, drift detection and lifecycle" of Pipelines in the Amazon SageMaker developer guide.
"""

from __future__ import annotations

from dataclasses import replace

from botocore.exceptions import ClientError

from helpers.local_sagemaker.pipelines import resource_steps
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome, s3_json

_FOLDER = "/opt/ml/processing/baseline"
# By type of step: the files of a baseline that its job writes.
_FILES = {
    "QualityCheck": {"Statistics": "statistics.json", "Constraints": "constraints.json"},
    "ClarifyCheck": {"Constraints": "analysis.json"},
}
# By CheckType: where a model package keeps the baseline of a check, with what before the names of its parts.
_PACKAGED = {
    "DATA_QUALITY": ("ModelDataQuality", ""),
    "MODEL_QUALITY": ("ModelQuality", ""),
    "DATA_BIAS": ("Bias", "PreTraining"),
    "MODEL_BIAS": ("Bias", "PostTraining"),
    "MODEL_EXPLAINABILITY": ("Explainability", ""),
}
_NO_BASELINE = "ClientError: There is no baseline to check against: supply one, or skip the check"


def begin(attempt: Attempt) -> Outcome | None:
    """Starts the job, with the baseline that the data is held to unless the check is skipped."""
    arguments = attempt.arguments
    if not attempt.body.get("SkipCheck"):
        baseline = _earlier_baseline(attempt)
        if "Constraints" not in baseline:
            return Outcome("Failed", reason=_NO_BASELINE)
        arguments = _held_to(arguments, baseline)
    if model_name := attempt.body.get("ModelName"):
        arguments = arguments | {"Environment": arguments.get("Environment", {}) | {"model_name": model_name}}
    return resource_steps.make(attempt, arguments)


def poll(attempt: Attempt) -> Outcome | None:
    """How the job ended; violations fail the step unless it says otherwise."""
    outcome = resource_steps.poll(attempt)
    if outcome is None or outcome.status != "Succeeded":
        return outcome
    body, told = attempt.body, _told(attempt)
    properties = {name: uri for name, uri in told.items() if "Baseline" in name and name != "RegisterNewBaseline"}
    kind = attempt.step.type
    metadata = {kind: attempt.record["Metadata"][kind] | told}
    outcome = replace(outcome, properties=properties, metadata=metadata)
    if body.get("SkipCheck"):
        return outcome
    found = s3_json(attempt.server, told["ViolationReport"])["violations"]
    if found and body.get("FailOnViolation", True):
        reason = f"ClientError: The check found {len(found)} violations: {told['ViolationReport']}"
        return replace(outcome, status="Failed", reason=reason)
    return outcome


def _told(attempt: Attempt) -> dict:
    """The step's metadata: what was calculated, and what it was held to."""
    body = attempt.body
    (output,) = attempt.arguments["ProcessingOutputConfig"]["Outputs"]
    folder = output["S3Output"]["S3Uri"].rstrip("/")
    calculated = {part: f"{folder}/{file}" for part, file in _FILES[attempt.step.type].items()}
    is_new, is_skipped = bool(body.get("RegisterNewBaseline")), bool(body.get("SkipCheck"))
    used = calculated if is_new else _earlier_baseline(attempt)
    told = {
        "CheckType": body["CheckType"],
        "ModelPackageGroupName": body.get("ModelPackageGroupName"),
        "SkipCheck": is_skipped,
        "RegisterNewBaseline": is_new,
        "ViolationReport": None if is_skipped else f"{folder}/constraint_violations.json",
        **{f"CalculatedBaseline{part}": uri for part, uri in calculated.items()},
        **{f"BaselineUsedForDriftCheck{part}": uri for part, uri in used.items()},
    }
    return {name: value for name, value in told.items() if value is not None}


def _earlier_baseline(attempt: Attempt) -> dict[str, str]:
    """Statistics and Constraints, by URI: those supplied, else those of the latest approved model package."""
    body = attempt.body
    packaged = _packaged(attempt, body["ModelPackageGroupName"]) if body.get("ModelPackageGroupName") else {}
    _, before = _PACKAGED[body["CheckType"]]
    found = {
        part: body.get(f"SuppliedBaseline{part}") or packaged.get(f"{before}{part}", {}).get("S3Uri")
        for part in _FILES[attempt.step.type]
    }
    return {part: uri for part, uri in found.items() if uri}


def _packaged(attempt: Attempt, group: str) -> dict:
    sm = attempt.server.client("sagemaker")
    try:
        approved = sm.list_model_packages(
            ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", MaxResults=1
        )["ModelPackageSummaryList"]
    except ClientError:  # there is no such group, and so no baseline
        return {}
    if not approved:
        return {}
    package = sm.describe_model_package(ModelPackageName=approved[0]["ModelPackageArn"])
    kept, _ = _PACKAGED[attempt.body["CheckType"]]
    return package.get("DriftCheckBaselines", {}).get(kept, {})


def _held_to(arguments: dict, baseline: dict[str, str]) -> dict:
    """The arguments with the files of a baseline among the inputs, which the environment names."""
    inputs, environment = list(arguments.get("ProcessingInputs", [])), dict(arguments.get("Environment", {}))
    for part, uri in baseline.items():
        folder, name = f"{_FOLDER}/{part.lower()}", f"baseline_{part.lower()}"
        s3 = {"S3Uri": uri, "LocalPath": folder, "S3DataType": "S3Prefix", "S3InputMode": "File"}
        inputs.append({"InputName": name, "S3Input": s3})
        environment[name] = f"{folder}/{uri.rpartition('/')[2]}"
    return arguments | {"ProcessingInputs": inputs, "Environment": environment}
