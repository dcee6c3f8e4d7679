"""EventBridge Scheduler and scheduled rules start jobs and send messages, at the speed of scheduled waits."""

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from botocore.exceptions import ClientError
from deployed import becomes_true
from evented import Bus
from submitted_jobs import SKLEARN, Submitter

from helpers import local_sagemaker
from helpers.local_sagemaker.events import schedules

OFF = {"Mode": "OFF"}
SPEEDUP = 60
UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"


@pytest.fixture
def scheduler(client):
    return client("scheduler")


@pytest.fixture
def bus(client, unique):
    made = Bus(client, unique)
    yield made
    made.close()


@pytest.fixture
def schedule(scheduler, unique, role_arn):
    """`schedule(expression, target, ...)`: a schedule's name; the schedules are deleted after the test."""
    made = []

    def create(expression, target, window=OFF, **members):
        made.append(unique("schedule"))
        target = {"RoleArn": role_arn} | target
        request = {"ScheduleExpression": expression, "FlexibleTimeWindow": window, "Target": target, **members}
        scheduler.create_schedule(Name=made[-1], **request)
        return made[-1]

    yield create
    for name in made:
        try:
            scheduler.delete_schedule(Name=name)
        except scheduler.exceptions.ResourceNotFoundException:
            continue


def at(seconds):
    """A one-time expression so many seconds from now, in whole seconds."""
    return f"at({datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S})"


def error_of(call, **request):
    with pytest.raises(ClientError) as refused:
        call(**request)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def test_a_schedule_is_described_updated_listed_and_deleted(scheduler, schedule, bus, role_arn):
    queue, end = bus.queue(), datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    name = schedule("cron(0 9 ? * MON *)", {"Arn": queue.arn, "Input": "{}"}, State="DISABLED", EndDate=end)
    got = scheduler.get_schedule(Name=name)
    assert got["Arn"] == f"arn:aws:scheduler:us-east-1:111122223333:schedule/default/{name}"
    assert (got["State"], got["ScheduleExpressionTimezone"], got["EndDate"]) == ("DISABLED", "UTC", end)
    assert got["ActionAfterCompletion"] == "NONE"
    assert got["Target"] == {
        "Arn": queue.arn,
        "RoleArn": role_arn,
        "Input": "{}",
        "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
    }
    target = {"Arn": queue.arn, "RoleArn": role_arn}
    change = {"ScheduleExpression": "rate(2 hours)", "State": "DISABLED", "Description": "every other hour"}
    scheduler.update_schedule(Name=name, FlexibleTimeWindow=OFF, Target=target, **change)
    updated = scheduler.get_schedule(Name=name)
    assert (updated["ScheduleExpression"], updated["Description"]) == ("rate(2 hours)", "every other hour")
    assert "EndDate" not in updated
    assert updated["CreationDate"] == got["CreationDate"]
    (listed,) = scheduler.list_schedules(NamePrefix=name, State="DISABLED")["Schedules"]
    assert listed["Target"] == {"Arn": queue.arn}
    assert scheduler.list_schedules(NamePrefix=name, State="ENABLED")["Schedules"] == []
    code, message = error_of(
        scheduler.create_schedule, Name=name, ScheduleExpression="rate(1 day)", FlexibleTimeWindow=OFF, Target=target
    )
    assert (code, message) == ("ConflictException", f"Schedule {name} already exists.")
    scheduler.delete_schedule(Name=name)
    missing = ("ResourceNotFoundException", f"Schedule {name} does not exist.")
    assert error_of(scheduler.get_schedule, Name=name) == missing
    assert error_of(scheduler.delete_schedule, Name=name) == missing


