"""Long values: ids, keys, chunk sizes, the root node.

Source: format specification 8.1 (tree), 8.2 (chunk size).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_ROOT = struct.Struct("<II")
_LID64 = 1 << 63
BEING_DELETED = 0xFFFFFFFF  # reference count of a long value that is partly deleted
MOST_BYTES = 0x7FFFFFFF
_CHUNK_OVERHEAD = 82
_LARGE_CHUNKS = {16384: 4050, 32768: 8150}


class LongValueRoot(NamedTuple):
    """The root node of a long value: how many records share it, its size in bytes, flags."""

    references: int
    size: int
    flags: int = 0

    @classmethod
    def unpack(cls, data: bytes) -> LongValueRoot:
        """Read 8 or 9 bytes. Raises ValueError."""
        if len(data) not in (_ROOT.size, _ROOT.size + 1):
            raise ValueError(f"the root of a long value has {len(data)} bytes")
        references, size = _ROOT.unpack_from(data)
        return cls(references, size, data[_ROOT.size] if len(data) > _ROOT.size else 0)

    def pack(self) -> bytes:
        """Return 8 bytes, or 9 if there are flags."""
        tail = bytes([self.flags]) if self.flags else b""
        return _ROOT.pack(self.references, self.size) + tail

    @property
    def is_encrypted(self) -> bool:
        """True if only the application can read the chunks."""
        return bool(self.flags & 1)


def parse_lid(data: bytes) -> int:
    """Return the long-value id that a record holds, 4 or 8 bytes. Raises ValueError."""
    lid = int.from_bytes(data, "little")
    if len(data) not in (4, 8) or not lid or (len(data) == 8) != bool(lid & _LID64):
        raise ValueError(f"no long-value id: {data[:8].hex()}")
    return lid


def pack_lid(lid: int) -> bytes:
    """Return a long-value id as a record holds it."""
    return lid.to_bytes(8 if lid & _LID64 else 4, "little")


def root_key(lid: int) -> bytes:
    """Return the key of the root node of a long value."""
    return lid.to_bytes(8 if lid & _LID64 else 4, "big")


def chunk_key(lid: int, offset: int) -> bytes:
    """Return the key of the chunk that starts at `offset`."""
    return root_key(lid) + offset.to_bytes(4, "big")


def split_key(key: bytes) -> tuple[int, int | None]:
    """Return (id, offset of the chunk or None for the root). Raises ValueError."""
    wide = len(key) in (8, 12) and bool(key[0] & 0x80)
    size = 8 if wide else 4
    if len(key) not in (size, size + 4):
        raise ValueError(f"no key of a long value: {key[:16].hex()}")
    offset = int.from_bytes(key[size:], "big") if len(key) > size else None
    return int.from_bytes(key[:size], "big"), offset


def chunk_size(page_size: int) -> int:
    """Return the bytes of a full chunk, unless the catalog says otherwise (LVChunkMax)."""
    return _LARGE_CHUNKS.get(page_size, page_size - _CHUNK_OVERHEAD)
