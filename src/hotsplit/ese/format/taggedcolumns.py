"""Tagged columns: the array of entries, the forms of a value, and the form of old engines.

Source: format specification 7.5 (TAGFLD array), 7.6 (validity), 7.7 (ESE97).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntFlag
from itertools import pairwise
from typing import NamedTuple

_DERIVED = 0x8000
_SMALL_HEADER, _SMALL_NULL = 0x4000, 0x2000
_SMALL_MASK, _LARGE_MASK = 0x1FFF, 0x7FFF
_OLD_LENGTH, _OLD_DERIVED, _OLD_NULL, _OLD_LONG = 0x0FFF, 0x2000, 0x4000, 0x8000
_SEPARATED_INSTANCE = 0x8000


class TagHeader(IntFlag):
    """The header byte of a tagged value."""

    LONG = 0x01
    COMPRESSED = 0x02
    SEPARATED = 0x04
    MULTI = 0x08
    TWO = 0x10
    NULL = 0x20
    ENCRYPTED = 0x40


class TaggedField(NamedTuple):
    """One entry: column id, inherited from the template or not, header byte, data.

    data is None for an explicit null. The data does not include the header byte.
    """

    id: int
    derived: bool
    header: int
    data: bytes | None

    @property
    def order(self) -> tuple[bool, int]:
        """Entries of the template come first, then ids ascend."""
        return not self.derived, self.id


class Instance(NamedTuple):
    """One value of a tagged column as stored."""

    data: bytes
    separated: bool = False
    compressed: bool = False


def parse_fields(tagged: bytes, large: bool) -> list[TaggedField]:
    """Return all entries of the tagged part of a record. Raises ValueError."""
    if not tagged:
        return []
    mask = _LARGE_MASK if large else _SMALL_MASK
    first = struct.unpack_from("<H", tagged, 2)[0] & mask if len(tagged) >= 4 else 0
    if first < 4 or first % 4 or first > len(tagged):
        raise ValueError("the array of tagged columns is damaged")
    array = struct.unpack_from(f"<{first // 2}H", tagged)
    offsets = [word & mask for word in array[1::2]] + [len(tagged)]
    fields = []
    for i, (fid, word) in enumerate(zip(array[::2], array[1::2], strict=True)):
        start, end = offsets[i], offsets[i + 1]
        if start > end or end > len(tagged):
            raise ValueError(f"tagged column {fid} reaches outside the record")
        fields.append(_field(fid, word, tagged[start:end], large))
    if any(a.order >= b.order for a, b in pairwise(fields)):
        raise ValueError("tagged columns are not in ascending order")
    return fields


def _field(fid: int, word: int, data: bytes, large: bool) -> TaggedField:
    derived = bool(word & _DERIVED)
    if not large and word & _SMALL_NULL:
        return TaggedField(fid, derived, 0, None)
    if not large and not word & _SMALL_HEADER:
        return TaggedField(fid, derived, 0, data)
    if not data:
        raise ValueError(f"tagged column {fid} has no header byte")
    header = data[0]
    if large and header & TagHeader.NULL:
        return TaggedField(fid, derived, header, None)
    return TaggedField(fid, derived, header, data[1:])


def build_fields(fields: Iterable[TaggedField], large: bool) -> bytes:
    """Return the tagged part of a record, entries put in order. Raises ValueError."""
    ordered = sorted(fields, key=lambda field: field.order)
    array, area = bytearray(), bytearray()
    start = 4 * len(ordered)
    for field in ordered:
        word = start + len(area) | (_DERIVED if field.derived else 0)
        if large:
            header = TagHeader.NULL if field.data is None else field.header
            area.append(header)
        elif field.data is None:
            word |= _SMALL_NULL
        elif field.header:
            word |= _SMALL_HEADER
            area.append(field.header)
        area += field.data or b""
        array += struct.pack("<HH", field.id, word)
    if start + len(area) > (_LARGE_MASK if large else _SMALL_MASK):
        raise ValueError("tagged columns do not fit a record")
    return bytes(array + area)


def split_instances(header: int, data: bytes) -> list[Instance]:
    """Return the values of one entry in itagSequence order. Raises ValueError."""
    compressed = bool(header & TagHeader.COMPRESSED)
    if not header & TagHeader.MULTI:
        return [Instance(data, bool(header & TagHeader.SEPARATED), compressed)]
    if header & TagHeader.TWO:
        if not data or 1 + data[0] > len(data):
            raise ValueError("a two-values entry is damaged")
        return [Instance(data[1 : 1 + data[0]]), Instance(data[1 + data[0] :])]
    first = struct.unpack_from("<H", data)[0] & 0x7FFF if len(data) >= 2 else 0
    if first < 2 or first % 2 or first > len(data):
        raise ValueError("a multi-values entry is damaged")
    array = struct.unpack_from(f"<{first // 2}H", data)
    ends = [word & 0x7FFF for word in array[1:]] + [len(data)]
    instances = []
    for i, (word, end) in enumerate(zip(array, ends, strict=True)):
        start = word & 0x7FFF
        if start > end or end > len(data):
            raise ValueError("a multi-values entry is damaged")
        separated = bool(word & _SEPARATED_INSTANCE)
        instances.append(Instance(data[start:end], separated, compressed and i == 0))
    return instances


def join_instances(instances: Sequence[Instance], *, long: bool, large: bool) -> tuple[int, bytes]:
    """Return (header byte, data) of the entry for these values. Raises ValueError.

    long: the column is of a long-value type. large: for a page of 16 KB or more, on which the
    published engine reads the short form of two values, but does not know how to change it. Only
    the first of several values may be compressed.
    """
    header = TagHeader.LONG if long else TagHeader(0)
    if instances[0].compressed:
        header |= TagHeader.COMPRESSED
    if any(i.compressed for i in instances[1:]):
        raise ValueError("only the first of several values may be compressed")
    if len(instances) == 1:
        separated = TagHeader.SEPARATED if instances[0].separated else 0
        return header | separated, instances[0].data
    if len(instances) == 2 and not long and not large:
        first, second = (i.data for i in instances)
        if max(len(first), len(second)) > 255:
            raise ValueError("a value has more than 255 bytes")
        return header | TagHeader.MULTI | TagHeader.TWO, bytes([len(first)]) + first + second
    words, at = [], 2 * len(instances)
    for instance in instances:
        words.append(at | (_SEPARATED_INSTANCE if instance.separated else 0))
        at += len(instance.data)
    if at > 0x7FFF:
        raise ValueError("the values do not fit a record")
    body = b"".join(instance.data for instance in instances)
    return header | TagHeader.MULTI, struct.pack(f"<{len(words)}H", *words) + body


def old_instances(tagged: bytes, fid: int, derived: bool) -> list[Instance] | None:
    """Return the values of a column in a record of an old engine (revisions up to 8).

    [] means that the column is not there, None an explicit null. Raises ValueError.
    """
    found: list[Instance] = []
    at = 0
    while at < len(tagged):
        if at + 4 > len(tagged):
            raise ValueError("the tagged columns are damaged")
        here, word = struct.unpack_from("<HH", tagged, at)
        at += 4
        end = at + (word & _OLD_LENGTH)
        if end > len(tagged):
            raise ValueError("the tagged columns are damaged")
        if here == fid and bool(word & _OLD_DERIVED) == derived:
            if word & _OLD_NULL:
                return None
            found.append(_old_instance(tagged[at:end], bool(word & _OLD_LONG)))
        at = end
    return found


def _old_instance(data: bytes, long: bool) -> Instance:
    if not long:
        return Instance(data)
    if not data:
        raise ValueError("a long value has no flag byte")
    return Instance(data[1:], bool(data[0] & 1))
