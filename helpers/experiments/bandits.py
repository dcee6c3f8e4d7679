"""Thompson sampling beside an equal split: what is earned while one learns, and what one knows afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BanditRuns:
    """Many runs of an allocation of traffic to arms.

    Attributes:
        pulls: requests so far by arm, shape (n_runs, batches, arms).
        successes: successes so far by arm, shape (n_runs, batches, arms).
        shares: true share of successes by arm, shape (arms,).
    """

    pulls: np.ndarray
    successes: np.ndarray
    shares: np.ndarray

    @property
    def regret(self) -> np.ndarray:
        """Expected successes lost so far against the best arm alone, shape (n_runs, batches)."""
        return self.pulls @ (self.shares.max() - self.shares)

    @property
    def estimates(self) -> np.ndarray:
        """Observed share of successes by arm at the end, shape (n_runs, arms); nan for an arm never asked."""
        pulls, successes = self.pulls[:, -1].astype(float), self.successes[:, -1]
        return np.divide(successes, pulls, out=np.full(pulls.shape, np.nan), where=pulls > 0)


def thompson_sampling(shares: Sequence[float], batches: int, batch_size: int, n_runs: int, seed: int) -> BanditRuns:
    """Send each request of a batch to the arm that wins a draw from the arms' beta posteriors.

    Posteriors start uniform and are updated after each batch, as a job that sets an endpoint's weights would.

    Args:
        shares: true share of successes of each arm.
        batches: updates.
        batch_size: requests between two updates.
        n_runs: independent runs.
        seed: of the stream of random numbers.

    Source: Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 25, 1933;
    Chapelle, Li, "An empirical evaluation of Thompson sampling", NeurIPS 2011.
    """

    def to_winner(rng: np.random.Generator, pulls: np.ndarray, successes: np.ndarray) -> np.ndarray:
        draws = rng.beta(1 + successes[:, None], 1 + (pulls - successes)[:, None], (n_runs, batch_size, len(shares)))
        winners = draws.argmax(axis=2)
        return np.stack([(winners == arm).sum(axis=1) for arm in range(len(shares))], axis=1)

    return _run(shares, batches, n_runs, seed, to_winner)


def equal_split(shares: Sequence[float], batches: int, batch_size: int, n_runs: int, seed: int) -> BanditRuns:
    """Send each request to an arm by lot, with equal weights; arguments as in `thompson_sampling`."""

    def by_lot(rng: np.random.Generator, pulls: np.ndarray, successes: np.ndarray) -> np.ndarray:
        return rng.multinomial(batch_size, np.full(len(shares), 1 / len(shares)), n_runs)

    return _run(shares, batches, n_runs, seed, by_lot)


def _run(shares: Sequence[float], batches: int, n_runs: int, seed: int, allocate) -> BanditRuns:
    rng, true = np.random.default_rng(seed), np.asarray(shares, dtype=float)
    pulls = np.zeros((n_runs, batches + 1, len(true)), dtype=int)
    successes = np.zeros_like(pulls)
    for batch in range(batches):
        added = allocate(rng, pulls[:, batch], successes[:, batch])
        pulls[:, batch + 1] = pulls[:, batch] + added
        successes[:, batch + 1] = successes[:, batch] + rng.binomial(added, true)
    return BanditRuns(pulls[:, 1:], successes[:, 1:], true)
