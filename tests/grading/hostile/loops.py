"""Code that does not end."""

from hostile.case import answer, cell, without


@cell()
def loop_in_a_cell():
    while True:
        pass


@cell()
def loop_that_no_interrupt_ends():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


@cell()
def loop_in_c():
    import itertools

    sum(itertools.count())


@cell()
def regex_without_end():
    import re

    re.match("(a|aa)+$", "a" * 60 + "b")


@cell()
def sleep():
    import time

    time.sleep(120)


@answer("double", scores=without("test_double"))
def loop_in_an_answer():
    def double(number):
        while True:
            pass


@cell()
def loop_without_signals():
    import signal

    for n in range(1, 65):
        try:
            signal.signal(n, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        pass
