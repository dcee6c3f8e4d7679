"""Answers that the tests of output_fn must tell apart."""

import csv
import io
import json

JSONL = ("application/jsonlines", "application/x-jsonlines", "application/*", "*/*")
CSV = ("text/csv", "text/*")


def _preferences(accept):
    """Weight, position and name of each media type."""
    found = []
    for place, part in enumerate(accept.split(",")):
        name, _, rest = part.partition(";")
        q = 1.0
        for parameter in rest.split(";"):
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                q = float(value)
        found.append((-q, place, name.strip().lower()))
    return found


def _chosen(accept):
    for weight, _, name in sorted(_preferences(accept)):
        if weight < 0 and name in JSONL:
            return "jsonl"
        if weight < 0 and name in CSV:
            return "csv"
    raise ValueError(f"nothing to write for {accept!r}")


def _jsonl(answers, ascii_only=False):
    return "".join(json.dumps(a, ensure_ascii=ascii_only) + "\n" for a in answers)


def _rows(answers):
    for a in answers:
        score = "" if a["label"] is None else f"{a['scores'][a['label']]:.6f}"
        yield a["id"], a["label"] or "", score, a["error"] or ""


def _csv(answers):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["id", "label", "score", "error"])
    writer.writerows(_rows(answers))
    return stream.getvalue()


def right_by_csv_module(answers, accept):
    # the csv module quotes, sorting decides
    return _jsonl(answers) if _chosen(accept) == "jsonl" else _csv(answers)


def wrong_ignores_weights(answers, accept):
    # the first known type, whatever its q
    names = [name for _, _, name in _preferences(accept) if name in JSONL + CSV]
    if not names:
        raise ValueError("nothing to write")
    return _jsonl(answers) if names[0] in JSONL else _csv(answers)


def wrong_q_zero_is_allowed(answers, accept):
    # q=0 is the worst choice, but a choice
    for _, _, name in sorted(_preferences(accept)):
        if name in JSONL + CSV:
            return _jsonl(answers) if name in JSONL else _csv(answers)
    raise ValueError("nothing to write")


def wrong_does_not_quote(answers, accept):
    # a comma in an id moves the columns
    if _chosen(accept) == "jsonl":
        return _jsonl(answers)
    rows = [("id", "label", "score", "error"), *_rows(answers)]
    return "".join(",".join(str(field) for field in row) + "\r\n" for row in rows)


def wrong_escapes_everything(answers, accept):
    # three times the bytes for languages beyond ASCII
    return _jsonl(answers, True) if _chosen(accept) == "jsonl" else _csv(answers)


def wrong_case_of_media_types(answers, accept):
    # TEXT/CSV is unknown, so the default is written
    if "csv" in accept.lower() and "csv" not in accept:
        return _jsonl(answers)
    return right_by_csv_module(answers, accept)


def wrong_a_json_array(answers, accept):
    # one array is no JSON lines
    if _chosen(accept) == "jsonl":
        return json.dumps(answers, ensure_ascii=False)
    return _csv(answers)


def wrong_largest_score(answers, accept):
    # without a label there is no score, not one of 0
    if _chosen(accept) == "jsonl":
        return _jsonl(answers)
    blank = [
        a | ({} if a["label"] else {"scores": {"": 0.0}, "label": ""}) for a in answers
    ]
    return _csv(blank)


def wrong_always_json_lines(answers, accept):
    # what the client accepts is not looked at
    return _jsonl(answers)
