"""A user's own containers: `train` and `serve` executables that know nothing but AWS's contract."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import deployed
import psutil
import pytest
from botocore.exceptions import ClientError
from submitted_jobs import Submitter
from submitted_transforms import Transforms

from helpers import local_sagemaker

IMAGE = "local/mine"

# The contract and nothing else: port 8080 of every address, /ping and /invocations. It says what it sees.
SERVE = """#!/usr/bin/env python3
import http.server, json, os, urllib.request
from pathlib import Path

print("serve starts in", os.getcwd())
NAME = Path("/opt/ml/model/name.txt").read_text()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if body == "exit":
            os._exit(3)
        if body == "raise":
            return self.answer(500, b"as you asked")
        if body == "caller":
            import boto3
            return self.answer(200, boto3.client("sts").get_caller_identity()["Account"].encode())
        self.answer(200, json.dumps({"name": NAME, "body": body, "type": self.headers["Content-Type"]}).encode())

port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
"""

TRAIN = """#!/usr/bin/env python3
import json
from pathlib import Path

from beside import WORD

hyperparameters = json.loads(Path("/opt/ml/input/config/hyperparameters.json").read_text())
rows = [path.read_text() for path in sorted(Path("/opt/ml/input/data/training").iterdir())]
print("training on", rows)
Path("/opt/ml/model/name.txt").write_text(WORD + hyperparameters["depth"] + "".join(rows))
"""


@pytest.fixture
def model(sm, s3, bucket, unique):
    """`model()`: a model whose `serve` lies in code/ of its data; other files can be given."""

    def create(files: dict[str, str] | None = None, **environment: str) -> str:
        name = unique("own")
        return deployed.create_model(
            sm, s3, bucket, name, {"name.txt": name, "code/serve": SERVE} | (files or {}), IMAGE, environment
        )

    return create


@pytest.fixture
def deploy(sm, unique):
    """`deploy(variant, ...)`: the name of an endpoint."""
    made = []

    def create(*variants: dict, wait: str | None = "InService") -> str:
        made.append(unique("own"))
        deployed.create_endpoint(sm, made[-1], variants, wait)
        return made[-1]

    yield create
    for name in made:
        sm.delete_endpoint(EndpointName=name)


@pytest.fixture
def ask(runtime):
    """`ask(endpoint, "text")`: the answer's body."""
    return lambda name, body, **members: (
        runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/plain", **members)["Body"]
        .read()
        .decode()
    )


def test_serve_listens_on_8080_and_so_do_all_other_workers(deploy, model, ask):
    """Three of them: two instances of one variant, one of another."""
    first, second = model(), model()
    name = deploy(deployed.variant(first, "first", count=2), deployed.variant(second, "second"))
    for variant, expected in (("first", first), ("first", first), ("second", second)):
        answer = json.loads(ask(name, "hello", TargetVariant=variant))
        assert answer == {"name": expected, "body": "hello", "type": "text/plain"}
    with ThreadPoolExecutor(8) as pool:
        answers = [json.loads(answer) for answer in pool.map(lambda n: ask(name, str(n)), range(100))]
    assert [answer["body"] for answer in answers] == [str(number) for number in range(100)]


def test_boto3_in_a_container_reaches_the_local_sagemaker(deploy, model, ask):
    assert ask(deploy(deployed.variant(model())), "caller") == "111122223333"


def test_an_error_of_serve_is_a_model_error_and_a_dead_one_is_started_again(deploy, model, ask):
    name = deploy(deployed.variant(model()))
    with pytest.raises(ClientError, match=r"Received server error \(500\) from primary with message .as you asked"):
        ask(name, "raise")
    with pytest.raises(ClientError, match=r"Received server error \(0\)"):
        ask(name, "exit")
    assert json.loads(ask(name, "again"))["body"] == "again"


def test_a_serve_that_fails_tells_why(deploy, model, sm):
    broken = model({"code/serve": "#!/bin/sh\necho no model here >&2\nexit 4\n"})
    reason = sm.describe_endpoint(EndpointName=deploy(deployed.variant(broken), wait="Failed"))["FailureReason"]
    assert "did not pass the ping health check" in reason
    assert reason.endswith("no model here")


