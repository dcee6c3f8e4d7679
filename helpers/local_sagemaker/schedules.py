"""Schedule expressions: `at(...)`, `rate(...)` and `cron(...)`."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from helpers.local_sagemaker import errors

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_CRON = re.compile(r"cron\(([^)]+)\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name.upper(): number for number, name in enumerate(("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"), 1)}
_SEARCHED_YEARS = 9  # a leap year is at most eight away


class Schedule:
    """When something recurs.

    Args:
        text: the expression.
        timezone: an IANA name, for `at` and `cron`.

    Raises:
        AwsError: `ValidationException`, the expression or the time zone is not valid.
    """

    def __init__(self, text: str, timezone: str = "UTC") -> None:
        self.text = text
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise errors.validation(f"Invalid timezone: {timezone}") from None
        self.at = self._at()
        rate = _RATE.fullmatch(text)
        self._rate = int(rate[1]) * _SECONDS[rate[2]] if rate else None
        if self.at is None and not self._rate:
            self._cron = self._fields()

    def after(self, moment: float, origin: float) -> float | None:
        """The first time after a moment, in epoch seconds; None when there is none.

        Args:
            moment: epoch seconds.
            origin: what a rate counts from.
        """
        if self.at is not None:
            return self.at if self.at > moment else None
        if self._rate:
            periods = max(int((moment - origin) // self._rate) + 1, 1)
            return origin + periods * self._rate
        return next((found for found in self._times(moment) if found > moment), None)

    def _at(self) -> float | None:
        match = _AT.fullmatch(self.text)
        if match is None:
            return None
        try:
            return datetime.fromisoformat(match[1]).replace(tzinfo=self._zone).timestamp()
        except ValueError:
            raise self._invalid() from None

    def _fields(self) -> tuple:
        match = _CRON.fullmatch(self.text)
        parts = match[1].split() if match else []
        if len(parts) != 6 or (parts[2] == "?") == (parts[4] == "?"):
            raise self._invalid()
        minutes, hours = self._numbers(parts[0], 0, 59), self._numbers(parts[1], 0, 23)
        months, years = self._numbers(parts[3], 1, 12, _MONTHS), self._numbers(parts[5], 1970, 2199)
        days = None if parts[2] == "?" else parts[2] if parts[2] == "L" else self._numbers(parts[2], 1, 31)
        weekdays = None if parts[4] == "?" else self._numbers(parts[4], 1, 7, _DAYS)
        return minutes, hours, days, months, weekdays, years

    def _numbers(self, text: str, least: int, most: int, names: dict[str, int] | None = None) -> list[int]:
        """The numbers that a field stands for: lists, ranges, `*` and steps."""
        found: set[int] = set()
        for part in text.upper().split(","):
            span, _, step = part.partition("/")
            first, dash, last = span.partition("-")
            try:
                begin = least if first in ("*", "?") else (names or {}).get(first) or int(first)
                end = (names or {}).get(last) or int(last) if dash else most if first == "*" or step else begin
                found.update(range(begin, end + 1, int(step or 1)))
            except ValueError:
                raise self._invalid() from None
        if not found or min(found) < least or max(found) > most:
            raise self._invalid()
        return sorted(found)

    def _times(self, moment: float) -> Iterator[float]:
        minutes, hours, days, months, weekdays, years = self._cron
        day = datetime.fromtimestamp(moment, self._zone).date()
        last = day.replace(year=day.year + _SEARCHED_YEARS, day=1)
        while day < last:
            if day.month in months and day.year in years and _is_day(day, days, weekdays):
                for hour in hours:
                    for minute in minutes:
                        yield datetime.combine(day, time(hour, minute), self._zone).astimezone(UTC).timestamp()
            day += timedelta(days=1)

    def _invalid(self) -> errors.AwsError:
        return errors.validation(f"Invalid schedule expression: {self.text}")


def _is_day(day: date, days: list[int] | str | None, weekdays: list[int] | None) -> bool:
    if days == "L":
        return day.day == calendar.monthrange(day.year, day.month)[1]
    return (days is None or day.day in days) and (weekdays is None or day.isoweekday() % 7 + 1 in weekdays)
