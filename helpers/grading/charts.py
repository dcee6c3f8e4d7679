"""Charts of plain HTML, without scripts and pictures: sharp at any size, in light and dark, and told in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from helpers.grading.cleaning import shown

MOST_BARS = 20
STYLE = """
.chart { margin: .6rem 0 1.4rem; } .chart figcaption { color: var(--muted); font-size: .92rem; }
.bars { display: flex; align-items: flex-end; gap: 2px; height: 11rem; padding-top: 1.3rem;
  border-bottom: 1px solid var(--muted); }
.bars div { flex: 1; background: var(--bar); min-width: 2px; position: relative; border-radius: 2px 2px 0 0; }
.bars b, .ticks span { font-size: .75rem; font-weight: normal; font-variant-numeric: tabular-nums; }
.bars b { position: absolute; top: -1.2rem; left: -1rem; right: -1rem; text-align: center; }
.ticks { display: flex; gap: 2px; } .ticks span { flex: 1; width: 0; white-space: nowrap; color: var(--muted); }
.stack { display: flex; height: 1rem; min-width: 9rem; border-radius: 3px; overflow: hidden; background: var(--line); }
.full { background: var(--full); } .part { background: var(--part); } .none { background: var(--none); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .92rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem; }
@media (max-width: 40rem) { .bars b { font-size: .6rem; } }
"""


def histogram(values: Sequence[float], title: str, unit: str, high: float | None = None) -> str:
    """How many values lie where.

    Args:
        values: at least one, none below 0.
        title: what is counted.
        unit: of the values.
        high: end of the axis; by default the largest value.
    """
    end = max(*values, high or 0.0, 1e-9)
    whole = all(value == int(value) for value in values)
    step = max(_step(end), 1.0 if whole else 0.0)
    counts = [0] * (int(end / step + 1e-9) + 1)
    for value in values:
        counts[min(int(value / step + 1e-9), len(counts) - 1)] += 1
    bounds = [(f"{place * step:g}", f"{(place + 1) * step:g}") for place in range(len(counts))]
    told = ", ".join(f"{count} from {a} to below {b}" for count, (a, b) in zip(counts, bounds, strict=True) if count)
    bars = "".join(
        f'<div style="height:{100 * count / max(counts):.1f}%">{f"<b>{count}</b>" if count else ""}</div>'
        for count in counts
    )
    every = math.ceil(len(counts) / 10)
    ticks = "".join(f"<span>{'' if place % every else a}</span>" for place, (a, _) in enumerate(bounds))
    return (
        f'<figure class="chart"><div role="img" aria-label="{shown(f"{title} ({unit}): {told}.")}">'
        f'<div class="bars">{bars}</div><div class="ticks">{ticks}</div></div>'
        f"<figcaption>{shown(title)}, in {shown(unit)}</figcaption></figure>"
    )


def stack(shares: Mapping[str, int]) -> str:
    """A bar whose parts are as long as the counts of `full`, `part` and `none`; the rest of it is empty."""
    total = max(1, sum(shares.values()))
    told = ", ".join(f"{count} {name}" for name, count in shares.items())
    parts = "".join(
        f'<span class="{name}" style="width:{100 * count / total:.2f}%"></span>'
        for name, count in shares.items()
        if name in ("full", "part", "none")
    )
    return f'<div class="stack" role="img" aria-label="{shown(told)}">{parts}</div>'


def legend(names: Mapping[str, str]) -> str:
    """What the colours of `stack` mean: class to words."""
    return (
        '<p class="legend">'
        + "".join(f'<span><i class="{name}"></i>{shown(words)}</span>' for name, words in names.items())
        + "</p>"
    )


def _step(end: float) -> float:
    """A width of bars that reads well, with at most MOST_BARS bars."""
    power = 10.0 ** math.floor(math.log10(end / MOST_BARS))
    return next(step * power for step in (1, 2, 5, 10) if end / (step * power) < MOST_BARS)
