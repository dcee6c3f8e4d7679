"""Sphinx extension of the course: links to downloads, quizzes, and tables of what runs locally and how fast."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from helpers.course.downloads import wheel_name
from helpers.course.figures import Figures, GradingPlan
from helpers.course.quiz import Quiz
from helpers.course.what_runs import WhatRuns


class Material(SphinxRole):
    """{material}`fraud.zip` links to downloads/fraud.zip; {material}`wheel` to the wheel under its full name."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link, relative to the page that holds it; an unknown file is a warning."""
        root = Path(self.env.app.srcdir)
        name = wheel_name(root) if self.text == "wheel" else self.text
        if self.text != "wheel" and not (root / "release" / Path(name).stem).is_dir():
            message = self.inliner.reporter.warning(
                f"No download named {name}: write <lab>.zip for a folder of release/, or wheel", line=self.lineno
            )
            return [], [message]
        depth = self.env.docname.count("/")
        link = nodes.reference(
            "", "", nodes.literal(text=name), refuri=f"{'../' * depth}downloads/{name}", internal=True
        )
        return [link], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the role and the directives; called by Sphinx."""
    app.add_role("material", Material())
    app.add_directive("figures", Figures)
    app.add_directive("grading-plan", GradingPlan)
    app.add_directive("quiz", Quiz)
    app.add_directive("what-runs", WhatRuns)
    app.add_css_file("css/quiz.css")
    app.add_js_file("quiz.js")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
