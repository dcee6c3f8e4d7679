"""The registry's helpers on the local SageMaker: registered, approved, served, rolled back, traced and shared."""

import json

import numpy as np
import pytest
from botocore.exceptions import ClientError
from sklearn.metrics import average_precision_score

from helpers import cleanup, deployment, registry

INFERENCE = """
def model_fn(model_dir):
    with open(model_dir + "/weight.txt") as file:
        return float(file.read())


def transform_fn(model, body, content_type, accept):
    return str(float(body) * model)
"""


@pytest.fixture
def group(aws):
    yield aws.name("group")
    cleanup.delete_lab(aws)


@pytest.fixture
def registered(aws, tmp_path, group):
    """`registered(3)`: ARN of a new version whose model multiplies by it."""

    def register(weight, **members):
        folder = tmp_path / str(weight)
        (folder / "model").mkdir(parents=True)
        (folder / "model/weight.txt").write_text(str(weight))
        (folder / "code").mkdir()
        (folder / "code/inference.py").write_text(INFERENCE)
        archive = deployment.package_model(folder / "model", folder / "code", folder / "model.tar.gz")
        uri = aws.upload(archive, f"model/{group}/{weight}")
        environment = {"SAGEMAKER_PROGRAM": "inference.py"}
        return registry.register(aws, group, aws.image("sklearn"), uri, environment=environment, **members)

    return register


def ask(aws, endpoint):
    return float(deployment.invoke(aws, endpoint, "2", content_type="text/csv", accept="text/csv"))


