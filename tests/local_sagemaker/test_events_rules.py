"""Rules choose events by patterns, and their targets get what is asked for, in order, whatever becomes of others."""

import json
import os
import signal

import psutil
import pytest
from botocore.exceptions import ClientError
from deployed import becomes_true
from evented import Bus

from helpers import local_sagemaker
from helpers.local_sagemaker.events import inputs, patterns

EVENT = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "source": "aws.sagemaker",
    "detail-type": "SageMaker Training Job State Change",
    "account": "111122223333",
    "time": "2026-01-02T03:04:05Z",
    "region": "us-east-1",
    "resources": ["arn:aws:sagemaker:us-east-1:111122223333:training-job/churn-7"],
    "detail": {
        "TrainingJobName": "churn-7",
        "TrainingJobStatus": "Completed",
        "Count": 3,
        "Spot": True,
        "Reason": None,
        "Tags": {},
        "Channels": [{"Name": "train"}, {"Name": "test"}],
        "Address": "10.0.0.17",
    },
}


@pytest.fixture
def bus(client, unique):
    made = Bus(client, unique)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"source": ["aws.sagemaker"]}, True),
        ({"source": ["aws.s3", "aws.ec2"]}, False),
        ({"source": ["aws.sagemaker"], "detail": {"TrainingJobStatus": ["Failed", "Completed"]}}, True),
        ({"source": ["aws.sagemaker"], "detail": {"TrainingJobStatus": ["Failed"]}}, False),
        ({"detail": {"TrainingJobName": [{"prefix": "churn-"}]}}, True),
        ({"detail": {"TrainingJobName": [{"prefix": {"equals-ignore-case": "CHURN"}}]}}, True),
        ({"detail": {"TrainingJobName": [{"suffix": "-8"}]}}, False),
        ({"detail": {"TrainingJobName": [{"equals-ignore-case": "CHURN-7"}]}}, True),
        ({"detail": {"TrainingJobName": [{"wildcard": "ch*-*7"}]}}, True),
        ({"detail": {"TrainingJobName": [{"wildcard": r"ch\*7"}]}}, False),
        ({"resources": [{"wildcard": "arn:*:training-job/churn-*"}]}, True),
        ({"detail": {"TrainingJobStatus": [{"anything-but": ["Failed", "Stopped"]}]}}, True),
        ({"detail": {"TrainingJobStatus": [{"anything-but": "Completed"}]}}, False),
        ({"detail": {"TrainingJobName": [{"anything-but": {"prefix": "churn"}}]}}, False),
        ({"detail": {"TrainingJobName": [{"anything-but": {"wildcard": ["x*", "*y"]}}]}}, True),
        ({"detail": {"Missing": [{"anything-but": "x"}]}}, False),
        ({"detail": {"Count": [{"numeric": [">", 2, "<=", 3]}]}}, True),
        ({"detail": {"Count": [{"numeric": ["=", 4]}]}}, False),
        ({"detail": {"TrainingJobName": [{"numeric": [">", 2]}]}}, False),
        ({"detail": {"Missing": [{"exists": False}], "Count": [{"exists": True}]}}, True),
        ({"detail": {"Count": [{"exists": False}]}}, False),
        ({"detail": {"Reason": [None]}}, True),
        ({"detail": {"Spot": [True]}}, True),
        ({"detail": {"Spot": [1]}}, False),
        ({"detail": {"Channels": {"Name": ["test"]}}}, True),
        ({"detail": {"Channels": {"Name": ["none"]}}}, False),
        ({"detail": {"Address": [{"cidr": "10.0.0.0/24"}]}}, True),
        ({"detail": {"TrainingJobName": [{"cidr": "10.0.0.0/24"}]}}, False),
        ({"$or": [{"source": ["x"]}, {"detail": {"Count": [3]}}]}, True),
        ({"$or": [{"source": ["x"]}, {"detail": {"Count": [4]}}]}, False),
    ],
    ids=lambda value: json.dumps(value)[:70],
)
def test_patterns_choose_as_eventbridge_does(client, pattern, expected):
    assert patterns.matches(patterns.parse(json.dumps(pattern)), EVENT) is expected
    answer = client("events").test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(EVENT))
    assert answer["Result"] is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "no JSON",
        "[]",
        "{}",
        '{"source": "aws.sagemaker"}',
        '{"source": []}',
        '{"source": [["a"]]}',
        '{"source": [{"like": "a"}]}',
        '{"source": [{"prefix": 1}]}',
        '{"source": [{"prefix": "a", "suffix": "b"}]}',
        '{"detail": {"n": [{"numeric": [">"]}]}}',
        '{"detail": {"n": [{"numeric": ["~", 1]}]}}',
        '{"detail": {"n": [{"anything-but": {"numeric": [">", 1]}}]}}',
        '{"detail": {"n": [{"exists": "yes"}]}}',
        '{"$or": []}',
    ],
)
def test_patterns_that_are_none_are_refused(client, unique, pattern):
    with pytest.raises(ClientError) as refused:
        client("events").put_rule(Name=unique("rule"), EventPattern=pattern)
    assert refused.value.response["Error"]["Code"] == "InvalidEventPatternException"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, json.dumps(EVENT)),
        ({"Input": '{"a": 1}'}, '{"a": 1}'),
        ({"InputPath": "$.detail.Channels"}, '[{"Name": "train"}, {"Name": "test"}]'),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"job": "$.detail.TrainingJobName", "all": "$.detail.Channels", "no": "$.x"},
                    "InputTemplate": '{"job": <job>, "text": "<job> of <aws.events.rule-name>", "n": <all>, "x": <no>}',
                }
            },
            '{"job": "churn-7", "text": "churn-7 of R", "n": [{"Name": "train"}, {"Name": "test"}], "x": null}',
        ),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"job": "$.detail.TrainingJobName"},
                    "InputTemplate": "Job <job> <unknown>",
                }
            },
            "Job churn-7 <unknown>",
        ),
    ],
    ids=["all", "constant", "path", "template", "text"],
)
def test_targets_get_what_is_asked_for(target, expected):
    assert inputs.of(target, EVENT, {"Arn": "arn", "Name": "R"}) == expected


