"""Reviews that the tests of audit must tell apart.

`earns` is the partial credit of one that is partly right.
"""

SOLUTION = {
    3: "future",
    6: "copies across the split",
    7: "order in time",
    10: "decisions for scores",
    13: "chance",
    14: "censoring",
    17: "unit",
}


def right_in_another_order():
    # the same review, written from the last line to the first
    return {line: SOLUTION[line] for line in sorted(SOLUTION, reverse=True)}


def right_names_the_median():
    # the line that takes the median instead of the one that drops the rows
    return {15 if line == 14 else line: kind for line, kind in SOLUTION.items()}


def wrong_lists_every_line():
    # listing all lines must not pay
    return {line: SOLUTION.get(line, "future") for line in range(1, 18)}


def wrong_finds_nothing():
    # approves the notebook
    return {}


def wrong_suspects_the_innocent():
    # the logarithm, the seed and the join look strange and are in order
    return {1: "chance", 4: "future", 8: "unit", 11: "order in time"}


def wrong_misses_the_winner(earns=6.0):
    # a difference of arms without an interval
    return {line: kind for line, kind in SOLUTION.items() if line != 13}


def wrong_one_class_for_all(earns=4.0):
    # the right lines, all called leakage of the future: half a point each but one
    return dict.fromkeys(SOLUTION, "future")


def wrong_one_line_too_many(earns=6.0):
    # probabilities of the positive class are in order
    return SOLUTION | {9: "decisions for scores"}


def wrong_invents_a_fault():
    # a kind that is not in the list
    return {3: "leakage"}
