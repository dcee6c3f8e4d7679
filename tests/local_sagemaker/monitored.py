"""An endpoint with data capture, its baseline and its monitors, as a user makes them with boto3."""

import io
import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import deployed
import numpy as np
import pandas as pd
from analysed import event
from botocore.client import BaseClient

ANALYZER = "156813124566.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer"
ML = "/opt/ml/processing"
PATIENCE_SECONDS = 240
ENDED = ("Completed", "CompletedWithViolations", "Failed", "Stopped")
NOW = {"ScheduleExpression": "NOW", "DataAnalysisStartTime": "-PT1H", "DataAnalysisEndTime": "-PT0H"}

# Answers with a score for each line: the first value, halved.
HALVES = """
def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    return data

def predict_fn(data, model):
    return "".join(f"{float(line.split(',')[0]) / 2}\\n" for line in data.splitlines())

def output_fn(answer, accept):
    return answer, "text/csv"
"""


def rows(seed: int, older: float = 0, size: int = 400) -> pd.DataFrame:
    """What the endpoint is asked and answers, the answer first."""
    random = np.random.default_rng(seed)
    age = random.normal(40, 10, size).round(2) + older
    return pd.DataFrame({"score": age / 2, "age": age, "plan": random.choice(["basic", "plus"], size)})


