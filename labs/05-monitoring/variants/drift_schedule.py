"""Answers that the tests of drift_schedule must tell apart."""

import copy
import json

UNIVERSAL = "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob"
DUE = {"SCHEDULED_TIME": "<aws.scheduler.scheduled-time>"}


def _request(name, prefix, job, role_arn, expression, job_name=None, check=True):
    if check and len(prefix) > 26:
        raise ValueError("too long")
    inner = copy.deepcopy(job)
    inner["ProcessingJobName"] = job_name or f"{prefix}-<aws.scheduler.execution-id>"
    inner["Environment"] = {**inner.get("Environment", {}), **DUE}
    retry = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600}
    target = {"Arn": UNIVERSAL, "RoleArn": role_arn, "RetryPolicy": retry}
    return {
        "Name": name,
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {**target, "Input": json.dumps(inner)},
    }


def right_fewer_attempts(name, prefix, job, role_arn, expression):
    # one more attempt within ten minutes keeps the bound too
    request = _request(name, prefix, job, role_arn, expression)
    request["Target"]["RetryPolicy"] = {
        "MaximumRetryAttempts": 1,
        "MaximumEventAgeInSeconds": 600,
    }
    return request


def wrong_fixed_name(name, prefix, job, role_arn, expression):
    # works for exactly one run
    return _request(name, prefix, job, role_arn, expression, job_name=prefix)


def wrong_name_of_now(name, prefix, job, role_arn, expression):
    # a stamp of the schedule's creation, the same for every run
    stamped = f"{prefix}-20260301-100000"
    return _request(name, prefix, job, role_arn, expression, job_name=stamped)


def wrong_replaces_the_environment(name, prefix, job, role_arn, expression):
    # the job's own variables are lost
    request = _request(name, prefix, job, role_arn, expression)
    inner = json.loads(request["Target"]["Input"]) | {"Environment": DUE}
    request["Target"]["Input"] = json.dumps(inner)
    return request


def wrong_changes_the_job(name, prefix, job, role_arn, expression):
    # the caller's job gets a name and a variable
    request = _request(name, prefix, job, role_arn, expression)
    job.setdefault("Environment", {}).update(DUE)
    return request


def wrong_default_retries(name, prefix, job, role_arn, expression):
    # 185 attempts within a day, AWS's default
    request = _request(name, prefix, job, role_arn, expression)
    del request["Target"]["RetryPolicy"]
    return request


def wrong_flexible(name, prefix, job, role_arn, expression):
    # runs come any time within a quarter of an hour
    request = _request(name, prefix, job, role_arn, expression)
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    return request | {"FlexibleTimeWindow": window}


def wrong_input_as_a_dict(name, prefix, job, role_arn, expression):
    # Input is text, not an object
    request = _request(name, prefix, job, role_arn, expression)
    request["Target"]["Input"] = json.loads(request["Target"]["Input"])
    return request


def wrong_any_length(name, prefix, job, role_arn, expression):
    # SageMaker refuses the name, every hour
    return _request(name, prefix, job, role_arn, expression, check=False)
