"""Reading records one by one as Python values, exactly as stored.

Source: format specification 7 (records), 8 (long values).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hotsplit import _native
from hotsplit.errors import DataDamaged, HotsplitError, Jet, PageDamaged
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.columns import Coltyp, ColumnDef, Scalar, Value, decode_value
from hotsplit.ese.format.longvalue import parse_lid
from hotsplit.ese.format.page import NodeFlag, Page, PageFlag
from hotsplit.ese.format.record import RecordPlan, plain_instance
from hotsplit.ese.format.taggedcolumns import Instance, TagHeader
from hotsplit.ese.read.batches import BatchReader
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.labels import Label, Origin
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.ese.read.parts import LeafRange
from hotsplit.ese.read.remains import Remnant
from hotsplit.ese.read.where import Condition, meets
from hotsplit.report import Finding, Reporter, Severity

_kernel = _native.load("lookup")
_ROWS = 4096  # of a batch
_ALWAYS_PENDING = 0xFFFF  # no code page: the kernel gives the bytes
_Decoded = tuple[int, bytes | None, list[Any] | None, list[int]]


class LabelledRow(NamedTuple):
    """A row with what it is and where it was found. key: its bookmark, None where not known."""

    origin: Origin
    key: bytes | None
    values: list[Value]


class RowReader:
    """Decodes records of one table. Values that cannot be decoded are None, with a finding."""

    def __init__(
        self,
        name: str,
        columns: list[ColumnDef],
        long_values: Callable[[], LongValues],
        reporter: Reporter,
    ) -> None:
        self._name, self._columns = name, columns
        self._plan = RecordPlan(columns)
        self._long_values, self._reporter = long_values, reporter
        self._quiet = False

    def live(
        self, tree: BTree, *, keys: bool, part: LeafRange | None = None
    ) -> Iterator[tuple[bytes | None, list[Value]]]:
        """Yield (bookmark if `keys`, values) of each live row, or of those of a part, in key order.

        Raises OutOfOrder; see `BatchReader.sweep`.
        """
        reader = BatchReader(
            tree.name,
            tree.pages.page_size,
            self._columns,
            long_values=self._long_values,
            reporter=self._reporter,
            size=_ROWS,
            keys=keys,
            exact=True,
        )
        for batch in reader.sweep(tree, part=part):
            bookmarks = batch.key_values() if keys else itertools.repeat(None, batch.rows)
            yield from zip(bookmarks, batch.values(), strict=True)

    def _page(
        self, tree: BTree, page: Page, *, only: Container[int] | None = None
    ) -> Iterator[tuple[int, list[Value]]]:
        """Yield (node, values) of the live rows of a page, or of `only` some."""
        try:
            decoded = self._plan.decode_page(page.data)
        except ValueError as error:
            tree.report(PageDamaged(str(error), position=f"page {page.number}"))
            return
        if only is not None:
            decoded = [row for row in decoded if row[0] in only]
        found = self._read_long(decoded)
        for node, _, values, pending in decoded:
            if values is None:
                tree.report_node(page, node)
                continue
            for place in pending:
                where = f"page {page.number}, node {node}"
                values[place] = self._resolve(place, values[place], where, found)
            yield node, values

    def where(
        self, tree: BTree, asked: list[ColumnDef], tests: Sequence[Condition]
    ) -> Iterator[list[Value]]:
        """Yield the live rows that meet all tests, whose columns are `asked`, in key order."""
        first = RowReader(self._name, asked, self._long_values, self._reporter)
        for page in tree.leaves():
            met = {node for node, values in first._page(tree, page) if meets(values, tests)}
            if met:
                for _, values in self._page(tree, page, only=met):
                    yield values

    def row(self, found: Remnant, page_size: int, *, quiet: bool = False) -> LabelledRow:
        """Decode one record. quiet: without findings, since it is decoded again."""
        values, pending = self._plan.decode(found.record, is_large(page_size), found.old)
        where = f"page {found.page}, node {found.node}"
        self._quiet = quiet or found.label != Label.LIVE  # remains are not expected to be whole
        for place in pending:
            values[place] = self._resolve(place, values[place], where, {})
        self._quiet = False
        return LabelledRow(Origin(found.page, found.node, found.label), found.key, values)

    # Values that need more than the record

    def _read_long(self, rows: Iterable[_Decoded]) -> dict[int, bytes | int]:
        """Read the separated long values of single-valued columns, all of a page at once."""
        lids = set()
        for _, _, values, pending in rows:
            for place in pending if values is not None else ():
                header, data = values[place] if values is not None else (0, b"")
                if header > 0 and header & TagHeader.SEPARATED.value:
                    with contextlib.suppress(ValueError):  # `_resolve` reports it
                        lids.add(parse_lid(data))
        if len(lids) < 2:
            return {}
        try:
            return self._long_values().read_many(lids)
        except HotsplitError:
            return {}

    def _resolve(
        self, place: int, piece: tuple[int, bytes], where: str, found: dict[int, bytes | int]
    ) -> Value:
        column = self._columns[place]
        if piece[0] > 0 and piece[0] & TagHeader.ENCRYPTED.value:
            self._report(column, where, "the value is encrypted", Jet.errColumnNoEncryptionKey)
            return None
        try:
            instances = self._plan.instances(place, piece)
        except ValueError as error:
            self._report(column, where, str(error), Jet.errDatabaseCorrupted)
            return None
        if instances is None:
            return None
        if not instances:
            return self._plan.defaults[place]
        values = [self._instance(column, i, where, found) for i in instances]
        return values if column.is_multi_valued or len(values) > 1 else values[0]

    def _instance(
        self, column: ColumnDef, instance: Instance, where: str, found: dict[int, bytes | int]
    ) -> Scalar:
        try:
            return decode_value(column, self._plain(instance, found))
        except HotsplitError as error:
            self._report(column, where, error.message, error.jet)
        except ValueError as error:
            self._report(column, where, str(error), Jet.errDatabaseCorrupted)
        return None

    def _plain(self, instance: Instance, found: dict[int, bytes | int]) -> bytes:
        if not instance.separated:
            return plain_instance(instance)
        lid = parse_lid(instance.data)
        data = found.get(lid)
        return data if isinstance(data, bytes) else self._long_values().read(lid)

    def _report(self, column: ColumnDef, where: str, why: str, jet: Jet) -> None:
        if self._quiet:
            return
        message = f"table {self._name}, column {column.name}: {why}"
        self._reporter.report(Finding("value", Severity.ERROR, message, position=where, jet=jet))


def leaf_records(tree: BTree, *, deleted: bool) -> Iterator[Remnant]:
    """Yield the live records of a tree, and those flagged as deleted if wanted, in key order."""
    for page in tree.leaves():
        old = not page.flags & PageFlag.NEW_RECORD
        try:
            nodes = _kernel.nodes(page.data)
        except ValueError as error:
            tree.report(PageDamaged(str(error), position=f"page {page.number}"))
            continue
        for i, node in enumerate(nodes):
            if node is None:
                tree.report_node(page, i)
                continue
            key, record, flags = node
            gone = flags & NodeFlag.DELETED.value
            if deleted or not gone:
                label = Label.DELETED if gone else Label.LIVE
                yield Remnant(label, page.number, i, key, record, old)


def stream_value(
    record: bytes, column: ColumnDef, long_values: Callable[[], LongValues], large: bool
) -> Iterator[bytes]:
    """Yield the bytes of the first value of a column, a long value chunk by chunk.

    Raises DataDamaged if the value is damaged or encrypted.
    """
    plan = RecordPlan([replace(column, coltyp=Coltyp.LONG_TEXT, code_page=_ALWAYS_PENDING)])
    values, pending = plan.decode(record, large)
    if not pending:
        return
    header = values[0][0]
    if header > 0 and header & TagHeader.ENCRYPTED.value:
        raise DataDamaged("the value is encrypted", jet=Jet.errColumnNoEncryptionKey)
    try:
        instances = plan.instances(0, values[0])
    except ValueError as error:
        raise DataDamaged(str(error)) from error
    for instance in (instances or ())[:1]:
        if instance.separated:
            yield from long_values().stream(parse_lid(instance.data))
        else:
            yield plain_instance(instance)
