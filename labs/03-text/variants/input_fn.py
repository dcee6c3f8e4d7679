"""Answers that the tests of input_fn must tell apart."""

import codecs
import io
import json

KINDS = ("application/jsonlines", "application/x-jsonlines")


def _check(content_type):
    if content_type.split(";")[0].strip().lower() not in KINDS:
        raise ValueError("content type must be application/jsonlines")


def _bytes(body):
    body = body.encode() if isinstance(body, str) else bytes(body)
    return body.removeprefix(codecs.BOM_UTF8)


def _record(line, max_chars, is_id=lambda i: type(i) in (str, int), surrogates=True):
    """The record of a line of text."""
    try:
        found = json.loads(line)
    except ValueError:
        return {"id": None, "text": None, "error": "json"}
    identifier = found.get("id") if isinstance(found, dict) else None
    identifier = identifier if is_id(identifier) else None
    bad = {"id": identifier, "text": None}
    if identifier is None or not isinstance(found.get("text"), str):
        return bad | {"error": "schema"}
    text = found["text"]
    if surrogates and any("\ud800" <= c <= "\udfff" for c in text):
        return bad | {"error": "unicode"}
    if not text.strip():
        return bad | {"error": "empty"}
    if len(text) > max_chars:
        return bad | {"error": "oversize"}
    return {"id": identifier, "text": text, "error": None}


def _all(body, max_chars, **options):
    records = []
    for line in _bytes(body).split(b"\n"):
        if not line.strip():
            continue
        try:
            records.append(_record(line.decode().strip(" \t\r"), max_chars, **options))
        except UnicodeDecodeError:
            records.append({"id": None, "text": None, "error": "encoding"})
    return records


def right_line_by_line(body, content_type, max_chars=20_000):
    # surrogates looked for one by one
    _check(content_type)
    return _all(body, max_chars)


def wrong_splitlines(body, content_type, max_chars=20_000):
    # str.splitlines ends a line at U+2028 and U+0085 too
    _check(content_type)
    text = _bytes(body).decode("utf-8", "replace")
    return [_record(line, max_chars) for line in text.splitlines() if line.strip()]


def wrong_decodes_the_whole(body, content_type, max_chars=20_000):
    # one bad byte fails every line
    _check(content_type)
    try:
        text = _bytes(body).decode()
    except UnicodeDecodeError:
        return [{"id": None, "text": None, "error": "encoding"}]
    lines = io.StringIO(text, newline="\n")
    return [_record(line, max_chars) for line in lines if line.strip()]


def wrong_replaces_bad_bytes(body, content_type, max_chars=20_000):
    # answers a text that nobody wrote
    _check(content_type)
    text = _bytes(body).decode("utf-8", "replace")
    return [_record(line, max_chars) for line in text.split("\n") if line.strip()]


def wrong_keeps_surrogates(body, content_type, max_chars=20_000):
    # half a pair reaches the tokenizer, which refuses it
    _check(content_type)
    return _all(body, max_chars, surrogates=False)


def wrong_boolean_id(body, content_type, max_chars=20_000):
    # True is an int to isinstance
    _check(content_type)
    return _all(body, max_chars, is_id=lambda i: isinstance(i, str | int))


def wrong_zero_is_no_id(body, content_type, max_chars=20_000):
    # 0 is false
    _check(content_type)
    return _all(body, max_chars, is_id=lambda i: type(i) in (str, int) and bool(i))


def wrong_cuts_long_texts(body, content_type, max_chars=20_000):
    # answers a part as if it were the whole
    _check(content_type)
    records = _all(body, 10**9)
    return [r | {"text": r["text"] and r["text"][:max_chars]} for r in records]


def wrong_counts_bytes(body, content_type, max_chars=20_000):
    # characters beyond ASCII count several times
    _check(content_type)
    records = _all(body, max_chars)
    for record in records:
        if record["text"] and len(record["text"].encode()) > max_chars:
            record.update(text=None, error="oversize")
    return records


def wrong_strips_texts(body, content_type, max_chars=20_000):
    # changes what was written
    _check(content_type)
    return [
        r | {"text": r["text"] and r["text"].strip()} for r in _all(body, max_chars)
    ]


def wrong_drops_bad_lines(body, content_type, max_chars=20_000):
    # the client looks for the answers in vain
    _check(content_type)
    return [r for r in _all(body, max_chars) if r["error"] is None]


def wrong_any_content_type(body, content_type, max_chars=20_000):
    # CSV is read as JSON lines
    return _all(body, max_chars)
