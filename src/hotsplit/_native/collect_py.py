"""Collecting index entries and sorting them: part of the reference of the ``integrity`` kernel."""

from __future__ import annotations

import struct

from hotsplit._native.fingerprint_py import Ledger, Place

_SIZES = struct.Struct("<II")


class Collection(Ledger):
    """Takes the place of a ledger and keeps the entries that rows make."""

    def __init__(self) -> None:
        super().__init__(6, False)
        self._items: list[tuple[bytes, bytes]] = []
        self.size = 0

    @property
    def is_watching(self) -> bool:
        """There is no first pass."""
        return True

    def is_watched(self, hash_: int) -> bool:
        """Everything is kept."""
        return True

    def take(self, side: int, key: bytes, data: bytes, count: int, place: Place) -> None:
        """Keep an entry."""
        self._items.append((key, data))
        self.size += len(key) + len(data)

    def run(self) -> bytes:
        """Return all entries in order, equal ones once, and forget them.

        Of each: the lengths of key and data as 32-bit numbers, key and data. size, until then: the
        bytes that the entries have.
        """
        items = sorted(set(self._items))
        self._items, self.size = [], 0
        return b"".join(_SIZES.pack(len(key), len(data)) + key + data for key, data in items)
