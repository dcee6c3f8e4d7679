"""Downloads of learning platforms become submissions: whose each is, which one counts, and nothing that harms."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from helpers.grading import downloads
from helpers.grading.downloads import DownloadError, bring_into_layout

NOTEBOOK = b'{"nbformat": 4, "cells": []}'


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return buffer.getvalue()


def taken(tmp_path: Path, members: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Students' notebooks by student, and what was refused."""
    target = tmp_path / "unpacked"
    target.mkdir()
    refused = bring_into_layout(archive(tmp_path / "all.zip", members), "fraud", target)
    files = [path for path in target.rglob("*") if path.is_file()]
    assert all(path.relative_to(target).parts[1:] == ("fraud", "fraud.ipynb") for path in files)
    return {path.parent.parent.name: path.read_bytes() for path in files}, refused


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("doejane_12345_678910_fraud.ipynb", "doejane_canvas12345"),
        ("doejane_LATE_12345_678910_fraud-1.ipynb", "doejane_canvas12345"),
        ("müllerjörg_12345_678910_fraud.ipynb", "mullerjorg_canvas12345"),
        ("李雷_12345_678910_fraud.ipynb", "student_canvas12345"),
        ("doe2jane_12345_678910_my_own_2_fraud.ipynb", "doe2jane_canvas12345"),
        ("anon_x7Yz2_678910_fraud.ipynb", "anon_x7Yz2"),
        ("LATE_anon_x7Yz2_678910_fraud.ipynb", "anon_x7Yz2"),
        ("anon_x7Yz2_678910_2_fraud.ipynb", "anon_x7Yz2"),
        ("anon_12345_678910_fraud.ipynb", "anon_12345"),
        ("doejane_12345_678910_3_4_fraud.ipynb", "doejane_canvas12345"),
        ("d" * 200 + "_123456789012345678_678910_fraud.ipynb", "d" * 32 + "_canvas123456789012345678"),
        ("Jane Doe_12345_assignsubmission_file_/fraud.ipynb", "jane-doe_moodle12345"),
        ("Jane Doe_12345_assignsubmission_file/fraud.ipynb", "jane-doe_moodle12345"),
        ("Jane Doe_12345_assignsubmission_file/deep/down/fraud.ipynb", "jane-doe_moodle12345"),
        ("Jane Doe_12345_assignsubmission_file_fraud.ipynb", "jane-doe_moodle12345"),
        ("Jörg Müller-O'Neil_12345_assignsubmission_file/fraud.ipynb", "jorg-muller-o-neil_moodle12345"),
        ("Participant_12345_assignsubmission_file/fraud.ipynb", "participant_moodle12345"),
    ],
)
def test_the_name_of_an_entry_says_whose_it_is(tmp_path: Path, name: str, student: str):
    assert taken(tmp_path, {name: NOTEBOOK}) == ({student: NOTEBOOK}, {})


def test_the_latest_notebook_that_is_named_like_the_lab_counts(tmp_path: Path):
    members = {
        "doejane_1_30_fraud-1.ipynb": b"later",
        "doejane_1_20_fraud.ipynb": b"earlier",
        "doejane_1_99_scratch.ipynb": b"another",
        "doejane_1_100_figure.png": b"no notebook",
    }
    assert taken(tmp_path, members) == ({"doejane_canvas1": b"later"}, {})


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (("fraud.ipynb", "fraud-audit.ipynb"), 0),
        (("fraud (2).ipynb", "fraud-audit.ipynb"), 0),
        (("Fraud_final.ipynb", "scratch.ipynb"), 0),
        (("fraud-audit.ipynb", "fraud.zip"), 1),
        (("one.ipynb", "two.ipynb"), 1),
    ],
)
def test_of_several_notebooks_the_one_counts_that_is_named_most_like_the_lab(tmp_path: Path, names, counts):
    contents = [b"first", b"second"]
    members = {
        f"doejane_1_{order}_{name}": zipped({"any.ipynb": content}) if name.endswith(".zip") else content
        for order, (name, content) in enumerate(zip(names, contents, strict=True))
    }
    assert taken(tmp_path, members) == ({"doejane_canvas1": contents[counts]}, {})


def test_a_notebook_inside_a_zip_file_of_the_student_is_found(tmp_path: Path):
    inner = zipped(
        {"work/any.ipynb": NOTEBOOK, "__MACOSX/work/._any.ipynb": b"x", "work/.ipynb_checkpoints/a.ipynb": b""}
    )
    assert taken(tmp_path, {"doejane_1_2_work.zip": inner}) == ({"doejane_canvas1": NOTEBOOK}, {})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (zipped({"a.ipynb": NOTEBOOK, "b.ipynb": NOTEBOOK}), "holds 2 notebooks"),
        (zipped({"readme.txt": b""}), "holds 0 notebooks"),
        (b"PK\x03\x04 and no more", "no zip file"),
        (zipped({"bomb.ipynb": bytes(19 * 2**20)}), "a zip bomb"),
    ],
)
def test_a_faulty_zip_file_of_a_student_is_that_student_s_refusal(tmp_path: Path, content: bytes, why: str):
    found, refused = taken(tmp_path, {"doejane_1_2_work.zip": content, "roejohn_3_4_fraud.ipynb": NOTEBOOK})
    assert found == {"roejohn_canvas3": NOTEBOOK}
    assert list(refused) == ["doejane_canvas1"] and why in refused["doejane_canvas1"]


