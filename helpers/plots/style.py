"""The look of the course's figures, and the pieces that they share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Source: Okabe, Ito, "Color Universal Design", 2008; its yellow is left out, too faint on a light background.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
MARKERS = "osD^v<"
INK = "#222222"
REFERENCE = "#767676"
BACKGROUND = "#FFFFFF"


def use_style() -> None:
    """Set the course's matplotlib style for all figures drawn afterwards."""
    import matplotlib

    matplotlib.rcParams.update(style())


def axes(ax: Axes | None, height: float = 4.2) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    # A notebook's backend switches interactive drawing on when it loads; inside rc_context that would be undone.
    plt.draw_if_interactive()
    with plt.rc_context(style()):
        return plt.subplots(figsize=(7.0, height))[1]


def styles() -> Iterator[dict]:
    for i in count():
        yield {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)], "linewidth": 1.8}


def reference() -> dict:
    return {"color": REFERENCE, "linestyle": (0, (2, 2)), "linewidth": 1.2}


def legend(ax: Axes, **options) -> None:
    ax.legend(fontsize="small", **options)


def style() -> dict:
    return {
        "figure.facecolor": BACKGROUND,
        "axes.facecolor": BACKGROUND,
        "savefig.facecolor": BACKGROUND,
        "savefig.transparent": False,
        "savefig.bbox": "tight",
        "figure.figsize": (7.0, 4.2),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "font.size": 10.5,
        "text.color": INK,
        "axes.edgecolor": REFERENCE,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.framealpha": 0.9,
        "legend.edgecolor": "#E4E4E4",
        "lines.linewidth": 1.8,
    }
