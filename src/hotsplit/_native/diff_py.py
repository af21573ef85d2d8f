"""The after image of a ReplaceD record. Source: log specification 4.4."""

from __future__ import annotations


def after_image(old: bytes, diff: bytes, large: bool, limit: int) -> bytes:
    """Apply a diff stream to the old data of a node.

    large: the format of pages above 8 KB; limit: bytes that the result may have at most.
    Raises ValueError when the stream does not fit the old data.
    """
    out = bytearray()
    at = pos = 0
    while at < len(diff):
        head = int.from_bytes(diff[at : at + 2], "little")
        if large:
            offset, bits = head, diff[at + 2] if at + 2 < len(diff) else 0
            at += 3
        else:
            offset, bits = head & 0x1FFF, head >> 8 & 0xE0
            at += 2
        width = 2 if bits & 0x80 else 1
        new = int.from_bytes(diff[at : at + width], "little")
        at += width
        gone = 0 if bits & 0x40 else new
        if not bits & 0x60:
            gone = int.from_bytes(diff[at : at + width], "little")
            at += width
        if offset < pos or offset + gone > len(old) or at + new > len(diff):
            raise ValueError("a difference does not fit the data that it changes")
        out += old[pos:offset] + diff[at : at + new]
        at += new
        pos = offset + gone
        if len(out) > limit:
            raise ValueError("a difference makes the data too long")
    out += old[pos:]
    return bytes(out)
