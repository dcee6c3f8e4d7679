"""Batch transform jobs as the tests submit them, by plain boto3."""

import time
from collections.abc import Callable

from deployed import create_model
from submitted_jobs import PATIENCE_SECONDS, UNFINISHED

# Answers each row with ten times its first field; a field that is no number fails the request.
TENFOLD = """
import json, os, time

def model_fn(model_dir):
    return None

def input_fn(data, content_type):
    data = data if isinstance(data, str) else data.decode()
    print("rows", len(data.splitlines()), flush=True)
    if "exit" in data:
        os._exit(3)
    if "sleep" in data:
        time.sleep(600)
    if content_type == "application/jsonlines":
        return [json.loads(line)["amount"] for line in data.splitlines()]
    return [float(line.split(",")[0]) for line in data.splitlines()]

def predict_fn(values, model):
    time.sleep(0.02 / max(values))
    return [10 * value for value in values]

def output_fn(values, accept):
    if accept == "application/jsonlines":
        return "".join(json.dumps({"score": value}) + "\\n" for value in values), accept
    return "\\n".join(map(str, values)), "text/csv"
"""


class Transforms:
    """Submits transform jobs to one server, and reads what became of them."""

    def __init__(self, client: Callable, bucket: str, unique: Callable[[str], str]) -> None:
        self.sm, self.s3, self.logs = client("sagemaker"), client("s3"), client("logs")
        self.bucket, self.unique = bucket, unique

    def model(self, code: str = TENFOLD, **changes: object) -> str:
        """Creates a model of this inference code; returns its name."""
        files = {"code/inference.py": code}
        return create_model(self.sm, self.s3, self.bucket, self.unique("model"), **{"files": files} | changes)

    def put(self, **objects: str | bytes) -> str:
        """Stores objects under a new prefix, `_` in a name stands for `.`; returns the prefix."""
        prefix = self.unique("in")
        for name, body in objects.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"{prefix}/{name.replace('_', '.')}", Body=body)
        return f"s3://{self.bucket}/{prefix}/"

    def submit(
        self,
        data: str,
        model: str | None = None,
        content_type: str = "text/csv",
        source: dict | None = None,
        target: dict | None = None,
        instances: int = 1,
        **changes: object,
    ) -> str:
        """Creates a job that splits by line; returns its name."""
        name = self.unique("transform")
        s3_source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}}
        transform_input = {"DataSource": s3_source, "ContentType": content_type, "SplitType": "Line"}
        output = {"S3OutputPath": f"s3://{self.bucket}/{name}", "Accept": content_type, "AssembleWith": "Line"}
        request = {
            "TransformJobName": name,
            "ModelName": model or self.model(),
            "TransformInput": transform_input | (source or {}),
            "TransformOutput": output | (target or {}),
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": instances},
        }
        self.sm.create_transform_job(**request | changes)
        return name

    def ended(self, name: str) -> dict:
        """The description of a job that ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (job := self.sm.describe_transform_job(TransformJobName=name))["TransformJobStatus"] in UNFINISHED:
            assert time.monotonic() < deadline, f"the job does not end: {job}"
            time.sleep(0.05)
        return job

    def completed(self, name: str) -> dict[str, str]:
        """The outputs of a job that completed, by name."""
        job = self.ended(name)
        assert job["TransformJobStatus"] == "Completed", job["FailureReason"]
        return self.outputs(name)

    def outputs(self, name: str) -> dict[str, str]:
        """What a job has written so far, by name."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{name}/").get("Contents", [])
        keys = [item["Key"] for item in found]
        bodies = (self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode() for key in keys)
        return dict(zip((key.removeprefix(f"{name}/") for key in keys), bodies, strict=True))

    def log(self, name: str) -> list[str]:
        """What the job's workers printed, and its data log."""
        group = "/aws/sagemaker/TransformJobs"
        try:
            streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        names = [stream["logStreamName"] for stream in streams]
        pages = (self.logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True) for name in names)
        return [event["message"] for page in pages for event in page["events"]]

    def wait_for_line(self, name: str, text: str) -> None:
        """Returns when a worker of a running job has printed a line."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.log(name):
            assert time.monotonic() < deadline, f"{name} never printed {text!r}: {self.log(name)}"
            time.sleep(0.05)
