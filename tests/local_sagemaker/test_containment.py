"""A job or a worker that misbehaves is ended with a reason; the server, other jobs and endpoints go on.

Every misbehaviour here is finite, and the server's limits are low: 0.4 GiB, 0.2 GiB on disk, 60 processes.
"""

import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator

import psutil
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from deployed import create_endpoint, create_model, variant
from submitted_jobs import Submitter

from helpers import local_sagemaker
from helpers.local_sagemaker import arns, containment, logs, process_tree, sandbox

LOW = {
    "LOCAL_SAGEMAKER_MAX_MEMORY_GB": "0.4",
    "LOCAL_SAGEMAKER_MAX_DISK_GB": "0.2",
    "LOCAL_SAGEMAKER_MAX_PROCESSES": "60",
}
FORKS = """
import os, time
for _ in range(150):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
THREADS = """
import threading, time
for _ in range(600):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)
"""
MEMORY = """
import time
held = []
for _ in range(16):
    held.append(b"x" * 50_000_000)
    time.sleep(0.05)
time.sleep(60)
"""
SHARED_MEMORY = """
import os, time
held = b"x" * 200_000_000
children = [os.fork() for _ in range(2)]
if 0 in children:
    time.sleep(2)
    os._exit(0)
for child in children:
    os.waitpid(child, 0)
"""
MANY_FILES_ON_DISK = """
import time
for index in range(40):
    with open(f"/opt/ml/model/{index}.bin", "wb") as file:
        file.write(b"x" * 10_000_000)
    time.sleep(0.02)
time.sleep(60)
"""
ONE_FILE_ON_DISK = """
with open("/opt/ml/model/all.bin", "wb") as file:
    for _ in range(40):
        file.write(b"x" * 10_000_000)
"""
TEMPORARY_FILE = """
import tempfile
with tempfile.TemporaryFile() as file:
    for _ in range(40):
        file.write(b"x" * 10_000_000)
"""
OPEN_FILES = "held = [open('/dev/null') for _ in range(70_000)]"
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3):
            os.close(number)
        time.sleep(60)
    os._exit(0)
os.wait()
"""
ENDLESS_LINE = """
import sys
for _ in range(100):
    sys.stdout.write("x" * 100_000)
print("end")
"""
HUNGRY = """
import json
def model_fn(folder):
    return None
def input_fn(data, content_type):
    return json.loads(data)
def predict_fn(megabytes, model):
    return len(b"x" * megabytes * 1_000_000)
def output_fn(answer, accept):
    return json.dumps(answer), "application/json"
"""


@pytest.fixture(scope="module")
def contained(tmp_path_factory, client_of) -> Iterator[Callable[..., BaseClient]]:
    """Clients of a server with low limits."""
    home = tmp_path_factory.mktemp("contained")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LOW.items():
            patch.setenv(name, value)
        running = local_sagemaker.start(home)
    clients = client_of(running)
    clients("s3").create_bucket(Bucket="contained")
    yield clients
    local_sagemaker.stop(home)


@pytest.fixture
def submit(contained, unique) -> Submitter:
    """Jobs on that server."""
    return Submitter(contained, "contained", arns.ROLE_ARN, unique)


