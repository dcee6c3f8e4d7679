"""What kind of values a column has, and its statistics in the format of statistics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NUMERIC = ("Integral", "Fractional")
BUCKETS = 10
SKETCH_K = 2048
SKETCH_C = 0.64
MOST_VALUES = 100  # of a column of text whose counts are written, the most frequent first
_INTEGRAL = r"^[+-]?\d+$"
_FRACTIONAL = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class Column:
    """A column and what was found in it.

    Attributes:
        name: of the column.
        inferred_type: Integral, Fractional, String or Unknown (where every value is missing).
        rows: how many there are.
        integral: values that are whole numbers.
        fractional: values that are other numbers.
        numbers: the values of a numeric column, float64, without the missing ones.
        texts: the distinct values of a column of text, the most frequent first, with their counts.
        present: values that are not missing.
    """

    name: str
    inferred_type: str
    rows: int
    present: int
    integral: int
    fractional: int
    numbers: np.ndarray | None = None
    texts: tuple[tuple[str, int], ...] = ()

    @property
    def completeness(self) -> float:
        """The share of values that are not missing."""
        return self.present / self.rows if self.rows else 0.0

    def matching(self, expected: str) -> float:
        """The share of present values that are of a type; a whole number is a fractional one, too."""
        counts = {"Integral": self.integral, "Fractional": self.integral + self.fractional}
        return counts.get(expected, self.present) / self.present if self.present else 1.0


def column(name: str, values: pa.ChunkedArray) -> Column:
    """Looks at all values of a column; text that reads as a number is one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = len(values)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        numbers, integral = _as_numbers(pc.utf8_trim_whitespace(values.drop_null()))
    elif pa.types.is_integer(values.type):
        numbers = values.drop_null()
        integral = len(numbers)
    elif pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        numbers, integral = values.drop_null().cast(pa.float64()), 0
    else:
        values = _as_text(values)
        numbers, integral = None, 0
    if numbers is None:
        return _text_column(name, rows, values.drop_null())
    found = numbers.cast(pa.float64()).to_numpy()
    found = found[np.isfinite(found)]
    kind = "Unknown" if not len(found) else "Integral" if integral == len(found) else "Fractional"
    return Column(name, kind, rows, len(found), integral, len(found) - integral, found)


def statistics(columns: list[Column]) -> dict:
    """The content of statistics.json.

    Source: "Schema for Statistics (statistics.json file)" of the Amazon SageMaker developer guide.
    """
    rows = columns[0].rows if columns else 0
    return {"version": 0.0, "dataset": {"item_count": rows}, "features": [_statistics(each) for each in columns]}


def sketch(numbers: np.ndarray) -> dict:
    """A KLL sketch: the values that it keeps, by level; one of level i stands for 2**i values."""
    from datasketches import kll_doubles_sketch

    kept = kll_doubles_sketch(SKETCH_K)
    kept.update(numbers)
    levels: dict[int, list[float]] = {}
    for value, weight in kept:
        levels.setdefault(weight.bit_length() - 1, []).append(value)
    data = [levels.get(level, []) for level in range(max(levels) + 1)]
    return {"parameters": {"c": SKETCH_C, "k": float(SKETCH_K)}, "data": data}


def _as_numbers(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray | None, int]:
    """Text as numbers, and how many of them are whole; None when it is something else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        integers = values.cast(pa.int64())
        return integers, len(integers)
    except pa.ArrowInvalid:
        pass
    try:
        numbers = values.cast(pa.float64())
    except pa.ArrowInvalid:
        return None, 0
    return numbers, pc.sum(pc.match_substring_regex(values, _INTEGRAL)).as_py() or 0


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    from .datasets import text

    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # lists and structures
        return pa.chunked_array([pa.array([text(value) for value in values.to_pylist()], pa.string())])


def _text_column(name: str, rows: int, values: pa.ChunkedArray) -> Column:
    import pyarrow.compute as pc

    values = values.cast("string")
    counted = pc.value_counts(values)
    counts = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    trimmed = pc.utf8_trim_whitespace(values)
    integral = pc.sum(pc.match_substring_regex(trimmed, _INTEGRAL)).as_py() or 0
    numbers = pc.sum(pc.match_substring_regex(trimmed, _FRACTIONAL)).as_py() or 0
    texts = tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Column(name, "String", rows, len(values), integral, numbers - integral, texts=texts)


def _statistics(column: Column) -> dict:
    common = {"common": {"num_present": column.present, "num_missing": column.rows - column.present}}
    base = {"name": column.name, "inferred_type": column.inferred_type}
    if column.inferred_type in NUMERIC:
        return base | {"numerical_statistics": common | _numerical(column.numbers)}
    if column.inferred_type == "String":
        buckets = [{"value": value, "count": count} for value, count in column.texts[:MOST_VALUES]]
        distribution = {"categorical": {"buckets": buckets}}
        return base | {
            "string_statistics": common | {"distinct_count": float(len(column.texts)), "distribution": distribution}
        }
    return base


def _numerical(numbers: np.ndarray) -> dict:
    least, most = float(numbers.min()), float(numbers.max())
    return {
        "mean": float(numbers.mean()),
        "sum": float(numbers.sum()),
        "std_dev": float(numbers.std()),
        "min": least,
        "max": most,
        "distribution": {"kll": {"buckets": _buckets(numbers, least, most), "sketch": sketch(numbers)}},
    }


def _buckets(numbers: np.ndarray, least: float, most: float) -> list[dict]:
    """Ten intervals of one width; one alone where all values are the same."""
    import numpy as np

    if least == most:
        return [{"lower_bound": least, "upper_bound": most, "count": float(len(numbers))}]
    counts, bounds = np.histogram(numbers, BUCKETS, (least, most))
    return [
        {"lower_bound": float(lower), "upper_bound": float(upper), "count": float(count)}
        for lower, upper, count in zip(bounds, bounds[1:], counts, strict=False)
    ]
