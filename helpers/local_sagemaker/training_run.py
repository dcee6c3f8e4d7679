"""What a training job does between its first and its last state: stage, run, upload."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import channels, errors, images, local_paths, mirroring, own_containers, sandbox, staging
from helpers.local_sagemaker.failures import last_error
from helpers.local_sagemaker.images import Runtime
from helpers.local_sagemaker.jobs import Command, Host, Job, JobError, Outcome, host_cpus
from helpers.local_sagemaker.runtimes import training_toolkit
from helpers.local_sagemaker.runtimes.training_toolkit import Training

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
# What the SDK's driver and its sm_train.sh write to the failure file tells nothing of the script's own error.
_OF_SDK_DRIVER = ("Traceback (most recent call last)", "Training Execution failed")
_CHECKPOINTS = f"{sandbox.ML}/checkpoints"
_TENSORBOARD = f"{sandbox.ML}/output/tensorboard"


@dataclass(frozen=True)
class Launch:
    """What `prepare` found out for `execute`."""

    commands: list[Command]
    python: Path
    script_mode: bool


def check_locations(request: dict) -> None:
    """Checks the S3 URIs of outputs and the local path of checkpoints.

    Raises:
        AwsError: `ValidationException`; one of them cannot be used.
    """
    checkpoint, tensorboard = request.get("CheckpointConfig", {}), request.get("TensorBoardOutputConfig", {})
    uris = [request["OutputDataConfig"]["S3OutputPath"], checkpoint.get("S3Uri"), tensorboard.get("S3OutputPath")]
    for uri in filter(None, uris):
        try:
            staging.parse(uri)
        except staging.StagingError as error:
            raise errors.validation(str(error)) from error
    local_paths.require_inside(checkpoint.get("LocalPath", _CHECKPOINTS), "CheckpointConfig.LocalPath")
    local_paths.require_inside(tensorboard.get("LocalPath", _TENSORBOARD), "TensorBoardOutputConfig.LocalPath")


def check_arguments(algorithm: dict) -> None:
    """Arguments go to the entry point that is given, or to the `train` of a user's own image.

    Raises:
        AwsError: `ValidationException`; they would go to the training toolkit, which takes none but `train`.
    """
    arguments = algorithm.get("ContainerArguments", [])
    own = "ContainerEntrypoint" in algorithm or algorithm.get("TrainingImage", "").startswith("local/")
    if arguments not in ([], ["train"]) and not own:
        raise errors.validation(
            "ContainerArguments without a ContainerEntrypoint is not available in the local SageMaker for the images "
            f"of AWS: their entry point takes the argument train only, got {arguments}."
        )


def output_location(request: dict) -> staging.Location:
    """`<S3OutputPath>/<job>/output`, where all that a job makes is put."""
    base = staging.parse(request["OutputDataConfig"]["S3OutputPath"])
    return base.below(request["TrainingJobName"], "output")


def model_artifacts(request: dict) -> str:
    """The S3ModelArtifacts of a job."""
    packed = request["OutputDataConfig"].get("CompressionType") != "NONE"
    return str(output_location(request).below("model.tar.gz" if packed else "model/"))


def is_built_in(request: dict) -> bool:
    """Whether the image's own algorithm trains, because no script and no entry point is given."""
    algorithm = request["AlgorithmSpecification"]
    try:
        runtime = images.runtime_for(algorithm["TrainingImage"])
    except errors.AwsError:
        return False
    script = "sagemaker_program" in request.get("HyperParameters", {}) or "ContainerEntrypoint" in algorithm
    return runtime.built_in_algorithm and not script


def prepare(job: Job, record: dict, runtime: Runtime) -> Launch:
    """Fills `/opt/ml` of every host, and says what runs there.

    Raises:
        StagingError: something is missing in S3.
        JobError: the requirements cannot be installed, or the image does not know what to run.
    """
    server = job.server
    staging.require_bucket(server, staging.parse(record["OutputDataConfig"]["S3OutputPath"]), "Artifact upload failed")
    job.make_folders(*training_toolkit.FOLDERS)
    trainings = [_training(job, record, runtime, host) for host in job.hosts]
    try:
        channels.download(server, record, job.hosts)
        _download_checkpoints(job, record)
    except staging.StagingError as error:
        raise staging.StagingError(f"Data download failed:{error}") from error
    for training, host in zip(trainings, job.hosts, strict=True):
        training_toolkit.write_configuration(training, host.ml_root)
        _stage_code(server, training, host)
    python = job.interpreter_with(_requirements(job.hosts[0]))
    commands = [_command(training, host, record) for training, host in zip(trainings, job.hosts, strict=True)]
    return Launch(commands, python, trainings[0].program is not None)


