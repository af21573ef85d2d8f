"""Completing a batch: what a leaf page alone cannot say.

The kernel leaves separated long values, rare compression and rare code pages to this module, and
tells it what is damaged. Values are put in place; damage goes to the reporter and stays null.

Source: format specification 7.5 (tagged columns), 8 (long values), 9 (compression).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from hotsplit import _native
from hotsplit.errors import HotsplitError, Jet
from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.format.longvalue import parse_lid
from hotsplit.ese.format.record import plain_instance
from hotsplit.ese.format.taggedcolumns import Instance
from hotsplit.ese.read.batch import element
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.report import Finding, Reporter, Severity

_kernel = _native.load("batch")
_WHY = {
    _kernel.ENCRYPTED: ("the value is encrypted", Jet.errColumnNoEncryptionKey),
    _kernel.BAD_RECORD: ("the record is damaged", Jet.errDatabaseCorrupted),
    _kernel.BAD_PLACE: (
        "the value reaches outside its part of the record",
        Jet.errDatabaseCorrupted,
    ),
    _kernel.BAD_SIZE: ("the value has the wrong size", Jet.errDatabaseCorrupted),
    _kernel.BAD_VALUES: ("a multi-values entry is damaged", Jet.errDatabaseCorrupted),
}


class Note(NamedTuple):
    """What the kernel could not do: see ``hotsplit._native.batch_py`` for the codes."""

    row: int
    column: int
    element: int
    code: int
    payload: bytes
    page: int
    node: int


class Resolver:
    """Completes batches of some columns of one table.

    name: of the table, for findings. long_values: gives the long values of the table; raises
    ObjectNotFound if it has none. budget: bytes that the long values of a batch may have.
    """

    def __init__(
        self,
        columns: Sequence[ColumnDef],
        name: str,
        long_values: Callable[[], LongValues],
        reporter: Reporter,
        budget: int,
    ) -> None:
        self._columns, self._name = columns, name
        self._long_values, self._reporter = long_values, reporter
        self._budget = self._left = budget

    @property
    def is_full(self) -> bool:
        """True if the long values of the batch have reached their limit."""
        return self._left <= 0

    def restart(self) -> None:
        """A new batch begins."""
        self._left = self._budget

    def resolve(self, builder: Any) -> int:
        """Fill in what is pending; return how many rows from the first on can be complete.

        When that is less than there are, nothing was filled in: cut the batch there and call
        again. The first row is completed whatever it takes.
        """
        notes = [Note(*note) for note in builder.pending()]
        lids = self._lids(notes)
        found = self._read(lids.values()) if lids else {}
        fit = self._fit(notes, lids, found)
        if fit is not None:
            return fit
        filling: dict[int, list[tuple[int, bytes | None]]] = {}
        for i, note in enumerate(notes):
            value = self._value(note, lids.get(i), found)
            if note.element != _kernel.NO_ELEMENT:
                filling.setdefault(note.column, []).append((note.element, value))
        for column, pairs in filling.items():
            builder.fill(column, [e for e, _ in pairs], [v for _, v in pairs])
        builder.clear_pending()
        return int(builder.rows)

    def _lids(self, notes: Iterable[Note]) -> dict[int, int]:
        """Return the valid long-value ids by number of the note."""
        lids = {}
        for i, note in enumerate(notes):
            if note.code == _kernel.LONG:
                try:
                    lids[i] = parse_lid(note.payload)
                except ValueError:
                    continue
        return lids

    def _read(self, lids: Iterable[int]) -> dict[int, bytes | int]:
        try:
            return self._long_values().read_many(lids, max(0, self._left))
        except HotsplitError:
            return {}

    def _fit(
        self, notes: Sequence[Note], lids: dict[int, int], found: dict[int, bytes | int]
    ) -> int | None:
        """Return the first row whose long values go beyond the budget; None if all are inside."""
        left = self._left
        for i, lid in lids.items():
            value = found.get(lid, b"")
            left -= value if isinstance(value, int) else len(value)
            if left < 0 and notes[i].row:
                return notes[i].row
        self._left = left
        return None

    def _value(self, note: Note, lid: int | None, found: dict[int, bytes | int]) -> bytes | None:
        """Return the final form of an element, None with a finding if it cannot be had."""
        if note.code == _kernel.BAD_NODE:
            self._report_node(note)
            return None
        if note.code in _WHY:
            self._report(note, *_WHY[note.code])
            return None
        try:
            return self._element(note, self._stored(note, lid, found))
        except HotsplitError as error:
            self._report(note, error.message, error.jet)
        except ValueError as error:
            self._report(note, str(error), Jet.errDatabaseCorrupted)
        return None

    def _stored(self, note: Note, lid: int | None, found: dict[int, bytes | int]) -> bytes:
        if note.code == _kernel.LONG:
            if lid is None:
                lid = parse_lid(note.payload)
            value = found.get(lid)
            return value if isinstance(value, bytes) else self._long_values().read(lid)
        if note.code == _kernel.COMPRESSED:
            return plain_instance(Instance(note.payload, compressed=True))
        return note.payload

    def _element(self, note: Note, data: bytes) -> bytes | None:
        value, exact = element(self._columns[note.column], data)
        if not exact:
            why = "bytes that are not text are shown as U+FFFD"
            self._report(note, why, Jet.errDatabaseCorrupted, Severity.WARNING)
        return value

    def _report(self, note: Note, why: str, jet: Jet, severity: Severity = Severity.ERROR) -> None:
        column = self._columns[note.column].name
        self._reporter.report(
            Finding(
                "value",
                severity,
                f"{self._name}, column {column}: {why}",
                position=f"page {note.page}, node {note.node}",
                jet=jet,
            )
        )

    def _report_node(self, note: Note) -> None:
        self._reporter.report(
            Finding(
                "node",
                Severity.ERROR,
                f"{self._name}: node {note.node} does not fit its page",
                position=f"page {note.page}",
                jet=Jet.errNodeCorrupted,
            )
        )
