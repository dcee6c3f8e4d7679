"""Kernel SHAP: what each feature adds to a model's answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from .clarify_data import Data, interpreted
from .job import DataError
from .predictor import Predictor

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_FOLDER = "explanations_shap"


def explain(data: Data, method: dict, predictor: Predictor, output: Path) -> dict:
    """Writes the local values to out.csv; returns the global ones in the format of analysis.json.

    Args:
        data: its features are explained.
        method: `shap` of the analysis configuration.
        predictor: the model.
        output: the folder of the reports.

    Raises:
        DataError: the method asks for what is not to be had here.
    """
    import numpy as np
    import pandas as pd

    refused = [name for name in ("text_config", "image_config", "features_to_explain") if name in method]
    if refused:
        raise DataError(f"shap {' and '.join(refused)} is not available in the local SageMaker.")
    features = data.features.reset_index(drop=True)
    baseline = _baseline(method, features)
    local, expected = _values(features, baseline, method, predictor)
    headers = data.config.get("predictor", {}).get("label_headers")
    labels = [str(each) for each in headers or [f"label{index}" for index in range(local.shape[2])]]
    if len(labels) != local.shape[2]:
        raise DataError(f"There are {len(labels)} label_headers for {local.shape[2]} outputs of the model.")
    folder = output / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    baseline.to_csv(folder / "baseline.csv", index=False, header=False)
    if method.get("save_local_shap_values", True):
        columns = {
            f"{name}_{label}": local[:, i, k] for k, label in enumerate(labels) for i, name in enumerate(features)
        }
        pd.DataFrame(columns).to_csv(folder / "out.csv", index=False)
    aggregate = {
        "mean_abs": lambda values: np.abs(values).mean(axis=0),
        "median": lambda values: np.median(values, axis=0),
        "mean_sq": lambda values: (values**2).mean(axis=0),
    }[method.get("agg_method", "mean_abs")]
    return {
        label: {
            "global_shap_values": dict(zip(features, aggregate(local[:, :, k]).tolist(), strict=True)),
            "expected_value": float(expected[k]),
        }
        for k, label in enumerate(labels)
    }


def _values(
    features: pd.DataFrame, baseline: pd.DataFrame, method: dict, predictor: Predictor
) -> tuple[np.ndarray, np.ndarray]:
    """The values, shape (rows, features, outputs), and what the model gives the baseline on average, (outputs,)."""
    import numpy as np
    import pandas as pd
    import shap

    both = pd.concat([features, baseline], ignore_index=True)
    texts = {name: pd.factorize(both[name]) for name in both if not pd.api.types.is_numeric_dtype(both[name])}
    codes = both.assign(**{name: numbers for name, (numbers, _) in texts.items()}).to_numpy(dtype=float)

    def model(rows: np.ndarray) -> np.ndarray:
        frame = pd.DataFrame(rows, columns=features.columns)
        for name in frame:
            if name in texts:
                frame[name] = np.asarray(texts[name][1])[frame[name].astype(int)]
            elif pd.api.types.is_integer_dtype(both[name]):
                frame[name] = frame[name].astype(int)
        return predictor.scores(frame)

    # The local values of a run are the same at each run.
    np.random.seed(method.get("seed", 0))
    explainer = shap.KernelExplainer(
        model, codes[len(features) :], link="logit" if method.get("use_logit") else "identity"
    )
    samples = method.get("num_samples", "auto")
    values = np.asarray(explainer.shap_values(codes[: len(features)], nsamples=samples, l1_reg=0, silent=True))
    return values.reshape(len(features), features.shape[1], -1), np.ravel(explainer.expected_value)


def _baseline(method: dict, features: pd.DataFrame) -> pd.DataFrame:
    """The rows that stand for a feature's absence.

    Without any in the configuration, they are the rows nearest to the centres of `num_clusters` clusters, by default of
    one: AWS clusters by k-prototypes.
    """
    import pandas as pd

    rows = method.get("baseline")
    if isinstance(rows, str):
        rows = _download(rows)
    if isinstance(rows, pd.DataFrame):
        found = rows
    elif rows is not None:
        found = pd.DataFrame(rows)
    else:
        return _centres(features, method.get("num_clusters", 1))
    if found.shape[1] != features.shape[1]:
        raise DataError(f"The baseline has {found.shape[1]} columns, the features are {features.shape[1]}.")
    return found.set_axis(features.columns, axis=1)


def _download(uri: str) -> pd.DataFrame:
    import boto3
    import pandas as pd

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return interpreted(pd.read_csv(io.BytesIO(body), header=None))


def _centres(features: pd.DataFrame, clusters: int) -> pd.DataFrame:
    from sklearn.cluster import KMeans
    from sklearn.metrics import pairwise_distances_argmin
    from sklearn.preprocessing import StandardScaler

    from .clarify_data import encoded

    scaled = StandardScaler().fit_transform(encoded(features))
    centres = KMeans(min(clusters, len(features)), random_state=0, n_init=1).fit(scaled).cluster_centers_
    return features.iloc[pairwise_distances_argmin(centres, scaled)]
