"""Draws book/_static/images/churn-architecture.svg: how churn is scored each month and the campaign is judged."""

from pathlib import Path

import drawsvg as draw
from way_of_the_data import AMBER, BLUE, FONT, GREEN, INK, PAPER, arrow, box

TARGET = Path(__file__).parents[1] / "_static" / "images" / "churn-architecture.svg"


def churn_architecture() -> draw.Drawing:
    """The diagram: training on top from left to right, the month's scores below, outcomes on their way back."""
    drawing = draw.Drawing(960, 430, font_family=FONT)
    drawing.append(draw.Rectangle(0, 0, 960, 430, rx=10, fill=PAPER))
    box(drawing, 30, 40, 250, "Snapshots in S3", ["features to the day before,", "labels of the 30 days after"], BLUE)
    box(drawing, 365, 40, 230, "Training job", ["scikit-learn container,", "once a month, minutes"], GREEN)
    box(drawing, 680, 40, 250, "Model", ["model.tar.gz: pipeline,", "inference.py, list of features"], GREEN)
    box(drawing, 680, 220, 250, "Batch transform", ["today's snapshot in parts;", "the id goes through the job"], GREEN)
    box(drawing, 365, 220, 230, "Campaign plan", ["calls that are expected to pay;", "controls drawn by lot"], AMBER)
    box(drawing, 30, 220, 250, "Customers", ["called or not: who stays?", "the log of arms and outcomes"], AMBER)
    text = {"fill": INK, "font_family": FONT}
    arrow(drawing, [(280, 78), (364, 78)])
    arrow(drawing, [(595, 78), (679, 78)])
    arrow(drawing, [(805, 116), (805, 219)])
    drawing.append(draw.Text("CreateTransformJob", 13.5, 816, 172, **text))
    arrow(drawing, [(680, 258), (596, 258)])
    drawing.append(draw.Text("id, score", 13.5, 610, 250, **text))
    arrow(drawing, [(365, 258), (281, 258)])
    drawing.append(draw.Text("calls", 13.5, 306, 250, **text))
    arrow(drawing, [(155, 220), (155, 117)])
    drawing.append(draw.Text("labels, 30 days later", 13.5, 166, 172, **text))
    arrow(drawing, [(155, 296), (155, 370), (480, 370), (480, 297)])
    drawing.append(draw.Text("uplift: the called against the controls", 13.5, 186, 392, **text))
    return drawing


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    churn_architecture().save_svg(str(TARGET))
