# %% [markdown]
# # Two models behind one endpoint
#
# A linear model answers today; a forest could be better. You train both with a scikit-learn script, put them behind one
# endpoint as two production variants, watch what each of them does in CloudWatch, and move the traffic from the one to
# the other while requests keep coming.

# %%
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import boto3
import numpy as np
import pandas as pd
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, MetricDefinition, SourceCode

session = Session()
role = get_execution_role(session)
region = session.boto_region_name
bucket = session.default_bucket()
prefix = "demo-sklearn-ab"
sm = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
cloudwatch = boto3.client("cloudwatch")

# %% [markdown]
# ## Data and script
#
# The price of a flat depends on its size and, not linearly, on its distance from the centre. One script trains either
# model and tells how good it is; the endpoint loads it by the `model_fn` of `inference.py`.

# %%
rng = np.random.default_rng(7)
flats = pd.DataFrame({"size": rng.uniform(20, 150, 1500), "distance": rng.uniform(0, 20, 1500)})
flats.insert(0, "price", 4 * flats["size"] + 300 * np.exp(-flats.distance / 3) + rng.normal(0, 15, len(flats)))
folder = Path(mkdtemp())
flats[:1200].to_csv(folder / "train.csv", index=False)
train_uri = session.upload_data(str(folder / "train.csv"), bucket=bucket, key_prefix=f"{prefix}/train")
test = flats[1200:]

# %%
source = folder / "source"
source.mkdir()
(source / "train.py").write_text("""
import argparse
import os

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

MODELS = {"linear": LinearRegression, "forest": RandomForestRegressor}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--random-state", type=int, default=0)
    arguments = parser.parse_args()
    flats = pd.read_csv(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "train.csv"))
    features, price = flats.drop(columns="price").to_numpy(), flats.price
    settings = {"random_state": arguments.random_state} if arguments.model == "forest" else {}
    model = MODELS[arguments.model](**settings)
    print(f"cv_r2={cross_val_score(model, features, price, cv=3).mean():.4f};")
    joblib.dump(model.fit(features, price), os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
""")

(source / "inference.py").write_text("""
import os

import joblib


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
""")

# %% [markdown]
# ## Training
#
# The regular expression picks the score out of the job's log: SageMaker stores it with the job.

