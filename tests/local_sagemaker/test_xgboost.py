"""The built-in XGBoost algorithm by plain boto3."""

import numpy as np
import pytest
import xgboost
from submitted_jobs import XGBOOST, Submitter

FEATURES = 6


@pytest.fixture
def submit(client, bucket, role_arn, unique) -> Submitter:
    """Jobs on the session's server."""
    return Submitter(client, bucket, role_arn, unique)


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Labels and features that a tree can tell apart, but not perfectly."""
    random = np.random.default_rng(0)
    features = random.normal(size=(800, FEATURES)).astype(np.float32)
    return (features[:, 0] + features[:, 1] + random.normal(size=800) > 0).astype(int), features


def as_csv(labels: np.ndarray, features: np.ndarray, weights: np.ndarray | None = None) -> str:
    """The label first, then the weight if there is one, no header."""
    columns = [labels, *([] if weights is None else [weights]), *features.T]
    return "\n".join(",".join(map(str, row)) for row in zip(*columns, strict=True))


def as_libsvm(labels: np.ndarray, features: np.ndarray) -> str:
    """One row a line, indices from 1."""
    return "\n".join(
        f"{label} " + " ".join(f"{index}:{value}" for index, value in enumerate(row, 1))
        for label, row in zip(labels, features, strict=True)
    )


def booster(submit: Submitter, description: dict) -> xgboost.Booster:
    """The model of a job, loaded from what model.tar.gz holds."""
    loaded = xgboost.Booster()
    loaded.load_model(bytearray(submit.artifact(description)["xgboost-model"]))
    return loaded


def test_csv_channels_give_a_model_and_validation_metrics(submit, rows):
    labels, features = rows
    prefix = submit.unique("csv")
    train = submit.put(f"{prefix}/train/part-0.csv", as_csv(labels[:600], features[:600])).removesuffix("part-0.csv")
    validation = submit.put(f"{prefix}/validation/part-0.csv", as_csv(labels[600:], features[600:]))
    name = submit.train(
        XGBOOST,
        HyperParameters={
            "num_round": "12",
            "objective": "binary:logistic",
            "eval_metric": "logloss,auc",
            "max_depth": "3",
            "seed": "1",
        },
        InputDataConfig=[submit.channel("train", train), submit.channel("validation", validation)],
    )
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    metrics = {metric["MetricName"]: metric["Value"] for metric in description["FinalMetricDataList"]}
    assert set(metrics) == {"train:logloss", "validation:logloss", "train:auc", "validation:auc"}
    names = [definition["Name"] for definition in description["AlgorithmSpecification"]["MetricDefinitions"]]
    assert "validation:auc" in names
    log = submit.log(name)
    assert "Train matrix has 600 rows and 6 columns" in log
    assert len([line for line in log if line.startswith("[") and "#011validation-auc:" in line]) == 12
    predicted = booster(submit, description).predict(xgboost.DMatrix(features[600:]))
    assert metrics["validation:logloss"] == pytest.approx(log_loss(labels[600:], predicted), abs=1e-4)


def log_loss(labels: np.ndarray, predicted: np.ndarray) -> float:
    """The mean negative log-likelihood."""
    return float(-np.mean(np.log(np.where(labels == 1, predicted, 1 - predicted))))


def test_libsvm_is_the_default_format(submit, rows):
    labels, features = rows
    uri = submit.put(f"{submit.unique('libsvm')}/train.libsvm", as_libsvm(labels, features))
    channel = submit.channel("train", uri)
    del channel["ContentType"]
    name = submit.train(
        XGBOOST, HyperParameters={"num_round": "3", "objective": "binary:logistic"}, InputDataConfig=[channel]
    )
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    assert booster(submit, description).num_boosted_rounds() == 3
    assert "Train matrix has 800 rows and 7 columns" in submit.log(name)


def test_early_stopping_keeps_the_best_rounds(submit, rows):
    labels, features = rows
    train = submit.put(f"{submit.unique('train')}.csv", as_csv(labels[:100], features[:100]))
    validation = submit.put(f"{submit.unique('validation')}.csv", as_csv(labels[100:], features[100:]))
    name = submit.train(
        XGBOOST,
        HyperParameters={
            "num_round": "300",
            "early_stopping_rounds": "5",
            "objective": "binary:logistic",
            "eta": "0.9",
        },
        InputDataConfig=[submit.channel("train", train), submit.channel("validation", validation)],
    )
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    rounds = len([line for line in submit.log(name) if line.startswith("[")])
    assert rounds < 300
    assert booster(submit, description).num_boosted_rounds() == rounds - 5


def test_csv_weights_takes_the_second_column_as_weights(submit, rows):
    labels, features = rows
    weights = np.where(labels == 1, 1000.0, 1.0)
    uri = submit.put(f"{submit.unique('weighted')}.csv", as_csv(labels, features, weights))
    name = submit.train(
        XGBOOST,
        HyperParameters={"num_round": "2", "csv_weights": "1", "objective": "binary:logistic", "eval_metric": "error"},
        InputDataConfig=[submit.channel("train", uri)],
    )
    (metric,) = submit.trained(name)["FinalMetricDataList"]
    assert metric["Value"] < 0.01, "a model that calls all rows positive is right on nearly all of the weight"
    assert "Train matrix has 800 rows and 6 columns" in submit.log(name)


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({}, "Missing required hyperparameter: num_round"),
        ({"num_round": "ten"}, "Hyperparameter num_round: could not parse value 'ten' as int"),
        ({"num_round": "0"}, "Hyperparameter num_round: value 0 not in range [1, inf)"),
        ({"num_round": "1", "eta": "2"}, "Hyperparameter eta: value 2 not in range [0, 1]"),
        ({"num_round": "1", "subsample": "0"}, "Hyperparameter subsample: value 0 not in range (0, 1]"),
        ({"num_round": "1", "max_dept": "3"}, "Extraneous hyperparameter found: max_dept"),
        ({"num_round": "1", "objective": "binary:best"}, "Hyperparameter objective: value binary:best not in range"),
        ({"num_round": "1", "objective": "multi:softmax"}, "Require input for parameter 'num_class'"),
        ({"num_round": "1", "eval_metric": "auc,luck"}, "Hyperparameter eval_metric: value luck not in range"),
    ],
)
def test_a_bad_hyperparameter_fails_the_job_and_is_named(submit, hyperparameters, reason):
    uri = submit.put("bad/train.csv", "1,2\n0,3\n")
    name = submit.train(XGBOOST, HyperParameters=hyperparameters, InputDataConfig=[submit.channel("train", uri)])
    description = submit.trained(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith(f"ClientError: {reason}")


def test_a_csv_with_a_header_fails_the_job(submit):
    uri = submit.put("header/train.csv", "fraud,amount\n0,3.5\n")
    name = submit.train(XGBOOST, HyperParameters={"num_round": "1"}, InputDataConfig=[submit.channel("train", uri)])
    reason = submit.trained(name)["FailureReason"]
    assert reason.startswith("ClientError: Failed to load csv data")
    assert "no header" in reason


def test_a_job_without_a_train_channel_fails(submit):
    uri = submit.put("channels/validation.csv", "1,2\n0,3\n")
    channel = submit.channel("validation", uri)
    name = submit.train(XGBOOST, HyperParameters={"num_round": "1"}, InputDataConfig=[channel])
    assert submit.trained(name)["FailureReason"].startswith("ClientError: Missing required channel: train")
