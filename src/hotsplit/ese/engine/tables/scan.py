"""Reading a table in use as columns: the leaves in memory go to the kernel that reads files.

A leaf whose rows have no versions goes to the kernel as it is. Of another one a page is made that
holds what the session sees, and that goes to the kernel. The lock is held for some leaves at a
time; between them the tree may change, so a scan knows its place by key, not by page.

Source: format specification 4.3 (scan), 8 (long values); log specification 6.5 (versions).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hotsplit import _native
from hotsplit.errors import DataDamaged, Jet, ObjectNotFound, PageDamaged
from hotsplit.ese.format.checksum import RUN_GOOD
from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.format.longvalue import pack_lid
from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.batches import BatchReader
from hotsplit.ese.recovery.core import REPLACE
from hotsplit.report import Finding, Reporter, Severity

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.longvalues import LongValueTree
    from hotsplit.ese.engine.tables.table import Table
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.treeview import Entry

_kernel, _trees = _native.load("batch"), _native.load("tree")
_USABLE = bytes([RUN_GOOD])
_LEAVES = 64  # taken before others have their turn


def batches(table: Table, columns: list[ColumnDef], size: int, *, keys: bool) -> Iterator[Batch]:
    """Yield the rows that the session of a table sees, in primary order, in one view."""
    with table.viewed() as seen:
        session = seen.session
        with seen.reading():
            tree, values = seen.state.tree, seen.state.long_values

        def long_values() -> _LongValues:
            if values is None:
                raise ObjectNotFound(f"table {table.name} has no long values")
            return _LongValues(session, values)

        reader = BatchReader(
            f"table {table.name}",
            session.context.settings.page_size,
            columns,
            long_values=long_values,
            reporter=_Strict(),
            size=size,
            keys=keys,
            exact=True,
        )
        yield from reader.batches(_Scan(session, tree, reader.builder))


class _Strict(Reporter):
    """Damage is no data: it is raised."""

    def report(self, finding: Finding) -> None:
        """Raise DataDamaged; a warning (text that is none in its code page) is let pass."""
        if finding.severity == Severity.ERROR:
            jet = finding.jet or Jet.errDatabaseCorrupted
            raise DataDamaged(finding.message, jet=jet, position=finding.position)


class _Scan:
    """Gives the leaves of a tree to a builder of batches; a `Feed`."""

    def __init__(self, session: Session, tree: Tree, builder: Any) -> None:
        self._session, self._tree, self._builder = session, tree, builder
        self._mark = b""  # the lowest key that was not looked at yet
        self._visited = bytearray()
        # Of each leaf in the builder: its first row, and the mark before it.
        self._rows: list[int] = []
        self._marks: list[bytes] = []

    def advance(self) -> bool:
        """See `Feed`. Raises DataDamaged, PageDamaged, InstanceDown."""
        if not self._builder.rows:
            self._rows, self._marks = [], []
        context, more = self._session.context, None
        while more is None:
            with context.looking:
                context.check()
                context.safe_point()  # so that the pages read do not outgrow the cache
                more = self._take_leaves()
        return more

    def go_back(self, row: int) -> None:
        """See `Feed`."""
        at = bisect_right(self._rows, row) - 1
        first, mark = self._rows[at], self._marks[at]
        with self._session.context.looking:
            while True:
                entries = self._tree.entries_after(self._session, (mark, b""), inclusive=True)
                if row - first < len(entries):
                    break
                first, mark = first + len(entries), _behind(entries[-1][0])
        self._mark = entries[row - first][0]
        self._builder.truncate(row, self._visited)
        del self._rows[at + 1 :], self._marks[at + 1 :]

    def _take_leaves(self) -> bool | None:
        """Take some leaves. True: the builder must stop; False: they were the last."""
        tree, begun, seen = self._tree, self._mark, set[int]()
        pgno, page, line, _ = tree.find(self._mark)
        while len(seen) < _LEAVES or self._mark == begun:
            if pgno in seen:
                raise _damaged("links between leaves lead to a leaf again", pgno)
            seen.add(pgno)
            self._rows.append(self._builder.rows)
            self._marks.append(self._mark)
            if self._take(pgno, page, line):
                return True
            pgno, line = int.from_bytes(page[20:24], "little"), 0
            if not pgno:
                return False
            page = tree.page(pgno)
        return None

    def _take(self, pgno: int, page: bytearray, line: int) -> bool:
        """Take a leaf from a node on; tell whether the builder must stop."""
        count = _trees.count(page)
        if line >= count:
            return False
        end = _behind(_trees.node(page, count - 1)[0])
        if end <= self._mark:
            raise _damaged("a leaf is out of order", pgno)
        if self._has_versions(page, line, count):
            entries = self._tree.visible(self._session, page, line, count)
            return self._take_entries(pgno, page, entries, end)
        stop, at = self._walk(pgno, page, line)
        self._mark = _trees.node(page, at)[0] if stop and at < count else end
        return stop

    def _has_versions(self, page: bytearray, first: int, last: int) -> bool:
        versions = self._tree.versions
        if not versions:
            return False
        return any((key, b"") in versions for key, _, _ in _trees.nodes(page, first, last))

    def _take_entries(self, pgno: int, page: bytearray, entries: list[Entry], end: bytes) -> bool:
        """Take what the session sees of a leaf, in pages made of it; see `_take`."""
        taken, stop = 0, False
        while taken < len(entries) and not stop:
            made, count = _page_of(page, entries[taken:])
            stop, at = self._walk(pgno, made, 0)
            taken += at if stop else count
        self._mark = entries[taken][0] if taken < len(entries) else end
        return stop

    def _walk(self, pgno: int, page: bytearray, line: int) -> tuple[bool, int]:
        """Give a page to the builder. Return whether it must stop, and at which node."""
        if pgno >> 3 >= len(self._visited):
            self._visited.extend(bytes((pgno >> 3) + 1))
        reason, _, at = self._builder.walk(
            page, _USABLE, RUN_GOOD, pgno, self._visited, self._tree.objid, pgno, line, again=True
        )
        if reason == _kernel.REFUSED:
            raise _damaged("not a leaf of the table", pgno)
        return reason == _kernel.FULL, at


def _behind(key: bytes) -> bytes:
    """Return the lowest key above another."""
    return key + b"\0"


def _page_of(page: bytearray, entries: list[Entry]) -> tuple[bytearray, int]:
    """Return a leaf like `page` with some of these nodes, and how many: older ones may be larger.

    Raises DataDamaged for a node that fits no page.
    """
    count = len(entries)
    while count:
        made = bytearray(page)
        try:
            _trees.fill(made, b"", [(key, data, 0) for key, data in entries[:count]], False)
        except ValueError:
            count //= 2
        else:
            return made, count
    raise DataDamaged("A node fits no page", jet=Jet.errNodeCorrupted)


def _damaged(why: str, pgno: int) -> PageDamaged:
    return PageDamaged(why, jet=Jet.errBadPageLink, position=f"page {pgno}")


class _LongValues:
    """The long values that a session sees; a `LongSource`.

    What a row in view refers to is there, at most flagged as deleted since. So the kernel may read
    the pages as they are, but for those with parts that were written over since; what it does not
    find is read by its view.
    """

    def __init__(self, session: Session, values: LongValueTree) -> None:
        self._session, self._values = session, values
        self.chunk = values.chunk

    def collect(self, gather: Any) -> None:
        """See `LongSource`."""
        with self._session.context.looking:
            while (key := gather.wanted) is not None:
                self._follow(gather, self._values.tree.find(key).pgno)
                if gather.wanted == key:
                    gather.miss()

    def _follow(self, gather: Any, pgno: int) -> None:
        """Take leaves as long as a value goes on behind them, up to one with other contents."""
        tree, size = self._values.tree, self._session.context.settings.page_size
        reason = _kernel.OUTSIDE
        while reason == _kernel.OUTSIDE and not self._is_other(page := tree.page(pgno)):
            reason, pgno = gather.walk(page, _USABLE, RUN_GOOD, pgno, size, tree.objid, pgno)

    def _is_other(self, page: bytearray) -> bool:
        """Tell whether nodes of a leaf have other data than the session sees, or may have."""
        versions, transaction = self._values.tree.versions, self._session.current
        if not versions:
            return False
        try:
            nodes = _trees.nodes(page, 0, _trees.count(page))
        except ValueError:
            return True
        return any(
            version.operation == REPLACE and not transaction.sees(version)
            for key, _, _ in nodes
            for version in versions.get((key, b""))
        )

    def read(self, lid: int) -> bytes:
        """See `LongSource`. Raises DataDamaged."""
        with self._session.context.looking:
            return self._values.read(self._session, pack_lid(lid))
