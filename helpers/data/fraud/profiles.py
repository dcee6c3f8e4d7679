"""Who the customers are, where they live and which terminals they can reach."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

DAY = 86_400  # seconds
GRID = 100.0


@dataclass
class Customers:
    """Spending habits, one array element per customer, and the terminals that each can reach."""

    mean_amount: np.ndarray
    transactions_a_day: np.ndarray
    reachable: np.ndarray  # terminal ids of customer 0, then of customer 1, ...
    first_reachable: np.ndarray
    n_reachable: np.ndarray

    def pick_terminals(self, customer_id: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """One reachable terminal for each element of customer_id, from numbers drawn in [0, 1)."""
        return self.reachable[self.first_reachable[customer_id] + (uniform * self.n_reachable[customer_id]).astype(int)]


def draw_customers(rng: np.random.Generator, n_customers: int, n_terminals: int, radius: float) -> Customers:
    """Draw customers and terminals on the grid, and find the terminals within radius of each customer."""
    position = rng.uniform(0, GRID, (n_customers, 2))
    mean_amount = rng.uniform(5, 100, n_customers)
    transactions_a_day = rng.uniform(0, 4, n_customers)
    terminals = cKDTree(rng.uniform(0, GRID, (n_terminals, 2)))
    reachable = terminals.query_ball_point(position, radius, return_sorted=True)
    n_reachable = np.array([len(ids) for ids in reachable])
    return Customers(
        mean_amount=mean_amount,
        transactions_a_day=np.where(n_reachable > 0, transactions_a_day, 0.0),
        reachable=np.concatenate([np.asarray(ids, dtype=np.int32) for ids in reachable]),
        first_reachable=np.cumsum(n_reachable) - n_reachable,
        n_reachable=n_reachable,
    )
