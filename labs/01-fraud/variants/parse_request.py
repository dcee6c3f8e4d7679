"""Answers that the tests of parse_request must tell apart."""

import json
import math

import numpy as np
import pandas as pd


def _instances(body, content_type):
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise ValueError(f"content type {content_type!r} is not application/json")
    try:
        request = json.loads(body)
    except ValueError as error:
        raise ValueError("the body is not JSON") from error
    rows = request.get("instances") if isinstance(request, dict) else None
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(row, dict) for row in rows)
    ):
        raise ValueError("instances must be a list of at least one object")
    return rows


def _same_columns(rows, schema):
    for row in rows:
        for column in set(row) ^ set(schema):
            raise ValueError(
                f"{column} is missing or unknown: {sorted(set(row) ^ set(schema))}"
            )


def _in_limits(frame, schema):
    for column, rule in schema.items():
        outside = (
            ~frame[column].between(rule["minimum"], rule["maximum"])
            & frame[column].notna()
        )
        if outside.any() or (frame[column].isna().any() and not rule["nullable"]):
            raise ValueError(f"{column} is out of its limits or null")
    return frame


def right_by_columns(body, content_type, schema):
    # column by column, with a constant hook for NaN and Infinity
    def no_constant(name):
        raise ValueError(f"{name} is no JSON")

    rows = _instances(body, content_type)
    _same_columns(rows, schema)
    columns = {}
    for name, rule in schema.items():
        values = [row[name] for row in rows]
        for value in values:
            if type(value) not in (int, float, type(None)) or (
                value is not None and not math.isfinite(value)
            ):
                raise ValueError(f"{name}: {value!r} is no finite number")
            if value is None and not rule["nullable"]:
                raise ValueError(f"{name} must not be null")
        columns[name] = np.array(
            [np.nan if value is None else value for value in values], dtype=float
        )
    return _in_limits(pd.DataFrame(columns), schema)


def wrong_coerces_strings(body, content_type, schema):
    # astype(float) accepts "12", "nan" and True
    rows = _instances(body, content_type)
    _same_columns(rows, schema)
    return _in_limits(pd.DataFrame(rows)[list(schema)].astype(float), schema)


def wrong_keeps_the_order_of_the_request(body, content_type, schema):
    # the client's column order reaches a model that goes by position
    frame = right_by_columns(body, content_type, schema)
    return frame[list(json.loads(body)["instances"][0])]


def wrong_fills_missing_columns(body, content_type, schema):
    # reindex turns a forgotten column into NaN
    rows = [{**dict.fromkeys(schema), **row} for row in _instances(body, content_type)]
    loose = {name: {**rule, "nullable": True} for name, rule in schema.items()}
    return right_by_columns(json.dumps({"instances": rows}), content_type, loose)


def wrong_ignores_unknown_columns(body, content_type, schema):
    # a misspelt column goes unnoticed
    rows = [
        {name: row[name] for name in row if name in schema}
        for row in _instances(body, content_type)
    ]
    return right_by_columns(json.dumps({"instances": rows}), content_type, schema)


def wrong_booleans_are_numbers(body, content_type, schema):
    # isinstance(True, int) holds in Python
    rows = _instances(body, content_type)
    _same_columns(rows, schema)
    for row in rows:
        for name, value in row.items():
            if value is not None and not (
                isinstance(value, (int, float)) and math.isfinite(value)
            ):
                raise ValueError(f"{name}: {value!r} is no finite number")
    return _in_limits(pd.DataFrame(rows, columns=list(schema)).astype(float), schema)


def wrong_accepts_nan(body, content_type, schema):
    # json.loads reads NaN, and every comparison with it is false
    rows = _instances(body, content_type)
    _same_columns(rows, schema)
    for row in rows:
        for name, value in row.items():
            rule = schema[name]
            if value is None and rule["nullable"]:
                continue
            if (
                type(value) not in (int, float)
                or value < rule["minimum"]
                or value > rule["maximum"]
            ):
                raise ValueError(f"{name}: {value!r} is out of its limits")
    return pd.DataFrame(rows, columns=list(schema)).astype(float)


def wrong_checks_the_first_row_only(body, content_type, schema):
    # the second row goes in unchecked
    rows = _instances(body, content_type)
    right_by_columns(json.dumps({"instances": rows[:1]}), content_type, schema)
    return (
        pd.DataFrame(rows, columns=list(schema))
        .apply(pd.to_numeric, errors="coerce")
        .astype(float)
    )


def wrong_takes_any_content_type(body, content_type, schema):
    # the content type is never looked at
    return right_by_columns(body, "application/json", schema)


def wrong_exact_content_type(body, content_type, schema):
    # "application/json; charset=utf-8" is refused
    if content_type != "application/json":
        raise ValueError(f"content type {content_type!r}")
    return right_by_columns(body, content_type, schema)


def wrong_prefix_of_the_content_type(body, content_type, schema):
    # application/jsonlines begins with the same letters
    if content_type.lower().startswith("application/json"):
        content_type = "application/json"
    return right_by_columns(body, content_type, schema)


def wrong_unknown_columns_of_later_rows(body, content_type, schema):
    # compares the first row with the schema, and picks from the others
    first, *others = _instances(body, content_type)
    picked = [{name: row[name] for name in schema if name in row} for row in others]
    body = json.dumps({"instances": [first, *picked]})
    return right_by_columns(body, "application/json", schema)
