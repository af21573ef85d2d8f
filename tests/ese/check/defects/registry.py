"""The defects by name; modules beside this one enter theirs."""

from __future__ import annotations

from collections.abc import Callable

from hotsplit.ese.check.rules import RULES
from tests.ese.check.planted import Planter

Defect = Callable[[Planter], None]
DEFECTS: dict[str, tuple[set[str], Defect]] = {}
"""(rules, what plants it) by name."""


def breaks(*rules: str) -> Callable[[Defect], Defect]:
    """Name the rule that a defect breaks, and those that it cannot but break, too."""

    def note(defect: Defect) -> Defect:
        assert all(rule in RULES for rule in rules)
        DEFECTS[defect.__name__] = (set(rules), defect)
        return defect

    return note