def _training(job: Job, record: dict, runtime: Runtime, host: Host) -> Training:
    return Training(
        name=job.name,
        arn=record["TrainingJobArn"],
        runtime=runtime,
        hyperparameters=record.get("HyperParameters", {}),
        channels=channels.configuration(record),
        environment=record.get("Environment", {}),
        instance_type=record["ResourceConfig"]["InstanceType"],
        hosts=[other.name for other in job.hosts],
        host=host.name,
        cpus=host_cpus(),
        region=job.server.region,
    )


def _stage_code(server: Server, training: Training, host: Host) -> None:
    """Script mode's source code goes to `/opt/ml/code`."""
    directory, code = training.submit_directory, host.path(training_toolkit.CODE_DIR)
    if not directory or not (training.program or training.runtime.name == "local"):
        return
    if directory.startswith(("s3://", "https://")):
        archive = staging.download_file(server, staging.parse(directory), host.ml_root.parent / "sourcedir.tar.gz")
        staging.extract_tar(archive, code)
        archive.unlink()
    elif local_paths.is_inside(directory):
        shutil.copytree(host.path(directory), code, dirs_exist_ok=True)
    else:
        raise JobError(
            f"ClientError: sagemaker_submit_directory is {directory!r}, neither in S3 nor below {sandbox.ML}"
        )


def _requirements(host: Host) -> Path | None:
    """The requirements file of script mode, or the one that the SDK's driver is told to install."""
    candidates = [host.path(training_toolkit.CODE_DIR) / "requirements.txt"]
    source_code = host.path(training_toolkit.SM_DRIVERS_DIR) / "sourcecode.json"
    if source_code.is_file():
        named = (json.loads(source_code.read_text()) or {}).get("requirements")
        candidates += [host.path(f"input/data/code/{named}")] if named else []
    return next((path for path in candidates if path.is_file()), None)