def test_an_event_is_sent_to_the_targets_of_the_rules_that_choose_it(bus, client):
    chosen, other, logged = bus.queue(), bus.queue(), bus.unique("/aws/events/log")
    sns, logs = client("sns"), client("logs")
    topic = sns.create_topic(Name=bus.unique("topic"))["TopicArn"]
    subscribed = bus.queue()
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=subscribed.arn)
    logs.create_log_group(logGroupName=logged)
    group_arn = f"arn:aws:logs:us-east-1:111122223333:log-group:{logged}"
    name = bus.rule({"detail": {"n": [1]}}, {"Arn": chosen.arn}, {"Arn": topic}, {"Arn": group_arn})
    bus.rule({"detail": {"n": [2]}}, {"Arn": other.arn})
    (entry,) = bus.send({"n": 1, "what": "x"}, Resources=["arn:of:something"])
    (event,) = chosen.events(1)
    assert event.pop("time").endswith("Z")
    assert event == {
        "version": "0",
        "id": entry["EventId"],
        "detail-type": "Test",
        "source": "course.tests",
        "account": "111122223333",
        "region": "us-east-1",
        "resources": ["arn:of:something"],
        "detail": {"n": 1, "what": "x"},
    }
    (notified,) = subscribed.events(1)
    assert json.loads(notified["Message"])["id"] == entry["EventId"]
    assert becomes_true(lambda: len(logs.filter_log_events(logGroupName=logged)["events"]) == 1)
    (line,) = logs.filter_log_events(logGroupName=logged)["events"]
    assert json.loads(line["message"])["detail"] == {"n": 1, "what": "x"}
    other.receive()
    assert other.messages == []
    metrics = client("cloudwatch").list_metrics(
        Namespace="AWS/Events", Dimensions=[{"Name": "RuleName", "Value": name}]
    )
    names = {metric["MetricName"] for metric in metrics["Metrics"]}
    assert names == {"MatchedEvents", "TriggeredRules", "Invocations"}


def test_events_that_are_none_are_refused_one_by_one(bus):
    queue = bus.collect({"source": ["course.tests"], "detail": {"only": ["good"]}})
    good = {"Source": "course.tests", "DetailType": "Test", "Detail": '{"only": "good"}'}
    wrong = [
        good | {"Detail": "no JSON"},
        good | {"Source": "aws.sagemaker"},
        good | {"EventBusName": "nobody"},
        {"Source": "x"},
    ]
    answer = bus.events.put_events(Entries=[*wrong, good])
    assert answer["FailedEntryCount"] == 4
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
        "MalformedDetail",
        "NotAuthorizedForSourceException",
        "ResourceNotFoundException",
        "InvalidArgument",
        None,
    ]
    assert [event["id"] for event in queue.events(1)] == [answer["Entries"][-1]["EventId"]]


def test_a_rule_that_is_disabled_gets_nothing_until_it_is_enabled(bus):
    queue, mark = bus.queue(), bus.unique("mark")
    name = bus.rule({"detail": {"mark": [mark]}}, {"Arn": queue.arn}, State="DISABLED")
    bus.send({"mark": mark, "n": 1})
    after = bus.collect({"detail": {"mark": [mark]}})
    bus.send({"mark": mark, "n": 2})
    assert [event["detail"]["n"] for event in after.events(1)] == [2]
    bus.events.enable_rule(Name=name)
    bus.send({"mark": mark, "n": 3})
    assert [event["detail"]["n"] for event in queue.events(1)] == [3]


def test_an_event_bus_of_ones_own_sends_on_to_another(bus):
    own = bus.unique("bus")
    arn = bus.events.create_event_bus(Name=own)["EventBusArn"]
    mark, queue = bus.unique("mark"), bus.queue()
    bus.rule({"detail": {"mark": [mark]}}, {"Arn": arn})
    bus.rule({"source": ["course.tests"]}, {"Arn": queue.arn}, bus=own)
    (entry,) = bus.send({"mark": mark})
    assert [event["id"] for event in queue.events(1)] == [entry["EventId"]]


