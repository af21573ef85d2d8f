"""The index entries that the records of a table make.

The compiled kernel only sums entries up; its Python reference hands them out, which is what a
rebuilt index needs. Source: format specification 7 (records), 10 (keys).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hotsplit._native.indexkey_py import Fetch, Index, RowEntries, Source
from hotsplit._native.record_py import Record
from hotsplit.ese.check.rowplan import Compare, TableShape, compare_mode, index_plan
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.format.page import Node


@dataclass
class Collector:
    """Takes the place of the kernel's ledger and keeps what it is handed."""

    items: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_watching: bool = True

    def is_watched(self, _: int) -> bool:
        """Everything is kept."""
        return True

    def enter(self, side: int, hash_: int, count: int) -> None:
        """Sums are of no use here."""

    def take(self, _: int, key: bytes, data: bytes, count: int, place: tuple[int, int]) -> None:
        """Keep an item."""
        self.items.append((key, data))


def can_make(shape: TableShape, index: IndexDef) -> bool:
    """True if the entries of an index can be made from the rows."""
    try:
        made = index_plan(shape, index, None) is not None
    except ValueError:
        return False
    return made and compare_mode(shape, index) == Compare.BY_KEY


class EntryMaker:
    """Makes the entries of one index. failed: for how many records they cannot be told.

    compare: a way that needs no keys if only bookmarks are asked for. Raises ValueError for a
    definition that makes no sense.
    """

    def __init__(
        self,
        shape: TableShape,
        index: IndexDef,
        page_size: int,
        fetch: Fetch,
        compare: Compare | None = None,
    ) -> None:
        self._entries = Collector()
        plan = index_plan(shape, index, self._entries, compare)
        if plan is None:
            raise ValueError("a column of the key is missing")
        self._index = Index.of(plan)
        self._large = is_large(page_size)
        self._fetch = fetch
        self.failed = 0

    def entries(self, node: Node, *, old: bool) -> Iterator[Node]:
        """Yield the entries of a record, each once."""
        self._entries.items.clear()
        source = Source(Record(node.data, self._large, old), self._fetch)
        self.failed += not RowEntries(self._index, source, node.key, (0, 0)).enter()
        for key, bookmark in dict.fromkeys(self._entries.items):
            yield Node(key, bookmark)
