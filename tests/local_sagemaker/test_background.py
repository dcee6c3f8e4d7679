"""The thread beside the requests takes a turn when it is woken or something is due, also after one that failed."""

import logging
import threading

import pytest

from helpers.local_sagemaker.background import Background

PATIENCE = 60


class Work:
    """Turns that are counted; each returns, or raises, what the next of the answers says."""

    def __init__(self, *answers):
        self._answers, self.taken, self._news = list(answers), 0, threading.Condition()

    def __call__(self):
        with self._news:
            self.taken += 1
            self._news.notify_all()
            answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, number):
        """Returns when so many turns were begun."""
        with self._news:
            assert self._news.wait_for(lambda: self.taken >= number, PATIENCE), self.taken


@pytest.fixture
def begin():
    """Starts a thread for some work, and ends it after the test."""
    begun = []

    def begin(turn, **options):
        begun.append(Background("test work", turn, **options))
        begun[-1].start()
        return begun[-1]

    yield begin
    for background in begun:
        background.stop()


def test_it_takes_a_turn_at_once_and_then_sleeps_until_it_is_woken(begin):
    work = Work()
    background = begin(work)
    work.wait(1)
    background.wake()
    work.wait(2)
    background.stop()
    assert work.taken == 2


def test_it_takes_a_turn_when_something_is_due(begin):
    work = Work(0, 0.01)
    begin(work)
    work.wait(3)


def test_a_wake_during_a_turn_is_not_lost(begin):
    entered, go_on, turns = threading.Event(), threading.Event(), []

    def turn():
        turns.append(1)
        entered.set()
        go_on.wait(PATIENCE)

    background = begin(turn)
    assert entered.wait(PATIENCE)
    entered.clear()
    background.wake()
    go_on.set()
    assert entered.wait(PATIENCE)
    assert len(turns) == 2


def test_a_turn_that_fails_is_told_and_taken_again(begin, caplog):
    work = Work(OSError("no space"))
    with caplog.at_level(logging.ERROR):
        begin(work, retry_seconds=0.01)
        work.wait(2)
    assert "test work: a turn failed" in caplog.text
    assert "no space" in caplog.text


def test_a_turn_that_fails_because_of_the_stop_is_not_told(begin, caplog):
    entered, known = threading.Event(), threading.Event()

    def turn():
        entered.set()
        known.wait(PATIENCE)
        assert background.pause(PATIENCE), "the stop ends a pause"
        raise OSError("the store is closed")

    background = begin(turn)
    known.set()
    assert entered.wait(PATIENCE)
    background.stop()
    assert background.is_stopped
    assert caplog.text == ""
