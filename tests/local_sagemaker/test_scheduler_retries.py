"""What a target refuses for the moment is tried again, as often as the retry policy says."""

import json

import pytest
from deployed import becomes_true
from evented import Bus

ADD_TAGS = "arn:aws:scheduler:::aws-sdk:sagemaker:addTags"
OFF = {"Mode": "OFF"}


@pytest.fixture
def full(sm, unique):
    """The ARN of a model that has all the tags that it may have: one more is a ResourceLimitExceeded."""
    name = unique("full")
    tags = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    yield sm.create_model(ModelName=name, PrimaryContainer={"Image": "local/x"}, Tags=tags)["ModelArn"]
    sm.delete_model(ModelName=name)


@pytest.fixture
def tag(client, unique, full, role_arn):
    """`tag(...)`: schedules one more tag for `full`; returns the schedule's group, which is deleted after the test."""
    group, value = unique("group"), "<aws.scheduler.attempt-number>"
    client("scheduler").create_schedule_group(Name=group)

    def create(**target):
        request = json.dumps({"ResourceArn": full, "Tags": [{"Key": "one more", "Value": value}]})
        target = {"Arn": ADD_TAGS, "RoleArn": role_arn, "Input": request} | target
        schedule = {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": OFF, "Target": target}
        client("scheduler").create_schedule(Name="tag", GroupName=group, **schedule)
        return group

    yield create
    client("scheduler").delete_schedule_group(Name=group)


def test_a_target_is_tried_again_until_it_takes_what_it_gets(sm, client, tag, full):
    failed = {"Namespace": "AWS/Scheduler", "MetricName": "TargetErrorCount"}
    dimensions = [{"Name": "ScheduleGroup", "Value": tag()}]
    cloudwatch = client("cloudwatch")
    assert becomes_true(lambda: cloudwatch.list_metrics(**failed, Dimensions=dimensions)["Metrics"])
    sm.delete_tags(ResourceArn=full, TagKeys=["k0"])

    def added():
        return {tag["Key"]: tag["Value"] for tag in sm.list_tags(ResourceArn=full)["Tags"]}.get("one more")

    assert becomes_true(lambda: added() is not None)
    assert int(added()) >= 2


def test_retries_end_in_the_dead_letter_queue_which_tells_how_many_there_were(client, tag, unique):
    dead = Bus(client, unique).queue()
    tag(RetryPolicy={"MaximumRetryAttempts": 2}, DeadLetterConfig={"Arn": dead.arn})
    dead.bodies(1)
    told = {name: value["StringValue"] for name, value in dead.messages[0]["MessageAttributes"].items()}
    assert (told["ERROR_CODE"], told["RETRY_ATTEMPTS"]) == ("ResourceLimitExceeded", "2")
    assert told["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"


def test_an_event_that_is_too_old_is_a_dead_letter(client, tag, unique):
    dead = Bus(client, unique).queue()
    policy = {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 185}
    tag(RetryPolicy=policy, DeadLetterConfig={"Arn": dead.arn})
    dead.bodies(1)
    told = {name: value["StringValue"] for name, value in dead.messages[0]["MessageAttributes"].items()}
    assert told["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    assert int(told["RETRY_ATTEMPTS"]) >= 1
