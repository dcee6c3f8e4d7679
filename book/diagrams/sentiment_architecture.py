"""Draws book/_static/images/sentiment-architecture.svg: how a sentiment model is gated, tried and released."""

from pathlib import Path

import drawsvg as draw
from way_of_the_data import AMBER, BLUE, FONT, GREEN, INK, PAPER, arrow, box

TARGET = Path(__file__).parents[1] / "_static" / "images" / "sentiment-architecture.svg"


def sentiment_architecture() -> draw.Drawing:
    """The diagram: from ratings to a gated model on top, the experiment and the canary below, labels on their way."""
    drawing = draw.Drawing(960, 430, font_family=FONT)
    drawing.append(draw.Rectangle(0, 0, 960, 430, rx=10, fill=PAPER))
    box(drawing, 30, 40, 250, "Reviews and ratings", ["five languages; raters differ,", "soft labels weigh them"], BLUE)
    box(drawing, 365, 40, 230, "Training job", ["multilingual encoder, frozen;", "a head per candidate"], GREEN)
    box(drawing, 680, 40, 250, "Gate by language", ["lower bound of the worst slice", "against its floor"], AMBER)
    box(
        drawing,
        680,
        220,
        250,
        "Endpoint, two variants",
        ["a user keeps the variant that", "his id draws: A/B by looks"],
        GREEN,
    )
    box(drawing, 365, 220, 230, "UpdateEndpoint", ["canary, bake, then the rest;", "the old fleet waits"], GREEN)
    box(drawing, 30, 220, 250, "CloudWatch alarms", ["5xx share, p99 latency,", "agreement with labels"], AMBER)
    text = {"fill": INK, "font_family": FONT}
    arrow(drawing, [(280, 78), (364, 78)])
    arrow(drawing, [(595, 78), (679, 78)])
    arrow(drawing, [(805, 116), (805, 219)])
    drawing.append(draw.Text("no language fails", 13.5, 816, 172, **text))
    arrow(drawing, [(680, 258), (596, 258)])
    drawing.append(draw.Text("verdict", 13.5, 615, 250, **text))
    arrow(drawing, [(280, 245), (364, 245)])
    drawing.append(draw.Text("roll back", 13.5, 293, 237, **text))
    arrow(drawing, [(365, 278), (281, 278)])
    drawing.append(draw.Text("metrics", 13.5, 298, 296, **text))
    arrow(drawing, [(805, 296), (805, 370), (155, 370), (155, 297)])
    drawing.append(draw.Text("labels of the answers, minutes to days later", 13.5, 350, 392, **text))
    return drawing


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sentiment_architecture().save_svg(str(TARGET))
