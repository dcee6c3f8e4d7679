"""The processing jobs of an execution: what each is asked to read, to write and to do.

Source: "Container Contract Inputs" and "Container Contract Outputs" of the Amazon SageMaker developer guide.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from helpers.local_sagemaker import arns, errors, staging
from helpers.local_sagemaker.monitoring import job_definitions, windows

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

NO_DATA = "Job inputs had no data"
MERGED_TYPES = ("ModelQuality", "ModelBias")  # those that compare predictions with ground truth
MERGE = "groundtruth-merge"
PREFIXES = {
    "DataQuality": "model-monitoring",
    "ModelQuality": "model-quality-monitoring",
    "ModelBias": "model-bias-monitoring",
    "ModelExplainability": "model-explainability-monitoring",
}
NAMESPACES = {
    "DataQuality": "data-metrics",
    "ModelQuality": "model-metrics",
    "ModelBias": "bias-metrics",
    "ModelExplainability": "explainability-metrics",
}
_MERGER = f"{arns.ACCOUNT}.dkr.ecr.{arns.REGION}.amazonaws.com/sagemaker-model-monitor-groundtruth-merger"
_ANALYSIS_TYPES = {
    "ModelQuality": "MODEL_QUALITY",
    "ModelBias": "MODEL_BIAS",
    "ModelExplainability": "MODEL_EXPLAINABILITY",
}
_ML = "/opt/ml/processing"
_GROUND_TRUTH, _MERGED = f"{_ML}/groundtruth", f"{_ML}/output"
_BASELINES = {"statistics": f"{_ML}/baseline/stats", "constraints": f"{_ML}/baseline/constraints"}
_RESOURCES = {"statistics": "StatisticsResource", "constraints": "ConstraintsResource"}
_SCRIPTS = {
    "RecordPreprocessorSourceUri": ("record_preprocessor_script", f"{_ML}/code/preprocessing"),
    "PostAnalyticsProcessorSourceUri": ("post_analytics_processor_script", f"{_ML}/code/postprocessing"),
}
_CAPTURED = {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}
_ATTRIBUTES = {
    "FeaturesAttribute": "features_attribute",
    "InferenceAttribute": "inference_attribute",
    "ProbabilityAttribute": "probability_attribute",
    "ProbabilityThresholdAttribute": "probability_threshold_attribute",
    "ExcludeFeaturesAttribute": "exclude_features_attribute",
}


def merge(server: Server, execution: dict, name: str) -> dict:
    """The request for the job that adds ground truth to what was captured.

    Raises:
        AwsError: there is no data, or no ground truth.
        StagingError: a bucket is missing.
    """
    definition = execution["_Definition"]
    if "GroundTruthS3Input" not in definition["Input"]:
        raise errors.validation(f"A {definition['Type']} job needs GroundTruthS3Input.")
    truth = staging.parse(definition["Input"]["GroundTruthS3Input"]["S3Uri"])
    _, source = job_definitions.source_of(definition["Input"])
    keys = windows.of_hours(server, truth, *execution["_Window"])
    inputs = [
        _captured_input(server, execution, name, source["LocalPath"]),
        _manifest_input(server, name, "groundtruth_input_1", truth, keys, _GROUND_TRUTH),
    ]
    environment = {
        "dataset_source": source["LocalPath"],
        "ground_truth_source": _GROUND_TRUTH,
        "output_path": _MERGED,
        "dataset_format": json.dumps(_CAPTURED),
    }
    output = _output(str(_place(execution, "merge")), _MERGED)
    return _request(execution, name, {"ImageUri": _MERGER}, environment, inputs, output)


def analysis(server: Server, execution: dict, name: str) -> dict:
    """The request for the job that analyses what was captured, or what `merge` made of it.

    Raises:
        AwsError: there is no data.
        StagingError: a bucket is missing.
    """
    definition = execution["_Definition"]
    application = definition["Application"]
    kind, source = job_definitions.source_of(definition["Input"])
    written = definition["Output"]["MonitoringOutputs"][0]["S3Output"]
    if definition["Type"] in MERGED_TYPES:
        inputs = [_input("merged_input_1", str(_place(execution, "merge")), source["LocalPath"])]
    else:
        inputs = [_captured_input(server, execution, name, source["LocalPath"])]
    environment = {"publish_cloudwatch_metrics": "Enabled"} | application.get("Environment", {})
    environment |= {
        "dataset_format": json.dumps(_CAPTURED if kind == "EndpointInput" else _format(source["DatasetFormat"])),
        "dataset_source": source["LocalPath"],
        "output_path": written["LocalPath"],
        "sagemaker_monitoring_schedule_name": execution["MonitoringScheduleName"],
    }
    environment |= {_ATTRIBUTES[key]: str(source[key]) for key in _ATTRIBUTES if key in source}
    if "EndpointName" in source:
        environment["sagemaker_endpoint_name"] = source["EndpointName"]
    if definition["Type"] in _ANALYSIS_TYPES:
        environment["analysis_type"] = _ANALYSIS_TYPES[definition["Type"]]
    if "ProblemType" in application:
        environment["problem_type"] = application["ProblemType"]
    for label, uri in _baseline(server, definition).items():
        inputs.append(_input(label, uri, _BASELINES[label]))
        environment[f"baseline_{label}"] = f"{_BASELINES[label]}/{uri.rpartition('/')[2]}"
    for member, (variable, folder) in _SCRIPTS.items():
        if uri := application.get(member):
            inputs.append(_input(variable, uri, folder))
            environment[variable] = f"{folder}/{uri.rpartition('/')[2]}"
    if "ConfigUri" in application:
        inputs.append(_input("analysis_config", application["ConfigUri"], f"{_ML}/input/config"))
    output = _output(str(_place(execution)), written["LocalPath"], written.get("S3UploadMode", "EndOfJob"))
    members = ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
    specification = {key: application[key] for key in members if key in application}
    return _request(execution, name, specification, environment, inputs, output)


def _request(
    execution: dict, name: str, application: dict, environment: dict[str, str], inputs: list[dict], output: dict
) -> dict:
    definition = execution["_Definition"]
    start, end = (datetime.fromtimestamp(each, UTC).isoformat(timespec="seconds") for each in execution["_Window"])
    outputs = {"Outputs": [output]}
    if "KmsKeyId" in definition["Output"]:
        outputs["KmsKeyId"] = definition["Output"]["KmsKeyId"]
    # An analyser is one process: more instances would each do the whole work.
    cluster = definition["Resources"]["ClusterConfig"] | {"InstanceCount": 1}
    shared = {key: definition[key] for key in ("NetworkConfig", "StoppingCondition") if key in definition}
    return {
        "ProcessingJobName": name,
        "RoleArn": definition["RoleArn"],
        "AppSpecification": application,
        "Environment": environment | {"start_time": start, "end_time": end},
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": outputs,
        "ProcessingResources": {"ClusterConfig": cluster},
        **shared,
    }


def _format(batch: dict) -> dict:
    """A DatasetFormat as the containers are told of it."""
    if "Csv" in batch:
        return {"csv": {"header": batch["Csv"].get("Header", False)}}
    if "Json" in batch:
        return {"json": {"lines": batch["Json"].get("Line", False)}}
    return {"parquet": {}}


def _place(execution: dict, *below: str) -> staging.Location:
    """Where an execution writes: below its output's URI, by endpoint, schedule and hour, as on AWS."""
    [output] = execution["_Definition"]["Output"]["MonitoringOutputs"]
    root = staging.parse(output["S3Output"]["S3Uri"])
    endpoint = [execution["EndpointName"]] if "EndpointName" in execution else []
    return root.below(*below, *endpoint, execution["MonitoringScheduleName"], execution["_Folder"])


