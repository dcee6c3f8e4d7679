"""A machine that fails: a full disk, a home that cannot be written, damaged state; each says what to do."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from submitted_jobs import Submitter

from helpers import local_sagemaker
from helpers.local_sagemaker import LocalSageMakerError, arns, unix_sockets

MIB = 1024**2
TESTS = Path(__file__).parent


@pytest.fixture
def home(tmp_path: Path):
    """A home folder whose server is stopped in the end."""
    yield tmp_path / "home"
    local_sagemaker.stop(tmp_path / "home")


def refused(call: Callable[[], object]) -> tuple[str, str]:
    """Code and message of the error that a call gives."""
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def in_a_namespace(script: str, *mounts: str) -> str | None:
    """What a Python script prints that runs with mounts of its own; None where the machine allows none."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        return None
    shell = "; ".join(["set -e", *mounts, 'exec "$0" -c "$1"'])
    done = subprocess.run(
        [*command, "sh", "-c", shell, sys.executable, script], capture_output=True, text=True, timeout=240, cwd=TESTS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FULL_DISK = """
import json, os, pathlib, sys
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from submitted_jobs import Submitter
from helpers import local_sagemaker
from helpers.local_sagemaker import arns

home, MIB = pathlib.Path("HOME"), 1024**2
def clients(running):
    config = Config(retries={"total_max_attempts": 1}, read_timeout=120)
    session = boto3.Session("local", "local", region_name="us-east-1")
    made = {}
    def client(service):
        if service not in made:
            made[service] = session.client(service, endpoint_url=running.url, config=config)
        return made[service]
    return client
def told(call):
    try:
        call()
    except ClientError as error:
        return [error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Message"]]
    return [200, ""]
client = clients(local_sagemaker.start(home))
s3, sm = client("s3"), client("sagemaker")
s3.create_bucket(Bucket="full")
names = iter(f"job-{number}" for number in range(100))
submit = Submitter(client, "full", arns.ROLE_ARN, lambda prefix: next(names))
kept = []
def put(index):
    s3.put_object(Bucket="full", Key=f"k{index}", Body=b"x" * 5 * MIB)
    kept.append(index)
report = {"puts": next(answer for index in range(40) if (answer := told(lambda: put(index)))[0] != 200)}
# Whoever fills the disk may leave nothing at all.
filler = home / "filler"
with filler.open("wb", buffering=0) as file:
    size = 4 * MIB
    while size >= 1:
        try:
            if not file.write(b"x" * size):
                break
        except OSError:
            size //= 2
models = []
def model(index):
    sm.create_model(ModelName=f"m{index}", PrimaryContainer={"Image": "x", "Environment": {"A": "x" * 1000}})
    models.append(index)
report["models"] = next(answer for index in range(2000) if (answer := told(lambda: model(index)))[0] != 200)
report["training"] = told(lambda: submit.train(HyperParameters={"a": "x" * 2000}))
report["read"] = told(lambda: s3.get_object(Bucket="full", Key="k0")["Body"].read())
filler.unlink()
for index in range(4):
    s3.delete_object(Bucket="full", Key=f"k{index}")
    kept.remove(index)
put(40)
source = submit.source(train_py="print('trained')")
report["job"] = submit.trained(submit.train(HyperParameters=source))["TrainingJobStatus"]
local_sagemaker.stop(home)
client = clients(local_sagemaker.start(home))
keys = {item["Key"] for item in client("s3").list_objects_v2(Bucket="full")["Contents"]}
report["lost objects"] = [index for index in kept if f"k{index}" not in keys]
pages = client("sagemaker").get_paginator("list_models").paginate()
there = {model["ModelName"] for page in pages for model in page["Models"]}
report["lost models"] = [index for index in models if f"m{index}" not in there]
report["size"] = len(client("s3").get_object(Bucket="full", Key="k40")["Body"].read())
local_sagemaker.stop(home)
print(json.dumps(report))
"""


def test_a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    printed = in_a_namespace(FULL_DISK.replace("HOME", str(home)), f"mount -t tmpfs -o size=96m tmpfs {home}")
    if printed is None:
        return  # this machine allows no mounts: the tests below set the server a limit of its own instead
    report = json.loads(printed)
    for name in ("puts", "models", "training"):
        status, message = report[name]
        assert status == 507, report
        assert message.startswith(f"No space left on device: the disk of the local SageMaker's home {home} has"), name
    assert report["read"][0] == 200
    assert report["job"] == "Completed"
    assert (report["lost objects"], report["lost models"]) == ([], [])
    assert report["size"] == 5 * MIB


def test_a_start_on_a_full_disk_says_so(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    script = f"""
from helpers import local_sagemaker
try:
    local_sagemaker.start({str(home)!r})
except local_sagemaker.LocalSageMakerError as error:
    print(error)
"""
    printed = in_a_namespace(script, f"mount -t tmpfs -o size=3m tmpfs {home}")
    assert printed is None or (
        printed.startswith(f"No space left on device: the disk of the local SageMaker's home {home} has")
        and "LOCAL_SAGEMAKER_HOME" in printed
    )


def test_a_home_that_cannot_be_written_says_so(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    script = f"""
from helpers import local_sagemaker
for folder in ({str(home)!r}, {str(home / "below")!r}):
    try:
        local_sagemaker.start(folder)
    except local_sagemaker.LocalSageMakerError as error:
        print(error)
"""
    printed = in_a_namespace(script, f"mount --bind {home} {home}", f"mount -o remount,bind,ro {home}")
    assert printed is None or printed.count("cannot be written: Read-only file system. Choose another folder") == 2


def test_a_home_that_is_a_file_says_so(tmp_path):
    (tmp_path / "home").write_text("x")
    with pytest.raises(LocalSageMakerError, match=r"cannot be written: (File exists|Not a directory)"):
        local_sagemaker.start(tmp_path / "home")


def limit_file_size(pid: int, size: int) -> None:
    """From now on no file of the process grows above the size: what a full disk does to it, without one."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_what_cannot_be_written_is_refused_until_it_can(home, client_of):
    running = local_sagemaker.start(home)
    client = client_of(running)
    s3, sm = client("s3"), client("sagemaker")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="before", Body=b"b" * MIB)
    limit_file_size(running.pid, 1000)
    code, message = refused(lambda: s3.put_object(Bucket="kept", Key="during", Body=b"d" * MIB))
    assert (code, str(home) in message) == ("InsufficientStorage", True)
    assert refused(lambda: s3.create_bucket(Bucket="refused"))[0] == "InsufficientStorage"
    assert refused(lambda: s3.put_object(Bucket="refused", Key="x", Body=b"x"))[0] == "InsufficientStorage"
    assert refused(lambda: sm.create_model(ModelName="m", PrimaryContainer={"Image": "x"}))[0] == "InsufficientStorage"
    assert s3.get_object(Bucket="kept", Key="before")["Body"].read() == b"b" * MIB
    limit_file_size(running.pid, resource.RLIM_INFINITY)
    sm.create_model(ModelName="m", PrimaryContainer={"Image": "x"})
    s3.put_object(Bucket="kept", Key="after", Body=b"a" * MIB)
    kill_9(running)
    client = client_of(local_sagemaker.start(home))
    for key in ("before", "after"):
        assert client("s3").get_object(Bucket="kept", Key=key)["Body"].read() == key[:1].encode() * MIB
    assert client("sagemaker").describe_model(ModelName="m")["ModelName"] == "m"


def kill_9(running: local_sagemaker.Running) -> None:
    process = psutil.Process(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    process.wait()


def submitter(client: Callable[..., BaseClient], unique: Callable[[str], str]) -> Submitter:
    client("s3").create_bucket(Bucket="of-its-own")
    return Submitter(client, "of-its-own", arns.ROLE_ARN, unique)


def test_a_job_that_cannot_write_its_end_ends_when_it_can(home, client_of, unique):
    running = local_sagemaker.start(home)
    submit = submitter(client_of(running), unique)
    name = submit.train(HyperParameters=submit.source(train_py="import time; print('ready'); time.sleep(1)"))
    submit.wait_for_line(name, "ready")
    limit_file_size(running.pid, 1000)
    deadline = time.monotonic() + 60
    while (home / "jobs" / "TrainingJob" / name).exists():
        assert time.monotonic() < deadline, "the job's process does not end"
        time.sleep(0.05)
    assert submit.sm.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress"
    limit_file_size(running.pid, resource.RLIM_INFINITY)
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("InternalServerError: No space left on device")


@pytest.mark.parametrize("name", ["state", "metrics", "logs"])
def test_a_damaged_state_says_what_to_do(home, name):
    home.mkdir()
    (home / f"{name}.db").write_text("this is no database, and long enough to be seen as one that is broken" * 20)
    with pytest.raises(
        LocalSageMakerError, match=rf"{name}\.db cannot be opened: .* bring it back from a backup, or start"
    ):
        local_sagemaker.start(home)


def test_a_missing_file_of_the_journal_says_what_to_do(home, client_of):
    s3 = client_of(local_sagemaker.start(home))("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="large", Body=b"x" * MIB)
    local_sagemaker.stop(home)
    (lost,) = (home / "journal").iterdir()
    body = lost.read_bytes()
    lost.unlink()
    client = client_of(local_sagemaker.start(home))
    for _ in range(2):
        with pytest.raises(ClientError, match=r"1 files are missing in .*/journal, which holds what S3 was given"):
            client("s3").list_buckets()
    assert client("sagemaker").list_models()["Models"] == []
    lost.write_bytes(body)
    assert client("s3").get_object(Bucket="kept", Key="large")["Body"].read() == body


def test_a_second_server_of_a_home_refuses_and_harms_nothing(home, client_of):
    running = local_sagemaker.start(home)
    sm = client_of(running)("sagemaker")
    sm.create_model(ModelName="m", PrimaryContainer={"Image": "x"})
    command = [sys.executable, "-m", "helpers.local_sagemaker", "--home", str(home)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"Another local SageMaker serves {home}" in second.stderr
    assert local_sagemaker.status(home) == running
    assert sm.describe_model(ModelName="m")["ModelName"] == "m"


def test_a_home_with_a_very_long_path_trains(tmp_path, client_of, unique):
    home = tmp_path.joinpath(*["a-rather-long-name-of-a-folder-that-someone-may-have" * 2] * 3)
    try:
        submit = submitter(client_of(local_sagemaker.start(home)), unique)
        script = (
            "import multiprocessing\nwith multiprocessing.Manager() as manager:\n    print(list(manager.list([1])))"
        )
        name = submit.train(HyperParameters=submit.source(train_py=script))
        assert submit.trained(name)["TrainingJobStatus"] == "Completed"
        assert submit.log(name) == ["[1]"]
    finally:
        local_sagemaker.stop(home)


def test_sockets_have_a_short_path_whatever_the_temporary_folder_is(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr(unix_sockets.tempfile, "tempdir", str(long))
    assert len(str(unix_sockets.socket_folder(tmp_path))) <= unix_sockets.LONGEST_SOCKET_FOLDER


def test_a_transaction_that_cannot_be_committed_leaves_none_open(tmp_path):
    from helpers.local_sagemaker.state import Store

    store = Store(tmp_path / "state.db")
    store.execute("PRAGMA max_page_count = 20")
    written = []
    with pytest.raises(sqlite3.OperationalError, match="full"):
        for index in range(100):
            store.put("Model", f"m{index}", {"ModelName": "x" * 4000})
            written.append(f"m{index}")
    store.execute("PRAGMA max_page_count = 100000")
    store.put("Model", "after", {"ModelName": "after"})
    store.close()
    again = Store(tmp_path / "state.db")
    assert len(again.list("Model")) == len(written) + 1
    again.close()
