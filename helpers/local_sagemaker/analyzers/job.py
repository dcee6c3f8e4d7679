"""What an analyser is told by its environment, and what it leaves for the service that runs it."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

METRICS_FILE = "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
_LONGEST_FAILURE = 1024


class DataError(Exception):
    """The data, or what says how to read it, is not right; the message is the job's FailureReason."""


@dataclass(frozen=True)
class Settings:
    """The contract of the Model Monitor containers, from environment variables.

    Source: "Container Contract Inputs" and "Container Contract Outputs" of the Amazon SageMaker developer guide.

    Attributes:
        ml: the folder that is `/opt/ml`.
        source: the file or folder with the data.
        output: where reports are written.
        data_format: of the data, such as `{"csv": {"header": True}}`; keys are in lower case.
        statistics: those of the baseline.
        constraints: those of the baseline.
        environment: all variables.
    """

    ml: Path
    source: Path
    output: Path
    data_format: dict
    statistics: dict | None = None
    constraints: dict | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def publishes_metrics(self) -> bool:
        """Whether CloudWatch metrics are asked for."""
        return self.environment.get("publish_cloudwatch_metrics", "Disabled") == "Enabled"


def settings(ml: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the environment.

    Raises:
        DataError: a variable is missing, or is no JSON.
    """
    try:
        source, output = Path(environment["dataset_source"]), Path(environment["output_path"])
        data_format = json.loads(environment["dataset_format"])
    except KeyError as error:
        raise DataError(f"Environment variable {error.args[0]} is missing.") from error
    except ValueError as error:
        raise DataError(f"Environment variable dataset_format is no JSON: {error}") from error
    output.mkdir(parents=True, exist_ok=True)
    return Settings(
        ml=ml,
        source=source,
        output=output,
        data_format=_lower(data_format),
        statistics=baseline(environment.get("baseline_statistics")),
        constraints=baseline(environment.get("baseline_constraints")),
        environment=environment,
    )


def run(main: Callable[[Path], str]) -> None:
    """Runs an analyser in the folder that its command names as `/opt/ml`, and ends the process.

    Args:
        main: takes that folder, returns the exit message.
    """
    ml = Path(sys.argv[1])
    (ml / "output").mkdir(parents=True, exist_ok=True)
    try:
        message = main(ml)
    except DataError as error:
        traceback.print_exc()
        (ml / "output" / "failure").write_text(str(error)[:_LONGEST_FAILURE])
        sys.exit(255)
    (ml / "output" / "message").write_text(message)
    print(message)


def exit_message(violations: list[dict] | None) -> str:
    """How AWS words the end of an execution; None for one that checked nothing."""
    if not violations:
        return "Completed: Job completed successfully with no violations."
    return f"CompletedWithViolations: Job completed successfully with {len(violations)} violations."


def write(folder: Path, name: str, content: object) -> None:
    """Writes a report."""
    (folder / name).write_text(json.dumps(content, indent=2, allow_nan=False))


def write_metrics(settings: Settings, metrics: list[dict]) -> None:
    """Leaves metrics for CloudWatch, a JSON line each, where the service finds them.

    Args:
        settings: whose endpoint and schedule become the dimensions.
        metrics: each a MetricName with a Value or StatisticValues, and further Dimensions.
    """
    environment = settings.environment
    names = {"Endpoint": "sagemaker_endpoint_name", "MonitoringSchedule": "sagemaker_monitoring_schedule_name"}
    dimensions = [{"Name": name, "Value": environment[key]} for name, key in names.items() if environment.get(key)]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    path = settings.ml / METRICS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for metric in metrics:
            line = metric | {"Timestamp": now, "Dimensions": [*metric.get("Dimensions", []), *dimensions]}
            file.write(json.dumps(line) + "\n")


def _lower(value: object) -> object:
    if isinstance(value, dict):
        return {key.lower(): _lower(member) for key, member in value.items()}
    return value


def baseline(path: str | None) -> dict | None:
    """A file of a baseline, None where none is named.

    Raises:
        DataError: the file is missing, or is no JSON.
    """
    if not path:
        return None
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise DataError(f"There is no baseline file {path}.") from None
    except ValueError as error:
        raise DataError(f"The baseline file {path} is no JSON: {error}") from error
