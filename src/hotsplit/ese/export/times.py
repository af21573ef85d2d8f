"""Times that applications keep as numbers, and their text.

Source: [MS-DTYP] 2.3.3 (FILETIME); format specification 7.2 (DateTime).
"""

from __future__ import annotations

import datetime as dt

_NEVER = 2**63 - 1
_TICKS = 10**7  # a second has so many units of 100 ns
_FROM_1601 = 11_644_473_600  # seconds from 1601 to 1970
_EPOCH = dt.datetime(1970, 1, 1)
_LEAST = -62_135_596_800  # year 1
_MOST = 253_402_300_799  # year 9999


def from_filetime(ticks: int) -> str | None:
    """Return ISO text in UTC, with as many fraction digits as need be, of 100 ns since 1601.

    None for 0 (not set) and for the greatest number (never), and outside years 1 to 9999.
    """
    if ticks in (0, _NEVER):
        return None
    seconds, rest = divmod(ticks, _TICKS)
    return _text(seconds - _FROM_1601, f".{rest:07d}".rstrip("0") if rest else "")


def from_seconds_since_1601(seconds: int) -> str | None:
    """Return ISO text in UTC of seconds since 1601; None as in `from_filetime`."""
    return None if seconds in (0, _NEVER) else _text(seconds - _FROM_1601, "")


def from_unix(seconds: int) -> str | None:
    """Return ISO text in UTC of seconds since 1970; None for 0 (not set)."""
    return _text(seconds, "") if seconds else None


def _text(seconds: int, fraction: str) -> str | None:
    if not _LEAST <= seconds <= _MOST:
        return None
    return (_EPOCH + dt.timedelta(seconds=seconds)).isoformat() + fraction + "Z"
