"""Reviews that the tests of audit must tell apart.

`earns` is the partial credit of one that is partly right.
"""

SOLUTION = {
    2: "future",
    6: "fitted on test",
    7: "copies across the split",
    8: "order in time",
    12: "chosen on test",
    13: "decisions for scores",
    15: "unit",
}


def right_in_another_order():
    # the same review, written from the last line to the first
    return {line: SOLUTION[line] for line in sorted(SOLUTION, reverse=True)}


def wrong_lists_every_line():
    # listing all lines must not pay
    return {line: SOLUTION.get(line, "future") for line in range(1, 16)}


def wrong_finds_nothing():
    # approves the notebook
    return {}


def wrong_suspects_the_innocent():
    # random_state, the logarithm and stratify look strange and are in order
    return {1: "chosen on test", 3: "future", 9: "unit", 14: "decisions for scores"}


def wrong_misses_the_alarm(earns=6.0):
    # an average of 1.0 is 100 %, not 1 %
    return {line: kind for line, kind in SOLUTION.items() if line != 15}


def wrong_one_class_for_all(earns=4.0):
    # the right lines, all called leakage of the future: half a point each but one
    return dict.fromkeys(SOLUTION, "future")


def wrong_one_line_too_many(earns=6.0):
    # average precision of scores is in order
    return SOLUTION | {14: "decisions for scores"}


def wrong_invents_a_fault():
    # a kind that is not in the list
    return {2: "leakage"}
