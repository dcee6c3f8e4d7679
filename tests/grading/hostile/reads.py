"""Code that looks for secrets, hidden tests and other submissions; what it finds it prints after FOUND."""

from hostile.case import answer, cell


@cell(reads=True, looks=True)
def reads_every_notebook():
    look(
        [
            os.path.join(w, f)
            for w, _, fs in os.walk("/")
            if not w.startswith(("/proc", "/usr"))
            for f in fs
            if f.endswith((".ipynb", ".db", ".py"))
        ],
        b"marker_of_the_hidden_test\\s*=",
    )


@cell(reads=True, looks=True)
def reads_the_gradebook():
    look(
        [
            os.path.join(w, f)
            for w, _, fs in os.walk("/")
            if not w.startswith(("/proc", "/usr"))
            for f in fs
            if f.endswith(".db")
        ],
        b"course_verdict",
    )


@cell(reads=True, looks=True)
def reads_environments():
    look([f"/proc/{p}/environ" for p in os.listdir("/proc")], b"SECRET_OF_THE_GRADER")
    if any(("SECRET_OF_THE_GRADER" in name for name in os.environ)):
        print("FOUND")


@cell(reads=True)
def reads_command_lines():
    import os

    for pid in filter(str.isdigit, os.listdir("/proc")):
        line = open(f"/proc/{pid}/cmdline").read()
        if "pytest" in line or int(pid) > 1000:
            print("FOUND", pid, line)


@cell(reads=True)
def reads_secrets_of_the_host():
    import re

    def look(paths, pattern):
        for path in paths:
            try:
                text = open(path, "rb").read(50000000)
            except (OSError, ValueError):
                continue
            if re.search(pattern, text):
                print("FOUND", path)

    look(["/etc/shadow", "/root/.bashrc", "/root/.ssh/id_rsa", "/root/.gitconfig", "CANARY_OF_THE_TEST"], b".")


@cell(reads=True, looks=True)
def reads_other_submissions():
    look([os.path.join(w, f) for w, _, fs in os.walk("/tmp") for f in fs], b"cell_type")
    look([os.path.join(w, f) for w, _, fs in os.walk("/home") for f in fs], b"nbgrader")


@cell(reads=True)
def reads_its_memory():
    import re

    found = 0
    needle = ("marker_of_the" + "_hidden_test").encode()
    for line in open("/proc/self/maps"):
        span, rights = line.split()[:2]
        if "r" not in rights or "[v" in line:
            continue
        a, b = (int(x, 16) for x in span.split("-"))
        if b - a > 400000000:
            continue
        try:
            with open("/proc/self/mem", "rb", 0) as mem:
                mem.seek(a)
                data = mem.read(b - a)
        except (OSError, ValueError, OverflowError):
            continue
        found += len(re.findall(needle + b" =", data))
    print("FOUND" if found else "nothing")


@answer("double", reads=True)
def walks_frames():
    import sys

    def double(number):
        frame = sys._getframe()
        while frame:
            if any(("marker_of_the_hidden" in str(k) for k in [*frame.f_locals, *frame.f_code.co_names])):
                print("FOUND")
            frame = frame.f_back
        return number * 2


@cell(reads=True)
def walks_the_heap():
    import gc

    for thing in gc.get_objects():
        if isinstance(thing, dict):
            for value in list(thing.values()):
                if type(value) is str and "marker_of_the" + "_hidden" in value and ("gc.get_objects" not in value):
                    print("FOUND")


@cell(reads=True, before="why")
def reads_the_history():
    if any(
        (
            "marker_of_the" + "_hidden" in text and "any(" not in text
            for text in get_ipython().history_manager.input_hist_raw
        )
    ):
        print("FOUND")


@cell()
def asks_for_keys():
    import ctypes

    libc = ctypes.CDLL(None)
    print(libc.syscall(250, 11, -3, None, 0))
