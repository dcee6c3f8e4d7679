"""Puts a model behind a real-time or an asynchronous endpoint and calls it, or runs it over a whole data set."""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.session import SageMakerHelper

WAIT_SECONDS = 1800


def package_model(model_dir: str | Path, code_dir: str | Path | None, out: str | Path) -> Path:
    """Pack a `model.tar.gz`: the model's files at the top, the inference code under `code/`.

    Equal files give equal bytes, so that a model's hash says whether it changed.

    Args:
        model_dir: folder with the model's files, or the `model.tar.gz` of a training job.
        code_dir: folder with `inference.py` and, if needed, `requirements.txt`; None packs no code.
        out: path of the archive to write.

    Raises:
        FileNotFoundError: a folder does not exist, or code_dir has no inference.py.
    """
    model_dir, out = Path(model_dir), Path(out)
    if code_dir is not None and not (Path(code_dir) / "inference.py").is_file():
        raise FileNotFoundError(f"no inference.py in {Path(code_dir).resolve()}")
    entries = _archive_entries(model_dir) if model_dir.is_file() else _folder_entries(model_dir)
    if code_dir is not None:
        entries |= {f"code/{name}": content for name, content in _folder_entries(Path(code_dir)).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file, _deterministic_gzip(file) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name in sorted(entries):
            member = tarfile.TarInfo(name)
            member.size = len(entries[name])
            archive.addfile(member, io.BytesIO(entries[name]))
    return out


def deploy_realtime(
    aws: SageMakerHelper,
    name: str,
    image: str,
    model_data: str,
    environment: Mapping[str, str] | None = None,
    instance_type: str | None = None,
    instance_count: int = 1,
    capture_uri: str | None = None,
) -> str:
    """Create a model, an endpoint configuration and an endpoint, all called `name`, and wait until it serves.

    Args:
        aws: the lab's session.
        name: name of the three resources, for example `aws.name("xgb")`.
        image: URI of the serving container.
        model_data: S3 URI of the `model.tar.gz`.
        environment: variables for the container; `SAGEMAKER_PROGRAM` names the script under `code/`.
        instance_type: the session's own for endpoints by default.
        instance_count: instances behind the endpoint.
        capture_uri: S3 URI below which every request and answer is kept; None keeps nothing.

    Returns:
        The endpoint's name.

    Raises:
        RuntimeError: the endpoint failed; the message carries SageMaker's FailureReason.
    """
    container = {"Image": image, "ModelDataUrl": model_data, "Environment": dict(environment or {})}
    capture = {"DataCaptureConfig": capture_config(capture_uri)} if capture_uri else {}
    return _deploy(aws, name, container, instance_type, instance_count, **capture)


def capture_config(uri: str, percent: int = 100) -> dict[str, Any]:
    """The DataCaptureConfig of CreateEndpointConfig that keeps requests and answers, CSV and JSON as text.

    Args:
        uri: S3 URI below which the records go.
        percent: share of the calls that is kept, 0 to 100.
    """
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": uri,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }


def deploy_async(
    aws: SageMakerHelper,
    name: str,
    image: str,
    model_data: str,
    environment: Mapping[str, str] | None = None,
    instance_type: str | None = None,
    instance_count: int = 1,
    concurrent: int | None = None,
    success_topic: str | None = None,
    error_topic: str | None = None,
) -> str:
    """Create a model, an asynchronous endpoint and its configuration, all called `name`, and wait until it serves.

    The endpoint keeps its requests in a queue, may be scaled to no instance at all, and puts its answers below
    `s3://<bucket>/course/<lab>/async/<name>/`: under `output/`, or `failure/` when the model failed.

    Args:
        aws: the lab's session.
        name: name of the three resources, for example `aws.name("scorer")`.
        image: URI of the serving container.
        model_data: S3 URI of the `model.tar.gz`.
        environment: variables for the container; `SAGEMAKER_PROGRAM` names the script under `code/`.
        instance_type: the session's own for endpoints by default.
        instance_count: instances behind the endpoint.
        concurrent: requests that each instance is sent at a time; SageMaker chooses by default.
        success_topic: ARN of an SNS topic that hears of each answer.
        error_topic: ARN of an SNS topic that hears of each failure.

    Returns:
        The endpoint's name.

    Raises:
        RuntimeError: the endpoint failed; the message carries SageMaker's FailureReason.
    """
    topics = {"SuccessTopic": success_topic, "ErrorTopic": error_topic}
    base = _async_prefix(aws, name)
    output = {
        "S3OutputPath": f"s3://{aws.bucket}/{base}/output",
        "S3FailurePath": f"s3://{aws.bucket}/{base}/failure",
        "NotificationConfig": {key: arn for key, arn in topics.items() if arn},
    }
    config: dict[str, Any] = {"OutputConfig": {key: value for key, value in output.items() if value}}
    if concurrent:
        config["ClientConfig"] = {"MaxConcurrentInvocationsPerInstance": concurrent}
    container = {"Image": image, "ModelDataUrl": model_data, "Environment": dict(environment or {})}
    return _deploy(aws, name, container, instance_type, instance_count, AsyncInferenceConfig=config)


def wait_in_service(aws: SageMakerHelper, endpoint: str, timeout: float = WAIT_SECONDS) -> dict[str, Any]:
    """Wait until an endpoint serves.

    Returns:
        The last answer of DescribeEndpoint.

    Raises:
        RuntimeError: the endpoint failed.
        TimeoutError: it was not in service after `timeout` seconds.
    """
    return _wait(
        aws, lambda: aws.sagemaker.describe_endpoint(EndpointName=endpoint), "EndpointStatus", "InService", timeout
    )


def wait_for_training(aws: SageMakerHelper, job: str, timeout: float = WAIT_SECONDS) -> dict[str, Any]:
    """Wait until a training job is done.

    Returns:
        The last answer of DescribeTrainingJob.

    Raises:
        RuntimeError: the job failed or was stopped.
        TimeoutError: it was not done after `timeout` seconds.
    """
    return _wait(
        aws, lambda: aws.sagemaker.describe_training_job(TrainingJobName=job), "TrainingJobStatus", "Completed", timeout
    )


def batch_transform(
    aws: SageMakerHelper,
    name: str,
    model: str,
    input_uri: str,
    output_uri: str,
    content_type: str = "text/csv",
    accept: str = "text/csv",
    data_processing: Mapping[str, str] | None = None,
    instance_type: str | None = None,
    instance_count: int = 1,
    timeout: float = WAIT_SECONDS,
    **options: Any,
) -> dict[str, Any]:
    """Run a model over every line of the objects under a prefix, and wait until all are written.

    The output of `<input_uri>/a.csv` is `<output_uri>/a.csv.out`, one line for each line of the input, in its order.

    Args:
        aws: the lab's session.
        name: the job's name, for example `aws.name("score")`.
        model: name of a model that exists.
        input_uri: S3 prefix of the input, one record a line.
        output_uri: S3 prefix of the output.
        content_type: media type of the input.
        accept: media type wanted for the output.
        data_processing: InputFilter, OutputFilter (JSONPath) and JoinSource, for example to carry an id through.
        instance_type: the session's own for batch transform by default.
        instance_count: instances that share the objects.
        timeout: seconds to wait.
        options: further members of CreateTransformJob, for example BatchStrategy or MaxConcurrentTransforms.

    Returns:
        The last answer of DescribeTransformJob.

    Raises:
        RuntimeError: the job failed or was stopped; the message carries SageMaker's FailureReason.
        TimeoutError: it was not done after `timeout` seconds.
    """
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": input_uri}}
    aws.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=model,
        TransformInput={"DataSource": source, "ContentType": content_type, "SplitType": "Line"},
        TransformOutput={"S3OutputPath": output_uri, "Accept": accept, "AssembleWith": "Line"},
        TransformResources={
            "InstanceType": instance_type or aws.instance_type("transform"),
            "InstanceCount": instance_count,
        },
        **({"DataProcessing": dict(data_processing)} if data_processing else {}),
        **options,
    )
    return _wait(
        aws,
        lambda: aws.sagemaker.describe_transform_job(TransformJobName=name),
        "TransformJobStatus",
        "Completed",
        timeout,
    )


