"""What is left of a table outside its tree: unlinked pages, and records in free space.

Pages keep the object id of their table after they were unlinked, until they are used again. One
pass over the file finds them. Free space inside pages keeps nodes that were removed or moved, until
something is written over them; `Carver` looks for the form of a record there.

Source: format specification 2.2 (page flags), 2.5 (space accounting), 3.1 (nodes), 7.1 (records).
"""

from __future__ import annotations

import re
import struct
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from hotsplit import _native
from hotsplit.errors import HotsplitError
from hotsplit.ese.format.checksum import RUN_GOOD
from hotsplit.ese.format.columns import FIRST_TAGGED, FIRST_VARIABLE, ColumnDef, ColumnFlag
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.taggedcolumns import TaggedField, TagHeader, parse_fields
from hotsplit.ese.read.labels import Label
from hotsplit.ese.read.pages import PageSet, PageSource, RunReader, RunSource

_kernel = _native.load("lookup")
_OTHER_KINDS = PageFlag.SPACE_TREE | PageFlag.INDEX | PageFlag.LONG_VALUE
_HEAD = struct.Struct("<I8xI")  # object id, page flags
_SMALL_MOST = 8192
_NULL = 0x8000
_SMALL_MASK, _LARGE_MASK = 0x1FFF, 0x7FFF


class Remnant(NamedTuple):
    """A record outside the tree. key: None where it is not known. old: in the old record format."""

    label: Label
    page: int
    node: int
    key: bytes | None
    record: bytes
    old: bool


class PageMap:
    """Leaf pages of records by object id, found in one pass over all pages of a source.

    Pages whose checksum is not right, and sources that cannot be read as a whole, are left out.
    """

    def __init__(self, source: PageSource) -> None:
        self._source = source
        self._leaves: dict[int, array[int]] | None = None

    def leaves(self, objid: int) -> Sequence[int]:
        """Return the leaf pages that carry an object id, in the order of the file."""
        if self._leaves is None:
            self._leaves = self._scan()
        return self._leaves.get(objid, [])

    def _scan(self) -> dict[int, array[int]]:
        found: dict[int, array[int]] = defaultdict(lambda: array("I"))
        source = self._source
        if not isinstance(source, RunSource):
            return found
        reader, pgno, size = RunReader(source), 1, source.page_size
        while pgno <= source.page_count:
            run = reader.read(pgno)
            for i, state in enumerate(run.states):
                if state == RUN_GOOD:
                    objid, flags = _HEAD.unpack_from(run.data, i * size + 24)
                    if flags & PageFlag.LEAF and not flags & _OTHER_KINDS:
                        found[objid].append(run.first + i)
            pgno = run.first + len(run.states)
        return found


def orphans(source: PageSource, pages: Sequence[int], visited: PageSet) -> Iterator[Remnant]:
    """Yield the nodes of those pages that were not visited on the way through the tree."""
    for pgno in pages:
        if pgno in visited:
            continue
        try:
            page = Page(memoryview(source.read_page(pgno)), pgno)
            nodes = _kernel.nodes(page.data)
        except (HotsplitError, ValueError):
            continue
        base = Label.FREED if page.flags & PageFlag.EMPTY else Label.ORPHANED
        old = not page.flags & PageFlag.NEW_RECORD
        for i, node in enumerate(nodes):
            if node is not None:
                key, record, flags = node
                yield Remnant(Label(base + (flags >> 1 & 1)), pgno, i, key, record, old)


class _Candidate(NamedTuple):
    """What may be a record in free space.

    at, end: its bytes. is_open: its last value runs to the end of the space, as nothing says how
    long it is. node: where the node begins whose key fits it, `at` if there is none. key: that key.
    """

    at: int
    end: int
    is_open: bool
    node: int
    key: bytes | None


