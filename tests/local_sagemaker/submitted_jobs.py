"""Training and processing jobs as the tests submit them, by plain boto3."""

import io
import tarfile
import time
from collections.abc import Callable

from botocore.client import BaseClient

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
UNFINISHED = ("InProgress", "Stopping")
PATIENCE_SECONDS = 240


class Submitter:
    """Submits jobs to one server, and reads what became of them."""

    def __init__(
        self, client: Callable[..., BaseClient], bucket: str, role_arn: str, unique: Callable[[str], str]
    ) -> None:
        self.sm, self.s3, self.logs = client("sagemaker"), client("s3"), client("logs")
        self.bucket, self.role_arn, self.unique = bucket, role_arn, unique

    def put(self, key: str, body: bytes | str) -> str:
        """Stores an object; returns the URI."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def source(self, **files: str) -> dict[str, str]:
        """The hyperparameters of script mode for a source folder whose entry point is train.py; `_` stands for `.`."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name.replace("_", "."))
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        uri = self.put(f"{self.unique('source')}/sourcedir.tar.gz", buffer.getvalue())
        return {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri}

    def channel(self, name: str, uri: str, content_type: str = "text/csv", sharded: bool = False) -> dict:
        """A channel of InputDataConfig."""
        distribution = "ShardedByS3Key" if sharded else "FullyReplicated"
        source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": distribution}
        return {"ChannelName": name, "ContentType": content_type, "DataSource": {"S3DataSource": source}}

    def train(self, image: str = SKLEARN, instances: int = 1, max_seconds: int = 600, **changes: object) -> str:
        """Creates a training job; returns its name."""
        name = self.unique("train")
        request = {
            "TrainingJobName": name,
            "RoleArn": self.role_arn,
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": instances, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": max_seconds},
        }
        self.sm.create_training_job(**request | changes)
        return name

    def process(self, entrypoint: list[str], max_seconds: int = 600, image: str = SKLEARN, **changes: object) -> str:
        """Creates a processing job; returns its name."""
        name = self.unique("process")
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        request = {
            "ProcessingJobName": name,
            "RoleArn": self.role_arn,
            "AppSpecification": {"ImageUri": image, "ContainerEntrypoint": entrypoint},
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": max_seconds},
        }
        self.sm.create_processing_job(**request | changes)
        return name

    def trained(self, name: str) -> dict:
        """The description of a training job that ended."""
        return _ended(lambda: self.sm.describe_training_job(TrainingJobName=name), "TrainingJobStatus")

    def processed(self, name: str) -> dict:
        """The description of a processing job that ended."""
        return _ended(lambda: self.sm.describe_processing_job(ProcessingJobName=name), "ProcessingJobStatus")

    def log(self, name: str, kind: str = "TrainingJobs", host: str = "algo-1") -> list[str]:
        """What a host of the job printed, as CloudWatch has it at this moment."""
        group = f"/aws/sagemaker/{kind}"
        try:
            streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/{host}-")[
                "logStreams"
            ]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        lines, token = [], {}
        while streams:
            page = self.logs.get_log_events(
                logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True, **token
            )
            if not page["events"]:
                break
            lines += [event["message"] for event in page["events"]]
            token = {"nextToken": page["nextForwardToken"]}
        return lines

    def wait_for_line(self, name: str, text: str, kind: str = "TrainingJobs") -> None:
        """Returns when a running job has printed a line."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.log(name, kind):
            assert time.monotonic() < deadline, f"{name} never printed {text!r}: {self.log(name, kind)}"
            time.sleep(0.05)

    def artifact(self, description: dict, name: str = "model.tar.gz") -> dict[str, bytes]:
        """The files in an archive that a training job left, by name."""
        key = f"models/{description['TrainingJobName']}/output/{name}"
        body = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def _ended(describe: Callable[[], dict], status: str) -> dict:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (description := describe())[status] in UNFINISHED:
        assert time.monotonic() < deadline, f"the job does not end: {description}"
        time.sleep(0.05)
    return description
