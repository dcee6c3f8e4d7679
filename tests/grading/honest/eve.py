"""Recursion, and a class for what is open."""


class Open:
    def __init__(self, who, when):
        self.who = who
        self.whens = [when]

    def takes(self, who, when, gap):
        return who == self.who and when - self.whens[-1] <= gap


def sessions(clicks, gap):
    done = []
    for who, when in sorted(clicks, key=lambda click: (click[0], click[1])):
        if done and done[-1].takes(who, when, gap):
            done[-1].whens.append(when)
        else:
            done.append(Open(who, when))
    return [session.whens for session in done]


def busiest(clicks, k):
    if k == 0 or not clicks:
        return []
    everybody = sorted({who for who, when in clicks})
    first = max(everybody, key=lambda name: sum(who == name for who, when in clicks))
    return [first, *busiest([click for click in clicks if click[0] != first], k - 1)]
