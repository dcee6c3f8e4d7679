"""Groups by itertools, and yields."""

from collections import Counter
from heapq import nsmallest
from itertools import groupby
from operator import itemgetter


def split(seconds, gap):
    part = []
    for now in seconds:
        if part and now > part[-1] + gap:
            yield part
            part = []
        part.append(now)
    if part:
        yield part


def sessions(clicks, gap):
    answer = []
    for _, rows in groupby(sorted(clicks), key=itemgetter(0)):
        answer.extend(split(map(itemgetter(1), rows), gap))
    return answer


def busiest(clicks, k):
    counter = Counter(map(itemgetter(0), clicks))
    return [name for _, name in nsmallest(k, ((-count, name) for name, count in counter.items()))]
