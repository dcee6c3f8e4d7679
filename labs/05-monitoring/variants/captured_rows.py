"""Answers that the tests of captured_rows must tell apart."""

import base64
import json

import numpy as np
import pandas as pd


def _text(side):
    coded = side["encoding"] == "BASE64"
    return base64.b64decode(side["data"]).decode() if coded else side["data"]


def _lines(text):
    return [line for line in text.splitlines() if line.strip()]


def _table(rows, features):
    names = ["event_id", "inference_id", "row", "time", *features, "score"]
    table = pd.DataFrame(rows, columns=names)
    table["time"] = pd.to_datetime(table["time"], utc=True)
    table["inference_id"] = table["inference_id"].astype(object)
    return table.astype(dict.fromkeys([*features, "score"], float))


def _decoded(lines, features, lengths=True):
    rows = []
    for line in lines:
        record = json.loads(line)
        meta, data = record["eventMetadata"], record["captureData"]
        asked = _lines(_text(data["endpointInput"]))
        output = data.get("endpointOutput")
        scores = _lines(_text(output)) if output else [np.nan] * len(asked)
        values = [[float(v) for v in one.split(",")] for one in asked]
        odd = any(len(one) != len(features) for one in values)
        if lengths and (len(scores) != len(asked) or odd):
            raise ValueError(f"event {meta['eventId']}")
        for i, (one, score) in enumerate(zip(values, scores, strict=False)):
            about = (meta["eventId"], meta.get("inferenceId"), i, meta["inferenceTime"])
            rows.append((*about, *one[: len(features)], float(score)))
    return _table(rows, features)


def right_by_frames(lines, features):
    # one small frame per record
    tables = [_decoded([line], features) for line in lines]
    return pd.concat(tables, ignore_index=True) if tables else _table([], features)


def wrong_skips_base64(lines, features):
    # only what can be read at once
    plain = []
    for line in lines:
        sides = json.loads(line)["captureData"].values()
        if all(side["encoding"] == "CSV" for side in sides):
            plain.append(line)
    return _decoded(plain, features)


def wrong_drops_failed_calls(lines, features):
    # a call without an output has no rows
    kept = [e for e in lines if "endpointOutput" in json.loads(e)["captureData"]]
    return _decoded(kept, features)


def wrong_first_row_only(lines, features):
    # a call is taken for a row
    table = _decoded(lines, features)
    return table[table["row"] == 0].reset_index(drop=True)


def wrong_id_of_the_event(lines, features):
    # the caller's id is replaced by SageMaker's
    table = _decoded(lines, features)
    return table.assign(inference_id=table["event_id"])


def wrong_counts_rows_overall(lines, features):
    # row goes on counting from call to call
    table = _decoded(lines, features)
    return table.assign(row=range(len(table)))


def wrong_cuts_to_the_shorter(lines, features):
    # lost scores and values go unnoticed
    return _decoded(lines, features, lengths=False)


def wrong_sorts_by_event(lines, features):
    # the order of the lines is lost
    return _decoded(lines, features).sort_values(["event_id", "row"], ignore_index=True)
