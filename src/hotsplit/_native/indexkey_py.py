"""Values of a record and the index keys they make: part of the ``integrity`` reference.

Source: format specification 7.5 (instances), 10.1 to 10.5 (keys and entries).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from hotsplit._native.fingerprint_py import ROWS, Ledger, Place, hash_bytes
from hotsplit._native.record_py import OLD_TAGGED, DamagedError, Record, find_column

BIT, UNSIGNED, SIGNED, FLOAT, GUID, GUID_NET, FIXED_BINARY, BINARY, TEXT, UNICODE = range(10)
ALL_NULLS, FIRST_NULL, SOME_NULLS, NO_NULLS, MULTI = 2, 4, 8, 0x10, 0x80
NULLS_HIGH, CROSS, NESTED = 0x800, 0x2000, 0x8000
BY_KEY, BY_BOOKMARK, BY_PRESENCE = 0, 1, 2

_SEGMENTS = 16
_KEY_MOST = 2000
_OLD_KEY_MOST = 255  # of keys of this size no more than that is read of a value
_READ_MOST = 65536  # bytes of a text that a key is made of
_ENTRIES_MOST = 65536
NUMBER_SIZES = ((1,), (1, 2, 4, 8), (2, 4, 8), (4, 8), (16,), (16,))
"""Bytes of what is normalised as a number, by `Segment.normal`."""
_GUID_ORDER = (10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3)
_NET_ORDER = (3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15)
_H_COMPRESSED, _H_SEPARATED, _H_SEVERAL, _H_TWO, _H_ENCRYPTED = 2, 4, 8, 16, 64


class UnknownError(Exception):
    """A value, and so the key, cannot be told."""


class OutOfKeysError(Exception):
    """A multi-valued segment ran out of values; the argument is its number."""


class OutOfTuplesError(Exception):
    """Too few characters are left for a tuple."""


class Segment(NamedTuple):
    """One column of a key, or one condition.

    size: of a fixed-size type or fixed column, else 0. normal: how it is normalised. preset: the
    default value. callback: only a function of the application knows the default.
    """

    id: int
    offset: int
    size: int
    derived: bool
    normal: int
    descending: bool
    multi: bool
    must_be_null: bool
    callback: bool
    preset: bytes | None


Fetch = Callable[[bool, bytes, int], bytes | None]


class Order(NamedTuple):
    """How the Unicode text of an index sorts.

    key: gives the sort key of text, None if it is not known. The rest is for the compiled kernel,
    which makes the keys of common characters itself: flags of LCMapString; flags of the locale;
    weights, that of unit u being ``weights[pages[u >> 8] + (u & 0xFF)]``; by number the two units
    that an expanded character stands for; the last unit and whether digits have these weights;
    whether sequences of units may have one weight.
    """

    flags: int
    locale: int
    weights: array[int]
    pages: array[int]
    expansions: array[int]
    last_unit: int
    digits: bool
    contracted: bool
    key: Callable[[bytes], bytes | None]


def instance(data: bytes, header: int, number: int) -> tuple[bytes, int] | None:
    """Return instance `number` (from 1) of a tagged value and how it is stored, None if beyond.

    How: 4 separated, 2 compressed, 0 as it is. Raises UnknownError for a damaged value.
    """
    if header & _H_ENCRYPTED:
        raise UnknownError
    if not header & _H_SEVERAL:
        return (data, header & 6) if number == 1 else None
    if header & _H_TWO:
        if not data or 1 + data[0] > len(data):
            raise UnknownError
        both = data[1 : 1 + data[0]], data[1 + data[0] :]
        return (both[number - 1], 0) if number <= 2 else None
    first = struct.unpack_from("<H", data)[0] & 0x7FFF if len(data) >= 2 else 0
    if first < 2 or first % 2 or first > len(data):
        raise UnknownError
    words = struct.unpack_from(f"<{first // 2}H", data)
    if number > len(words):
        return None
    start = words[number - 1] & 0x7FFF
    end = words[number] & 0x7FFF if number < len(words) else len(data)
    if start > end or end > len(data):
        raise UnknownError
    separated = words[number - 1] & 0x8000
    how = _H_SEPARATED if separated else header & _H_COMPRESSED if number == 1 else 0
    return data[start:end], how


class Source:
    """One record, and the way to what lies outside it."""

    def __init__(self, record: Record, fetch: Fetch) -> None:
        self.record = record
        self._fetch = fetch
        # What was fetched last: a tuple index asks for it again and again.
        self._asked: tuple[bool, bytes, int] | None = None
        self._given: bytes | None = None

    def stored(self, s: Segment, number: int) -> tuple[bytes, int] | None:
        """Return the value of a column as stored, None for null; see `instance`."""
        try:
            header, data = find_column(self.record, s)
        except DamagedError as error:
            raise UnknownError from error
        except KeyError:
            if s.callback:
                raise UnknownError from None
            return (s.preset, 0) if s.preset is not None and number == 1 else None
        if header == OLD_TAGGED:
            raise UnknownError
        return None if data is None else instance(data, header, number)

    def separated(self, s: Segment) -> Iterator[bytes]:
        """Yield the ids of those values of a column that lie apart, up to a damaged one."""
        try:
            for number in count(1):
                found = self.stored(s, number)
                if found is None:
                    return
                if found[1] & _H_SEPARATED:
                    yield found[0]
                if not s.multi:
                    return
        except UnknownError:
            return

    def value(self, s: Segment, number: int, most: int) -> bytes | None:
        """Return the value of a column, `most` bytes of it being enough; None for null."""
        found = self.stored(s, number)
        if found is None or not found[1]:
            return None if found is None else found[0]
        asked = bool(found[1] & _H_SEPARATED), found[0], most
        if asked != self._asked:
            self._asked, self._given = asked, self._fetch(*asked)
        if self._given is None:
            raise UnknownError
        return self._given


# Normalising: each returns a segment of at most `room` bytes.


def _number(s: Segment, data: bytes, room: int) -> bytes:
    if s.normal == BIT:
        body = b"\xff" if data[0] else b"\0"
    elif s.normal in (GUID, GUID_NET):
        body = bytes(data[i] for i in (_GUID_ORDER if s.normal == GUID else _NET_ORDER))
    else:
        body = data[::-1]
        if s.normal == FLOAT and body[0] & 0x80:
            body = bytes(0xFF ^ b for b in body)
        elif s.normal != UNSIGNED:
            body = bytes([body[0] ^ 0x80]) + body[1:]
    return (b"\x7f" + body)[:room]


def _binary(data: bytes, room: int) -> bytes:
    """Groups of 8 bytes, each followed by a count: 9 if more follows, else how many are used."""
    full = 1 + 9 * ((len(data) + 7) // 8)
    end = min(full, room)
    key = bytearray(b"\x7f")
    at = 0
    while end - len(key) >= 9:
        group = data[at : at + 8]
        at += 8
        more = at < len(data) or (len(group) == 8 and end < full)
        key += group.ljust(8, b"\0") + bytes([9 if more else len(group)])
    key += data[at : at + end - len(key)]
    return bytes(key.ljust(end, b"\0"))


def _upper(data: bytes) -> bytes:
    return bytes(b - 32 if 0x61 <= b <= 0x7A else b for b in data)


def _text(data: bytes, room: int) -> bytes:
    """Upper case up to the first NUL. The last byte that fits is lowered by 32 whatever it is."""
    most = room - 1
    if not most:
        return b"\x7f"
    fits = data if most > len(data) else data[: most - 1]
    plain = fits.split(b"\0")[0]
    last = 0
    if most <= len(data) and len(plain) == most - 1 and data[most - 1]:
        last = (data[most - 1] - 32) & 0xFF
    return b"\x7f" + _upper(plain) + bytes([last])


class Index(NamedTuple):
    """One index: segments, conditions, flags, limits of keys, tuples, and how it is compared.

    tuples: least and most characters, number, step, start. ledger: None if not compared. order: of
    Unicode text, None if it is not known.
    """

    segments: list[Segment]
    conditions: list[Segment]
    flags: int
    key_most: int
    var_most: int
    tuples: tuple[int, int, int, int, int] | None
    compare: int
    ledger: Ledger | None
    order: Order | None = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> Index:
        """Make an index of plain tuples. Raises ValueError."""
        segments, conditions = (list(map(_segment, part)) for part in values[:2])
        index = cls(segments, conditions, *values[2:])
        if len(segments) > _SEGMENTS or len(conditions) > _SEGMENTS:
            raise ValueError("too many key segments")
        if not 1 <= index.key_most <= _KEY_MOST or index.var_most < 1:
            raise ValueError("no key length")
        return index

    def segment(self, s: Segment, data: bytes | None, room: int) -> bytes:
        """Return the segment of a key for a value, None for null."""
        null = b"\xc0" if self.flags & NULLS_HIGH else b"\0"
        most = min(self.var_most, room)
        if data is None:
            made = null
        elif not data:
            made = null if s.size else b"\x40"
        elif s.normal == TEXT:
            made = _text(data, most)
        elif s.normal == BINARY:
            made = _binary(data, most)
        elif s.normal == FIXED_BINARY:
            made = (b"\x7f" + data)[:most]
        elif s.normal == UNICODE:
            made = (b"\x7f" + self._sort_key(data))[:most]
        else:
            made = _number(s, data, room)
        return bytes(0xFF ^ b for b in made) if s.descending else made

    def _sort_key(self, data: bytes) -> bytes:
        made = self.order.key(data) if self.order is not None else None
        if made is None:
            raise UnknownError
        return made

    def make_key(self, source: Source, numbers: list[int], tuple_at: int) -> tuple[bytes, int]:
        """Return (key, which nulls are in it: 0 none, ALL_NULLS, FIRST_NULL or SOME_NULLS).

        The key is empty unless keys are compared. Raises the three errors above.
        """
        read = self.key_most
        while read <= _READ_MOST:
            key, nulls, more = self._make_key(source, numbers, tuple_at, read)
            if not more:
                return key, nulls
            read *= 2
        raise UnknownError

    def _make_key(
        self, source: Source, numbers: list[int], tuple_at: int, read: int
    ) -> tuple[bytes, int, bool]:
        """Make the key of no more than `read` bytes of a text; also say if that was too little."""
        key = b""
        nulls: list[bool] = []
        all_null = out = True
        more = False
        for i, s in enumerate(self.segments):
            room = self.key_most - len(key)
            value = self._value(source, i, numbers[i], read)
            if s.id >= 256:
                out = out and numbers[i] > 1 and value is None
            if value is None and numbers[i] > 1 and not self.flags & NESTED:
                raise OutOfKeysError(i)
            data = self._cut(s, value, tuple_at) if self.tuples and not i else value
            nulls.append(value is None)
            all_null = all_null and (value is None or not room)
            if room and self.compare == BY_KEY:
                data = data[:read] if data and s.normal == UNICODE else data
                made = self.segment(s, data, room)
                more = more or self._wants_more(s, data, read, len(made), room)
                key += made
        if self.flags & NESTED and out:
            raise OutOfKeysError(0)
        kind = FIRST_NULL if nulls[:1] == [True] else SOME_NULLS if any(nulls) else 0
        return key, ALL_NULLS if all_null else kind, more

    def _wants_more(self, s: Segment, data: bytes | None, read: int, made: int, room: int) -> bool:
        """Say whether the engine would read more: all that it read made no full segment."""
        filled = made >= room or made >= self.var_most or self.key_most == _OLD_KEY_MOST
        return s.normal == UNICODE and data is not None and len(data) == read and not filled

    def _value(self, source: Source, i: int, number: int, read: int) -> bytes | None:
        """Return the value of a segment; of any length where it only matters whether it is null."""
        s = self.segments[i]
        most = read if s.normal == UNICODE else self.key_most
        if self.tuples is not None and not i:
            _, longest, count, step, start = self.tuples
            most = 2 * (start + count * step + longest)
        elif self.compare != BY_KEY:
            found = source.stored(s, number)
            return None if found is None else found[0]
        value = source.value(s, number, most)
        if value and s.size and len(value) != s.size:
            raise UnknownError
        return value

    def _cut(self, s: Segment, value: bytes | None, at: int) -> bytes:
        assert self.tuples is not None
        least, most, _, _, _ = self.tuples
        wide = 2 if s.normal == UNICODE else 1
        cut = (value or b"")[at * wide : (at + most) * wide]
        if len(cut) < least * wide:
            raise OutOfTuplesError
        return cut


def _segment(values: Sequence[Any]) -> Segment:
    s = Segment(*values)
    if not 1 <= s.id <= 0xFFFF or (s.id < 128 and s.size > 0x7FFF):
        raise ValueError(f"key segment of column {s.id}")
    if s.normal < FIXED_BINARY and s.size not in NUMBER_SIZES[s.normal]:
        raise ValueError(f"key segment of {s.size} bytes")
    return s


class InstanceSequence:
    """Which instance of each multi-valued segment comes next."""

    def __init__(self, index: Index) -> None:
        self.numbers = [1] * _SEGMENTS
        self.multi = [False] * _SEGMENTS
        self._last = -1
        self._nested = bool(index.flags & NESTED)
        if not index.flags & MULTI:
            return
        for i, s in enumerate(index.segments):
            if s.id >= 256 and s.multi:
                self.multi[i] = True
                self._last = i
                if not index.flags & (CROSS | NESTED):
                    return

    def next(self) -> bool:
        """Go on after a key was made; False if there is nothing to go on with."""
        if self._last < 0:
            return False
        for i in range(0 if self._nested else self._last, self._last + 1):
            self.numbers[i] += self.multi[i]
        return True

    def roll(self, rolled: int) -> bool:
        """Go on after segment `rolled` ran out: to the next value of a more significant one."""
        i = next((i for i in range(rolled - 1, -1, -1) if self.multi[i]), None)
        if i is None:
            return False
        self.numbers[i] += 1
        for k in range(rolled, self._last + 1):
            self.numbers[k] = 1
        return True


def entry_hash(compare: int, key: bytes, bookmark: bytes) -> int:
    """Return the hash of an entry, as it is compared."""
    return hash_bytes(hash_bytes(0, key) if compare == BY_KEY else 0, bookmark)


class RowEntries:
    """The entries of one row in one index."""

    def __init__(self, index: Index, source: Source, bookmark: bytes, place: Place) -> None:
        self._index = index
        self._source = source
        self._bookmark = bookmark
        self._place = place
        self._hashes: set[int] = set()

    def enter(self) -> bool:
        """Make all entries and enter them; False if they cannot be told."""
        if not self._make():
            return False
        ledger = self._index.ledger
        assert ledger is not None
        for hash_ in self._hashes:
            ledger.enter(ROWS, hash_, 1)
        return True

    def _emit(self, key: bytes) -> None:
        index = self._index
        hash_ = entry_hash(index.compare, key, self._bookmark)
        assert index.ledger is not None
        if not index.ledger.is_watching:
            self._hashes.add(hash_)
        elif index.ledger.is_watched(hash_):
            index.ledger.take(ROWS, key, self._bookmark, 1, self._place)

    def _is_present(self) -> bool:
        return all(
            (self._source.stored(s, 1) is None) == s.must_be_null for s in self._index.conditions
        )

    def _make(self) -> bool:
        index = self._index
        sequence = InstanceSequence(index)
        try:
            if not self._is_present():
                return True
            for _ in range(_ENTRIES_MOST):
                if not self._one(sequence):
                    return True
        except UnknownError:
            return False
        return False

    def _one(self, sequence: InstanceSequence) -> bool:
        """Make the entry of the next instances; False after the last."""
        index = self._index
        start = index.tuples[4] if index.tuples else 0
        try:
            key, nulls = index.make_key(self._source, sequence.numbers, start)
        except OutOfKeysError as error:
            return sequence.roll(error.args[0])
        except OutOfTuplesError:
            return sequence.multi[0] and sequence.next()
        if nulls and not index.flags & (nulls | NO_NULLS):  # with NO_NULLS an entry is due, too
            return False
        self._emit(key)
        if index.compare != BY_KEY:
            return False  # one is enough for the bookmark
        if index.tuples is not None:
            self._tuples(sequence, index.tuples)
        return nulls != ALL_NULLS and sequence.next()

    def _tuples(self, sequence: InstanceSequence, tuples: tuple[int, int, int, int, int]) -> None:
        _, _, count, step, start = tuples
        try:
            for n in range(1, count):
                key, nulls = self._index.make_key(self._source, sequence.numbers, start + n * step)
                if nulls not in (0, SOME_NULLS):
                    return
                self._emit(key)
        except (OutOfTuplesError, OutOfKeysError):
            return
