"""The page "What runs locally" says of every operation what the code says."""

import re

import pytest

from helpers.course import what_runs
from helpers.local_sagemaker import catalogue
from helpers.local_sagemaker.operations import Level


@pytest.mark.parametrize("level", Level)
def test_every_operation_is_listed_under_its_level_and_no_other(level):
    listed = re.findall(r"`(\w+)`", what_runs.operations(level))
    there = [name for levels in catalogue.levels().values() for name, found in levels.items() if found is level]
    assert sorted(listed) == sorted(there)


def test_the_counts_add_up_to_all_that_botocore_knows():
    rows = [line.strip("| ").split(" | ") for line in what_runs.counts().splitlines()[2:]]
    every = sum(len(levels) for levels in catalogue.levels().values())
    assert rows[-1][0] == "All" and int(rows[-1][-1]) == every
    for row in rows:
        assert sum(map(int, row[1:-1])) == int(row[-1])


def test_operations_are_grouped_by_the_resource_that_they_are_about():
    names = ["ListModels", "CreateModel", "ListModelPackages", "DescribeModelPackage", "AddTags", "Search"]
    names += ["ListCodeRepositories", "CreateCodeRepository", "BatchDescribeModelPackage"]
    assert what_runs.by_resource(names, names) == {
        "CodeRepository": ["ListCodeRepositories", "CreateCodeRepository"],
        "Model": ["ListModels", "CreateModel"],
        "ModelPackage": ["ListModelPackages", "DescribeModelPackage", "BatchDescribeModelPackage"],
        "Search": ["Search"],
        "Tags": ["AddTags"],
    }


def test_the_page_shows_every_table(project):
    page = (project / "book" / "reference" / "what-runs-locally.md").read_text()
    shown = re.findall(r"```\{what-runs\} ([\w-]+)", page)
    assert sorted(shown) == sorted(what_runs.TABLES)


def test_images_and_shims_are_the_code_s():
    assert all(f"`{name}`" in what_runs.images() for name in catalogue.repositories())
    assert "| sts | `GetCallerIdentity` |" in what_runs.shims()
    assert "dynamodb" in what_runs.services()


def test_every_type_of_step_has_its_row():
    rows = what_runs.step_types().splitlines()[2:]
    assert len(rows) == len(catalogue.step_types()) > 10
    assert "| `Training` | `CreateTrainingJob` | yes | yes |" in rows
    assert any(row.startswith("| `Condition` | Takes the branch") and row.endswith("| no | no |") for row in rows)
