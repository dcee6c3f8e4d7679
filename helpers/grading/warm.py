"""What a process learns before it forks, so that no fork has to do it again."""

from __future__ import annotations

import functools
import json
import sys
from typing import Any


def remember_checked_schemas() -> None:
    """Let jsonschema check a schema once: the SageMaker SDK checks its own, a large one, for each value it looks up."""
    validators = sys.modules.get("jsonschema.validators")
    if validators is None:
        return
    for kind in {*validators._META_SCHEMAS.values()}:
        kind.check_schema = staticmethod(_once(kind.check_schema))


def _once(check: Any) -> Any:
    checked: set[str] = set()

    @functools.wraps(check)
    def check_once(schema: Any, *arguments: Any, **keywords: Any) -> None:
        try:
            text = json.dumps(schema, sort_keys=True)
        except (TypeError, ValueError):
            text = ""
        if not text or text not in checked:
            check(schema, *arguments, **keywords)
            checked.add(text)

    return check_once
