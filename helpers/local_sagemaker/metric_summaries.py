"""What was reported of a metric in a while, and what its statistics are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from helpers.local_sagemaker import percentiles

Key = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions

# As many as one datum may bring: they are all kept. Of more, the last digits go first.
MOST_VALUES = 150
_MOST_DIGITS = 3


def key(namespace: str, name: str, dimensions: Iterable[dict]) -> Key:
    """Which metric this is: the same name with other dimensions is another metric."""
    return namespace, name, frozenset((dimension["Name"], dimension["Value"]) for dimension in dimensions)


@dataclass
class Summary:
    """A statistic set, and for percentiles how often which value came.

    As in CloudWatch, what was reported as a statistic set has no percentiles, unless all of its values are the same.
    """

    count: float = 0.0
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")
    values: Counter[float] = field(default_factory=Counter)

    def add(self, other: Summary) -> None:
        """Takes in what another one holds."""
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.values.update(other.values)

    def statistic(self, stat: str) -> float | None:
        """A statistic or a percentile; None where there is none.

        Raises:
            AwsError: `InvalidParameterValue`, it is neither.
        """
        match stat:
            case "Sum":
                return self.total
            case "SampleCount":
                return self.count
            case "Average":
                return self.total / self.count if self.count else None
            case "Minimum":
                return self.least
            case "Maximum":
                return self.most
        return percentiles.of(self.values, stat)


def of_datum(datum: dict) -> Summary:
    """The summary of a MetricDatum: of its values and their counts, its statistic set, or its value."""
    if values := datum.get("Values"):
        known = Counter(map(float, values)) if "Counts" not in datum else _counted(values, datum["Counts"])
        total = sum(value * count for value, count in known.items())
        bounds = min(known, default=float("inf")), max(known, default=float("-inf"))
        return Summary(known.total(), total, *bounds, _thinned(known))
    if statistics := datum.get("StatisticValues"):
        count, total, least, most = (float(statistics[name]) for name in ("SampleCount", "Sum", "Minimum", "Maximum"))
        return Summary(count, total, least, most, Counter({least: count} if least == most else {}))
    value = float(datum["Value"])
    return Summary(1.0, value, value, value, Counter({value: 1}))


def _counted(values: list[float], counts: list[float]) -> Counter[float]:
    known: Counter[float] = Counter()
    for value, count in zip(values, counts, strict=True):
        if count:
            known[float(value)] += count
    return known


def write_values(values: Counter[float]) -> str | None:
    """Values and how often each came, as JSON; None when there are none."""
    if not values:
        return None
    pairs = [f'"{_short(value)}":{_short(count)}' for value, count in _thinned(values).items()]
    return "{" + ",".join(pairs) + "}"


def read_values(text: str | None) -> Counter[float]:
    """What `write_values` wrote, once or several times with commas in between."""
    known: Counter[float] = Counter()
    for part in json.loads(f"[{text or ''}]"):
        for value, count in part.items():
            known[float(value)] += count
    return known


def merged(one: str | None, other: str | None) -> str | None:
    """Two texts of `write_values` as one."""
    if one is None or other is None:
        return one or other
    return write_values(read_values(f"{one},{other}"))


def _thinned(values: Counter[float]) -> Counter[float]:
    """Not many more than MOST_VALUES values, rounded to fewer digits where there were more."""
    for digits in range(_MOST_DIGITS, 0, -1):
        if len(values) <= MOST_VALUES:
            break
        rounded: Counter[float] = Counter()
        for value, count in values.items():
            rounded[float(f"{value:.{digits}g}")] += count
        values = rounded
    return values


def _short(number: float) -> str:
    return repr(float(number)).removesuffix(".0")
