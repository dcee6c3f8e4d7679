"""Product reviews in five languages, each rated by several people, from a seed.

The sentences are written for each language, none is a translation of another, and no sentence of one split is found in
another split. What a review feels, how it is cut into three classes and how people rate it are this course's.
"""

from helpers.data.reviews.banks import DOMAINS, LANGUAGES, SPLITS
from helpers.data.reviews.raters import BORDER, LABELS, classes, opinion
from helpers.data.reviews.simulator import SCALES, SHARES, Reviews, at_scale, simulate

__all__ = [
    "BORDER",
    "DOMAINS",
    "LABELS",
    "LANGUAGES",
    "SCALES",
    "SHARES",
    "SPLITS",
    "Reviews",
    "at_scale",
    "classes",
    "opinion",
    "simulate",
]
