"""Every change of a state reaches each subscriber, in order, also after a kill and after a handler that fails."""

import threading
from types import SimpleNamespace

import pytest

from helpers.local_sagemaker import errors, state_changes
from helpers.local_sagemaker.state import Store

PATIENCE = 60


class Listener:
    """Keeps what it is told, after failing some times."""

    def __init__(self, failures=0):
        self.heard, self.failures, self.news = [], failures, threading.Condition()

    def __call__(self, change):
        with self.news:
            if self.failures:
                self.failures -= 1
                raise OSError("not now")
            self.heard.append(change)
            self.news.notify_all()

    def wait(self, number):
        """The first changes, once there are so many."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.heard) >= number, PATIENCE), self.heard
            return [(change.kind, change.name, change.before, change.after) for change in self.heard]


@pytest.fixture
def begin(tmp_path):
    """Opens the same store again and again, as a server does at its starts."""
    servers = []

    def begin():
        server = SimpleNamespace(store=Store(tmp_path / "state.db"))
        state_changes.start(server)
        servers.append(server)
        return server

    yield begin
    for server in servers:
        state_changes.stop(server)
        server.store.close()


def test_made_changed_and_deleted_resources_are_told_and_nothing_else(begin):
    server, listener = begin(), Listener()
    server.state_changes.subscribe("test", listener)
    made = server.store.put("Endpoint", "e", {"EndpointStatus": "Creating", "Note": 1})
    server.store.update("Endpoint", "e", Note=2)
    changed = server.store.update("Endpoint", "e", EndpointStatus="InService")
    server.store.delete("Endpoint", "e")
    alarm = server.store.put("MetricAlarm", "a", {"StateValue": "OK"})
    alarmed = server.store.update("MetricAlarm", "a", StateValue="ALARM")
    told = listener.wait(5)
    before = told[1][2]
    assert before["Note"] == 2
    assert told == [
        ("Endpoint", "e", None, made),
        ("Endpoint", "e", before, changed),
        ("Endpoint", "e", changed, None),
        ("MetricAlarm", "a", None, alarm),
        ("MetricAlarm", "a", alarm, alarmed),
    ]
    assert [change.id for change in listener.heard] == sorted({change.id for change in listener.heard})


def test_what_is_rolled_back_is_never_told(begin):
    server, listener = begin(), Listener()
    server.state_changes.subscribe("test", listener)
    with pytest.raises(errors.AwsError), server.store.transaction():
        server.store.put("Model", "m", {})
        raise errors.validation("no")
    server.store.put("Model", "n", {})
    assert [name for _, name, _, _ in listener.wait(1)] == ["n"]


def test_what_was_written_while_nobody_listened_is_told_at_the_next_start(begin):
    first = begin()
    first.state_changes.subscribe("test", Listener())
    state_changes.stop(first)
    first.store.put("Model", "m", {})
    listener = Listener()
    begin().state_changes.subscribe("test", listener)
    assert [name for _, name, _, _ in listener.wait(1)] == ["m"]


def test_a_change_that_failed_comes_again_before_the_next_one(begin):
    server, listener, other = begin(), Listener(failures=1), Listener()
    server.state_changes.subscribe("fails once", listener)
    server.state_changes.subscribe("other", other)
    for name in ("m", "n"):
        server.store.put("Model", name, {})
    assert [name for _, name, _, _ in other.wait(2)] == ["m", "n"]
    assert [name for _, name, _, _ in listener.wait(2)] == ["m", "n"]


def test_a_change_that_nobody_can_handle_is_left(begin, monkeypatch):
    monkeypatch.setattr(state_changes, "RETRY_SECONDS", (0.01, 0.01))
    server, listener = begin(), Listener(failures=3)
    server.state_changes.subscribe("test", listener)
    for name in ("m", "n"):
        server.store.put("Model", name, {})
    assert [name for _, name, _, _ in listener.wait(1)] == ["n"]


def test_what_all_have_heard_is_not_kept(begin):
    server, quick, told, slow = begin(), Listener(), threading.Event(), threading.Event()
    server.state_changes.subscribe("quick", quick)
    server.state_changes.subscribe("slow", lambda change: (told.set(), slow.wait(PATIENCE)))
    server.store.put("Model", "m", {})
    quick.wait(1)
    assert told.wait(PATIENCE)  # who is stopped before that hears of it after the next start
    assert server.store.execute("SELECT COUNT(*) FROM state_changes") == [(1,)]
    slow.set()
    state_changes.stop(server)
    assert server.store.execute("SELECT COUNT(*) FROM state_changes") == [(0,)]
