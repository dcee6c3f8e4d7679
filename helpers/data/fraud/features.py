"""The handbook's feature transformations: recency-frequency-amount of cards, and risk of terminals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.data.fraud.profiles import DAY

WINDOWS = (1, 7, 30)

HANDBOOK_FEATURES = [
    "amount",
    "is_weekend",
    "is_night",
    *(f"customer_{what}_{w}d" for w in WINDOWS for what in ("count", "mean_amount")),
    *(f"terminal_{what}_{w}d" for w in WINDOWS for what in ("count", "risk")),
]


def handbook_features(
    transactions: pd.DataFrame, delay_days: float = 7, windows: Sequence[float] = WINDOWS
) -> pd.DataFrame:
    """Add the published features to transactions.

    A card's window of w days is (t - w, t] and includes the current transaction. A terminal's window ends `delay_days`
    earlier, (t - delay - w, t - delay], since a label is known only after that delay; its risk is the share of frauds
    among its transactions, 0 where there are none. Of one card's transactions in the same second, the later ones'
    windows hold the earlier ones, in order of transaction_id where there is one, else of rows.

    Args:
        transactions: timestamp (datetime, read to the second), customer_id, terminal_id (int), amount (float), fraud
            (bool); other columns and the index are kept. Rows may be in any order.
        delay_days: days until a label is known.
        windows: window lengths in days.

    Returns:
        A new frame in the order given, with is_weekend and is_night (int8; night is before 7 o'clock) and, per window
        w, customer_count_{w}d, customer_mean_amount_{w}d, terminal_count_{w}d and terminal_risk_{w}d (float64).

    Raises:
        KeyError: a column is missing.
        ValueError: a window is not positive, or the delay is negative.

    Source: Le Borgne et al., Fraud Detection Handbook, section 3.4.
    """
    needed = ["timestamp", "customer_id", "terminal_id", "amount", "fraud"]
    if missing := [name for name in needed if name not in transactions.columns]:
        raise KeyError(f"transactions lack the columns {missing}: they have {list(transactions.columns)}")
    if delay_days < 0 or not windows or min(windows) <= 0:
        raise ValueError(f"delay_days must not be negative and windows positive, got {delay_days} and {list(windows)}")
    timestamp = transactions["timestamp"]
    seconds = timestamp.to_numpy().astype("datetime64[s]").astype(np.int64)
    columns: dict[str, np.ndarray] = {
        "is_weekend": (timestamp.dt.weekday >= 5).to_numpy(dtype=np.int8),
        "is_night": (timestamp.dt.hour <= 6).to_numpy(dtype=np.int8),
    }
    columns |= _customer_windows(transactions, seconds, windows)
    columns |= _terminal_windows(transactions, seconds, windows, delay_days)
    return transactions.assign(**columns)


def _customer_windows(transactions: pd.DataFrame, seconds: np.ndarray, windows: Sequence[float]) -> dict:
    groups = _Groups(transactions, "customer_id", seconds)
    # Extended precision, so that a sum over one card does not carry the rounding of all cards before it.
    amounts = groups.running_sum(transactions["amount"].to_numpy(dtype=np.float64), np.longdouble)
    end = np.arange(1, len(seconds) + 1)
    columns = {}
    for w in windows:
        begin = groups.first_after(w * DAY)
        count = end - begin
        columns[f"customer_count_{w}d"] = groups.restore(count.astype(np.float64))
        mean_amount = (amounts[end] - amounts[begin]) / count
        columns[f"customer_mean_amount_{w}d"] = groups.restore(mean_amount.astype(np.float64))
    return columns


def _terminal_windows(
    transactions: pd.DataFrame, seconds: np.ndarray, windows: Sequence[float], delay_days: float
) -> dict:
    groups = _Groups(transactions, "terminal_id", seconds)
    frauds = groups.running_sum(transactions["fraud"].to_numpy(dtype=np.int64), np.int64)
    # With no delay the window ends with the row itself, not with later rows of the same second.
    end = np.minimum(groups.first_after(delay_days * DAY), np.arange(1, len(seconds) + 1))
    columns = {}
    for w in windows:
        begin = groups.first_after((delay_days + w) * DAY)
        count = (end - begin).astype(np.float64)
        risk = np.divide(frauds[end] - frauds[begin], count, out=np.zeros_like(count), where=count > 0)
        columns[f"terminal_count_{w}d"] = groups.restore(count)
        columns[f"terminal_risk_{w}d"] = groups.restore(risk)
    return columns


class _Groups:
    """Rows sorted by group and time, so that a window of every row is two positions in one running sum."""

    def __init__(self, transactions: pd.DataFrame, by: str, seconds: np.ndarray) -> None:
        group = transactions[by].to_numpy()
        ties = [transactions["transaction_id"].to_numpy()] if "transaction_id" in transactions else []
        self.order = np.lexsort((*ties, seconds, group))
        codes = np.unique(group, return_inverse=True)[1].astype(np.int64)[self.order]
        elapsed = seconds[self.order] - seconds.min(initial=0 if not len(seconds) else seconds[0])
        self._elapsed = elapsed
        self._span = int(elapsed.max(initial=0)) + 1
        self._start = codes * self._span
        self._key = self._start + elapsed

    def running_sum(self, values: np.ndarray, dtype: type) -> np.ndarray:
        """Sums of the sorted values before each position, one element more than there are rows."""
        return np.concatenate([[dtype(0)], np.cumsum(values[self.order], dtype=dtype)])

    def first_after(self, seconds_ago: float) -> np.ndarray:
        """For each sorted row, the position of its group's first row later than seconds_ago before it."""
        bound = np.floor(self._elapsed - seconds_ago).astype(np.int64).clip(min=-1)
        return np.searchsorted(self._key, self._start + bound, side="right")

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Values of the sorted rows, in the order in which the rows were given."""
        restored = np.empty_like(values)
        restored[self.order] = values
        return restored
