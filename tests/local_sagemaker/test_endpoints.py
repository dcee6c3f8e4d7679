"""The life of endpoints and their configurations, on a real server with real workers."""

import json
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import deployed
import psutil
import pytest
from botocore.exceptions import ClientError

from helpers import local_sagemaker
from helpers.local_sagemaker import containers, workers

ACCOUNT = "111122223333"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"


@pytest.fixture
def model(sm, s3, bucket, unique) -> str:
    """A model that answers with its own name."""
    return deployed.create_model(sm, s3, bucket, unique("model"))


def ask(runtime, endpoint: str, order: dict | None = None, **members) -> dict:
    """The obedient model's answer."""
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, Body=json.dumps(order or {}), ContentType="application/json", **members
    )
    return json.loads(answer["Body"].read())


def refusal(call, **request) -> tuple[str, str]:
    """The error's code and message."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_an_endpoint_is_created_described_listed_and_deleted(sm, runtime, unique, model):
    name = unique("endpoint")
    described = deployed.create_endpoint(sm, name, [deployed.variant(model)])
    assert described["EndpointArn"] == f"{ARN}:endpoint/{name}" and described["EndpointConfigName"] == name
    summary = described["ProductionVariants"][0]
    assert summary["VariantName"] == "AllTraffic" and summary["CurrentWeight"] == 1.0
    assert summary["CurrentInstanceCount"] == summary["DesiredInstanceCount"] == 1
    assert summary["DeployedImages"][0]["SpecifiedImage"] == deployed.SKLEARN
    assert ask(runtime, name)["name"] == model
    listed = sm.list_endpoints(NameContains=name, StatusEquals="InService")["Endpoints"]
    assert [entry["EndpointName"] for entry in listed] == [name]
    sm.delete_endpoint(EndpointName=name)
    sm.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    assert refusal(sm.describe_endpoint, EndpointName=name) == (
        "ValidationException",
        f'Could not find endpoint "{ARN}:endpoint/{name}".',
    )
    assert refusal(runtime.invoke_endpoint, EndpointName=name, Body=b"{}") == (
        "ValidationError",
        f"Endpoint {name} of account {ACCOUNT} not found.",
    )


def test_an_endpoint_config_keeps_what_it_was_given(sm, unique, model):
    name, role = unique("config"), f"arn:aws:iam::{ACCOUNT}:role/CourseExecutionRole"
    given = deployed.variant(model, count=2, RoutingConfig={"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"})
    del given["InitialVariantWeight"]
    sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[given], ExecutionRoleArn=role)
    described = sm.describe_endpoint_config(EndpointConfigName=name)
    assert described["ProductionVariants"] == [given | {"InitialVariantWeight": 1.0}]
    assert described["ExecutionRoleArn"] == role and described["EndpointConfigArn"] == f"{ARN}:endpoint-config/{name}"
    assert [c["EndpointConfigName"] for c in sm.list_endpoint_configs(NameContains=name)["EndpointConfigs"]] == [name]
    sm.delete_endpoint_config(EndpointConfigName=name)
    missing = ("ValidationException", f'Could not find endpoint configuration "{ARN}:endpoint-config/{name}".')
    assert refusal(sm.describe_endpoint_config, EndpointConfigName=name) == missing
    assert refusal(sm.delete_endpoint_config, EndpointConfigName=name) == missing


def test_what_an_endpoint_needs_must_exist(sm, unique, model):
    gone = unique("gone")
    request = {"EndpointConfigName": gone, "ProductionVariants": [deployed.variant(gone)]}
    assert refusal(sm.create_endpoint_config, **request) == (
        "ValidationException",
        f'Could not find model "{ARN}:model/{gone}".',
    )
    assert refusal(sm.create_endpoint, EndpointName=gone, EndpointConfigName=gone) == (
        "ValidationException",
        f'Could not find endpoint configuration "{ARN}:endpoint-config/{gone}".',
    )
    for call in (sm.delete_endpoint, sm.describe_endpoint):
        assert refusal(call, EndpointName=gone)[1] == f'Could not find endpoint "{ARN}:endpoint/{gone}".'


def test_names_are_taken_once(sm, unique, model):
    name = unique("endpoint")
    deployed.create_endpoint(sm, name, [deployed.variant(model)], wait=None)
    assert refusal(sm.create_endpoint, EndpointName=name, EndpointConfigName=name) == (
        "ValidationException",
        f'Cannot create already existing endpoint "{ARN}:endpoint/{name}".',
    )
    config = {"EndpointConfigName": name, "ProductionVariants": [deployed.variant(model)]}
    assert refusal(sm.create_endpoint_config, **config) == (
        "ValidationException",
        f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/{name}".',
    )
    assert refusal(sm.delete_endpoint, EndpointName=name) == (
        "ValidationException",
        f'Cannot update in-progress endpoint "{ARN}:endpoint/{name}".',
    )
    deployed.await_status(sm, name, "InService")
    sm.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"EnableSSMAccess": True}, "EnableSSMAccess .* not available"),
        ({"InitialInstanceCount": None}, "must have InitialInstanceCount"),
        ({"InstanceType": None}, "must have InstanceType"),
    ],
)
def test_a_variant_that_cannot_be_served_is_refused(sm, unique, model, change, message):
    given = {key: value for key, value in (deployed.variant(model) | change).items() if value is not None}
    with pytest.raises(ClientError, match=message):
        sm.create_endpoint_config(EndpointConfigName=unique("config"), ProductionVariants=[given])


def test_variant_names_are_unique(sm, unique, model):
    with pytest.raises(ClientError, match="must be unique"):
        sm.create_endpoint_config(EndpointConfigName=unique("c"), ProductionVariants=[deployed.variant(model)] * 2)


@pytest.mark.parametrize(
    ("files", "image", "reason"),
    [
        (
            {"code/inference.py": "def model_fn(model_dir):\n    raise OSError('the weights are cut off')\n"},
            deployed.SKLEARN,
            [
                "AllTraffic did not pass the ping health check",
                'inference.py", line 2',
                "OSError: the weights are cut off",
            ],
        ),
        ({"code/inference.py": "import no_such_module\n"}, deployed.SKLEARN, ["No module named 'no_such_module'"]),
        ({"other": "x"}, deployed.XGBOOST, ["xgboost-model", "model.tar.gz holds other"]),
        ({"x": "x"}, "111.dkr.ecr.us-east-1.amazonaws.com/unheard-of:1", ["unheard-of:1 is not known"]),
    ],
)
def test_a_model_that_does_not_load_fails_the_endpoint_with_the_real_reason(
    sm, s3, runtime, bucket, unique, files, image, reason
):
    name = unique("failing")
    deployed.create_model(sm, s3, bucket, name, files, image)
    described = deployed.create_endpoint(sm, name, [deployed.variant(name)], wait="Failed")
    for part in reason:
        assert part in described["FailureReason"]
    assert "PendingDeploymentSummary" not in described
    assert refusal(runtime.invoke_endpoint, EndpointName=name, Body=b"{}")[0] == "ValidationError"
    assert "Failed" in refusal(sm.update_endpoint, EndpointName=name, EndpointConfigName=name)[1]
    sm.delete_endpoint(EndpointName=name)


def test_missing_model_data_fails_the_endpoint_as_aws_words_it(sm, s3, bucket, unique):
    name = unique("failing")
    deployed.create_model(sm, s3, bucket, name)
    s3.delete_object(Bucket=bucket, Key=f"{name}/model.tar.gz")
    described = deployed.create_endpoint(sm, name, [deployed.variant(name)], wait="Failed")
    assert (
        f'Failed to download model data for container "container_1" from URL: "s3://{bucket}/{name}/'
        in (described["FailureReason"])
    )


def test_a_worker_that_loads_too_long_is_given_up_with_its_last_lines(tmp_path):
    script = "import time; print('still reading', flush=True); time.sleep(600)"
    plan = workers.WorkerPlan(
        containers=(containers.ContainerPlan("primary", (sys.executable, "-c", script), tmp_path, dict(os.environ)),),
        sockets=tmp_path,
        startup_seconds=2,
        open_log=lambda instance: SimpleNamespace(write=lambda line: None, close=lambda: None),
    )
    with pytest.raises(containers.WorkerError, match=r"did not answer within 2 seconds\.\nstill reading"):
        workers.Worker(plan).started.result(timeout=30)


def test_an_update_serves_the_old_fleet_until_the_switch_and_fails_no_request(sm, s3, runtime, bucket, unique, model):
    name, other = unique("endpoint"), deployed.create_model(sm, s3, bucket, unique("other"))
    deployed.create_endpoint(sm, name, [deployed.variant(model, count=2)])
    sm.create_endpoint_config(EndpointConfigName=other, ProductionVariants=[deployed.variant(other)])
    answers, failures, stop = [], [], threading.Event()

    def client_loop() -> None:
        while not stop.is_set():
            try:
                answers.append(ask(runtime, name, {"sleep": 0.01})["name"])
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=client_loop, daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    sm.update_endpoint(EndpointName=name, EndpointConfigName=other)
    assert sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Updating"
    assert refusal(sm.update_endpoint, EndpointName=name, EndpointConfigName=other)[1].startswith(
        "Cannot update in-pro"
    )
    described = deployed.await_status(sm, name, "InService")
    after = len(answers)
    while len(answers) < after + 20:
        time.sleep(0.01)
    stop.set()
    for client in clients:
        client.join()
    assert not failures
    assert described["EndpointConfigName"] == other
    assert answers[0] == model and answers[-1] == other
    assert set(answers[after + 8 :]) == {other}
    sm.delete_endpoint(EndpointName=name)


def test_an_update_that_fails_leaves_the_old_fleet_in_service(sm, s3, runtime, bucket, unique, model):
    name, broken = unique("endpoint"), unique("broken")
    deployed.create_model(sm, s3, bucket, broken, {"code/inference.py": "raise ImportError('half a script')\n"})
    deployed.create_endpoint(sm, name, [deployed.variant(model)])
    sm.create_endpoint_config(EndpointConfigName=broken, ProductionVariants=[deployed.variant(broken)])
    sm.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    described = deployed.await_status(sm, name, "InService")
    assert described["EndpointConfigName"] == name and "half a script" in described["FailureReason"]
    assert ask(runtime, name)["name"] == model
    sm.delete_endpoint(EndpointName=name)


def test_weights_and_capacities_change_while_the_endpoint_serves(sm, s3, runtime, bucket, unique, model):
    name, other = unique("endpoint"), deployed.create_model(sm, s3, bucket, unique("other"))
    deployed.create_endpoint(sm, name, [deployed.variant(model, "a"), deployed.variant(other, "b", weight=0.0)])
    assert {ask(runtime, name)["name"] for _ in range(20)} == {model}
    desired = [
        {"VariantName": "a", "DesiredWeight": 0.0},
        {"VariantName": "b", "DesiredWeight": 2.0, "DesiredInstanceCount": 2},
    ]
    sm.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=desired)
    described = deployed.await_status(sm, name, "InService")
    counts = {
        v["VariantName"]: (v["CurrentWeight"], v["CurrentInstanceCount"]) for v in described["ProductionVariants"]
    }
    assert counts == {"a": (0.0, 1), "b": (2.0, 2)}
    answers = [ask(runtime, name) for _ in range(20)]
    assert {answer["name"] for answer in answers} == {other}
    assert len({answer["worker"] for answer in answers}) == 2
    unknown = [{"VariantName": "c", "DesiredWeight": 1.0}]
    change = sm.update_endpoint_weights_and_capacities
    assert (
        "Could not find production variant c"
        in refusal(change, EndpointName=name, DesiredWeightsAndCapacities=unknown)[1]
    )
    sm.create_endpoint_config(
        EndpointConfigName=other, ProductionVariants=[deployed.variant(other, "a"), deployed.variant(other, "b")]
    )
    sm.update_endpoint(EndpointName=name, EndpointConfigName=other, RetainAllVariantProperties=True)
    described = deployed.await_status(sm, name, "InService")
    kept = {v["VariantName"]: (v["CurrentWeight"], v["CurrentInstanceCount"]) for v in described["ProductionVariants"]}
    assert kept == counts
    sm.delete_endpoint(EndpointName=name)


def test_a_worker_that_dies_is_started_again(sm, runtime, unique, model):
    name = unique("endpoint")
    deployed.create_endpoint(sm, name, [deployed.variant(model)])
    code, message = refusal(
        runtime.invoke_endpoint, EndpointName=name, Body=b'{"exit": 3}', ContentType="application/json"
    )
    assert code == "ModelError" and "Received server error (0) from primary" in message
    assert ask(runtime, name)["name"] == model
    sm.delete_endpoint(EndpointName=name)


def test_endpoints_serve_again_after_the_server_was_killed(tmp_path, client_of):
    home = tmp_path / "home"
    running = local_sagemaker.start(home)
    try:
        client = client_of(running)
        sm, s3 = client("sagemaker"), client("s3")
        s3.create_bucket(Bucket="kept")
        deployed.create_model(sm, s3, "kept", "kept")
        before = deployed.create_endpoint(sm, "kept", [deployed.variant("kept")])
        sm.delete_endpoint_config(EndpointConfigName="kept")
        sm.delete_model(ModelName="kept")
        family = psutil.Process(running.pid).children(recursive=True)
        assert family
        os.kill(running.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, "workers outlive their server"
        client = client_of(local_sagemaker.start(home))
        assert ask(client("sagemaker-runtime"), "kept")["name"] == "kept"
        after = client("sagemaker").describe_endpoint(EndpointName="kept")
        assert after["EndpointStatus"] == "InService" and after["CreationTime"] == before["CreationTime"]
    finally:
        local_sagemaker.stop(home)


def test_logs_go_to_the_endpoints_group_by_variant_and_instance(sm, client, unique, model):
    name = unique("endpoint")
    deployed.create_endpoint(sm, name, [deployed.variant(model, "a")])
    logs, group = client("logs"), f"/aws/sagemaker/Endpoints/{name}"
    deadline = time.monotonic() + 20
    messages: list[str] = []
    while "loading the model" not in messages and time.monotonic() < deadline:
        time.sleep(0.1)
        groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"] if groups else []
        for stream in streams:
            assert stream["logStreamName"].startswith("a/i-")
            events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
            messages += [event["message"] for event in events]
    assert "loading the model" in messages
    sm.delete_endpoint(EndpointName=name)


def test_the_script_may_come_from_the_submit_directory_in_s3(sm, s3, runtime, bucket, unique):
    name = unique("submitted")
    script = (
        "def model_fn(d): return d\ndef transform_fn(m, data, c, a):\n    import beside\n    return beside.SAY + m\n"
    )
    source = deployed.archive({"entry.py": script, "beside.py": "SAY = 'from S3 '\n"})
    s3.put_object(Bucket=bucket, Key=f"{name}/sourcedir.tar.gz", Body=source)
    environment = {
        "SAGEMAKER_PROGRAM": "entry.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{bucket}/{name}/sourcedir.tar.gz",
    }
    deployed.create_model(sm, s3, bucket, name, {"weights": "x"}, environment=environment)
    deployed.create_endpoint(sm, name, [deployed.variant(name)])
    answer = runtime.invoke_endpoint(EndpointName=name, Body=b"x")["Body"].read().decode()
    assert answer.startswith("from S3 /") and answer.endswith("/model")
    sm.delete_endpoint(EndpointName=name)


def test_a_requirement_that_cannot_be_installed_fails_the_endpoint_and_is_named(sm, s3, bucket, unique):
    name = unique("required")
    files = {"code/inference.py": deployed.OBEDIENT, "code/requirements.txt": "./no-such-package\n"}
    deployed.create_model(sm, s3, bucket, name, files)
    described = deployed.create_endpoint(sm, name, [deployed.variant(name)], wait="Failed")
    assert "no-such-package" in described["FailureReason"]
    sm.delete_endpoint(EndpointName=name)


def test_endpoints_serve_where_nothing_can_be_bound(tmp_path, client_of, monkeypatch):
    monkeypatch.setenv("LOCAL_SAGEMAKER_BIND", "rewrite")
    home = tmp_path / "home"
    script = """
from pathlib import Path
def model_fn(model_dir): return Path("/opt/ml/model/name.txt").read_text()
def transform_fn(model, data, content_type, accept): return model
"""
    try:
        client = client_of(local_sagemaker.start(home))
        sm, s3 = client("sagemaker"), client("s3")
        s3.create_bucket(Bucket="rewritten")
        files = {"name.txt": "found", "code/inference.py": script}
        deployed.create_model(sm, s3, "rewritten", "rewritten", files)
        deployed.create_endpoint(sm, "rewritten", [deployed.variant("rewritten")])
        answer = client("sagemaker-runtime").invoke_endpoint(EndpointName="rewritten", Body=b"x")
        assert answer["Body"].read() == b"found"
    finally:
        local_sagemaker.stop(home)
