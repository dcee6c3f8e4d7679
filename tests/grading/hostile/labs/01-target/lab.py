# ---
# title: The target of the hostile corpus
# minutes: 1
# module: target
# ---

# %% [markdown]
# # The target of the hostile corpus

# %% tags=["setup"]
import math

import numpy as np
import pandas as pd


# %% nbgrader="solution" grade_id="double"
def double(number: float) -> float:
    """Twice the number."""
    ### BEGIN SOLUTION
    return number * 2
    ### END SOLUTION


# %% nbgrader="test" grade_id="test_double" points=2
"""Twice 2 is 4."""
assert double(2) == 4, f"expected 4, got {double(2)}"
### BEGIN HIDDEN TESTS
marker_of_the_hidden_test = 20_260_301
np.testing.assert_allclose(double(marker_of_the_hidden_test), 2 * marker_of_the_hidden_test)
### END HIDDEN TESTS


# %% nbgrader="solution" grade_id="totals"
def totals(frame: pd.DataFrame) -> pd.Series:
    """Sum of column value for each key."""
    ### BEGIN SOLUTION
    return frame.groupby("key")["value"].sum()
    ### END SOLUTION


# %%
small = pd.DataFrame({"key": ["a", "b", "a"], "value": [1.0, 2.0, 3.0]})
totals(small)

# %% nbgrader="test" grade_id="test_totals" points=3
"""The values of a add up to 4."""
assert totals(small)["a"] == 4, f"expected 4, got {totals(small)['a']}"
### BEGIN HIDDEN TESTS
drawn = pd.DataFrame({"key": list("xyzzy"), "value": np.arange(5.0)})
pd.testing.assert_series_equal(totals(drawn), drawn.groupby("key")["value"].sum(), check_names=False)
### END HIDDEN TESTS


# %% nbgrader="solution" grade_id="claim"
def claim() -> float:
    """How many of the four points you earn: your answer is believed, within reason."""
    ### BEGIN SOLUTION
    return 4.0
    ### END SOLUTION


# %% nbgrader="test" grade_id="test_claim" points=4
"""The test ends with the student's own number."""
claim()


# %% nbgrader="solution" grade_id="inside"
def inside(number: float) -> float:
    """The number's square root."""
    ### BEGIN SOLUTION
    return math.sqrt(number)
    ### END SOLUTION


# %% nbgrader="test" grade_id="test_inside" points=5 tags=["in-process"]
"""The root of 9 is 3."""
assert inside(9) == 3, f"expected 3, got {inside(9)}"
### BEGIN HIDDEN TESTS
assert math.isclose(inside(2), 2**0.5), "the root of 2"
### END HIDDEN TESTS

# %% [markdown] nbgrader="manual" grade_id="why" points=1
# Why?
#
# <!-- BEGIN SOLUTION -->
# Because.
# <!-- END SOLUTION -->

# %% tags=["cleanup"]
print("nothing to delete")
