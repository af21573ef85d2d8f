"""The index entries that the records of a table make.

Source: format specification 7 (records), 10 (keys).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hotsplit import _native
from hotsplit._native.indexkey_py import Fetch, Index, RowEntries, Source
from hotsplit._native.record_py import Record
from hotsplit.ese.check.rowplan import Compare, TableShape, compare_mode, index_plan, layout_of
from hotsplit.ese.check.values import RowValues
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import IndexDef, key_most
from hotsplit.ese.format.page import Node
from hotsplit.ese.rebuild.sorting import RUN_BYTES

_kernel = _native.load("integrity")


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
    """Makes the entries of one index, record by record.

    Raises ValueError for a definition that makes no sense.
    """

    def __init__(self, shape: TableShape, index: IndexDef, page_size: int, fetch: Fetch) -> None:
        self._entries = Collector()
        plan = index_plan(shape, index, self._entries)
        if plan is None:
            raise ValueError("a column of the key is missing")
        self._index = Index.of(plan)
        self._large = is_large(page_size)
        self._fetch = fetch

    def entries(self, node: Node, *, old: bool) -> Iterator[Node]:
        """Yield the entries of a record, each once; those that can be told."""
        self._entries.items.clear()
        source = Source(Record(node.data, self._large, old), self._fetch)
        RowEntries(self._index, source, node.key, (0, 0)).enter()
        for key, bookmark in dict.fromkeys(self._entries.items):
            yield Node(key, bookmark)


class EntryRuns:
    """Makes all entries of one index, leaf by leaf.

    compare: a way that needs no keys if only bookmarks are asked for. values: gives long values.
    Raises ValueError for a definition that makes no sense.
    """

    def __init__(
        self,
        shape: TableShape,
        index: IndexDef,
        page_size: int,
        values: RowValues,
        compare: Compare | None = None,
    ) -> None:
        self._entries = _kernel.Collection()
        plan = index_plan(shape, index, self._entries, compare)
        if plan is None:
            raise ValueError("a column of the key is missing")
        layout = layout_of(shape, page_size, None)
        self._rows = _kernel.Rows(layout, None, [plan], values.fetch, [])
        most = 2 * key_most(page_size)
        self._tree = _kernel.Tree(page_size, shape.table.objid, 0, 0, most, self._rows, [])
        self._values = values

    @property
    def failed(self) -> int:
        """For how many records the entries cannot be told."""
        return int(self._rows.unknown[0])

    def runs(self, leaves: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the entries of the records on leaves in runs (`hotsplit.ese.rebuild.sorting`)."""
        for page in leaves:
            self._values.prefetch(self._tree.wanted(page))
            self._tree.enter(page)
            if self._entries.size >= RUN_BYTES:
                yield self._entries.run()
        yield self._entries.run()
