"""The inference toolkit, as its container's client sees it: /ping and /invocations of a real worker process."""

import io
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from helpers.local_sagemaker import containers, unix_sockets
from helpers.local_sagemaker.runtimes import serve_codecs


@dataclass
class Serving:
    """A worker that serves."""

    process: subprocess.Popen
    socket: Path

    def ask(
        self, body: bytes | str, content_type: str = "text/csv", accept: str | None = None
    ) -> tuple[int, str, bytes]:
        """Status, content type and body of one invocation."""
        connection = unix_sockets.UnixConnection(self.socket, timeout=60)
        headers = {"Content-Type": content_type} | ({"Accept": accept} if accept else {})
        connection.request("POST", "/invocations", body=body, headers=headers)
        answer = connection.getresponse()
        status, kind, content = answer.status, answer.getheader("Content-Type"), answer.read()
        connection.close()
        return status, kind, content


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """`serve({"code/inference.py": ...})`: a worker with these files in its model folder."""
    started = []

    def start(files: dict[str, str], framework: str = "sklearn", **environment: str) -> Serving:
        process, socket = begin(files, framework, **environment)
        while not unix_sockets.pings(socket):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        return Serving(process, socket)

    def begin(files: dict[str, str], framework: str = "sklearn", **environment: str) -> tuple[subprocess.Popen, Path]:
        for name, content in files.items():
            path = tmp_path / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "model").mkdir(exist_ok=True)
        socket = unix_sockets.socket_folder(tmp_path) / "test.sock"
        boot = ("-c", containers.BOOT, "--framework", framework, "--model-dir", str(tmp_path / "model"))
        process = subprocess.Popen(
            [os.sys.executable, *boot, "--socket", str(socket)],
            env=dict(os.environ) | environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append((process, socket))
        return process, socket

    start.begin = begin
    yield start
    for process, socket in started:
        process.kill()
        process.communicate()
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()


STEPS = """
def model_fn(model_dir): return ["model"]
def input_fn(data, content_type): return ["input", type(data).__name__, content_type]
def predict_fn(data, model): return [*model, *data, "predict"]
def output_fn(prediction, accept): return "|".join([*prediction, "output", accept])
"""


def test_the_four_functions_run_in_the_order_of_the_toolkit(serve):
    served = serve({"code/inference.py": STEPS})
    assert served.ask("1,2", accept="text/x-mine") == (
        200,
        "text/x-mine",
        b"model|input|str|text/csv|predict|output|text/x-mine",
    )


def test_a_payload_that_is_neither_csv_nor_json_comes_as_bytes_and_no_accept_means_json(serve):
    served = serve({"code/inference.py": STEPS})
    assert served.ask(b"\x00\xff", "application/octet-stream") == (
        200,
        "application/json",
        b"model|input|bytes|application/octet-stream|predict|output|application/json",
    )


def test_every_function_may_take_a_context(serve):
    script = """
def model_fn(model_dir, context): return context.system_properties["model_dir"]
def input_fn(data, content_type, context): return context.get_request_header(0, "content-TYPE")
def predict_fn(data, model, context): return data, model
def output_fn(prediction, accept, context):
    context.set_response_content_type(0, "text/x-set")
    return str(prediction)
"""
    served = serve({"code/inference.py": script})
    status, kind, body = served.ask("1")
    assert (status, kind) == (200, "text/x-set")
    assert body.decode().startswith("('text/csv', '") and body.decode().endswith("/model')")


def test_transform_fn_alone_answers(serve):
    script = """
def model_fn(model_dir): return 3
def transform_fn(model, data, content_type, accept): return f"{model}{data}{content_type}{accept}", "text/x-t"
"""
    served = serve({"code/inference.py": script})
    assert served.ask("5", accept="text/csv") == (200, "text/x-t", b"35text/csvtext/csv")


def test_transform_fn_beside_another_function_is_refused(serve):
    script = "def model_fn(d): return 1\ndef transform_fn(a, b, c, d): return 1\ndef predict_fn(a, b): return 1\n"
    process, _ = serve.begin({"code/inference.py": script})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Cannot use transform_fn implementation in conjunction with" in output


def test_the_script_is_the_one_that_the_environment_names(serve, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "entry.py").write_text("from beside import model_fn, transform_fn\n")
    (tmp_path / "elsewhere" / "beside.py").write_text(
        "def model_fn(d): return 1\ndef transform_fn(m, data, c, a): return 'from entry'\n"
    )
    served = serve({}, SAGEMAKER_PROGRAM="entry.py", SAGEMAKER_SUBMIT_DIRECTORY=str(tmp_path / "elsewhere"))
    assert served.ask("1")[2] == b"from entry"


def test_pytorch_serves_torchscript_by_its_own_functions_when_the_named_script_is_missing(serve, tmp_path):
    import torch

    (tmp_path / "model").mkdir()
    torch.jit.save(torch.jit.script(torch.nn.Identity()), tmp_path / "model" / "model.pth")
    served = serve({}, "pytorch", SAGEMAKER_PROGRAM="gone.py")
    assert served.ask("[[1.5, 2.0]]", "application/json") == (200, "application/json", b"[[1.5, 2.0]]")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.pt": "", "b.pth": ""}, "Exactly one .pth or .pt file is required for PyTorch models: ['a.pt', 'b.pth']"),
        ({"model.pt": "weights"}, "Please ensure model is saved using torchscript"),
    ],
)
def test_pytorch_says_what_it_cannot_load(serve, files, reason):
    process, _ = serve.begin(files, "pytorch")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and reason in output


def test_a_named_script_that_is_missing_ends_the_worker_with_its_path(serve):
    process, _ = serve.begin({}, SAGEMAKER_PROGRAM="gone.py")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "SAGEMAKER_PROGRAM is gone.py" in output


