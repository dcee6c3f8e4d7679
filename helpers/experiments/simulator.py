"""Streams of experiments from a seed, with the faults that real ones have."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from helpers.experiments.analysis import CONTROL, TREATMENT
from helpers.experiments.design import assign
from helpers.experiments.sequential import COUNTS


def streams(p0: float, p1: float, n_per_arm: int, looks: int, n_streams: int, seed: int) -> np.ndarray:
    """Many experiments at their looks, as counts so far; p0 == p1 gives A/A experiments.

    Args:
        p0: share of successes of control.
        p1: share of successes of treatment.
        n_per_arm: observations per arm at the last look.
        looks: at equal distances, as far as whole observations allow.
        n_streams: experiments.
        seed: of the stream of random numbers.

    Returns:
        Shape (n_streams, looks, 4): n0, x0, n1, x1. `as_looks` makes a frame of one of them.
    """
    rng = np.random.default_rng(seed)
    until = np.rint(np.arange(1, looks + 1) * n_per_arm / looks).astype(int)
    added = np.diff(until, prepend=0)
    counts = np.empty((n_streams, looks, len(COUNTS)), dtype=int)
    for arm, share in enumerate((p0, p1)):
        counts[:, :, 2 * arm] = until
        counts[:, :, 2 * arm + 1] = rng.binomial(added, share, (n_streams, looks)).cumsum(axis=1)
    return counts


def as_looks(stream: np.ndarray) -> pd.DataFrame:
    """One stream, shape (looks, 4), as the frame that `sequential_test` takes."""
    return pd.DataFrame(stream, columns=list(COUNTS))


def stream_z(counts: np.ndarray) -> np.ndarray:
    """z of the difference at each look of each stream, as `z_scores`.

    Args:
        counts: shape (n_streams, looks, 4), as `streams` returns.

    Returns:
        Shape (n_streams, looks).
    """
    n0, x0, n1, x1 = np.moveaxis(counts, -1, 0)
    pooled = (x0 + x1) / (n0 + n1)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))
    difference = x1 / n1 - x0 / n0
    return np.divide(difference, deviation, out=np.zeros_like(difference), where=deviation > 0)


def request_log(
    seed: int,
    n_users: int = 4000,
    p0: float = 0.8,
    p1: float = 0.8,
    mean_requests: float = 5.0,
    concentration: float = 4.0,
    weights: tuple[float, float] = (0.5, 0.5),
    randomise: str = "user",
    lost: float = 0.0,
) -> pd.DataFrame:
    """The log of an experiment on an endpoint: users who ask often, each with his own share of successes.

    Args:
        seed: of the stream of random numbers; also part of the salt of the lot.
        n_users: who take part.
        p0: mean share of successes of control.
        p1: mean share of successes of treatment.
        mean_requests: of a user, geometric: a few users send most of the traffic.
        concentration: of the users' own shares around the mean, a beta distribution's a + b; the smaller, the more
            alike are the answers that one user gets.
        weights: of control and treatment.
        randomise: "user" gives all requests of a user to one arm, "request" draws for each of them, as an endpoint with
            two weighted variants does.
        lost: share of the treatment's requests that are missing in the log, for example those that timed out.

    Returns:
        One row per logged request in the order of time: request_id (int), user_id (int), variant ("control" or
        "treatment") and success (bool).

    Raises:
        ValueError: randomise is neither "user" nor "request".
    """
    if randomise not in ("user", "request"):
        raise ValueError(f"randomise must be user or request, got {randomise!r}")
    rng = np.random.default_rng(seed)
    requests = rng.geometric(1 / mean_requests, n_users)
    user = rng.permutation(np.repeat(np.arange(n_users), requests))
    arms = {CONTROL: weights[0], TREATMENT: weights[1]}
    treated_users = np.array(assign(range(n_users), arms, salt=f"log-{seed}")) == TREATMENT
    by_request = rng.random(len(user)) < weights[1] / sum(weights)
    treated = treated_users[user] if randomise == "user" else by_request
    # One draw of a user's taste serves both arms, so that a user who is hard to serve is so in both.
    taste = rng.random(n_users)
    shares = [_user_shares(taste, share, concentration) for share in (p0, p1)]
    success = rng.random(len(user)) < np.where(treated, shares[1][user], shares[0][user])
    log = pd.DataFrame(
        {
            "request_id": np.arange(len(user)),
            "user_id": user,
            "variant": np.where(treated, TREATMENT, CONTROL),
            "success": success,
        }
    )
    return log[~treated | (rng.random(len(user)) >= lost)].reset_index(drop=True)


def _user_shares(taste: np.ndarray, mean: float, concentration: float) -> np.ndarray:
    return stats.beta.ppf(taste, mean * concentration, (1 - mean) * concentration)
