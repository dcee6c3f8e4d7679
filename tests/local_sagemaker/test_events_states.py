"""SageMaker's and CloudWatch's state changes arrive in queues as the events that AWS documents."""

import re
import sys
from datetime import datetime

import alarm_requests
import deployed
import pytest
import tuned
from evented import Bus
from featured import Features
from registered import Registry
from submitted_jobs import Submitter
from submitted_transforms import Transforms
from updated import canary

from helpers.local_sagemaker.events import state_events
from helpers.local_sagemaker.state_changes import StateChange

ARN = "arn:aws:sagemaker:us-east-1:111122223333"


@pytest.fixture
def bus(client, unique):
    made = Bus(client, unique)
    yield made
    made.close()


def of_sagemaker(name, kind):
    """The pattern for one resource."""
    return {
        "source": ["aws.sagemaker"],
        "detail-type": [f"SageMaker {kind} State Change"],
        "resources": [{"suffix": f"/{name}"}],
    }


def check(event, kind, arn):
    """Holds an event's envelope to AWS's form; returns its detail."""
    detail = event.pop("detail")
    assert re.fullmatch(r"[0-9a-f-]{36}", event.pop("id"))
    datetime.strptime(event.pop("time"), "%Y-%m-%dT%H:%M:%SZ")
    assert event == {
        "version": "0",
        "detail-type": f"SageMaker {kind} State Change",
        "source": "aws.sagemaker",
        "account": "111122223333",
        "region": "us-east-1",
        "resources": [arn],
    }
    return detail


def test_a_model_and_its_configuration_are_told_when_they_come_and_go(sm, bus, unique):
    name = unique("model")
    models, configs = (bus.collect(of_sagemaker(name, kind)) for kind in ("Model", "Endpoint Config"))
    tags = [{"Key": "team", "Value": "risk"}]
    sm.create_model(ModelName=name, PrimaryContainer={"Image": "local/x"}, Tags=tags)
    sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[deployed.variant(name)])
    sm.delete_endpoint_config(EndpointConfigName=name)
    sm.delete_model(ModelName=name)
    created, deleted = (check(event, "Model", f"{ARN}:model/{name}") for event in models.events(2))
    assert created["ModelName"] == deleted["ModelName"] == name
    assert created["Tags"] == {"team": "risk"}
    assert isinstance(created["CreationTime"], int)
    found = [check(event, "Endpoint Config", f"{ARN}:endpoint-config/{name}") for event in configs.events(2)]
    assert [detail["ProductionVariants"][0]["ModelName"] for detail in found] == [name, name]


