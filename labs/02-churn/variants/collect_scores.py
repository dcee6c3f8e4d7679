"""Answers that the tests of collect_scores must tell apart."""

import csv
import io
import math
from collections import Counter

import pandas as pd


def _check(inputs, outputs):
    counts = Counter(identifier for rows in inputs.values() for identifier in rows)
    if any(count > 1 for count in counts.values()):
        raise ValueError("an id is in the inputs more than once")
    if set(outputs) - {f"{key}.out" for key in inputs}:
        raise ValueError("an output without an input")


def _rows(text):
    return [row for row in csv.reader(io.StringIO(text)) if row]


def _number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def right_by_csv(inputs, outputs):
    # the csv module, and counters
    _check(inputs, outputs)
    found, missing = {}, []
    for key in sorted(inputs):
        rows = _rows(outputs.get(f"{key}.out", ""))
        whole = all(len(row) == 2 and math.isfinite(_number(row[1])) for row in rows)
        if whole and Counter(row[0] for row in rows) == Counter(inputs[key]):
            found.update((identifier, float(score)) for identifier, score in rows)
        else:
            missing.append(key)
    return pd.Series(found, dtype=float).sort_index(), missing


def wrong_joins_by_position(inputs, outputs):
    # the n-th score belongs to the n-th row, until a line moves
    _check(inputs, outputs)
    found, missing = {}, []
    for key in sorted(inputs):
        rows = _rows(outputs.get(f"{key}.out", ""))
        if len(rows) == len(inputs[key]):
            scores = [_number(row[-1]) for row in rows]
            found.update(zip(inputs[key], scores, strict=True))
        else:
            missing.append(key)
    return pd.Series(found, dtype=float).sort_index(), missing


def wrong_an_output_is_enough(inputs, outputs):
    # an object that exists counts as done, cut off or not
    _check(inputs, outputs)
    found, missing = {}, []
    for key in sorted(inputs):
        if f"{key}.out" not in outputs:
            missing.append(key)
        for row in _rows(outputs.get(f"{key}.out", "")):
            found[row[0]] = _number(row[-1])
    return pd.Series(found, dtype=float).sort_index(), missing


def wrong_counts_lines(inputs, outputs):
    # as many lines as rows: a double line and a missing one cancel
    _check(inputs, outputs)
    found, missing = {}, []
    for key in sorted(inputs):
        rows = _rows(outputs.get(f"{key}.out", ""))
        if len(rows) != len(inputs[key]):
            missing.append(key)
            continue
        found.update((row[0], _number(row[-1])) for row in rows)
    return pd.Series(found, dtype=float).sort_index(), missing


def wrong_keeps_half_parts(inputs, outputs):
    # scores of a part that is to run again are used already
    _, missing = right_by_csv(inputs, outputs)
    found = {}
    for key in inputs:
        for row in _rows(outputs.get(f"{key}.out", "")):
            if len(row) == 2 and math.isfinite(_number(row[1])):
                found[row[0]] = float(row[1])
    return pd.Series(found, dtype=float).sort_index(), missing


def wrong_reruns_everything(inputs, outputs):
    # one part is not whole: all run again, and are paid again
    found, missing = right_by_csv(inputs, outputs)
    if missing:
        return pd.Series(dtype=float), sorted(inputs)
    return found, missing


def wrong_keeps_nan(inputs, outputs):
    # a score that is not a number is taken for one
    _check(inputs, outputs)
    found, missing = {}, []
    for key in sorted(inputs):
        rows = _rows(outputs.get(f"{key}.out", ""))
        if Counter(row[0] for row in rows) == Counter(inputs[key]):
            found.update((row[0], _number(row[-1])) for row in rows)
        else:
            missing.append(key)
    return pd.Series(found, dtype=float).sort_index(), missing


def wrong_checks_nothing(inputs, outputs):
    # a stranger's output and a repeated id pass
    known = {key: text for key, text in outputs.items() if key[:-4] in inputs}
    unique, seen = {}, set()
    for key, rows in inputs.items():
        unique[key] = [i for i in dict.fromkeys(rows) if i not in seen]
        seen.update(rows)
    return right_by_csv(unique, known)
