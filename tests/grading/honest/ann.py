"""Six people's answers to the same two tasks, each on a road of its own; this one loops."""


def sessions(clicks, gap):
    """Clicks (customer, second) as lists of one customer's clicks that are at most a gap apart."""
    by_customer = {}
    for customer, second in sorted(clicks):
        by_customer.setdefault(customer, []).append(second)
    result = []
    for seconds in by_customer.values():
        current = [seconds[0]]
        for second in seconds[1:]:
            if second - current[-1] > gap:
                result.append(current)
                current = []
            current.append(second)
        result.append(current)
    return result


def busiest(clicks, k):
    """The k customers with most clicks; of equals the smaller name."""
    counts = {}
    for customer, _ in clicks:
        counts[customer] = counts.get(customer, 0) + 1
    names = list(counts)
    names.sort(key=lambda name: (-counts[name], name))
    return names[:k]
