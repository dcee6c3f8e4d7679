"""Reviews that the tests of audit must tell apart.

`earns` is the partial credit of one that is partly right.
"""

SOLUTION = {
    3: "denominator",
    4: "truth",
    5: "copies across the split",
    9: "average",
    11: "unit of the lot",
    13: "chance",
    16: "unit",
}


def right_in_another_order():
    # the same review, written from the last line to the first
    return {line: SOLUTION[line] for line in sorted(SOLUTION, reverse=True)}


def right_names_the_sums_and_the_rates():
    # the lines that prepare the ratio and the decision instead of those that take them
    return {{3: 2, 13: 12}.get(line, line): kind for line, kind in SOLUTION.items()}


def wrong_lists_every_line():
    # listing all lines must not pay
    return {line: SOLUTION.get(line, "chance") for line in range(1, 17)}


def wrong_finds_nothing():
    # approves the notebook
    return {}


def wrong_suspects_the_innocent():
    # neighbours, missing data and the comparison look strange and are in order
    return {6: "average", 14: "unit", 15: "unit"}


def wrong_misses_the_alarm(earns=6.0):
    # the threshold is read as its author means it
    return {line: kind for line, kind in SOLUTION.items() if line != 16}


def wrong_one_class_for_all(earns=4.0):
    # the right lines, all called chance: half a point each but one
    return dict.fromkeys(SOLUTION, "chance")


def wrong_one_line_too_many(earns=6.0):
    # three of five datapoints are a sound rule
    return SOLUTION | {14: "chance"}


def wrong_invents_a_fault():
    # a kind that is not in the list
    return {5: "leakage"}