def test_a_student_with_a_faulty_and_a_good_file_is_not_refused(tmp_path: Path):
    members = {"doejane_1_2_fraud.ipynb": NOTEBOOK, "doejane_1_3_work.zip": b"no zip"}
    assert taken(tmp_path, members) == ({"doejane_canvas1": NOTEBOOK}, {})


@pytest.mark.parametrize("size", [19, 21])
def test_a_notebook_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path, size: int):
    _, refused = taken(tmp_path, {"doejane_1_2_fraud.ipynb": bytes(size * 2**20)})
    assert f"unpacks to {size} MiB" in refused["doejane_canvas1"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_that_is_damaged_is_that_student_s_refusal(tmp_path: Path, method: int):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("doejane_1_2_fraud.ipynb", bytes(range(256)) * 20)
        begin = made.fp.tell() - 20
        made.writestr("roejohn_3_4_fraud.ipynb", NOTEBOOK)
    content = bytearray(path.read_bytes())
    content[begin : begin + 8] = b"\xff" * 8
    path.write_bytes(content)
    refused = bring_into_layout(path, "fraud", tmp_path)
    assert list(refused) == ["doejane_canvas1"] and "cannot be unpacked" in refused["doejane_canvas1"]
    assert (tmp_path / "roejohn_canvas3/fraud/fraud.ipynb").read_bytes() == NOTEBOOK


def test_a_size_that_lies_is_noticed(tmp_path: Path):
    path = archive(tmp_path / "all.zip", {"doejane_1_2_fraud.ipynb": b"x" * 3000})
    path.write_bytes(path.read_bytes().replace((3000).to_bytes(4, "little"), (30).to_bytes(4, "little")))
    assert "cannot be unpacked" in bring_into_layout(path, "fraud", tmp_path)["doejane_canvas1"]
    assert [path.name for path in tmp_path.rglob("*")] == ["all.zip"]


@pytest.mark.parametrize(
    "name",
    [
        "../../escape.ipynb",
        "/tmp/escape.ipynb",
        "fraud.ipynb",
        "a/b.ipynb",
        "=cmd().ipynb",
        f"a_{'1' * 200}_2_fraud.ipynb",
    ],
)
def test_a_notebook_that_is_nobody_s_is_told_and_written_nowhere(tmp_path: Path, name: str):
    found, refused = taken(tmp_path, {name: NOTEBOOK})
    assert found == {}
    assert refused == {name: "its name does not say whose it is"}


@pytest.mark.parametrize("name", ["../doejane_1_2_fraud.ipynb", "Jane_1_assignsubmission_file_/../../../escape.ipynb"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str):
    taken(tmp_path, {name: NOTEBOOK})
    assert {path.name for path in tmp_path.iterdir()} == {"all.zip", "unpacked"}


def test_what_macos_adds_is_passed_over(tmp_path: Path):
    members = {"__MACOSX/._doejane_1_2_fraud.ipynb": b"", ".DS_Store": b"", "doejane_1_2_fraud.ipynb": NOTEBOOK}
    assert taken(tmp_path, members) == ({"doejane_canvas1": NOTEBOOK}, {})


def test_a_link_in_an_archive_is_refused(tmp_path: Path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as made:
        link = zipfile.ZipInfo("doejane_1_2_fraud.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    assert bring_into_layout(path, "fraud", tmp_path) == {"doejane_canvas1": "fraud.ipynb is a link"}


def test_an_archive_of_too_many_entries_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloads, "MAX_MEMBERS", 2)
    path = archive(tmp_path / "all.zip", {f"doejane_1_{number}_fraud.ipynb": NOTEBOOK for number in range(3)})
    with pytest.raises(DownloadError, match="3 entries"):
        bring_into_layout(path, "fraud", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + b"x" * 100], ids=["empty", "text", "cut off"])
def test_a_file_that_is_no_archive_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "all.zip").write_bytes(content)
    with pytest.raises(DownloadError, match="no zip file that can be read"):
        bring_into_layout(tmp_path / "all.zip", "fraud", tmp_path)


def test_an_archive_without_submissions_says_what_was_expected(tmp_path: Path):
    with pytest.raises(DownloadError, match="holds no submissions: expected <student>/fraud/fraud"):
        bring_into_layout(archive(tmp_path / "all.zip", {"photo.png": b""}), "fraud", tmp_path)


def test_a_folder_of_notebooks_is_taken_by_their_names(tmp_path: Path):
    given, target = tmp_path / "given", tmp_path / "unpacked"
    given.mkdir()
    (given / "jane.ipynb").write_bytes(NOTEBOOK)
    (given / "notes.txt").write_bytes(b"")
    (given / "=cmd().ipynb").write_bytes(NOTEBOOK)
    (given / "link.ipynb").symlink_to("/etc/passwd")
    (given / "large.ipynb").touch()
    os.truncate(given / "large.ipynb", 21 * 2**20)
    refused = bring_into_layout(given, "fraud", target)
    assert (target / "jane/fraud/fraud.ipynb").read_bytes() == NOTEBOOK
    assert [path.name for path in target.iterdir()] == ["jane"]
    assert refused == {
        "=cmd().ipynb": "the file's name is no student id",
        "link": "no regular file",
        "large": "21 MiB, at most 20 are taken",
    }
