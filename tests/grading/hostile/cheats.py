"""Wrong answers that try to pass."""

from hostile.case import answer, cell, without


@answer("double", scores=without("test_double"))
def equals_everything():
    class Equal(float):
        __hash__ = float.__hash__

        def __eq__(self, other):
            return True

        def __ne__(self, other):
            return False

        def __sub__(self, other):
            return 0.0

        __rsub__ = __sub__

    def double(number):
        return Equal(1)


@answer("double", scores=without("test_double"))
def equals_everything_as_an_object():
    class Equal:
        __hash__ = object.__hash__

        def __eq__(self, other):
            return True

        def __ne__(self, other):
            return False

        def __sub__(self, other):
            return 0.0

        __rsub__ = __sub__

    def double(number):
        return Equal()


@cell(scores=without("test_double", "test_inside"), flagged="must fail", wrong=("double",), before="double")
def patched_numpy_testing():
    import numpy as np

    np.testing.assert_allclose = lambda *a, **k: None
    np.isclose = np.allclose = lambda *a, **k: True


@cell(scores=without("test_totals", "test_inside"), flagged="must fail", wrong=("totals",), before="double")
def patched_pandas():
    import pandas as pd

    pd.testing.assert_series_equal = lambda *a, **k: None
    pd.Series.equals = pd.DataFrame.equals = lambda *a: True
    pd.Series.__getitem__ = lambda *a: 4


@cell(scores=without("test_double", "test_inside"), flagged="must fail", wrong=("double", "inside"), before="double")
def drops_asserts():
    import ast

    class Drop(ast.NodeTransformer):
        def visit_Assert(self, node):
            return ast.Pass()

        def visit_Raise(self, node):
            return ast.Pass()

    get_ipython().ast_transformers.append(Drop())


@cell(scores=without("test_inside"), flagged="must fail", wrong=("inside",), before="double")
def rewrites_input():
    get_ipython().input_transformers_cleanup.append(
        lambda lines: ["None\n"] if any(("assert" in l for l in lines)) else lines
    )


@cell(scores=without("test_inside"), flagged="must fail", wrong=("inside",), before="double")
def patched_run_cell():
    shell = get_ipython()
    run = type(shell).run_cell

    def run_cell(self, source, *a, **k):
        return run(self, "None" if "assert" in source else source, *a, **k)

    type(shell).run_cell = run_cell


@answer("inside", scores=without("test_inside"), flagged="must fail")
def always_true_inside():
    class Equal(float):
        __hash__ = float.__hash__

        def __eq__(self, other):
            return True

        def __ne__(self, other):
            return False

        def __sub__(self, other):
            return 0.0

        __rsub__ = __sub__

    import math

    math.isclose = lambda *a, **k: True

    def inside(number):
        return Equal(1)


@cell(scores={"test_inside": 0.0}, flagged="?", wrong=("inside",), before="double")
def patched_exceptions():
    import builtins

    class Quiet(Exception):
        def __new__(cls, *a):
            raise SystemExit(0)

    builtins.AssertionError = Quiet


@cell(scores={"test_double": 0.0}, flagged="?", wrong=("double",), before="double")
def forges_the_protocol():
    import json
    import os
    import socket
    import struct

    for name in os.listdir("/proc/self/fd"):
        try:
            s = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        header = json.dumps({"body": {"value": 40520602, "ok": True, "outputs": [], "count": 1}, "sizes": []}).encode()
        try:
            s.sendall((struct.pack("!II", len(header), 0) + header) * 3)
        except OSError:
            pass


@cell(scores=without("test_inside"), flagged="must fail", wrong=("inside",), before="inside")
def forges_passes_inside():
    from helpers.grading import interpreter

    def cell(self, asked):
        return ({"outputs": [], "count": 1, "ok": True}, [])

    interpreter.Interpreter._cell = cell
    import gc

    for thing in gc.get_objects():
        if isinstance(thing, dict) and set(thing) == {"cell", "call", "value"}:
            thing["cell"] = lambda asked: ({"outputs": [], "count": 1, "ok": True}, [])


@cell(scores={"test_double": 0.0, "test_totals": 0.0}, before="double")
def sends_pickles():
    from helpers.grading import wire

    wire.encode = lambda value: ({"$": "pickle", "v": 0}, [b"cos\nsystem\n(S'touch /tmp/pickled'\ntR."])


@cell(scores={}, flagged="?", before="double")
def sends_garbage():
    import os
    import socket

    for name in os.listdir("/proc/self/fd"):
        try:
            socket.socket(fileno=os.dup(int(name))).sendall(os.urandom(100000))
        except OSError:
            pass


@cell(scores={}, flagged="?", before="why")
def sends_huge_lengths():
    import os
    import socket

    for name in os.listdir("/proc/self/fd"):
        try:
            socket.socket(fileno=os.dup(int(name))).sendall(b"\xff" * 8)
        except OSError:
            pass


@cell()
def forged_outputs():
    get_ipython().display_pub.publish({"text/plain": "x"}, metadata={"nbgrader": {"grade": True, "points": 100}})


@answer("double", scores=without("test_double"))
def asks_who_calls():
    import traceback

    def double(number):
        return 4 if any(("test" in f.name for f in traceback.extract_stack())) else 4


@answer("double", scores=without("test_double"))
def knows_the_visible_test():
    def double(number):
        return 4


@cell(before="claim")
def rebinds_after_the_test():
    def double(number):
        return -1


@answer("totals", scores=without("test_totals"))
def changes_its_argument():
    def totals(frame):
        result = frame.groupby("key")["value"].sum()
        frame.drop(frame.index, inplace=True)
        return result
