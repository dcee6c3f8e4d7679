"""The server is killed at random points while versions are approved and events are sent: none that it took is lost."""

import itertools
from collections.abc import Iterator

import deployed
import pytest
from evented import Bus
from killed import Victim

# Where the server is killed, and how often clients get there before it is.
POINTS = {"version created": 3, "version approved": 3, "event sent": 7, "schedule made": 2}
OFF = {"Mode": "OFF"}
pytestmark = pytest.mark.timeout(900)  # on a machine that does much else

_numbers = itertools.count()


class Clients:
    """What clients do, and what the server acknowledged of it."""

    def __init__(self) -> None:
        self.approved: list[str] = []
        self.sent: list[str] = []
        self.scheduled: list[str] = []

    def approve(self, victim: Victim) -> None:
        """Registers a version and approves it."""
        sm = victim.client("sagemaker")
        specification = {"Containers": [{"Image": deployed.SKLEARN}]}
        victim.reached("version created")
        arn = sm.create_model_package(
            ModelPackageGroupName="churn", InferenceSpecification=specification, SkipModelValidation="All"
        )["ModelPackageArn"]
        victim.reached("version approved")
        sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        self.approved.append(arn)

    def send(self, victim: Victim) -> None:
        """Sends an event."""
        victim.reached("event sent")
        entry = {"Source": "course.tests", "DetailType": "Test", "Detail": '{"n": 1}'}
        self.sent.append(victim.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"])

    def schedule(self, victim: Victim) -> None:
        """Makes a schedule that is due at once, and once."""
        name, role = f"schedule-{next(_numbers)}", "arn:aws:iam::111122223333:role/CourseExecutionRole"
        arn = "arn:aws:sqs:us-east-1:111122223333:scheduled"
        victim.reached("schedule made")
        victim.client("scheduler").create_schedule(
            Name=name,
            ScheduleExpression="rate(365 days)",
            FlexibleTimeWindow=OFF,
            Target={"Arn": arn, "RoleArn": role, "Input": f'"{name}"'},
        )
        self.scheduled.append(f'"{name}"')


@pytest.fixture
def victim(client_of) -> Iterator[Victim]:
    """A server to kill."""
    made = Victim(client_of, seed=11)
    yield made
    made.end()


def test_nothing_that_was_acknowledged_is_lost_and_order_is_kept(victim):
    bus, clients = Bus(victim.client, lambda prefix: f"{prefix}-{next(_numbers)}"), Clients()
    queues = {name: bus.queue(name) for name in ("approvals", "events", "scheduled")}
    victim.client("sagemaker").create_model_package_group(ModelPackageGroupName="churn")
    approval = {"source": ["aws.sagemaker"], "detail": {"ModelApprovalStatus": ["Approved"]}}
    bus.rule(approval, {"Arn": queues["approvals"].arn})
    bus.rule({"source": ["course.tests"]}, {"Arn": queues["events"].arn})
    for point, times in POINTS.items():
        victim.live(point, times, [clients.approve, clients.send, clients.schedule])
    victim.leave_no_orphans()
    told = [event["resources"][0] for event in _all(queues["approvals"], "resources", clients.approved)]
    first = [arn for arn in dict.fromkeys(told) if arn in clients.approved]
    assert first == clients.approved
    seen = [event["id"] for event in _all(queues["events"], "id", clients.sent)]
    assert [identity for identity in dict.fromkeys(seen) if identity in clients.sent] == clients.sent
    assert deployed.becomes_true(lambda: set(clients.scheduled) <= _texts(queues["scheduled"]), 90)


def _all(queue, member, expected: list[str]) -> list[dict]:
    """The events of a queue, once the last one that was acknowledged is there."""
    return queue.until(lambda event: expected[-1] in event[member])


def _texts(queue) -> set[str]:
    queue.receive()
    return {message["Body"] for message in queue.messages}
