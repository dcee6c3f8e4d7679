"""Rules whose target is a queue, and what arrives there, for the tests."""

import json
import time
from collections.abc import Callable

from botocore.client import BaseClient

PATIENCE_SECONDS = 90


class Bus:
    """One server's rules and queues; `close` removes them."""

    def __init__(self, client: Callable[..., BaseClient], unique: Callable[[str], str]) -> None:
        self.client, self.unique = client, unique
        self.events, self.sqs = client("events"), client("sqs")
        self._rules: list[tuple[str, str]] = []

    def queue(self, name: str | None = None, **attributes: str) -> "Queue":
        """A new queue."""
        url = self.sqs.create_queue(QueueName=name or self.unique("queue"), Attributes=attributes)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return Queue(self.sqs, url, arn)

    def rule(self, pattern: dict | None, *targets: dict, bus: str = "default", **members: str) -> str:
        """A rule with targets; each gets an Id."""
        name = self.unique("rule")
        if pattern is not None:
            members["EventPattern"] = json.dumps(pattern)
        self.events.put_rule(Name=name, EventBusName=bus, **members)
        self._rules.append((name, bus))
        numbered = [{"Id": str(number)} | target for number, target in enumerate(targets)]
        if numbered:
            self.events.put_targets(Rule=name, EventBusName=bus, Targets=numbered)
        return name

    def collect(self, pattern: dict) -> "Queue":
        """A queue that gets the events which a pattern chooses."""
        queue = self.queue()
        self.rule(pattern, {"Arn": queue.arn})
        return queue

    def send(self, *details: dict, source: str = "course.tests", detail_type: str = "Test", **members: object) -> list:
        """PutEvents; returns the entries of its answer."""
        entries = [{"Source": source, "DetailType": detail_type, "Detail": json.dumps(each)} for each in details]
        return self.events.put_events(Entries=[entry | members for entry in entries])["Entries"]

    def close(self) -> None:
        """Removes the rules."""
        for name, bus in self._rules:
            listed = self.events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
            if listed:
                ids = [target["Id"] for target in listed]
                self.events.remove_targets(Rule=name, EventBusName=bus, Ids=ids)
            self.events.delete_rule(Name=name, EventBusName=bus)


class Queue:
    """A queue, and what has been received from it so far."""

    def __init__(self, sqs: BaseClient, url: str, arn: str) -> None:
        self.sqs, self.url, self.arn = sqs, url, arn
        self.messages: list[dict] = []

    def receive(self) -> None:
        """Takes what is in the queue."""
        while found := self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in found:
                self.messages.append(message)
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def bodies(self, count: int) -> list[str]:
        """The texts of so many messages at least, once they are there."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.receive() or len(self.messages) < count:
            assert time.monotonic() < deadline, [message["Body"] for message in self.messages]
            time.sleep(0.05)
        return [message["Body"] for message in self.messages]

    def events(self, count: int) -> list[dict]:
        """So many events at least."""
        return [json.loads(body) for body in self.bodies(count)]

    def until(self, condition: Callable[[dict], bool]) -> list[dict]:
        """All events up to now, once one of them fulfils a condition."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any(condition(json.loads(message["Body"])) for message in self.messages):
            assert time.monotonic() < deadline, [message["Body"] for message in self.messages]
            time.sleep(0.05)
            self.receive()
        return [json.loads(message["Body"]) for message in self.messages]
