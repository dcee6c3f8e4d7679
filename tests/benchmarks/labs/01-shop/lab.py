# ---
# title: A lab of pandas
# minutes: 1
# module: shop
# ---

# %% [markdown]
# # A lab of pandas

# %%
import numpy as np
import pandas as pd

# %% tags=["parameters"]
ORDERS = 5_000

# %%
random = np.random.default_rng(0)
orders = pd.DataFrame({"customer": random.integers(0, 400, ORDERS), "amount": random.gamma(2, 30, ORDERS)})
orders.describe()


# %% nbgrader="solution" grade_id="spent"
def spent(orders: pd.DataFrame) -> pd.Series:
    """What each customer spent."""
    ### BEGIN SOLUTION
    return orders.groupby("customer")["amount"].sum()
    ### END SOLUTION


# %%
orders.head()

# %% nbgrader="test" grade_id="test_spent" points=2
"""Two customers, three orders."""
few = pd.DataFrame({"customer": [1, 1, 2], "amount": [1.0, 2.0, 4.0]})
assert spent(few).to_dict() == {1: 3.0, 2: 4.0}
### BEGIN HIDDEN TESTS
assert np.isclose(spent(orders).sum(), orders["amount"].sum())
### END HIDDEN TESTS


# %% nbgrader="solution" grade_id="outliers"
def outliers(amounts: pd.Series) -> pd.Series:
    """Amounts above the third quartile by 1.5 times the interquartile range."""
    ### BEGIN SOLUTION
    low, high = amounts.quantile([0.25, 0.75])
    return amounts[amounts > high + 1.5 * (high - low)]
    ### END SOLUTION


# %% nbgrader="test" grade_id="test_outliers" points=3
"""One amount of five stands out."""
assert list(outliers(pd.Series([1.0, 2.0, 3.0, 4.0, 100.0]))) == [100.0]
### BEGIN HIDDEN TESTS
assert 0 < len(outliers(orders["amount"])) < ORDERS // 10
### END HIDDEN TESTS

# %% tags=["cleanup"]
print("nothing to delete")
