"""The phrase banks: what is said in one split is not said in another, and kinds follow their rules."""

import itertools
import re

import numpy as np
import pytest

from helpers.data import tickets
from helpers.data.tickets.banks import fill
from helpers.data.tickets.compose import draft, matter

SPLITS = ("train", "validation", "test")
BANKS = (*tickets.LABELS, "frames", "ambiguous", "new_topic")


def phrases(name, split):
    return [one for section, lines in tickets.bank(name).items() if section.startswith(f"{split}.") for one in lines]


def word_groups(text, n):
    words = re.findall(r"[a-z']+", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def pattern(phrase):
    """What any surface form of a phrase looks like."""
    parts = ("|".join(map(re.escape, part)) for part in phrase.parts)
    return re.compile(re.sub(r"\\\$[a-z]+", ".+?", "".join(f"(?:{part})" for part in parts)), re.IGNORECASE)


SITUATIONS = [
    (label, pattern(phrase))
    for label in tickets.LABELS
    for split in SPLITS
    for phrase in tickets.bank(label)[f"{split}.situations"]
]


def matters(text):
    """The classes whose situations a text tells, in the order in which it tells them."""
    found = [(hit.start(), label) for label, shape in SITUATIONS if (hit := shape.search(text))]
    return [label for _, label in sorted(found)]


def test_every_bank_is_well_formed_and_its_fillers_exist():
    rng = np.random.default_rng(0)
    for name in BANKS:
        for phrase in itertools.chain.from_iterable(tickets.bank(name).values()):
            assert phrase.line.count("{") == phrase.line.count("}"), phrase.line
            for part in phrase.parts:
                assert len(set(part)) == len(part), f"an alternative stands twice in {phrase.line!r}"
            for filler in re.findall(r"\$([a-z]+)", phrase.line):
                assert fill(filler, rng)
            assert not re.search(r"[{}$|]", phrase.say(rng)), phrase.line


@pytest.mark.parametrize("name", BANKS)
def test_no_sentence_of_a_bank_is_said_in_two_splits(name):
    rng = np.random.default_rng(0)
    said = {split: {one.say(rng) for one in phrases(name, split) for _ in range(40)} for split in SPLITS}
    for first, second in itertools.combinations(SPLITS, 2):
        assert said[first].isdisjoint(said[second]), (first, second, said[first] & said[second])


def test_test_tickets_share_few_five_word_groups_with_training():
    corpus = tickets.corpus(n_train=2_000, n_test=600, seed=0, typos=0.0)
    known = set().union(*(word_groups(text, 5) for text in corpus.train["text"]))
    tested = [group for text in corpus.test["text"] for group in word_groups(text, 5)]
    assert np.mean([group in known for group in tested]) < 0.05


def test_each_class_has_hundreds_of_surface_forms_before_details_and_dress():
    for label in tickets.LABELS:
        forms = {split: sum(one.n_forms for one in tickets.bank(label)[f"{split}.situations"]) for split in SPLITS}
        assert forms["train"] >= 250, (label, forms)
        assert forms["test"] >= 150, (label, forms)
        assert sum(forms.values()) >= 500, (label, forms)


def test_a_class_rarely_says_the_same_thing_twice():
    for label in tickets.LABELS:
        rng = np.random.default_rng(0)
        bodies = {re.sub(r"\d+", "0", matter(label, "train", rng)) for _ in range(1_000)}
        assert len(bodies) > 600, (label, len(bodies))


def test_a_phrase_says_all_its_forms_and_no_other():
    phrase = tickets.Phrase("{a|b} and {c|d|e}")
    assert phrase.n_forms == 6
    rng = np.random.default_rng(0)
    assert {phrase.say(rng) for _ in range(200)} == {f"{x} and {y}" for x in "AB" for y in "cde"}


@pytest.mark.parametrize("split", SPLITS)
def test_of_two_open_matters_the_priority_decides_whichever_comes_first(split):
    rng = np.random.default_rng(1)
    orders = set()
    for label in tickets.PRIORITY[:-1]:
        for _ in range(10):
            one = draft(label, "second_intent", split, rng)
            told = matters(one.text)
            assert {one.label, one.other} <= set(told), one.text
            assert one.label == min((one.label, one.other), key=tickets.PRIORITY.index)
            orders.add(told[0] == one.label)
    assert orders == {True, False}
    lowest = draft(tickets.PRIORITY[-1], "second_intent", split, rng)
    assert lowest.kind == "plain", "the lowest class has nothing to win against"


@pytest.mark.parametrize("split", SPLITS)
def test_the_last_matter_decides_a_contrast(split):
    rng = np.random.default_rng(2)
    for label in tickets.LABELS:
        for _ in range(10):
            one = draft(label, "contrast", split, rng)
            told = matters(one.text)
            assert told[-1] == label, one.text
            assert one.other in told and one.other != label, one.text


def test_hard_negatives_use_the_words_of_other_classes():
    name_of = {
        "login": r"log.?in|sign.?in|password|account|code|digits",
        "invoice": r"invoice|bill",
        "refund": r"refund|money|cash|return|pa(y|id)",
        "delivery": r"parcel|deliver|order|box|courier|on time|punctual",
        "cancel": r"cancel|contract|notice|leav",
        "damaged": r"broken|damaged|cracked",
        "outage": r"outage|down|offline|server|cloud|network|system|all the|connection",
        "data_export": r"export|download|report|file",
        "integration": r"api|web ?shop|accounting|link",
        "feature_request": r"feature|version|release",
    }
    for label in tickets.LABELS:
        foreign = re.compile("|".join(words for other, words in name_of.items() if other != label), re.IGNORECASE)
        lines = [phrase.line for split in SPLITS for phrase in tickets.bank(label)[f"{split}.hard"]]
        share = np.mean([bool(foreign.search(line)) for line in lines])
        assert share > 0.6, (label, share)


def test_an_unknown_bank_or_filler_is_an_error():
    with pytest.raises(FileNotFoundError):
        tickets.bank("weather")
    with pytest.raises(KeyError):
        fill("colour", np.random.default_rng(0))