def test_groups_hold_schedules_and_take_them_along(scheduler, bus, role_arn, unique):
    group, queue = unique("group"), bus.queue()
    arn = scheduler.create_schedule_group(Name=group, Tags=[{"Key": "a", "Value": "b"}])["ScheduleGroupArn"]
    assert scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    scheduler.tag_resource(ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    scheduler.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    assert error_of(scheduler.create_schedule_group, Name=group)[0] == "ConflictException"
    assert error_of(scheduler.delete_schedule_group, Name="default")[0] == "ValidationException"
    request = {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": OFF, "State": "DISABLED"}
    request["Target"] = {"Arn": queue.arn, "RoleArn": role_arn}
    for name in ("b", "a", "c"):
        scheduler.create_schedule(Name=name, GroupName=group, **request)
    assert (
        error_of(scheduler.create_schedule, Name="x", GroupName="nobody", **request)[0] == "ResourceNotFoundException"
    )
    page = scheduler.list_schedules(GroupName=group, MaxResults=2)
    rest = scheduler.list_schedules(GroupName=group, MaxResults=2, NextToken=page["NextToken"])
    assert [found["Name"] for found in page["Schedules"] + rest["Schedules"]] == ["a", "b", "c"]
    assert scheduler.get_schedule_group(Name="default")["State"] == "ACTIVE"
    assert group in {found["Name"] for found in scheduler.list_schedule_groups(NamePrefix="group")["ScheduleGroups"]}
    scheduler.delete_schedule_group(Name=group)
    assert error_of(scheduler.get_schedule, Name="a", GroupName=group)[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ScheduleExpression": "rate(0 minutes)"}, "Invalid schedule expression"),
        ({"ScheduleExpression": "at(2020-01-01T00:00:00)"}, "lies in the past"),
        ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "Invalid timezone"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        (
            {"StartDate": datetime(2031, 1, 2, tzinfo=UTC), "EndDate": datetime(2031, 1, 1, tzinfo=UTC)},
            "before the End",
        ),
        ({"Target": {"Arn": "arn:aws:states:us-east-1:111122223333:stateMachine:f"}}, "not available"),
        ({"Target": {"Arn": f"{UNIVERSAL}sagemaker:describeModel"}}, "only reads"),
        ({"Target": {"Arn": f"{UNIVERSAL}sagemaker:makeCoffee"}}, "no such operation"),
        ({"Target": {"Arn": f"{UNIVERSAL}sagemaker:stopPipelineExecution", "Input": "["}}, "JSON object"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_schedules_that_cannot_work_are_refused(scheduler, role_arn, unique, change, message):
    target = {"Arn": "arn:aws:sqs:us-east-1:111122223333:q"} | change.get("Target", {}) | {"RoleArn": role_arn}
    request = {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": OFF} | change | {"Target": target}
    code, told = error_of(scheduler.create_schedule, Name=unique("no"), **request)
    assert code == "ValidationException"
    assert message in told


def test_a_rate_recurs_and_its_placeholders_are_filled(scheduler, schedule, bus):
    queue = bus.queue()
    attributes = ("scheduled-time", "execution-id", "schedule-arn", "attempt-number")
    text = json.dumps({name: f"<aws.scheduler.{name}>" for name in attributes})
    name = schedule("rate(1 minute)", {"Arn": queue.arn, "Input": text})
    told = queue.events(3)
    assert len({event["execution-id"] for event in told}) == len(told)
    assert {event["schedule-arn"] for event in told} == {scheduler.get_schedule(Name=name)["Arn"]}
    assert {event["attempt-number"] for event in told} == {"1"}
    times = [datetime.strptime(event["scheduled-time"], "%Y-%m-%dT%H:%M:%SZ") for event in told]
    assert times == sorted(times)


def test_a_schedule_without_input_sends_an_event(schedule, bus):
    queue = bus.queue()
    schedule("rate(1 day)", {"Arn": queue.arn})
    (event,) = queue.events(1)
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.scheduler", "Scheduled Event", "{}")


def test_a_disabled_schedule_rests_until_it_is_enabled(scheduler, schedule, bus, role_arn):
    queue, other = bus.queue(), bus.queue()
    name = schedule("rate(1 minute)", {"Arn": queue.arn, "Input": '"x"'}, State="DISABLED")
    schedule("rate(1 minute)", {"Arn": other.arn, "Input": '"x"'})
    other.bodies(2)
    queue.receive()
    assert queue.messages == []
    target = {"Arn": queue.arn, "RoleArn": role_arn, "Input": '"y"'}
    scheduler.update_schedule(Name=name, ScheduleExpression="rate(1 day)", FlexibleTimeWindow=OFF, Target=target)
    assert queue.bodies(1) == ['"y"']


def test_one_time_schedules_go_once_and_are_deleted_if_asked(scheduler, schedule, client, bus):
    queue, mark = bus.queue(), bus.unique("mark")
    topic = client("sns").create_topic(Name=mark)["TopicArn"]
    client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue.arn, Attributes={"RawMessageDelivery": "true"}
    )
    deleted = schedule(at(5), {"Arn": topic, "Input": '"deleted"'}, ActionAfterCompletion="DELETE")
    kept = schedule(at(5), {"Arn": topic, "Input": '"kept"'})
    assert sorted(queue.bodies(2)) == ['"deleted"', '"kept"']
    assert scheduler.get_schedule(Name=kept)["State"] == "ENABLED"
    assert error_of(scheduler.get_schedule, Name=deleted)[0] == "ResourceNotFoundException"
    client("sns").delete_topic(TopicArn=topic)


def test_start_and_end_bound_a_schedule_and_its_clock_runs_faster():
    now = 1_767_323_045.0
    record = {"ScheduleExpression": "rate(1 hour)", "ScheduleExpressionTimezone": "UTC", "_Since": now}
    assert schedules.next_time(record, SPEEDUP) == now
    assert schedules.next_time(record | {"_Last": now}, SPEEDUP) == pytest.approx(now + 60)
    assert schedules.next_time(record | {"_Last": now + 59, "EndDate": now + 50}, SPEEDUP) is None
    assert schedules.next_time(record | {"EndDate": now - 1}, SPEEDUP) is None
    cron = record | {"ScheduleExpression": "cron(0 * * * ? *)"}  # 03:04:05, so the next hour is 55 min 55 s away
    assert schedules.next_time(cron, SPEEDUP) == pytest.approx(now + 3355 / SPEEDUP)
    assert schedules.next_time(cron | {"ScheduleExpressionTimezone": "Asia/Kathmandu"}, SPEEDUP) == pytest.approx(
        now + (3355 - 2700) / SPEEDUP
    )


def test_a_schedule_starts_processing_and_training_jobs(client, schedule, bucket, role_arn, unique, sm):
    submit = Submitter(client, bucket, role_arn, unique)
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
    process, train = unique("process"), unique("train")
    processing = {
        "ProcessingJobName": process,
        "RoleArn": role_arn,
        "AppSpecification": {"ImageUri": SKLEARN, "ContainerEntrypoint": ["python3", "-c", "print('scheduled')"]},
        "ProcessingResources": {"ClusterConfig": cluster},
    }
    training = {
        "TrainingJobName": train,
        "RoleArn": role_arn,
        "HyperParameters": submit.source(train_py="print('scheduled')"),
        "AlgorithmSpecification": {"TrainingImage": SKLEARN, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "ResourceConfig": cluster,
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    schedule("rate(1 day)", {"Arn": f"{UNIVERSAL}sagemaker:createProcessingJob", "Input": json.dumps(processing)})
    schedule("rate(1 day)", {"Arn": f"{UNIVERSAL}sagemaker:createTrainingJob", "Input": json.dumps(training)})

    def is_there(kind, name):
        return becomes_true(lambda: getattr(sm, f"list_{kind}_jobs")(NameContains=name)[f"{kind.title()}JobSummaries"])

    assert is_there("processing", process)
    assert is_there("training", train)
    assert submit.processed(process)["ProcessingJobStatus"] == "Completed"
    assert submit.trained(train)["TrainingJobStatus"] == "Completed"


def test_what_a_target_refuses_is_seen_in_the_dead_letters_the_metrics_and_the_log(schedule, client, bus, server):
    dead, name = bus.queue(), bus.unique("nobody")
    request = json.dumps({"TrainingJobName": name})
    target = {"Arn": f"{UNIVERSAL}sagemaker:stopTrainingJob", "Input": request, "DeadLetterConfig": {"Arn": dead.arn}}
    made = schedule("rate(1 day)", target)
    assert dead.bodies(1) == [request]
    told = {key: value["StringValue"] for key, value in dead.messages[0]["MessageAttributes"].items()}
    assert told["ERROR_CODE"] == "ValidationException"
    assert told["SCHEDULE_ARN"].endswith(f"schedule/default/{made}")
    assert re.fullmatch(r"[0-9-]+T[0-9:]+Z", told["SCHEDULED_TIME"])
    assert {"EXECUTION_ID", "ERROR_MESSAGE", "TARGET_ARN", "RETRY_ATTEMPTS"} <= told.keys()
    metrics = client("cloudwatch").list_metrics(Namespace="AWS/Scheduler")["Metrics"]
    assert {"TargetErrorCount", "InvocationsSentToDeadLetterCount"} <= {metric["MetricName"] for metric in metrics}
    assert f"schedule/default/{made}" in (server.home / "server.log").read_text()


def test_input_that_is_no_request_is_a_dead_letter_and_stops_nothing(schedule, bus):
    dead = bus.queue()
    target = {"Arn": f"{UNIVERSAL}sagemaker:stopTrainingJob", "DeadLetterConfig": {"Arn": dead.arn}}
    schedule("rate(1 minute)", target | {"Input": '{"TrainingJob": 7}'})
    assert len(dead.bodies(2)) >= 2
    assert dead.messages[0]["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "ParamValidationError"


def test_a_rule_with_a_schedule_sends_scheduled_events(bus):
    queue = bus.queue()
    name = bus.rule(None, {"Arn": queue.arn}, ScheduleExpression="rate(1 minute)")
    first, second = queue.events(2)[:2]
    assert first["id"] != second["id"]
    assert (first["source"], first["detail-type"], first["detail"]) == ("aws.events", "Scheduled Event", {})
    assert first["resources"] == [f"arn:aws:events:us-east-1:111122223333:rule/{name}"]
    bus.events.disable_rule(Name=name)
    time.sleep(0.5)  # what was due at that moment arrives
    queue.receive()
    count, other = len(queue.messages), bus.queue()
    bus.rule(None, {"Arn": other.arn}, ScheduleExpression="rate(1 minute)")
    other.events(2)
    queue.receive()
    assert len(queue.messages) == count
    with pytest.raises(ClientError, match="Invalid schedule expression"):
        bus.events.put_rule(Name=bus.unique("rule"), ScheduleExpression="cron(61 * * * ? *)")


def test_schedules_survive_a_kill(tmp_path, client_of, unique):
    running = local_sagemaker.start(tmp_path / "home")
    try:
        bus = Bus(client_of(running), unique)
        queue = bus.queue("kept")
        role = "arn:aws:iam::111122223333:role/CourseExecutionRole"
        target = {"Arn": queue.arn, "RoleArn": role, "Input": '"once"'}
        request = {"FlexibleTimeWindow": OFF, "Target": target, "ActionAfterCompletion": "DELETE"}
        bus.client("scheduler").create_schedule(Name="once", ScheduleExpression=at(10), **request)
        os.kill(running.pid, signal.SIGKILL)
        psutil.Process(running.pid).wait()
        running = local_sagemaker.start(tmp_path / "home")
        queue.sqs = client_of(running)("sqs")
        queue.url = queue.sqs.get_queue_url(QueueName="kept")["QueueUrl"]
        assert queue.bodies(1) == ['"once"']
        assert client_of(running)("scheduler").list_schedules()["Schedules"] == []
    finally:
        local_sagemaker.stop(tmp_path / "home")
