"""The whole corpus; importing a module registers its cases."""

from hostile import bombs, cheats, credit, exits, loops, network, reads, scripts, shadows, submissions, writes
from hostile.case import CASES

MODULES = (bombs, cheats, credit, exits, loops, network, reads, scripts, shadows, submissions, writes)

__all__ = ["CASES", "MODULES"]
