"""Sphinx directive of the course: a multiple-choice quiz from a YAML file beside the page."""

from __future__ import annotations

import html
import re
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Quiz(SphinxDirective):
    """`{quiz} quiz.yml`: questions as radio buttons, with an explanation of every answer.

    The file is a list of {question, answers: [{text, why, right}]}, exactly one answer of each question being right.
    Text between backticks becomes code. Without JavaScript the explanations lie in a closed <details> element.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the file and write it as HTML; a malformed question is an error at the directive's line."""
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        try:
            questions = read_questions(Path(path))
        except (OSError, ValueError) as error:
            raise self.error(f"quiz: {error}") from error
        return [nodes.raw("", render(questions), format="html")]


def read_questions(path: Path) -> list[dict]:
    """Questions of a quiz file.

    Raises:
        ValueError: a question lacks a member, or has not exactly one right answer. The message names it.
    """
    questions = yaml.safe_load(path.read_text(encoding="utf-8"))
    for number, question in enumerate(questions, 1):
        answers = question.get("answers", [])
        members = [question.get("question"), *(answer.get(key) for answer in answers for key in ("text", "why"))]
        if not all(isinstance(member, str) and member for member in members):
            raise ValueError(
                f"{path.name}, question {number}: question, text and why of every answer are needed as text; "
                "a bare number needs quotation marks"
            )
        if (right := sum(bool(answer.get("right")) for answer in answers)) != 1:
            raise ValueError(f"{path.name}, question {number}: exactly one answer must be right, {right} are")
    return questions


def render(questions: list[dict]) -> str:
    """The quiz as HTML, one fieldset per question."""
    return "\n".join(
        ['<form class="quiz" autocomplete="off">']
        + [_question(number, question) for number, question in enumerate(questions, 1)]
        + ['<p class="quiz-score" role="status" aria-live="polite"></p>', "</form>"]
    )


def _question(number: int, question: dict) -> str:
    labels, reasons = [], []
    for letter, answer in zip("abcdefgh", question["answers"], strict=False):
        verdict = "right" if answer.get("right") else "wrong"
        labels.append(
            f'<label><input type="radio" name="question-{number}" value="{letter}" data-verdict="{verdict}">'
            f" <span>{_inline(answer['text'])}</span></label>"
        )
        reasons.append(
            f'<li data-answer="{letter}" data-verdict="{verdict}">'
            f"<strong>{letter}) {verdict.capitalize()}.</strong> {_inline(answer['why'])}</li>"
        )
    return (
        f'<fieldset><legend><span class="quiz-number">{number}.</span> {_inline(question["question"])}</legend>'
        f"{''.join(labels)}"
        '<p class="quiz-feedback" role="status" aria-live="polite"></p>'
        f"<details><summary>All answers explained</summary><ul>{''.join(reasons)}</ul></details></fieldset>"
    )


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(" ".join(text.split()), quote=False))
