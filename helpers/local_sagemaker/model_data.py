"""A model's files laid out under `/opt/ml`, and the environment and command of each container that serves it."""

from __future__ import annotations

import math
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    containers,
    containment,
    images,
    overlays,
    own_containers,
    sandbox,
    staging,
)
from helpers.local_sagemaker.containers import ContainerPlan
from helpers.local_sagemaker.multi_model import ModelSource

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
MULTI_MODEL = "SAGEMAKER_MULTI_MODEL"
MODEL_MEMORY_MB = "LOCAL_SAGEMAKER_MODEL_MEMORY_MB"  # read by runtimes/serve_models.py
PRIMARY = "primary"
_SHARE_OF_MEMORY = 0.8
_STAGED = "staged"


def served_model(server: Server, model_name: str) -> dict:
    """What serves a model: its Containers, their Mode, whether they have a NetworkIsolation; its ARN and CreationTime.

    Each container has a Name: what errors, logs and metrics call it.

    Raises:
        AwsError: the model is missing.
    """
    model = server.store.require("Model", model_name)
    containers = containers_of(model)
    return {
        "Containers": [
            container | {"Name": name} for container, name in zip(containers, names(containers), strict=True)
        ],
        "Mode": model.get("InferenceExecutionConfig", {}).get("Mode", "Serial"),
        "NetworkIsolation": model["EnableNetworkIsolation"],
        "ModelArn": model["ModelArn"],
        "CreationTime": model["CreationTime"],
    }


def containers_of(model: dict) -> list[dict]:
    """The containers of a model's record, with those that a model package stands for in its place."""
    return model.get("_Containers") or model.get("Containers") or [model["PrimaryContainer"]]


def names(containers: list[dict]) -> list[str]:
    """What the containers of a model are called in errors, logs and metrics."""
    if len(containers) < 2:
        return [PRIMARY]
    return [container.get("ContainerHostname", f"container-{n}") for n, container in enumerate(containers, 1)]


def stage(
    server: Server,
    model: dict,
    folder: Path,
    instance_type: str | None = None,
    download_seconds: float | None = None,
) -> tuple[ContainerPlan, ...]:
    """Downloads and extracts what a model's containers need; what an earlier run has staged is kept.

    Args:
        server: the server.
        model: what `served_model` gave.
        folder: of this variant; each container has its own below it.
        instance_type: tells how much memory the models of a multi-model container may use.
        download_seconds: a container's data must be there and extracted in that time; None for any time.

    Raises:
        AwsError: an image is unknown.
        StagingError: the data of a container cannot be downloaded or extracted; worded as AWS words it.
        RequirementsError: a code/requirements.txt cannot be installed.
    """
    several = len(model["Containers"]) > 1
    plans = []
    for number, container in enumerate(model["Containers"], 1):
        below = folder / container["Name"] if several else folder
        if container.get("Mode") == "MultiModel":
            plan = _stage_multi_model(server, container, below, _model_memory_mb(below, instance_type))
        else:
            plan = stage_container(server, container, below, f"container_{number}", download_seconds)
        plans.append(_isolated(plan) if model["NetworkIsolation"] else plan)
    return tuple(plans)


def stage_container(
    server: Server,
    container: dict,
    folder: Path,
    place: str = "container_1",
    download_seconds: float | None = None,
) -> ContainerPlan:
    """What `stage` does for one container; `ml` below the folder is its `/opt/ml`.

    Args:
        server: the server.
        container: a ContainerDefinition with a Name.
        folder: of this container.
        place: what the message of a failed download calls it.
        download_seconds: as for `stage`.
    """
    runtime = images.runtime_for(container["Image"])
    root = folder / "ml"
    if not (folder / _STAGED).exists():
        shutil.rmtree(folder, ignore_errors=True)
        (root / "model").mkdir(parents=True)
        _download(server, container, root, place, math.inf if download_seconds is None else download_seconds)
        _download_code(server, container, root / "code")
        (folder / _STAGED).touch()
    python = _interpreter(server, folder, root)
    environment = sandbox.clean_environment(server.url, server.region, python, folder)
    environment |= {"SAGEMAKER_REGION": server.region, **container.get("Environment", {})}
    if (root / "code").exists():
        environment[SUBMIT_DIRECTORY] = f"{sandbox.ML}/code"
    if runtime.name == "local":
        return own_containers.plan(server, container, root, environment)
    return ContainerPlan(container["Name"], containers.command(python, runtime.name), root, environment)


