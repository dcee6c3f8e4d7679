"""Pages as HTML: jinja's environment, and how states, times, sizes and numbers are written."""

from __future__ import annotations

import functools
import json
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from helpers.local_sagemaker.console import addresses

if TYPE_CHECKING:
    from jinja2 import Environment

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

_TONES = {
    "ok": "Completed InService Succeeded Successful OK Approved Active Created ENABLED Enabled Available Started",
    "bad": "Failed ALARM Rejected UpdateRollbackFailed CreateFailed DeleteFailed OutOfService",
    "warn": "CompletedWithViolations CompletedWithFailures PendingManualApproval RollingBack Interrupted "
    "MaxRuntimeExceeded MaxWaitTimeExceeded",
    "run": "InProgress Creating Updating Executing Stopping Deleting Starting Downloading Training Uploading Running",
}
_TONE_OF = {status: tone for tone, statuses in _TONES.items() for status in statuses.split()}
_GLYPHS = {"ok": "✓", "bad": "✕", "warn": "!", "run": "◐", "idle": "■"}
_SHOWN_DIGITS = 4
NOTHING = "\u2013"  # a dash: there is no value


@functools.cache
def environment() -> Environment:
    """jinja with everything escaped; members that a record lacks are empty."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("helpers.local_sagemaker.console"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "ago": ago,
        "clock": clock,
        "duration": duration,
        "iso": iso,
        "number": number,
        "size": size,
        "usd": usd,
        "pretty": pretty,
        "short_arn": short_arn,
        "utc": utc,
    }
    made.globals |= {
        "to": addresses.to,
        "of_uri": addresses.of_uri,
        "of_arn": addresses.of_arn,
        "tone": tone,
        "glyph": lambda status: _GLYPHS[tone(status)],
    }
    return made


def render(template: str, context: dict) -> str:
    """A page."""
    return environment().get_template(template).render(context)


def tone(status: str) -> str:
    """How a state is to be read: ok, bad, warn, run, or idle for what neither runs nor failed."""
    return _TONE_OF.get(status, "idle")


def epoch(moment: object) -> float:
    """Epoch seconds of a time, which boto3 gives as a datetime and our handlers give as seconds."""
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def iso(moment: object) -> str:
    """For the datetime of a `<time>`: 2026-03-01T12:00:00Z."""
    return datetime.fromtimestamp(epoch(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(moment: object) -> str:
    """2026-03-01 12:00:00 UTC."""
    return datetime.fromtimestamp(epoch(moment), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(moment: object) -> str:
    """12:00:00, or with its day when that is not today."""
    then = datetime.fromtimestamp(epoch(moment), UTC)
    return then.strftime("%H:%M:%S" if then.date() == datetime.now(UTC).date() else "%d %b %H:%M")


def ago(moment: object) -> str:
    """How long since: 12 s ago, 3 min ago, 2 h ago, 5 days ago."""
    seconds = time.time() - epoch(moment)
    return f"in {_rough(-seconds)}" if seconds <= -1 else f"{_rough(max(seconds, 0))} ago"


def _rough(seconds: float) -> str:
    for length, unit in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= (2 * length if length == _DAY else length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def duration(seconds: float | None) -> str:
    """0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    for length, unit, part, part_unit in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // part)} {part_unit}"
    raise AssertionError(seconds)


def size(count: float) -> str:
    """812 B, 3.4 KiB, 120 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def number(value: object) -> str:
    """Four digits that count: 12,345, 0.9312, 1.2e-07."""
    if value is None:
        return NOTHING
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.{_SHOWN_DIGITS}g}"


def usd(value: float | None) -> str:
    """$0.0123, $12.34, $1,234."""
    if value is None:
        return NOTHING
    if value and value < 0.00005:
        return "< $0.0001"
    if value >= 1:
        return f"${value:,.2f}"
    dollars, _, cents = f"{value:.4f}".rstrip("0").partition(".")
    return f"${dollars}.{cents:0<2}"


def pretty(value: object) -> str:
    """A record as indented JSON."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def short_arn(arn: str) -> str:
    """An ARN without what is the same for all: the resource, or the service and the resource."""
    parts = arn.split(":", 5)
    return parts[5] if len(parts) == 6 else arn
