"""Draws book/_static/images/way-of-the-data.svg: how one text source becomes a lab, a grade and a page."""

from pathlib import Path

import drawsvg as draw

INK, MUTED, PAPER = "#1b2733", "#52606d", "#fbfcfd"
BLUE, GREEN, AMBER = "#1f5c99", "#2f7a4d", "#a85d00"
TINTS = {BLUE: "#e4eef8", GREEN: "#e5f2ea", AMBER: "#faeeda"}
FONT = "Helvetica, Arial, sans-serif"
TARGET = Path(__file__).parents[1] / "_static" / "images" / "way-of-the-data.svg"


def box(drawing: draw.Drawing, x: float, y: float, width: float, title: str, lines: list[str], colour: str) -> None:
    """A labelled box, 24 px of title and 18 px for each line."""
    height = 40 + 18 * len(lines)
    drawing.append(draw.Rectangle(x, y, width, height, rx=8, fill=TINTS[colour], stroke=colour, stroke_width=1.6))
    drawing.append(draw.Text(title, 16, x + 14, y + 25, fill=INK, font_family=FONT, font_weight="bold"))
    for row, line in enumerate(lines):
        drawing.append(draw.Text(line, 13.5, x + 14, y + 46 + 18 * row, fill=MUTED, font_family=FONT))


def arrow(drawing: draw.Drawing, points: list[tuple[float, float]], label: str = "", at: tuple | None = None) -> None:
    """A line through points with a head at its end, and a command written beside it."""
    head = draw.Marker(-0.9, -0.5, 0.1, 0.5, scale=7, orient="auto")
    head.append(draw.Lines(-0.9, 0.5, -0.9, -0.5, 0.1, 0, fill=MUTED, close=True))
    flat = [value for point in points for value in point]
    drawing.append(draw.Lines(*flat, fill="none", stroke=MUTED, stroke_width=1.8, marker_end=head))
    if label:
        drawing.append(draw.Text(label, 13.5, *at, fill=INK, font_family="Menlo, Consolas, monospace"))


def way_of_the_data() -> draw.Drawing:
    """The diagram: the source on top, then the two notebooks, then what each user gets."""
    drawing = draw.Drawing(960, 560, font_family=FONT)
    drawing.append(draw.Rectangle(0, 0, 960, 560, rx=10, fill=PAPER))
    box(drawing, 300, 24, 360, "labs/01-fraud/lab.py", ["The one source: prose, tasks, solutions, tests"], BLUE)
    box(
        drawing,
        40,
        176,
        360,
        "source/fraud/fraud.ipynb",
        ["nbgrader's, with solutions", "and hidden tests"],
        BLUE,
    )
    box(
        drawing, 560, 176, 360, "release/fraud/fraud.ipynb", ["what the student gets:", "stubs and visible tests"], BLUE
    )
    box(drawing, 40, 342, 250, "Executed solutions", ["times, costs, JUnit report", "in _build/labs"], AMBER)
    box(drawing, 355, 342, 250, "Grades and feedback", ["gradebook.db,", "one HTML page a submission"], AMBER)
    box(drawing, 670, 342, 250, "The site", ["pages, downloads/fraud.zip,", "the course's wheel"], AMBER)
    box(drawing, 40, 478, 880, "Local SageMaker, or AWS", ["The same boto3 and SDK calls reach either"], GREEN)
    arrow(drawing, [(400, 82), (400, 128), (220, 128), (220, 175)], "course labs", (232, 120))
    arrow(drawing, [(400, 214), (559, 214)], "nbgrader", (444, 204))
    arrow(drawing, [(165, 252), (165, 341)], "course run", (176, 300))
    arrow(drawing, [(640, 252), (640, 300), (480, 300), (480, 341)], "submit, course grade", (452, 291))
    arrow(drawing, [(795, 252), (795, 341)], "course book", (806, 300))
    arrow(drawing, [(165, 418), (165, 477)])
    arrow(drawing, [(480, 418), (480, 477)])
    arrow(drawing, [(795, 418), (795, 477)])
    return drawing


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    way_of_the_data().save_svg(str(TARGET))
