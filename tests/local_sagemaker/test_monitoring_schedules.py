"""Job definitions, monitoring schedules and their executions, on a real server."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from botocore.exceptions import ClientError
from monitored import ML, NOW, Monitored, rows, until

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.monitoring import monitoring_schedules, windows

KINDS = ("DataQuality", "ModelQuality", "ModelBias", "ModelExplainability")
CLARIFY = "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"


@pytest.fixture(scope="module")
def monitored(client, role_arn):
    """An endpoint with data capture and a baseline."""
    made = Monitored(client, role_arn)
    made.deploy()
    made.suggest_baseline()
    yield made
    made.sm.delete_endpoint(EndpointName=made.name)


@pytest.fixture
def based(monitored, unique) -> str:
    """A data quality definition that is held to the baseline."""
    baseline = {"BaseliningJobName": f"{monitored.name}-baseline"}
    return monitored.define("DataQuality", unique("definition"), baseline=baseline)


def snake(kind: str) -> str:
    """DataQuality becomes data_quality."""
    return re.sub("(?!^)([A-Z])", r"_\1", kind).lower()


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_is_described_listed_tagged_and_deleted(sm, monitored, unique, kind):
    name, extra = unique("definition"), {}
    if kind in ("ModelQuality", "ModelBias"):
        truth = {"GroundTruthS3Input": {"S3Uri": f"s3://{monitored.bucket}/truth"}}
        extra["inputs"] = monitored.endpoint_input | truth
    if kind in ("ModelBias", "ModelExplainability"):
        extra["application"] = {"ImageUri": CLARIFY, "ConfigUri": f"s3://{monitored.bucket}/analysis_config.json"}
    monitored.define(kind, name, Tags=[{"Key": "team", "Value": "risk"}], **extra)
    operations = {verb: getattr(sm, f"{verb}_{snake(kind)}_job_definition") for verb in ("describe", "delete")}
    described = operations["describe"](JobDefinitionName=name)
    assert described[f"{kind}JobInput"]["EndpointInput"]["EndpointName"] == monitored.name
    assert described["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert sm.list_tags(ResourceArn=described["JobDefinitionArn"])["Tags"] == [{"Key": "team", "Value": "risk"}]
    listed = getattr(sm, f"list_{snake(kind)}_job_definitions")
    [summary] = listed(NameContains=name, EndpointName=monitored.name)["JobDefinitionSummaries"]
    assert summary["MonitoringJobDefinitionArn"] == described["JobDefinitionArn"]
    assert listed(EndpointName="another")["JobDefinitionSummaries"] == []
    with pytest.raises(ClientError, match=r"ResourceInUse.*already exists"):
        monitored.define(kind, name, **extra)
    operations["delete"](JobDefinitionName=name)
    for operation in operations.values():
        with pytest.raises(ClientError, match=r"ResourceNotFound.*not found"):
            operation(JobDefinitionName=name)


def test_a_definition_that_cannot_run_is_refused(monitored, unique):
    endpoint = monitored.endpoint_input["EndpointInput"]
    both = {"DataCapturedDestinationS3Uri": "s3://b/x", "DatasetFormat": {"Parquet": {}}, "LocalPath": f"{ML}/input"}
    for inputs, words in (
        ({"EndpointInput": endpoint, "BatchTransformInput": both}, "Exactly one of"),
        ({"EndpointInput": endpoint | {"S3InputMode": "Pipe"}}, "no S3InputMode Pipe"),
        ({"EndpointInput": endpoint | {"LocalPath": "/etc"}}, "LocalPath must begin with"),
    ):
        with pytest.raises(ClientError, match=words):
            monitored.define("DataQuality", unique("definition"), inputs)


def test_drift_is_found_by_a_schedule_that_runs_once(sm, monitored, based, unique):
    monitored.capture(rows(1, older=30))
    schedule = monitored.schedule(unique("once"), based)
    [execution] = monitored.ended(schedule)
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations", execution
    assert execution["EndpointName"] == monitored.name
    assert execution["MonitoringJobDefinitionName"] == based
    name = execution["ProcessingJobArn"].rpartition("/")[2]
    assert re.fullmatch(r"model-monitoring-\d{12}-[0-9a-f]{18}", name)
    found = {each["feature_name"] for each in monitored.report(execution)["violations"]}
    assert found == {"score", "age"}
    assert monitored.report(execution, "statistics.json")["dataset"]["item_count"] == 400
    job = monitored.job(name)
    assert job["MonitoringScheduleArn"].endswith(f"monitoring-schedule/{schedule}")
    assert job["ExitMessage"] == "CompletedWithViolations: Job completed successfully with 2 violations."
    [output] = job["ProcessingOutputConfig"]["Outputs"]
    place = rf"s3://{monitored.bucket}/reports/{monitored.name}/{schedule}/\d{{4}}/\d\d/\d\d/\d\d"
    assert re.fullmatch(place, output["S3Output"]["S3Uri"])
    described = sm.describe_monitoring_schedule(MonitoringScheduleName=schedule)
    assert described["LastMonitoringExecutionSummary"] == execution
    assert described["MonitoringScheduleStatus"] == "Stopped"
    sm.start_monitoring_schedule(MonitoringScheduleName=schedule)
    assert len(monitored.ended(schedule, 2)) == 2


def test_a_schedule_is_updated_stopped_started_listed_and_deleted(sm, monitored, based, unique):
    daily = {"ScheduleExpression": "cron(0 3 ? * * *)"}
    schedule = monitored.schedule(unique("daily"), based, timing=daily)

    def described() -> dict:
        return sm.describe_monitoring_schedule(MonitoringScheduleName=schedule)

    until(lambda: described()["MonitoringScheduleStatus"] == "Scheduled")
    assert described()["MonitoringScheduleConfig"]["ScheduleConfig"] == daily
    with pytest.raises(ClientError, match=r"ResourceInUse.*already exists"):
        monitored.schedule(schedule, based, timing=daily)
    sm.stop_monitoring_schedule(MonitoringScheduleName=schedule)
    config = {
        "MonitoringJobDefinitionName": based,
        "MonitoringType": "DataQuality",
        "ScheduleConfig": {"ScheduleExpression": "cron(0 5 ? * * *)"},
    }
    sm.update_monitoring_schedule(MonitoringScheduleName=schedule, MonitoringScheduleConfig=config)
    assert described()["MonitoringScheduleStatus"] == "Stopped"
    assert described()["MonitoringScheduleConfig"] == config
    wanted = {
        "EndpointName": monitored.name,
        "MonitoringJobDefinitionName": based,
        "MonitoringTypeEquals": "DataQuality",
    }

    def listed(**filters) -> list[str]:
        found = sm.list_monitoring_schedules(**filters)["MonitoringScheduleSummaries"]
        return [each["MonitoringScheduleName"] for each in found]

    assert listed(StatusEquals="Stopped", **wanted) == [schedule]
    assert listed(StatusEquals="Scheduled", **wanted) == []
    assert listed(**wanted | {"MonitoringTypeEquals": "ModelBias"}) == []
    sm.start_monitoring_schedule(MonitoringScheduleName=schedule)
    until(lambda: listed(StatusEquals="Scheduled", **wanted) == [schedule])
    sm.delete_monitoring_schedule(MonitoringScheduleName=schedule)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        described()


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        ({"ScheduleExpression": "cron(0/5 * ? * * *)"}, "hourly at most"),
        ({"ScheduleExpression": "rate(1 hour)"}, "Invalid schedule expression"),
        ({"ScheduleExpression": "hourly"}, "Invalid schedule expression"),
        ({"ScheduleExpression": "NOW"}, "needs DataAnalysisStartTime and DataAnalysisEndTime"),
        (NOW | {"DataAnalysisStartTime": "PT1H"}, "must be before"),
        (NOW | {"DataAnalysisStartTime": "1 hour"}, "Invalid time offset"),
        (NOW | {"ScheduleExpression": "cron(0 * ? * * *)"}, "for a one time schedule only"),
    ],
)
def test_a_time_that_is_none_is_refused(monitored, based, unique, timing, words):
    with pytest.raises(ClientError, match=words):
        monitored.schedule(unique("never"), based, timing=timing)


def test_a_schedule_needs_an_endpoint_that_captures(monitored, unique):
    gone = {"EndpointInput": {"EndpointName": "nobody", "LocalPath": f"{ML}/input/endpoint"}}
    definition = monitored.define("DataQuality", unique("definition"), gone)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        monitored.schedule(unique("never"), definition)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        monitored.schedule(unique("never"), "no-such-definition")


def test_an_execution_without_data_fails_and_says_so(monitored, based, unique):
    long_ago = NOW | {"DataAnalysisStartTime": "-P30D", "DataAnalysisEndTime": "-P29D"}
    schedule = monitored.schedule(unique("empty"), based, timing=long_ago)
    [execution] = monitored.ended(schedule)
    assert execution["MonitoringExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Job inputs had no data"
    assert "ProcessingJobArn" not in execution


def test_an_execution_looks_at_its_window_only(monitored, based, unique):
    hours_ago = datetime.now(UTC) - timedelta(hours=5)
    monitored.capture(rows(2, size=7), hours_ago)
    around = NOW | {"DataAnalysisStartTime": "-PT6H", "DataAnalysisEndTime": "-PT3H"}
    [execution] = monitored.ended(monitored.schedule(unique("window"), based, timing=around))
    assert monitored.report(execution, "statistics.json")["dataset"]["item_count"] == 7


def test_model_quality_is_measured_with_the_ground_truth_that_was_uploaded(monitored, unique):
    hour = datetime.now(UTC) - timedelta(hours=30)
    asked = rows(3)
    ids = monitored.capture(asked, hour)
    lines = [
        {"groundTruthData": {"data": str(score + 1), "encoding": "CSV"}, "eventMetadata": {"eventId": event_id}}
        for event_id, score in zip(ids[:300], asked["score"], strict=False)
    ]
    monitored.put(f"truth/{hour:%Y/%m/%d/%H}/labels.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    limit = {"mae": {"threshold": 0.5, "comparison_operator": "GreaterThanThreshold"}}
    constraints = monitored.put("quality.json", json.dumps({"version": 0.0, "regression_constraints": limit}))
    endpoint = monitored.endpoint_input["EndpointInput"] | {"InferenceAttribute": "0"}
    definition = monitored.define(
        "ModelQuality",
        unique("quality"),
        {"EndpointInput": endpoint, "GroundTruthS3Input": {"S3Uri": f"s3://{monitored.bucket}/truth"}},
        {"ConstraintsResource": {"S3Uri": constraints}},
        application={"ProblemType": "Regression"},
    )
    around = NOW | {"DataAnalysisStartTime": "-PT32H", "DataAnalysisEndTime": "-PT28H"}
    [execution] = monitored.ended(monitored.schedule(unique("quality"), definition, "ModelQuality", around))
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations", execution
    statistics = monitored.report(execution, "statistics.json")
    assert statistics["dataset"]["item_count"] == 300
    assert statistics["regression_metrics"]["mae"]["value"] == pytest.approx(1)
    [violation] = monitored.report(execution)["violations"]
    assert violation["metric_name"] == "mae"
    assert execution["ProcessingJobArn"].rpartition("/")[2].startswith("model-quality-monitoring-")
    merge = execution["ProcessingJobArn"].rpartition("/")[2].replace("model-quality-monitoring", "groundtruth-merge")
    assert monitored.job(merge)["ExitMessage"] == "Completed: Merged 300 of 400 captured events with ground truth."


def test_an_inline_definition_monitors_the_data_of_batch_transforms(sm, monitored, unique):
    folder = f"{datetime.now(UTC):%Y/%m/%d/%H}"
    monitored.put(f"batches/{folder}/rows.csv", rows(4, older=30).to_csv(index=False))
    suggested = f"s3://{monitored.bucket}/suggested"
    source = {
        "DataCapturedDestinationS3Uri": f"s3://{monitored.bucket}/batches",
        "DatasetFormat": {"Csv": {"Header": True}},
        "LocalPath": f"{ML}/input/batch",
    }
    job = {
        "BaselineConfig": {
            "ConstraintsResource": {"S3Uri": f"{suggested}/constraints.json"},
            "StatisticsResource": {"S3Uri": f"{suggested}/statistics.json"},
        },
        "MonitoringInputs": [{"BatchTransformInput": source}],
        "MonitoringOutputConfig": monitored.output,
        "MonitoringResources": monitored.resources,
        "MonitoringAppSpecification": {
            "ImageUri": monitored.job(f"{monitored.name}-baseline")["AppSpecification"]["ImageUri"]
        },
        "RoleArn": monitored.role_arn,
        "Environment": {"publish_cloudwatch_metrics": "Enabled"},
    }
    name = unique("batch")
    config = {"MonitoringJobDefinition": job, "ScheduleConfig": NOW}
    sm.create_monitoring_schedule(MonitoringScheduleName=name, MonitoringScheduleConfig=config)
    [execution] = monitored.ended(name)
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations", execution
    assert "EndpointName" not in execution and "MonitoringJobDefinitionName" not in execution
    assert {each["feature_name"] for each in monitored.report(execution)["violations"]} == {"score", "age"}


def test_executions_are_listed_by_their_filters_in_pages(sm, monitored, based, unique):
    schedule = monitored.schedule(unique("listed"), based)
    monitored.capture(rows(5))
    monitored.ended(schedule)
    for count in (2, 3):
        sm.start_monitoring_schedule(MonitoringScheduleName=schedule)
        monitored.ended(schedule, count)
    times = [each["ScheduledTime"] for each in monitored.executions(schedule)]
    assert times == sorted(times, reverse=True) and len(times) == 3
    assert [each["ScheduledTime"] for each in monitored.executions(schedule, SortOrder="Ascending")] == times[::-1]
    assert len(monitored.executions(schedule, ScheduledTimeAfter=times[1])) in (1, 2)  # a second is the finest
    assert monitored.executions(schedule, StatusEquals="Failed", MonitoringTypeEquals="ModelBias") == []
    pages = sm.get_paginator("list_monitoring_executions").paginate(MonitoringScheduleName=schedule, MaxResults=2)
    assert [len(page["MonitoringExecutionSummaries"]) for page in pages] == [2, 1]


def test_a_stopped_job_stops_its_execution(sm, monitored, unique):
    script = "import time\ndef preprocess_handler(record):\n    time.sleep(600)\n"
    uri = monitored.put("slow.py", script)
    definition = monitored.define("DataQuality", unique("slow"), application={"RecordPreprocessorSourceUri": uri})
    monitored.capture(rows(6, size=3))
    schedule = monitored.schedule(unique("slow"), definition)
    until(lambda: monitored.executions(schedule, StatusEquals="InProgress"))
    [execution] = monitored.executions(schedule)
    sm.stop_processing_job(ProcessingJobName=execution["ProcessingJobArn"].rpartition("/")[2])
    [execution] = monitored.ended(schedule)
    assert execution["MonitoringExecutionStatus"] == "Stopped"


def test_objects_count_by_the_time_of_their_first_record_or_by_when_they_were_written():
    hour = datetime(2026, 3, 1, 14, tzinfo=UTC).timestamp()
    captured = "e/v/2026/03/01/14/05-30-250-0b6e2f3a-1111-4222-8333-444455556666.jsonl"
    assert windows.moment(captured, 0) == hour + 330.25
    assert windows.moment("2026/03/01/14/mine.jsonl", hour + 60) == hour + 60
    assert windows.moment("2026/03/01/14/mine.jsonl", hour + 86_400) == hour + 3599
    assert windows.moment("2026/13/01/14/mine.jsonl", 0) is None
    assert windows.moment("mine.jsonl", 0) is None
    assert [windows.offset(each) for each in ("-PT1H", "PT0H", "-P1DT2H30M")] == [-3600, 0, -95_400]
    for wrong in ("P", "-PT", "1H", "PTH", "P1H"):
        with pytest.raises(errors.AwsError):
            windows.offset(wrong)


def test_no_time_of_a_quick_schedule_comes_twice():
    since = datetime(2026, 3, 1, 14, 7, 13, 123_457, tzinfo=UTC).timestamp()
    for speedup in (60, 360, 777):
        record = {
            "MonitoringScheduleStatus": "Scheduled",
            "MonitoringScheduleConfig": {"ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"}},
        }
        times = [since]
        for _ in range(300):
            times.append(monitoring_schedules.next_time(record | {"_Since": since, "_Last": times[-1]}, speedup))
        steps = [(later - earlier) * speedup for earlier, later in pairwise(times)]
        assert all(step == pytest.approx(3600, abs=0.1) for step in steps[1:]), speedup