def invoke(
    aws: SageMakerHelper,
    endpoint: str,
    body: bytes | str,
    content_type: str = "text/csv",
    accept: str = "application/json",
    **options: Any,
) -> bytes:
    """Call an endpoint once and return the answer's body.

    Args:
        aws: the lab's session.
        endpoint: the endpoint's name.
        body: the request, at most 6,291,456 bytes.
        content_type: media type of the request.
        accept: media type wanted for the answer.
        options: further members of InvokeEndpoint, for example TargetVariant or InferenceId.
    """
    answer = aws.runtime.invoke_endpoint(
        EndpointName=endpoint, Body=body, ContentType=content_type, Accept=accept, **options
    )
    return answer["Body"].read()


def invoke_async(
    aws: SageMakerHelper,
    endpoint: str,
    body: bytes | str,
    content_type: str = "text/csv",
    accept: str = "application/json",
    timeout: float = WAIT_SECONDS,
    **options: Any,
) -> bytes:
    """Upload a request, queue it at an asynchronous endpoint, and wait for the answer in S3.

    Args:
        aws: the lab's session.
        endpoint: the endpoint's name.
        body: the request, at most 1 GB.
        content_type: media type of the request.
        accept: media type wanted for the answer.
        timeout: seconds to wait.
        options: further members of InvokeEndpointAsync, for example InferenceId or RequestTTLSeconds.

    Returns:
        The answer's body.

    Raises:
        RuntimeError: the model failed; the message carries what SageMaker put under the failure path.
        TimeoutError: neither answer nor failure was there after `timeout` seconds; the request stays in the queue.
    """
    key = f"{_async_prefix(aws, endpoint)}/input/{uuid.uuid4()}"
    aws.s3.put_object(Bucket=aws.bucket, Key=key, Body=body, ContentType=content_type)
    accepted = aws.runtime.invoke_endpoint_async(
        EndpointName=endpoint,
        InputLocation=f"s3://{aws.bucket}/{key}",
        ContentType=content_type,
        Accept=accept,
        **options,
    )
    deadline = time.monotonic() + timeout
    while True:
        if (answer := _object_at(aws, accepted.get("OutputLocation"))) is not None:
            return answer
        if (failure := _object_at(aws, accepted.get("FailureLocation"))) is not None:
            raise RuntimeError(f"{endpoint} failed on {accepted['InferenceId']}: {failure.decode(errors='replace')}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing lies at {accepted.get('OutputLocation')} after {timeout:g} s")
        time.sleep(aws.poll_seconds)


