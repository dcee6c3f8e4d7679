"""A model's files laid out under `/opt/ml`, and the environment and command of the container that serves it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors, images, overlays, sandbox, staging, workers

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
_STAGED = "staged"


def served_container(server: Server, model_name: str) -> dict:
    """The container that serves a model.

    Raises:
        AwsError: the model is missing, or is of a kind that the local SageMaker does not serve.
    """
    model = server.store.require("Model", model_name)
    containers = model.get("Containers") or [model["PrimaryContainer"]]
    if len(containers) != 1:
        raise errors.validation(
            f"{model['ModelArn']} has {len(containers)} containers: inference pipelines are not available in the local "
            "SageMaker."
        )
    _require_served(containers[0], model["ModelArn"])
    return containers[0]


def _require_served(container: dict, model_arn: str) -> None:
    missing = []
    if "ModelPackageName" in container:
        missing.append("ModelPackageName")
    if container.get("Mode") == "MultiModel":
        missing.append("Mode MultiModel")
    if "AdditionalModelDataSources" in container:
        missing.append("AdditionalModelDataSources")
    if missing:
        raise errors.validation(f"{' and '.join(missing)} of {model_arn} is not available in the local SageMaker.")


def stage(server: Server, container: dict, folder: Path) -> tuple[Path, tuple[str, ...], dict[str, str]]:
    """Downloads and extracts what a container needs; what an earlier run has staged is kept.

    Args:
        server: the server.
        container: a ContainerDefinition.
        folder: of this variant; `ml` below it is the container's `/opt/ml`.

    Returns:
        The folder behind `/opt/ml`, the command that serves, and its environment.

    Raises:
        AwsError: the image is unknown.
        StagingError: the model's data cannot be downloaded or extracted; worded as AWS words it.
        RequirementsError: code/requirements.txt cannot be installed.
    """
    runtime = images.runtime_for(container["Image"])
    if runtime.name == "local":
        raise errors.validation(f"Serving the image {container['Image']} is not available in the local SageMaker.")
    root = folder / "ml"
    if not (folder / _STAGED).exists():
        shutil.rmtree(folder, ignore_errors=True)
        (root / "model").mkdir(parents=True)
        _download_model(server, container, root / "model")
        _download_code(server, container, root / "code")
        (folder / _STAGED).touch()
    python = _interpreter(server, folder, root)
    environment = sandbox.clean_environment(server.url, server.region, python, folder)
    environment |= {"SAGEMAKER_REGION": server.region, **container.get("Environment", {})}
    if (root / "code").exists():
        environment[SUBMIT_DIRECTORY] = f"{sandbox.ML}/code"
    return root, workers.command(python, runtime.name), environment


def _download_model(server: Server, container: dict, folder: Path) -> None:
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    url = container.get("ModelDataUrl") or source.get("S3Uri")
    if url is None:
        return
    location = staging.parse(url)
    try:
        if source.get("CompressionType") == "None":
            staging.download_prefix(server, location, folder)
        else:
            _download_archive(server, location, folder)
    except staging.StagingError as error:
        raise staging.StagingError(
            f'Failed to download model data for container "container_1" from URL: "{url}". Please ensure that there is '
            f"an object located at the URL and that the role passed to CreateModel has permissions to download the "
            f"object. {error}"
        ) from error


def _download_code(server: Server, container: dict, folder: Path) -> None:
    submitted = container.get("Environment", {}).get(SUBMIT_DIRECTORY, "")
    if submitted.startswith(("s3://", "https://")):
        _download_archive(server, staging.parse(submitted), folder)


def _download_archive(server: Server, location: staging.Location, folder: Path) -> None:
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
