"""Many nodes at a time into a tree: leaf by leaf, in order.

All records for leaves in memory are made at once and applied at once, by the code that recovery
runs. What takes more than a new node on a page with room (a split, a node flagged as deleted) goes
the way of single nodes.

Source: log specification 4.6, 7.2; format specification 4.2.
"""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING

from hotsplit.ese.engine.trees.chains import InsertRun
from hotsplit.ese.engine.trees.filling import fill
from hotsplit.ese.engine.trees.splitlines import room

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree

_NODE = 6  # bytes of a node beside its key and data
_FEW, _MOST_PAGES = 20, 64


def in_order(keys: list[bytes], datas: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return nodes in the order of a tree."""
    if all(map(operator.lt, keys, itertools.islice(keys, 1, None))):
        return keys, datas
    if all(map(operator.gt, keys, itertools.islice(keys, 1, None))):
        return keys[::-1], datas[::-1]
    nodes = sorted(zip(keys, datas, strict=True))
    return [key for key, _ in nodes], [data for _, data in nodes]


def insert_sorted(
    tree: Tree, session: Session, keys: list[bytes], datas: list[bytes], since: int
) -> None:
    """Insert nodes, which are in the order of the tree. since: see `Session.remember_run`.

    Raises KeyDuplicate, WriteConflict, InvalidUse (-1026); those in front are inserted then.
    """
    done, rows = 0, _Rows(tree, session, keys, datas, since)
    context = tree.database.context
    try:
        with tree.space.reserving(session, _pages(tree, keys, datas)):
            while done < len(keys):
                rceid, count = context.following_rceid, fill(tree, session, keys, datas, done)
                if not count:
                    rceid, count = tree.place_node(session, keys[done], datas[done]), 1
                rows.inserted(done, count, rceid)
                done += count
    finally:
        rows.remember()


def _pages(tree: Tree, keys: list[bytes], datas: list[bytes]) -> int:
    """Return how many pages nodes will fill that all go to the end of a tree, 0 for others."""
    if len(keys) < _FEW or keys[0] <= tree.last_key():
        return 0
    size = sum(map(len, keys)) + sum(map(len, datas)) + _NODE * len(keys)
    return min(size // room(tree.database.context.settings.page_size), _MOST_PAGES)


class _Rows:
    """Those that were inserted and whose versions are not kept yet."""

    def __init__(
        self, tree: Tree, session: Session, keys: list[bytes], datas: list[bytes], since: int
    ) -> None:
        self._tree, self._session, self._since = tree, session, since
        self._keys, self._datas = keys, datas
        self._first = self._end = self._rceid = 0

    def inserted(self, first: int, count: int, rceid: int) -> None:
        """Note inserts with adjacent version numbers, 0 for those whose version is kept."""
        if rceid != self._rceid + 2 * (self._end - self._first) or self._first == self._end:
            self.remember()
            self._first, self._rceid = first, rceid
        self._end = first + count if rceid else first

    def remember(self) -> None:
        """Keep their versions."""
        first, end = self._first, self._end
        if first == end:
            return
        keys = self._keys[first:end]
        marks = keys if self._tree.unique else list(zip(keys, self._datas[first:end], strict=True))
        session = self._session
        run = InsertRun(session.current, self._tree, marks, self._rceid, session.level)
        session.remember_run(run, self._since)
        self._first = end
