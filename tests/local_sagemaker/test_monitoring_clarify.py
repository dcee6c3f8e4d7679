"""Schedules that watch an endpoint by Clarify, on a real server."""

import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from monitored import NOW, Monitored, rows

CLARIFY = "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"
CONFIG = {
    "headers": ["sex", "income"],
    "label": "granted",
    "label_values_or_threshold": [1],
    "facet": [{"name_or_index": "sex", "value_or_threshold": [1]}],
    "methods": {"post_training_bias": {"methods": ["DPPL"]}},
}
FACETS = {"sex": [{"value_or_threshold": "1", "metrics": [{"name": "DPPL", "value": 0.2}]}]}
BASELINE = {"version": "1.0", "post_training_bias_metrics": {"label": "granted", "facets": FACETS}}


def answered(women: int) -> pd.DataFrame:
    """What an endpoint grants: half of 40 men, and so many of 40 women; the answer first."""
    people = [(int(number < (women if sex else 20)), sex, 30 + number) for sex in (0, 1) for number in range(40)]
    return pd.DataFrame(people, columns=["score", "sex", "income"])


@pytest.fixture(scope="module")
def monitored(client, role_arn):
    """An endpoint with data capture."""
    made = Monitored(client, role_arn)
    made.deploy()
    yield made
    made.sm.delete_endpoint(EndpointName=made.name)


@pytest.mark.parametrize(
    ("women", "hours", "dppl", "status"),
    [(16, 60, 0.1, "Completed"), (4, 30, 0.4, "CompletedWithViolations")],
)
def test_bias_that_grew_is_a_violation_of_a_schedule(monitored, unique, women, hours, dppl, status):
    hour = datetime.now(UTC) - timedelta(hours=hours)
    asked = answered(women)
    ids = monitored.capture(asked, hour)
    lines = [
        {"groundTruthData": {"data": str(score), "encoding": "CSV"}, "eventMetadata": {"eventId": event_id}}
        for event_id, score in zip(ids, asked["score"], strict=True)
    ]
    monitored.put(f"truth/{hour:%Y/%m/%d/%H}/labels.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    config = monitored.put("bias/analysis_config.json", json.dumps(CONFIG))
    baseline = monitored.put("bias/baseline/analysis.json", json.dumps(BASELINE))
    endpoint = monitored.endpoint_input["EndpointInput"] | {"InferenceAttribute": "0"}
    definition = monitored.define(
        "ModelBias",
        unique("bias"),
        {"EndpointInput": endpoint, "GroundTruthS3Input": {"S3Uri": f"s3://{monitored.bucket}/truth"}},
        {"ConstraintsResource": {"S3Uri": baseline}},
        application={"ImageUri": CLARIFY, "ConfigUri": config},
    )
    around = NOW | {"DataAnalysisStartTime": f"-PT{hours + 2}H", "DataAnalysisEndTime": f"-PT{hours - 2}H"}
    [execution] = monitored.ended(monitored.schedule(unique("bias"), definition, "ModelBias", around))
    assert execution["MonitoringExecutionStatus"] == status, execution
    report = monitored.report(execution, "analysis.json")["post_training_bias_metrics"]
    [metric] = report["facets"]["sex"][0]["metrics"]
    assert (metric["name"], metric["value"]) == ("DPPL", pytest.approx(dppl))
    found = [(each["facet"], each["metric_name"]) for each in monitored.report(execution)["violations"]]
    assert found == ([("sex", "DPPL")] if status == "CompletedWithViolations" else [])
    job = execution["ProcessingJobArn"].rpartition("/")[2]
    merge = job.replace(job.partition("-monitoring")[0] + "-monitoring", "groundtruth-merge")
    assert monitored.job(merge)["ExitMessage"] == "Completed: Merged 80 of 80 captured events with ground truth."


@pytest.mark.parametrize(
    ("before", "status"),
    [({"age": 5.0, "plan": 1.0}, "Completed"), ({"age": 1.0, "plan": 5.0}, "CompletedWithViolations")],
)
def test_attributions_in_another_order_than_the_baseline_s_are_a_violation_of_a_schedule(
    monitored, unique, before, status
):
    monitored.capture(rows(1, size=20))
    shap = {"baseline": [[40, "basic"]], "num_samples": 20, "agg_method": "mean_abs", "seed": 1}
    config = {
        "headers": ["age", "plan"],
        "methods": {"shap": shap},
        "predictor": {"endpoint_name": monitored.name, "accept_type": "text/csv"},
    }
    baseline = {"version": "1.0", "explanations": {"kernel_shap": {"label0": {"global_shap_values": before}}}}
    place = unique("explained")
    uris = {
        name: monitored.put(f"{place}/{name}.json", json.dumps(each))
        for name, each in (("analysis_config", config), ("analysis", baseline))
    }
    definition = monitored.define(
        "ModelExplainability",
        unique("explained"),
        baseline={"ConstraintsResource": {"S3Uri": uris["analysis"]}},
        application={"ImageUri": CLARIFY, "ConfigUri": uris["analysis_config"]},
    )
    [execution] = monitored.ended(monitored.schedule(unique("explained"), definition, "ModelExplainability"))
    assert execution["MonitoringExecutionStatus"] == status, execution
    values = monitored.report(execution, "analysis.json")["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert values["age"] > 1 > values["plan"]  # the endpoint answers with half of the age
    checks = [each["constraint_check_type"] for each in monitored.report(execution)["violations"]]
    assert checks == (["feature_attribution_drift_check"] if status == "CompletedWithViolations" else [])
