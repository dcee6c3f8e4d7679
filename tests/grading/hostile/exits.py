"""Code that ends its interpreter."""

from hostile.case import answer, cell, without


@cell()
def os_exit():
    import os

    os._exit(0)


@answer("double", scores=without("test_double"))
def os_exit_in_an_answer():
    import os

    def double(number):
        os._exit(0)


@cell()
def sys_exit():
    import sys

    sys.exit()


@answer("double", scores=without("test_double"))
def sys_exit_in_an_answer():
    import sys

    def double(number):
        sys.exit(0)


@answer("double", scores=without("test_double"))
def keyboard_interrupt():
    def double(number):
        raise KeyboardInterrupt


@cell()
def segfault():
    import ctypes

    ctypes.string_at(0)


@answer("totals", scores=without("test_totals"))
def segfault_in_an_answer():
    import ctypes

    def totals(frame):
        ctypes.string_at(0)


@cell()
def abort():
    import os

    os.abort()


@cell()
def kills_itself():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


@cell()
def kills_its_guardian():
    import os
    import signal

    os.kill(os.getppid(), signal.SIGKILL)


@cell()
def becomes_another_program():
    import os

    os.execv("/bin/sleep", ["sleep", "60"])


@cell()
def closes_its_channel():
    import os

    os.closerange(3, 200)


@cell()
def stops_itself():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSTOP)


@cell()
def leaves_a_daemon():
    import os
    import time

    if not os.fork():
        os.setsid()
        if not os.fork():
            time.sleep(100)
        os._exit(0)
