import pytest

from helpers import costs

TRAINING = {
    "operation": "CreateTrainingJob",
    "time": 0.0,
    "TrainingJobName": "job",
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
}
CONFIG = {
    "operation": "CreateEndpointConfig",
    "time": 0.0,
    "EndpointConfigName": "config",
    "ProductionVariants": [{"VariantName": "a", "InstanceType": "ml.m5.large", "InitialInstanceCount": 3}],
}
CREATE = {"operation": "CreateEndpoint", "time": 100.0, "EndpointName": "e", "EndpointConfigName": "config"}
DELETE = {"operation": "DeleteEndpoint", "time": 3700.0, "EndpointName": "e"}


def test_a_training_job_costs_its_billable_seconds_on_every_instance():
    done = {"operation": "DescribeTrainingJob", "TrainingJobName": "job", "time": 1.0, "BillableTimeInSeconds": 1800}
    (row,) = costs.estimate([TRAINING, done]).to_dict("records")
    assert row["hours"] == 0.5
    assert row["usd"] == pytest.approx(2 * 0.5 * 0.23)


def test_a_processing_job_costs_the_time_between_its_start_and_end():
    create = {
        "operation": "CreateProcessingJob",
        "time": 0.0,
        "ProcessingJobName": "p",
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}},
    }
    done = {"operation": "DescribeProcessingJob", "ProcessingJobName": "p", "time": 2.0}
    done |= {"ProcessingStartTime": 1000.0, "ProcessingEndTime": 1360.0}
    (row,) = costs.estimate([create, done]).to_dict("records")
    assert (row["kind"], row["usd"]) == ("processing job", pytest.approx(0.1 * 0.115))


def test_a_transform_job_costs_the_time_between_its_start_and_end():
    resources = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}
    create = {"operation": "CreateTransformJob", "time": 0.0, "TransformJobName": "t", "TransformResources": resources}
    done = {"operation": "DescribeTransformJob", "TransformJobName": "t", "time": 2.0}
    done |= {"TransformStartTime": 1000.0, "TransformEndTime": 1720.0}
    (row,) = costs.estimate([create, done]).to_dict("records")
    assert (row["kind"], row["name"], row["usd"]) == ("transform job", "t", pytest.approx(2 * 0.2 * 0.23))


def test_jobs_of_two_kinds_with_one_name_are_priced_apart():
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    transform = {"operation": "CreateTransformJob", "TransformJobName": "job", "TransformResources": resources}
    done = {"operation": "DescribeTransformJob", "TransformJobName": "job"}
    done |= {"TransformStartTime": 0.0, "TransformEndTime": 3600.0}
    assert list(costs.estimate([TRAINING, transform, done])["hours"]) == [0.0, 1.0]


def test_an_endpoint_costs_from_creation_to_deletion():
    (row,) = costs.estimate([CONFIG, CREATE, DELETE]).to_dict("records")
    assert row["hours"] == 1.0
    assert row["usd"] == pytest.approx(3 * 0.115)


def test_an_endpoint_that_nobody_deleted_costs_until_now():
    (row,) = costs.estimate([CONFIG, CREATE], now=100.0 + 7200).to_dict("records")
    assert row["hours"] == 2.0


def test_an_update_ends_the_old_fleet_and_starts_the_new_one():
    bigger = CONFIG | {"EndpointConfigName": "bigger"}
    bigger["ProductionVariants"] = [CONFIG["ProductionVariants"][0] | {"InstanceType": "ml.m5.xlarge"}]
    update = {"operation": "UpdateEndpoint", "time": 1900.0, "EndpointName": "e", "EndpointConfigName": "bigger"}
    rows = costs.estimate([CONFIG, CREATE, bigger, update, DELETE])
    assert list(rows["instance_type"]) == ["ml.m5.large", "ml.m5.xlarge"]
    assert list(rows["hours"]) == [0.5, 0.5]


def test_an_asynchronous_endpoint_costs_its_instances_also_while_there_are_none():
    asynchronous = CONFIG | {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}}
    to_zero = {
        "operation": "UpdateEndpointWeightsAndCapacities",
        "time": 1900.0,
        "EndpointName": "e",
        "DesiredWeightsAndCapacities": [{"VariantName": "a", "DesiredInstanceCount": 0}],
    }
    rows = costs.estimate([asynchronous, CREATE, to_zero, DELETE])
    assert list(zip(rows["instances"], rows["hours"], strict=True)) == [(3, 0.5), (0, 0.5)]
    assert rows["usd"].sum() == pytest.approx(3 * 0.5 * 0.115)


def test_an_instance_type_without_a_price_is_named():
    with pytest.raises(KeyError, match=r"ml\.z9\.huge"):
        costs.hourly_price("ml.z9.huge")


def test_a_ledger_records_answered_calls_in_memory_and_in_its_file(aws, tmp_path):
    import boto3

    ledger = costs.Ledger(lab="fraud", path=tmp_path / "ledger.jsonl")
    session = boto3.Session()
    ledger.listen(session)
    client = session.client("sagemaker")
    with pytest.raises(client.exceptions.ClientError):
        client.delete_endpoint(EndpointName="never-made")
    client.create_model(
        ModelName="costs-model", ExecutionRoleArn=aws.role, PrimaryContainer={"Image": aws.image("xgboost")}
    )
    variant = {"VariantName": "v", "ModelName": "costs-model", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName="costs-config", ProductionVariants=[variant])
    assert [call["operation"] for call in ledger.calls] == ["CreateEndpointConfig"]
    assert costs.read_ledger(tmp_path / "ledger.jsonl") == ledger.calls
