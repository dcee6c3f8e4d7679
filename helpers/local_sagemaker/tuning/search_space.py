"""The ranges of hyperparameters: checked, and translated between a job's strings and the optimiser's coordinates.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-define-ranges.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.local_sagemaker import errors

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Where the scale is Auto, a positive range is logarithmic from this ratio of its ends on.
_WIDE = 1000
_LINEAR, _LOGARITHMIC, _REVERSE, _AUTO = "Linear", "Logarithmic", "ReverseLogarithmic", "Auto"


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter that is tuned.

    Attributes:
        name: the hyperparameter.
        values: of a categorical one; else empty.
        least: the lowest value of a number.
        most: the highest, which is included.
        integer: whether only whole numbers are meant.
        scale: Linear, Logarithmic or ReverseLogarithmic.
    """

    name: str
    values: tuple[str, ...] = ()
    least: float = 0
    most: float = 0
    integer: bool = False
    scale: str = _LINEAR

    def distribution(self) -> BaseDistribution:
        """What the optimiser draws from, in its own coordinates."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.values:
            return CategoricalDistribution(self.values)
        if self.integer:
            return IntDistribution(int(self.least), int(self.most), log=self.scale == _LOGARITHMIC)
        if self.scale == _REVERSE:
            return FloatDistribution(1 - self.most, 1 - self.least, log=True)
        return FloatDistribution(self.least, self.most, log=self.scale == _LOGARITHMIC)

    def text(self, coordinate: object) -> str:
        """The hyperparameter's value at a coordinate."""
        if self.values or self.integer:
            return str(coordinate)
        number = 1 - float(coordinate) if self.scale == _REVERSE else float(coordinate)
        return repr(min(max(number, self.least), self.most))

    def coordinate(self, text: str) -> object | None:
        """The coordinate of a value, None where it lies outside of the range."""
        if self.values:
            return text if text in self.values else None
        number = _number(text)
        if number is None or not self.least <= number <= self.most or (self.integer and number != int(number)):
            return None
        if self.integer:
            return int(number)
        return 1 - number if self.scale == _REVERSE else number


def parse(ranges: dict) -> list[Parameter]:
    """The parameters of a `ParameterRanges`.

    Raises:
        AwsError: `ValidationException`; a bound is no number, the bounds are in the wrong order, the scale does not
            go with them, or a name is given twice.
    """
    parameters = [
        *(_numeric(each, integer=True) for each in ranges.get("IntegerParameterRanges", ())),
        *(_numeric(each, integer=False) for each in ranges.get("ContinuousParameterRanges", ())),
        *(
            Parameter(each["Name"], tuple(dict.fromkeys(each["Values"])))
            for each in ranges.get("CategoricalParameterRanges", ())
        ),
    ]
    names = [parameter.name for parameter in parameters]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise errors.validation(f"Each hyperparameter has one range, and more are given for {twice}.")
    return parameters


def _numeric(each: dict, integer: bool) -> Parameter:
    name, low, high = each["Name"], _number(each["MinValue"]), _number(each["MaxValue"])
    whole = not integer or all(number is not None and number == int(number) for number in (low, high))
    if low is None or high is None or not whole:
        kind = "an integer" if integer else "a number"
        raise errors.validation(f"MinValue and MaxValue of the hyperparameter {name} must each be {kind}.")
    if low > high:
        raise errors.validation(f"MinValue of the hyperparameter {name} must not be above its MaxValue.")
    scale = each.get("ScalingType", _AUTO)
    if scale == _LOGARITHMIC and low <= 0:
        raise errors.validation(f"Logarithmic scaling of the hyperparameter {name} needs a MinValue above 0.")
    if scale == _REVERSE and (integer or not 0 <= low <= high < 1):
        raise errors.validation(
            f"ReverseLogarithmic scaling of the hyperparameter {name} needs a continuous range within 0 <= x < 1."
        )
    if scale == _AUTO:
        scale = _LOGARITHMIC if low > 0 and high / low >= _WIDE else _LINEAR
    return Parameter(name, least=low, most=high, integer=integer, scale=scale)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
