"""The monitors and the Clarify processor of the SageMaker Python SDK 3, unmodified."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd

from helpers import local_sagemaker

PROGRAM = """
import json, sys
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.model_monitor import DefaultModelMonitor
from sagemaker.core.model_monitor.dataset_format import DatasetFormat
from sagemaker.core.clarify import BiasConfig, DataConfig, SageMakerClarifyProcessor

session, role = Session(), sys.argv[1]
place = f"s3://{session.default_bucket()}/sdk-monitoring"
common = {"role": role, "instance_count": 1, "instance_type": "ml.m5.large", "sagemaker_session": session}
monitor = DefaultModelMonitor(volume_size_in_gb=5, **common)
monitor.suggest_baseline(
    baseline_dataset="rows.csv", dataset_format=DatasetFormat.csv(header=True), output_s3_uri=f"{place}/baseline",
    wait=True, logs=False,
)
statistics = monitor.baseline_statistics().body_dict
constraints = monitor.suggested_constraints().body_dict
session.upload_data("rows.csv", bucket=session.default_bucket(), key_prefix="sdk-monitoring/data")
data = DataConfig(
    s3_data_input_path=f"{place}/data/rows.csv", s3_output_path=f"{place}/bias", label="granted",
    headers=["granted", "sex"], dataset_type="text/csv",
)
clarify = SageMakerClarifyProcessor(**common)
clarify.run_pre_training_bias(
    data, BiasConfig(label_values_or_threshold=[1], facet_name="sex", facet_values_or_threshold=[1]),
    methods=["CI", "DPL"], wait=True, logs=False,
)
body = session.boto_session.client("s3").get_object(
    Bucket=session.default_bucket(), Key="sdk-monitoring/bias/analysis.json")["Body"].read()
print(json.dumps([statistics["dataset"], [each["name"] for each in constraints["features"]], json.loads(body)]))
"""


def test_a_baseline_and_a_bias_report_come_back_to_the_sdk(server, role_arn, tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"granted": random.integers(0, 2, 300), "sex": random.integers(0, 2, 300)})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SAGEMAKER_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, role_arn],
        cwd=tmp_path,
        env=inherited | local_sagemaker.environment(server),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    dataset, features, report = json.loads(done.stdout.strip().splitlines()[-1])
    assert (dataset, features) == ({"item_count": 300}, ["granted", "sex"])
    metrics = report["pre_training_bias_metrics"]["facets"]["sex"][0]["metrics"]
    proportions = frame.groupby("sex").granted.mean()
    assert {each["name"]: round(each["value"], 9) for each in metrics} == {
        "CI": round((300 - 2 * frame.sex.sum()) / 300, 9),
        "DPL": round(proportions[0] - proportions[1], 9),
    }
