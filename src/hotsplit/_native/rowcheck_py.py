"""Checking the records of a table: part of the reference of the ``integrity`` kernel.

Source: format specification 7.1, 7.3, 7.5 to 7.7 (records), 9 (compression), 13.1 R and L.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from hotsplit._native.compress_py import xpress_decode
from hotsplit._native.fingerprint_py import Ledger, Place, hash_bytes, hash_number
from hotsplit._native.indexkey_py import (
    BY_KEY,
    Fetch,
    Index,
    OutOfKeysError,
    OutOfTuplesError,
    RowEntries,
    Source,
    UnknownError,
    instance,
)
from hotsplit._native.integrity_codes import Code
from hotsplit._native.record_py import DamagedError, Record

Report = tuple[int, int, int, int, int]

_T_SIZE, _T_EXISTS, _T_LONG, _T_NOT_NULL, _T_DELETED = 31, 32, 64, 128, 256
_LONG, _COMPRESSED, _SEPARATED, _SEVERAL, _TWO, _ENCRYPTED, _UNDEFINED = 1, 2, 4, 8, 16, 64, 128
_FIRST_TAGGED, _LAST_TAGGED = 256, 0xFEE0
_EXPANDED_MOST = 0x7FFF
_SHORT_MOST = 255
_TWO_MOST = 1 + 510
_INCREMENT_SIZES = (4, 8)


class Wrong(Exception):
    """What is wrong with a record: code, a, b. The rest of it is not looked at."""

    def __init__(self, code: Code, a: int, b: int = 0) -> None:
        super().__init__(code, a, b)
        self.code, self.a, self.b = code, a, b


class Rows:
    """The records of one table and what they make: index entries, references to long values.

    layout: large pages, largest record, end of the fixed columns up to each id (0 unknown), ids of
    fixed columns that are not null, highest variable id, ids of variable columns that are not null,
    two bytes for each tagged column of the table and of its template, and (id, offset, size,
    highest value) of an autoincrement column or None. call: gives the bytes of a separated value
    (True, id, most) or a compressed one (False, data, most), None if they are not to be had.
    """

    def __init__(
        self,
        layout: tuple[Any, ...],
        primary: Sequence[Any] | None,
        indexes: Sequence[Sequence[Any]],
        call: Fetch,
        findings: list[Report],
    ) -> None:
        (self._large, self._most, self._ends, fixed, self._var_last, variable,
         own, inherited, self._increment) = layout  # fmt: skip
        if not 1 <= len(self._ends) <= 128 or not 127 <= self._var_last <= 255:
            raise ValueError("no layout of a table")
        if self._increment is not None and self._increment[2] not in _INCREMENT_SIZES:
            raise ValueError("no autoincrement column")
        self._not_null = {*fixed, *variable}
        self._tagged = [struct.unpack(f"<{len(one) // 2}H", one) for one in (own, inherited)]
        self._primary = None if primary is None else Index.of(primary)
        self._indexes = [Index.of(index) for index in indexes]
        self.unknown = [0] * len(self._indexes)
        self._call = call
        self._findings = findings
        self._references: Ledger | None = None
        self._copy: tuple[Ledger, int] | None = None
        self._place: Place = (0, -1)

    def set_references(self, ledger: Ledger | None) -> None:
        """Enter references to long values here; without it there must be none."""
        self._references = ledger

    def set_copy(self, ledger: Ledger, side: int) -> None:
        """Enter whole records on one side, to compare the table with a copy."""
        self._copy = ledger, side

    def report(self, code: Code, a: int, b: int = 0, place: Place | None = None) -> None:
        """Take down what is wrong, at the record under check unless `place` says otherwise."""
        self._findings.append((int(code), *(self._place if place is None else place), a, b))

    def wanted(self, data: bytes, old: bool) -> list[bytes]:
        """Return the ids of the separated values that the keys of a record are made of."""
        source = Source(Record(data, self._large, old), self._call)
        found: list[bytes] = []
        for index in self._indexes:
            for k, segment in enumerate(index.segments if index.ledger is not None else []):
                needed = index.compare == BY_KEY or (index.tuples is not None and not k)
                if segment.id >= _FIRST_TAGGED and needed:
                    found += source.separated(segment)
        return found

    # Fixed and variable columns

    def _check_fixed(self, rec: Record) -> None:
        last = rec.fixed_last
        if not rec.sound_fixed:
            raise Wrong(Code.FIXED_SIZE, last, rec.fixed_end)
        if last >= len(self._ends):
            raise Wrong(Code.FIXED_LAST, last, len(self._ends) - 1)
        if self._ends[last] and rec.bitmap != self._ends[last]:
            raise Wrong(Code.FIXED_END, rec.bitmap, self._ends[last])
        nulls = rec.data[rec.bitmap : rec.fixed_end]
        for byte in range(len(nulls)):  # one report for eight columns
            ids = range(8 * byte + 1, min(8 * byte + 8, last) + 1)
            bad = [i for i in ids if i in self._not_null and nulls[byte] >> (i - 1) % 8 & 1]
            if bad:
                self.report(Code.NOT_NULL, bad[0])
        unused = 0xFF << last % 8 & 0xFF if last % 8 else 0
        if unused and nulls[-1] & unused != unused:
            self.report(Code.BITMAP, nulls[-1])

    def _check_variable(self, rec: Record) -> None:
        if not rec.sound_variable:
            raise Wrong(Code.VAR_ORDER, rec.data[1])
        before = 0
        for fid, word in enumerate(rec.ends, start=128):
            end, null = word & 0x7FFF, word & 0x8000
            if end < before:
                raise Wrong(Code.VAR_ORDER, fid, end)
            if null and end != before:
                raise Wrong(Code.VAR_NULL, fid, end - before)
            if null and fid in self._not_null:
                self.report(Code.NOT_NULL, fid)
            before = end
        last = 127 + len(rec.ends)
        if last > self._var_last:
            raise Wrong(Code.VAR_LAST, last, self._var_last)

    # Tagged columns

    def try_expand(self, data: bytes, most: int) -> int | None:
        """Return the size of a compressed value, None if it cannot be decompressed."""
        scheme = data[0] >> 3 if data else 0
        if scheme in (1, 2):
            bits = (len(data) - 2) * 8 + (data[0] & 7) + 1 if len(data) >= 2 else 0
            size = bits // 7 * scheme
            return size if size <= most else None
        if scheme == 3 and len(data) >= 3:
            return self._try_xpress(data, most)
        if scheme == 6 and len(data) >= 15:  # XPRESS10: only its stated size can be judged
            size = int(struct.unpack_from("<H", data, 1)[0])
            return size if size <= most else None
        plain = self._call(False, data, most)
        return None if plain is None else len(plain)

    @staticmethod
    def _try_xpress(data: bytes, most: int) -> int | None:
        size = int(struct.unpack_from("<H", data, 1)[0])
        if size > most:
            return None
        if len(data) - 3 != size:
            try:
                xpress_decode(data[3:], size)
            except ValueError:
                return None
        return size

    def _check_lid(self, fid: int, data: bytes) -> None:
        if len(data) not in (4, 8):
            raise Wrong(Code.TAG_LID, fid, len(data))
        lid = int.from_bytes(data, "little")
        if not lid or (len(data) == 8) != bool(lid >> 63):
            raise Wrong(Code.TAG_LID, fid, lid)
        ledger = self._references
        if ledger is None:
            raise Wrong(Code.NO_LONG_VALUES, fid, lid)
        hash_ = hash_number(lid)
        if not ledger.is_watching:
            ledger.enter(0, hash_, 1)
        elif ledger.is_watched(hash_):
            ledger.take(0, lid.to_bytes(8, "little"), b"", 1, self._place)

    def _check_instance(self, fid: int, info: int, is_long: bool, how: int, data: bytes) -> None:
        if how == _SEPARATED:
            if not is_long:
                raise Wrong(Code.TAG_LONG, fid)
            self._check_lid(fid, data)
            return
        if not is_long and len(data) > _SHORT_MOST:
            raise Wrong(Code.TAG_SIZE, fid, len(data))
        if how == _COMPRESSED and self.try_expand(data, _EXPANDED_MOST) is None:
            self.report(Code.COMPRESSED, fid)
        if not how and info & _T_SIZE and data and len(data) != info & _T_SIZE:
            raise Wrong(Code.TAG_SIZE, fid, len(data))

    def _check_two(self, fid: int, info: int, header: int, data: bytes) -> None:
        if not header & _SEVERAL or header & (_LONG | _SEPARATED):
            raise Wrong(Code.TAG_HEADER, fid, header)
        if not data or len(data) > _TWO_MOST or data[0] > len(data) - 1:
            raise Wrong(Code.TAG_TWO, fid, len(data))
        self._check_instance(fid, info, False, 0, data[1 : 1 + data[0]])
        self._check_instance(fid, info, False, 0, data[1 + data[0] :])

    def _check_several(self, fid: int, info: int, header: int, data: bytes) -> None:
        first = struct.unpack_from("<H", data)[0] & 0x7FFF if len(data) >= 4 else 0
        if first < 4 or first > len(data) or first % 2:
            raise Wrong(Code.TAG_MULTI, fid, first)
        for number in range(1, first // 2 + 1):
            try:
                found = instance(data, header & ~_ENCRYPTED, number)
            except UnknownError:
                found = None
            if found is None:
                raise Wrong(Code.TAG_MULTI, fid, number)
            value, how = found
            if how == _COMPRESSED and header & _ENCRYPTED:
                continue
            self._check_instance(fid, info, bool(header & _LONG), how, value)

    def _check_value(self, fid: int, info: int, header: int, data: bytes) -> None:
        """Check the value of one entry, its header byte taken off."""
        if header & _UNDEFINED or (not self._large and not header & (_LONG | _SEVERAL)):
            raise Wrong(Code.TAG_HEADER, fid, header)
        if info and bool(info & _T_LONG) != bool(header & _LONG):
            self.report(Code.TAG_KIND, fid, header)
        if header & _TWO:
            self._check_two(fid, info, header, data)
        elif header & _SEVERAL:
            if header & _SEPARATED:
                raise Wrong(Code.TAG_HEADER, fid, header)
            self._check_several(fid, info, header, data)
        elif header & _SEPARATED or not header & _ENCRYPTED:
            how = _SEPARATED if header & _SEPARATED else header & _COMPRESSED
            self._check_instance(fid, info, bool(header & _LONG), how, data)

    def _check_entry(self, rec: Record, entry: int) -> None:
        order, word, _ = rec.entries[entry]
        fid, derived = order & 0xFFFF, word >> 15
        if not _FIRST_TAGGED <= fid <= _LAST_TAGGED:
            raise Wrong(Code.TAG_ID, fid)
        infos = self._tagged[derived]
        if fid - _FIRST_TAGGED >= len(infos):
            raise Wrong(Code.TAG_ID, fid)
        info = infos[fid - _FIRST_TAGGED]
        if info & _T_DELETED:
            info = 0  # what is left of it may be of any kind
        elif not info & _T_EXISTS:
            info = 0
            self.report(Code.TAG_UNKNOWN, fid)
        try:
            header, data = rec.tag_value(entry)
        except DamagedError:
            raise Wrong(Code.TAG_HEADER, fid) from None
        if data is None:
            self._check_null(rec, entry, fid, info)
        elif self._large or word & 0x4000:
            self._check_value(fid, info, header, data)
        else:
            if info & _T_LONG:
                self.report(Code.TAG_KIND, fid)
            self._check_instance(fid, info, False, 0, data)

    def _check_null(self, rec: Record, entry: int, fid: int, info: int) -> None:
        _, word, offset = rec.entries[entry]
        ends = [e[2] for e in rec.entries[entry + 1 :]] + [len(rec.data) - rec.tagged]
        size = ends[0] - offset - self._large  # large pages: the header byte says that it is null
        if size or (not self._large and word & 0x4000):
            raise Wrong(Code.TAG_NULL, fid, size)
        if info & _T_NOT_NULL:
            self.report(Code.NOT_NULL, fid)

    def _check_old_tagged(self, rec: Record) -> None:
        tagged = rec.data[rec.tagged :]
        at = 0
        while at < len(tagged):
            left = len(tagged) - at
            fid, word = struct.unpack_from("<HH", tagged, at) if left >= 4 else (0, 0)
            length = word & 0x0FFF if left >= 4 else len(tagged)
            if 4 + length > left:
                raise Wrong(Code.TAG_ARRAY, at)
            if not _FIRST_TAGGED <= fid <= _LAST_TAGGED:
                raise Wrong(Code.TAG_ID, fid)
            data = tagged[at + 4 : at + 4 + length]
            at += 4 + length
            if not word & 0x8000 or word & 0x4000:
                continue
            if not data:
                raise Wrong(Code.TAG_HEADER, fid)
            if data[0] & 1:
                self._check_lid(fid, data[1:])

    def _check_tagged(self, rec: Record) -> None:
        if not rec.sound_tagged:
            raise Wrong(Code.TAG_ARRAY, 0)
        if rec.old:
            self._check_old_tagged(rec)
            return
        for entry in range(len(rec.entries)):
            self._check_entry(rec, entry)

    # Whole records

    def _check_increment(self, rec: Record) -> None:
        if self._increment is None:
            return
        fid, at, size, highest = self._increment
        if fid > rec.fixed_last or rec.data[rec.bitmap + (fid - 1) // 8] >> (fid - 1) % 8 & 1:
            return
        if at < 4 or at + size > rec.bitmap:
            return
        value = int.from_bytes(rec.data[at : at + size], "little")
        if value > highest:
            self.report(Code.AUTOINCREMENT, value, highest)

    def _check_record(self, rec: Record) -> None:
        if len(rec.data) < 4 or len(rec.data) > self._most:
            raise Wrong(Code.RECORD_SIZE, len(rec.data), self._most)
        self._check_fixed(rec)
        self._check_variable(rec)
        self._check_tagged(rec)
        self._check_increment(rec)

    def _check_key(self, source: Source, key: bytes) -> None:
        assert self._primary is not None
        try:
            made, _ = self._primary.make_key(source, [1] * len(self._primary.segments), 0)
        except UnknownError:
            return
        except (OutOfKeysError, OutOfTuplesError):
            made = b""
        if made != key:
            self.report(Code.KEY, len(made), len(key))

    def take(self, key: bytes, data: bytes, old: bool, place: Place) -> bool:
        """Check one live record; True if it is sound enough to have told what it makes."""
        self._place = place
        if self._copy is not None and not self._copy[0].is_watching:
            self._copy[0].enter(self._copy[1], hash_bytes(hash_bytes(0, key), data), 1)
        rec = Record(data, self._large, old)
        try:
            self._check_record(rec)
        except Wrong as wrong:
            self.report(wrong.code, wrong.a, wrong.b)
            return False
        source = Source(rec, self._call)
        if self._primary is not None:
            self._check_key(source, key)
        self._enter_entries(source, key, place)
        return True

    def enter(self, key: bytes, data: bytes, old: bool) -> None:
        """Make the entries of a record that is not checked."""
        self._enter_entries(Source(Record(data, self._large, old), self._call), key, (0, 0))

    def _enter_entries(self, source: Source, key: bytes, place: Place) -> None:
        for i, index in enumerate(self._indexes):
            if index.ledger is not None and not RowEntries(index, source, key, place).enter():
                self.unknown[i] += 1
