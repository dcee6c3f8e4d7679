# %% [markdown]
# # A pipeline that trains, judges and registers a churn model
#
# Every night a telephone company trains its churn model anew: a pipeline prepares the data, trains, evaluates on
# customers that the model has not seen, and registers the model if it is good enough. What has not changed since the
# last night is not computed again.

# %%
import json
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
from botocore.exceptions import WaiterError
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import get_execution_role
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

session = PipelineSession()
role = get_execution_role(session)
bucket = session.default_bucket()
prefix = "demo-churn-pipeline"
image = image_uris.retrieve("sklearn", session.boto_region_name, version="1.2-1", instance_type="ml.m5.large")
folder = Path(mkdtemp())

# %% [markdown]
# ## Data
#
# Two nights of customers. Those who call the service desk often leave more often.


# %%
def customers(seed: int, n_customers: int = 400) -> pd.DataFrame:
    """Columns calls, minutes and churn, shape (n_customers, 3)."""
    rng = np.random.default_rng(seed)
    calls, minutes = rng.poisson(1.6, n_customers), rng.normal(180, 54, n_customers)
    leaves = rng.random(n_customers) < 1 / (1 + np.exp(4 - 1.8 * calls))
    return pd.DataFrame({"calls": calls, "minutes": minutes.round(1), "churn": leaves.astype(int)})


nights = {}
for night in ("monday", "tuesday"):
    (folder / night).mkdir()
    customers(seed=len(night)).to_csv(folder / night / "customers.csv", index=False)
    key = f"{prefix}/{night}"
    session.upload_data(str(folder / night / "customers.csv"), bucket=bucket, key_prefix=key)
    nights[night] = f"s3://{bucket}/{key}"


def keep_baseline(version: str, area: float) -> str:
    """Stores what a new model has to beat; returns where."""
    (folder / "baseline.json").write_text(json.dumps({"auc": area}))
    key = f"{prefix}/baseline-{version}"
    session.upload_data(str(folder / "baseline.json"), bucket=bucket, key_prefix=key)
    return f"s3://{bucket}/{key}"


baseline = keep_baseline("one", 0.6)

# %% [markdown]
# ## Scripts

# %%
scripts = {
    "prepare.py": """
import pandas as pd
rows = pd.read_csv("/opt/ml/processing/input/data/customers.csv")
rows[:300].to_csv("/opt/ml/processing/train/rows.csv", index=False)
rows[300:].to_csv("/opt/ml/processing/test/rows.csv", index=False)
print("prepared", len(rows))
""",
    "train.py": """
import argparse, os
import joblib, pandas as pd
from sklearn.tree import DecisionTreeClassifier
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int)
depth = parser.parse_args().depth
rows = pd.read_csv(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "rows.csv"))
model = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(rows[["calls", "minutes"]], rows["churn"])
joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
""",
    "evaluate.py": """
import json, tarfile
import joblib, pandas as pd
from sklearn.metrics import roc_auc_score
with tarfile.open("/opt/ml/processing/input/model/model.tar.gz") as archive:
    archive.extractall("/tmp/model")
model = joblib.load("/tmp/model/model.joblib")
rows = pd.read_csv("/opt/ml/processing/input/test/rows.csv")
with open("/opt/ml/processing/input/baseline/baseline.json") as file:
    baseline = json.load(file)["auc"]
area = roc_auc_score(rows["churn"], model.predict_proba(rows[["calls", "minutes"]])[:, 1])
with open("/opt/ml/processing/report/evaluation.json", "w") as file:
    json.dump({"metrics": {"auc": {"value": area, "baseline": baseline}}}, file)
""",
}
for name, text in scripts.items():
    (folder / name).write_text(text)

# %% [markdown]
# ## Steps

# %%
rows_uri = ParameterString("Rows", default_value=nights["monday"])
depth = ParameterInteger("Depth", default_value=3)
least = ParameterFloat("LeastAuc", default_value=0.6)
approval = ParameterString(
    "Approval", default_value="PendingManualApproval", enum_values=["PendingManualApproval", "Approved"]
)
baseline_uri = ParameterString("Baseline", default_value=baseline)
cache = CacheConfig(enable_caching=True, expire_after="P1D")


def processor() -> ScriptProcessor:
    """What runs a script of this folder."""
    return ScriptProcessor(
        image_uri=image,
        command=["python3"],
        role=role,
        instance_type="ml.m5.large",
        instance_count=1,
        sagemaker_session=session,
    )


def source(name: str, uri: object) -> ProcessingInput:
    """An input in a folder of its name."""
    s3 = ProcessingS3Input(
        s3_uri=uri, local_path=f"/opt/ml/processing/input/{name}", s3_data_type="S3Prefix", s3_input_mode="File"
    )
    return ProcessingInput(input_name=name, s3_input=s3)


