"""Draws book/_static/images/text-architecture.svg: tickets reach a model that runs while there is a queue."""

from pathlib import Path

import drawsvg as draw
from way_of_the_data import AMBER, BLUE, FONT, GREEN, INK, PAPER, arrow, box

TARGET = Path(__file__).parents[1] / "_static" / "images" / "text-architecture.svg"


def text_architecture() -> draw.Drawing:
    """The diagram: training on top, the queue and its endpoint below, answers and corrections on their way back."""
    drawing = draw.Drawing(960, 510, font_family=FONT)
    drawing.append(draw.Rectangle(0, 0, 960, 510, rx=10, fill=PAPER))
    box(drawing, 50, 36, 230, "Tickets in S3", ["near-duplicates on one side,", "labels by people, some wrong"], BLUE)
    box(drawing, 365, 36, 230, "Training job", ["Hugging Face container:", "MiniLM, with checkpoints"], GREEN)
    box(drawing, 680, 36, 250, "Model", ["model.tar.gz: weights, labels,", "temperature, inference.py"], GREEN)
    box(drawing, 50, 212, 230, "Help desk", ["puts tickets into S3, calls", "InvokeEndpointAsync"], AMBER)
    box(drawing, 365, 212, 230, "Its queue", ["the backlog sets the number", "of instances: 0, 1, ... n"], GREEN)
    box(drawing, 680, 212, 250, "Asynchronous endpoint", ["takes from the queue;", "no instances, no bill"], GREEN)
    box(drawing, 680, 388, 250, "Answers in S3", ["label and scores, or the reason", "of the failure"], BLUE)
    box(drawing, 365, 388, 230, "SNS topics", ["one for answers,", "one for failures"], GREEN)
    box(drawing, 50, 388, 230, "Routing", ["confident: to the label's team;", "otherwise: to a person"], AMBER)
    text = {"fill": INK, "font_family": FONT}
    arrow(drawing, [(280, 74), (364, 74)])
    arrow(drawing, [(595, 74), (679, 74)])
    arrow(drawing, [(805, 112), (805, 211)])
    drawing.append(draw.Text("CreateModel", 13.5, 816, 167, **text))
    arrow(drawing, [(280, 250), (364, 250)])
    drawing.append(draw.Text("request", 13.5, 298, 242, **text))
    arrow(drawing, [(595, 250), (679, 250)])
    arrow(drawing, [(805, 288), (805, 387)])
    drawing.append(draw.Text("OutputLocation, FailureLocation", 13.5, 590, 343, **text))
    arrow(drawing, [(680, 426), (596, 426)])
    arrow(drawing, [(365, 426), (281, 426)])
    drawing.append(draw.Text("notice", 13.5, 303, 418, **text))
    arrow(drawing, [(50, 426), (24, 426), (24, 74), (49, 74)])
    drawing.append(draw.Text("what people correct becomes labels", 13.5, 34, 167, **text))
    return drawing


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    text_architecture().save_svg(str(TARGET))