def test_an_endpoint_is_told_in_every_state_and_in_every_stage_of_an_update(sm, s3, bucket, bus, unique):
    name = unique("endpoint")
    states = bus.collect(of_sagemaker(name, "Endpoint"))
    deployments = bus.collect(of_sagemaker(name, "Endpoint Deployment"))
    deployed.create_model(sm, s3, bucket, name)
    deployed.create_endpoint(sm, name, [deployed.variant(name, count=2)])
    sm.create_endpoint_config(EndpointConfigName=f"{name}-b", ProductionVariants=[deployed.variant(name, count=2)])
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    sm.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-b", DeploymentConfig=canary(size, wait=60))
    deployed.await_status(sm, name, "InService")
    found = [check(event, "Endpoint", f"{ARN}:endpoint/{name}") for event in states.events(4)]
    assert [detail["EndpointStatus"] for detail in found] == ["CREATING", "IN_SERVICE", "UPDATING", "IN_SERVICE"]
    assert found[1]["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    sm.delete_endpoint(EndpointName=name)
    states.until(lambda event: event["detail"]["EndpointStatus"] == "DELETING")

    def stage(event):
        return event["detail"]["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0]["Status"]

    stages = [stage(event) for event in deployments.until(lambda event: stage(event) == "Baking")]
    assert stages[0] == "Creating"


def test_an_approval_is_told_with_the_version(sm, s3, bucket, bus, unique):
    registry = Registry(sm, s3, bucket, unique)
    group = registry.group()
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"]},
    }
    approved, every = bus.collect(pattern), bus.collect({"detail": {"ModelPackageGroupName": [group]}})
    arns = [registry.version(group) for _ in range(2)]
    sm.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Approved", ApprovalDescription="good")
    sm.update_model_package(ModelPackageArn=arns[0], ModelApprovalStatus="Rejected")
    (event,) = approved.events(1)
    detail = check(event, "Model Package", arns[1])
    assert (detail["ModelPackageVersion"], detail["ModelPackageStatus"]) == (2, "Completed")
    assert detail["ApprovalDescription"] == "good"
    datetime.strptime(detail["CreationTime"], "%Y-%m-%dT%H:%M:%SZ")
    told = [
        (event["detail"]["ModelPackageVersion"], event["detail"]["ModelApprovalStatus"]) for event in every.events(4)
    ]
    pending = "PendingManualApproval"
    assert told == [(1, pending), (2, pending), (2, "Approved"), (1, "Rejected")]


def test_jobs_are_told_to_their_end(client, sm, bucket, role_arn, bus, unique):
    submit, transforms = Submitter(client, bucket, role_arn, unique), Transforms(client, bucket, unique)
    queues = {
        kind: bus.collect({"detail-type": [f"SageMaker {kind} Job State Change"]})
        for kind in ("Training", "Processing", "Transform")
    }
    failing = submit.source(train_py="raise ValueError('no luck')")
    names = {
        "Training": submit.train(HyperParameters=failing),
        "Processing": submit.process([sys.executable, "-c", "print('done')"]),
        "Transform": transforms.submit(transforms.put(a_csv="1\n")),
    }
    ends = {"Training": "Failed", "Processing": "Completed", "Transform": "Completed"}
    for kind, queue in queues.items():
        arn = f"{ARN}:{kind.lower()}-job/{names[kind]}"

        def is_end(event, arn=arn, kind=kind):
            return event["resources"] == [arn] and event["detail"][f"{kind}JobStatus"] == ends[kind]

        events = [event for event in queue.until(is_end) if event["resources"] == [arn]]
        statuses = [check(event, f"{kind} Job", arn)[f"{kind}JobStatus"] for event in events]
        assert statuses[0] == "InProgress"
        assert statuses[-1] == ends[kind]
    ended = [event for event in queues["Training"].events(1) if event["detail"]["TrainingJobStatus"] == "Failed"]
    assert any("no luck" in event["detail"]["FailureReason"] for event in ended)


def test_an_alarm_is_told_when_its_state_changes(client, bus, unique):
    cloudwatch, name = client("cloudwatch"), unique("alarm")
    queue = bus.collect({"source": ["aws.cloudwatch"], "detail": {"alarmName": [name], "state": {"value": ["ALARM"]}}})
    dimensions = [{"Name": "Endpoint", "Value": "e"}]
    cloudwatch.put_metric_alarm(**alarm_requests.alarm(name, Dimensions=dimensions, AlarmDescription="too many"))
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    (event,) = queue.events(1)
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["resources"] == [f"arn:aws:cloudwatch:us-east-1:111122223333:alarm:{name}"]
    detail = event["detail"]
    assert (detail["state"]["reason"], detail["previousState"]["value"]) == ("by hand", "INSUFFICIENT_DATA")
    assert detail["configuration"]["description"] == "too many"
    (query,) = detail["configuration"]["metrics"]
    assert query["metricStat"] == {
        "metric": {"namespace": "course", "name": name, "dimensions": {"Endpoint": "e"}},
        "period": 60,
        "stat": "Maximum",
    }
    cloudwatch.delete_alarms(AlarmNames=[name])


def change(kind, before, after):
    return StateChange(7, kind, "x", 1_767_323_045.0, before, after)


def test_a_pipeline_and_its_steps_are_told_as_aws_words_them():
    arns = {"PipelineArn": f"{ARN}:pipeline/p", "PipelineExecutionArn": f"{ARN}:pipeline/p/execution/abc"}
    times = {"CreationTime": 1_767_323_000.0, "LastModifiedTime": 1_767_323_040.0}
    running = arns | times | {"PipelineExecutionStatus": "Executing", "PipelineExecutionDisplayName": "one", "_x": 1}
    (event,) = state_events.of(
        None, change("PipelineExecution", running, running | {"PipelineExecutionStatus": "Failed"})
    )
    assert event["detail-type"] == "SageMaker Model Building Pipeline Execution Status Change"
    assert event["resources"] == list(arns.values())
    assert event["detail"] == {
        "pipelineExecutionDisplayName": "one",
        "currentPipelineExecutionStatus": "Failed",
        "previousPipelineExecutionStatus": "Executing",
        "executionStartTime": "2026-01-02T03:03:20Z",
        "executionEndTime": "2026-01-02T03:04:00Z",
        "pipelineArn": arns["PipelineArn"],
        "pipelineExecutionArn": arns["PipelineExecutionArn"],
    }
    step = arns | {
        "StepName": "Train",
        "StepType": "Training",
        "StepStatus": "Succeeded",
        "StartTime": 1_767_323_001.0,
        "EndTime": 1_767_323_002.0,
        "Metadata": {"TrainingJob": {"Arn": f"{ARN}:training-job/t"}},
        "CacheHitResult": {"SourcePipelineExecutionArn": "before"},
    }
    (event,) = state_events.of(None, change("PipelineExecutionStep", step | {"StepStatus": "Executing"}, step))
    assert event["detail-type"] == "SageMaker Model Building Pipeline Execution Step Status Change"
    assert event["detail"] == {
        "metadata": {"trainingJob": {"arn": f"{ARN}:training-job/t"}},
        "cacheHitResult": {"sourcePipelineExecutionArn": "before"},
        "stepStartTime": "2026-01-02T03:03:21Z",
        "stepEndTime": "2026-01-02T03:03:22Z",
        "stepName": "Train",
        "stepType": "Training",
        "previousStepStatus": "Executing",
        "currentStepStatus": "Succeeded",
        "pipelineArn": arns["PipelineArn"],
        "pipelineExecutionArn": arns["PipelineExecutionArn"],
    }
    assert state_events.of(None, change("PipelineExecution", running, None)) == []


def test_a_tuning_job_is_told_to_its_end(client, bucket, role_arn, bus, unique):
    tuning, name = tuned.Tuning(Submitter(client, bucket, role_arn, unique)), unique("tuning")
    queue = bus.collect(of_sagemaker(name, "HyperParameter Tuning Job"))
    tuning.create(name, jobs=1, parallel=1)
    events = queue.until(lambda event: event["detail"]["HyperParameterTuningJobStatus"] == "Completed")
    arn = f"{ARN}:hyper-parameter-tuning-job/{name}"
    details = [check(event, "HyperParameter Tuning Job", arn) for event in events]
    assert details[0]["HyperParameterTuningJobStatus"] == "InProgress"
    assert details[-1]["TrainingJobStatusCounters"]["Completed"] == 1


def test_a_feature_group_is_told_until_it_is_active(client, bucket, role_arn, bus, unique):
    features, name = Features(client, bucket, role_arn, unique), unique("features")
    queue = bus.collect(of_sagemaker(name, "Feature Group"))
    features.create(FeatureGroupName=name)
    events = queue.until(lambda event: event["detail"]["FeatureGroupStatus"] == "Created")
    details = [check(event, "Feature Group", f"{ARN}:feature-group/{name}") for event in events]
    assert details[-1]["RecordIdentifierFeatureName"] == "customer"
    assert isinstance(details[-1]["CreationTime"], int)
    client("sagemaker").delete_feature_group(FeatureGroupName=name)
