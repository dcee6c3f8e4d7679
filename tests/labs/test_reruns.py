"""A lab's outputs are the same on every run: nbval executes it again and compares."""

import subprocess
import sys

import papermill


def test_the_audit_gives_the_same_outputs_on_a_second_run(project, tmp_path):
    executed = tmp_path / "fraud-audit.ipynb"
    papermill.execute_notebook(str(project / "source/fraud-audit/fraud-audit.ipynb"), str(executed), progress_bar=False)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", str(executed)]
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert second.returncode == 0, second.stdout[-4000:]
