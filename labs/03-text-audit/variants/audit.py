"""Reviews that the tests of audit must tell apart.

`earns` is the partial credit of one that is partly right.
"""

SOLUTION = {
    5: "fitted on the test",
    8: "copies across the split",
    11: "tuned on the test",
    13: "frequent classes",
    14: "confidence",
    15: "order of classes",
    18: "failure unread",
}


def right_in_another_order():
    # the same review, written from the last line to the first
    return {line: SOLUTION[line] for line in sorted(SOLUTION, reverse=True)}


def right_names_the_use():
    # the line that uses the names instead of the one that orders them
    return {16 if line == 15 else line: kind for line, kind in SOLUTION.items()}


def wrong_lists_every_line():
    # listing all lines must not pay
    return {line: SOLUTION.get(line, "order in time") for line in range(1, 20)}


def wrong_finds_nothing():
    # approves the notebook
    return {}


def wrong_suspects_the_innocent():
    # shuffling, the vocabulary's settings, the encoder and the poll look strange
    return {
        3: "order in time",
        4: "fitted on the test",
        6: "fitted on the test",
        9: "wrong labels",
    }


def wrong_misses_the_failure_path(earns=6.0):
    # an endpoint that never fails
    return {line: kind for line, kind in SOLUTION.items() if line != 18}


def wrong_one_class_for_all(earns=4.0):
    # the right lines, all called tuned on the test: half a point each but one
    return dict.fromkeys(SOLUTION, "tuned on the test")


def wrong_one_line_too_many(earns=6.0):
    # an encoder of labels has to know all classes
    return SOLUTION | {6: "fitted on the test"}


def wrong_invents_a_fault():
    # a kind that is not in the list
    return {5: "leakage"}
