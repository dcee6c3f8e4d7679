"""After an experiment: how large the difference is, how sure of it one may be, and what is decided."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from helpers.experiments.design import sample_ratio_mismatch, sample_size
from helpers.experiments.sequential import sequential_test

CONTROL, TREATMENT = "control", "treatment"


@dataclass(frozen=True)
class Difference:
    """A difference of two shares, treatment minus control.

    Attributes:
        estimate: of the difference.
        low: lower end of its interval.
        high: upper end.
        p_value: two-sided, of no difference.
    """

    estimate: float
    low: float
    high: float
    p_value: float


def difference_interval(x0: int, n0: int, x1: int, n1: int, alpha: float = 0.05) -> Difference:
    """Difference of two shares with Newcombe's hybrid score interval and the p-value of the pooled z test.

    It is for one look at independent observations; `sequential_test` has the interval for several looks,
    `clustered_difference` that for several observations of one user.

    Args:
        x0: successes of the control arm.
        n0: its observations.
        x1: successes of the treatment arm.
        n1: its observations.
        alpha: one minus the interval's level.

    Raises:
        ValueError: an arm is empty, or has more successes than observations.

    Source: Newcombe, "Interval estimation for the difference between independent proportions", Stat. Med. 17, 1998.
    """
    if n0 < 1 or n1 < 1 or not 0 <= x0 <= n0 or not 0 <= x1 <= n1:
        raise ValueError(f"successes must lie between 0 and the observations: {x0} of {n0}, {x1} of {n1}")
    low, high = confint_proportions_2indep(x1, n1, x0, n0, method="newcomb", compare="diff", alpha=alpha)
    pooled = (x0 + x1) / (n0 + n1)
    deviation = (pooled * (1 - pooled) * (1 / n0 + 1 / n1)) ** 0.5
    estimate = x1 / n1 - x0 / n0
    p_value = 2 * stats.norm.sf(abs(estimate) / deviation) if deviation else 1.0
    return Difference(estimate, float(low), float(high), float(p_value))


def clustered_difference(requests: pd.DataFrame, alpha: float = 0.05, unit: str = "user_id") -> Difference:
    """Difference of two shares whose error counts the units of randomisation, not the rows.

    A least-squares fit with standard errors that are robust to any correlation within a unit.

    Args:
        requests: one row per observation, columns variant ("control" or "treatment"), success (bool) and `unit`.
        alpha: one minus the interval's level.
        unit: column of what was randomised.

    Raises:
        KeyError: a column is missing.
        ValueError: an arm is missing.

    Source: Deng, Knoblich, Lu, "Applying the delta method in metric analytics", KDD 2018.
    """
    if missing := [column for column in ("variant", "success", unit) if column not in requests.columns]:
        raise KeyError(f"requests lacks the columns {missing}: it has {list(requests.columns)}")
    if set(requests["variant"]) != {CONTROL, TREATMENT}:
        raise ValueError(f"variant must hold {CONTROL!r} and {TREATMENT!r}, got {sorted(set(requests['variant']))}")
    rows = pd.DataFrame(
        {
            "success": requests["success"].astype(float),
            "treated": (requests["variant"] == TREATMENT).astype(float),
        }
    )
    groups = pd.factorize(requests[unit])[0]
    fit = smf.ols("success ~ treated", rows).fit(cov_type="cluster", cov_kwds={"groups": groups})
    low, high = fit.conf_int(alpha).loc["treated"]
    return Difference(float(fit.params["treated"]), float(low), float(high), float(fit.pvalues["treated"]))


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first observation.

    Attributes:
        metric: what a success is.
        unit: what is randomised and counted.
        p0: share of successes of the control that is expected.
        p1: share of the treatment that would be worth a change.
        looks: at equal distances.
        alpha: false positives of all looks together.
        power: chance to find p1.
        control_weight: of the control arm's weight, 0 to 1.
    """

    metric: str
    unit: str
    p0: float
    p1: float
    looks: int = 20
    alpha: float = 0.05
    power: float = 0.8
    control_weight: float = 0.5

    @property
    def n_per_arm(self) -> int:
        """Observations per arm at the last look, for arms of equal weight."""
        return sample_size(self.p0, self.p1, self.alpha, self.power, self.looks)


@dataclass(frozen=True)
class Decision:
    """The record of a decision: what was planned, what was seen, what follows.

    Attributes:
        verdict: "invalid", "continue", "ship" or "keep control".
        reason: one sentence.
        plan: what was fixed before.
        n_per_arm: planned observations per arm.
        looks_taken: up to and with the one that decided.
        counts: observations by arm at that look.
        sample_ratio_p: p-value of the check that the counts agree with the weights.
        difference: treatment minus control at that look.
        low: lower end of the repeated confidence interval.
        high: upper end.
    """

    verdict: str
    reason: str
    plan: Plan
    n_per_arm: int
    looks_taken: int
    counts: dict[str, int]
    sample_ratio_p: float
    difference: float
    low: float
    high: float

    def to_json(self) -> str:
        """The record as JSON, for the model registry or a ticket."""
        return json.dumps(asdict(self), indent=2)


def decide(plan: Plan, looks: pd.DataFrame) -> Decision:
    """Decide by the plan, at the first look that allows it.

    Args:
        plan: what was fixed before.
        looks: one row per look so far, as `sequential_test` takes them.

    Raises:
        KeyError: a column is missing.
        ValueError: the counts are not those of looks.
    """
    judged = sequential_test(looks, plan.n_per_arm, plan.alpha)
    ended = judged["crossed"] | (judged["fraction"] >= 1)
    taken = int(ended.to_numpy().argmax()) + 1 if ended.any() else len(judged)
    last = judged.iloc[taken - 1]
    counts = {CONTROL: int(last["n0"]), TREATMENT: int(last["n1"])}
    ratio = sample_ratio_mismatch(counts, {CONTROL: plan.control_weight, TREATMENT: 1 - plan.control_weight})
    verdict, reason = _verdict(ratio.mismatch, last)
    numbers: dict[str, Any] = {name: float(last[name]) for name in ("difference", "low", "high")}
    return Decision(verdict, reason, plan, plan.n_per_arm, taken, counts, ratio.p_value, **numbers)


def _verdict(mismatch: bool, look: pd.Series) -> tuple[str, str]:
    if mismatch:
        return "invalid", "the arms do not hold what their weights promise: find the fault, then run it again"
    if look["crossed"]:
        won = look["difference"] > 0
        direction = "above" if won else "below"
        return "ship" if won else "keep control", f"z lies {direction} the bound, so treatment is {direction} control"
    if look["fraction"] >= 1:
        return "keep control", "all planned observations are there and no difference was shown"
    return "continue", f"{look['fraction']:.0%} of the planned observations are there and no bound was reached"
