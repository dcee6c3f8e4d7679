"""The search of one tuning job: its places in order, what is tried at each, and which jobs are given up."""

from __future__ import annotations

from collections.abc import Iterable

from helpers.local_sagemaker.tuning import early_stopping, proposals
from helpers.local_sagemaker.tuning.definitions import Definition
from helpers.local_sagemaker.tuning.early_stopping import Curve
from helpers.local_sagemaker.tuning.proposals import Tried

MAX_JOBS = 750
# Static hyperparameters that MaxResource of Hyperband is taken from where it is not given.
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


class Search:
    """Says what is tried at each of its places, which are numbered from 0.

    Definitions take turns; the combinations of a grid come definition by definition.

    Attributes:
        jobs: how many places there are.
        minimize: whether a lower objective is better.

    Args:
        config: the HyperParameterTuningJobConfig.
        definitions: what is trained.
        seed: of the proposals.
        history: what other tuning jobs have tried.
    """

    def __init__(
        self, config: dict, definitions: list[Definition], seed: int = 0, history: Iterable[Tried] = ()
    ) -> None:
        self._config, self._definitions = config, definitions
        self._seed, self._history = seed, list(history)
        self._is_grid = config["Strategy"] == "Grid"
        self.minimize = definitions[0].minimize
        self.jobs = config["ResourceLimits"].get("MaxNumberOfTrainingJobs", MAX_JOBS)
        if self._is_grid:
            self.jobs = sum(proposals.cells(definition.parameters) for definition in definitions)

    def definition(self, place: int) -> Definition:
        """What is trained at a place."""
        return self._definitions[self._locate(place)[0]]

    def propose(self, place: int, known: Iterable[Tried]) -> dict[str, str]:
        """The hyperparameters to be tried at a place; `known` is what its definition has tried so far."""
        number, index = self._locate(place)
        return proposals.propose(
            self._config["Strategy"],
            self._definitions[number].parameters,
            index=index,
            seed=self._seed + number,
            minimize=self.minimize,
            jobs=self.jobs // len(self._definitions),
            history=[*self._history, *known],
        )

    def is_hopeless(self, place: int, curve: Curve, before: int, earlier: list[Curve], others: list[Curve]) -> bool:
        """Whether a training job is to be stopped early.

        Args:
            place: of the job.
            curve: the values of its objective so far.
            before: how many of them have been judged already.
            earlier: the curves of its definition's jobs that ended.
            others: the curves of all of its definition's other jobs.
        """
        if self._config["Strategy"] == "Hyperband":
            least, most = self.resources(self.definition(place))
            rungs = early_stopping.rungs(least, most, self._seed, place)
            reached = [rung for rung in rungs if before < rung <= len(curve)]
            return len(curve) >= most or any(
                early_stopping.is_outrun(curve, rung, others, self.minimize) for rung in reached
            )
        if self._config.get("TrainingJobEarlyStoppingType") != "Auto":
            return False
        lengths = range(before + 1, len(curve) + 1)
        return any(early_stopping.is_below_median(curve[:length], earlier, self.minimize) for length in lengths)

    def resources(self, definition: Definition) -> tuple[int, int | None]:
        """MinResource and MaxResource of Hyperband; the latter also from a static hyperparameter such as `epochs`."""
        given = self._config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
        epochs = [definition.static[name] for name in EPOCHS if definition.static.get(name, "").isdecimal()]
        return given.get("MinResource", 1), given.get("MaxResource") or next(map(int, epochs), None)

    def _locate(self, place: int) -> tuple[int, int]:
        """The number of a place's definition, and the place's own among those of the definition."""
        if not self._is_grid:
            index, number = divmod(place, len(self._definitions))
            return number, index
        for number, definition in enumerate(self._definitions):
            if place < (size := proposals.cells(definition.parameters)):
                return number, place
            place -= size
        raise ValueError(f"the grid has no place {place} more")
