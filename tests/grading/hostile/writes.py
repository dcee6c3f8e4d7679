"""Code that writes where it must not; what it manages it prints after WROTE."""

from hostile.case import cell


@cell()
def writes_everywhere():
    import os

    for path in (
        "/usr/x",
        "/etc/x",
        "/x",
        "/opt/x",
        "/root/x",
        "/work/x",
        "CANARY_OF_THE_TEST",
        os.path.join(os.path.dirname(os.__file__), "x.py"),
    ):
        try:
            open(path, "w").write("hostile")
            print("WROTE", path)
        except OSError as error:
            print(error)


@cell()
def writes_into_helpers():
    import os

    import helpers

    for name in ("__init__.py", "session.py"):
        path = os.path.join(os.path.dirname(helpers.__file__), name)
        try:
            open(path, "a").write("# hostile")
            print("WROTE")
        except OSError as error:
            print(error)


@cell()
def writes_sitecustomize():
    import os
    import site

    for folder in site.getsitepackages():
        try:
            open(os.path.join(folder, "sitecustomize.py"), "w").write("1/0")
            print("WROTE")
        except OSError as error:
            print(error)


@cell()
def writes_nbgrader_config():
    import os

    for folder in (".", "..", "../..", os.path.expanduser("~/.jupyter")):
        try:
            os.makedirs(folder, exist_ok=True)
            open(os.path.join(folder, "nbgrader_config.py"), "w").write("1/0")
        except OSError as error:
            print(error)


@cell()
def mounts():
    import ctypes
    import os

    libc = ctypes.CDLL(None, use_errno=True)
    print(libc.mount(b"tmpfs", b"/usr", b"tmpfs", 0, None), os.strerror(ctypes.get_errno()))
    print(libc.umount2(b"/proc", 2), libc.mount(b"none", b"/", None, 32 | 4096, None))
    try:
        open("/usr/x", "w")
        print("WROTE")
    except OSError as error:
        print(error)


@cell()
def becomes_root():
    import os

    try:
        os.setuid(0)
        print("WROTE as root")
    except OSError as error:
        print(error)


@cell()
def tunes_the_kernel():
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/vm/drop_caches",
        "/proc/self/oom_score_adj",
    ):
        try:
            open(path, "w").write("-1")
            print("WROTE" if "oom" not in path else "own score")
        except OSError as error:
            print(error)
