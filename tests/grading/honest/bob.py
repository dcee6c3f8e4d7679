"""Sorts by pandas and numbers the sessions by a running sum."""

import pandas as pd


def sessions(clicks, gap):
    frame = pd.DataFrame(clicks, columns=["customer", "second"]).sort_values(["customer", "second"])
    starts = frame.groupby("customer")["second"].diff().fillna(gap + 1).gt(gap)
    frame["session"] = starts.cumsum()
    return frame.groupby("session")["second"].apply(list).tolist()


def busiest(clicks, k):
    frame = pd.DataFrame(clicks, columns=["customer", "second"])
    sizes = frame.groupby("customer").size().rename("clicks").reset_index()
    return sizes.sort_values(["clicks", "customer"], ascending=[False, True]).head(k)["customer"].tolist()