def _command(training: Training, host: Host, record: dict) -> Command:
    algorithm = record["AlgorithmSpecification"]
    env = training_toolkit.environment(training)
    if "ContainerEntrypoint" in algorithm:
        return Command([*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", [])], env)
    if training.program:
        try:
            script = training_toolkit.script_command(training, host.path(training_toolkit.CODE_DIR))
        except FileNotFoundError as error:
            raise JobError(f"AlgorithmError: {error}, exit code: 1") from error
        except ValueError as error:
            raise JobError(f"ClientError: {error}") from error
        return Command(script, env, training_toolkit.CODE_DIR)
    if training.runtime.built_in_algorithm:
        return Command(["python3", str(training_toolkit.XGBOOST_ALGORITHM)], env)
    if training.runtime.name == "local":
        return _own_command(host, algorithm, env)
    raise JobError(
        f"ClientError: the image {training.runtime.repository} has no algorithm of its own: give it a script by the "
        "hyperparameters sagemaker_program and sagemaker_submit_directory, or a ContainerEntrypoint"
    )


def _own_command(host: Host, algorithm: dict, env: dict[str, str]) -> Command:
    """What runs in a user's own container, beside its own files."""
    train = own_containers.executable(own_containers.TRAIN, host.ml_root, env)
    if train is None:
        raise JobError(
            f"ClientError: CannotStartContainerError. The image {algorithm['TrainingImage']} has no executable train: "
            f"the local SageMaker looks for {own_containers.searched(own_containers.TRAIN)}."
        )
    return Command([train, *algorithm.get("ContainerArguments", [])], env, own_containers.working_directory(train))


def execute(job: Job, record: dict, launch: Launch, on_line: Callable[[str], None]) -> Outcome:
    """Runs the processes, with checkpoints mirrored to S3 meanwhile.

    Raises:
        JobError: they failed; the message holds the real error.
        StagingError: the checkpoints cannot be uploaded.
    """
    with mirroring.mirrored(job.server, _checkpoint_folders(job, record) + _tensorboard_folders(job, record)):
        outcome = job.run(launch.commands, launch.python, on_line)
    if outcome.code and not outcome.cut:
        upload_output_data(job, record)
        raise JobError(_algorithm_error(job, launch, outcome))
    return outcome


def _algorithm_error(job: Job, launch: Launch, outcome: Outcome) -> str:
    """The failure file's text; where it is missing, or the SDK's driver wrote it, the last lines of the output."""
    if outcome.breach:
        return f"AlgorithmError: {outcome.breach}, exit code: {outcome.code}"
    written = next((text for host in job.hosts if (text := host.read("output/failure"))), "")
    told = last_error(outcome.tail)
    if launch.script_mode and not written:
        written = training_toolkit.user_script_error(outcome.code, told, launch.commands[0].argv)
    elif written.startswith(_OF_SDK_DRIVER) or not written:
        written = "\n".join(filter(None, (written.rpartition("\n")[2], told)))
    prefix = "" if written.startswith(("ClientError:", "UserError:", "AlgorithmError:")) else "AlgorithmError: "
    return f"{prefix}{written}, exit code: {outcome.code}"


def upload(job: Job, record: dict) -> None:
    """Uploads the model of all hosts and what they left in `/opt/ml/output/data`.

    Raises:
        StagingError: the bucket is gone.
    """
    model = _merged(job.hosts, "model")
    artifacts = staging.parse(model_artifacts(record))
    if any(model.iterdir()):
        if artifacts.key.endswith("/"):
            staging.upload_folder(job.server, model, artifacts)
        else:
            archive = job.folder / "model.tar.gz"
            staging.make_tar(model, archive)
            staging.upload_file(job.server, archive, artifacts)
    upload_output_data(job, record)


def upload_output_data(job: Job, record: dict) -> None:
    """Uploads `/opt/ml/output/data`, also of a failed job, as `output.tar.gz`."""
    data = _merged(job.hosts, "output/data")
    if any(data.iterdir()):
        archive = job.folder / "output.tar.gz"
        staging.make_tar(data, archive)
        staging.upload_file(job.server, archive, output_location(record).below("output.tar.gz"))


def _merged(hosts: list[Host], inside: str) -> Path:
    """The folder of the first host, to which the files of the others are added; the first one's stay.

    Raises:
        StagingError: the job put something else in the folder's place.
    """
    first, *others = [host.path(inside) for host in hosts]
    if first.resolve() != first or (first.exists() and not first.is_dir()):
        raise staging.StagingError(f"Artifact upload failed: {sandbox.ML}/{inside} was replaced by what is no folder")
    first.mkdir(parents=True, exist_ok=True)
    for other in (folder for folder in others if folder.resolve() == folder):
        for path in sorted(other.rglob("*")) if other.is_dir() else []:
            target = first / path.relative_to(other)
            if path.is_file() and not target.exists() and target.resolve().is_relative_to(first.resolve()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)
    return first


def _checkpoint_folders(job: Job, record: dict) -> list[tuple[Path, staging.Location]]:
    checkpoint = record.get("CheckpointConfig")
    if not checkpoint:
        return []
    location = staging.parse(checkpoint["S3Uri"])
    return [(host.path(checkpoint.get("LocalPath", _CHECKPOINTS)), location) for host in job.hosts]


def _tensorboard_folders(job: Job, record: dict) -> list[tuple[Path, staging.Location]]:
    tensorboard = record.get("TensorBoardOutputConfig")
    if not tensorboard:
        return []
    location = staging.parse(tensorboard["S3OutputPath"]).below(job.name, "tensorboard-output")
    return [(host.path(tensorboard.get("LocalPath", _TENSORBOARD)), location) for host in job.hosts]


def _download_checkpoints(job: Job, record: dict) -> None:
    for folder, location in _checkpoint_folders(job, record):
        folder.mkdir(parents=True, exist_ok=True)
        keys = staging.list_keys(job.server, staging.Location(location.bucket, location.key.rstrip("/") + "/"))
        if keys:
            staging.download_keys(job.server, location, keys, folder)