class Monitored:
    """One endpoint and its monitors on one server."""

    def __init__(self, client: Callable[..., BaseClient], role_arn: str) -> None:
        self.sm, self.s3, self.runtime = client("sagemaker"), client("s3"), client("sagemaker-runtime")
        self.role_arn = role_arn
        self.name = f"monitored-{uuid.uuid4().hex[:8]}"
        self.bucket = self.name
        self.s3.create_bucket(Bucket=self.bucket)
        self.put("baseline/rows.csv", rows(0, size=2000).to_csv(index=False))

    def put(self, key: str, body: str) -> str:
        """Stores an object; returns its URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())
        return f"s3://{self.bucket}/{key}"

    def read(self, uri: str) -> dict:
        """A JSON object."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return json.load(self.s3.get_object(Bucket=bucket, Key=key)["Body"])

    def deploy(self) -> None:
        """Makes the endpoint."""
        deployed.create_model(self.sm, self.s3, self.bucket, self.name, {"code/inference.py": HALVES})
        capture = {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{self.bucket}/captured",
            "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        }
        variants = [deployed.variant(self.name)]
        self.sm.create_endpoint_config(
            EndpointConfigName=self.name, ProductionVariants=variants, DataCaptureConfig=capture
        )
        self.sm.create_endpoint(EndpointName=self.name, EndpointConfigName=self.name)
        deployed.await_status(self.sm, self.name, "InService")

    def ask(self, asked: pd.DataFrame) -> None:
        """Sends rows to the endpoint, in one request."""
        body = asked.drop(columns="score").to_csv(index=False, header=False)
        self.runtime.invoke_endpoint(EndpointName=self.name, ContentType="text/csv", Body=body)["Body"].read()

    def capture(self, asked: pd.DataFrame, hour: datetime | None = None, prefix: str = "") -> list[str]:
        """Stores rows as if they had been captured in an hour, by default this one; returns the event ids."""
        ids, out = [uuid.uuid4().hex for _ in range(len(asked))], io.StringIO()
        for event_id, line in zip(ids, asked.to_csv(index=False, header=False).splitlines(), strict=True):
            score, _, request = line.partition(",")
            out.write(json.dumps(event(request, score, eventId=event_id)) + "\n")
        folder = f"{(hour or datetime.now(UTC)):%Y/%m/%d/%H}"
        self.put(f"{prefix or f'captured/{self.name}/AllTraffic'}/{folder}/{uuid.uuid4().hex}.jsonl", out.getvalue())
        return ids

    def suggest_baseline(self) -> str:
        """A baselining job that has ended; its name."""
        name = f"{self.name}-baseline"
        data = {"S3Uri": f"s3://{self.bucket}/baseline/", "LocalPath": f"{ML}/input", "S3DataType": "S3Prefix"}
        output = {"S3Uri": f"s3://{self.bucket}/suggested", "LocalPath": f"{ML}/output", "S3UploadMode": "EndOfJob"}
        self.sm.create_processing_job(
            ProcessingJobName=name,
            RoleArn=self.role_arn,
            AppSpecification={"ImageUri": ANALYZER},
            Environment={
                "dataset_source": f"{ML}/input",
                "output_path": f"{ML}/output",
                "dataset_format": json.dumps({"csv": {"header": True}}),
            },
            ProcessingInputs=[{"InputName": "data", "S3Input": data | {"S3InputMode": "File"}}],
            ProcessingOutputConfig={"Outputs": [{"OutputName": "monitoring_output", "S3Output": output}]},
            ProcessingResources=self.resources,
        )
        until(lambda: self.job(name)["ProcessingJobStatus"] != "InProgress")
        assert self.job(name)["ProcessingJobStatus"] == "Completed", self.job(name)
        return name

    def job(self, name: str) -> dict:
        """The description of a processing job."""
        return self.sm.describe_processing_job(ProcessingJobName=name)

    @property
    def resources(self) -> dict:
        """The instances of a job."""
        return {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}}

    @property
    def endpoint_input(self) -> dict:
        """The endpoint as a job's data."""
        return {"EndpointInput": {"EndpointName": self.name, "LocalPath": f"{ML}/input/endpoint"}}

    @property
    def output(self) -> dict:
        """Where reports go."""
        place = {"S3Uri": f"s3://{self.bucket}/reports", "LocalPath": f"{ML}/output"}
        return {"MonitoringOutputs": [{"S3Output": place}]}

    def define(self, kind: str, name: str, inputs: dict | None = None, baseline: dict | None = None, **members) -> str:
        """A job definition of a type such as DataQuality; its name."""
        application = {"ImageUri": ANALYZER} | members.pop("application", {})
        request = {
            "JobDefinitionName": name,
            f"{kind}AppSpecification": application,
            f"{kind}JobInput": inputs or self.endpoint_input,
            f"{kind}JobOutputConfig": self.output,
            "JobResources": self.resources,
            "RoleArn": self.role_arn,
        }
        if baseline:
            request[f"{kind}BaselineConfig"] = baseline
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind)
        getattr(self.sm, f"create{snake}_job_definition")(**request | members)
        return name

    def schedule(self, name: str, definition: str, kind: str = "DataQuality", timing: dict | None = None) -> str:
        """A schedule, by default one that runs once; its name."""
        config = {"MonitoringJobDefinitionName": definition, "MonitoringType": kind, "ScheduleConfig": timing or NOW}
        self.sm.create_monitoring_schedule(MonitoringScheduleName=name, MonitoringScheduleConfig=config)
        return name

    def executions(self, schedule: str, **filters) -> list[dict]:
        """The executions of a schedule, the last one first."""
        listed = self.sm.list_monitoring_executions(MonitoringScheduleName=schedule, **filters)
        return listed["MonitoringExecutionSummaries"]

    def ended(self, schedule: str, count: int = 1) -> list[dict]:
        """The executions of a schedule once so many have ended."""

        def done() -> list[dict]:
            return [each for each in self.executions(schedule) if each["MonitoringExecutionStatus"] in ENDED]

        until(lambda: len(done()) >= count)
        return done()

    def report(self, execution: dict, file: str = "constraint_violations.json") -> dict:
        """A file that an execution wrote."""
        job = self.job(execution["ProcessingJobArn"].rpartition("/")[2])
        return self.read(f"{job['ProcessingOutputConfig']['Outputs'][0]['S3Output']['S3Uri']}/{file}")


def until(condition: Callable[[], object]) -> None:
    """Returns when something is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.2)
