"""The built-in XGBoost algorithm: trains on CSV, libsvm or Parquet channels without a script of the user.

Runs as a program of its own inside a training job and knows nothing of the server; heavy packages are imported once the
hyperparameters hold. Source: SageMaker's documentation of the algorithm and its public container.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from xgboost_hyperparameters import NOT_FOR_XGBOOST, SKLEARN_METRICS, ClientError, parse_hyperparameters

ML = Path(os.environ.get("SM_MODEL_DIR", "/opt/ml/model")).parent
MODEL_NAME = "xgboost-model"
CLIENT_ERROR_CODE = 2


def read_channel(folder: Path, content_type: str, csv_weights: bool, columns: int | None = None) -> object:
    """A channel's files as one DMatrix.

    Args:
        folder: the channel's folder; hidden files are left out.
        content_type: such as `text/csv`; empty means libsvm, as in AWS's container.
        csv_weights: whether the second column of a CSV holds weights.
        columns: at least so many features for libsvm, whose files leave out zeros.

    Raises:
        ClientError: there are no files, or they cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    if not files:
        raise ClientError(f"No data file is present in the channel {folder.name}")
    kind = content_type.partition(";")[0].strip().lower() or "libsvm"
    readers = {
        **dict.fromkeys(("csv", "text/csv"), lambda: _read_table(files, csv_weights, _csv)),
        **dict.fromkeys(("libsvm", "text/libsvm", "text/x-libsvm"), lambda: _read_libsvm(files, columns)),
        **dict.fromkeys(("parquet", "application/x-parquet"), lambda: _read_table(files, csv_weights, _parquet)),
    }
    if kind not in readers:
        raise ClientError(f"{content_type} is not an accepted ContentType: {', '.join(readers)}")
    return readers[kind]()


def _read_table(files: list[Path], weights: bool, read: Callable[[Path], object]) -> object:
    import numpy as np
    import xgboost as xgb

    tables = [read(path) for path in files]
    widths = sorted({table.shape[1] for table in tables})
    if len(widths) > 1:
        raise ClientError(
            f"The files of the channel {files[0].parent.name} have different numbers of columns: {widths}"
        )
    first = 2 if weights else 1
    if widths[0] <= first:
        raise ClientError(
            f"The data has {widths[0]} columns; the label comes first, and at least one feature must follow"
        )
    table = np.concatenate(tables) if len(tables) > 1 else tables[0]
    if np.isnan(table[:, 0]).any():
        raise ClientError("The label column, which is the first, has missing values")
    return xgb.DMatrix(table[:, first:], label=table[:, 0], weight=table[:, 1] if weights else None)


def _csv(path: Path) -> object:
    import numpy as np
    import pandas as pd

    with path.open() as file:
        line = file.readline()
    delimiter = max(",;\t ", key=line.count)
    say(f"Determined delimiter of CSV input is '{delimiter}'")
    try:
        return pd.read_csv(path, header=None, sep=delimiter, dtype=np.float32).to_numpy()
    except (ValueError, pd.errors.ParserError) as error:
        raise ClientError(
            f"Failed to load csv data with exception: {path.name}: {error}. Expected numbers only, the label in the "
            "first column, and no header"
        ) from None


def _parquet(path: Path) -> object:
    import numpy as np
    import pandas as pd

    try:
        return pd.read_parquet(path).to_numpy(dtype=np.float32)
    except (ValueError, OSError) as error:
        raise ClientError(f"Failed to load parquet data with exception: {path.name}: {error}") from None


def _read_libsvm(files: list[Path], columns: int | None) -> object:
    import numpy as np
    import xgboost as xgb
    from scipy import sparse
    from sklearn.datasets import load_svmlight_files

    ranked = " qid:" in files[0].open().readline()
    try:
        loaded = load_svmlight_files([str(path) for path in files], dtype=np.float32, zero_based=True, query_id=ranked)
    except (ValueError, IndexError) as error:
        raise ClientError(f"Failed to load libsvm data with exception: {error}") from None
    parts = 3 if ranked else 2
    features = sparse.vstack(loaded[0::parts], format="csr")
    if columns and columns > features.shape[1]:
        features.resize(features.shape[0], columns)
    query = {"qid": np.concatenate(loaded[2::parts])} if ranked else {}
    return xgb.DMatrix(features, label=np.concatenate(loaded[1::parts]), **query)


