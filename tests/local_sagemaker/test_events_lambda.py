"""Lambda functions as targets: their code runs, and what fails in it is seen."""

import io
import json
import zipfile

import pytest
from deployed import becomes_true
from evented import Bus

ROLE = "arn:aws:iam::111122223333:role/CourseExecutionRole"
# Deploys what was approved, as far as a test needs it: it calls the server back.
CODE = """
import json, os, boto3

def handler(event, context):
    if event["detail"].get("fail"):
        raise ValueError("no luck")
    queue = boto3.client("sqs").get_queue_url(QueueName=os.environ["QUEUE"])["QueueUrl"]
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(event))
"""


@pytest.fixture
def bus(client, unique):
    made = Bus(client, unique)
    yield made
    made.close()


def test_a_rule_calls_a_function_and_what_fails_in_it_is_a_dead_letter(bus, client):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("code.py", CODE)
    name, answers, dead = bus.unique("function"), bus.queue(), bus.queue()
    arn = client("lambda").create_function(
        FunctionName=name,
        Role=ROLE,
        Handler="code.handler",
        Runtime="python3.12",
        Timeout=60,
        MemorySize=512,
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": {"QUEUE": answers.arn.rpartition(":")[2]}},
    )["FunctionArn"]
    bus.rule({"detail": {"function": [name]}}, {"Arn": arn, "DeadLetterConfig": {"Arn": dead.arn}})
    bus.send({"function": name, "fail": True}, {"function": name, "n": 1})
    (event,) = answers.events(1)
    assert event["detail"] == {"function": name, "n": 1}
    (letter,) = dead.events(1)
    assert letter["detail"]["fail"] is True
    told = dead.messages[0]["MessageAttributes"]
    assert told["ERROR_MESSAGE"]["StringValue"].endswith("ValueError: no luck")
    assert told["TARGET_ARN"]["StringValue"] == arn
    logs = client("logs")
    assert becomes_true(
        lambda: "no luck" in json.dumps(logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"])
    )