# %%
image = image_uris.retrieve("sklearn", region=region, version="1.2-1", instance_type="ml.m5.large")
jobs = {}
for name in ("linear", "forest"):
    trainer = ModelTrainer(
        training_image=image,
        role=role,
        sagemaker_session=session,
        base_job_name=f"flats-{name}",
        source_code=SourceCode(source_dir=str(source), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
        hyperparameters={"model": name, "random-state": 3},
    ).with_metric_definitions([MetricDefinition(name="cv:r2", regex="cv_r2=([0-9.]+);")])
    trainer.train(input_data_config=[InputData(channel_name="train", data_source=train_uri)], wait=True, logs=True)
    jobs[name] = sm.describe_training_job(TrainingJobName=trainer._latest_training_job.training_job_name)
    print(name, {metric["MetricName"]: round(metric["Value"], 3) for metric in jobs[name]["FinalMetricDataList"]})

# %% [markdown]
# ## One endpoint, two variants
#
# Nine requests of ten go to the linear model.

# %%
endpoint_name = f"flats-{datetime.now(UTC):%Y-%m-%d-%H-%M-%S}"
variants = []
for name, weight in (("linear", 9), ("forest", 1)):
    builder = ModelBuilder(
        image_uri=image,
        s3_model_data_url=jobs[name]["ModelArtifacts"]["S3ModelArtifacts"],
        source_code=SourceCode(source_dir=str(source), entry_script="inference.py"),
        role_arn=role,
        sagemaker_session=session,
        instance_type="ml.m5.large",
    )
    model = builder.build(model_name=f"{endpoint_name}-{name}")
    variants.append(
        {
            "VariantName": name,
            "ModelName": model.model_name,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": weight,
        }
    )
sm.create_endpoint_config(EndpointConfigName=endpoint_name, ProductionVariants=variants)
sm.create_endpoint(EndpointName=endpoint_name, EndpointConfigName=endpoint_name)
sm.get_waiter("endpoint_in_service").wait(EndpointName=endpoint_name)

# %% [markdown]
# ## Traffic
#
# A client does not know which model answers; the response tells it. To compare the models on the same flats, you can
# also ask for a variant by name.


# %%
def predict(rows: pd.DataFrame, **options: str) -> tuple[np.ndarray, str]:
    """Prices of flats, and the name of the variant that answered."""
    body = rows.drop(columns="price").to_csv(header=False, index=False)
    answer = runtime.invoke_endpoint(EndpointName=endpoint_name, Body=body, ContentType="text/csv", **options)
    return np.array(json.loads(answer["Body"].read())), answer["InvokedProductionVariant"]


def send(n_requests: int) -> Counter:
    """Asks for the price of one flat, so many times; returns how often each variant answered."""
    with ThreadPoolExecutor(4) as clients:
        answers = clients.map(lambda number: predict(test[number % len(test) :][:1]), range(n_requests))
        return Counter(variant for _, variant in answers)


began = datetime.now(UTC)
answered = send(200)
print("weights 9 to 1:", dict(answered))

# %%
for name in jobs:
    prices, _ = predict(test, TargetVariant=name)
    answered[name] += 1
    print(f"{name}: mean absolute error {np.abs(prices - test.price).mean():.1f}")

# %% [markdown]
# ## What CloudWatch says
#
# Each variant has its own metrics. They come once a minute.


# %%
def statistics(metric: str, statistic: str, variant: str) -> float:
    """A metric of a variant since the first request."""
    found = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": "EndpointName", "Value": endpoint_name}, {"Name": "VariantName", "Value": variant}],
        StartTime=began - timedelta(minutes=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=3600,
        Statistics=[statistic],
    )["Datapoints"]
    return found[0][statistic] if found else 0.0


def wait_for_metrics() -> None:
    """Returns when CloudWatch has counted every request."""
    while any(statistics("Invocations", "Sum", variant) < count for variant, count in answered.items()):
        time.sleep(5)


wait_for_metrics()
for name in jobs:
    print(
        f"{name}: {statistics('Invocations', 'Sum', name):.0f} invocations, "
        f"{statistics('ModelLatency', 'Average', name) / 1000:.1f} ms in the model, "
        f"{statistics('Invocation5XXErrors', 'Sum', name):.0f} errors"
    )

# %% [markdown]
# ## Moving the traffic
#
# The forest is better, so it gets half of the requests, then all of them. Nothing is deployed anew: clients go on
# asking while the weights change.


# %%
def shift(linear: float, forest: float) -> Counter:
    """Gives the variants new weights while requests come in; returns who answered once they held."""
    weights = [{"VariantName": "linear", "DesiredWeight": linear}, {"VariantName": "forest", "DesiredWeight": forest}]
    with ThreadPoolExecutor(1) as meanwhile:
        passing = meanwhile.submit(send, 100)
        sm.update_endpoint_weights_and_capacities(EndpointName=endpoint_name, DesiredWeightsAndCapacities=weights)
        sm.get_waiter("endpoint_in_service").wait(EndpointName=endpoint_name)
        answered.update(passing.result())
    settled = send(100)
    answered.update(settled)
    print(f"weights {linear:g} to {forest:g}:", dict(settled))
    return settled


shift(1, 1)
shift(0, 1)

# %%
summary = sm.describe_endpoint(EndpointName=endpoint_name)["ProductionVariants"]
print({variant["VariantName"]: variant["CurrentWeight"] for variant in summary})
wait_for_metrics()
print("invocations:", {name: statistics("Invocations", "Sum", name) for name in jobs}, "answers:", dict(answered))

# %% [markdown]
# ## Clean up

# %%
sm.delete_endpoint(EndpointName=endpoint_name)
sm.get_waiter("endpoint_deleted").wait(EndpointName=endpoint_name)
sm.delete_endpoint_config(EndpointConfigName=endpoint_name)
for variant in variants:
    sm.delete_model(ModelName=variant["ModelName"])
