"""The rules of composite alarms: AND, OR and NOT over the states of other alarms."""

from __future__ import annotations

import re
from collections.abc import Callable

from helpers.local_sagemaker import errors

_TOKEN = re.compile(r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|(?P<mark>[()])|(?P<word>[^\s()"']+))""")
_STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")
_CONSTANTS = {"TRUE": True, "FALSE": False}

States = dict[str, str]  # of alarms, by name


class Rule:
    """A parsed AlarmRule; `names` are the alarms that it looks at.

    Args:
        text: such as `ALARM(cpu) AND NOT OK("my memory")`; alarms may be named by their ARNs.

    Raises:
        AwsError: `ValidationError`, it cannot be parsed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: dict[str, None] = {}
        self._tokens = self._split(text)
        self._holds = self._any()
        if self._tokens:
            raise self._invalid(self._tokens[0])

    def holds(self, states: States) -> bool:
        """Whether the rule is true; an alarm that is gone is in no state."""
        return self._holds(states)

    def _split(self, text: str) -> list[str]:
        tokens, position = [], 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._invalid(text[position:])
            tokens.append(match[match.lastgroup])
            position = match.end()
        return tokens

    def _any(self) -> Callable[[States], bool]:
        parts = [self._all()]
        while self._next_is("OR"):
            parts.append(self._all())
        return lambda states: any(part(states) for part in parts)

    def _all(self) -> Callable[[States], bool]:
        parts = [self._one()]
        while self._next_is("AND"):
            parts.append(self._one())
        return lambda states: all(part(states) for part in parts)

    def _one(self) -> Callable[[States], bool]:
        if self._next_is("NOT"):
            negated = self._one()
            return lambda states: not negated(states)
        if self._next_is("("):
            inner = self._any()
            self._expect(")")
            return inner
        word = self._take()
        state = word.upper()
        if state in _CONSTANTS:
            return lambda states: _CONSTANTS[state]
        if state not in _STATES:
            raise self._invalid(word)
        self._expect("(")
        name = self._take().strip("\"'")
        name = name.partition(":alarm:")[2] or name
        self._expect(")")
        self.names[name] = None
        return lambda states: states.get(name) == state

    def _next_is(self, word: str) -> bool:
        if self._tokens and self._tokens[0].upper() == word:
            self._tokens.pop(0)
            return True
        return False

    def _take(self) -> str:
        if not self._tokens:
            raise self._invalid("its end")
        return self._tokens.pop(0)

    def _expect(self, mark: str) -> None:
        token = self._take()
        if token != mark:
            raise self._invalid(token)

    def _invalid(self, where: str) -> errors.AwsError:
        return errors.AwsError("ValidationError", f"Error parsing AlarmRule {self.text!r} at {where!r}.")
