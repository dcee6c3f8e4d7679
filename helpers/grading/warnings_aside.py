"""A step of nbgrader's autograde that keeps a warning from costing a right answer its points."""

from __future__ import annotations

from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade


class WarningsAside(NbGraderPreprocessor):
    """Shows what test cells wrote to stderr as if written to stdout: nbgrader takes any stderr for a failed test."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """Rename the stderr streams of a test cell."""
        if cell.cell_type == "code" and is_grade(cell):
            for output in cell.outputs:
                if output.output_type == "stream":
                    output.name = "stdout"
        return cell, resources
