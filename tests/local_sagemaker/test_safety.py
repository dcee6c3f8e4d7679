"""Nothing leaves its place: keys, archives, links, paths; no secret reaches a job, no web page reaches the server."""

import io
import os
import re
import socket
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from submitted_jobs import Submitter

from helpers import local_sagemaker
from helpers.local_sagemaker import arns, overlays, staging
from helpers.local_sagemaker.jobs import Host

CODE, OUT = "/opt/ml/processing/input/code", "/opt/ml/processing/output"


@pytest.fixture
def submit(client, bucket, role_arn, unique) -> Submitter:
    """Jobs on the session's server."""
    return Submitter(client, bucket, role_arn, unique)


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, body in members:
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "members",
    [
        [(member("../evil"), b"x")],
        [(member("a/../../evil"), b"x")],
        [(member("link", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        [(member("link", tarfile.SYMTYPE, "../../evil"), b"")],
        [(member("folder", tarfile.SYMTYPE, ".."), b""), (member("folder/evil"), b"x")],
        [(member("link", tarfile.LNKTYPE, "/etc/passwd"), b"")],
        [(member("link", tarfile.LNKTYPE, "../../evil"), b"")],
        [(member("device", tarfile.CHRTYPE), b"")],
        [(member("device", tarfile.BLKTYPE), b"")],
        [(member("pipe", tarfile.FIFOTYPE), b"")],
    ],
    ids=lambda members: "+".join(one.name + one.type.decode() + one.linkname for one, _ in members),
)
def test_an_archive_reaches_nothing_outside_of_its_folder(tmp_path, members):
    path = archive(tmp_path / "model.tar.gz", *members)
    with pytest.raises(staging.StagingError, match=r"model\.tar\.gz cannot be extracted"):
        staging.extract_tar(path, tmp_path / "host" / "model")
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_that_is_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path, monkeypatch):
    path = archive(tmp_path / "model.tar.gz", (member("zeros"), bytes(50_000_000)))
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    monkeypatch.setattr(staging, "_SHARE_OF_FREE_DISK", 10_000_000 / free)
    with pytest.raises(staging.StagingError, match="No space left on device"):
        staging.extract_tar(path, tmp_path / "model")
    assert not (tmp_path / "model" / "zeros").exists()


@pytest.mark.parametrize("body", [b"", b"no archive", b"\x1f\x8b\x08broken"])
def test_what_is_no_archive_fails_a_job_with_its_name(submit, body):
    uri = submit.put(f"{submit.unique('bad')}/sourcedir.tar.gz", body)
    name = submit.train(HyperParameters={"sagemaker_program": "t.py", "sagemaker_submit_directory": uri})
    assert "sourcedir.tar.gz cannot be extracted" in submit.trained(name)["FailureReason"]


@pytest.mark.parametrize("directory", ["/opt/ml/../../etc", "/opt/mlx", "file:///etc", "/etc"])
def test_source_code_is_taken_from_s3_and_from_the_job_only(submit, directory):
    name = submit.train(HyperParameters={"sagemaker_program": "t.py", "sagemaker_submit_directory": directory})
    assert "neither in S3 nor below /opt/ml" in submit.trained(name)["FailureReason"]


@pytest.mark.parametrize("key", ["../../../evil.csv", "a/../../../../evil.csv", "/../evil.csv"])
def test_a_key_that_leads_out_of_its_channel_fails_the_job(submit, key):
    prefix = submit.unique("keys")
    manifest = f'[{{"prefix": "s3://{submit.bucket}/{prefix}/"}}, "{key}"]'
    submit.put(f"{prefix}/{key}", "x")
    channel = submit.channel("train", submit.put(f"{prefix}.manifest", manifest))
    channel["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    name = submit.train(HyperParameters=submit.source(train_py=""), InputDataConfig=[channel])
    assert "leads out of the folder" in submit.trained(name)["FailureReason"]


@pytest.mark.parametrize("name", [".", ".."])
def test_a_channel_has_a_name_for_a_folder(submit, name):
    uri = submit.put(f"{submit.unique('data')}/a.csv", "x")
    with pytest.raises(ClientError, match="is no name for a folder"):
        submit.train(InputDataConfig=[submit.channel(name, uri)])


def test_a_name_that_no_file_can_have_fails_the_job(submit):
    uri = submit.put(f"{submit.unique('data')}/{'x' * 300}", "x")
    name = submit.train(
        HyperParameters=submit.source(train_py=""), InputDataConfig=[submit.channel("train", uri[:-300])]
    )
    assert "File name too long" in submit.trained(name)["FailureReason"]


@pytest.fixture
def secret(tmp_path) -> Path:
    """A file of this machine that no job may publish."""
    (tmp_path / "secrets").mkdir()
    path = tmp_path / "secrets" / "password.txt"
    path.write_text("hunter2")
    return path


def uploaded(submit: Submitter, prefix: str) -> dict[str, bytes]:
    """All objects under a prefix, by the rest of their key."""
    found = submit.s3.list_objects_v2(Bucket=submit.bucket, Prefix=prefix).get("Contents", [])
    bodies = [submit.s3.get_object(Bucket=submit.bucket, Key=item["Key"])["Body"].read() for item in found]
    return {item["Key"].removeprefix(prefix): body for item, body in zip(found, bodies, strict=True)}


def test_links_out_of_an_output_are_not_followed(submit, secret):
    target = submit.unique("out")
    script = f"""
import os
os.chdir("{OUT}")
os.symlink("{secret}", "stolen.txt")
os.symlink("{secret.parent}", "stolen")
open("own.txt", "w").write("own")
os.symlink("own.txt", "again.txt")
os.symlink("nowhere", "dangling")
os.mkfifo("pipe")
"""
    output = {"S3Uri": f"s3://{submit.bucket}/{target}", "LocalPath": OUT, "S3UploadMode": "EndOfJob"}
    code = {
        "S3Uri": submit.put(f"{target}.py", script),
        "LocalPath": CODE,
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    name = submit.process(
        ["python3", f"{CODE}/{target}.py"],
        ProcessingInputs=[{"InputName": "code", "S3Input": code}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "o", "S3Output": output}]},
    )
    assert submit.processed(name)["ProcessingJobStatus"] == "Completed"
    assert uploaded(submit, f"{target}/") == {"own.txt": b"own", "again.txt": b"own"}


def test_links_in_a_model_and_in_checkpoints_carry_nothing_of_the_machine(submit, secret):
    target = submit.unique("checkpoints")
    script = f"""
import os
os.symlink("{secret}", "/opt/ml/model/stolen.txt")
open("/opt/ml/model/weights", "w").write("own")
os.symlink("{secret}", "/opt/ml/checkpoints/stolen.txt")
open("/opt/ml/checkpoints/epoch", "w").write("1")
"""
    name = submit.train(
        HyperParameters=submit.source(train_py=script),
        CheckpointConfig={"S3Uri": f"s3://{submit.bucket}/{target}"},
    )
    description = submit.trained(name)
    body = submit.s3.get_object(Bucket=submit.bucket, Key=f"models/{name}/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert {one.name: one.issym() for one in tar} == {"stolen.txt": True, "weights": False}
    assert uploaded(submit, f"{target}/") == {"epoch": b"1"}
    assert b"hunter2" not in body
    assert description["TrainingJobStatus"] == "Completed"


def test_a_folder_that_was_replaced_by_a_link_is_not_uploaded(submit, secret):
    script = f"import os\nos.rmdir('/opt/ml/model')\nos.symlink('{secret.parent}', '/opt/ml/model')"
    name = submit.train(HyperParameters=submit.source(train_py=script))
    assert "/opt/ml/model was replaced by what is no folder" in submit.trained(name)["FailureReason"]
    assert uploaded(submit, f"models/{name}/") == {}


def test_a_folder_behind_a_link_is_not_uploaded(submit, secret):
    (secret.parent / "data").mkdir()
    (secret.parent / "data" / "password.txt").write_text("hunter2")
    script = f"""
import os, shutil
shutil.rmtree("/opt/ml/output")
os.symlink("{secret.parent}", "/opt/ml/output")
"""
    name = submit.train(HyperParameters=submit.source(train_py=script))
    assert "/opt/ml/output/data was replaced by what is no folder" in submit.trained(name)["FailureReason"]
    assert uploaded(submit, f"models/{name}/") == {}


def test_folders_within_folders_without_end_do_no_harm(submit, server):
    script = """
import os
os.chdir("/opt/ml/model")
for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
"""
    name = submit.train(HyperParameters=submit.source(train_py=script))
    assert submit.trained(name)["TrainingJobStatus"] == "Failed"
    assert not (server.home / "jobs" / "TrainingJob" / name).exists()


def test_what_runs_while_requirements_are_installed_sees_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    (tmp_path / "requirements.txt").write_text("numpy")
    seen = {}

    def pip(argv: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, list[str]]:
        seen.update(env)
        return 0, []

    overlays.overlay(tmp_path / "cache", tmp_path / "requirements.txt", run=pip)
    assert "hunter2" not in seen.values()
    assert seen["PIP_INDEX_URL"] == "https://index.example/simple"


@pytest.mark.parametrize("made", ["os.symlink({secret!r}, path)", "os.mkfifo(path)", "os.mkdir(path)"])
def test_a_failure_file_that_is_none_tells_nothing(submit, secret, made):
    script = (
        f"import os\npath = '/opt/ml/output/failure'\n{made.format(secret=str(secret))}\nraise SystemExit('own words')"
    )
    reason = submit.trained(submit.train(HyperParameters=submit.source(train_py=script)))["FailureReason"]
    assert "hunter2" not in reason
    assert "own words" in reason


def test_a_file_that_a_job_leaves_is_read_in_part(tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "failure").write_text("x" * 1_000_000)
    assert len(Host("algo-1", tmp_path).read("output/failure")) == 64 * 1024


SEARCH = r"""
import os, pathlib
found = set()
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        if b"hunter2" in (folder / "environ").read_bytes():
            found.add(folder.name)
    except OSError:
        pass
home = pathlib.Path("HOME")
for name in (".aws/credentials", ".netrc", ".ssh/id_ed25519"):
    try:
        if "hunter2" in (home / name).read_text():
            found.add(name)
    except OSError:
        pass
print("found", sorted(found), "hunter2" in str(dict(os.environ)))
print("read", (home / "data.txt").read_text())
"""


@pytest.mark.parametrize("way", ["bwrap", "unshare"])
def test_a_job_finds_no_secret_of_the_host(tmp_path, monkeypatch, client_of, unique, way):
    home = tmp_path / "user"
    for name in (".aws/credentials", ".netrc", ".ssh/id_ed25519"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("[default]\naws_secret_access_key = hunter2\n")
    (home / "data.txt").write_text("of the course")
    monkeypatch.setenv("HOME", str(home))
    for name in ("DATABASE_PASSWORD", "GITHUB_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("LOCAL_SAGEMAKER_BIND", way)
    try:
        own = client_of(local_sagemaker.start(tmp_path / "home"))
        own("s3").create_bucket(Bucket="of-its-own")
        submit = Submitter(own, "of-its-own", arns.ROLE_ARN, unique)
        name = submit.train(HyperParameters=submit.source(train_py=SEARCH.replace("HOME", str(home))))
        reason = submit.trained(name).get("FailureReason", "")
        if f"{way} cannot bind /opt/ml" in reason:
            return  # this machine allows no such namespace: the job said so
        assert submit.log(name) == ["found [] False", "read of the course"], reason
    finally:
        local_sagemaker.stop(tmp_path / "home")


def exchange(server, data: bytes) -> bytes:
    """What the server answers to bytes on a connection of their own, until it has said all."""
    with closing(socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=60)) as connection:
        connection.sendall(data)
        return connection.recv(65_536)


@pytest.mark.parametrize("path", ["/_local/health", "/_local/training-jobs/x/interruption", "/"])
@pytest.mark.parametrize(
    "headers",
    ["Host: evil.example", "Host: 127.0.0.1\r\nOrigin: https://evil.example", "Host: 127.0.0.1\r\nOrigin: null"],
)
def test_a_web_page_cannot_call_it(server, path, headers):
    for method in ("GET", "POST", "OPTIONS"):
        status = exchange(server, f"{method} {path} HTTP/1.1\r\n{headers}\r\nContent-Length: 0\r\n\r\n".encode())[:12]
        assert status in (b"HTTP/1.1 403", b"HTTP/1.1 405")
    assert exchange(server, f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode()).count(b"Access-Control") == 0


LIST_MODELS = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: SageMaker.ListModels\r\nContent-Length: {}\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ten\r\n\r\n",
        b"PUT /course-tests/too-large HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        LIST_MODELS.format(9).encode() + b"[[[[[[[[[",
        LIST_MODELS.format(3).encode() + b"\xff\xfe\x00",
        LIST_MODELS.format(500_000).encode() + b'{"a":' * 100_000,
        LIST_MODELS.format(10**12).encode(),
        b"PUT /course-tests/too-large HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000000\r\n\r\n",
    ],
    ids=["websocket", "header", "path", "tls", "length", "chunk", "json", "utf-8", "deep", "huge", "huge object"],
)
def test_what_is_no_call_is_refused_and_harms_nothing(server, sm, data):
    assert re.match(rb"HTTP/1\.[01] 4", exchange(server, data))
    assert sm.list_models()["ResponseMetadata"]["HTTPStatusCode"] == 200
