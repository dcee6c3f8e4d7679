"""Which hyperparameters a tuning job tries next.

Random and Hyperband draw at random, Grid walks through all combinations, and Bayesian models what is known by Optuna's
tree-structured Parzen estimator (TPE), where AWS uses a Gaussian process: TPE needs neither torch nor a process of its
own, takes milliseconds, and knows of the jobs that still run. Optuna is imported with the first proposal.
A proposal depends on its arguments alone, so a tuning job goes on after a restart as if there had been none.
Source: https://optuna.readthedocs.io/en/stable/reference/samplers/generated/optuna.samplers.TPESampler.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker.tuning.search_space import Parameter

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

_MOST_STARTING, _LEAST_STARTING = 10, 3
_SEEDS, _STRIDE = 2**32, 1_000_003


@dataclass(frozen=True)
class Tried:
    """What is known of some hyperparameters.

    Attributes:
        values: all hyperparameters of a training job.
        objective: its final value, None while it runs.
    """

    values: dict[str, str]
    objective: float | None = None


def propose(
    strategy: str,
    parameters: list[Parameter],
    *,
    index: int,
    seed: int,
    minimize: bool = True,
    jobs: int = _MOST_STARTING,
    history: Iterable[Tried] = (),
) -> dict[str, str]:
    """The hyperparameters of the next training job.

    Args:
        strategy: Bayesian, Random, Hyperband or Grid.
        parameters: what is tuned.
        index: how many proposals there were before.
        seed: of the tuning job.
        minimize: whether a lower objective is better.
        jobs: how many training jobs there will be; of so many, Bayesian draws the first third at random.
        history: what Bayesian learns from. What lies outside of the ranges is left out.
    """
    if not parameters:
        return {}
    if strategy == "Grid":
        return _cell(parameters, index)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=_sampler(strategy, (seed * _STRIDE + index) % _SEEDS, jobs),
        direction="minimize" if minimize else "maximize",
    )
    if strategy == "Bayesian":
        study.add_trials(filter(None, (_frozen(parameters, tried) for tried in history)))
    drawn = study.ask({parameter.name: parameter.distribution() for parameter in parameters}).params
    return {parameter.name: parameter.text(drawn[parameter.name]) for parameter in parameters}


def cells(parameters: list[Parameter]) -> int:
    """How many combinations of categorical values there are."""
    return math.prod(len(parameter.values) for parameter in parameters)


def _cell(parameters: list[Parameter], index: int) -> dict[str, str]:
    """The combination of a number; the last parameter changes fastest."""
    values = {}
    for parameter in reversed(parameters):
        index, place = divmod(index, len(parameter.values))
        values[parameter.name] = parameter.values[place]
    return dict(reversed(values.items()))


def _sampler(strategy: str, seed: int, jobs: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    if strategy != "Bayesian":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=min(max(jobs // 3, _LEAST_STARTING), _MOST_STARTING))


def _frozen(parameters: list[Parameter], tried: Tried) -> FrozenTrial | None:
    """What was tried as the optimiser sees it, None where it does not fit into the ranges."""
    from optuna.trial import TrialState, create_trial

    coordinates = {
        parameter.name: parameter.coordinate(tried.values[parameter.name])
        for parameter in parameters
        if parameter.name in tried.values
    }
    if len(coordinates) < len(parameters) or None in coordinates.values():
        return None
    return create_trial(
        state=TrialState.RUNNING if tried.objective is None else TrialState.COMPLETE,
        params=coordinates,
        distributions={parameter.name: parameter.distribution() for parameter in parameters},
        value=tried.objective,
    )
