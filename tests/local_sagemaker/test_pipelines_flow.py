"""Executions of pipelines: order, data, conditions, failures."""

from pipelined import condition, fail, get, join, processing, training


def read(s3, uri):
    """The text of an object."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def test_steps_pass_data_on_and_take_the_branch_of_their_result(pipelines, s3, sm, bucket, unique):
    place = f"s3://{bucket}/{unique('flow')}"
    out = {"rows": join(place, get("Execution.PipelineExecutionId"), "rows", on="/")}
    script = 'echo "{\\"score\\": {\\"value\\": $SCORE}, \\"list\\": [1, 2]}" > /opt/ml/processing/rows/report.json'
    report = [{"PropertyFileName": "report", "OutputName": "rows", "FilePath": "report.json"}]
    process = processing("Process", script, out, {"SCORE": join(get("Parameters.Score"))}, PropertyFiles=report)
    uri = get("Steps.Process.ProcessingOutputConfig.Outputs['rows'].S3Output.S3Uri")
    train = training("Train", "cp /opt/ml/input/data/train/report.json /opt/ml/model/", f"{place}/models", uri)
    score = {"Std:JsonGet": {"PropertyFile": get("Steps.Process.PropertyFiles.report"), "Path": "score.value"}}
    artifact = get("Steps.Train.ModelArtifacts.S3ModelArtifacts")
    model = {
        "Name": "Make",
        "Type": "Model",
        "Arguments": {"PrimaryContainer": {"Image": "local/server", "ModelDataUrl": artifact}},
    }
    good = {"Type": "GreaterThanOrEqualTo", "LeftValue": score, "RightValue": get("Parameters.Least")}
    check = condition("Check", [good], [model], [fail("Bad", join("score ", score))], DependsOn=["Train"])
    parameters = [
        {"Name": "Score", "Type": "Float", "DefaultValue": 0.75},
        {"Name": "Least", "Type": "Float", "DefaultValue": 0.5},
    ]
    name = pipelines.create(process, train, check, parameters=parameters)
    execution, steps = pipelines.ended(pipelines.start(name))
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    assert list(steps) == ["Make", "Check", "Train", "Process"]
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}
    assert steps["Check"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    identity = execution["PipelineExecutionArn"].rpartition("/")[2]
    job = steps["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    assert job.startswith(f"pipelines-{identity}-Train-")
    tags = sm.list_tags(ResourceArn=steps["Train"]["Metadata"]["TrainingJob"]["Arn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "sagemaker:pipeline-execution-arn": execution["PipelineExecutionArn"],
        "sagemaker:pipeline-step-name": "Train",
    }
    made = sm.describe_model(ModelName=steps["Make"]["Metadata"]["Model"]["Arn"].rpartition("/")[2])
    assert made["PrimaryContainer"]["ModelDataUrl"] == f"{place}/models/{job}/output/model.tar.gz"
    assert read(s3, f"{place}/{identity}/rows/report.json").startswith('{"score": {"value": 0.75}')

    execution, steps = pipelines.ended(pipelines.start(name, {"Least": "0.8"}))
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    assert pipelines.statuses(steps) == dict.fromkeys(("Check", "Process", "Train"), "Succeeded") | {"Bad": "Failed"}
    assert steps["Bad"]["Metadata"] == {"Fail": {"ErrorMessage": "score 0.75"}}
    assert steps["Bad"]["FailureReason"] == "score 0.75"
