"""Hyperparameters of the built-in XGBoost algorithm: what AWS's container accepts, and how it refuses the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

OBJECTIVES = (
    *("binary:hinge", "binary:logistic", "binary:logitraw", "count:poisson"),
    *("multi:softmax", "multi:softprob", "rank:map", "rank:ndcg", "rank:pairwise", "reg:absoluteerror", "reg:gamma"),
    *("reg:linear", "reg:logistic", "reg:pseudohubererror", "reg:squarederror", "reg:squaredlogerror", "reg:tweedie"),
    *("survival:aft", "survival:cox"),
)
METRICS = (
    *(
        "aft-nloglik",
        "auc",
        "aucpr",
        "cox-nloglik",
        "error",
        "gamma-deviance",
        "gamma-nloglik",
        "logloss",
        "mae",
        "map",
    ),
    *("interval-regression-accuracy", "mape", "merror", "mlogloss", "mphe", "ndcg", "poisson-nloglik", "pre", "rmse"),
    *("rmsle", "tweedie-nloglik"),
)
# Metrics that the container adds to XGBoost's own, by scikit-learn's names; smaller is better for mse alone.
SKLEARN_METRICS = (
    *("accuracy", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "mse", "precision", "precision_macro"),
    *("precision_micro", "r2", "recall", "recall_macro", "recall_micro"),
)


class ClientError(Exception):
    """A fault of the request: a hyperparameter, a channel or the data."""


@dataclass(frozen=True)
class Number:
    """A numeric hyperparameter between two bounds; `open_low` leaves the lower one out."""

    kind: type = float
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False

    def parse(self, name: str, text: str) -> int | float:
        """The value.

        Raises:
            ClientError: the text is no such number, or out of range.
        """
        try:
            value = self.kind(text)
        except ValueError:
            raise ClientError(
                f"Hyperparameter {name}: could not parse value {text!r} as {self.kind.__name__}"
            ) from None
        above = value > self.low if self.open_low else value >= self.low
        if not (above and value <= self.high):
            raise ClientError(f"Hyperparameter {name}: value {text} not in range {self}")
        return value

    def __str__(self) -> str:
        return f"{'(' if self.open_low or self.low == -math.inf else '['}{self.low}, {self.high}" + (
            ")" if self.high == math.inf else "]"
        )


@dataclass(frozen=True)
class Choice:
    """A hyperparameter with named values."""

    values: tuple[str, ...]

    def parse(self, name: str, text: str) -> str:
        """The value.

        Raises:
            ClientError: it is none of the values.
        """
        if text not in self.values:
            raise ClientError(f"Hyperparameter {name}: value {text} not in range {list(self.values)}")
        return text


@dataclass(frozen=True)
class Text:
    """A hyperparameter that XGBoost itself reads."""

    def parse(self, name: str, text: str) -> str:
        """The text as it is."""
        return text


COUNT, SHARE, POSITIVE = Number(int, 0), Number(float, 0, 1), Number(float, 0)
SHARE_ABOVE_0 = Number(float, 0, 1, open_low=True)
HYPERPARAMETERS: dict[str, Number | Choice | Text] = {
    "num_round": Number(int, 1),
    "csv_weights": Number(int, 0, 1),
    "early_stopping_rounds": Number(int, 1),
    "booster": Choice(("gbtree", "gblinear", "dart")),
    "verbosity": Number(int, 0, 3),
    "silent": Number(int, 0, 1),
    "nthread": Number(int, 1),
    "eta": SHARE,
    "learning_rate": SHARE,
    "gamma": POSITIVE,
    "min_split_loss": POSITIVE,
    "max_depth": COUNT,
    "min_child_weight": POSITIVE,
    "max_delta_step": POSITIVE,
    "subsample": SHARE_ABOVE_0,
    "colsample_bytree": SHARE_ABOVE_0,
    "colsample_bylevel": SHARE_ABOVE_0,
    "colsample_bynode": SHARE_ABOVE_0,
    "lambda": POSITIVE,
    "reg_lambda": POSITIVE,
    "alpha": POSITIVE,
    "reg_alpha": POSITIVE,
    "lambda_bias": SHARE,
    "tree_method": Choice(("auto", "exact", "approx", "hist")),
    "sampling_method": Choice(("uniform", "gradient_based")),
    "grow_policy": Choice(("depthwise", "lossguide")),
    "process_type": Choice(("default", "update")),
    "updater": Text(),
    "refresh_leaf": Number(int, 0, 1),
    "max_leaves": COUNT,
    "max_bin": COUNT,
    "max_cat_to_onehot": COUNT,
    "num_parallel_tree": Number(int, 1),
    "scale_pos_weight": Number(),
    "base_score": Number(),
    "sample_type": Choice(("uniform", "weighted")),
    "normalize_type": Choice(("tree", "forest")),
    "rate_drop": SHARE,
    "one_drop": Number(int, 0, 1),
    "skip_drop": SHARE,
    "tweedie_variance_power": Number(float, 1, 2, open_low=True),
    "huber_slope": POSITIVE,
    "aft_loss_distribution": Choice(("normal", "logistic", "extreme")),
    "aft_loss_distribution_scale": POSITIVE,
    "interaction_constraints": Text(),
    "monotone_constraints": Text(),
    "objective": Choice(OBJECTIVES),
    "num_class": Number(int, 2),
    "eval_metric": Text(),
    "seed": Number(int),
    "deterministic_histogram": Choice(("true", "false")),
    "save_model_on_termination": Choice(("true", "false")),
    "_tuning_objective_metric": Text(),
}
NOT_FOR_XGBOOST = (
    *("num_round", "csv_weights", "early_stopping_rounds", "eval_metric", "silent", "deterministic_histogram"),
    *("save_model_on_termination", "_tuning_objective_metric"),
)


def parse_hyperparameters(given: dict[str, str]) -> dict:
    """Hyperparameters with their types.

    Raises:
        ClientError: one is missing, unknown, or has a value that it cannot have.
    """
    if "num_round" not in given:
        raise ClientError("Missing required hyperparameter: num_round")
    for name in given:
        if name not in HYPERPARAMETERS:
            raise ClientError(f"Extraneous hyperparameter found: {name}")
    values = {name: HYPERPARAMETERS[name].parse(name, str(text)) for name, text in given.items()}
    multiclass = values.get("objective", "").startswith("multi:")
    if multiclass and "num_class" not in values:
        raise ClientError("Require input for parameter 'num_class' for multi-classification")
    if not multiclass and "num_class" in values:
        raise ClientError(
            "Do not need to setup parameter 'num_class' for learning task other than multi-classification."
        )
    metrics = _eval_metrics(values.get("eval_metric", ""))
    # What a tuning job looks at is evaluated in any case; first, because the last metric decides on early stopping.
    tuned = _eval_metrics(values.get("_tuning_objective_metric", "").partition(":")[2])
    values["eval_metric"] = [name for name in tuned if name not in metrics] + metrics
    return values


def _eval_metrics(text: str) -> list[str]:
    names = [name.strip() for name in text.strip("[]").replace("'", "").replace('"', "").split(",") if name.strip()]
    for name in names:
        base = name.partition("@")[0].removesuffix("-")
        if base not in METRICS and base not in SKLEARN_METRICS:
            raise ClientError(f"Hyperparameter eval_metric: value {name} not in range {[*METRICS, *SKLEARN_METRICS]}")
    return names
