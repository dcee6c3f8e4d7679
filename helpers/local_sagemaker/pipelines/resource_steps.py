"""Steps that make a resource of SageMaker and wait for it: through the same door as every client."""

from __future__ import annotations

import uuid

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from helpers.local_sagemaker import model
from helpers.local_sagemaker.pipelines import expressions, records, retries
from helpers.local_sagemaker.pipelines.attempts import Attempt, Outcome, plain
from helpers.local_sagemaker.pipelines.resources import RESOURCES, Resource

_EXPERIMENTS = ("Processing", "Training", "Transform")
_TOP_JOBS = 50


def prepare(attempt: Attempt) -> None:
    """Draws the name of what will be made: written down before it is made, so that a restart finds it again."""
    resource = RESOURCES[attempt.step.type]
    wanted = expressions.resolve(attempt.step.arguments.get(resource.name), attempt.scope)
    if wanted and not resource.prefixed:
        attempt.note(_resource=wanted)
        return
    shapes, identity = model.service()["shapes"], attempt.name.split("/")[1]
    longest = shapes.get(resource.name, shapes["EntityName"])["max"]
    name = records.resource_name(identity, attempt.step.name, wanted, longest)
    if attempt.step.type == "RegisterModel":
        attempt.note(_token=str(uuid.uuid4()), _package=name)
    else:
        attempt.note(_resource=name)


def begin(attempt: Attempt) -> Outcome | None:
    """Makes the resource; returns at once."""
    return make(attempt, attempt.arguments)


def make(attempt: Attempt, arguments: dict) -> Outcome | None:
    """Makes the resource of these arguments; an outcome tells that it could not be made."""
    resource = RESOURCES[attempt.step.type]
    verb = "Create"
    try:
        if attempt.step.type == "Endpoint" and _description(attempt, resource):
            verb = "Update"
        request = _request(attempt, resource, arguments)
        if verb == "Update":
            request.pop("Tags")
        response = _call(attempt, f"{verb}{resource.stem}", request)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        reason = f"ClientError: Failed to invoke sagemaker:{verb}{resource.stem}. Error Details: {message}"
        return Outcome("Failed", reason=reason, exception=retries.of_error(code))
    except BotoCoreError as error:  # a value that an expression gave is not of the member's type
        reason = f"ClientError: Failed to invoke sagemaker:{verb}{resource.stem}. Error Details: {error}"
        return Outcome("Failed", reason=reason)
    arn = response[resource.arn]
    made = {"_resource": arn} if attempt.step.type == "RegisterModel" else {}
    attempt.note(Metadata={resource.metadata: {resource.arn_told: arn}}, **made)
    return None


def resume(attempt: Attempt) -> bool:
    """Whether an attempt that was cut short had made its resource; its metadata is written then."""
    resource = RESOURCES[attempt.step.type]
    if "_resource" not in attempt.record or not (found := _description(attempt, resource)):
        return False
    wanted = attempt.arguments.get("EndpointConfigName")
    if attempt.step.type == "Endpoint" and wanted not in (found.get("EndpointConfigName"), None):
        return False
    attempt.note(Metadata={resource.metadata: {resource.arn_told: found[resource.arn]}})
    return True


def poll(attempt: Attempt) -> Outcome | None:
    """How the work ended, None while it goes on."""
    resource = RESOURCES[attempt.step.type]
    found = _description(attempt, resource)
    if found is None:
        return Outcome("Failed", reason=f"ClientError: {resource.stem} {attempt.record['_resource']} was deleted")
    if not resource.ends:
        return Outcome("Succeeded", found)
    status = dict(resource.ends).get(found[resource.status])
    if attempt.step.type == "Endpoint" and found["EndpointConfigName"] != attempt.arguments["EndpointConfigName"]:
        status = status and "Failed"  # an update that was rolled back
    if status is None:
        return None
    if attempt.step.type == "Tuning" and status == "Succeeded":
        found |= _tuned(attempt, found)
    reason = found.get("FailureReason") if status == "Failed" else None
    return Outcome(status, found, reason=reason, exception=reason and retries.of_failure(reason))


def stop(attempt: Attempt) -> None:
    """Asks the work to end; what cannot be stopped goes on."""
    resource = RESOURCES[attempt.step.type]
    if resource.stops and "_resource" in attempt.record:
        try:
            _call(attempt, f"Stop{resource.stem}", {resource.name: attempt.record["_resource"]})
        except ClientError as error:
            # It has ended by itself, or was never made: the next poll tells.
            if error.response["Error"]["Code"] != "ValidationException":
                raise


def _request(attempt: Attempt, resource: Resource, arguments: dict) -> dict:
    request = dict(arguments)
    if attempt.step.type == "RegisterModel":
        request["ClientToken"] = attempt.record["_token"]
        if "ModelPackageGroupName" in request:
            request.pop(resource.name, None)
            _make_group(attempt, request["ModelPackageGroupName"])
        else:
            request[resource.name] = attempt.record["_package"]
    else:
        request[resource.name] = attempt.record["_resource"]
    if resource.tagged:
        own = {
            "sagemaker:pipeline-execution-arn": attempt.execution["PipelineExecutionArn"],
            "sagemaker:pipeline-step-name": attempt.step.name,
        }
        request["Tags"] = [*request.get("Tags", []), *({"Key": k, "Value": v} for k, v in own.items())]
    if attempt.step.type in _EXPERIMENTS and (experiment := attempt.execution.get("PipelineExperimentConfig")):
        request["ExperimentConfig"] = experiment | request.get("ExperimentConfig", {})
    return request


def _make_group(attempt: Attempt, group: str) -> None:
    """A package group that a RegisterModel step names is made where there is none."""
    try:
        _call(attempt, "CreateModelPackageGroup", {"ModelPackageGroupName": group})
    except ClientError as error:
        if "already exist" not in str(error):
            raise


def _description(attempt: Attempt, resource: Resource) -> dict | None:
    """What the resource is described as, None when it does not exist."""
    try:
        return plain(_call(attempt, f"Describe{resource.stem}", {resource.name: attempt.record["_resource"]}))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
            return None
        raise


def _tuned(attempt: Attempt, found: dict) -> dict:
    """The jobs of a tuning job, the best first: `Steps.<name>.TrainingJobSummaries[0]`."""
    objective = found["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
    order = "Ascending" if objective.get("Type") == "Minimize" else "Descending"
    request = {
        "HyperParameterTuningJobName": attempt.record["_resource"],
        "SortBy": "FinalObjectiveMetricValue",
        "SortOrder": order,
        "MaxResults": _TOP_JOBS,
    }
    summaries = _call(attempt, "ListTrainingJobsForHyperParameterTuningJob", request)["TrainingJobSummaries"]
    return {"TrainingJobSummaries": plain(summaries)}


def _call(attempt: Attempt, operation: str, request: dict) -> dict:
    return getattr(attempt.server.client("sagemaker"), xform_name(operation))(**request)
