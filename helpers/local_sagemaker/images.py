"""Which container images are known, and the local runtime that stands in for each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from helpers.local_sagemaker import errors


@dataclass(frozen=True)
class Runtime:
    """What stands in for an image.

    Attributes:
        name: xgboost, sklearn, pytorch, huggingface, local, model-monitor or clarify.
        repository: the image's repository name, such as `sagemaker-xgboost`.
        tag: the image's tag, such as `3.0-5`.
        framework_module: the toolkit's module that the container's `train` runs (SM_FRAMEWORK_MODULE).
        built_in_algorithm: True where the image trains without a script of the user.
        analyzer: the module of `analyzers` that a processing job runs where it names no entry point.
    """

    name: str
    repository: str
    tag: str
    framework_module: str
    built_in_algorithm: bool = False
    analyzer: str | None = None


_FRAMEWORK_MODULES = {
    "xgboost": "sagemaker_xgboost_container.training:main",
    "sklearn": "sagemaker_sklearn_container.training:main",
    "pytorch": "sagemaker_pytorch_container.training:main",
    "huggingface": "sagemaker_pytorch_container.training:main",
    "local": "",
}
_REPOSITORIES = {
    "sagemaker-xgboost": "xgboost",
    "sagemaker-scikit-learn": "sklearn",
    "pytorch-training": "pytorch",
    "pytorch-inference": "pytorch",
    "huggingface-pytorch-training": "huggingface",
    "huggingface-pytorch-inference": "huggingface",
    "sagemaker-model-monitor-analyzer": "model-monitor",
    "sagemaker-model-monitor-groundtruth-merger": "model-monitor",
    "sagemaker-clarify-processing": "clarify",
}
_ANALYZERS = {
    "sagemaker-model-monitor-analyzer": "model_monitor",
    "sagemaker-model-monitor-groundtruth-merger": "ground_truth_merge",
    "sagemaker-clarify-processing": "clarify",
}
_IMAGE = re.compile(r"(?:[^/]+\.[^/]+/)?(?P<repository>[^:@]+)(?::(?P<tag>[\w.-]+))?(?:@sha256:[0-9a-f]+)?")
KNOWN = (*_REPOSITORIES, "local/<name>")


def runtime_for(image_uri: str, processing: bool = False) -> Runtime:
    """The runtime for an image URI, by the name of its repository.

    `local/<name>` is a user's own container, see `own_containers`.

    Args:
        image_uri: the image.
        processing: whether it is for a processing job, the only kind of job that analysers run in.

    Raises:
        AwsError: `ValidationException`; the image is unknown, or only for processing. The message names the known ones.
    """
    match = _IMAGE.fullmatch(image_uri.strip())
    repository = match["repository"] if match else ""
    name = "local" if repository.startswith("local/") else _REPOSITORIES.get(repository)
    if name is None:
        raise errors.validation(
            f"The image {image_uri} is not known to the local SageMaker. Known repositories: {', '.join(KNOWN)}. No "
            "image is pulled: for one of your own, use local/<name> as the image and put its executables train and "
            "serve into the source code, into code/ of model.tar.gz, or on PATH."
        )
    analyzer = _ANALYZERS.get(repository)
    if analyzer and not processing:
        raise errors.validation(f"The image {image_uri} is for processing jobs only.")
    return Runtime(
        name,
        repository,
        match["tag"] or "latest",
        _FRAMEWORK_MODULES.get(name, ""),
        built_in_algorithm=name == "xgboost",
        analyzer=analyzer,
    )
