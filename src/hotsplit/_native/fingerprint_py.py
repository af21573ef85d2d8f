"""Comparing two multisets in constant memory: part of the reference of the ``integrity`` kernel.

Every item has a hash of 64 bits; its top bits choose a bucket. A bucket holds the sum of the hashes
of one side minus those of the other: zero where both sides hold the same items. In the distinct
form it holds one bit a side. A second pass hands out the items of buckets that differ.
"""

from __future__ import annotations

import struct
from typing import Any

ROWS, ENTRIES = 0, 1
_MASK = (1 << 64) - 1
_K = 0x9E3779B97F4A7C15
_K2 = 0xBF58476D1CE4E5B9

Place = tuple[int, int]
"""(page, node)"""


def hash_bytes(seed: int, data: bytes) -> int:
    """Hash words of 8 bytes, the last one padded with zeros; the length is part of the hash."""
    h = ((seed ^ len(data)) * _K) & _MASK
    words = struct.unpack(f"<{(len(data) + 7) // 8}Q", data.ljust((len(data) + 7) // 8 * 8, b"\0"))
    for word in words:
        h = ((h ^ word) * _K) & _MASK
        h ^= h >> 29
    h = (h * _K2) & _MASK
    return h ^ h >> 32


def hash_number(number: int) -> int:
    """Hash a number of 64 bits."""
    return hash_bytes(0, number.to_bytes(8, "little"))


class Ledger:
    """Two sides of items, entered by hash; see the module.

    bits: 2 to the power of it is the number of buckets. distinct: only whether an item occurs
    counts, not how often. found: after `watch`, by item: how often each side has it, and where.
    missed: items that did not fit into `found`.
    """

    def __init__(self, bits: int, distinct: bool) -> None:
        if not 6 <= bits <= 32:
            raise ValueError(f"2 to the {bits} buckets")
        self.bits = bits
        self.found: dict[tuple[bytes, bytes], list[Any]] = {}
        self.missed = 0
        self._distinct = distinct
        self._sums: dict[int, int] = {}
        self._sides: tuple[set[int], set[int]] = (set(), set())
        self._counts = [0, 0]
        self._watched: set[int] | None = None
        self._most = 0

    @property
    def counts(self) -> tuple[int, int]:
        """How many items each side entered in the first pass."""
        return self._counts[0], self._counts[1]

    def enter(self, side: int, hash_: int, count: int) -> None:
        """Enter `count` times the item with this hash."""
        bucket = hash_ >> 64 - self.bits
        self._counts[side] += count
        if self._distinct:
            self._sides[side].add(bucket)
            return
        amount = count * hash_ if side == ROWS else -count * hash_
        self._sums[bucket] = (self._sums.get(bucket, 0) + amount) & _MASK

    @property
    def is_watching(self) -> bool:
        """True in the second pass."""
        return self._watched is not None

    def is_watched(self, hash_: int) -> bool:
        """True if the item with this hash is wanted in the second pass."""
        return self._watched is not None and hash_ >> 64 - self.bits in self._watched

    def take(self, side: int, key: bytes, data: bytes, count: int, place: Place) -> None:
        """Take an item in the second pass. A record has no two equal entries (key and data)."""
        item = self.found.get((key, data))
        if item is None:
            if len(self.found) >= self._most:
                self.missed += 1
                return
            item = self.found[key, data] = [0, 0, None, None]
        if side == ROWS and key and data and item[2] == place:
            return
        item[side] += count
        if item[2 + side] is None:
            item[2 + side] = place

    def _buckets(self, subset: bool) -> list[int]:
        if not self._distinct:
            return sorted(bucket for bucket, total in self._sums.items() if total)
        rows, entries = self._sides
        return sorted(entries - rows if subset else entries ^ rows)

    def differing(self, subset: bool) -> int:
        """Return how many buckets differ. subset: rows may lack entries (distinct form)."""
        return len(self._buckets(subset))

    def watch(self, buckets: int, items: int, subset: bool) -> None:
        """Begin the second pass: from now on items of the first differing buckets are taken."""
        self._watched = set(self._buckets(subset)[:buckets])
        self._most = items
