# %% [markdown]
# # Customer churn with the built-in XGBoost algorithm
#
# A telephone company wants to know which customers are about to leave, early enough to make them an offer. You train
# SageMaker's built-in XGBoost on a table of customers, ask an endpoint for single predictions, and score the rest of
# the table by batch transform.

# %%
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import EndpointConfig
from sagemaker.core.transformer import Transformer
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, OutputDataConfig
from sklearn.metrics import roc_auc_score

session = Session()
role = get_execution_role(session)
region = session.boto_region_name
bucket = session.default_bucket()
prefix = "demo-xgboost-churn"

# %% [markdown]
# ## Data
#
# Customers leave when they call the service desk often, pay much by day, or have an international plan. The label is
# the first column and there is no header: so the built-in algorithm reads CSV.

# %%
rng = np.random.default_rng(2026)
n_customers = 3000
customers = pd.DataFrame(
    {
        "account_length": rng.integers(1, 240, n_customers),
        "international_plan": rng.random(n_customers) < 0.1,
        "day_minutes": rng.normal(180, 54, n_customers).clip(0).round(1),
        "evening_minutes": rng.normal(200, 50, n_customers).clip(0).round(1),
        "service_calls": rng.poisson(1.6, n_customers),
    }
).astype(float)
log_odds = (
    -5.0 + 0.9 * customers.service_calls + 2.0 * customers.international_plan + 0.02 * (customers.day_minutes - 130)
)
customers.insert(0, "churn", (rng.random(n_customers) < 1 / (1 + np.exp(-log_odds))).astype(int))
train, validation, test = customers[:2100], customers[2100:2700], customers[2700:]
print(f"{customers.churn.mean():.1%} of {n_customers} customers leave")

# %%
folder = Path(mkdtemp())
train.to_csv(folder / "train.csv", header=False, index=False)
validation.to_csv(folder / "validation.csv", header=False, index=False)
test.drop(columns="churn").to_csv(folder / "test.csv", header=False, index=False)
channels = {
    name: session.upload_data(str(folder / f"{name}.csv"), bucket=bucket, key_prefix=f"{prefix}/{name}")
    for name in ("train", "validation", "test")
}

# %% [markdown]
# ## Training

# %%
image = image_uris.retrieve("xgboost", region=region, version="1.7-1")
trainer = ModelTrainer(
    training_image=image,
    role=role,
    sagemaker_session=session,
    base_job_name="xgboost-churn",
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1, volume_size_in_gb=5),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/{prefix}/output"),
    hyperparameters={
        "max_depth": 4,
        "eta": 0.2,
        "subsample": 0.8,
        "objective": "binary:logistic",
        "eval_metric": "auc",
        "num_round": 60,
        "early_stopping_rounds": 10,
    },
)
trainer.train(
    input_data_config=[
        InputData(channel_name="train", data_source=channels["train"], content_type="text/csv"),
        InputData(channel_name="validation", data_source=channels["validation"], content_type="text/csv"),
    ],
    wait=True,
    logs=True,
)

# %%
job = trainer._latest_training_job
job.refresh()
final_metrics = {metric.metric_name: metric.value for metric in job.final_metric_data_list}
print(job.training_job_status, job.model_artifacts.s3_model_artifacts, final_metrics)

# %% [markdown]
# ## Real-time predictions
#
# The same image serves what it has trained. Each answer is the probability that the customer leaves.

# %%
builder = ModelBuilder(
    image_uri=image,
    s3_model_data_url=job.model_artifacts.s3_model_artifacts,
    role_arn=role,
    sagemaker_session=session,
    instance_type="ml.m5.xlarge",
)
model = builder.build(model_name=job.training_job_name)
endpoint = builder.deploy(endpoint_name=job.training_job_name, initial_instance_count=1)


# %%
def predict(rows: pd.DataFrame) -> np.ndarray:
    """Probabilities of leaving, one for each row of features."""
    answer = endpoint.invoke(body=rows.to_csv(header=False, index=False), content_type="text/csv", accept="text/csv")
    return np.array(answer.body.read().decode().split(","), dtype=float)


features = test.drop(columns="churn")
probabilities = np.concatenate([predict(features[start : start + 100]) for start in range(0, len(features), 100)])
area = roc_auc_score(test.churn, probabilities)
print(f"The endpoint ranks the customers of the test set with an area under the curve of {area:.3f}")

# %% [markdown]
# ## Batch transform
#
# The job sends the lines of the file to the model in batches and writes one score for each line, in order.

# %%
transformer = Transformer(
    model_name=model.model_name,
    instance_count=1,
    instance_type="ml.m5.xlarge",
    strategy="MultiRecord",
    assemble_with="Line",
    accept="text/csv",
    output_path=f"s3://{bucket}/{prefix}/scores",
    sagemaker_session=session,
)
transformer.transform(channels["test"], content_type="text/csv", split_type="Line", wait=True, logs=True)
session.download_data(str(folder / "scores"), bucket=bucket, key_prefix=f"{prefix}/scores/test.csv.out")
scores = np.loadtxt(folder / "scores" / "test.csv.out")
print(f"{len(scores)} scores; the furthest from the endpoint's: {np.abs(scores - probabilities).max():.1e}")

# %% [markdown]
# ## Clean up

# %%
endpoint.delete()
EndpointConfig.get(endpoint_config_name=endpoint.endpoint_name).delete()
model.delete()
