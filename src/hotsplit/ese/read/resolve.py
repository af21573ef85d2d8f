"""Completing a batch: what a leaf page alone cannot say.

The kernel leaves separated long values, rare compression and rare code pages to this module, and
tells it what is damaged. Values are put in place; damage goes to the reporter and stays null.

Source: format specification 7.5 (tagged columns), 8 (long values), 9 (compression).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from hotsplit import _native
from hotsplit.errors import HotsplitError, Jet
from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.format.longvalue import parse_lid
from hotsplit.ese.format.record import plain_instance
from hotsplit.ese.format.taggedcolumns import Instance
from hotsplit.ese.read.batch import element
from hotsplit.ese.read.labels import Label
from hotsplit.report import Finding, Reporter, Severity

_kernel = _native.load("batch")
_MOST_BYTES = 1 << 29  # of one value: its text, and a few more, must stay below 2 GB
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


class LongSource(Protocol):
    """Where long values are read: those of a file, or of a database in use.

    chunk: bytes of a full chunk.
    """

    chunk: int

    def collect(self, gather: Any) -> None:
        """See `LongValues.collect`."""
        ...

    def read(self, lid: int) -> bytes:
        """See `LongValues.read`."""
        ...


class Resolver:
    """Completes batches of some columns of one table.

    name: of the table, for findings. long_values: gives the long values of the table; raises
    ObjectNotFound if it has none. budget: bytes that the long values of a batch may have. exact:
    keep the bytes of text that is none in `raw`, by column and element.
    """

    def __init__(
        self,
        columns: Sequence[ColumnDef],
        name: str,
        long_values: Callable[[], LongSource],
        reporter: Reporter,
        budget: int,
        *,
        exact: bool = False,
    ) -> None:
        self._columns, self._name = columns, name
        self._long_values, self._reporter = long_values, reporter
        self._budget = self._left = budget
        self._exact = exact
        self.raw: dict[int, dict[int, bytes]] = {}
        self._quiet = False  # for remains of rows, which are not expected to be whole

    @property
    def is_full(self) -> bool:
        """True if the long values of the batch have reached their limit."""
        return self._left <= 0

    def restart(self) -> dict[int, dict[int, bytes]]:
        """A new batch begins; return the `raw` of the last one."""
        self._left = self._budget
        raw, self.raw = self.raw, {}
        return raw

    def resolve(self, builder: Any) -> int:
        """Fill in what is pending; return how many rows from the first on can be complete.

        When that is less than there are, nothing was filled in: cut the batch there and call
        again. The first row is completed whatever it takes.
        """
        long_values = self._gather(builder)
        if long_values is not None:
            fit, left = builder.fitting(long_values, self._left)
            if fit < builder.rows:
                return int(fit)
            builder.take_gathered(long_values)
            self._left = left
        filling: dict[int, list[tuple[int, bytes | None]]] = {}
        for note in map(Note._make, builder.pending()):
            is_row = note.code != _kernel.BAD_NODE
            self._quiet = is_row and builder.place(note.row)[2] != Label.LIVE
            value = self._value(note)
            if note.element != _kernel.NO_ELEMENT:
                filling.setdefault(note.column, []).append((note.element, value))
        for column, pairs in filling.items():
            builder.fill(column, [e for e, _ in pairs], [v for _, v in pairs])
        builder.clear_pending()
        return int(builder.rows)

    def _gather(self, builder: Any) -> Any:
        """Return the long values that are pending, None if the table has no tree of them."""
        try:
            values = self._long_values()
        except HotsplitError:
            return None
        gather = builder.gather(values.chunk, max(0, self._left))
        values.collect(gather)
        return gather

    def _value(self, note: Note) -> bytes | None:
        """Return the final form of an element, None with a finding if it cannot be had."""
        if note.code == _kernel.BAD_NODE:
            self._report_node(note)
            return None
        if note.code in _WHY:
            self._report(note, *_WHY[note.code])
            return None
        try:
            data = self._stored(note)
            if len(data) > _MOST_BYTES:
                raise ValueError(f"{len(data)} bytes are too many: use Table.stream")
            return self._element(note, data)
        except HotsplitError as error:
            self._report(note, error.message, error.jet)
        except ValueError as error:
            self._report(note, str(error), Jet.errDatabaseCorrupted)
        return None

    def _stored(self, note: Note) -> bytes:
        if note.code == _kernel.LONG:
            return self._long_values().read(parse_lid(note.payload))
        if note.code == _kernel.COMPRESSED:
            return plain_instance(Instance(note.payload, compressed=True))
        return note.payload

    def _element(self, note: Note, data: bytes) -> bytes | None:
        value, exact = element(self._columns[note.column], data)
        if not exact and self._exact:
            self.raw.setdefault(note.column, {})[note.element] = data
        elif not exact and not self._quiet:
            self._reporter.report(
                Finding(
                    "text",
                    Severity.WARNING,
                    f"{self._where(note)}: bytes that are not text are shown as U+FFFD",
                    position=f"page {note.page}, node {note.node}",
                )
            )
        return value

    def _where(self, note: Note) -> str:
        return f"{self._name}, column {self._columns[note.column].name}"

    def _report(self, note: Note, why: str, jet: Jet) -> None:
        if self._quiet:
            return
        self._reporter.report(
            Finding(
                "value",
                Severity.ERROR,
                f"{self._where(note)}: {why}",
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
