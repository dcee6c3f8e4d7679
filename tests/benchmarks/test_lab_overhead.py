"""What a lab's training and inference cost through the local SageMaker, against the same code called directly."""

import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import SageMakerHelper, deployment
from helpers.local_sagemaker import workers

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

TRAIN = Path(__file__).parents[2] / "labs" / "01-fraud" / "src" / "train.py"
ROWS, FEATURES, ROUNDS = 150_000, 16, 300
BATCHES, BATCH = 40, 250
PAIRS = 3

INFERENCE = """
from pathlib import Path
import xgboost

def model_fn(model_dir):
    return xgboost.Booster(model_file=str(Path(model_dir) / "model.json"))
"""

# The toolkit's own steps without HTTP: what a worker does between a request and its answer.
DIRECT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from runtimes.serve_transformer import Transformer
transformer = Transformer(sys.argv[2], "xgboost")
for path in sorted(Path(sys.argv[3]).iterdir()):
    answer = transformer.answer(path.read_bytes(), {"Content-Type": "text/csv", "Accept": "text/csv"})
    assert answer.status == 200, answer.body
    sys.stdout.write(answer.body.decode())
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated transactions: channels `train` and `validation`, request bodies, and the code."""
    folder = tmp_path_factory.mktemp("overhead")
    random = np.random.default_rng(0)
    values = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    frame = pd.DataFrame(values, columns=[f"feature_{i}" for i in range(FEATURES)]).round(4)
    risk = values[:, :4].sum(axis=1) + random.normal(size=ROWS)
    frame.insert(0, "fraud", (risk > np.quantile(risk, 0.97)).astype(int))
    cut = ROWS * 9 // 10
    for channel, rows in {"train": frame[:cut], "validation": frame[cut:]}.items():
        (folder / channel).mkdir()
        rows.to_csv(folder / channel / "rows.csv", index=False)
    (folder / "batches").mkdir()
    for number in range(BATCHES):
        rows = frame.drop(columns="fraud")[number * BATCH : (number + 1) * BATCH]
        rows.to_csv(folder / "batches" / f"{number:03}.csv", index=False, header=False)
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(INFERENCE)
    with tarfile.open(folder / "sourcedir.tar.gz", "w:gz") as archive:
        archive.add(TRAIN, "train.py")
    return folder


def directly(work: Path) -> tuple[float, str]:
    """Seconds of training and scoring in two processes, and the scores."""
    model = work / "model"
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    began = time.perf_counter()
    channels = ["--train", str(work / "train"), "--validation", str(work / "validation")]
    train = [sys.executable, str(TRAIN), *channels, "--model_dir", str(model), "--num_round", str(ROUNDS)]
    subprocess.run(train, check=True, capture_output=True)
    shutil.copytree(work / "code", model / "code")
    toolkit = str(Path(workers.__file__).parent)
    score = [sys.executable, "-c", DIRECT, toolkit, str(model), str(work / "batches")]
    scores = subprocess.run(score, check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - began, scores


def through_sagemaker(aws: SageMakerHelper, work: Path) -> tuple[float, str]:
    """Seconds from the upload of the data to the last answer of the endpoint, and the scores."""
    began = time.perf_counter()
    name = aws.name("overhead")
    channels = [
        {
            "ChannelName": channel,
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": aws.upload(work / channel / "rows.csv", f"{name}/{channel}/"),
                }
            },
        }
        for channel in ("train", "validation")
    ]
    source = aws.upload(work / "sourcedir.tar.gz", f"{name}/code/")
    aws.sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": aws.image("xgboost"), "TrainingInputMode": "File"},
        RoleArn=aws.role,
        InputDataConfig=channels,
        OutputDataConfig={"S3OutputPath": f"s3://{aws.bucket}/{name}/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        HyperParameters={
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": source,
            "num_round": str(ROUNDS),
        },
    )
    trained = deployment.wait_for_training(aws, name)["ModelArtifacts"]["S3ModelArtifacts"]
    packed = deployment.package_model(
        aws.download(trained, work / f"{name}.tar.gz"), work / "code", work / f"{name}-packed.tar.gz"
    )
    deployment.deploy_realtime(aws, name, aws.image("xgboost"), aws.upload(packed, f"{name}/model/"))
    scores = [
        deployment.invoke(aws, name, path.read_bytes(), accept="text/csv").decode()
        for path in sorted((work / "batches").iterdir())
    ]
    seconds = time.perf_counter() - began
    aws.sagemaker.delete_endpoint(EndpointName=name)
    return seconds, "".join(scores)


def test_training_and_inference_take_at_most_a_quarter_longer_than_called_directly(own_server, work, report):
    pairs = []
    for _ in range(PAIRS):
        direct, expected = directly(work)
        through, scores = through_sagemaker(own_server, work)
        assert scores == expected
        pairs.append((through, direct))
    # The quickest of each side: what else the machine does in the meantime can only add.
    through, direct = (min(side) for side in zip(*pairs, strict=True))
    report(
        "Training and inference, local SageMaker / direct",
        through / direct,
        topic="Labs",
        bar=1.25,
        unit="x",
        slack=1.4,
        local_seconds=round(through, 2),
        direct_seconds=round(direct, 2),
    )
