"""Decoding leaf pages into columns: the readable reference of the ``batch`` kernel.

A `Builder` is given leaf pages and gathers wanted columns of their rows in the layout of Arrow:
validity bits, offsets and data. Numbers are stored as they are, bits as bits, GUIDs in the byte
order of their text, text as UTF-8. A column with more than one value in some row becomes a column
of lists.

What needs more than the page is left null and noted as pending; `fill` puts it in later. What is
damaged stays null and is noted too.

Source: Apache Arrow columnar format 1.4 (layout of arrays); format specification 4.3 (scan),
7.1 (records), 7.5 (tagged columns), 7.7 (old records), 9 (compression).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from hotsplit._native import compress_py
from hotsplit._native.columns_py import (
    ANSI,
    BINARY,
    BIT,
    GUID,
    NUMBER,
    RAW,
    UTF16,
    Buffers,
    Column,
    NoTextError,
)
from hotsplit._native.gather_py import FOUND, HARD, TOO_LARGE, Gather
from hotsplit._native.record_py import (
    END,
    FIRST_TAGGED,
    FIRST_VARIABLE,
    FULL,
    MET,
    OUTSIDE,
    REFUSED,
    SEEK,
    SMALL_MOST,
    DamagedError,
    OpenPage,
    Record,
    Run,
    find_column,
    tag_order,
)
from hotsplit._native.times_py import FILETIME, OLE, convert_times, count_filetimes

(LONG, COMPRESSED, TEXT, ENCRYPTED, BAD_RECORD, BAD_PLACE, BAD_SIZE, BAD_VALUES, BAD_NODE) = range(
    1, 10
)
"""Codes of pending values.

