"""Each sandbox grades alike and holds; where none holds, the grader refuses and says how to allow one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_faults import grade_with
from tiny import make_course, put

from helpers.grading import backends
from helpers.grading.sandbox import Limits, SandboxError

GRADE = [sys.executable, "-m", "helpers.course", "grade", "tiny", "--workers", "1"]
LIMITS = Limits(cell_seconds=60, notebook_seconds=120, disk=32 * 2**20, processes=64)
EACH = pytest.mark.parametrize("backend", [backends.NAMESPACES, backends.BUBBLEWRAP])
# Says what it sees and may do; a limit that does not hold shows as `unbounded`.
LOOK = """
import os, pathlib, socket, subprocess, sys
seen = []
for path in (ROOT, "/root/.ssh", "/etc/shadow", "/work"):
    try:
        seen += [entry for entry in os.listdir(path) if entry in ("gradebook.db", "source", "submitted", "shadow")]
    except OSError:
        pass
for path in ("/probe", "/etc/probe", "/usr/probe", "/dev/probe", os.path.join(sys.prefix, "probe")):
    try:
        pathlib.Path(path).write_text("x")
        seen.append(f"wrote {path}")
    except OSError:
        pass
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
    seen.append("network")
except OSError:
    pass
for folder in (os.path.expanduser("~"), "/tmp", "/dev/shm"):
    try:
        with open(f"{folder}/big", "wb") as file:
            for _ in range(64):
                file.write(bytes(2**20))
        seen.append(f"unbounded {folder}")
    except OSError:
        os.remove(f"{folder}/big")
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), timeout=5)
seen += [name for name in ("SECRET_OF_THE_GRADER", "AWS_PROFILE") if name in os.environ]
assert os.getuid() and max(int(pid) for pid in os.listdir("/proc") if pid.isdigit()) < 50
print("SEEN", seen)
"""
FORKS = """
import os, time
for _ in range(400):
    try:
        if not os.fork():
            time.sleep(8)
            os._exit(0)
    except OSError:
        break
time.sleep(8)
print("SURVIVED")
"""


def with_cell(root: Path, student: str, source: str) -> None:
    """Put a right submission that first does something else."""
    put(root, student, "right")
    path = root / "submitted" / student / "tiny" / "tiny.ipynb"
    notebook = json.loads(path.read_text())
    cell = {"cell_type": "code", "id": "first", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].insert(0, cell | {"source": source})
    path.write_text(json.dumps(notebook))


@EACH
@pytest.mark.timeout(600)
def test_a_sandbox_grades_and_holds(backend, tmp_path, project, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_GRADER", "7bd1")
    root = make_course(tmp_path / "course", project)
    put(root, "partly", "partly")
    with_cell(root, "looks", f"ROOT = {str(root)!r}\n{LOOK}")
    with_cell(root, "forks", FORKS)
    put(root, "right", "right")
    verdicts = {v.student: v for v in grade_with(root, lambda *_: None, backend=backend, limits=LIMITS)}
    assert {student: verdicts[student].total for student in ("partly", "looks", "right")} == {
        "partly": 2,
        "looks": 5,
        "right": 5,
    }
    notebook = json.loads((root / "autograded/looks/tiny/tiny.ipynb").read_text())
    [first] = [cell for cell in notebook["cells"] if "SEEN" in cell["source"]]
    assert ["".join(output.get("text", output.get("evalue", ""))) for output in first["outputs"]] == ["SEEN []\n"]
    # Forks end at the kernel's limit, or the interpreter with them; the others are graded all the same.
    assert verdicts["forks"].total in (0, 5)


def test_own_namespaces_come_first():
    assert backends.choose() == backends.NAMESPACES
    assert backends.choose([backends.BUBBLEWRAP, backends.NAMESPACES]) == backends.BUBBLEWRAP


def test_without_own_namespaces_bubblewrap_is_taken_and_without_it_the_grader_refuses(monkeypatch):
    def forbid(*_: object) -> None:
        raise PermissionError("unshare: Operation not permitted")

    monkeypatch.setattr(backends.sandbox, "enter", forbid)
    assert backends.choose() == backends.BUBBLEWRAP
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxError) as refusal:
        backends.choose()
    text = str(refusal.value)
    assert "own namespaces: PermissionError: unshare: Operation not permitted; bubblewrap: it is not installed" in text
    assert "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in text
    assert "sudo apt-get install bubblewrap" in text and "--security-opt seccomp=unconfined" in text
    assert "--no-sandbox executes the submissions with your rights" in text


@pytest.mark.timeout(600)
def test_the_command_names_its_sandbox_warns_without_one_and_refuses_where_none_holds(tmp_path, project):
    root = make_course(tmp_path / "course", project)
    put(root, "right", "right")
    inside = subprocess.run(GRADE, cwd=root, capture_output=True, text=True, check=True)
    assert "sandbox: own namespaces\n" in inside.stdout
    bare = subprocess.run([*GRADE, "--no-sandbox"], cwd=root, capture_output=True, text=True, check=True)
    assert "warning: submissions execute without a sandbox, with your rights" in bare.stderr
    # A machine whose user namespaces are used up, for a user who may not make other namespaces either.
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *GRADE]
    refused = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "does not allow the grader's sandbox" in refused.stderr, refused
    assert "sudo sysctl -w user.max_user_namespaces=31391" in refused.stderr
