"""Programs written as AWS's public notebooks are, run whole; only the sleeps between two polls are shortened."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sdk_programs import run_program

from helpers.local_sagemaker import Running

PROGRAMS = Path(__file__).parent / "programs"
RUN = """
import json, runpy, sys
names = runpy.run_path(sys.argv[1])
print(json.dumps(eval(sys.argv[2], names)))
"""


@pytest.fixture
def run(server: Running, tmp_path: Path) -> Callable[[str, str], tuple[dict, str]]:
    """`run(program, expression)`: what the expression is at the program's end, and what the program printed."""
    return lambda program, expression: run_program(server, tmp_path, RUN, str(PROGRAMS / program), expression)


def test_the_churn_program_trains_serves_and_scores(run, sm, s3):
    told, printed = run(
        "xgboost_churn.py",
        """{"name": job.training_job_name, "status": job.training_job_status, "metrics": final_metrics, "area": area,
        "probabilities": probabilities.tolist(), "scores": scores.tolist(), "bucket": bucket}""",
    )
    assert told["status"] == "Completed" and told["area"] > 0.75
    assert told["metrics"]["validation:auc"] == pytest.approx(told["area"], abs=0.1)
    assert "validation-auc" in printed, "the job's log is streamed"
    assert len(told["scores"]) == 300 and told["scores"] == pytest.approx(told["probabilities"])
    kept = s3.get_object(Bucket=told["bucket"], Key="demo-xgboost-churn/scores/test.csv.out")["Body"].read()
    assert list(map(float, kept.split())) == pytest.approx(told["scores"])
    assert sm.list_endpoints(NameContains=told["name"])["Endpoints"] == []
    assert sm.list_endpoint_configs(NameContains=told["name"])["EndpointConfigs"] == []
    assert sm.list_models(NameContains=told["name"])["Models"] == []


def test_the_ab_program_moves_the_traffic_and_reads_the_metrics_of_each_variant(run, sm):
    told, printed = run(
        "sklearn_ab_variants.py",
        """{"endpoint": endpoint_name, "answered": answered,
        "weights": {variant["VariantName"]: variant["CurrentWeight"] for variant in summary},
        "scores": {name: job["FinalMetricDataList"][0]["Value"] for name, job in jobs.items()},
        "counted": {name: statistics("Invocations", "Sum", name) for name in jobs},
        "milliseconds": {name: statistics("ModelLatency", "Average", name) / 1000 for name in jobs},
        "errors": {name: statistics("Invocation5XXErrors", "Sum", name) for name in jobs}}""",
    )
    assert told["scores"]["forest"] > told["scores"]["linear"] > 0.8
    assert "cv_r2=" in printed, "the job's log is streamed"
    assert "weights 0 to 1: {'forest': 100}" in printed
    assert told["weights"] == {"linear": 0, "forest": 1}
    assert told["counted"] == told["answered"] and sum(told["answered"].values()) == 602
    assert told["milliseconds"]["forest"] > 0 and told["milliseconds"]["linear"] > 0
    assert told["errors"] == {"linear": 0, "forest": 0}
    assert sm.list_endpoints(NameContains=told["endpoint"])["Endpoints"] == []


def test_the_pipeline_program_caches_what_is_unchanged_and_retries_from_where_it_failed(run, sm):
    told, _ = run(
        "churn_pipeline.py",
        """{"first": first, "second": second, "deeper": deeper, "too_strict": too_strict, "failed": failed,
        "retried": retried, "packages": [package["ModelApprovalStatus"] for package in packages], "name": prefix}""",
    )
    jobs, all_steps = ["Evaluate", "Prepare", "Train"], {"Evaluate", "Judge", "Prepare", "Register", "Train"}
    for name in ("first", "second", "deeper", "retried"):
        assert told[name]["status"] == "Succeeded", told[name]
        assert told[name]["steps"] == dict.fromkeys(all_steps, "Succeeded")
    assert told["first"]["hits"] == [] and told["second"]["hits"] == jobs, "what is unchanged is not computed again"
    assert told["deeper"]["hits"] == ["Prepare"], "other hyperparameters train and evaluate anew"
    assert told["too_strict"]["status"] == "Failed" and told["too_strict"]["hits"] == jobs
    assert "is below 1.0" in told["too_strict"]["reasons"]["Reject"]
    failed, retried = told["failed"], told["retried"]
    assert failed["status"] == "Failed" and failed["hits"] == [], "other customers are prepared and trained on anew"
    assert failed["steps"] == {"Prepare": "Succeeded", "Train": "Succeeded", "Evaluate": "Failed"}
    assert "No S3 objects found" in failed["reasons"]["Evaluate"]
    assert retried["arn"] == failed["arn"]
    assert {name: retried["made"][name] == failed["made"][name] for name in jobs} == {
        "Prepare": True,
        "Train": True,
        "Evaluate": False,
    }
    assert retried["attempts"]["Evaluate"] == 2 and retried["attempts"]["Train"] == 1
    assert told["packages"] == ["PendingManualApproval"] * 4
    assert sm.list_pipelines(PipelineNamePrefix=told["name"])["PipelineSummaries"] == []
