"""Cuts numpy arrays where the gaps are."""

import numpy as np


def sessions(clicks, gap):
    if not len(clicks):
        return []
    names = np.array([click[0] for click in clicks])
    seconds = np.array([click[1] for click in clicks])
    order = np.lexsort((seconds, names))
    names, seconds = names[order], seconds[order]
    new = (names[1:] != names[:-1]) | (np.diff(seconds) > gap)
    pieces = np.split(seconds, np.flatnonzero(new) + 1)
    return [piece.tolist() for piece in pieces]


def busiest(clicks, k):
    names, counts = np.unique([click[0] for click in clicks], return_counts=True)
    best = np.argsort(-counts, kind="stable")
    return names[best[:k]].tolist()
