"""Modules and built-ins that are not what they are called."""

from hostile.case import cell


@cell()
def makes_modules():
    import subprocess
    import sys

    for name in ("pandas", "numpy", "json"):
        open(f"{name}.py", "w").write('print("SHADOWED")')
    print(subprocess.run([sys.executable, "-c", "import json"], capture_output=True, text=True).stdout)


@cell(scores={"test_double": 0.0}, flagged="?", wrong=("double",), before="double")
def replaces_builtins():
    import builtins

    builtins.AssertionError = ValueError
    builtins.abs = lambda x: 0
    builtins.len = lambda x: 1
    builtins.isinstance = lambda *a: True
