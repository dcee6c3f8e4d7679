"""What the console's tests look at: a job that ended, one that failed, an endpoint under traffic, and hostile text."""

import json
import shlex
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import deployed
import pipelined
import registered
import tuned
from botocore.client import BaseClient
from submitted_jobs import SKLEARN, Submitter

from helpers.local_sagemaker import Running

# Each of them would run as a script, if it were ever taken for HTML.
PAYLOADS = (
    "<script>window.pwned = 1</script>",
    '<img src=x onerror="window.pwned=1">',
    '</pre></textarea></title><svg onload="window.pwned=1">',
    '"\'><a href="javascript:window.pwned=1" autofocus onfocus="window.pwned=1">x</a>',
    "{{ 7 * 7 }}${7*7}<!--",
)
HOSTILE = " ".join(PAYLOADS)
KEY = f"hostile/{PAYLOADS[1]} & co?#%2e%2e.html"

_TRAIN = f"""
for epoch in range(3):
    print(f"epoch {{epoch}} train:loss={{1 / (epoch + 1)}} validation:loss={{2 / (epoch + 1)}}", flush=True)
print({HOSTILE!r})
"""


@dataclass(frozen=True)
class World:
    """Names of what there is."""

    url: str
    bucket: str
    trained: str
    failed: str
    processed: str
    endpoint: str
    alarm: str
    execution: str
    group: str
    package: str
    artifact: str
    tuning: str
    features: str

    @property
    def pages(self) -> dict[str, str]:
        """Addresses below the server's, by what they show."""
        return {
            "overview": "/console",
            "endpoints": "/console/endpoints",
            "endpoint": f"/console/endpoints/{self.endpoint}",
            "training jobs": "/console/jobs/training",
            "processing jobs": "/console/jobs/processing",
            "transform jobs": "/console/jobs/transform",
            "tuning jobs": "/console/jobs/tuning",
            "training job": f"/console/jobs/training/{self.trained}",
            "failed job": f"/console/jobs/training/{self.failed}",
            "processing job": f"/console/jobs/processing/{self.processed}",
            "alarms": "/console/alarms",
            "alarm": f"/console/alarms/alarm?name={quote(self.alarm, safe='')}",
            "buckets": "/console/s3",
            "bucket": f"/console/s3/{self.bucket}",
            "prefix": f"/console/s3/{self.bucket}?prefix=hostile/",
            "object": f"/console/s3/{self.bucket}/object?key={quote(KEY, safe='')}",
            "tuning job": f"/console/jobs/tuning/{self.tuning}",
            "monitoring": "/console/monitoring",
            "events": "/console/events",
            "features": "/console/features",
            "feature group": f"/console/features/{self.features}",
            "pipelines": "/console/pipelines",
            "pipeline": f"/console/pipelines/{self.execution.partition('/')[0]}",
            "execution": f"/console/pipelines/{self.execution}",
            "registry": "/console/registry",
            "group": f"/console/registry/{self.group}",
            "package": f"/console/registry/package?arn={quote(self.package, safe='')}",
            "lineage": f"/console/lineage?arn={quote(self.artifact, safe='')}",
            "no lineage": "/console/lineage",
            "cost": "/console/cost",
            "not found": "/console/endpoints/no-such-endpoint",
        }


