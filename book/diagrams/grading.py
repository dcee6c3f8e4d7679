"""Draws book/_static/images/grading.svg: the way of a submission, and what keeps it apart from everything else."""

from pathlib import Path

import drawsvg as draw
from way_of_the_data import AMBER, BLUE, FONT, GREEN, INK, MUTED, PAPER, arrow, box

TARGET = Path(__file__).parents[1] / "_static" / "images" / "grading.svg"


def frame(
    drawing: draw.Drawing, x: float, y: float, width: float, height: float, title: str, indent: float = 14
) -> None:
    """A dashed frame around what runs together, with its name above."""
    dashes = {"fill": "none", "stroke": MUTED, "stroke_width": 1.6, "stroke_dasharray": "6 4"}
    drawing.append(draw.Rectangle(x, y, width, height, rx=10, **dashes))
    drawing.append(draw.Text(title, 14, x + indent, y + 23, fill=INK, font_family=FONT, font_weight="bold"))


def grading() -> draw.Drawing:
    """The diagram: intake above, the worker's two interpreters in the middle, what comes out below."""
    drawing = draw.Drawing(960, 640, font_family=FONT)
    drawing.append(draw.Rectangle(0, 0, 960, 640, rx=10, fill=PAPER))
    box(drawing, 30, 30, 250, "Submissions", ["folders, notebooks, or a", "zip of Canvas or Moodle"], AMBER)
    box(drawing, 355, 30, 250, "Intake", ["runs nothing: sizes, links,", "ids, strict JSON"], BLUE)
    box(drawing, 680, 30, 250, "Repair", ["tests and locked cells as", "released, by grade_id"], BLUE)
    frame(drawing, 30, 160, 900, 236, "Worker: one submission at a time, one worker a core, here or on Dask", 230)
    frame(drawing, 60, 204, 360, 170, "Sandbox")
    box(
        drawing,
        80,
        240,
        320,
        "Student's interpreter",
        ["the submission's cells, its own local", "SageMaker on its own loopback,", "no other network, no other files"],
        AMBER,
    )
    box(
        drawing,
        590,
        222,
        310,
        "Examiner",
        ["the hidden tests, with pristine", "numpy and pandas; calls the", "student's functions"],
        GREEN,
    )
    box(drawing, 30, 436, 250, "Gradebook", ["nbgrader's; one writer, one", "transaction a submission"], GREEN)
    box(drawing, 355, 436, 250, "For students", ["feedback: verdicts and hints,", "no hidden test, no script"], GREEN)
    box(drawing, 680, 436, 250, "For you", ["formgrader, course report,", "course export"], GREEN)
    box(
        drawing,
        355,
        566,
        575,
        "A person",
        ["grades the design question, decides what is flagged, reads what is alike"],
        AMBER,
    )
    arrow(drawing, [(280, 68), (354, 68)])
    arrow(drawing, [(605, 68), (679, 68)])
    arrow(drawing, [(805, 106), (805, 132), (160, 132), (160, 203)])
    arrow(drawing, [(590, 258), (421, 258)])
    drawing.append(draw.Text("arguments", 13.5, 470, 250, fill=INK, font_family=FONT))
    arrow(drawing, [(420, 294), (589, 294)])
    drawing.append(draw.Text("answers: data only", 13.5, 446, 314, fill=INK, font_family=FONT))
    arrow(drawing, [(745, 316), (745, 416), (155, 416), (155, 435)])
    drawing.append(draw.Text("verdict", 13.5, 756, 386, fill=INK, font_family=FONT))
    arrow(drawing, [(280, 474), (354, 474)])
    arrow(drawing, [(155, 512), (155, 540), (740, 540), (740, 513)])
    arrow(drawing, [(850, 512), (850, 565)])
    arrow(drawing, [(890, 566), (890, 513)])
    return drawing


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    grading().save_svg(str(TARGET))
