"""A graded course for the tests of what leaves the grader."""

import json
from pathlib import Path

import pytest
from tiny import ANSWERS, make_course, put

from helpers.course.grade import grade_all
from helpers.grading.intake import find_submissions

RUN = "document.title='RAN'"
SCRIPTS_IN_MARKDOWN = f"""# A heading <script>{RUN}</script>

<img src=x onerror="{RUN}"> <a href="javascript:{RUN}">x</a> <svg onload="{RUN}"></svg>
<iframe srcdoc="<script>parent.{RUN}</script>"></iframe> <details open ontoggle="{RUN}"></details>
<math><mtext><table><mglyph><style><img src=x onerror="{RUN}"></style></mglyph></table></mtext></math>

[link](javascript:{RUN}) ![image](http://192.0.2.1/x.png) <link rel=stylesheet href="http://192.0.2.1/x.css">
<meta http-equiv=refresh content="0; url=http://192.0.2.1/"> <form action="http://192.0.2.1"><input autofocus></form>

$\\text{{<img src=x onerror="{RUN}">}}$ and $$\\href{{javascript:{RUN}}}{{x}}$$

```mermaid
graph TD; A["<img src=x onerror={RUN}>"]
```
"""
SCRIPTS_IN_OUTPUTS = f"""
from IPython.display import HTML, Javascript, display
RUN = {RUN!r}
SCRIPT = "<script>" + RUN + "</script>"
IMAGE = "<img src=x onerror=" + chr(34) + RUN + chr(34) + ">"
display(HTML(SCRIPT + IMAGE + "<table onclick=x><tr><td>kept</td></tr></table>"))
display(HTML("<a href=javascript:" + RUN + ">link</a><svg onload=x><script>" + RUN + "</script></svg>"))
display(Javascript(RUN))
display({{"image/svg+xml": "<svg>" + SCRIPT + "</svg>", "text/markdown": IMAGE, "text/latex": IMAGE}}, raw=True)
display({{"application/vnd.jupyter.widget-view+json": {{"model_id": IMAGE}}}}, raw=True)
display({{"image/png": chr(34) + ">" + SCRIPT}}, raw=True)
display({{"image/png": "iVBORw0KGgoA" + chr(34) + ">" + SCRIPT}}, raw=True)
display({{"text/plain": IMAGE, "image/png": "iVBORw0KGgo="}}, raw=True)
print("printed", SCRIPT, "\\x1b]0;RAN\\x07\\x1b[31mred")
class Hostile(Exception):
    pass
Hostile.__name__ = IMAGE
raise Hostile(IMAGE)
"""


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """A course with the tiny lab, graded: a student for each kind of answer, `blank`, `scripts`, and `damaged`."""
    root = make_course(tmp_path_factory.mktemp("kinds") / "course", project)
    for kind in [*ANSWERS, "blank"]:
        put(root, kind, kind)
    put(root, "scripts", "raises")
    notebook = root / "submitted/scripts/tiny/tiny.ipynb"
    made = json.loads(notebook.read_text())
    for kind, source in (("markdown", SCRIPTS_IN_MARKDOWN), ("code", SCRIPTS_IN_OUTPUTS)):
        made["cells"].append({"cell_type": kind, "id": kind, "metadata": {}, "source": source})
    why = next(cell for cell in made["cells"] if cell["id"] == "why")
    why["source"] = SCRIPTS_IN_MARKDOWN
    notebook.write_text(json.dumps(made))
    put(root, "explains", "right")
    answered = root / "submitted/explains/tiny/tiny.ipynb"
    made = json.loads(answered.read_text())
    next(cell for cell in made["cells"] if cell["id"] == "why")["source"] = "Because of $\\frac{a}{b}$."
    answered.write_text(json.dumps(made))
    put(root, "damaged", "right")
    (root / "submitted/damaged/tiny/tiny.ipynb").write_text("{")
    grade_all(root, "tiny", find_submissions(root / "submitted", "tiny"), workers=2)
    return root