def target(name: str) -> ProcessingOutput:
    """An output in a folder of its name; the pipeline gives it a place in S3."""
    s3 = ProcessingS3Output(s3_uri="", local_path=f"/opt/ml/processing/{name}", s3_upload_mode="EndOfJob")
    return ProcessingOutput(output_name=name, s3_output=s3)


def output(step: ProcessingStep, name: str) -> object:
    """Where an output of a step lies."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


prepare = ProcessingStep(
    name="Prepare",
    step_args=processor().run(
        code=str(folder / "prepare.py"), inputs=[source("data", rows_uri)], outputs=[target("train"), target("test")]
    ),
    cache_config=cache,
)
(folder / "source").mkdir()
(folder / "train.py").rename(folder / "source" / "train.py")
trainer = ModelTrainer(
    training_image=image,
    source_code=SourceCode(source_dir=str(folder / "source"), entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
    hyperparameters={"depth": depth.to_string()},
    base_job_name="churn",
    role=role,
    sagemaker_session=session,
)
train = TrainingStep(
    name="Train",
    step_args=trainer.train(input_data_config=[InputData(channel_name="train", data_source=output(prepare, "train"))]),
    cache_config=cache,
)
report = PropertyFile(name="Report", output_name="report", path="evaluation.json")
artifacts = train.properties.ModelArtifacts.S3ModelArtifacts
evaluate = ProcessingStep(
    name="Evaluate",
    step_args=processor().run(
        code=str(folder / "evaluate.py"),
        inputs=[
            source("model", artifacts),
            source("test", output(prepare, "test")),
            source("baseline", baseline_uri),
        ],
        outputs=[target("report")],
    ),
    property_files=[report],
    cache_config=cache,
)
area = JsonGet(step_name="Evaluate", property_file=report, json_path="metrics.auc.value")
to_beat = JsonGet(step_name="Evaluate", property_file=report, json_path="metrics.auc.baseline")
builder = ModelBuilder(s3_model_data_url=artifacts, image_uri=image, role_arn=role, sagemaker_session=session)
register = ModelStep(
    name="Register",
    step_args=builder.register(
        model_package_group_name=prefix,
        content_types=["text/csv"],
        response_types=["text/csv"],
        inference_instances=["ml.m5.large"],
        transform_instances=["ml.m5.large"],
        approval_status=approval,
        skip_model_validation="All",
    ),
)
reject = FailStep(name="Reject", error_message=Join(on=" ", values=["The area", area, "is below", least.to_string()]))
judge = ConditionStep(
    name="Judge",
    conditions=[
        ConditionGreaterThanOrEqualTo(left=area, right=least),
        ConditionGreaterThanOrEqualTo(left=area, right=to_beat),
    ],
    if_steps=[register],
    else_steps=[reject],
)
pipeline = Pipeline(
    name=prefix,
    parameters=[rows_uri, depth, least, approval, baseline_uri],
    steps=[prepare, train, evaluate, judge],
    sagemaker_session=session,
)
pipeline.upsert(role_arn=role)
pipeline.upsert(role_arn=role, description="upserted once more")

# %% [markdown]
# ## Runs


# %%
def run(execution: object = None, **parameters: object) -> dict:
    """Statuses, cache hits and failures of the steps of a new execution, or of one that is given."""
    execution = execution or pipeline.start(parameters=parameters)
    try:
        execution.wait(delay=1, max_attempts=600)
    except WaiterError:
        print("the execution failed")
    steps = {step["StepName"]: step for step in execution.list_steps()}
    return {
        "arn": execution.arn,
        "status": execution.describe()["PipelineExecutionStatus"],
        "steps": {name: step["StepStatus"] for name, step in steps.items()},
        "made": {name: step.get("Metadata") for name, step in steps.items()},
        "hits": sorted(name for name, step in steps.items() if "CacheHitResult" in step),
        "attempts": {name: step.get("AttemptCount") for name, step in steps.items()},
        "reasons": {name: step["FailureReason"] for name, step in steps.items() if "FailureReason" in step},
    }


first = run()
second = run()
deeper = run(Depth=5)
too_strict = run(LeastAuc=1.0)
print(json.dumps([first, second, deeper, too_strict], indent=1))

# %% [markdown]
# On another night, with other customers, the baseline comes late: the evaluation fails. When the baseline is there, the
# execution goes on from the evaluation, with the model that it has trained already.

# %%
late = pipeline.start(parameters={"Rows": nights["tuesday"], "Baseline": f"s3://{bucket}/{prefix}/baseline-two"})
failed = run(late)
keep_baseline("two", 0.65)
session.sagemaker_client.retry_pipeline_execution(PipelineExecutionArn=late.arn)
retried = run(late)
packages = session.sagemaker_client.list_model_packages(ModelPackageGroupName=prefix)["ModelPackageSummaryList"]
pipeline.delete()
