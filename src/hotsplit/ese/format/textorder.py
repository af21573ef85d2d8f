"""The order of the Unicode text of an index, as the checks and the rebuilding of indexes need it.

They hold every entry against a key made here, so they take no chances: only versions of sort tables
that are known count as covered, and others are passed over (format specification 13.1 X 61).

Source: format specification 10.4.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from functools import lru_cache

from hotsplit._native.indexkey_py import Order
from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.format.collation import SORT_FLAGS, UNKNOWN, Collation, KeyUnknown, MapFlag
from hotsplit.ese.format.keys import collation_of, unicode_key
from hotsplit.ese.format.sorttable import WINDOWS_7, WINDOWS_8, BuiltIn, sorts_for

_PAGES = 256
_LAST_UNIT, _LAST_ASCII = 0xFFFF, 0x7F
_VISTA, _LAST_KNOWN = 0x50000, 0x603FF  # NLS versions; 6.3 is of Windows 10 and Server 2022
_KEPT = 4096


def text_order(index: IndexDef) -> Order | None:
    """Return the order of the Unicode text of an index, None if it is not covered here."""
    version, flags = index.sort_version, index.lcmap_flags
    sorts = sorts_for(version)
    built_in = isinstance(sorts, BuiltIn)
    last = _LAST_KNOWN if built_in else max(_LAST_KNOWN, sorts.version | 0xFF)
    if not _VISTA <= version <= last or not flags & MapFlag.SORT_KEY or flags & ~SORT_FLAGS:
        return None
    try:
        collation = collation_of(index)
    except (KeyUnknown, ValueError):
        return None
    all_units = not built_in or version >= WINDOWS_8
    weights = collation.weights
    return Order(
        flags,
        collation.flags,
        weights if isinstance(weights, array) else array("I", weights),
        array("I", collation.pages),
        _expansions(collation),
        _LAST_UNIT if all_units else _LAST_ASCII,
        all_units or version >= WINDOWS_7,
        bool(collation.contractions),
        _keys(index),
    )


def _expansions(collation: Collation) -> array[int]:
    """Return two units for each number of an expansion, `UNKNOWN` for a number that is none."""
    pairs = collation.expansions
    known = dict(pairs) if isinstance(pairs, Mapping) else dict(enumerate(pairs))
    found = array("I", [UNKNOWN] * (2 * (max(known, default=-1) + 1)))
    for number, pair in known.items():
        found[2 * number : 2 * number + 2] = array("I", pair)
    return found


def _keys(index: IndexDef) -> Callable[[bytes], bytes | None]:
    """Return what makes the sort key of stored text, None where it is not known."""

    @lru_cache(_KEPT)
    def key(data: bytes) -> bytes | None:
        text = data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")
        try:
            return unicode_key(text, index)
        except KeyUnknown:
            return None

    return key
