"""Support tickets of a maker of shop tills, in ten classes, from phrase banks that the splits do not share.

Texts from one set of templates are separable by their words alone. Here each split has its own sentences for every
class, and the words of one class occur in others: in hard negatives, in matters already settled, in second intents.
"""

from helpers.data.tickets.banks import Phrase, bank
from helpers.data.tickets.compose import AMBIGUOUS, KINDS, LABELS, PRIORITY
from helpers.data.tickets.corpus import NEW_TOPIC_DATE, PERIODS, SCALES, Corpus, at_scale, corpus

__all__ = [
    "AMBIGUOUS",
    "KINDS",
    "LABELS",
    "NEW_TOPIC_DATE",
    "PERIODS",
    "PRIORITY",
    "SCALES",
    "Corpus",
    "Phrase",
    "at_scale",
    "bank",
    "corpus",
]
