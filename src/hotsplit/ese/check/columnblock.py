"""Many columns of one table at once, as columns of the catalog: a table can have 65,000.

Whole pages of the catalog that define tagged columns are read into lists and looked at list by
list. Only where something about them is remarkable their rows are taken one by one.
Source: format specification 6.2, 6.3.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

from hotsplit import _native
from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS, RowType
from hotsplit.ese.format.checksum import RUN_GOOD
from hotsplit.ese.format.columns import FIRST_TAGGED
from hotsplit.ese.format.page import Page
from hotsplit.ese.read.batch import Batch, kernel_column
from hotsplit.ese.read.pages import PageSet

_kernel = _native.load("batch")
_NAMES = ("ObjidTable", "Type", "Id", "ColtypOrPgnoFDP", "SpaceUsage", "Flags", "Name")
_COLUMNS = [column for name in _NAMES for column in CATALOG_COLUMNS if column.name == name]
_LAYOUT = list(map(kernel_column, _COLUMNS))
_KEY, _PREFIX = 13, 8  # bytes: 7f table, 7f type, 7f id; without the id
_LEAST = 40  # nodes of a page that is worth it
_UNREAD = (_kernel.REFUSED, _kernel.FULL)


def table_of(page: Page) -> int | None:
    """Return the table that a page of the catalog defines only tagged columns of, else None."""
    if page.node_count < _LEAST:
        return None
    first, last = page.node(0).key, page.node(page.node_count - 1).key
    if len(first) != _KEY or first[:_PREFIX] != last[:_PREFIX]:
        return None
    if _number(first, 6, 2) != RowType.COLUMN or _number(first, 9, 4) < FIRST_TAGGED:
        return None
    return _number(first, 1, 4)


def _number(key: bytes, at: int, size: int) -> int:
    return int.from_bytes(key[at : at + size], "big") ^ 1 << 8 * size - 1


class ColumnBlock:
    """The columns on adjacent pages of the catalog.

    table: object id of their table. tree: of the catalog that they are in. pages: their numbers.
    ids, types, sizes, flags: of the columns, in order; names: in lower case. All are empty unless
    `is_readable`.
    """

    def __init__(self, table: int, tree: int, page_size: int) -> None:
        self.table = table
        self.pages: list[int] = []
        self._tree = tree
        self._visited = PageSet()
        self._builder: Any = _kernel.Builder(_LAYOUT, page_size)
        self._whole = True
        self.ids: list[int] = []
        self.types: list[int] = []
        self.sizes: list[int] = []
        self.flags: list[int] = []
        self.names: list[str] = []

    def take(self, page: Page) -> None:
        """Take the next page."""
        number = page.number
        self.pages.append(number)
        self._visited.cover(number + 1)
        data, bits = bytes(page.data), self._visited.bits
        good = bytes([RUN_GOOD])
        reason, _, _ = self._builder.walk(data, good, RUN_GOOD, number, bits, self._tree, number)
        self._whole = self._whole and reason not in _UNREAD

    def finish(self) -> bool:
        """Make the lists after the last page; False if rows have to be looked at one by one."""
        builder, self._builder = self._builder, None
        if not self._whole or builder.pending_count:
            return False
        batch = Batch.finish(builder, _COLUMNS, {})
        *numbers, name = batch.buffers
        if name is None or name.validity is not None:
            return False
        lists = []
        for column, found in zip(_COLUMNS, numbers, strict=False):
            if found is None or found.validity is not None:
                return False
            numbers_of = memoryview(found.data)
            cast = numbers_of.cast("h") if column.stored_size == 2 else numbers_of.cast("I")
            lists.append(cast.tolist())
        tables, kinds, self.ids, self.types, self.sizes, self.flags = lists
        self.names = list(_lower(name.data, name.offsets or b""))
        same = tables.count(self.table) == kinds.count(RowType.COLUMN) == batch.rows
        return same and len(self.names) == batch.rows

    @cached_property
    def is_ascending(self) -> bool:
        """True if the ids ascend and are those of tagged columns."""
        ids = self.ids
        if not ids or ids[0] < FIRST_TAGGED or ids[-1] > 0xFFFF:
            return False
        return self.is_gapless or all(a < b for a, b in pairwise(ids))

    @cached_property
    def is_gapless(self) -> bool:
        """True if no id is left out."""
        return self.ids == list(range(self.ids[0], self.ids[0] + len(self.ids)))

    @cached_property
    def kinds(self) -> set[tuple[int, int, int]]:
        """All combinations of type, flags and size."""
        return set(zip(self.types, self.flags, self.sizes, strict=True))

    def has(self, fid: int) -> bool:
        """True for a column of the block."""
        at = bisect_left(self.ids, fid)
        return at < len(self.ids) and self.ids[at] == fid

    def infos(self, known: dict[tuple[int, int], int]) -> array[int]:
        """Return a number for each column, by its type and flags."""
        if len(known) == 1:
            return array("H", [*known.values()]) * len(self.ids)
        return array("H", map(known.__getitem__, zip(self.types, self.flags, strict=True)))


def _lower(data: bytes, offsets: bytes) -> Iterator[str]:
    """Yield texts of UTF-8 in lower case."""
    places = pairwise(memoryview(offsets).cast("i").tolist())
    if data.isascii():
        lower = data.decode("ascii").lower()
        return (lower[start:end] for start, end in places)
    return (data[start:end].decode("utf-8", "replace").casefold() for start, end in places)
