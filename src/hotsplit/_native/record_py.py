"""Decoding records, a page at a time: the readable reference of the ``record`` kernel.

A `Plan` says which columns are wanted and how their bytes become values. Simple values come back as
Python objects. What needs more than the record (long values, multi-values, compressed data) and
what is damaged comes back as a tuple ``(header, bytes)``: header byte of the tagged column, or one
of the negative markers below; `pending` lists the places of such tuples in the row.

Source: format specification 2.4 (tags), 3.1 (nodes), 7.1 (records), 7.5 (tagged columns).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

DAMAGED = -1  # (DAMAGED, why)
OLD_TAGGED = -2  # (OLD_TAGGED, the whole tagged part of a record in the old format)

RAW, BIT, NUMBER, ASCII, UTF16, BINARY = 0, 1, 2, 3, 4, 5
KINDS = RAW, BIT, NUMBER, ASCII, UTF16, BINARY
FIRST_VARIABLE, FIRST_TAGGED = 128, 256

END, OUTSIDE, REFUSED, MET, FULL, SEEK = range(6)
"""Why a walk over leaves stops: there are no more; the next one is not in the run; it is damaged or
of another tree; it was visited before; there is enough; another leaf must be looked for."""

_PLAIN_HEADERS = (0x00, 0x01)  # single value that lies in the record, not compressed
SMALL_MOST = 8192

Value = Any
Row = tuple[list[Value], list[int]]
_Entry = tuple[int, int, int]  # order, word, offset


class Column(NamedTuple):
    """One wanted column.

    kind: RAW comes back as ``(header, bytes)``; the others as values. code: struct character of
    a NUMBER. size: bytes of a fixed-size type, 0 for any. derived: inherited from the template
    table. listed: multi-valued, so even a single value is a list. default: the value where the
    record has none. convert: makes the value from the bytes, for kinds that need it.
    """

    kind: int
    code: str
    id: int
    offset: int
    size: int
    derived: bool
    listed: bool
    default: Value
    convert: Callable[[bytes], Value] | None


class Plan:
    """Which columns to decode, in the order of the values of a row."""

    def __init__(self, columns: Sequence[tuple[Any, ...]]) -> None:
        self.columns = [Column(*column) for column in columns]
        for c in self.columns:
            sized = c.kind != NUMBER or struct.calcsize("<" + c.code) == c.size
            if not 1 <= c.id <= 0xFFFF or not sized:
                raise ValueError(f"column {c.id} of {c.size} bytes")


class DamagedError(Exception):
    """A value cannot be found; the argument says why."""


class Record:
    """The parts of a record. A part that does not hold together is None."""

    def __init__(self, data: bytes, large: bool, old: bool) -> None:
        self.data, self.large, self.old = data, large, old
        self.sound_fixed = self.sound_variable = self.sound_tagged = False
        self.fixed_last = self.fixed_end = self.bitmap = 0
        self.ends: list[int] = []
        self.var_start = self.tagged = 0
        self.entries: list[_Entry] = []
        self._open()

    def _open(self) -> None:
        data = self.data
        if len(data) < 4:
            return
        self.fixed_last, var_last, self.fixed_end = struct.unpack_from("<BBH", data)
        bitmap_size = (self.fixed_last + 7) // 8
        if self.fixed_last > 127 or not 4 + bitmap_size <= self.fixed_end <= len(data):
            return
        self.bitmap = self.fixed_end - bitmap_size
        self.sound_fixed = True
        count = var_last - 127
        self.var_start = self.fixed_end + 2 * count
        if count < 0 or self.var_start > len(data):
            return
        self.ends = list(struct.unpack_from(f"<{count}H", data, self.fixed_end))
        self.tagged = self.var_start + (self.ends[-1] & 0x7FFF if count else 0)
        if self.tagged > len(data):
            return
        self.sound_variable = True
        self.sound_tagged = self._open_tagged()

    def _open_tagged(self) -> bool:
        size = len(self.data) - self.tagged
        if not size or self.old:
            return True
        if size < 4:
            return False
        mask = 0x7FFF if self.large else 0x1FFF
        first = struct.unpack_from("<H", self.data, self.tagged + 2)[0] & mask
        if first < 4 or first % 4 or first > size:
            return False
        array = struct.unpack_from(f"<{first // 2}H", self.data, self.tagged)
        for fid, word in zip(array[::2], array[1::2], strict=True):
            self.entries.append((tag_order(fid, word & 0x8000), word, word & mask))
        orders = [entry[0] for entry in self.entries]
        offsets = [entry[2] for entry in self.entries] + [size]
        ascending = all(a < b for a, b in pairwise(orders))
        return ascending and all(a <= b for a, b in pairwise(offsets))

    def fixed(self, column: Any) -> bytes | None:
        if not self.sound_fixed:
            raise DamagedError("the record is damaged")
        bit = column.id - 1
        if column.id > self.fixed_last:
            raise KeyError
        if self.data[self.bitmap + bit // 8] >> bit % 8 & 1:
            return None
        end = column.offset + column.size
        if column.offset < 4 or end > self.bitmap:
            raise DamagedError("the value reaches outside its part of the record")
        return self.data[column.offset : end]

    def variable(self, column: Any) -> bytes | None:
        if not self.sound_variable:
            raise DamagedError("the record is damaged")
        i = column.id - FIRST_VARIABLE
        if i >= len(self.ends):
            raise KeyError
        end = self.ends[i]
        if end & 0x8000:
            return None
        start = self.ends[i - 1] & 0x7FFF if i else 0
        if end < start or self.var_start + end > self.tagged:
            raise DamagedError("the value reaches outside its part of the record")
        return self.data[self.var_start + start : self.var_start + end]

    def find_tagged(self, column: Any) -> tuple[int, bytes | None]:
        if not self.sound_tagged:
            raise DamagedError("the record is damaged")
        if self.old:
            if self.tagged == len(self.data):
                raise KeyError
            return OLD_TAGGED, self.data[self.tagged :]
        wanted = tag_order(column.id, column.derived)
        i = next((i for i, entry in enumerate(self.entries) if entry[0] == wanted), None)
        if i is None:
            raise KeyError
        return self.tag_value(i)

    def tag_value(self, i: int) -> tuple[int, bytes | None]:
        """Return (header byte, data or None for null) of an entry of the array."""
        _, word, offset = self.entries[i]
        if not self.large and word & 0x2000:
            return 0, None
        after = self.entries[i + 1 : i + 2]
        end = self.tagged + after[0][2] if after else len(self.data)
        data = self.data[self.tagged + offset : end]
        if not self.large and not word & 0x4000:
            return 0, data
        if not data:
            raise DamagedError("the value reaches outside its part of the record")
        return (0, None) if self.large and data[0] & 0x20 else (data[0], data[1:])


def tag_order(fid: int, derived: int) -> int:
    """Columns of the template come first, then ids ascend."""
    return fid if derived else 0x10000 | fid


def _convert(column: Column, header: int, data: bytes) -> tuple[Value, bool]:
    """Return (value, whether it is pending)."""
    if header not in _PLAIN_HEADERS or column.kind == RAW:
        return (header, data), True
    if column.size and len(data) != column.size:
        if data:
            return (DAMAGED, b"the value has the wrong size"), True
        return None, False
    value: Value
    if column.convert is not None:
        value = column.convert(data)
    elif column.kind == BIT:
        value = data != b"\0"
    elif column.kind == NUMBER:
        value = struct.unpack("<" + column.code, data)[0]
    elif column.kind == BINARY:
        value = data
    else:
        try:
            value = data.decode("ascii" if column.kind == ASCII else "utf-16-le")
        except UnicodeDecodeError:
            return (header, data), True
    return [value] if column.listed else value, False


def find_column(record: Record, column: Any) -> tuple[int, bytes | None]:
    """Return (header byte, data or None for null). Raises KeyError without, DamagedError."""
    if column.id < FIRST_VARIABLE:
        return 0, record.fixed(column)
    if column.id < FIRST_TAGGED:
        return 0, record.variable(column)
    return record.find_tagged(column)


def _value(record: Record, column: Column) -> tuple[Value, bool]:
    try:
        header, data = find_column(record, column)
    except KeyError:
        return column.default, False
    except DamagedError as error:
        return (DAMAGED, str(error).encode()), True
    if data is None:
        return None, False
    return _convert(column, header, data)


def decode_record(data: bytes, plan: Plan, large: bool, old: bool) -> Row:
    """Return (values in the order of the plan, places of pending ones) of one record.

    large: page of 16 KB or more. old: tagged columns in the format of revisions up to 8.
    """
    record = Record(data, large, old)
    values, pending = [], []
    for place, column in enumerate(plan.columns):
        value, waits = _value(record, column)
        values.append(value)
        if waits:
            pending.append(place)
    return values, pending


def decode_page(
    page: bytes, plan: Plan, keys: bool
) -> list[tuple[int, bytes | None, list[Value] | None, list[int]]]:
    """Return ``(node number, key, values, pending)`` of each live record on a leaf page.

    The key is None unless `keys`. The values are None where the node itself is damaged.
    """
    opened = OpenPage(page)
    rows: list[tuple[int, bytes | None, list[Value] | None, list[int]]] = []
    for i in range(opened.node_count):
        node = opened.node(i)
        if node is None:
            rows.append((i, None, None, []))
            continue
        key, data, node_flags = node
        if node_flags & 2:
            continue
        values, pending = decode_record(data, plan, len(page) > SMALL_MOST, opened.is_old)
        rows.append((i, key if keys else None, values, pending))
    return rows


class OpenPage:
    """A page taken apart. Raises ValueError if its tag array overlaps its header."""

    def __init__(self, page: bytes) -> None:
        self.data = page = bytes(page)
        self.head = 80 if len(page) > SMALL_MOST else 40
        self.previous, self.next, self.objid = struct.unpack_from("<III", page, 16)
        state, self.flags = struct.unpack_from("<HI", page, 34)
        self.count, self.first = state & 0xFFF, max(1, state >> 12 & 7)
        if self.head + 4 * self.count > len(page):
            raise ValueError("the tag array overlaps the page header")
        self.prefix = self._prefix() if self.count and not self.flags & 1 else b""

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        count: int = self.count - self.first
        return max(0, count)

    @property
    def is_old(self) -> bool:
        """True if records have their tagged columns in the format of revisions up to 8."""
        return not self.flags & 0x800

    def _tag(self, line: int) -> tuple[int, int, int]:
        length, start = struct.unpack_from("<HH", self.data, len(self.data) - 4 * (line + 1))
        mask = 0x1FFF if self.head == 40 else 0x7FFF
        return self.head + (start & mask), length & mask, start >> 13

    def _prefix(self) -> bytes:
        start, length, _ = self._tag(0)
        end = start + length
        return self.data[start:end] if end <= len(self.data) - 4 * self.count else b""

    def node(self, i: int) -> tuple[bytes, bytes, int] | None:
        """Return (key, data, flags) of a node, or None if it does not fit."""
        start, length, flags = self._tag(self.first + i)
        end = start + length
        if end > len(self.data) - 4 * self.count or length < 2:
            return None
        if self.head == 80:
            flags = self.data[start + 1] >> 5
        shared = 0
        if flags & 4:
            if length < 4:
                return None
            shared = struct.unpack_from("<H", self.data, start)[0] & 0x1FFF
            start += 2
        key_end = start + 2 + (struct.unpack_from("<H", self.data, start)[0] & 0x1FFF)
        if key_end > end or shared > len(self.prefix):
            return None
        return (
            self.prefix[:shared] + self.data[start + 2 : key_end],
            self.data[key_end:end],
            flags,
        )


class Run:
    """Adjacent pages that were read and verified together; see `hotsplit._native.batch_py`."""

    def __init__(
        self,
        data: bytes,
        states: bytes | bytearray,
        good: int,
        first: int,
        page_size: int,
        objid: int,
    ) -> None:
        if not states or len(data) != len(states) * page_size:
            raise ValueError(f"{len(data)} bytes are not {len(states)} pages")
        self.data, self.states, self.good, self.first = bytes(data), states, good, first
        self.page_size, self.objid = page_size, objid

    def __contains__(self, pgno: int) -> bool:
        return 0 <= pgno - self.first < len(self.states)

    def leaf(self, pgno: int) -> OpenPage | None:
        """Return a leaf of the tree; None if the page is damaged or another one."""
        i = pgno - self.first
        if self.states[i] != self.good:
            return None
        try:
            page = OpenPage(self.data[i * self.page_size : (i + 1) * self.page_size])
        except ValueError:
            return None
        return page if page.flags & 2 and page.objid == self.objid else None