LONG: separated; the payload is the id as stored. COMPRESSED: a scheme that is not decoded here, or
damaged; the payload as stored. TEXT: bytes that are no text, or of a rare code page. The others
have no payload: the value stays null; of BAD_NODE there is no row.
"""

NO_ELEMENT = 0xFFFFFFFF

__all__ = [
    "ANSI",
    "BAD_NODE",
    "BAD_PLACE",
    "BAD_RECORD",
    "BAD_SIZE",
    "BAD_VALUES",
    "BINARY",
    "BIT",
    "COMPRESSED",
    "ENCRYPTED",
    "END",
    "FILETIME",
    "FOUND",
    "FULL",
    "GUID",
    "HARD",
    "LONG",
    "MET",
    "NO_ELEMENT",
    "NUMBER",
    "OLE",
    "OUTSIDE",
    "RAW",
    "REFUSED",
    "SEEK",
    "TEXT",
    "TOO_LARGE",
    "UTF16",
    "Builder",
    "Gather",
    "convert_times",
    "count_filetimes",
]

_INTRINSIC_MOST = 0x7FFF
_ROOT = 1
_PLACE = struct.Struct("<IHH")

Pending = tuple[int, int, int, int, bytes, int, int]
"""Row, column, element, code, payload, page, node."""


class Builder:
    """Gathers columns of rows.

    columns: (kind, id, offset in the record, size or 0, derived, listed, default) each; the default
    in final form. keys: gather bookmarks too. live, deleted: which nodes are rows.
    most_rows, most_bytes, most_pending: when a walk stops; bytes are those of values that differ
    in size.
    """

    def __init__(
        self,
        columns: Sequence[tuple[int, int, int, int, bool, bool, bytes | None]],
        page_size: int,
        *,
        keys: bool = False,
        deleted: bool = False,
        live: bool = True,
        most_rows: int = 65536,
        most_bytes: int = 1 << 24,
        most_pending: int = 1024,
    ) -> None:
        if page_size not in (2048, 4096, 8192, 16384, 32768):
            raise ValueError(f"a page of {page_size} bytes")
        self._columns = [Column(*column) for column in columns]
        self._keys = Column(BINARY, 1, 0, 0, False, False, None) if keys else None
        self._page_size, self._wanted = page_size, (live, deleted)
        self._most = most_rows, most_bytes, most_pending
        self._page = self._node = 0
        self._restart()

    def _restart(self) -> None:
        self.rows = self.value_bytes = 0
        self._pending: list[Pending] = []
        self._places: list[tuple[int, int, int]] = []
        self._trail: list[int] = []

    # What is known so far

    @property
    def pending_count(self) -> int:
        """Number of pending notes."""
        return len(self._pending)

    @property
    def is_full(self) -> bool:
        """True if rows or bytes have reached their limit."""
        return self.rows >= self._most[0] or self.value_bytes >= self._most[1]

    def pending(self) -> list[Pending]:
        """Return all notes in order of rows, columns and elements."""
        return sorted(self._pending)

    def clear_pending(self) -> None:
        """Forget all notes."""
        self._pending.clear()

    def place(self, row: int) -> tuple[int, int, int]:
        """Return page, node number and label of a row. Raises IndexError."""
        if row < 0:
            raise IndexError(row)
        return self._places[row]

    # Taking pages

    def walk(
        self,
        data: bytes,
        states: bytes | bytearray,
        good: int,
        first: int,
        visited: bytearray,
        objid: int,
        pgno: int,
        skip: int = 0,
        *,
        reverse: bool = False,
        again: bool = False,
        label: int = 0,
    ) -> tuple[int, int, int]:
        """Take leaves by their links as long as they lie in a run of adjacent pages.

        data: the pages of the run, `first` being the number of the first. states: one byte a page;
        only pages in state `good` are taken. visited: one bit a page number; pages taken are
        entered. pgno, skip: the leaf to begin with, and how many of its nodes to leave out.
        again: that leaf may have been visited. label: what rows are labelled as, those flagged as
        deleted with a number more.

        Returns why it stopped, and the page and number of nodes to go on with.
        """
        run = Run(data, states, good, first, self._page_size, objid)
        if len(visited) * 8 < first + len(states):
            raise ValueError("there are more pages than bits")
        while True:
            if not pgno:
                return END, pgno, skip
            if pgno not in run:
                return OUTSIDE, pgno, skip
            if not again and visited[pgno >> 3] >> (pgno & 7) & 1:
                return MET, pgno, skip
            page = run.leaf(pgno)
            if page is None:
                return REFUSED, pgno, skip
            visited[pgno >> 3] |= 1 << (pgno & 7)
            self._trail.append(pgno)
            self._page = pgno
            skip = self._take_page(page, skip, reverse, label)
            if self._must_stop():
                return FULL, pgno, skip
            skip, again = 0, False
            pgno = 0 if page.flags & _ROOT else page.previous if reverse else page.next

    def _must_stop(self) -> bool:
        return self.is_full or len(self._pending) >= self._most[2]

    def _take_page(self, page: OpenPage, skip: int, reverse: bool, label: int) -> int:
        count = page.node_count
        for at in range(skip, count):
            if self._must_stop():
                return at
            self._node = count - 1 - at if reverse else at
            node = page.node(self._node)
            if node is None:
                self._note(0, NO_ELEMENT, BAD_NODE)
                continue
            key, data, flags = node
            deleted = flags >> 1 & 1
            if not self._wanted[deleted]:
                continue
            self._take_record(data, page.is_old)
            self._places.append((self._page, self._node, label + deleted))
            if self._keys is not None:
                self.value_bytes += len(key)
                self._keys.elements.append(key)
            self.rows += 1
        return max(skip, count)

    def add_record(
        self, record: bytes, pgno: int, line: int, label: int, *, old: bool = False
    ) -> None:
        """Take one record that is said to be node `line` of page `pgno`. It has no bookmark."""
        if len(record) > self._page_size:
            raise ValueError(f"a record of {len(record)} bytes")
        self._page, self._node = pgno, line
        self._take_record(record, old)
        self._places.append((pgno, line, label))
        self.rows += 1

    def _take_record(self, data: bytes, old: bool) -> None:
        record = Record(data, self._page_size > SMALL_MOST, old)
        if record.sound_tagged and not old:
            entries = {entry[0]: i for i, entry in enumerate(record.entries)}
        for number, column in enumerate(self._columns):
            try:
                if column.id >= FIRST_TAGGED and record.sound_tagged and not old:
                    header, value = record.tag_value(entries[tag_order(column.id, column.derived)])
                elif column.id >= FIRST_TAGGED and record.sound_tagged:
                    self._take_old(number, data[record.tagged :])
                    continue
                else:
                    header, value = find_column(record, column)
            except KeyError:
                continue  # filled up when there is something to write
            except DamagedError:
                self._bad(number, BAD_PLACE if _is_trusted(record, column) else BAD_RECORD)
                continue
            if value is None:
                self._null(number)
            else:
                self._take_value(number, header, value)

    def _null(self, number: int) -> None:
        column = self._columns[number]
        if column.fallback is not None:
            column.pad(self.rows)
            column.add_null_row()

    def _bad(self, number: int, code: int) -> None:
        """A row of a column is null for a reason that must be told."""
        column = self._columns[number]
        column.pad(self.rows)
        self._note(number, NO_ELEMENT, code)
        column.add_null_row()

    def _take_value(self, number: int, header: int, data: bytes) -> None:
        column = self._columns[number]
        column.pad(self.rows)
        if header & 0x40:
            self._bad(number, ENCRYPTED)
        elif header & 8:
            column.make_lists()
            self._take_many(number, _instances(header, data))
        elif header < 2 and column.size and not data:
            column.add_null_row()
        elif header < 2 and column.size and len(data) != column.size:
            self._bad(number, BAD_SIZE)
        else:
            self._take_many(number, [(data, bool(header & 4), bool(header & 2))])

    def _take_old(self, number: int, tagged: bytes) -> None:
        column = self._columns[number]
        if not tagged:
            return
        column.pad(self.rows)
        try:
            found = _old_instances(tagged, column.id, column.derived)
        except ValueError:
            self._bad(number, BAD_RECORD)
            return
        if found is None:
            column.add_null_row()
        elif not found:
            column.pad(self.rows + 1)
        else:
            if len(found) > 1:
                column.make_lists()
            self._take_many(number, found)

    def _take_many(self, number: int, instances: Sequence[tuple[bytes, bool, bool]]) -> None:
        if not instances:
            self._bad(number, BAD_VALUES)
            return
        for data, separated, compressed in instances:
            if separated:
                self._defer(number, LONG, data)
            elif compressed:
                plain = _decompress(data)
                if plain is None:
                    self._defer(number, COMPRESSED, data)
                else:
                    self._plain(number, plain)
            else:
                self._plain(number, data)
        self._columns[number].end_row()

    def _plain(self, number: int, data: bytes) -> None:
        column = self._columns[number]
        if column.size and len(data) != column.size:
            if data:
                self._note(number, len(column.elements), BAD_SIZE)
            column.elements.append(None)
            return
        if not column.is_sized:
            self.value_bytes += len(data)
        try:
            column.elements.append(column.convert(data))
        except NoTextError:
            self._defer(number, TEXT, data)

    def _defer(self, number: int, code: int, payload: bytes) -> None:
        """Add an element that someone else must fill."""
        column = self._columns[number]
        self._note(number, len(column.elements), code, payload)
        column.waiting.add(len(column.elements))
        column.elements.append(None)

    def _note(self, number: int, element: int, code: int, payload: bytes = b"") -> None:
        self._pending.append((self.rows, number, element, code, payload, self._page, self._node))

    # Changing what was taken

    def truncate(self, row: int, visited: bytearray) -> None:
        """Forget a row and all after it, and that later pages were visited. Raises IndexError."""
        if not 0 <= row < self.rows or not visited:
            raise IndexError(row)
        for column in [*self._columns, *([self._keys] if self._keys else [])]:
            column.cut(row)
        self._pending = [
            p for p in self._pending if p[0] < row or (p[0] == row and p[3] == BAD_NODE)
        ]
        while self._trail and self._trail[-1] != self._places[row][0]:
            last = self._trail.pop()
            visited[last >> 3] &= ~(1 << (last & 7))
        del self._places[row:]
        self.rows = row

    def gather(self, chunk: int, budget: int) -> Gather:
        """Return what gathers all long values that are pending; see `Gather`."""
        lids = {_lid(note) for note in self._pending} - {0}
        return Gather(sorted(lids), chunk, budget)

    def fitting(self, gather: Gather, left: int) -> tuple[int, int]:
        """Return (how many rows have all their long values within `left` bytes, what is left).

        The first row counts whatever its values have.
        """
        rest = left
        for note in self._pending:
            state, size, _ = gather.find(_lid(note))
            if state == HARD:
                continue
            rest -= size
            if note[0] and rest < 0:
                return note[0], left
        return self.rows, rest

    def take_gathered(self, gather: Gather) -> None:
        """Fill in the long values that were found; what they do not settle stays pending."""
        self._pending = [note for note in self._pending if not self._take_long(note, gather)]

    def _take_long(self, note: Pending, gather: Gather) -> bool:
        state, _, data = gather.find(_lid(note))
        column = self._columns[note[1]]
        if state != FOUND or data is None or column.is_sized:
            return False
        try:
            column.elements[note[2]] = column.convert(data)
        except NoTextError:
            return False
        return True

    def fill(self, column: int, elements: list[int], values: list[bytes | None]) -> None:
        """Give elements of a column, in ascending order, their values in final form.

        Raises IndexError for an element that is not there, ValueError for a wrong size.
        """
        target = self._columns[column]
        if len(elements) != len(values) or any(a >= b for a, b in pairwise(elements)):
            raise IndexError(elements)
        for element, value in zip(elements, values, strict=True):
            if element >= len(target.elements):
                raise IndexError(element)
            if value is not None and target.is_sized and len(value) != target.size:
                raise ValueError(f"a value of {len(value)} bytes")
        for element, value in zip(elements, values, strict=True):
            if value is not None:
                target.elements[element] = value

    def finish(self) -> tuple[int, list[Buffers | None], Buffers | None, bytes]:
        """Return (rows, buffers of each column, of bookmarks, places) and begin a new batch.

        A column whose rows are all null has None instead of buffers. Places are 8 bytes a row:
        page, node number, label.
        """
        columns = [column.buffers(self.rows) for column in self._columns]
        keys = self._keys.buffers(self.rows) if self._keys else None
        places = b"".join(_PLACE.pack(*place) for place in self._places)
        rows = self.rows
        for column in [*self._columns, *([self._keys] if self._keys else [])]:
            column.clear()
        self._restart()
        return rows, columns, keys, places


def _lid(note: Pending) -> int:
    """Return the long-value id of a note, 0 where it is none."""
    code, payload = note[3:5]
    lid = int.from_bytes(payload, "little")
    valid = code == LONG and len(payload) in (4, 8) and (len(payload) == 8) == bool(lid >> 63)
    return lid if valid else 0


def _is_trusted(record: Record, column: Column) -> bool:
    """True if the part of the record in which the column lies holds together."""
    if column.id < FIRST_VARIABLE:
        return record.sound_fixed
    return record.sound_variable if column.id < FIRST_TAGGED else record.sound_tagged


def _instances(header: int, data: bytes) -> list[tuple[bytes, bool, bool]]:
    """Return (data, separated, compressed) of each value; [] where the entry is damaged."""
    if header & 0x10:
        if not data or 1 + data[0] > len(data):
            return []
        return [(data[1 : 1 + data[0]], False, False), (data[1 + data[0] :], False, False)]
    first = struct.unpack_from("<H", data)[0] & 0x7FFF if len(data) >= 2 else 0
    if first < 2 or first % 2 or first > len(data):
        return []
    words = struct.unpack_from(f"<{first // 2}H", data)
    bounds = [word & 0x7FFF for word in words] + [len(data)]
    if any(a > b for a, b in pairwise(bounds)):
        return []
    return [
        (data[start:end], bool(word & 0x8000), not i and bool(header & 2))
        for i, (word, (start, end)) in enumerate(zip(words, pairwise(bounds), strict=True))
    ]


def _old_instances(tagged: bytes, fid: int, derived: bool) -> list[tuple[bytes, bool, bool]] | None:
    """Return the values of a column in a record of the old format; None for null.

    Raises ValueError.
    """
    found = []
    at = 0
    while at < len(tagged):
        here, word = struct.unpack_from("<HH", tagged, at) if at + 4 <= len(tagged) else (0, 0xFFF)
        start, at = at + 4, at + 4 + (word & 0xFFF)
        if at > len(tagged):
            raise ValueError("the tagged columns are damaged")
        if here != fid or bool(word & 0x2000) != derived:
            continue
        if word & 0x4000:
            return None
        if word & 0x8000:
            if start == at:
                raise ValueError("a long value has no flag byte")
            found.append((tagged[start + 1 : at], bool(tagged[start] & 1), False))
        else:
            found.append((tagged[start:at], False, False))
    return found


def _decompress(data: bytes) -> bytes | None:
    """Return the plain bytes, or None where this is not the place to undo the compression."""
    scheme = data[0] >> 3 if data else 0
    if scheme in (1, 2):
        count = max(0, ((len(data) - 2) * 8 + (data[0] & 7) + 1) // 7)
        if count << (scheme == 2) > _INTRINSIC_MOST:
            return None
        return compress_py.seven_bit_decode(data[1:], count, scheme == 2)
    if scheme != 3 or len(data) < 3:
        return None
    size = struct.unpack_from("<H", data, 1)[0]
    if size > _INTRINSIC_MOST:
        return None
    if len(data) - 3 == size:
        return data[3:]
    try:
        return compress_py.xpress_decode(data[3:], size)
    except ValueError:
        return None