class Carver:
    """Finds records in the free space of leaf pages of one table.

    columns: all of the table. make_key: returns the primary key of a record, None if it cannot be
    made; a node whose key fits its record is more than a chance.
    """

    def __init__(self, columns: list[ColumnDef], make_key: Callable[[bytes], bytes | None]) -> None:
        self._columns, self._make_key = columns, make_key
        self._ends = _fixed_ends(columns)
        self._required = [c for c in columns if c.flags & ColumnFlag.NOT_NULL and c.is_fixed]
        self._variable = [c for c in columns if FIRST_VARIABLE <= c.id < FIRST_TAGGED]
        self._tagged = {(c.derived, c.id): c for c in columns if c.is_tagged}
        self._heads = self._pattern()

    def _pattern(self) -> re.Pattern[bytes]:
        """Return what matches the first four bytes of any record of the table."""
        most = max((c.id for c in self._variable), default=FIRST_VARIABLE - 1)
        last = b"[\\x7f-" + re.escape(bytes([most])) + b"]"
        heads = [
            re.escape(bytes([fixed])) + last + re.escape(struct.pack("<H", end))
            for fixed, end in self._ends.items()
        ]
        return re.compile(b"(?=(" + b"|".join(heads) + b"))", re.DOTALL)

    def carve(self, source: PageSource, pages: Sequence[int]) -> Iterator[Remnant]:
        """Yield each record in free space once, but none that a node of the page repeats."""
        seen: set[bytes] = set()
        for pgno in pages:
            try:
                page = Page(memoryview(source.read_page(pgno)), pgno)
                gaps = free_space(page)
                here = {node[1] for node in _kernel.nodes(page.data) if node is not None}
            except (HotsplitError, ValueError):
                continue
            for start, end in gaps:
                for found in self._in_gap(page, start, end):
                    if found.record not in here and found.record not in seen:
                        seen.add(found.record)
                        yield found

    def _in_gap(self, page: Page, start: int, end: int) -> Iterator[Remnant]:
        data = bytes(page.data[start:end])
        old = not page.flags & PageFlag.NEW_RECORD
        found = self._candidates(data, page.size > _SMALL_MOST)
        after = 0
        for i, one in enumerate(found):
            if one.at < after:
                continue
            after = one.end
            if one.is_open:  # nothing says where its last value ends, but a node behind it does
                behind = (other.node for other in found[i + 1 :] if other.key is not None)
                after = next((node for node in behind if node > one.at), one.end)
            label = Label.SLACK_RECORD if one.key is None else Label.SLACK_NODE
            record = data[one.at : after]
            yield Remnant(label, page.number, start + one.at, one.key, record, old)

    def _candidates(self, data: bytes, large: bool) -> list[_Candidate]:
        """Return whatever may be a record, also within others."""
        found = []
        for match in self._heads.finditer(data):
            at = match.start()
            size = self._size(data[at:], large)
            if not size:
                continue
            end, key = at + size, self._make_key(data[at : at + size])
            head = 0 if key is None else _head_size(data[:at], key)
            is_open = end == len(data) and bool(self._tagged)
            found.append(_Candidate(at, end, is_open, at - head, key if head else None))
        return found

    def _size(self, data: bytes, large: bool) -> int:
        """Return the bytes of the record at the start of `data`, 0 if there is none."""
        fixed_last, variable_last, fixed_end = struct.unpack_from("<BBH", data)
        if fixed_end > len(data) or not self._fixed_fits(data, fixed_last, fixed_end):
            return 0
        end = self._variable_end(data, variable_last, fixed_end)
        if not end or not self._tagged:
            return end
        return end + self._tagged_size(data[end:], large)

    def _fixed_fits(self, data: bytes, last: int, end: int) -> bool:
        """Say whether the null bitmap is possible: spare bits set, columns that must be there."""
        bitmap = int.from_bytes(data[end - (last + 7) // 8 : end], "little")
        spare = -last % 8
        if bitmap >> last != (1 << spare) - 1 or any(c.id > last for c in self._required):
            return False
        present = ~bitmap & ((1 << last) - 1)
        return bool(present or not last) and all(present >> (c.id - 1) & 1 for c in self._required)

    def _variable_end(self, data: bytes, last: int, at: int) -> int:
        """Return where the variable part ends, 0 if it is not possible."""
        count = last - FIRST_VARIABLE + 1
        start = at + 2 * count
        if start > len(data):
            return 0
        before = 0
        sizes = {c.id: c.size for c in self._variable}
        for i, word in enumerate(struct.unpack_from(f"<{count}H", data, at)):
            end = word & ~_NULL
            most = sizes.get(FIRST_VARIABLE + i) or len(data)
            if end < before or end - before > most or (word & _NULL and end != before):
                return 0
            before = end
        return start + before if start + before <= len(data) else 0

    def _tagged_size(self, data: bytes, large: bool) -> int:
        """Return how much of `data` is a tagged part of known columns, 0 if it is none."""
        try:
            fields = parse_fields(data, large)
        except ValueError:
            return 0
        if not fields or any((f.derived, f.id) not in self._tagged for f in fields):
            return 0
        return len(data) - self._surplus(fields[-1])

    def _surplus(self, last: TaggedField) -> int:
        """Return how many bytes of the last value are not its: it runs to the end of the gap."""
        if last.data is None or last.header & TagHeader.MULTI:
            return 0
        size = self._tagged[last.derived, last.id].stored_size
        if last.header & TagHeader.SEPARATED:
            size = 8 if len(last.data) >= 8 and last.data[7] & 0x80 else 4
        return max(0, len(last.data) - size) if size else 0


def _fixed_ends(columns: list[ColumnDef]) -> dict[int, int]:
    """Return where the fixed part ends, by the highest fixed column that is in the record."""
    ends, end = {}, 4
    for column in sorted((c for c in columns if c.is_fixed), key=lambda c: c.id):
        end = max(end, column.offset + column.stored_size)
        ends[column.id] = end + (column.id + 7) // 8
    return {0: 4, **{last: end for last, end in ends.items() if end <= _LARGE_MASK}}


def free_space(page: Page) -> list[tuple[int, int]]:
    """Return the (start, end) of the bytes of a page that no line covers. Raises ValueError."""
    first, last = page.header_size, page.size - 4 * page.tag_count
    if last < first:
        raise ValueError("the tag array overlaps the page header")
    gaps, at = [], first
    for start, size in sorted(_lines(page)):
        if start > at:
            gaps.append((at, start))
        at = max(at, start + size)
    if at < last:
        gaps.append((at, last))
    return gaps


def _lines(page: Page) -> Iterator[tuple[int, int]]:
    mask = _SMALL_MASK if page.size <= _SMALL_MOST else _LARGE_MASK
    for line in range(page.tag_count):
        size, start = struct.unpack_from("<HH", page.data, page.size - 4 * (line + 1))
        yield page.header_size + (start & mask), size & mask


def _head_size(before: bytes, key: bytes) -> int:
    """Return the bytes of a node in front of its record, 0 if none with that key lies there.

    They are the number of bytes that the key shares with that of the page, if it does, the number
    of the others, and these.
    """
    for shared in range(len(key) + 1):
        size = len(key) - shared
        at = len(before) - size - 2
        if at < 0 or not before.endswith(key[shared:]):
            continue
        if int.from_bytes(before[at : at + 2], "little") & 0x1FFF == size:
            return size + (4 if shared else 2) if size or shared else 0
    return 0