def processes_of(job: str) -> list[psutil.Process]:
    """Processes whose environment names a job."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TRAINING_JOB_NAME") == job:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (FORKS, "Resource temporarily unavailable: algo-1 had"),
        (THREADS, "Resource temporarily unavailable: algo-1 had"),
        (MEMORY, "Please use an instance type with more memory"),
        (MANY_FILES_ON_DISK, "No space left on device: algo-1 wrote"),
        (ONE_FILE_ON_DISK, "No space left on device: algo-1 wrote"),
    ],
    ids=["forks", "threads", "memory", "many files", "one file"],
)
def test_a_job_that_uses_more_than_its_instance_is_ended(submit, script, words):
    name = submit.train(HyperParameters=submit.source(train_py=script))
    beside = submit.train(HyperParameters=submit.source(train_py="print('beside')"))
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith(f"AlgorithmError: {words}")
    assert ", exit code: " in description["FailureReason"]
    assert processes_of(name) == []
    assert submit.trained(beside)["TrainingJobStatus"] == "Completed"


def test_a_processing_job_is_contained_too(submit):
    script = "import time; held = [b'x' * 50_000_000 for _ in range(16)]; time.sleep(60)"
    description = submit.processed(submit.process(["python3", "-c", script]))
    assert description["FailureReason"].startswith("AlgorithmError: Please use an instance type with more memory")
    assert description["FailureReason"].endswith("exit code: 137")


def test_memory_that_processes_share_counts_once(submit):
    description = submit.trained(submit.train(HyperParameters=submit.source(train_py=SHARED_MEMORY)))
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")


def test_temporary_files_lie_on_the_volume(submit):
    reason = submit.trained(submit.train(HyperParameters=submit.source(train_py=TEMPORARY_FILE)))["FailureReason"]
    assert "File too large" in reason or "No space left on device" in reason


def test_a_job_runs_out_of_open_files_before_the_server_does(submit):
    reason = submit.trained(submit.train(HyperParameters=submit.source(train_py=OPEN_FILES)))["FailureReason"]
    assert "Too many open files" in reason
    assert submit.sm.list_models()["Models"] == []


def test_a_daemon_ends_with_its_job(submit):
    name = submit.train(HyperParameters=submit.source(train_py=DAEMON))
    assert submit.trained(name)["TrainingJobStatus"] == "Completed"
    assert processes_of(name) == []


def test_a_line_without_end_is_cut_where_cloudwatch_cuts_it(submit):
    name = submit.train(HyperParameters=submit.source(train_py=ENDLESS_LINE))
    assert submit.trained(name)["TrainingJobStatus"] == "Completed"
    lines = submit.log(name)
    assert max(map(len, lines)) == logs.LONGEST_EVENT
    assert sum(map(len, lines)) == 10_000_003
    assert lines[-1].endswith("end")


def test_a_log_that_grows_too_fast_keeps_its_begin_and_its_end(client, unique, monkeypatch):
    monkeypatch.setattr(logs, "_BURST_BYTES", 100 * (logs._COST_OF_EVENT + 8))
    monkeypatch.setattr(logs, "_BYTES_A_SECOND", 0)
    group, stream = "/test/flood", unique("stream")
    writer = logs.LogWriter(types.SimpleNamespace(client=client), group, stream)
    for number in range(20_000):
        writer.write(f"{number:08}")
    writer.close()
    events = client("logs").get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    lines = [event["message"] for event in events]
    assert lines[:100] == [f"{number:08}" for number in range(100)]
    assert "19800 lines are left out here" in lines[100]
    assert lines[101:] == [f"{number:08}" for number in range(19_900, 20_000)]


def test_a_worker_that_uses_too_much_memory_is_replaced(contained, unique):
    sm, runtime = contained("sagemaker"), contained("sagemaker-runtime")
    names = [unique("hungry"), unique("modest")]
    for name in names:
        create_model(sm, contained("s3"), "contained", name, {"code/inference.py": HUNGRY})
        create_endpoint(sm, name, [variant(name)])
    hungry, modest = names

    def ask(name: str, megabytes: int) -> object:
        answer = runtime.invoke_endpoint(EndpointName=name, Body=json.dumps(megabytes), ContentType="application/json")
        return json.loads(answer["Body"].read())

    with pytest.raises(ClientError):
        for _ in range(20):  # one look may fall between two allocations
            ask(hungry, 700)
    assert ask(modest, 1) == 1_000_000
    deadline = time.monotonic() + 120
    while True:
        try:
            assert ask(hungry, 1) == 1_000_000
            break
        except ClientError:
            assert time.monotonic() < deadline, "the worker does not come back"
            time.sleep(0.1)
    for name in names:
        sm.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize(
    ("instance_type", "gib"),
    [
        ("ml.m5.large", 8),
        ("ml.m5.xlarge", 16),
        ("ml.c5.2xlarge", 16),
        ("ml.r5.4xlarge", 128),
        ("ml.t3.medium", 4),
        ("ml.g4dn.xlarge", 16),
        ("ml.p3.2xlarge", None),
        ("local", None),
    ],
)
def test_the_memory_of_an_instance_type(instance_type, gib):
    known = containment.instance_memory(instance_type)
    assert known == (gib and gib * containment.GIB)


def test_pages_of_a_mapped_file_are_no_memory_of_a_job(tmp_path):
    (tmp_path / "data").write_bytes(bytes(100_000_000))
    script = f"""
import mmap, sys
file = open({str(tmp_path / "data")!r}, "rb")
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
for begin in range(0, len(mapped), 4096):
    mapped[begin]
print("mapped", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"mapped\n"
        with_files = process_tree.proportional(process.pid)
        without = process_tree.proportional(process.pid, with_files=False)
    finally:
        process.communicate()
    assert with_files - without > 90_000_000


def test_a_job_is_ended_before_the_disk_of_the_machine_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(containment, "_LEAST_FREE_DISK", 1_000_000)
    (tmp_path / "data").write_bytes(bytes(2_000_000))
    nothing_left = types.SimpleNamespace(free=0)
    monkeypatch.setattr(containment.shutil, "disk_usage", lambda folder: nothing_left)
    process = sandbox.launch_on_host(["sleep", "60"], {"PATH": os.environ["PATH"]}, cwd=tmp_path)
    limits = containment.Limits(memory=1e12, processes=100, disk=1e12)
    watch = containment.Watch(process, limits, [tmp_path], "algo-1", seconds=0.01)
    assert process.wait(timeout=60) == -9
    assert watch.close() == "No space left on device: algo-1 wrote 0.00 GiB, and the machine's disk is full"


def test_limits_are_the_smallest_of_instance_machine_and_setting(tmp_path, monkeypatch):
    for name in LOW:
        monkeypatch.delenv(name, raising=False)
    found = containment.limits(tmp_path, "ml.t3.medium", 1)
    assert found.memory <= 4 * containment.GIB
    assert found.disk <= containment.GIB
    monkeypatch.setenv("LOCAL_SAGEMAKER_MAX_MEMORY_GB", "0.25")
    monkeypatch.setenv("LOCAL_SAGEMAKER_MAX_PROCESSES", "7")
    found = containment.limits(tmp_path, "ml.m5.24xlarge", 1000)
    assert (found.memory, found.processes) == (0.25 * containment.GIB, 7)


@pytest.mark.parametrize("way", ["bwrap", "unshare", "rewrite"])
def test_every_way_of_binding_ends_forks_and_daemons(tmp_path, monkeypatch, client_of, unique, way):
    for name, value in (LOW | {"LOCAL_SAGEMAKER_BIND": way}).items():
        monkeypatch.setenv(name, value)
    try:
        own = client_of(local_sagemaker.start(tmp_path))
        own("s3").create_bucket(Bucket="of-its-own")
        submit = Submitter(own, "of-its-own", arns.ROLE_ARN, unique)
        for script, status in ((FORKS, "Failed"), (DAEMON, "Completed")):
            name = submit.train(HyperParameters=submit.source(train_py=script))
            description = submit.trained(name)
            if f"{way} cannot bind /opt/ml" in description.get("FailureReason", ""):
                return  # this machine allows no such namespace: the job said so
            assert description["TrainingJobStatus"] == status, description.get("FailureReason")
            assert processes_of(name) == []
    finally:
        local_sagemaker.stop(tmp_path)
