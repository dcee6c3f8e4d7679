"""Clarify's Kernel SHAP and partial dependence, by a job that asks a shadow endpoint."""

import io
import json

import deployed
import numpy as np
import pandas as pd
import pytest
from submitted_jobs import Submitter

from helpers.local_sagemaker.analyzers import clarify_monitors

CLARIFY = "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"
IN, OUT = "/opt/ml/processing/input", "/opt/ml/processing/output"
# 2 a - b, and 3 more for the plan "plus".
LINEAR = """
def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return [line.split(",") for line in data.split()]

def predict_fn(rows, model):
    return "".join(f"{2 * float(a) - float(b) + 3 * (plan == 'plus')}\\n" for a, b, plan in rows)

def output_fn(answer, accept):
    return answer, "text/csv"
"""


def test_the_values_of_a_linear_model_are_its_weights_times_the_distance_from_the_baseline(
    client, bucket, role_arn, unique
):
    submit = Submitter(client, bucket, role_arn, unique)
    name = unique("linear")
    deployed.create_model(submit.sm, submit.s3, bucket, name, {"code/inference.py": LINEAR})
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "y": 0,
            "a": random.normal(size=20).round(3),
            "b": random.normal(size=20).round(3),
            "plan": ["plus", "basic"] * 10,
        }
    )
    baseline = [[0.5, -1.0, "basic"], [1.5, 0.0, "basic"]]
    config = {
        "dataset_type": "text/csv",
        "headers": list(frame),
        "label": "y",
        "methods": {
            "shap": {"baseline": baseline, "num_samples": 100, "agg_method": "mean_abs", "seed": 3},
            "pdp": {"grid_resolution": 3, "features": ["a"]},
        },
        "predictor": {"model_name": name, "instance_type": "ml.m5.large", "initial_instance_count": 1},
    }
    rows = submit.put(f"{name}/data/rows.csv", frame.to_csv(index=False, header=False))
    told = submit.put(f"{name}/analysis_config.json", json.dumps(config))

    def source(label: str, uri: str, folder: str) -> dict:
        s3 = {"S3Uri": uri, "LocalPath": f"{IN}/{folder}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
        return {"InputName": label, "S3Input": s3}

    output = {"S3Uri": f"s3://{bucket}/{name}/out", "LocalPath": OUT, "S3UploadMode": "EndOfJob"}
    job = submit.process(
        ["unused"],
        AppSpecification={"ImageUri": CLARIFY},
        ProcessingInputs=[source("analysis_config", told, "config"), source("dataset", rows, "data")],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "analysis_result", "S3Output": output}]},
    )
    done = submit.processed(job)
    assert done["ProcessingJobStatus"] == "Completed", done

    def read(file: str) -> bytes:
        return submit.s3.get_object(Bucket=bucket, Key=f"{name}/out/{file}")["Body"].read()

    local = pd.read_csv(io.BytesIO(read("explanations_shap/out.csv")))
    wanted = pd.DataFrame(
        {
            "a_label0": 2 * (frame.a - 1.0),
            "b_label0": -(frame.b + 0.5),
            "plan_label0": 3.0 * (frame["plan"] == "plus"),
        }
    )
    pd.testing.assert_frame_equal(local, wanted, check_exact=False, atol=1e-6)
    report = json.loads(read("analysis.json"))["explanations"]
    values = report["kernel_shap"]["label0"]
    assert values["expected_value"] == pytest.approx(2 * 1.0 + 0.5)
    means = wanted.abs().mean()
    assert values["global_shap_values"] == pytest.approx({key: means[f"{key}_label0"] for key in ("a", "b", "plan")})
    [dependence] = report["pdp"]
    points = np.linspace(frame.a.min(), frame.a.max(), 3)
    assert dependence["feature_values"] == pytest.approx(points)
    rest = (-frame.b + 3 * (frame["plan"] == "plus")).mean()
    assert dependence["model_predictions"][0] == pytest.approx(2 * points + rest)
    left = submit.sm.list_endpoints(NameContains="sm-clarify")["Endpoints"]
    assert {each["EndpointStatus"] for each in left} <= {"Deleting"}


def test_attributions_drift_when_another_order_of_features_matters():
    before = {"a": 0.7, "b": 0.2, "c": 0.1}
    assert clarify_monitors.ndcg(before, {"a": 0.4, "b": 0.3, "c": 0.2}) == 1
    gain = [0.7, 0.2, 0.1] / np.log2([2, 3, 4])
    other = [0.1, 0.2, 0.7] / np.log2([2, 3, 4])
    assert clarify_monitors.ndcg(before, {"c": 0.9, "b": 0.3, "a": 0.1}) == pytest.approx(other.sum() / gain.sum())
