"""The bytes of values that the kernel cannot get at by itself: separated and compressed ones.

Source: format specification 8.3 (long values), 9 (compression).
"""

from __future__ import annotations

from collections.abc import Iterable

from hotsplit.errors import HotsplitError
from hotsplit.ese.format.compression import decompress
from hotsplit.ese.format.longvalue import parse_lid
from hotsplit.ese.read.longvalues import LongValues

_EXPANDED_MOST = 0x7FFF


class RowValues:
    """Values of the rows of one table. tree: its long values, None if it has none."""

    def __init__(self, tree: LongValues | None) -> None:
        self._tree = tree
        self._ready: dict[int, bytes | int] = {}

    def prefetch(self, lids: Iterable[bytes]) -> None:
        """Read these long values at once: `fetch` will be asked for them next."""
        self._ready = {}
        wanted = set()
        for lid in lids:
            try:
                wanted.add(parse_lid(lid))
            except ValueError:
                continue
        if self._tree is not None and wanted:
            self._ready = self._tree.read_many(wanted)

    def fetch(self, separated: bool, data: bytes, most: int) -> bytes | None:
        """Return the bytes of a value, None if nobody can.

        separated: `data` is a long-value id, of which `most` bytes are enough; else a compressed
        value.
        """
        try:
            if not separated:
                return decompress(data, max(most, _EXPANDED_MOST))
            return self._long_value(parse_lid(data), most)
        except (HotsplitError, ValueError):
            return None

    def _long_value(self, lid: int, most: int) -> bytes | None:
        ready = self._ready.get(lid)
        if isinstance(ready, bytes):
            return ready[:most]
        if self._tree is None:
            return None
        found = bytearray()
        for piece in self._tree.stream(lid):
            found += piece
            if len(found) >= most:
                break
        return bytes(found[:most])