def test_a_model_without_script_names_what_is_missing(serve):
    process, _ = serve.begin({"model.joblib": "x"})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "Please provide a model_fn implementation" in output


def test_an_exception_becomes_500_with_the_traceback_of_the_script_only(serve):
    script = "def model_fn(d): return 1\ndef predict_fn(data, model): raise KeyError('the amount')\n"
    served = serve({"code/inference.py": script})
    status, _, body = served.ask("1")
    assert status == 500
    assert body.startswith(b"'the amount'\nTraceback") and b'inference.py", line 2, in predict_fn' in body
    assert b"serve_transformer.py" not in body


def test_ping_answers_while_the_model_computes_and_requests_wait_their_turn(serve):
    script = """
import time
def model_fn(d): return []
def transform_fn(model, data, content_type, accept):
    model.append("in"); busy = len(model); time.sleep(float(data)); model.pop()
    return str(busy)
"""
    served = serve({"code/inference.py": script})
    connections = [unix_sockets.UnixConnection(served.socket, timeout=60) for _ in range(4)]
    for connection in connections:
        connection.request("POST", "/invocations", body="0.2", headers={"Content-Type": "text/csv"})
    assert unix_sockets.pings(served.socket)
    assert [connection.getresponse().read() for connection in connections] == [b"1"] * 4
    for connection in connections:
        connection.close()


SKLEARN_SCRIPT = """
import numpy as np
class Doubler:
    def predict(self, rows):
        assert rows.dtype == np.float32, rows.dtype
        return rows.sum(axis=1) * 2
def model_fn(model_dir): return Doubler()
"""


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-npy"])
def test_scikit_learn_reads_csv_json_and_npy_and_answers_in_each(serve, accept):
    served = serve({"code/inference.py": SKLEARN_SCRIPT})
    rows = np.array([[1, 2], [3, 4.5]], dtype=np.float32)
    buffer = io.BytesIO()
    np.save(buffer, rows)
    payloads = {
        "text/csv": "1,2\n3,4.5\n",
        "application/json": json.dumps(rows.tolist()),
        "application/x-npy": buffer.getvalue(),
    }
    for content_type, payload in payloads.items():
        status, kind, body = served.ask(payload, content_type, accept)
        assert (status, kind) == (200, accept), body
        assert serve_codecs.decode(body, accept).ravel().tolist() == [6.0, 15.0]


def test_an_unsupported_content_type_is_415_and_an_unsupported_accept_406(serve):
    served = serve({"code/inference.py": SKLEARN_SCRIPT})
    status, _, body = served.ask("x", "image/png")
    assert status == 415 and b"image/png" in body and b"text/csv" in body
    assert served.ask("1,2", accept="image/png")[0] == 406


@pytest.fixture
def booster_folder(tmp_path: Path) -> np.ndarray:
    """A trained `xgboost-model` in the model folder; gives 20 rows and their scores."""
    import xgboost

    rows = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    matrix = xgboost.DMatrix(rows, (rows[:, 0] > 0.5).astype(int))
    model = xgboost.train({"objective": "binary:logistic", "min_child_weight": 0}, matrix, 5)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "xgboost-model").write_bytes(model.save_raw("ubj"))
    return np.column_stack([rows, model.predict(matrix)])


def test_built_in_xgboost_scores_csv_and_libsvm_alike(serve, booster_folder):
    served = serve({}, framework="xgboost")
    rows, scores = booster_folder[:, :4], booster_folder[:, 4]
    csv = "\n".join(",".join(map(str, row)) for row in rows)
    libsvm = "\n".join("0 " + " ".join(f"{i}:{value}" for i, value in enumerate(row)) for row in rows)
    for content_type, payload in {"text/csv": csv, "text/libsvm": libsvm, "text/x-libsvm": libsvm}.items():
        status, kind, body = served.ask(payload, content_type)
        assert (status, kind) == (200, "text/csv"), body
        np.testing.assert_allclose([float(score) for score in body.split(b",")], scores, rtol=1e-5)
    answer = json.loads(served.ask(csv, accept="application/json")[2])
    np.testing.assert_allclose([entry["score"] for entry in answer["predictions"]], scores, rtol=1e-5)


def test_built_in_xgboost_refuses_rows_of_another_width(serve, booster_folder):
    served = serve({}, framework="xgboost")
    status, _, body = served.ask("1,2,3")
    assert status == 500
    assert b"Feature size of the inference data 3 is not consistent with feature size of trained model 4" in body


def test_an_xgboost_script_gets_a_dmatrix_from_the_default_input_fn(serve, booster_folder):
    script = """
import xgboost
from pathlib import Path
def model_fn(model_dir): return xgboost.Booster(model_file=bytearray(Path(model_dir, "xgboost-model").read_bytes()))
def output_fn(prediction, accept): return ";".join(f"{score:.6f}" for score in prediction)
"""
    served = serve({"code/inference.py": script}, framework="xgboost")
    _, _, body = served.ask("\n".join(",".join(map(str, row)) for row in booster_folder[:, :4]))
    np.testing.assert_allclose([float(score) for score in body.split(b";")], booster_folder[:, 4], atol=1e-6)


@pytest.mark.parametrize(
    ("payload", "message"),
    [("1,2\n3\n", "row 2 of the CSV payload has 1 fields"), ("1,x\n", "row 1 of the CSV payload")],
)
def test_a_broken_csv_row_is_named(payload, message):
    with pytest.raises(ValueError, match=message):
        serve_codecs.csv_rows(payload)


def test_an_empty_csv_field_is_a_missing_value():
    np.testing.assert_array_equal(serve_codecs.csv_rows("1,,3"), np.array([[1, np.nan, 3]], dtype=np.float32))
