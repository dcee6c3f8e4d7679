"""What a page says, as its reader sees it."""

import html
import re
from pathlib import Path


def text_of(page: Path) -> str:
    """The text of a page's body, without markup."""
    body = page.read_text().partition("<body>")[2]
    return html.unescape(re.sub(r"<[^>]+>", "", body))


def hidden_lines(source: dict) -> set[str]:
    """The lines of a lab's hidden tests that hold code; texts of their assertions are the students' hints."""
    lines = set()
    for cell in source["cells"]:
        text = "".join(cell["source"])
        for part in text.split("### BEGIN HIDDEN TESTS")[1:]:
            lines |= {line.strip() for line in part.partition("### END HIDDEN TESTS")[0].splitlines()}
    return {line for line in lines if len(line) > 12 and not line.startswith(('"', "'", 'f"'))}


def feedback_of(root: Path, student: str, lab: str = "tiny") -> Path:
    """Where a student's page lies."""
    return root / "feedback" / student / lab / f"{lab}.html"
