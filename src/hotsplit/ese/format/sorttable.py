"""Sort tables: the weights of characters, and what locales make different.

Windows keeps them in ``Globalization\\Sorting\\SortDefault.nls``, which belongs to Windows and is
not part of this program; `SortTable` reads a copy that the user has. `BuiltIn` has what long-used
characters weigh in the order that most locales share.

Layout of the file, all numbers little-endian: four u32 offsets (weights, case maps, character
types, locales). Weights: 65,536 u32 for UTF-16 units, then pages of 256 u32 for exceptions; the
exceptions of a locale are a page of 256 indexes of pages. Locales: u32 version, u32 count, records
of 36 bytes (sort id 16, then u32 flags, contractions, exceptions, exceptions for linguistic case,
case map); u32 count, expansions of two u16; u32 count, contraction tables of 24 bytes (u32 offset
in u16, u16 first and last unit, eight u16 counts of sequences of 2, 3, ... units); sequences: the
units, padded to four bytes, and a u32 weight.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

from hotsplit.ese.format.collation import UNKNOWN, Collation

DEFAULT_SORT = 1
"""Number of the order that most locales share; sort ids are GUIDs that differ in their number."""

WINDOWS_7, WINDOWS_8, WINDOWS_10 = 0x60100, 0x60200, 0x60300
"""NLS versions from which on weights are those of these systems."""

SORT_ID_TAIL = bytes.fromhex("ee575c1e00b4d0000bb1e11e")
_HEAD = struct.Struct("<4I")
_LOCALE = struct.Struct("<16s5I")
_PAIR = struct.Struct("<2H")
_CONTRACTIONS = struct.Struct("<I10H")
_PAGE, _UNITS = 256, 0x10000
_NONE = 0xFFFFFFFF
_MOST_SEQUENCES = 1 << 20


class Sorts(Protocol):
    """Where collations come from."""

    version: int
    """The NLS version of the weights, e.g. 0x60305 for 6.3.5."""

    def collation(self, sort: int) -> Collation | None:
        """Return the order of this number, None if it is not there. Raises ValueError."""


class SortTable:
    """A SortDefault.nls that somebody has at hand."""

    def __init__(self, data: bytes) -> None:
        """Read a table. Raises ValueError if it is none."""
        try:
            self._read(data)
        except struct.error as error:
            raise ValueError(f"no sort table: {error}") from error

    def _read(self, data: bytes) -> None:
        weights, cases, _, at = _HEAD.unpack_from(data)
        if not _HEAD.size <= weights <= cases <= len(data) or (cases - weights) % 4:
            raise ValueError("no sort table: its sections do not follow each other")
        if cases - weights < 4 * _UNITS:
            raise ValueError("no sort table: there are not enough weights")
        count = (cases - weights) // 4
        self._weights = array("I", struct.unpack_from(f"<{count}I", data, weights))
        self.version, count = struct.unpack_from("<2I", data, at)
        at += 8
        self._locales: dict[int, tuple[int, int, int]] = {}
        for found in _records(_LOCALE, data, at, count):
            if found[0][4:] == SORT_ID_TAIL:
                self._locales[int.from_bytes(found[0][:4], "little")] = found[1:4]
        at += _LOCALE.size * count
        (count,) = struct.unpack_from("<I", data, at)
        self._expansions = _records(_PAIR, data, at + 4, count)
        at += 4 + _PAIR.size * count
        (count,) = struct.unpack_from("<I", data, at)
        self._contractions = _records(_CONTRACTIONS, data, at + 4, count)
        self._sequences = data[at + 4 + _CONTRACTIONS.size * count :]
        self._made: dict[int, Collation] = {}

    def collation(self, sort: int) -> Collation | None:
        """Return the order of this number, None if it is not there. Raises ValueError."""
        if sort not in self._locales:
            return None
        if sort not in self._made:
            flags, contractions, exceptions = self._locales[sort]
            self._made[sort] = Collation(
                self._weights,
                self._pages(exceptions),
                self._expansions,
                flags,
                {} if contractions == _NONE else self._contractions_of(contractions),
            )
        return self._made[sort]

    def _pages(self, exceptions: int) -> list[int]:
        if not exceptions:
            return list(range(0, _UNITS, _PAGE))
        pages = list(self._weights[exceptions : exceptions + _PAGE])
        if len(pages) < _PAGE or max(pages) > len(self._weights) - _PAGE:
            raise ValueError("exceptions of the sort table lie outside of it")
        return pages

    def _contractions_of(self, number: int) -> dict[tuple[int, ...], int]:
        if number >= len(self._contractions):
            raise ValueError("contractions of the sort table lie outside of it")
        offset, _, _, *counts = self._contractions[number]
        if sum(counts) > _MOST_SEQUENCES:
            raise ValueError("contractions of the sort table are too many")
        found, at = {}, 2 * offset
        for size, count in enumerate(counts, 2):
            layout = struct.Struct(f"<{size}H{size % 2 * 2}xI")
            for *units, weight in _records(layout, self._sequences, at, count):
                found[tuple(units)] = weight
            at += layout.size * count
        return found


def _records(layout: struct.Struct, data: bytes, at: int, count: int) -> list[Any]:
    end = at + layout.size * count
    if not 0 <= at <= end <= len(data):
        raise ValueError("no sort table: it ends early")
    return list(layout.iter_unpack(data[at:end]))


class BuiltIn:
    """Weights of characters in long use, in the order that most locales share.

    They are those of Windows 8 and later, see the head of the file. version: for which NLS version;
    ideographs are known from 6.3 on.
    """

    def __init__(self, version: int) -> None:
        self.version = version

    def collation(self, sort: int) -> Collation | None:
        """Return the order of this number, None if it is not there."""
        return _built_in(self.version >= WINDOWS_10) if sort == DEFAULT_SORT else None


@cache
def _built_in(ideographs: bool) -> Collation:
    """Read the weights that come with this program; the head of the file says how it is written."""
    from importlib import resources  # slow to load, and seldom needed

    text = resources.files(__package__).joinpath("sortweights.txt").read_text("ascii")
    weights, pages = array("I", [UNKNOWN] * _PAGE), [0] * _PAGE
    expansions: dict[int, tuple[int, int]] = {}
    for line in text.splitlines():
        kind, *words = line.split()
        if kind == ">":
            number, first, last = (int(word, 16) for word in words)
            expansions[number] = (first, last)
        elif kind[0] != "#" and (ideographs or kind != "+"):
            for unit, weight in _weights_of(kind, words):
                if not pages[unit >> 8]:
                    pages[unit >> 8] = len(weights)
                    weights.extend([UNKNOWN] * _PAGE)
                weights[pages[unit >> 8] + (unit & 0xFF)] = weight
    return Collation(weights, pages, expansions)


def _weights_of(kind: str, words: list[str]) -> Iterator[tuple[int, int]]:
    if kind not in _RUNS:
        for unit, word in enumerate(words, int(kind, 16)):
            yield unit, UNKNOWN if word == "-" else int(word, 16)
        return
    start, count, weight = (int(word, 16) for word in words)
    counted, step, carry = _RUNS[kind]
    for unit in range(start, start + count):
        yield unit, weight
        weight += step if weight & counted != counted else carry


_RUNS = {"*": (0xFF, 1, 0x03), "+": (0xFF0000, 0x10000, 0x30000 - (1 << 24) + 1)}
"""Runs by kind: the byte that counts, its step, and the step from ff to 02 of the next script."""

_supplied: Sorts | None = None


def use_sort_table(table: Sorts | None) -> None:
    """Make keys of Unicode text with a table from now on; None: with what is built in.

    As in Windows, the table is one for the whole process.
    """
    global _supplied
    _supplied = table


def sorts_for(version: int) -> Sorts:
    """Return the table for keys of an NLS version: the one supplied if it fits.

    It fits versions with the same first two numbers; those from 6.2 (Windows 8) on go together.
    """
    table = _supplied
    if table is None:
        return BuiltIn(version)
    fits = version >> 8 == table.version >> 8 or min(version, table.version) >= WINDOWS_8
    return table if fits else BuiltIn(version)