def train(parameters: dict, data: dict[str, object]) -> object:
    """Trains a booster, printing `[round]#011train-metric:value#011validation-metric:value` after every round."""
    import xgboost as xgb

    own = [name for name in parameters["eval_metric"] if name in SKLEARN_METRICS]
    options = {name: value for name, value in parameters.items() if name not in NOT_FOR_XGBOOST}
    if options.get("objective") == "reg:linear":
        options["objective"] = "reg:squarederror"
    native = [name for name in parameters["eval_metric"] if name not in own]
    if parameters["eval_metric"]:
        options |= {"eval_metric": native} if native else {"disable_default_eval_metric": 1}
    callbacks: list = [_monitor(xgb)]
    if "early_stopping_rounds" in parameters:
        if "validation" not in data:
            raise ClientError("early_stopping_rounds needs a validation channel")
        last = (own or native or [None])[-1]
        callbacks.append(
            xgb.callback.EarlyStopping(
                rounds=parameters["early_stopping_rounds"],
                data_name="validation",
                metric_name=last,
                maximize=last != "mse" if last in own else None,
                save_best=options.get("booster") != "gblinear",
            )
        )
    try:
        return xgb.train(
            options,
            data["train"],
            num_boost_round=parameters["num_round"],
            evals=[(matrix, name) for name, matrix in data.items()],
            custom_metric=_sklearn_metrics(own) if own else None,
            callbacks=callbacks,
            verbose_eval=False,
        )
    except xgb.core.XGBoostError as error:
        raise ClientError(f"XGBoost training failed: {str(error).splitlines()[0]}") from error


def _monitor(xgb: object) -> object:
    class Monitor(xgb.callback.TrainingCallback):
        def after_iteration(self, model: object, epoch: int, evals_log: dict) -> bool:
            values = [
                f"{data}-{metric}:{history[-1]:.5f}"
                for data, metrics in evals_log.items()
                for metric, history in metrics.items()
            ]
            say("#011".join([f"[{epoch}]", *values]))
            return False

    return Monitor()


def _sklearn_metrics(names: list[str]) -> Callable[[object, object], list[tuple[str, float]]]:
    """XGBoost's custom metric for scikit-learn's: predictions are classes, at probability ½ for two classes."""
    from sklearn import metrics

    averages = {"macro": "macro", "micro": "micro", "binary": "binary"}

    def score(name: str, labels: object, predicted: object) -> float:
        if name in ("mse", "r2"):
            return float({"mse": metrics.mean_squared_error, "r2": metrics.r2_score}[name](labels, predicted))
        classes = predicted.argmax(axis=1) if predicted.ndim == 2 else (predicted > 0.5).astype(int)
        if name in ("accuracy", "balanced_accuracy"):
            return float(getattr(metrics, f"{name}_score")(labels, classes))
        base, _, average = name.partition("_")
        default = "binary" if predicted.ndim == 1 and base != "f1" else "macro"
        return float(getattr(metrics, f"{base}_score")(labels, classes, average=averages.get(average, default)))

    def evaluate(predicted: object, data: object) -> list[tuple[str, float]]:
        return [(name, score(name, data.get_label(), predicted)) for name in names]

    return evaluate


def main() -> None:
    """Trains on the job's channels and leaves `/opt/ml/model/xgboost-model`.

    Raises:
        ClientError: the request or the data is at fault.
    """
    configuration = ML / "input" / "config"
    parameters = parse_hyperparameters(json.loads((configuration / "hyperparameters.json").read_text()))
    channels = json.loads((configuration / "inputdataconfig.json").read_text())
    hosts = json.loads((configuration / "resourceconfig.json").read_text())["hosts"]
    if len(hosts) > 1:
        raise ClientError("The local XGBoost algorithm trains on one instance: set InstanceCount to 1")
    if "train" not in channels:
        raise ClientError("Missing required channel: train")
    for name in channels:
        if name not in ("train", "validation"):
            raise ClientError(
                f"Extraneous channel found: {name}. The channels of the algorithm are train and validation"
            )
    data: dict = {}
    for name in ("train", "validation"):
        if name in channels:
            columns = data["train"].num_col() if data else None
            content_type = channels[name].get("ContentType", "")
            data[name] = read_channel(
                ML / "input" / "data" / name, content_type, parameters.get("csv_weights") == 1, columns
            )
            say(f"{name.capitalize()} matrix has {data[name].num_row()} rows and {data[name].num_col()} columns")
    if len(data) == 2 and data["train"].num_col() < data["validation"].num_col():
        raise ClientError(
            f"The validation data has {data['validation'].num_col()} features, the train data {data['train'].num_col()}"
        )
    booster, model = train(parameters, data), ML / "model" / f"{MODEL_NAME}.ubj"
    booster.save_model(model)
    model.rename(ML / "model" / MODEL_NAME)


def say(line: str) -> None:
    """Prints a line of the log."""
    print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except ClientError as client_error:
        (ML / "output" / "failure").write_text(f"ClientError: {client_error}")
        say(f"ERROR ClientError: {client_error}")
        sys.exit(CLIENT_ERROR_CODE)
