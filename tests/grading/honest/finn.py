"""Indexes and while."""


def sessions(clicks, gap):
    ordered, out, start = sorted(clicks), [], 0
    while start < len(ordered):
        end = start + 1
        while (
            end < len(ordered) and ordered[end][0] == ordered[start][0] and ordered[end][1] - ordered[end - 1][1] <= gap
        ):
            end += 1
        out.append([ordered[i][1] for i in range(start, end)])
        start = end
    return out


def busiest(clicks, k):
    table = [(name, len([1 for click in clicks if click[0] == name])) for name in {c[0] for c in clicks}]
    table = sorted(sorted(table), key=lambda row: row[1], reverse=True)
    return [row[0] for row in table][0:k]
