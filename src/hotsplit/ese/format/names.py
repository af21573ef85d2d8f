"""File names of a log stream: parse and compose.

`BASE` is the stream's three-character base name (E00, edb, SRU, j50, ...). Case does not matter.
Source: log specification 1.1.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

BASE_LENGTH = 3
SHORT_LIMIT = 0xFFFFF
"""The highest generation that a 5-digit name can hold."""


class NameKind(StrEnum):
    """What a file is, as far as its name tells."""

    CURRENT = "current"
    ARCHIVE = "archive"
    TMP = "tmp"
    RESERVE = "reserve"
    CHECKPOINT = "checkpoint"
    SHIPPED = "shipped"


class FileName(NamedTuple):
    """A parsed name. `base` is as spelt in the name; empty for ``res1.log``, which names no stream.

    generation and digits: of archives and shipped logs (`digits` also of reserve logs), else 0.
    """

    kind: NameKind
    base: str
    generation: int = 0
    digits: int = 0

    def is_of(self, base: str) -> bool:
        """Tell whether the file belongs to the stream called `base`."""
        return self.base.casefold() == base.casefold()


_HEX = r"(?P<number>[0-9a-f]{5}|[0-9a-f]{8}|[0-9a-f]{10})"
_BASE = r"(?P<base>[^/\\]{3})"
_PATTERNS = [
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (rf"{_BASE}\.(log|jtx)", NameKind.CURRENT),
        (rf"{_BASE}tmp\.(log|jtx)", NameKind.TMP),
        (rf"{_BASE}{_HEX}\.(log|jtx)", NameKind.ARCHIVE),
        (rf"{_BASE}res(?P<number>[0-9a-f]{{5}})\.jrs", NameKind.RESERVE),
        (r"(?P<base>)res(?P<number>[12])\.log", NameKind.RESERVE),
        (rf"{_BASE}\.(chk|jcp)", NameKind.CHECKPOINT),
        (rf"{_BASE}{_HEX}\.jsl", NameKind.SHIPPED),
    )
]


def parse_name(name: str) -> FileName | None:
    """Parse a name without folder; None if no file of a log stream is called so."""
    for pattern, kind in _PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            found = match.groupdict()
            number = found.get("number") or ""
            generation = int(number, 16) if kind in (NameKind.ARCHIVE, NameKind.SHIPPED) else 0
            return FileName(kind, found["base"], generation, len(number))
    return None


def file_name(
    base: str, generation: int | None = None, digits: int = 8, extension: str = "log"
) -> str:
    """Return the name of a log: ``E00.log`` without a generation, else ``E0000100925.log``.

    digits: 5 means "5 while they suffice, then 8", as the engine counts on; 8 and 10 are fixed.
    """
    if generation is None:
        return f"{base}.{extension}"
    if digits == 5 and generation > SHORT_LIMIT:
        digits = 8
    return f"{base}{generation:0{digits}X}.{extension}"
