"""Draws book/_static/images/fraud-architecture.svg: how the fraud model is trained, served and corrected."""

from pathlib import Path

import drawsvg as draw
from way_of_the_data import AMBER, BLUE, FONT, GREEN, INK, PAPER, arrow, box

TARGET = Path(__file__).parents[1] / "_static" / "images" / "fraud-architecture.svg"


def fraud_architecture() -> draw.Drawing:
    """The diagram: training on top from left to right, serving below from right to left, the labels' way back."""
    drawing = draw.Drawing(960, 430, font_family=FONT)
    drawing.append(draw.Rectangle(0, 0, 960, 430, rx=10, fill=PAPER))
    box(
        drawing, 30, 40, 250, "Transactions in S3", ["features as of each payment,", "labels at least 7 days old"], BLUE
    )
    box(drawing, 365, 40, 230, "Training job", ["XGBoost container,", "ml.m5.xlarge, minutes"], GREEN)
    box(drawing, 680, 40, 250, "Model", ["model.tar.gz: booster,", "inference.py, list of features"], GREEN)
    box(
        drawing, 680, 220, 250, "Real-time endpoint", ["schema check, probability,", "SHAP values of the margin"], GREEN
    )
    box(drawing, 365, 220, 230, "Authorisation", ["the client: pays or declines", "within its p99"], AMBER)
    box(drawing, 30, 220, 250, "Investigation team", ["opens the k riskiest cards,", "blocks what it finds"], AMBER)
    text = {"fill": INK, "font_family": FONT}
    arrow(drawing, [(280, 78), (364, 78)])
    arrow(drawing, [(595, 78), (679, 78)])
    arrow(drawing, [(805, 116), (805, 219)])
    drawing.append(draw.Text("CreateEndpoint", 13.5, 816, 172, **text))
    arrow(drawing, [(595, 246), (679, 246)])
    drawing.append(draw.Text("payment", 13.5, 608, 238, **text))
    arrow(drawing, [(680, 272), (596, 272)])
    drawing.append(draw.Text("score", 13.5, 618, 290, **text))
    arrow(drawing, [(365, 258), (281, 258)])
    drawing.append(draw.Text("scores", 13.5, 302, 250, **text))
    arrow(drawing, [(155, 220), (155, 117)])
    drawing.append(draw.Text("labels, days later", 13.5, 166, 172, **text))
    arrow(drawing, [(155, 296), (155, 370), (480, 370), (480, 297)])
    drawing.append(draw.Text("a blocked card pays no more, and gives no more labels", 13.5, 166, 392, **text))
    return drawing


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    fraud_architecture().save_svg(str(TARGET))
