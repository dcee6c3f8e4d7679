"""Values cross as data: what arrives is what was sent, by type and content, and nothing else can be made to arrive."""

import datetime
import math

import numpy as np
import pandas as pd
import pytest

from helpers.grading import wire

MOMENT = pd.Timestamp("2026-03-01 12:00:00.123456789")
PLAIN = [None, True, 0, -(2**80), 1.5, "text", b"bytes", (1, 2.0), [1, [2, (3,)]], {"a": 1, (1, 2): [3]}, {1, 2}]
TIMES = [MOMENT, MOMENT.tz_localize("Europe/Berlin"), MOMENT.as_unit("s"), pd.Timedelta("3D 1ns"), pd.NaT]
DATES = [datetime.date(2026, 3, 1), datetime.datetime(2026, 3, 1, 12), datetime.timedelta(days=1, microseconds=7)]
SCALARS = [np.float32(0.1), np.int8(-3), np.bool_(True), np.datetime64("2026-03-01", "s"), np.str_("text")]
ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.array([1, 2], dtype=np.int16),
    np.array(["a", "bc"]),
    np.array([[1, "a"], [None, 2.5]], dtype=object),
    np.array([], dtype="datetime64[s]"),
    np.float64(3) * np.ones((2, 0)),
]
FRAMES = [
    pd.DataFrame({"a": [1, 2], "b": [0.5, math.nan], "c": ["x", None]}, index=[7, 3]),
    pd.DataFrame({"t": pd.to_datetime(["2026-03-01", "2026-03-02"]).astype("datetime64[s]"), "n": [1, 2]}),
    pd.DataFrame([[1, 2], [3, 4]], columns=["same", "same"]),
    pd.DataFrame({"k": pd.Categorical(["b", "a", "b"], categories=["b", "a"], ordered=True)}),
    pd.DataFrame({"i": pd.array([1, None], dtype="Int64"), "s": pd.array(["x", None], dtype="string")}),
    pd.DataFrame(index=pd.MultiIndex.from_product([[1, 2], ["x", "y"]], names=["n", None]), columns=[]),
    pd.DataFrame({"zone": pd.to_datetime(["2026-03-01", None]).tz_localize("UTC")}),
]


def cross(value: object) -> object:
    return wire.decode(*wire.encode(value))


@pytest.mark.parametrize("value", [*PLAIN, *DATES], ids=repr)
def test_plain_values_arrive_with_their_type(value):
    got = cross(value)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize("value", TIMES, ids=repr)
def test_times_arrive_with_unit_and_zone(value):
    got = cross(value)
    assert got is value if value is pd.NaT else (got == value and got.unit == value.unit)
    assert getattr(got, "tz", None) == getattr(value, "tz", None)


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_numpy_scalars_stay_numpy_scalars(value):
    got = cross(value)
    assert got == value and got.dtype == value.dtype and isinstance(got, np.generic)


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype}{value.shape}")
def test_arrays_arrive_with_dtype_and_shape(value):
    got = cross(value)
    assert got.dtype == value.dtype and got.shape == value.shape
    np.testing.assert_array_equal(got, value)
    assert got.flags.writeable


@pytest.mark.parametrize("value", FRAMES, ids=range(len(FRAMES)))
def test_frames_arrive_with_index_columns_and_dtypes(value):
    pd.testing.assert_frame_equal(cross(value), value, check_freq=False)
    for column in range(value.shape[1]):
        pd.testing.assert_series_equal(cross(value.iloc[:, column]), value.iloc[:, column], check_freq=False)


def test_floats_that_json_cannot_hold_arrive():
    assert cross([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert math.isnan(cross(math.nan)) and math.isnan(cross({"a": np.float64("nan")})["a"])


def test_a_subclass_arrives_as_its_base():
    class Forged(float):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = float.__hash__

    got = cross(Forged(0.25))
    assert type(got) is float and got == 0.25 and got != 0.5


NO_DATA = {
    "object": object(),
    "builtin": len,
    "class": type,
    "iterator": iter([]),
    "function": lambda: 1,
    "module": np.ma,
    "list": [object()],
}


@pytest.mark.parametrize("value", NO_DATA.values(), ids=NO_DATA)
def test_what_is_no_data_does_not_cross(value):
    with pytest.raises(wire.NotData):
        wire.encode(value)


def test_a_value_that_contains_itself_does_not_cross():
    endless: list = []
    endless.append(endless)
    with pytest.raises(wire.NotData, match="deep"):
        wire.encode(endless)


@pytest.mark.parametrize(
    "tree",
    [
        {"$": "pickle", "v": 0},
        {"$": "array", "dtype": "O", "shape": [1], "v": 0},
        {"$": "array", "dtype": "<f8", "shape": [10**12], "v": 0},
        {"$": "array", "dtype": "<f8", "shape": [-1], "v": 0},
        {"$": "array", "dtype": "V8", "shape": [1], "v": 0},
        {"$": "array", "dtype": "<f8", "shape": [1], "v": 5},
        {"$": "extension", "dtype": "interval", "v": []},
        {"$": "frame", "columns": 1, "index": 2, "v": 3},
        {"$": "dict", "v": [[[], 1]]},
        {"no kind": 1},
        {"$": ["list"]},
    ],
    ids=str,
)
def test_a_forged_tree_makes_nothing(tree):
    with pytest.raises(wire.Damaged):
        wire.decode(tree, [b"12345678"])
