"""The server starts once, whoever asks; outlives its caller; and leaves nothing when it is stopped."""

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from helpers import local_sagemaker
from helpers.local_sagemaker import LocalSageMakerError


@pytest.fixture
def home(tmp_path):
    """A home folder whose server is stopped in the end."""
    yield tmp_path / "home"
    local_sagemaker.stop(tmp_path / "home")


def kill_9(running):
    process = psutil.Process(running.pid)
    process.kill()
    process.wait()


def run(code, **environment):
    """Runs Python code in a process of its own, and returns what it printed."""
    finished = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return finished.stdout


def test_start_is_idempotent(home):
    assert local_sagemaker.status(home) is None
    running = local_sagemaker.start(home)
    assert local_sagemaker.start(home) == running == local_sagemaker.status(home)


def test_processes_that_start_at_once_get_the_same_server(home):
    code = f"from helpers import local_sagemaker; print(local_sagemaker.start({str(home)!r}).pid)"
    starters = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {starter.communicate()[0] for starter in starters}
    assert len(pids) == 1
    assert int(pids.pop()) == local_sagemaker.status(home).pid


def test_the_server_outlives_the_process_that_started_it(home):
    pid = int(run(f"from helpers import local_sagemaker; print(local_sagemaker.start({str(home)!r}).pid)"))
    assert local_sagemaker.status(home).pid == pid
    assert os.getsid(pid) == pid


def test_after_kill_9_it_starts_again_at_the_same_port(home):
    running = local_sagemaker.start(home)
    kill_9(running)
    assert local_sagemaker.status(home) is None
    again = local_sagemaker.start(home)
    assert (again.url, again.pid != running.pid) == (running.url, True)


def test_a_port_that_was_taken_meanwhile_is_replaced(home):
    running = local_sagemaker.start(home)
    local_sagemaker.stop(home)
    port = int(running.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert local_sagemaker.start(home).url != running.url


def test_a_taken_port_that_was_asked_for_is_refused(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalSageMakerError, match=rf"Cannot listen on 127\.0\.0\.1:{port}"):
            local_sagemaker.start(home, port)


def test_a_running_server_keeps_its_port(home):
    running = local_sagemaker.start(home)
    port = int(running.url.rpartition(":")[2])
    assert local_sagemaker.start(home, port) == running
    with pytest.raises(LocalSageMakerError, match="stop it to change its port"):
        local_sagemaker.start(home, port + 1)


def test_the_pid_of_another_program_is_never_killed(home):
    home.mkdir()
    (home / "server.json").write_text(json.dumps({"pid": os.getpid(), "port": 9}))
    local_sagemaker.stop(home)
    assert local_sagemaker.status(home) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_broken_record_is_as_good_as_none(home, content):
    home.mkdir()
    (home / "server.json").write_text(content)
    assert local_sagemaker.status(home) is None
    assert local_sagemaker.start(home).pid


def test_stop_ends_a_server_that_does_not_listen_to_sigterm(home, monkeypatch):
    running = local_sagemaker.start(home)
    monkeypatch.setattr(local_sagemaker.lifecycle, "STOP_SECONDS", 1)
    os.kill(running.pid, signal.SIGSTOP)
    local_sagemaker.stop(home)
    assert not psutil.pid_exists(running.pid)


def test_a_server_that_cannot_start_shows_the_end_of_its_log(home):
    home.mkdir()
    (home / "state.db").write_text("this is no database, and long enough to be seen as one that is broken" * 20)
    with pytest.raises(LocalSageMakerError, match="not a database"):
        local_sagemaker.start(home)


def test_reset_wipes_the_state(home, client_of):
    sm = client_of(local_sagemaker.start(home))("sagemaker")
    sm.create_model(ModelName="m", PrimaryContainer={"Image": "x"})
    local_sagemaker.reset(home)
    assert local_sagemaker.status(home) is None
    assert [path.name for path in home.iterdir()] == ["start.lock"]
    assert client_of(local_sagemaker.start(home))("sagemaker").list_models()["Models"] == []


def test_reset_deletes_nothing_in_a_folder_that_is_no_home(home):
    home.mkdir()
    (home / "thesis.txt").write_text("x")
    with pytest.raises(LocalSageMakerError, match="not the home"):
        local_sagemaker.reset(home)
    assert (home / "thesis.txt").exists()


def test_the_home_is_taken_from_the_environment(home, monkeypatch):
    monkeypatch.setenv("LOCAL_SAGEMAKER_HOME", str(home))
    assert local_sagemaker.start().home == home.resolve()
    assert local_sagemaker.status().home == home.resolve()


def test_the_environment_is_all_that_a_program_needs(home):
    environment = local_sagemaker.environment(local_sagemaker.start(home))
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    assert "assumed-role/CourseExecutionRole" in run(code, **environment)


def test_public_addresses_of_aws_mean_the_server(home, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.own = 'ran'")
    environment = local_sagemaker.environment(local_sagemaker.start(home))
    environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    code = """
import sys
from sagemaker.core.helper.session_helper import Session, get_execution_role
print(sys.own, get_execution_role(), Session().account_id())
"""
    words = run(code, **environment).split()
    assert words[-3:] == ["ran", "arn:aws:iam::111122223333:role/CourseExecutionRole", "111122223333"]


def test_the_python_path_of_the_caller_is_kept_once(home, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "own")
    running = local_sagemaker.start(home)
    monkeypatch.setenv("PYTHONPATH", local_sagemaker.environment(running)["PYTHONPATH"])
    startup, *others = local_sagemaker.environment(running)["PYTHONPATH"].split(os.pathsep)
    assert (startup.endswith("startup"), others) == (True, ["own"])


def test_a_proxy_is_not_asked_for_the_server(home, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "intranet")
    environment = local_sagemaker.environment(local_sagemaker.start(home))
    assert environment["no_proxy"] == environment["NO_PROXY"] == "intranet,127.0.0.1"
    code = "import boto3; boto3.client('s3').list_buckets()"
    run(code, **environment)


def test_the_sagemaker_sdk_finds_bucket_role_and_no_telemetry_without_another_host(home):
    environment = local_sagemaker.environment(local_sagemaker.start(home))
    code = """
import json, socket
resolve = socket.getaddrinfo
asked = set()
def note(host, *arguments, **options):
    asked.add(host)
    return resolve(host, *arguments, **options)
socket.getaddrinfo = note
from sagemaker.core.helper.iam_role_resolver import resolve_and_validate_role
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.telemetry.telemetry_logging import TELEMETRY_OPT_OUT_PATH
from sagemaker.core.common_utils import resolve_value_from_config
session = Session()
opt_out = resolve_value_from_config(None, TELEMETRY_OPT_OUT_PATH, default_value=False, sagemaker_session=session)
role = resolve_and_validate_role(role_type="training", sagemaker_session=session)
print(json.dumps([session.default_bucket(), role, opt_out, sorted(asked)]))
"""
    assert json.loads(run(code, **environment).splitlines()[-1]) == [
        "sagemaker-us-east-1-111122223333",
        "arn:aws:iam::111122223333:role/CourseExecutionRole",
        True,
        ["127.0.0.1"],
    ]
