"""What was acknowledged is there after `kill -9`; lists are filtered, sorted and paged as on AWS."""

import os
import signal
import threading
import time

import psutil
import pytest

from helpers import local_sagemaker
from helpers.local_sagemaker import endpoint_configs, endpoints, errors, listing, models, processing, training
from helpers.local_sagemaker.state import Store


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def test_a_record_is_read_back_as_a_copy(store):
    store.put("Model", "m", {"ModelName": "m", "_private": {"deep": [1]}})
    first = store.get("Model", "m")
    first["_private"]["deep"].append(2)
    assert store.get("Model", "m")["_private"] == {"deep": [1]}
    assert first["CreationTime"] == first["LastModifiedTime"] == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (models.KIND, "ValidationException", "Cannot create already existing model"),
        (endpoints.KIND, "ValidationException", "Cannot create already existing endpoint "),
        (endpoint_configs.KIND, "ValidationException", "Cannot create already existing endpoint configuration"),
        (training.KIND, "ResourceInUse", "Training job names must be unique within an AWS account and region"),
        (processing.KIND, "ResourceInUse", "Processing job names must be unique"),
    ],
)
def test_a_taken_name_is_refused_in_aws_words(store, kind, code, words):
    store.put(kind, "x", {})
    with pytest.raises(errors.AwsError) as refused:
        store.put(kind, "x", {})
    assert refused.value.code == code
    assert words in refused.value.message


def test_an_update_of_none_removes_a_member(store):
    store.put("Endpoint", "e", {"FailureReason": "x", "LastModifiedTime": 1.0})
    updated = store.update("Endpoint", "e", FailureReason=None, EndpointStatus="InService")
    assert updated == store.get("Endpoint", "e")
    assert "FailureReason" not in updated
    assert updated["LastModifiedTime"] > 1


def test_a_missing_record_is_refused(store):
    for change in (lambda: store.update("Model", "m", A=1), lambda: store.delete("Model", "m")):
        with pytest.raises(errors.AwsError, match="Could not find model"):
            change()
    assert store.get("Model", "m") is None


def test_a_failed_transaction_leaves_nothing(store):
    with pytest.raises(errors.AwsError), store.transaction():
        store.put("Model", "new", {})
        store.put("Model", "new", {})
    assert store.list("Model") == []


def test_concurrent_updates_lose_nothing(store):
    store.put("TrainingJob", "t", {})

    def write(index):
        for step in range(20):
            store.update("TrainingJob", "t", **{f"_member_{index}_{step}": 1})

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(name.startswith("_member") for name in store.get("TrainingJob", "t")) == 160


RECORDS = [
    {"TrainingJobName": name, "CreationTime": created, "TrainingJobStatus": status}
    for name, created, status in [("a-1", 1.0, "Failed"), ("B-2", 2.0, "Completed"), ("c-3", 2.0, "Completed")]
]


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({}, ["c-3", "B-2", "a-1"]),
        ({"SortOrder": "Ascending"}, ["a-1", "B-2", "c-3"]),
        ({"SortBy": "Name"}, ["c-3", "a-1", "B-2"]),
        ({"SortBy": "Status", "SortOrder": "Ascending"}, ["B-2", "c-3", "a-1"]),
        ({"NameContains": "b"}, ["B-2"]),
        ({"StatusEquals": "Failed"}, ["a-1"]),
        ({"CreationTimeAfter": 1.0}, ["c-3", "B-2"]),
        ({"CreationTimeBefore": 2.0}, ["a-1"]),
    ],
)
def test_lists_are_filtered_and_sorted(request_, names):
    found, token = listing.page(RECORDS, request_, "TrainingJobName", "TrainingJobStatus")
    assert [record["TrainingJobName"] for record in found] == names
    assert token is None


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_neither_repeat_nor_skip_when_resources_come_and_go(order):
    request = {"SortBy": "CreationTime", "SortOrder": order, "MaxResults": 1}
    first, token = listing.page(RECORDS, request, "TrainingJobName")
    later = [record for record in RECORDS if record is not first[0]]
    seen = []
    while token:
        found, token = listing.page(later, request | {"NextToken": token}, "TrainingJobName")
        seen += found
    assert sorted(record["TrainingJobName"] for record in seen + first) == ["B-2", "a-1", "c-3"]


def test_a_token_belongs_to_its_order():
    _, token = listing.page(RECORDS, {"MaxResults": 1}, "TrainingJobName")
    with pytest.raises(errors.AwsError, match="Invalid NextToken"):
        listing.page(RECORDS, {"NextToken": token, "SortBy": "Name"}, "TrainingJobName")


def test_the_sdk_s_paginator_sees_every_model_once(sm, unique):
    prefix = unique("paged")
    names = [f"{prefix}-{index}" for index in range(7)]
    for name in names:
        sm.create_model(ModelName=name, PrimaryContainer={"Image": "local/x"})
    pages = sm.get_paginator("list_models").paginate(
        NameContains=prefix, SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 3}
    )
    listed = [[found["ModelName"] for found in page["Models"]] for page in pages]
    assert listed == [names[:3], names[3:6], names[6:]]


def test_acknowledged_models_and_tags_survive_kill_9_at_any_moment(tmp_path, client_of):
    running = local_sagemaker.start(tmp_path)
    process = psutil.Process(running.pid)
    sm, acknowledged = client_of(running)("sagemaker"), []

    def create():
        for index in range(10_000):
            try:
                sm.create_model(
                    ModelName=f"m{index}", PrimaryContainer={"Image": "x"}, Tags=[{"Key": "index", "Value": str(index)}]
                )
            except Exception:
                return
            acknowledged.append(index)

    writer = threading.Thread(target=create)
    writer.start()
    while len(acknowledged) < 20:
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    writer.join()
    process.wait()
    try:
        sm = client_of(local_sagemaker.start(tmp_path))("sagemaker")
        for index in acknowledged:
            arn = sm.describe_model(ModelName=f"m{index}")["ModelArn"]
            assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "index", "Value": str(index)}]
    finally:
        local_sagemaker.stop(tmp_path)
