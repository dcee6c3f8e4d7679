"""The quiz directive: what it refuses, and what its HTML holds."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from helpers.course import quiz

ROOT = Path(__file__).parents[2]
QUIZZES = sorted((ROOT / "book").glob("*/quiz.yml"))

ONE = """
- question: "What is `1 < 2`?"
  answers:
    - {text: "true", why: "one is less", right: %s}
    - {text: "false", why: "it is not"}
"""


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.parent.name)
def test_every_quiz_of_the_book_has_one_right_answer_a_question_and_a_reason_for_each(path):
    questions = quiz.read_questions(path)
    assert 8 <= len(questions) <= 10
    right = [[bool(answer.get("right")) for answer in question["answers"]].index(True) for question in questions]
    assert len(set(right)) > 1, "the right answer is always at the same place"


def test_a_question_without_a_right_answer_is_refused_by_number(tmp_path):
    path = tmp_path / "quiz.yml"
    path.write_text(ONE % "false")
    with pytest.raises(ValueError, match=r"quiz\.yml, question 1: exactly one answer must be right, 0 are"):
        quiz.read_questions(path)


def test_an_answer_without_a_reason_is_refused(tmp_path):
    path = tmp_path / "quiz.yml"
    path.write_text(ONE.replace(', why: "it is not"', "") % "true")
    with pytest.raises(ValueError, match="question, text and why of every answer are needed"):
        quiz.read_questions(path)


def test_every_radio_button_has_a_label_and_code_is_escaped(tmp_path):
    path = tmp_path / "quiz.yml"
    path.write_text(ONE % "true")
    page = BeautifulSoup(quiz.render(quiz.read_questions(path)), "html.parser")
    assert [button.find_parent("label").text.strip() for button in page.select("input")] == ["true", "false"]
    assert page.select_one("legend code").text == "1 < 2"
    assert [item["data-verdict"] for item in page.select("details li")] == ["right", "wrong"]
