"""The scripts of the text lab: fine-tuning that resumes bit by bit, and the four functions that serve its model.

The encoder is a tiny one that has learned nothing, with the real tokenizer; the lab's own tests train the real one.
"""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tasks
import torch
from safetensors.torch import load_file

from helpers.encoders import minilm

SRC = tasks.LABS / "03-text" / "src"
PHRASES = {
    "login": ["cannot sign in", "my password is rejected", "locked out of the account", "no code to sign in with"],
    "delivery": ["the parcel is late", "courier never came", "package lost on its way", "the parcel went elsewhere"],
    "refund": ["I want my money back", "return the payment", "give me a refund", "please refund the order"],
}
# A module that Python imports at its start: whoever asks for the network ends at once.
NO_NETWORK = """
import os, socket
def refuse(*_, **__):
    os.write(2, b"the network was asked for")
    os._exit(99)
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
FILLERS = ["hello", "dear team", "for days now", "please help", "thank you very much for looking into this again"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    """A BERT with two small layers."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm.folder()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def channels(tmp_path_factory) -> dict[str, str]:
    """Folders of the channels train and validation, by the variables that name them."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("channels")
    for channel, n in (("train", 96), ("validation", 48)):
        labels = rng.choice(list(PHRASES), n)
        texts = [" ".join([*rng.choice(FILLERS, rng.integers(0, 4)), rng.choice(PHRASES[label])]) for label in labels]
        (folder / channel).mkdir()
        pd.DataFrame({"text": texts, "label": labels}).to_csv(folder / channel / "rows.csv", index=False)
    return {f"SM_CHANNEL_{name.upper()}": str(folder / name) for name in ("train", "validation")}


def command(model_dir: Path, channels: dict[str, str], encoder: Path, **options: object) -> dict:
    """Arguments of subprocess for the script as a container runs it."""
    defaults = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "checkpoint_dir": model_dir / "nowhere"}
    arguments = [str(a) for name, value in (defaults | options).items() for a in (f"--{name}", value)]
    places = channels | {"SM_CHANNEL_MODEL": str(encoder), "SM_MODEL_DIR": str(model_dir), "OMP_NUM_THREADS": "1"}
    return {"args": [sys.executable, str(SRC / "train.py"), *arguments], "env": os.environ | places}


def train(model_dir: Path, *given, **options: object) -> subprocess.CompletedProcess:
    done = subprocess.run(
        **command(model_dir, *given, **options), capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory, channels, encoder) -> tuple[Path, str]:
    """Folder of the model of an uninterrupted run without a network, and what it printed."""
    folder = tmp_path_factory.mktemp("model")
    return folder, train(folder, channels | without_network(tmp_path_factory), encoder, patience=0).stdout


def without_network(tmp_path_factory) -> dict[str, str]:
    """Variables of a process in which a connection is an error, and which is not told that the Hub is out of reach."""
    folder = tmp_path_factory.mktemp("no-network")
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    path = os.pathsep.join((str(folder), str(tasks.LABS.parent)))
    return {"PYTHONPATH": path, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}


def test_the_encoder_loads_without_a_network_and_a_connection_would_be_seen(tmp_path_factory):
    environment = os.environ | without_network(tmp_path_factory)
    embeds = "from helpers.encoders import minilm; print(minilm.embed(['a text']).shape)"
    connects = "import socket; socket.create_connection(('huggingface.co', 443))"
    for program, code in ((embeds, 0), (connects, 99)):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr


@contextmanager
def begun(model_dir: Path, *given, **options: object) -> Iterator[subprocess.Popen]:
    """A run that is past its first epoch."""
    run = command(model_dir, *given, **options)
    with subprocess.Popen(**run, stdout=subprocess.PIPE, text=True) as started:
        assert any(line.startswith("epoch=1;") for line in started.stdout)
        yield started


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_training_writes_the_best_epoch_and_prints_what_metric_definitions_look_for(trained):
    folder, printed = trained
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["epochs"] == 3 and len(metrics["history"]) == 3
    f1 = [epoch["validation_macro_f1"] for epoch in metrics["history"]]
    assert metrics["validation_macro_f1"] == max(f1) > 0.9
    assert metrics["best_epoch"] == 1 + int(np.argmax(f1))
    assert printed.count("; validation_macro_f1=") == 3 and "samples_per_second=" in printed
    assert json.loads((folder / "labels.json").read_text()) == sorted(PHRASES)
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= {path.name for path in folder.iterdir()}


def test_a_killed_run_goes_on_to_the_very_weights_of_an_uninterrupted_one(tmp_path, trained, channels, encoder):
    checkpoint_dir = tmp_path / "checkpoints"
    checkpoint_dir.mkdir()
    options = {"patience": 0, "checkpoint_dir": checkpoint_dir, "checkpoint_steps": 5}
    with begun(tmp_path / "model", channels, encoder, **options) as started:
        deadline = time.monotonic() + 60
        while _progress(checkpoint_dir / "checkpoint.pt") <= (1, 0):
            assert started.poll() is None and time.monotonic() < deadline
        started.kill()
    assert started.returncode == -signal.SIGKILL, "the run ended before it was killed"
    assert not (tmp_path / "model").exists()
    done = train(tmp_path / "model", channels, encoder, **options)
    assert re.search(r"resumed: epoch 2, after batch (5|10)$", done.stdout, re.MULTILINE)
    assert same_weights(tmp_path / "model", trained[0])
    kept, resumed = (json.loads((f / "metrics.json").read_text())["history"] for f in (trained[0], tmp_path / "model"))
    assert kept == resumed


def _progress(checkpoint: Path) -> tuple[int, int]:
    """Whole epochs, and batches of the one after them."""
    progress = torch.load(checkpoint, weights_only=True)["progress"]
    return progress["epoch"], progress["step"]


def test_a_warned_run_writes_its_checkpoint_and_goes_on_from_it(tmp_path, trained, channels, encoder):
    checkpoint_dir = tmp_path / "checkpoints"
    checkpoint_dir.mkdir()
    options = {"patience": 0, "checkpoint_dir": checkpoint_dir}
    with begun(tmp_path / "model", channels, encoder, **options) as started:
        started.send_signal(signal.SIGTERM)
        assert "interrupted: the checkpoint is written" in started.stdout.read()
    assert started.returncode == 0 and not (tmp_path / "model").exists()
    train(tmp_path / "model", channels, encoder, **options)
    assert same_weights(tmp_path / "model", trained[0])


def test_a_checkpoint_of_another_run_is_refused(tmp_path, channels, encoder):
    checkpoint_dir = tmp_path / "checkpoints"
    checkpoint_dir.mkdir()
    train(tmp_path / "model", channels, encoder, epochs=1, checkpoint_dir=checkpoint_dir)
    other = command(tmp_path / "model", channels, encoder, epochs=1, seed=1, checkpoint_dir=checkpoint_dir)
    done = subprocess.run(**other, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "is of another run (seed: 0 there, 1 now)" in done.stderr


def test_frozen_layers_keep_their_weights_and_patience_ends_a_run(tmp_path, channels, encoder):
    train(tmp_path, channels, encoder, freeze_layers=1, epochs=30, patience=1, class_weights="balanced")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["epochs"] == metrics["best_epoch"] + 1 < 30
    before, after = load_file(encoder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    layer = "encoder.layer.{}.output.dense.weight"
    assert torch.equal(after[f"encoder.{layer.format(0)}"], before[layer.format(0)])
    assert not torch.equal(after[f"encoder.{layer.format(1)}"], before[layer.format(1)])
    embeddings = "embeddings.word_embeddings.weight"
    assert torch.equal(after[f"encoder.{embeddings}"], before[embeddings])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fp16": "on"}, "there is no GPU"),
        ({"freeze_layers": 3}, "freeze_layers is 0 to 2, got 3"),
        ({"max_seq_len": 600}, "this encoder reads at most 512 tokens a text"),
        ({"train": "/nowhere"}, "the channel train (/nowhere) holds no .csv file"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path, channels, encoder, options, message):
    if options == {"fp16": "on"} and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = subprocess.run(
        **command(tmp_path, channels, encoder, **options), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0 and message in done.stderr


@pytest.fixture
def scripts(monkeypatch):
    """`scripts("batches")`: a script of the lab, imported as the container does."""
    monkeypatch.syspath_prepend(str(SRC))
    before = set(sys.modules)
    yield importlib.import_module
    for name in (set(sys.modules) - before) & {path.stem for path in SRC.glob("*.py")}:
        del sys.modules[name]


@pytest.fixture
def served(scripts, trained):
    """The module with the four functions, and a loaded model."""
    inference = scripts("inference")
    return inference, inference.model_fn(str(trained[0]))


def ask(served, body: str | bytes, content_type: str = "application/json", accept: str = "application/json") -> str:
    inference, model = served
    return inference.output_fn(inference.predict_fn(inference.input_fn(body, content_type), model), accept)


def test_a_batch_is_answered_in_its_order_and_as_each_text_alone(served):
    texts = ["give me a refund", "the parcel is late, dear team, please help", "cannot sign in", "return the payment"]
    answers = json.loads(ask(served, json.dumps({"inputs": texts})))
    assert [answer["label"] for answer in answers] == ["refund", "delivery", "login", "refund"]
    for text, answer in zip(texts, answers, strict=True):
        (alone,) = json.loads(ask(served, json.dumps({"inputs": text}), "application/json; charset=utf-8"))
        assert alone["scores"] == pytest.approx(answer["scores"], abs=1e-5)
        assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_json_lines_are_answered_line_by_line(served):
    body = b'{"inputs": "give me a refund"}\n"cannot sign in\\u2028now"\n\n'
    lines = ask(served, body, "application/jsonlines", "application/jsonlines").splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["refund", "login"]


def test_no_text_blank_texts_and_any_script_are_answered(served):
    assert json.loads(ask(served, '{"inputs": []}')) == []
    answers = json.loads(ask(served, json.dumps({"inputs": ["", " \n\t", "返金 🙏", "\ud83d", "a" * 9]})))
    assert answers[0] == answers[1] == {"label": None, "scores": {}, "truncated": False}
    assert all(answer["label"] in PHRASES for answer in answers[2:])


def test_a_long_text_is_cut_as_in_training_and_says_so(served):
    start = "the parcel is late " * 40
    cut, other_end, short = json.loads(
        ask(served, json.dumps({"inputs": [start, start + "refund " * 500, "the parcel is late"]}))
    )
    assert cut["truncated"] and other_end["truncated"] and not short["truncated"]
    assert other_end["scores"] == pytest.approx(cut["scores"], abs=1e-6)
    inference, (_, tokenizer, _) = served
    limit = tokenizer.model_max_length
    as_in_training = tokenizer([start], truncation=True, max_length=limit)["input_ids"][0]
    whole = tokenizer([start], truncation=True, max_length=limit + 1)["input_ids"][0]
    assert inference._shortened(whole, limit) == as_in_training and len(as_in_training) == 128


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        ("", "application/json", "the body is no JSON"),
        ('{"inputs": 5}', "application/json", "a request is"),
        ('["a"]', "application/json", "a request is"),
        ('{"inputs": ["a", null]}', "application/json", "number 1 is None"),
        ('"a"\n{"inputs": ["b"]}', "application/jsonlines", "one text a JSON line"),
        ('"a"\n{', "application/jsonlines", "line 2 is no JSON"),
        (b"\xff", "application/json", "utf-8"),
        ("a", "text/plain", "content type must be one of application/json"),
        (json.dumps({"inputs": ["a"] * 1001}), "application/json", "at most 1000 texts a request, got 1001"),
    ],
)
def test_a_wrong_request_is_refused_with_the_reason(served, body, content_type, message):
    with pytest.raises(ValueError, match=message):
        served[0].input_fn(body, content_type)


def test_an_answer_has_a_type_that_the_client_takes(served):
    assert ask(served, '{"inputs": []}', accept="text/html, */*;q=0.5") == "[]"
    with pytest.raises(ValueError, match="accept must be"):
        ask(served, '{"inputs": []}', accept="text/csv")


def test_an_epoch_has_every_row_once_and_buckets_hold_like_lengths(scripts):
    batches = scripts("batches")
    lengths = np.random.default_rng(0).integers(3, 128, 500).tolist()
    orders = {padding: batches.epoch_order(lengths, 16, padding, 7, 2) for padding in batches.PADDINGS}
    for order in orders.values():
        assert sorted(row for batch in order for row in batch) == list(range(500))
    assert orders["bucketed"] == batches.epoch_order(lengths, 16, "bucketed", 7, 2)
    assert orders["bucketed"] != batches.epoch_order(lengths, 16, "bucketed", 7, 3)

    def padded(order):
        return sum(len(batch) * max(lengths[row] for row in batch) for batch in order) / sum(lengths)

    assert padded(orders["bucketed"]) < 1.1 < 1.5 < padded(orders["dynamic"])