def test_without_a_serve_the_endpoint_fails_and_says_where_it_was_looked_for(deploy, sm, s3, bucket, unique):
    empty = deployed.create_model(sm, s3, bucket, unique("empty"), {"name.txt": "x"}, IMAGE)
    reason = sm.describe_endpoint(EndpointName=deploy(deployed.variant(empty), wait="Failed"))["FailureReason"]
    assert reason.startswith("CannotStartContainerError.")
    assert "/opt/ml/code, /opt/ml/model/code, /opt/ml/model and on PATH" in reason


def test_an_image_that_nobody_can_pull_says_what_to_do_instead(sm, unique, deploy):
    name, image = unique("pushed"), "111122223333.dkr.ecr.us-east-1.amazonaws.com/decision-trees:latest"
    role = "arn:aws:iam::111122223333:role/CourseExecutionRole"
    sm.create_model(ModelName=name, PrimaryContainer={"Image": image}, ExecutionRoleArn=role)
    reason = sm.describe_endpoint(EndpointName=deploy(deployed.variant(name), wait="Failed"))["FailureReason"]
    assert "use local/<name> as the image" in reason


def test_train_makes_the_model_that_serve_serves(client, bucket, role_arn, unique, s3, sm, deploy, ask):
    """As AWS's notebooks of own containers do it, with the code in a channel instead of an image."""
    submit = Submitter(client, bucket, role_arn, unique)
    prefix = unique("program")
    submit.put(f"{prefix}/train", TRAIN)
    submit.put(f"{prefix}/beside.py", "WORD = 'deep'")
    data = submit.put(f"{prefix}-data/a.csv", "1,2")
    job = submit.train(
        IMAGE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters={"depth": "3"},
        InputDataConfig=[submit.channel("training", data), submit.channel("code", f"s3://{bucket}/{prefix}/")],
    )
    description = submit.trained(job)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    serve = submit.put(f"{prefix}-serve/sourcedir.tar.gz", deployed.archive({"serve": SERVE}))
    sm.create_model(
        ModelName=job,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": description["ModelArtifacts"]["S3ModelArtifacts"],
            "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": serve},
        },
        ExecutionRoleArn=role_arn,
    )
    assert json.loads(ask(deploy(deployed.variant(job)), "x"))["name"] == "deep31,2"


def test_without_a_train_the_job_fails_and_says_where_it_was_looked_for(client, bucket, role_arn, unique):
    submit = Submitter(client, bucket, role_arn, unique)
    description = submit.trained(submit.train(IMAGE))
    assert description["TrainingJobStatus"] == "Failed"
    assert "/opt/ml/code, /opt/ml/input/data/code and on PATH" in description["FailureReason"]


def test_a_batch_transform_job_uses_serve_too(client, bucket, unique, model):
    transforms = Transforms(client, bucket, unique)
    job = transforms.submit(transforms.put(a_csv="1,2\n3,4\n"), model(), BatchStrategy="SingleRecord")
    answers = [json.loads(line) for line in transforms.completed(job)["a.csv.out"].splitlines()]
    assert [answer["body"].strip() for answer in answers] == ["1,2", "3,4"]


@pytest.fixture(params=["bwrap", "unshare", "rewrite"])
def running(request, tmp_path, monkeypatch):
    """A server of the test's own that can give processes a network of their own, and one that cannot."""
    monkeypatch.setenv("LOCAL_SAGEMAKER_BIND", request.param)
    yield local_sagemaker.start(tmp_path / "home")
    local_sagemaker.stop(tmp_path / "home")


def test_killed_and_started_again_it_serves_and_leaves_no_process(running, client_of, unique):
    client, name = client_of(running), unique("own")
    sm, s3 = client("sagemaker"), client("s3")
    s3.create_bucket(Bucket="mine")
    made = deployed.create_model(sm, s3, "mine", name, {"name.txt": name, "code/serve": SERVE}, IMAGE)
    deployed.create_endpoint(sm, name, [deployed.variant(made, count=2)])

    def answered() -> dict:
        answer = client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"x")
        return json.loads(answer["Body"].read())

    assert answered()["name"] == name
    family = psutil.Process(running.pid).children(recursive=True)
    assert any("own_container.py" in " ".join(process.cmdline()) for process in family)
    os.kill(running.pid, 9)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    client = client_of(local_sagemaker.start(running.home))
    assert answered()["name"] == name
