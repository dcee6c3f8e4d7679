"""The operations on pipelines, their versions and their executions."""

import datetime
import json
import time

import pipelined
import pytest
from botocore.exceptions import ClientError
from pipelined import LONG, fail, get, processing

QUICK = fail("Quick", get("Parameters.Word"))
WORD = [{"Name": "Word", "Type": "String", "DefaultValue": "none"}]
TOKEN = "0123456789abcdef0123456789abcdef"


def refused(call, **request):
    """Code and message of an error."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_pipeline_is_created_described_and_deleted(sm, pipelines, unique):
    name, text = unique("pipeline"), pipelined.definition(QUICK, parameters=WORD)
    request = {
        "PipelineName": name,
        "PipelineDefinition": text,
        "RoleArn": pipelined.ROLE,
        "PipelineDescription": "ends at once",
        "Tags": [{"Key": "team", "Value": "risk"}],
        "ParallelismConfiguration": {"MaxParallelExecutionSteps": 3},
        "ClientRequestToken": TOKEN,
    }
    arn = sm.create_pipeline(**request)["PipelineArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:111122223333:pipeline/{name}"
    assert sm.create_pipeline(**request)["PipelineArn"] == arn, "the same token is the same request"
    assert refused(sm.create_pipeline, **request | {"ClientRequestToken": TOKEN[::-1]}) == (
        "ValidationException",
        f"Pipeline names must be unique within an AWS account and region. Pipeline with name ({name}) already exists.",
    )
    told = sm.describe_pipeline(PipelineName=arn)
    assert told["PipelineDefinition"] == text and told["PipelineDisplayName"] == name
    assert told["PipelineStatus"] == "Active" and "LastRunTime" not in told
    assert told["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 3}
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "risk"}]
    pipelines.ended(pipelines.start(name))
    assert "LastRunTime" in sm.describe_pipeline(PipelineName=name)
    assert sm.delete_pipeline(PipelineName=name)["PipelineArn"] == arn
    missing = ("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
    for call in (sm.describe_pipeline, sm.start_pipeline_execution, sm.list_pipeline_executions, sm.delete_pipeline):
        assert refused(call, PipelineName=name) == missing


def test_a_definition_may_lie_in_s3_and_a_version_of_the_object_be_meant(sm, s3, unique):
    bucket = unique("definitions")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    texts = [pipelined.definition(fail("F", word)) for word in ("old", "new")]
    versions = [s3.put_object(Bucket=bucket, Key="d.json", Body=text)["VersionId"] for text in texts]
    place = {"Bucket": bucket, "ObjectKey": "d.json"}
    name = unique("pipeline")
    sm.create_pipeline(PipelineName=name, RoleArn=pipelined.ROLE, PipelineDefinitionS3Location=place)
    assert sm.describe_pipeline(PipelineName=name)["PipelineDefinition"] == texts[1]
    sm.update_pipeline(PipelineName=name, PipelineDefinitionS3Location=place | {"VersionId": versions[0]})
    assert sm.describe_pipeline(PipelineName=name)["PipelineDefinition"] == texts[0]
    code, message = refused(
        sm.update_pipeline, PipelineName=name, PipelineDefinitionS3Location=place | {"ObjectKey": "nothing"}
    )
    assert code == "ValidationException" and f"s3://{bucket}/nothing" in message


def test_versions_keep_every_definition_and_have_aliases(sm, pipelines):
    name = pipelines.create(QUICK, parameters=WORD)
    second = pipelined.definition(fail("Other", "second"))
    update = sm.update_pipeline(
        PipelineName=name, PipelineDefinition=second, PipelineDescription="two", PipelineVersionAliases=["live"]
    )
    assert update["PipelineVersionId"] == 2
    assert sm.describe_pipeline(PipelineName=name)["PipelineVersionAliases"] == ["live"]
    first = sm.describe_pipeline(PipelineName=name, PipelineVersionId=1)
    assert json.loads(first["PipelineDefinition"])["Steps"] == [QUICK] and first["PipelineDescription"] == "two"
    arn = first["PipelineArn"]
    sm.update_pipeline_version(
        PipelineArn=arn,
        PipelineVersionId=1,
        PipelineVersionDisplayName="the-old-one",
        PipelineVersionDescription="as it was",
        PipelineVersionAliasOperations={"Add": ["live", "safe"]},
    )
    listed = sm.list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]
    assert [(v["PipelineVersionId"], v["PipelineVersionAliases"]) for v in listed if "PipelineVersionAliases" in v] == [
        (1, ["live", "safe"])
    ]
    assert [v["PipelineVersionDisplayName"] for v in listed] == ["version-2", "the-old-one"]
    sm.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=1, PipelineVersionAliasOperations={"Remove": ["live"]}
    )
    assert sm.describe_pipeline(PipelineName=name, PipelineVersionAlias="safe")["PipelineVersionDescription"]
    execution, steps = pipelines.ended(pipelines.start(name, PipelineVersionAlias="safe"))
    assert execution["PipelineVersionId"] == 1 and list(steps) == ["Quick"]
    assert execution["PipelineVersionAliases"] == ["safe"]
    execution, steps = pipelines.ended(pipelines.start(name))
    assert execution["PipelineVersionId"] == 2 and list(steps) == ["Other"]
    (last,) = sm.list_pipeline_executions(PipelineName=name, PipelineVersionAlias="safe")["PipelineExecutionSummaries"]
    oldest = sm.list_pipeline_versions(PipelineName=name, SortOrder="Ascending", MaxResults=1)
    assert oldest["PipelineVersionSummaries"][0]["LastExecutionPipelineExecutionArn"] == last["PipelineExecutionArn"]
    assert "NextToken" in oldest
    assert refused(sm.describe_pipeline, PipelineName=name, PipelineVersionId=3)[0] == "ResourceNotFound"
    assert refused(sm.describe_pipeline, PipelineName=name, PipelineVersionAlias="none")[0] == "ResourceNotFound"
    assert refused(sm.describe_pipeline, PipelineName=name, PipelineVersionAlias="safe", PipelineVersionId=1)[0] == (
        "ValidationException"
    )


def test_pipelines_are_listed_by_prefix_and_time(sm, pipelines, unique):
    prefix = unique("listed")
    text = pipelined.definition(QUICK, parameters=WORD)
    names = [f"{prefix}-{letter}" for letter in "bac"]
    for name in names:
        sm.create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=pipelined.ROLE)

    def listed(**request):
        pages = sm.get_paginator("list_pipelines").paginate(PipelineNamePrefix=prefix, **request)
        return [pipeline["PipelineName"] for page in pages for pipeline in page["PipelineSummaries"]]

    assert listed() == names[::-1]
    assert listed(SortOrder="Ascending", PaginationConfig={"PageSize": 2}) == names
    assert listed(SortBy="Name", SortOrder="Ascending") == sorted(names)
    begin, hour = sm.describe_pipeline(PipelineName=names[0])["CreationTime"], datetime.timedelta(hours=1)
    assert listed(CreatedAfter=begin - hour, CreatedBefore=begin + hour) == names[::-1]
    assert listed(CreatedAfter=begin + hour) == listed(CreatedBefore=begin - hour) == []
    assert listed(ManagedBy="AWS") == [] and len(listed(ManagedBy="CUSTOMER")) == 3
    pipelines.ended(pipelines.start(names[0]))
    summaries = sm.list_pipelines(PipelineNamePrefix=names[0])["PipelineSummaries"]
    assert summaries[0]["LastExecutionTime"] > summaries[0]["CreationTime"]


def test_a_token_starts_one_execution(sm, pipelines):
    name = pipelines.create(QUICK, parameters=WORD)
    arn = pipelines.start(name, ClientRequestToken=TOKEN)
    assert pipelines.start(name, ClientRequestToken=TOKEN) == arn != pipelines.start(name)
    assert len(sm.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]) == 2


def test_an_execution_is_described_and_listed_with_its_parameters(sm, pipelines):
    count = {"Name": "Count", "Type": "Integer", "DefaultValue": 2}
    name = pipelines.create(QUICK, parameters=[*WORD, count])
    arn = pipelines.start(
        name, {"Word": "stop here"}, PipelineExecutionDisplayName="first", PipelineExecutionDescription="the first"
    )
    told, steps = pipelines.ended(arn)
    assert told["PipelineExecutionDisplayName"] == "first" and told["RoleArn"] == pipelined.ROLE
    assert told["LastModifiedTime"] >= told["CreationTime"]
    assert steps["Quick"]["FailureReason"] == "stop here" and steps["Quick"]["AttemptCount"] == 1
    definition = sm.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)["PipelineDefinition"]
    assert json.loads(definition)["Steps"] == [QUICK]
    page = sm.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn, MaxResults=1)
    assert page["PipelineParameters"] == [{"Name": "Count", "Value": "2"}]
    rest = sm.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn, NextToken=page["NextToken"])
    assert rest["PipelineParameters"] == [{"Name": "Word", "Value": "stop here"}]
    sm.update_pipeline_execution(PipelineExecutionArn=arn, PipelineExecutionDisplayName="renamed")
    (summary,) = sm.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    assert summary["PipelineExecutionDisplayName"] == "renamed"
    assert summary["PipelineExecutionStatus"] == "Failed"
    assert summary["PipelineExecutionFailureReason"] == "Step failure: One or multiple steps failed."
    other = pipelines.start(name)
    ordered = sm.list_pipeline_executions(PipelineName=name, SortOrder="Ascending")["PipelineExecutionSummaries"]
    assert [each["PipelineExecutionArn"] for each in ordered] == [arn, other]


def test_executions_that_do_not_exist_are_not_found(sm, pipelines):
    arn = f"{sm.describe_pipeline(PipelineName=pipelines.create(QUICK, parameters=WORD))['PipelineArn']}/execution/none"
    for call in (
        sm.describe_pipeline_execution,
        sm.stop_pipeline_execution,
        sm.retry_pipeline_execution,
        sm.list_pipeline_execution_steps,
        sm.list_pipeline_parameters_for_execution,
        sm.update_pipeline_execution,
    ):
        assert refused(call, PipelineExecutionArn=arn) == (
            "ResourceNotFound",
            f"Pipeline execution '{arn}' does not exist.",
        )
    assert refused(sm.list_pipeline_execution_steps)[0] == "ValidationException"


def test_only_what_runs_is_stopped_and_only_what_failed_is_retried(sm, pipelines):
    name = pipelines.create(processing("Done", "true"))
    arn = pipelines.start(name)
    told, _ = pipelines.ended(arn)
    assert told["PipelineExecutionStatus"] == "Succeeded"
    for call in (sm.stop_pipeline_execution, sm.retry_pipeline_execution):
        code, message = refused(call, PipelineExecutionArn=arn)
        assert code == "ValidationException" and "has the status Succeeded" in message


def test_a_pipeline_with_a_running_execution_is_not_deleted(sm, pipelines):
    name = pipelines.create(processing("Long", LONG))
    arn = pipelines.start(name)
    pipelines.await_step(arn, "Long", "Executing")
    assert refused(sm.delete_pipeline, PipelineName=name)[0] == "ConflictException"
    sm.stop_pipeline_execution(PipelineExecutionArn=arn)
    told, steps = pipelines.ended(arn)
    assert (told["PipelineExecutionStatus"], steps["Long"]["StepStatus"]) == ("Stopped", "Stopped")
    job = steps["Long"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert sm.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped"
    sm.delete_pipeline(PipelineName=name)
    assert time.time() - steps["Long"]["StartTime"].timestamp() < 600, "the job was stopped, not waited for"
