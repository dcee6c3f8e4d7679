"""Step types of pipelines beside jobs: Lambda, Callback, endpoints, registry; and triggers of dependencies."""

import io
import json
import time
import zipfile

import deployed
import pipelined
import pytest
from botocore.exceptions import ClientError
from pipelined import LONG, condition, equals, fail, get, join, processing

HANDLER = """
import os
def handler(event, context):
    print("called with", event, context.function_name)
    if event.get("sleep"):
        import time
        time.sleep(event["sleep"])
    if event.get("fail"):
        raise ValueError(event["fail"])
    return {"statusCode": 200, "doubled": 2 * event.get("number", 0), "from": os.environ["GREETING"]}
"""
OUTPUTS = [{"OutputName": "doubled", "OutputType": "Integer"}, {"OutputName": "from", "OutputType": "String"}]


@pytest.fixture
def function(client, unique):
    """The ARN of a Lambda function."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("code.py", HANDLER)
    name = unique("function")
    request = {"Handler": "code.handler", "Runtime": "python3.12", "Timeout": 20, "MemorySize": 512}
    return client("lambda").create_function(
        FunctionName=name,
        Role=pipelined.ROLE,
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": {"GREETING": "home"}},
        **request,
    )["FunctionArn"]


def calls(name, arn, outputs=OUTPUTS, **arguments):
    """A Lambda step."""
    return {
        "Name": name,
        "Type": "Lambda",
        "FunctionArn": arn,
        "OutputParameters": list(outputs),
        "Arguments": arguments,
    }


def test_a_lambda_step_calls_the_function_and_hands_on_its_outputs(pipelines, function, client):
    check = equals(get("Steps.Call.OutputParameters['doubled']"), 42)
    steps = [
        calls("Call", function, number=get("Parameters.Number")),
        condition("Check", [check], [], [fail("No", "x")]),
    ]
    execution, ran = pipelines.run(*steps, parameters=[{"Name": "Number", "Type": "Integer", "DefaultValue": 21}])
    assert execution["PipelineExecutionStatus"] == "Succeeded", ran
    assert ran["Call"]["Metadata"]["Lambda"] == {
        "Arn": function,
        "OutputParameters": [{"Name": "doubled", "Value": "42"}, {"Name": "from", "Value": "home"}],
    }
    name = function.rpartition(":")[2]
    events = client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event["message"] for event in events] == [f"called with {{'number': 21}} {name}"]


def test_a_lambda_step_fails_with_the_error_of_its_function(pipelines, function, client):
    execution, steps = pipelines.run(calls("Call", function, fail="out of luck"))
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert steps["Call"]["FailureReason"].endswith("ValueError: out of luck")
    client("lambda").update_function_configuration(FunctionName=function, Timeout=1)
    _, steps = pipelines.run(calls("Call", function, sleep=600))
    assert steps["Call"]["FailureReason"] == f"ClientError: Lambda function {function} timed out after 1 seconds"
    _, steps = pipelines.run(calls("Call", function, [{"OutputName": "gone", "OutputType": "String"}]))
    assert steps["Call"]["FailureReason"] == f"ClientError: Lambda function {function} returned no gone"
    client("lambda").update_function_configuration(FunctionName=function, Runtime="nodejs22.x")
    _, steps = pipelines.run(calls("Call", function))
    assert "Lambda functions of Python only" in steps["Call"]["FailureReason"]
    _, steps = pipelines.run(calls("Call", f"{function}-gone"))
    assert "Failed to invoke lambda function" in steps["Call"]["FailureReason"]


def test_an_execution_waits_for_a_lambda_function_before_it_stops(pipelines, function, sm):
    arn = pipelines.start(pipelines.create(calls("Call", function, sleep=1), fail("After", "x", DependsOn=["Call"])))
    pipelines.await_step(arn, "Call", "Executing")
    sm.stop_pipeline_execution(PipelineExecutionArn=arn)
    execution, steps = pipelines.ended(arn)
    assert execution["PipelineExecutionStatus"] == "Stopped"
    assert pipelines.statuses(steps) == {"Call": "Succeeded"}


@pytest.fixture
def queue(client, unique):
    """The URL of an SQS queue."""
    return client("sqs").create_queue(QueueName=unique("queue"))["QueueUrl"]


def waits(queue, **arguments):
    """A Callback step."""
    outputs = [{"OutputName": "answer", "OutputType": "String"}]
    return {
        "Name": "Ask",
        "Type": "Callback",
        "SqsQueueUrl": queue,
        "OutputParameters": outputs,
        "Arguments": arguments,
    }


def message(client, queue):
    """The next message in a queue."""
    deadline = time.monotonic() + pipelined.PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for found in client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
            client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=found["ReceiptHandle"])
            return json.loads(found["Body"])
    raise AssertionError("no message came")


def test_a_callback_step_waits_for_its_answer(pipelines, sm, client, queue):
    end = fail("End", join("got ", get("Steps.Ask.OutputParameters['answer']")))
    arn = pipelines.start(pipelines.create(waits(queue, question=get("Execution.PipelineName")), end))
    told = message(client, queue)
    assert told["arguments"] == {"question": arn.split("/")[1]} and told["status"] == "Executing"
    assert told["pipelineExecutionArn"] == arn
    step = pipelines.await_step(arn, "Ask", "Executing")
    assert step["Metadata"]["Callback"] == {"CallbackToken": told["token"], "SqsQueueUrl": queue}
    with pytest.raises(ClientError, match="OutputParameters must have answer"):
        sm.send_pipeline_execution_step_success(CallbackToken=told["token"])
    answer = {"CallbackToken": told["token"], "OutputParameters": [{"Name": "answer", "Value": "yes"}]}
    once = answer | {"ClientRequestToken": "0" * 32}
    assert sm.send_pipeline_execution_step_success(**once)["PipelineExecutionArn"] == arn
    assert sm.send_pipeline_execution_step_success(**once)["PipelineExecutionArn"] == arn
    with pytest.raises(ClientError, match="No callback step waits for the token"):
        sm.send_pipeline_execution_step_failure(CallbackToken=told["token"])
    _, steps = pipelines.ended(arn)
    assert steps["End"]["FailureReason"] == "got yes"
    assert steps["Ask"]["Metadata"]["Callback"]["OutputParameters"] == answer["OutputParameters"]


def test_a_callback_step_fails_with_the_reason_that_is_sent(pipelines, sm, client, queue):
    arn = pipelines.start(pipelines.create(waits(queue)))
    sm.send_pipeline_execution_step_failure(CallbackToken=message(client, queue)["token"], FailureReason="not today")
    execution, steps = pipelines.ended(arn)
    assert (execution["PipelineExecutionStatus"], steps["Ask"]["FailureReason"]) == ("Failed", "not today")
    _, steps = pipelines.run(waits(f"{queue}-gone"))
    assert steps["Ask"]["FailureReason"].startswith("ClientError: Failed to send a message to ")


def test_an_execution_stops_when_its_callback_step_is_answered(pipelines, sm, client, queue):
    arn = pipelines.start(pipelines.create(waits(queue)))
    token = message(client, queue)["token"]
    pipelines.await_step(arn, "Ask", "Executing")
    sm.stop_pipeline_execution(PipelineExecutionArn=arn)
    told = message(client, queue)
    assert (told["token"], told["status"]) == (token, "Stopping")
    assert sm.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Stopping"
    sm.send_pipeline_execution_step_failure(CallbackToken=token)
    execution, steps = pipelines.ended(arn)
    assert (execution["PipelineExecutionStatus"], steps["Ask"]["StepStatus"]) == ("Stopped", "Stopped")


def test_a_model_is_registered_in_a_group_that_the_step_makes(pipelines, sm, unique):
    group = unique("group")
    container = {"Image": deployed.SKLEARN, "ModelDataUrl": "s3://models/none.tar.gz"}
    step = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": group,
            "SkipModelValidation": "All",
            "InferenceSpecification": {
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            "ModelApprovalStatus": "PendingManualApproval",
        },
    }
    name = pipelines.create(step, fail("End", get("Steps.Register.ModelPackageArn")))
    for version in (1, 2):
        _, steps = pipelines.ended(pipelines.start(name))
        arn = f"arn:aws:sagemaker:us-east-1:111122223333:model-package/{group}/{version}"
        assert steps["Register"]["StepStatus"] == "Succeeded", steps["Register"]["FailureReason"]
        assert steps["Register"]["Metadata"] == {"RegisterModel": {"Arn": arn}}
        assert steps["End"]["FailureReason"] == arn
    assert sm.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "PendingManualApproval"
    del step["Arguments"]["ModelPackageGroupName"], step["Arguments"]["ModelApprovalStatus"]
    step["Arguments"]["InferenceSpecification"] |= {
        "SupportedTransformInstanceTypes": ["ml.m5.large"],
        "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
    }
    execution, steps = pipelines.run(step)
    assert steps["Register"]["StepStatus"] == "Succeeded", steps["Register"]["FailureReason"]
    arn = steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    identity = execution["PipelineExecutionArn"].rpartition("/")[2]
    assert arn.rpartition("/")[2].startswith(f"pipelines-{identity}-Register-"), "a package without a group has a name"


def test_an_endpoint_is_made_once_and_then_updated(pipelines, sm, s3, bucket, unique):
    model, endpoint = unique("model"), unique("endpoint")
    deployed.create_model(sm, s3, bucket, model)
    config = {
        "Name": "Config",
        "Type": "EndpointConfig",
        "Arguments": {"ProductionVariants": [deployed.variant(model)]},
    }
    serve = {
        "Name": "Serve",
        "Type": "Endpoint",
        "Arguments": {
            "EndpointName": endpoint,
            "EndpointConfigName": get("Steps.Config.EndpointConfigName"),
        },
    }
    name = pipelines.create(config, serve)
    configs = set()
    for _ in range(2):
        execution, steps = pipelines.ended(pipelines.start(name))
        assert execution["PipelineExecutionStatus"] == "Succeeded", steps
        told = sm.describe_endpoint(EndpointName=endpoint)
        assert told["EndpointStatus"] == "InService"
        assert steps["Serve"]["Metadata"] == {"Endpoint": {"Arn": told["EndpointArn"]}}
        assert steps["Config"]["Metadata"]["EndpointConfig"]["Arn"].endswith(told["EndpointConfigName"])
        configs.add(told["EndpointConfigName"])
    assert len(configs) == 2
    broken = deployed.create_model(sm, s3, bucket, unique("broken"), {"code/inference.py": "raise ValueError('no')"})
    config["Arguments"] = {"ProductionVariants": [deployed.variant(broken)]}
    execution, steps = pipelines.run(config, serve)
    assert (execution["PipelineExecutionStatus"], steps["Serve"]["StepStatus"]) == ("Failed", "Failed")
    assert sm.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == told["EndpointConfigName"]
    sm.delete_endpoint(EndpointName=endpoint)


def test_a_step_that_is_for_a_failure_runs_after_it_and_others_do_not(pipelines):
    broken = processing("Broken", "exit 3")
    tell = processing("Tell", "true", DependsOn=[{"Step": "Broken", "Trigger": "Failed"}])
    after = processing("After", "true", DependsOn=["Tell"])
    never = processing("Never", "true", DependsOn=["Broken"])
    execution, steps = pipelines.run(broken, tell, after, never)
    assert execution["PipelineExecutionStatus"] == "CompletedWithFailures"
    assert pipelines.statuses(steps) == {"After": "Succeeded", "Broken": "Failed", "Tell": "Succeeded"}
    assert steps["Broken"]["FailureReason"].startswith("AlgorithmError")
    fine = processing("Fine", "true")
    any_way = processing("AnyWay", "true", DependsOn=[{"Step": "Fine", "Trigger": "Any"}])
    not_now = processing("NotNow", "true", DependsOn=[{"Step": "Fine", "Trigger": "Failed"}])
    execution, steps = pipelines.run(fine, any_way, not_now)
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert pipelines.statuses(steps) == {"AnyWay": "Succeeded", "Fine": "Succeeded"}


def test_a_job_that_somebody_stops_stops_the_execution(pipelines, sm):
    arn = pipelines.start(pipelines.create(processing("Long", LONG), processing("Then", "true", DependsOn=["Long"])))
    step = pipelines.await_step(arn, "Long", "Executing")
    sm.stop_processing_job(ProcessingJobName=step["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2])
    execution, steps = pipelines.ended(arn)
    assert (execution["PipelineExecutionStatus"], pipelines.statuses(steps)) == ("Stopped", {"Long": "Stopped"})
