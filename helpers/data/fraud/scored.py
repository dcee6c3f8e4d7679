"""Scored transactions for exercises about ranking cards."""

import numpy as np
import pandas as pd


def random_scored_days(seed: int, n_days: int, n_transactions: int) -> pd.DataFrame:
    """Draw days of scored transactions in which cards share scores and have several transactions.

    A compromised card mixes fraudulent and genuine transactions, in any order, and either kind may carry its highest
    score. Scores lie on a grid of .05, so that many cards are equal at any cut.

    Args:
        seed: the same seed gives the same frame.
        n_days: days, numbered from 0.
        n_transactions: transactions of each day.

    Returns:
        Frame of n_days · n_transactions rows in random order: day (int64), customer_id (int64), score (float64 in
        [0, 1], higher is riskier), fraud (bool).

    Raises:
        ValueError: n_days or n_transactions is below 1.
    """
    if n_days < 1 or n_transactions < 1:
        raise ValueError(f"n_days and n_transactions must be at least 1, got {n_days} and {n_transactions}")
    rng = np.random.default_rng(seed)
    n_rows = n_days * n_transactions
    n_cards = max(2, n_transactions // 3)
    compromised = rng.random((n_days, n_cards)) < 0.15
    day = rng.permutation(np.repeat(np.arange(n_days), n_transactions))
    customer_id = rng.integers(0, n_cards, n_rows)
    fraud = compromised[day, customer_id] & (rng.random(n_rows) < 0.5)
    score = (np.where(fraud, 0.25, 0.0) + 0.75 * rng.random(n_rows)).round(2)
    return pd.DataFrame({"day": day, "customer_id": customer_id, "score": (score * 20).round() / 20, "fraud": fraud})