def _input(name: str, uri: str, folder: str, data_type: str = "S3Prefix") -> dict:
    s3 = {"S3Uri": uri, "LocalPath": folder, "S3DataType": data_type, "S3InputMode": "File"}
    return {"InputName": name, "S3Input": s3 | {"S3DataDistributionType": "FullyReplicated"}}


def _output(uri: str, folder: str, mode: str = "EndOfJob") -> dict:
    return {"OutputName": "result", "S3Output": {"S3Uri": uri, "LocalPath": folder, "S3UploadMode": mode}}


def _captured_input(server: Server, execution: dict, name: str, folder: str) -> dict:
    kind, source = job_definitions.source_of(execution["_Definition"]["Input"])
    if kind == "EndpointInput":
        endpoint = server.store.require("Endpoint", source["EndpointName"])
        config = server.store.require("EndpointConfig", endpoint["EndpointConfigName"])
        if "DataCaptureConfig" not in config:
            raise errors.validation(f"Endpoint {source['EndpointName']} has no data capture any more.")
        # The last `/` keeps out an endpoint whose name only begins like this one's.
        root = staging.parse(config["DataCaptureConfig"]["DestinationS3Uri"]).below(source["EndpointName"])
        prefix = staging.Location(root.bucket, f"{root.key}/")
    else:
        prefix = staging.parse(source["DataCapturedDestinationS3Uri"])
    keys = windows.captured(server, prefix, *execution["_Window"])
    return _manifest_input(server, name, "endpoint_input_1", prefix, keys, folder)


def _manifest_input(
    server: Server, job: str, name: str, prefix: staging.Location, keys: list[str], folder: str
) -> dict:
    """An input of some of the objects under a prefix.

    Raises:
        AwsError: there are none.
    """
    if not keys:
        raise errors.validation(NO_DATA)
    manifest = [{"prefix": str(prefix)}, *(key.removeprefix(prefix.key) for key in keys)]
    where = staging.Location(arns.DEFAULT_BUCKET, f"model-monitor/manifests/{job}/{name}.json")
    server.client("s3").put_object(Bucket=where.bucket, Key=where.key, Body=json.dumps(manifest).encode())
    return _input(name, str(where), folder, "ManifestFile")


def _baseline(server: Server, definition: dict) -> dict[str, str]:
    """The URIs of the baseline's statistics and constraints: those that are given, else those of the baselining job."""
    baseline, clarify = definition["Baseline"], "ConfigUri" in definition["Application"]
    files = {"constraints": "analysis.json" if clarify else "constraints.json"}
    files |= {} if clarify or definition["Type"] == "ModelQuality" else {"statistics": "statistics.json"}
    found = {}
    if "BaseliningJobName" in baseline:
        job = server.store.require("ProcessingJob", baseline["BaseliningJobName"])
        root = staging.parse(job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"])
        found = {label: str(root.below(name)) for label, name in files.items()}
    for label in files:
        if resource := baseline.get(_RESOURCES[label], {}).get("S3Uri"):
            found[label] = resource
    return found