def _stage_multi_model(server: Server, container: dict, folder: Path, memory_mb: float) -> ContainerPlan:
    """A container whose models are staged when they are asked for."""
    prefix = staging.parse(container["ModelDataUrl"])
    without_data = {name: value for name, value in container.items() if name != "ModelDataUrl"}
    environment = {MODEL_MEMORY_MB: f"{memory_mb:.0f}", **container.get("Environment", {}), MULTI_MODEL: "true"}
    plan = stage_container(server, without_data | {"Environment": environment}, folder)
    shutil.rmtree(plan.ml_root / "models", ignore_errors=True)  # of instances that are gone
    runtime = images.runtime_for(container["Image"])
    if runtime.name != "local":  # a user's own container knows the contract itself
        plan = replace(plan, argv=containers.multi_model_command(Path(plan.argv[0]), runtime.name))
    return replace(
        plan,
        models=ModelSource(
            prefix=prefix,
            cached=container.get("MultiModelConfig", {}).get("ModelCacheSetting") != "Disabled",
            download=partial(download_archive, server),
        ),
    )


def _model_memory_mb(folder: Path, instance_type: str | None) -> float:
    """How much all models of an instance may use, a part of its memory being the container's own."""
    folder.mkdir(parents=True, exist_ok=True)
    return containment.limits(folder, instance_type).memory * _SHARE_OF_MEMORY / 2**20


def _isolated(plan: ContainerPlan) -> ContainerPlan:
    """The plan without a network, and without the credentials of AWS that it could not use."""
    kept = {name: value for name, value in plan.environment.items() if not name.startswith("AWS_")}
    return replace(plan, environment=kept, isolated=True)


def _download(server: Server, container: dict, root: Path, place: str, seconds: float) -> None:
    """Fills the model's folder and those of its additional data sources."""
    primary = container.get("ModelDataSource", {}).get("S3DataSource")
    if "ModelDataUrl" in container:
        primary = {"S3Uri": container["ModelDataUrl"], "CompressionType": "Gzip"}
    sources = [(primary, root / "model")] if primary else []
    for channel in container.get("AdditionalModelDataSources", []):
        sources.append((channel["S3DataSource"], root / "additional-model-data-sources" / channel["ChannelName"]))
    began = time.monotonic()
    for source, target in sources:
        target.mkdir(parents=True, exist_ok=True)
        try:
            _download_source(server, source, target)
            if time.monotonic() - began > seconds:
                raise staging.StagingError(f"It took longer than ModelDataDownloadTimeoutInSeconds ({seconds:g} s).")
        except staging.StagingError as error:
            raise staging.StagingError(
                f'Failed to download model data for container "{place}" from URL: "{source["S3Uri"]}". Please ensure '
                f"that there is an object located at the URL and that the role passed to CreateModel has permissions "
                f"to download the object. {error}"
            ) from error


def _download_source(server: Server, source: dict, folder: Path) -> None:
    location = staging.parse(source["S3Uri"])
    if source["CompressionType"] == "Gzip":
        download_archive(server, location, folder)
    elif source["S3DataType"] == "S3Object":
        staging.download_file(server, location, folder / location.key.rpartition("/")[2])
    else:
        staging.download_prefix(server, location, folder)


def _download_code(server: Server, container: dict, folder: Path) -> None:
    submitted = container.get("Environment", {}).get(SUBMIT_DIRECTORY, "")
    if submitted.startswith(("s3://", "https://")):
        download_archive(server, staging.parse(submitted), folder)


def download_archive(server: Server, location: staging.Location, folder: Path) -> None:
    """Copies a tar archive from S3 and extracts it into a folder.

    Raises:
        StagingError: it is missing, is no archive, or holds an unsafe member.
    """
    archive = staging.download_file(server, location, folder.parent / "download.tar.gz")
    try:
        staging.extract_tar(archive, folder)
    finally:
        archive.unlink()


def _interpreter(server: Server, folder: Path, root: Path) -> Path:
    """The server's own interpreter, or one above it when the code brings a requirements.txt."""
    for code in (root / "code", root / "model" / "code"):
        if (code / "requirements.txt").is_file():
            packages = overlays.overlay(server.home / "overlays", code / "requirements.txt", folder / "pip.log")
            return overlays.make_interpreter(folder / "python", packages)
    return Path(sys.executable)
