"""The feedback loop: a card that was seen to be fraudulent is blocked, and stops giving transactions and labels."""

import numpy as np

from helpers.data.fraud.profiles import DAY


def accepted(rows: dict[str, np.ndarray], blocked_after_days: float, reissued_after_days: float) -> np.ndarray:
    """Which transactions still happen when a card is blocked after its first fraud and reissued later.

    Args:
        rows: the simulator's arrays, sorted by seconds; leak_day is the day when the card's number leaked, or -1.
        blocked_after_days: from the first fraud of a card to its block.
        reissued_after_days: from the block to the new card.

    Returns:
        Boolean array, one element per row. Rows of a blocked card are False, and so are frauds that use a number which
        leaked before the block.
    """
    # A block begins a second after the fraud at the earliest: the fraud itself did happen.
    wait, reissue = max(round(blocked_after_days * DAY), 1), round(reissued_after_days * DAY)
    frauds = np.flatnonzero(rows["scenario"])
    frauds = frauds[np.argsort(rows["customer_id"][frauds], kind="stable")]
    keep = np.ones(len(rows["seconds"]), dtype=bool)
    span = int(rows["seconds"].max(initial=0)) + wait + reissue + 1
    blocks: list[tuple[int, int]] = []  # start and end, in seconds on an axis that holds one span per card
    card, start, end = -1, 0, 0
    columns = (rows[name][frauds].tolist() for name in ("customer_id", "seconds", "leak_day"))
    for row, customer_id, seconds, leak_day in zip(frauds.tolist(), *columns, strict=True):
        if customer_id != card:
            card, start, end = customer_id, -1, -1
        if seconds < end:
            continue
        if 0 <= leak_day * DAY < start:
            keep[row] = False
            continue
        start, end = seconds + wait, seconds + wait + reissue
        blocks.append((card * span + start, card * span + end))
    if blocks:
        starts, ends = np.array(blocks, dtype=np.int64).T
        at = rows["customer_id"].astype(np.int64) * span + rows["seconds"]
        latest = np.searchsorted(starts, at, side="right") - 1
        keep &= (latest < 0) | (at >= ends[latest])
    return keep
