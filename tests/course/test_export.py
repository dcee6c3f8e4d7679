"""The gradebook as a table: for spreadsheets, which must run nothing, for Canvas and for Moodle."""

import csv
from pathlib import Path

import pytest

from helpers.course import export
from helpers.course.project import CourseError

ROWS = [
    {
        "student": "doejane_canvas12",
        "lab": "fraud",
        "test_a": 2.0,
        "total": 1.5,
        "points": 4.0,
        "refused": "",
        "flagged": "",
    },
    {"student": "jane-doe_moodle34", "lab": "fraud", "total": 3.0, "points": 4.0, "refused": "", "flagged": "cheats"},
    {"student": "plain", "lab": "fraud", "total": 4.0, "points": 4.0, "refused": "", "flagged": ""},
    {"student": "Points Possible.ipynb", "lab": "fraud", "total": "", "refused": "no student id", "flagged": ""},
]
AUDIT = {"student": "plain", "lab": "audit", "total": 7.0, "points": 10.0, "refused": "", "flagged": ""}


def written(folder: Path, rows: list[export.Row]) -> list[dict[str, str]]:
    """The rows that a spreadsheet reads of what is written."""
    export.write_csv(folder / "grades.csv", rows)
    with (folder / "grades.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\N{FULLWIDTH EQUALS SIGN}"])
def test_no_text_is_a_formula(tmp_path: Path, start: str):
    [row] = written(tmp_path, [{"student": f'{start}HYPERLINK("http://192.0.2.1",A1)', "total": -1.5}])
    assert row["student"].startswith("'") and row["total"] == "-1.5"


@pytest.mark.parametrize("text", ["a,b", 'a"b', "a;b", "a\nb,c\n=d", "a\x00b", "a\x1b[2Jb"])
def test_a_text_stays_one_cell_of_one_line(tmp_path: Path, text: str):
    [row] = written(tmp_path, [{"student": text, "total": 1.0}])
    assert row["total"] == "1.0" and row["student"].isprintable()
    assert (tmp_path / "grades.csv").read_text().count("\n") == 2


def test_a_table_has_a_row_a_submission_and_a_column_a_task():
    table = export.as_table([*ROWS, AUDIT])
    assert list(table[0]) == ["student", "lab", "test_a", "total", "points", "refused", "flagged", "comments"]
    assert [row["test_a"] for row in table] == [2.0, "", "", "", ""]
    assert table[1]["flagged"] == "cheats" and table[3]["refused"] == "no student id"


def test_canvas_gets_the_columns_that_its_importer_looks_for():
    table = export.for_canvas([*ROWS, AUDIT])
    assert list(table[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "fraud", "audit"]
    assert table[0]["Student"] == "Points Possible" and (table[0]["fraud"], table[0]["audit"]) == (4.0, 10.0)
    by_student = {row["Student"]: row for row in table[1:]}
    assert by_student["doejane"]["ID"] == "12" and by_student["doejane"]["fraud"] == 1.5
    assert by_student["plain"]["SIS Login ID"] == "plain" and by_student["plain"]["ID"] == ""
    assert (by_student["plain"]["fraud"], by_student["plain"]["audit"]) == (4.0, 7.0)


def test_canvas_is_told_of_no_entry_that_is_nobody_s():
    assert [row for row in export.for_canvas(ROWS)[1:] if "Points Possible" in row["Student"]] == []


def test_moodle_gets_the_columns_without_which_it_takes_no_worksheet():
    [row] = export.for_moodle([ROWS[1]])
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(row)
    assert (row["Identifier"], row["Full name"], row["Grade"]) == ("Participant 34", "jane-doe", 3.0)


def test_an_id_that_ends_like_a_participant_s_number_gets_nobody_a_grade_in_moodle():
    rows = [ROWS[1] | {"student": name} for name in ("Participant 34", "student12345x34", "plain")]
    with pytest.raises(CourseError, match="no student's id comes from Moodle"):
        export.for_moodle(rows)
    assert [row["Identifier"] for row in export.for_moodle([*rows, ROWS[1]])] == ["Participant 34"]


def test_students_read_in_moodle_what_a_person_wrote_and_not_what_was_flagged():
    refused = ROWS[1] | {"student": "roe_moodle5", "refused": "not JSON", "flagged": ""}
    commented = ROWS[1] | {"comments": "why: well argued"}
    table = export.for_moodle([commented, refused, ROWS[1]])
    assert [row["Feedback comments"] for row in table] == ["why: well argued", "not JSON", ""]


def test_moodle_takes_one_lab_at_a_time():
    with pytest.raises(CourseError, match="add --lab with one of audit, fraud"):
        export.for_moodle([*ROWS, AUDIT])
