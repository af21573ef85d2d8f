"""Numbers and bytes that break programs."""

from __future__ import annotations

import random

EDGES = (0, 1, 2, 3, 4, 7, 8, 16, 39, 40, 79, 80, 127, 128, 255, 256, 512, 4056, 4095, 4096)


class Chance(random.Random):
    """Reproducible chance with a taste for limits."""

    def once_in(self, n: int) -> bool:
        """Return True in one of `n` cases."""
        return self.randrange(n) == 0

    def number(self, size: int, old: int = 0) -> int:
        """Return a number of `size` bytes: a limit, something near `old`, or any."""
        top = 1 << 8 * size
        kind = self.randrange(6)
        if kind == 0:
            return self.choice(EDGES) % top
        if kind == 1:
            return (top - 1 - self.choice(EDGES)) % top
        if kind == 2:
            return (old + self.choice((-1, 1)) * self.choice(EDGES)) % top
        if kind == 3:
            return old ^ 1 << self.randrange(8 * size)
        if kind == 4:
            return (top >> self.randrange(1, 4)) + self.randrange(-2, 3) & top - 1
        return self.getrandbits(8 * size)

    def blob(self, most: int, *, exactly: bool = False) -> bytes:
        """Return up to `most` bytes: zeros, ones, any, or a pattern."""
        size = most if exactly else self.randrange(most + 1)
        kind = self.randrange(4)
        if kind == 0:
            return bytes(size)
        if kind == 1:
            return b"\xff" * size
        if kind == 2:
            return self.randbytes(size)
        return (self.randbytes(self.randrange(1, 5)) * size)[:size]

    def spoil(self, data: bytearray, start: int, end: int) -> None:
        """Change a number, a bit or a few bytes somewhere in `data[start:end]`."""
        if end <= start:
            return
        at = self.randrange(start, end)
        kind = self.randrange(8)
        if kind == 0:
            data[at] ^= 1 << self.randrange(8)
        elif kind == 1:
            piece = self.blob(min(32, end - at))
            data[at : at + len(piece)] = piece
        elif kind == 2:
            other = self.randrange(start, end)
            count = min(self.randrange(1, 65), end - at, end - other)
            data[at : at + count] = data[other : other + count]
        else:
            size = min(self.choice((1, 2, 2, 4, 4, 8)), end - at)
            self.put(data, at, size)

    def put(self, data: bytearray, at: int, size: int) -> None:
        """Change the little-endian number of `size` bytes at `at`."""
        old = int.from_bytes(data[at : at + size], "little")
        data[at : at + size] = self.number(size, old).to_bytes(size, "little")