def test_versions_carry_status_metrics_and_metadata(aws, group, registered):
    first = registered(3, metrics={"average_precision": 0.61}, metadata={"data_sha256": "ab"})
    registered(4, metrics={"average_precision": 0.63})
    registry.approve(aws, first, "holds its band on five seeds")
    table = registry.versions(aws, group)
    assert list(table["version"]) == [2, 1]
    assert list(table["status"]) == ["PendingManualApproval", "Approved"]
    assert list(table["average_precision"]) == ["0.63", "0.61"]
    assert table["comment"].iloc[1] == "holds its band on five seeds"
    assert registry.versions(aws, group, "Approved")["data_sha256"].tolist() == ["ab"]
    described = aws.sagemaker.describe_model_package(ModelPackageName=first)
    uri = described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    statistics = json.loads(aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert statistics == {"metrics": {"average_precision": {"value": 0.61}}}


def test_the_latest_approved_is_not_the_latest(aws, group, registered):
    first, second = registered(3), registered(4)
    with pytest.raises(LookupError, match=f"no approved version in the group {group}"):
        registry.latest_approved(aws, group)
    registry.approve(aws, first, "better")
    assert registry.latest_approved(aws, group) == first
    registry.approve(aws, second, "better still")
    assert registry.latest_approved(aws, group) == second
    assert registry.latest_approved(aws, group, before=2) == first
    registry.reject(aws, first, "trained on test rows")
    with pytest.raises(LookupError, match="below version 2"):
        registry.latest_approved(aws, group, before=2)


def test_a_group_is_made_once(aws, group):
    assert registry.ensure_group(aws, group, "fraud models") == registry.ensure_group(aws, group)
    described = aws.sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    assert described["ModelPackageGroupDescription"] == "fraud models"


def test_only_an_approved_version_serves_and_a_rollback_rejects_what_failed(aws, group, registered):
    first, second = registered(3), registered(4)
    endpoint = aws.name("served")
    with pytest.raises(ClientError, match="PendingManualApproval"):
        registry.deploy(aws, endpoint, first)
    registry.approve(aws, first, "first")
    registry.deploy(aws, endpoint, first)
    assert (ask(aws, endpoint), registry.served_version(aws, endpoint)) == (6.0, first)
    registry.approve(aws, second, "second")
    registry.deploy(aws, endpoint, second)
    assert (ask(aws, endpoint), registry.served_version(aws, endpoint)) == (8.0, second)
    assert registry.roll_back(aws, endpoint, "answers four times") == first
    assert ask(aws, endpoint) == 6.0
    table = registry.versions(aws, group)
    assert list(table["status"]) == ["Rejected", "Approved"]
    assert table["comment"].iloc[0] == "answers four times"
    with pytest.raises(LookupError, match="below version 1"):
        registry.roll_back(aws, endpoint, "nothing is left")
    assert ask(aws, endpoint) == 6.0


def test_an_endpoint_without_a_package_has_no_version(aws, group, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weight.txt").write_text("2")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text(INFERENCE)
    archive = deployment.package_model(tmp_path / "model", tmp_path / "code", tmp_path / "model.tar.gz")
    environment = {"SAGEMAKER_PROGRAM": "inference.py"}
    image, uri = aws.image("sklearn"), aws.upload(archive, "plain")
    endpoint = deployment.deploy_realtime(aws, aws.name("plain"), image, uri, environment)
    with pytest.raises(LookupError, match="was not made from a model package"):
        registry.served_version(aws, endpoint)


def trained(aws, **channels):
    """S3 URI of the archive of a training job whose model multiplies by the largest row of the channel `train`."""
    name = aws.name("largest")
    command = (
        "cd /opt/ml && mkdir model/code && cp input/data/code/inference.py model/code/ "
        "&& sort -n input/data/train/rows.csv | tail -1 > model/weight.txt"
    )
    sources = {channel: {"S3DataType": "S3Prefix", "S3Uri": uri} for channel, uri in channels.items()}
    aws.sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=aws.role,
        AlgorithmSpecification={
            "TrainingImage": aws.image("sklearn"),
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["bash", "-c", command],
        },
        InputDataConfig=[
            {"ChannelName": channel, "DataSource": {"S3DataSource": source}} for channel, source in sources.items()
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{aws.bucket}/course/{aws.lab}/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    return deployment.wait_for_training(aws, name)["ModelArtifacts"]["S3ModelArtifacts"]


def test_an_endpoint_is_traced_to_its_training_data_and_their_hash(aws, group, tmp_path):
    hashes = []
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text(INFERENCE)
    code = aws.upload(tmp_path / "code", "code")
    for content in ("1\n2\n", "1\n5\n"):
        (tmp_path / "rows.csv").write_text(content)
        data = aws.upload(tmp_path / "rows.csv", f"data/{len(hashes)}").rpartition("/")[0] + "/"
        environment = {"SAGEMAKER_PROGRAM": "inference.py"}
        model = trained(aws, train=data, code=code)
        version = registry.register(aws, group, aws.image("sklearn"), model, environment=environment)
        registry.approve(aws, version, "sums")
        registry.deploy(aws, group, version)
        found = registry.training_data(aws, group)
        assert {data, code} <= set(found["uri"])
        hashes.append(found.set_index("uri").loc[data, "sha256"])
    assert all(len(each) == 64 for each in hashes)
    assert hashes[0] != hashes[1]
    with pytest.raises(ClientError, match="Could not find endpoint"):
        registry.training_data(aws, "no-such-endpoint")


def test_sharing_lets_accounts_read_and_deploy_and_nothing_more(aws, group, registered):
    registered(3)
    policy = registry.share(aws, group, ["210987654321"])
    stored = aws.sagemaker.get_model_package_group_policy(ModelPackageGroupName=group)["ResourcePolicy"]
    assert json.loads(stored) == policy
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert actions == {
        "sagemaker:CreateModel",
        "sagemaker:DescribeModelPackage",
        "sagemaker:DescribeModelPackageGroup",
        "sagemaker:ListModelPackages",
    }
    assert all("*" not in json.dumps(statement["Principal"]) for statement in policy["Statement"])
    resources = [statement["Resource"] for statement in policy["Statement"]]
    assert resources[1] == resources[0].replace("model-package-group", "model-package") + "/*"


@pytest.mark.parametrize("accounts", [[], ["12345"], ["*"], ["arn:aws:iam::210987654321:root"]])
def test_what_is_no_account_is_not_shared_with(accounts):
    with pytest.raises(ValueError, match="account"):
        registry.group_policy("arn:aws:sagemaker:us-east-1:111122223333:model-package-group/g", accounts)
    with pytest.raises(ValueError, match="account"):
        registry.key_statement(accounts)
    with pytest.raises(ValueError, match="account"):
        registry.artifact_statement("bucket", "models/", accounts)


def scored(seed=0, n=2000, gain=0.0):
    """Labels, and the scores of two models of which the second sees `gain` more of the signal."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.1
    shared = rng.normal(size=n)
    champion = label + shared + rng.normal(scale=0.3, size=n)
    challenger = (1 + gain) * label + shared + rng.normal(scale=0.3, size=n)
    return label, champion, challenger


def separation(label, score):
    """How far the mean scores of the two classes lie apart."""
    return score[label].mean() - score[~label].mean()


def test_a_paired_interval_finds_what_two_separate_ones_cannot():
    label, champion, challenger = scored(gain=0.15)
    found = registry.paired_difference(label, champion, challenger, average_precision_score, n_resamples=400)
    assert 0 < found.low < found.estimate < found.high
    assert registry.promotes(found)
    rng = np.random.default_rng(0)
    alone = []
    for score in (champion, challenger):
        draws = (rng.integers(len(label), size=len(label)) for _ in range(400))
        alone.append(np.quantile([average_precision_score(label[d], score[d]) for d in draws], [0.025, 0.975]))
    assert alone[0][1] > alone[1][0], "the two intervals overlap, and yet the difference is above zero"


def test_equal_models_are_promoted_as_often_as_the_interval_says():
    promoted = 0
    for seed in range(60):
        label, champion, challenger = scored(seed, n=600)
        found = registry.paired_difference(label, champion, challenger, separation, n_resamples=200)
        promoted += registry.promotes(found)
    assert promoted <= 6, "2.5 % of 60 are 1.5; more than 6 has a probability below .001"


def test_rows_of_a_group_are_drawn_together():
    label, champion, challenger = scored(n=300, gain=0.3)
    rows = np.repeat(np.arange(300), 20)
    single = registry.paired_difference(label, champion, challenger, separation, n_resamples=200)
    repeated = (label[rows], champion[rows], challenger[rows], separation)
    grouped = registry.paired_difference(*repeated, groups=rows, n_resamples=200)
    naive = registry.paired_difference(*repeated, n_resamples=200)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.25)
    assert naive.high - naive.low < 0.5 * (grouped.high - grouped.low)


def test_a_margin_below_zero_lets_a_cheaper_model_pass():
    label, champion, _ = scored()
    found = registry.paired_difference(label, champion, champion, separation, n_resamples=50)
    assert (found.low, found.high) == (0, 0)
    assert not registry.promotes(found)
    assert registry.promotes(found, margin=-0.01)


def test_unequal_lengths_one_class_and_odd_confidences_are_refused():
    label, champion, challenger = scored(n=50)
    metric = average_precision_score
    with pytest.raises(ValueError, match="one length above 0"):
        registry.paired_difference(label, champion[1:], challenger, metric)
    with pytest.raises(ValueError, match="one class"):
        registry.paired_difference(np.zeros(50, bool), champion, challenger, metric)
    with pytest.raises(ValueError, match="between 0 and 1"):
        registry.paired_difference(label, champion, challenger, metric, confidence=95)