def test_targets_that_are_not_here_are_refused(bus):
    name = bus.rule({"source": ["x"]})
    machine = "arn:aws:states:us-east-1:111122223333:stateMachine:f"
    for target, message in (
        ({"Arn": machine}, "not available in the local SageMaker"),
        ({"Arn": bus.queue().arn, "Input": "{", "Id": "1"}, "JSON syntax error"),
        ({"Arn": bus.queue().arn, "Input": "{}", "InputPath": "$.detail"}, "Only one of"),
        ({"Arn": bus.queue().arn, "InputPath": "detail"}, "Invalid InputPath"),
    ):
        with pytest.raises(ClientError, match=message):
            bus.events.put_targets(Rule=name, Targets=[{"Id": "1"} | target])


def test_a_fifo_queue_gets_events_under_their_group(bus):
    queue, mark = (
        bus.queue(f"{bus.unique('fifo')}.fifo", FifoQueue="true", ContentBasedDeduplication="true"),
        bus.unique("m"),
    )
    bus.rule({"detail": {"mark": [mark]}}, {"Arn": queue.arn, "SqsParameters": {"MessageGroupId": "one"}})
    bus.send(*({"mark": mark, "n": n} for n in range(3)))
    assert [event["detail"]["n"] for event in queue.events(3)] == [0, 1, 2]


def test_archives_are_refused(bus):
    source = "arn:aws:events:us-east-1:111122223333:event-bus/default"
    with pytest.raises(ClientError, match="CreateArchive is not available in the local SageMaker"):
        bus.events.create_archive(ArchiveName=bus.unique("archive"), EventSourceArn=source)


def test_a_target_that_fails_stops_no_other_and_leaves_a_dead_letter(bus, client):
    dead, good, mark = bus.queue(), bus.queue(), bus.unique("mark")
    gone = f"arn:aws:sns:us-east-1:111122223333:{mark}"
    failing = {"Arn": gone, "DeadLetterConfig": {"Arn": dead.arn}, "RetryPolicy": {"MaximumRetryAttempts": 2}}
    name = bus.rule({"detail": {"mark": [mark]}}, failing, {"Arn": good.arn})
    bus.send(*({"mark": mark, "n": n} for n in range(5)))
    assert [event["detail"]["n"] for event in good.events(5)] == [0, 1, 2, 3, 4]
    assert [event["detail"]["n"] for event in dead.events(5)] == [0, 1, 2, 3, 4]
    told = {key: value["StringValue"] for key, value in dead.messages[0]["MessageAttributes"].items()}
    assert told["RULE_ARN"].endswith(f"rule/{name}")
    assert (told["TARGET_ARN"], told["ERROR_CODE"], told["RETRY_ATTEMPTS"]) == (gone, "NotFound", "0")
    dimensions = [{"Name": "RuleName", "Value": name}]
    listed = client("cloudwatch").list_metrics(Namespace="AWS/Events", Dimensions=dimensions)["Metrics"]
    assert {"FailedInvocations", "InvocationsSentToDlq"} <= {metric["MetricName"] for metric in listed}


def test_accepted_events_survive_a_kill_and_are_not_sent_again_at_the_next_start(tmp_path, client_of, unique):
    running = local_sagemaker.start(tmp_path / "home")
    try:
        bus = Bus(client_of(running), unique)
        queue, models = bus.queue("sent"), bus.queue("models")
        bus.rule({"source": ["course.tests"]}, {"Arn": queue.arn})
        bus.rule({"detail-type": ["SageMaker Model State Change"]}, {"Arn": models.arn})
        sent = []
        for n in range(20):
            sent += [entry["EventId"] for entry in bus.send({"n": n})]
            bus.client("sagemaker").create_model(ModelName=f"m{n}", PrimaryContainer={"Image": "local/x"})
        os.kill(running.pid, signal.SIGKILL)
        psutil.Process(running.pid).wait()
        running = local_sagemaker.start(tmp_path / "home")
        again = Bus(client_of(running), unique)
        for one in (queue, models):
            one.sqs = again.sqs
            one.url = again.sqs.get_queue_url(QueueName=one.arn.rpartition(":")[2])["QueueUrl"]
        found = [event["id"] for event in queue.events(20)]
        # An event may have been given to the queue at the moment of the kill, and is then given once more.
        assert list(dict.fromkeys(found)) == sent
        assert len(found) <= 21
        made = [event["detail"]["ModelName"] for event in models.events(20)]
        assert list(dict.fromkeys(made)) == [f"m{n}" for n in range(20)]
        again.send({"n": "last"})
        assert queue.until(lambda event: event["detail"]["n"] == "last")
        local_sagemaker.stop(tmp_path / "home")
        running = local_sagemaker.start(tmp_path / "home")
        # The deliveries are in the journal once: what was received and deleted does not come back.
        final = Bus(client_of(running), unique)
        url = final.sqs.get_queue_url(QueueName="sent")["QueueUrl"]
        assert "Messages" not in final.sqs.receive_message(QueueUrl=url)
    finally:
        local_sagemaker.stop(tmp_path / "home")