def make(
    server: Running,
    client: Callable[..., BaseClient],
    role_arn: str,
    unique: Callable[[str], str],
) -> World:
    """Makes it all, and waits until it is there."""
    sm, s3, bucket = client("sagemaker"), client("s3"), unique("console-tests")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=KEY, Body=HOSTILE, ContentType="text/html", Metadata={"note": PAYLOADS[0]})
    submitter = Submitter(client, bucket, role_arn, unique)
    table = submitter.put("data/train.csv", f"amount,note\n1,{PAYLOADS[0]}\n2,plain\n")
    definitions = [{"Name": name, "Regex": f"{name}=([0-9.]+)"} for name in ("train:loss", "validation:loss")]
    trained = submitter.train(
        HyperParameters=submitter.source(train_py=_TRAIN) | {"depth": "6", "note": HOSTILE},
        Environment={"NOTE": PAYLOADS[0]},
        InputDataConfig=[submitter.channel("train", table)],
        AlgorithmSpecification={
            "TrainingImage": SKLEARN,
            "TrainingInputMode": "File",
            "MetricDefinitions": definitions,
        },
        Tags=[{"Key": "team", "Value": "fraud"}],
    )
    failed = submitter.train(HyperParameters=submitter.source(train_py=f"raise ValueError({HOSTILE!r})"))
    processed = submitter.process(["python3", "-c", "print('processed')"])
    models = [deployed.create_model(sm, s3, bucket, unique(name)) for name in ("champion", "challenger")]
    endpoint, alarm = unique("scoring"), f"{unique('alarm')} {PAYLOADS[1]}"
    variants = [
        deployed.variant(model, model.partition("-")[0], weight) for model, weight in zip(models, (3, 1), strict=True)
    ]
    deployed.create_endpoint(sm, endpoint, variants)
    for _ in range(8):
        client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=json.dumps({})
        )
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "champion"}]
    deployed.statistics_of(client("cloudwatch"), "Invocations", dimensions)
    client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        AlarmDescription=HOSTILE,
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Dimensions=dimensions,
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    tuning = tuned.Tuning(submitter)
    searched = tuning.create(unique("search"), jobs=2)
    rule = unique("rule")
    client("events").put_rule(
        Name=rule, Description=HOSTILE, EventPattern=json.dumps({"source": ["aws.sagemaker", PAYLOADS[0]]})
    )
    features = unique("features")
    sm.create_feature_group(
        FeatureGroupName=features,
        RecordIdentifierFeatureName="card",
        EventTimeFeatureName="time",
        FeatureDefinitions=[{"FeatureName": name, "FeatureType": "String"} for name in ("card", "time", "country")],
        OnlineStoreConfig={"EnableOnlineStore": True},
        Description=PAYLOADS[0],
    )
    pipelines = pipelined.Pipelines(sm, unique)
    script = f"echo {shlex.quote(HOSTILE)} >&2; exit 3"
    steps = [
        pipelined.processing("Prepare", "echo prepared"),
        pipelined.processing("Break", script, DependsOn=["Prepare"]),
        pipelined.condition(
            "Gate", [pipelined.equals(1, 1)], [pipelined.fail("Never", HOSTILE)], [], DependsOn=["Break"]
        ),
    ]
    parameters = [{"Name": "Note", "Type": "String", "DefaultValue": HOSTILE}]
    execution = pipelines.start(pipelines.create(*steps, parameters=parameters))
    registry = registered.Registry(sm, s3, bucket, unique)
    group = registry.group(ModelPackageGroupDescription=HOSTILE)
    report = submitter.put("evaluation.json", json.dumps({"binary": {"auc": {"value": 0.93}}}))
    statistics = {"ContentType": "application/json", "S3Uri": report}
    package = registry.version(
        group, ModelPackageDescription=HOSTILE, ModelMetrics={"ModelQuality": {"Statistics": statistics}}
    )
    artifact = f"s3://{bucket}/data/train.csv#{PAYLOADS[1]}"
    arns = [
        sm.create_artifact(ArtifactName=unique(name), ArtifactType="DataSet", Source={"SourceUri": uri})["ArtifactArn"]
        for name, uri in (("raw", table), ("clean", artifact))
    ]
    sm.add_association(SourceArn=arns[0], DestinationArn=arns[1], AssociationType="DerivedFrom")
    assert pipelines.ended(execution)[0]["PipelineExecutionStatus"] == "Failed"
    assert tuning.ended(searched)["HyperParameterTuningJobStatus"] == "Completed"
    assert submitter.trained(trained)["TrainingJobStatus"] == "Completed"
    assert submitter.trained(failed)["TrainingJobStatus"] == "Failed"
    assert submitter.processed(processed)["ProcessingJobStatus"] == "Completed"
    way = execution.partition(":pipeline/")[2].replace("/execution/", "/")
    return World(
        server.url,
        bucket,
        trained,
        failed,
        processed,
        endpoint,
        alarm,
        way,
        group,
        package,
        artifact,
        searched,
        features,
    )


def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a page; errors are answers too."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()