def _deploy(
    aws: SageMakerHelper,
    name: str,
    container: dict[str, Any],
    instance_type: str | None,
    instance_count: int,
    **config: Any,
) -> str:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": instance_type or aws.instance_type("endpoint"),
        "InitialInstanceCount": instance_count,
        "InitialVariantWeight": 1.0,
    }
    aws.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=aws.role)
    aws.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **config)
    aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_in_service(aws, name)
    return name


def _async_prefix(aws: SageMakerHelper, endpoint: str) -> str:
    """Where an asynchronous endpoint's requests and answers lie: below the lab's part of the bucket."""
    return "/".join(filter(None, ("course", aws.lab, "async", endpoint)))


def _object_at(aws: SageMakerHelper, location: str | None) -> bytes | None:
    """The content of an object, None when there is none yet."""
    if location is None:
        return None
    bucket, _, key = location.removeprefix("s3://").partition("/")
    try:
        return aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except aws.s3.exceptions.NoSuchKey:
        return None


def _wait(aws: SageMakerHelper, describe: Any, status_key: str, wanted: str, timeout: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    while True:
        answer = describe()
        status = answer[status_key]
        if status == wanted:
            return answer
        if status in ("Failed", "Stopped", "OutOfService", "UpdateRollbackFailed"):
            raise RuntimeError(f"{status_key} is {status}: {answer.get('FailureReason', 'no reason given')}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{status_key} is still {status} after {timeout:g} s")
        time.sleep(aws.poll_seconds)


def _folder_entries(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder at {folder.resolve()}")
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _archive_entries(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {member.name.removeprefix("./"): archive.extractfile(member).read() for member in files}


def _deterministic_gzip(file: Any) -> Any:
    import gzip

    return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
