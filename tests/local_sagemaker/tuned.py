"""Tuning jobs as the tests create them, by plain boto3."""

import time
from collections.abc import Callable

import submitted_jobs

ENDED = ("Completed", "Failed", "Stopped")
PATIENCE_SECONDS = 240
# The objective is a parabola with its best value 0 at x = 3; each epoch may take a while, and come nearer to it.
PARABOLA = """
import json, os, time
given = json.loads(os.environ["SM_HPS"])
x = float(given['x'])
for epoch in range(int(given.get('epochs', 1))):
    print("loss=%.6f;" % ((x - 3) ** 2 + 1 - 1 / (epoch + 1)), flush=True)
    time.sleep(given.get("pause", 0))
"""
CONTINUOUS = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "10"}]}


def categories(*values: object) -> dict:
    """A range of x that has these values."""
    return {"CategoricalParameterRanges": [{"Name": "x", "Values": [str(value) for value in values]}]}


class Tuning:
    """Creates tuning jobs in one server, and reads what became of them.

    Args:
        submit: submits other jobs to it.
    """

    def __init__(self, submit: submitted_jobs.Submitter) -> None:
        self.submit, self.sm = submit, submit.sm

    def definition(self, program: str = PARABOLA, static: dict[str, object] | None = None, **changes: object) -> dict:
        """A TrainingJobDefinition with a script of its own, and static hyperparameters."""
        given = {name: str(value) for name, value in (static or {}).items()}
        return {
            "AlgorithmSpecification": {
                "TrainingImage": submitted_jobs.SKLEARN,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([-0-9.e]+);"}],
            },
            "RoleArn": self.submit.role_arn,
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.submit.bucket}/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "StaticHyperParameters": self.submit.source(train_py=program) | given,
        } | changes

    def create(
        self,
        name: str,
        strategy: str = "Random",
        jobs: int | None = 4,
        parallel: int = 2,
        ranges: dict | None = CONTINUOUS,
        definition: dict | None = None,
        config: dict | None = None,
        **request: object,
    ) -> str:
        """Creates a tuning job; returns its name."""
        limits = {"MaxParallelTrainingJobs": parallel} | ({} if jobs is None else {"MaxNumberOfTrainingJobs": jobs})
        body = {"Strategy": strategy, "ResourceLimits": limits}
        if ranges is not None:
            objective = {"Type": "Minimize", "MetricName": "loss"}
            body |= {"ParameterRanges": ranges, "HyperParameterTuningJobObjective": objective}
            request["TrainingJobDefinition"] = definition or self.definition()
        self.sm.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name, HyperParameterTuningJobConfig=body | (config or {}), **request
        )
        return name

    def described(self, name: str) -> dict:
        """DescribeHyperParameterTuningJob."""
        return self.sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    def ended(self, name: str) -> dict:
        """The description of a tuning job once it has ended."""
        return self.when(name, lambda job: job["HyperParameterTuningJobStatus"] in ENDED)

    def when(self, name: str, is_so: Callable[[dict], bool]) -> dict:
        """The description of a tuning job once something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so(job := self.described(name)):
            assert time.monotonic() < deadline, f"{name} does not come to that: {job}"
            time.sleep(0.05)
        return job

    def jobs(self, name: str, **request: object) -> list[dict]:
        """All pages of ListTrainingJobsForHyperParameterTuningJob."""
        listing = self.sm.list_training_jobs_for_hyper_parameter_tuning_job
        pages, token = [], {}
        while True:
            answer = listing(HyperParameterTuningJobName=name, **request, **token)
            pages += answer["TrainingJobSummaries"]
            if "NextToken" not in answer:
                return pages
            token = {"NextToken": answer["NextToken"]}
