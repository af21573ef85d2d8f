"""Cursors: a place among the rows of a table, in the order of one index.

A cursor reads ahead by a leaf; it looks again as soon as its session sees anything else, by its own
changes or in a new view.

Source: format specification 4.3, 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.errors import Jet, RecordNotFound
from hotsplit.ese.format.columns import Value

if TYPE_CHECKING:
    from hotsplit.ese.engine.tables.table import Row, Table
    from hotsplit.ese.engine.tables.tablestate import SecondaryIndex
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.treeview import Entry

_ABOVE_ALL = b"\xff"


class Cursor:
    """See `Table.cursor`. A new one stands in front of the first row."""

    def __init__(self, table: Table, index: SecondaryIndex | None) -> None:
        self._table, self._index = table, index
        self._tree: Tree = table.state.tree if index is None else index.tree
        self._entries: list[Entry] = []
        self._at = 0
        self._here: Entry | None = None
        self._gap = b""  # the key that was searched for where it stands between rows
        self._end = False
        self._seen: tuple[int, int] | None = None  # what the entries are of
        self._low: bytes | None = None
        self._high: bytes | None = None

    # Moving

    def move(self, rows: int) -> bool:
        """Move by a number of rows, backwards if negative; False where there is none."""
        with self._table.reading():
            step = self._next if rows > 0 else self._previous
            return all(step() for _ in range(abs(rows)))

    def first(self) -> bool:
        """Move to the first row (of the range); False if there is none."""
        self._restart()
        return self.move(1)

    def last(self) -> bool:
        """Move to the last row (of the range); False if there is none."""
        self._restart()
        self._end = True
        return self.move(-1)

    def _restart(self) -> None:
        self._entries, self._at, self._here, self._gap, self._end = [], 0, None, b"", False

    def _next(self) -> bool:
        session = self._table.session
        if self._end:
            return False
        fresh = self._seen == session.sight and self._here is not None
        if fresh and self._at + 1 < len(self._entries):
            self._at += 1
        else:
            mark = self._here or (max(self._gap, self._low or b""), b"")
            inclusive = self._here is None
            self._entries = self._tree.entries_after(session, mark, inclusive=inclusive)
            self._at, self._seen = 0, session.sight
            if not self._entries:
                self._here, self._gap, self._end = None, b"", True
                return False
        return self._arrive()

    def _previous(self) -> bool:
        session = self._table.session
        fresh = self._seen == session.sight and self._here is not None
        if fresh and self._at > 0:
            self._at -= 1
        else:
            if self._here is None and not self._end and not self._gap:
                return False
            mark = self._here
            if self._gap:
                mark = (self._gap, b"")
            elif mark is None and self._high is not None:
                mark = (self._high, b"")
            self._entries = self._tree.entries_before(session, mark)
            self._at, self._seen = len(self._entries) - 1, session.sight
            self._end = False
            if not self._entries:
                self._here, self._gap = None, b""
                return False
        return self._arrive()

    def _arrive(self) -> bool:
        """Stand on an entry; one outside the range is none."""
        entry, self._gap = self._entries[self._at], b""
        if self._high is not None and entry[0] >= self._high:
            self._here, self._end = None, True
            return False
        if self._low is not None and entry[0] < self._low:
            self._here, self._end = None, False
            return False
        self._here = entry
        return True

    # Searching

    def seek(self, *key: Value) -> bool:
        """Move to the first row whose key begins with these values; False if there is none.

        The cursor stands between rows then, where `move` goes on.
        """
        start = self._search_key(*key)
        if not self._seek(start) or self._here is None:
            return False
        if not self._here[0].startswith(start):
            self._here, self._gap = None, start
        return self._here is not None

    def seek_from(self, *key: Value) -> bool:
        """Move to the first row whose key is not below these values; False if there is none."""
        return self._seek(self._search_key(*key))

    def _seek(self, start: bytes) -> bool:
        self._restart()
        with self._table.reading():
            session = self._table.session
            self._entries = self._tree.entries_after(session, (start, b""), inclusive=True)
            self._at, self._seen = 0, session.sight
            if not self._entries:
                self._end = True
                return False
            return self._arrive()

    def _search_key(self, *key: Value) -> bytes:
        if self._index is not None:
            return self._index.keys.search_key(key)
        return self._table.bookmark(*key)

    def set_range(self, low: tuple[Value, ...] = (), high: tuple[Value, ...] = ()) -> None:
        """Restrict the cursor to keys from `low` to those that begin with `high`, inclusive.

        An empty tuple is no bound. The cursor stands in front of the first row then.
        """
        self._low = self._search_key(*low) if low else None
        self._high = _after(self._search_key(*high)) if high else None
        self._restart()

    # The row

    @property
    def bookmark(self) -> bytes:
        """Bookmark of the row. Raises RecordNotFound (-1603) where the cursor stands on none."""
        if self._here is None:
            raise RecordNotFound("The cursor stands on no row", jet=Jet.errNoCurrentRecord)
        return self._here[0] if self._index is None else self._here[1]

    @property
    def key(self) -> bytes:
        """Normalised key of the row in the cursor's index. Raises RecordNotFound (-1603)."""
        if self._here is None:
            raise RecordNotFound("The cursor stands on no row", jet=Jet.errNoCurrentRecord)
        return self._here[0]

    def row(self) -> Row:
        """Return the row as it is now. Raises RecordNotFound (-1603, or -1017 if it is deleted)."""
        mark, table = self.bookmark, self._table
        with table.reading():
            if self._index is None and self._here and self._seen == table.session.sight:
                return table.decode(self._here[1])
            record = table.state.tree.get(table.session, mark)
            if record is not None:
                return table.decode(record)
        raise RecordNotFound("The row is deleted", jet=Jet.errRecordDeleted)

    def update(self, **values: Value) -> None:
        """Change columns of the row."""
        self._table.update(self.bookmark, values)

    def delete(self) -> None:
        """Delete the row; the cursor stays between its neighbours."""
        self._table.delete(self.bookmark)


def _after(key: bytes) -> bytes | None:
    """Return the lowest key above all that begin with `key`, None if there is none."""
    trimmed = key.rstrip(_ABOVE_ALL)
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None
