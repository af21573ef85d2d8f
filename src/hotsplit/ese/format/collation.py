"""Sort keys of Unicode text: the bytes that LCMapString makes, from the weights of characters.

A key has five levels, each less important than the one before: the alphabet, diacritics, upper
and lower case, kinds of kana, punctuation. Weights come from a `Collation`; where it does not know
a character, or where the published rules leave a case open, there is no key: a wrong one would
hide rows.

Source: format specification 10.4; [MS-UCODEREF] 3.1.5.2.4 to 3.1.5.2.14.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

UNKNOWN = 0xFFFFFFFF
"""In place of a weight: the character has one, but not here."""


class KeyUnknown(ValueError):
    """The key cannot be made: a weight or a rule that it needs is not known here."""


class MapFlag(IntFlag):
    """Flags of LCMapString that indexes use."""

    IGNORE_CASE = 0x1
    IGNORE_NONSPACE = 0x2
    IGNORE_SYMBOLS = 0x4
    LINGUISTIC_IGNORE_CASE = 0x10
    UPPER_CASE = 0x200
    SORT_KEY = 0x400
    STRING_SORT = 0x1000
    IGNORE_KANA = 0x10000
    IGNORE_WIDTH = 0x20000


SORT_FLAGS = 0x31417
"""The flags of sort keys that are understood."""


class CollationFlag(IntFlag):
    """What is particular to a locale."""

    THREE_BYTES = 0x1
    REVERSED_DIACRITICS = 0x10
    DOUBLED_CONTRACTIONS = 0x20


class Script(IntEnum):
    """Script members with rules of their own."""

    IGNORED, MARK, EXPANSION, KANA, JAMO, EXTENSION_A, PUNCTUATION = range(7)
    LAST_SYMBOL = 12


@dataclass(eq=False, frozen=True, slots=True)
class Collation:
    """How the text of a locale sorts.

    weights: words with script member, alphabetic, diacritic and case weight in bytes 1, 0, 2, 3;
    that of UTF-16 unit u is ``weights[pages[u >> 8] + (u & 0xFF)]``. expansions: units that an
    expanded character stands for, by number. contractions: weights of sequences of units.
    """

    weights: Sequence[int]
    pages: Sequence[int]
    expansions: Sequence[tuple[int, int]] | Mapping[int, tuple[int, int]] = ()
    flags: int = 0
    contractions: Mapping[tuple[int, ...], int] = field(default_factory=dict)

    def weight(self, unit: int) -> int:
        """Return the weight word of a UTF-16 unit. Raises KeyUnknown."""
        found = self.weights[self.pages[unit >> 8] + (unit & 0xFF)]
        if found == UNKNOWN:
            raise KeyUnknown(f"the weight of the character U+{unit:04X} is not known here")
        return found

    def expand(self, weight: int) -> list[int]:
        """Return the weights that an expanded character stands for. Raises KeyUnknown."""
        found = []
        for _ in range(_DEEPEST):
            try:
                first, last = self.expansions[weight >> 16]
            except LookupError:
                break
            found.append(self.weight(first))
            weight = self.weight(last)
            if _script(weight) != Script.EXPANSION:
                return [*found, weight]
        raise KeyUnknown("an expansion is not in the table")


def sort_key(text: str, flags: int, collation: Collation) -> bytes:
    """Return the sort key of text with its final zero. Raises KeyUnknown.

    flags: of LCMapString. Under both flags that ignore case and width there is no case level.
    """
    if flags & ~SORT_FLAGS:
        raise KeyUnknown(f"sort keys with the flags {flags:#x} are not known here")
    data = text.encode("utf-16-le", "surrogatepass")
    units = struct.unpack(f"<{len(data) // 2}H", data)
    levels = _Levels(flags, collation)
    at = 0
    while at < len(units):
        weight, used = _next(units, at, collation)
        levels.add(weight, units, at)
        at += used
    return levels.key()


_DEEPEST = 4  # expansions of expansions
_LONGEST = {1: 3, 2: 5, 3: 8}  # units of a contraction, by the two high bits of its first weight
_LEAST = 2  # weights that trailing ones are cut down to
_LEAST_WORD = 0x02020000
_CASE_BITS, _UPPER_BITS, _WIDTH_BIT, _KANA_BIT = 0x3F, 0x18, 0x01, 0x20
_PLAIN_CASES = (0x02, 0x12)
_PRIVATE, _IDEOGRAPHS = (0xA9, 0xAF), (0xC0, 0xEF)  # scripts with a third byte
_KANA_SCRIPT, _EXTENSION = 0x22, b"\xfd\xff"
_REPEAT, _PROLONG = 0, 1  # alphabetic weights of kana marks that take up the kana before
_PROLONG_MASK = 0x87
_EXTRA, _SMALL, _KIND, _WIDTH = 0xC4, 0xC6, 0xE4, 0xC5
_FIFTH_KANA, _FIFTH_REPEAT, _FIFTH_PROLONG = 3, 4, 5


def _script(weight: int) -> int:
    return weight >> 8 & 0xFF


def _next(units: Sequence[int], at: int, collation: Collation) -> tuple[int, int]:
    """Return the weight of what comes next and how many units it has."""
    weight = collation.weight(units[at])
    if not collation.contractions or not weight >> 30:
        return weight, 1
    twice = units[at : at + 1] == units[at + 1 : at + 2]
    doubled = twice and collation.flags & CollationFlag.DOUBLED_CONTRACTIONS
    for count in range(_LONGEST[weight >> 30], 1, -1):
        found = collation.contractions.get(tuple(units[at : at + count]))
        if found is not None:
            return found, count
        if doubled and tuple(units[at + 1 : at + 1 + count]) in collation.contractions:
            raise KeyUnknown("doubled contractions are not known here")
    return weight, 1


class _Levels:
    """The levels of one key, as far as they are made."""

    def __init__(self, flags: int, collation: Collation) -> None:
        self._flags = flags
        self._collation = collation
        self._primary, self._special = bytearray(), bytearray()
        self._diacritics, self._cases = bytearray(), bytearray()
        self._extra: list[tuple[int, int, int, int]] = []
        self._mask = _CASE_BITS
        if flags & (MapFlag.IGNORE_CASE | MapFlag.LINGUISTIC_IGNORE_CASE):
            self._mask &= ~_UPPER_BITS
        if flags & MapFlag.IGNORE_WIDTH:
            self._mask &= ~_WIDTH_BIT
        if flags & MapFlag.IGNORE_KANA:
            self._mask &= ~_KANA_BIT

    def add(self, weight: int, units: Sequence[int], at: int) -> None:
        """Add the weight of `units[at]`. Raises KeyUnknown."""
        script = _script(weight)
        if script == Script.IGNORED:
            return
        if script == Script.MARK:
            self._mark(weight >> 16 & 0xFF)
        elif script == Script.EXPANSION:
            for part in self._collation.expand(weight):
                self._plain(part)
        elif script == Script.KANA:
            self._kana(weight, units, at)
        elif script == Script.JAMO:
            raise KeyUnknown("sequences of Hangul letters are not known here")
        elif script == Script.EXTENSION_A:
            self._primary += _EXTENSION
            self._plain(_LEAST_WORD | (weight & 0xFF) << 8 | weight >> 16 & 0xFF)
        elif script <= Script.LAST_SYMBOL and self._flags & MapFlag.IGNORE_SYMBOLS:
            return
        elif script == Script.PUNCTUATION and not self._flags & MapFlag.STRING_SORT:
            self._punctuation(weight)
        else:
            self._plain(weight)

    def _case(self, weight: int) -> int:
        case = weight >> 24 & _CASE_BITS
        if self._flags & MapFlag.LINGUISTIC_IGNORE_CASE and case not in _PLAIN_CASES:
            raise KeyUnknown("the linguistic case of a character is not known here")
        return case & self._mask

    def _plain(self, weight: int) -> None:
        script = _script(weight)
        self._primary += bytes((script, weight & 0xFF))
        self._cases.append(self._case(weight))
        longer = self._collation.flags & CollationFlag.THREE_BYTES
        if _within(script, _PRIVATE) or (longer and _within(script, _IDEOGRAPHS)):
            self._primary.append(weight >> 16 & 0xFF)
        else:
            self._diacritics.append(weight >> 16 & 0xFF)

    def _mark(self, diacritic: int) -> None:
        """Add a combining mark: it changes the character before it."""
        if self._flags & MapFlag.IGNORE_NONSPACE:
            return
        if not self._diacritics:
            self._diacritics.append(diacritic)
        elif self._diacritics[-1] + diacritic > 0xFF:
            raise KeyUnknown("more marks on one character than a weight can tell")
        else:
            self._diacritics[-1] += diacritic

    def _punctuation(self, weight: int) -> None:
        """Hyphens and apostrophes come last of all: where they stand, and what they are."""
        place = 0xFFFF - len(self._primary) // 2
        if place < 0:
            raise KeyUnknown("the text is too long for a sort key")
        last = self._case(weight) | (weight >> 16 & 0x1F) << 3
        self._special += struct.pack(">HBB", place, weight & 0xFF, last)

    def _kana(self, weight: int, units: Sequence[int], at: int) -> None:
        alphabetic, case = weight & 0xFF, self._case_of_kana(weight)
        fifth = _FIFTH_KANA
        kind = case
        if alphabetic <= _PROLONG:
            before = self._kana_before(units, at)
            kind = self._case_of_kana(before)
            fifth = _FIFTH_REPEAT if alphabetic == _REPEAT else _FIFTH_PROLONG
            case = kind if alphabetic == _REPEAT else case
            alphabetic = before & 0xFF & (0xFF if fifth == _FIFTH_REPEAT else _PROLONG_MASK)
        self._primary += bytes((_KANA_SCRIPT, alphabetic))
        self._extra.append((kind & _SMALL, fifth, kind & _KIND, case & _WIDTH))
        self._diacritics.append(weight >> 16 & 0xFF)
        self._cases.append(_LEAST)

    def _case_of_kana(self, weight: int) -> int:
        return weight >> 24 & self._mask | _EXTRA

    def _kana_before(self, units: Sequence[int], at: int) -> int:
        """Return the weight of the kana that a mark takes up. Raises KeyUnknown without one."""
        for before in reversed(units[:at]):
            weight = self._collation.weight(before)
            script = _script(weight)
            if script == Script.KANA and weight & 0xFF > _PROLONG:
                return weight
            if script not in (Script.IGNORED, Script.MARK, Script.KANA):
                break
        raise KeyUnknown("a mark that prolongs or repeats kana does not follow any")

    def key(self) -> bytes:
        """Return the key of all that was added."""
        nonspace = not self._flags & MapFlag.IGNORE_NONSPACE
        backward = self._collation.flags & CollationFlag.REVERSED_DIACRITICS
        diacritics = self._diacritics[::-1] if backward else self._diacritics
        narrow = MapFlag.IGNORE_CASE | MapFlag.IGNORE_WIDTH
        cased = self._flags & narrow != narrow
        return b"\1".join(
            (
                bytes(self._primary),
                _trimmed(diacritics) if nonspace else b"",
                _trimmed(self._cases) if cased else b"",
                self._kana_level(nonspace),
                bytes(self._special) + b"\0",
            )
        )

    def _kana_level(self, nonspace: bool) -> bytes:
        if not self._extra:
            return b""
        small, fifth, kind, width = (bytes(level) for level in zip(*self._extra, strict=True))
        first = small.rstrip(b"\xc6") + b"\xff" + fifth.rstrip(b"\3") if nonspace else b"\xff"
        return first + b"\2" + kind.rstrip(b"\xe4") + b"\xff" + width.rstrip(b"\xc5") + b"\xff"


def _within(number: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= number <= limits[1]


def _trimmed(level: bytearray) -> bytes:
    return bytes(level).rstrip(bytes(range(_LEAST + 1)))
