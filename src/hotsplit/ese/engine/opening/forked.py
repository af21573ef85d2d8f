"""A process that forks: its child has copies of open instances, which stay the parent's.

Two processes that write one log would ruin it, and the locks of files cannot keep them apart: a
child inherits them. So in a child the copies are at an end, and do not keep files locked that the
parent has closed.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What a child must not go on with."""

    def leave_to_parent(self) -> None:
        """Come to an end in a child, without a change of any file. No lock may be waited for."""
        ...


_known: weakref.WeakSet[Forkable] = weakref.WeakSet()


def keep_to_this_process(one: Forkable) -> None:
    """End a copy in each child that this process may have."""
    _known.add(one)


def _in_child() -> None:
    for one in list(_known):
        one.leave_to_parent()


os.register_at_fork(after_in_child=_in_child)
