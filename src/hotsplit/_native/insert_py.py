"""Nodes that are inserted in one go: the readable reference of that part of the ``redo`` kernel.

Nothing is changed here: the records that come out are logged and then applied by the replay kernel.

Source: log specification 4.1, 4.6 (Insert); format specification 2.5, 3.2.
"""

from __future__ import annotations

import struct

from hotsplit._native import tree_py as tree

UNIQUE = 4
_INSERT, _MASK = 29, 0xFFFFFFFF
_MOST_TAGS = 0xFF0
_HEAD = struct.Struct("<BHBIQQIBHBIIIHHH")
_COST, _SHARED_COST = 6, 8  # bytes of a node beside its key and data: tag and lengths
_SIZES = (2048, 4096, 8192, 16384, 32768)

Fields = tuple[int, int, int, int, int, int, int, int, int]
"""procid, dbid, dbtime, trx, level, flags, rceid, fdp, objid of the first record."""


def plan(
    page: bytearray,
    keys: list[bytes],
    datas: list[bytes],
    first: int,
    bound: bytes | None,
    pgno: int,
    fields: Fields,
) -> tuple[bytes, list[int]]:
    """Return the Insert records of nodes that go to leaf `pgno`, and where each of them ends.

    Of the nodes from number `first` on those are taken that ascend, lie below the bookmark `bound`
    (None: the leaf is the last one), are not on the page and fit it. Each record has a dbtime that
    is higher by 1 than that of the one before, and a version number that is higher by 2. Raises
    ValueError for a damaged page.
    """
    if len(page) not in _SIZES:
        raise ValueError(f"a page of {len(page)} bytes")
    if first < 0 or len(datas) < len(keys):
        raise ValueError("a node without a key or data")
    procid, dbid, dbtime, trx, level, flags, rceid, fdp, objid = fields
    unique = bool(flags & UNIQUE)
    room = max(0, int.from_bytes(page[28:30], "little") - int.from_bytes(page[30:32], "little"))
    lines = page[34] | (page[35] & 0xF) << 8
    before = int.from_bytes(page[8:16], "little")
    log, ends = bytearray(), list[int]()
    tree.shared(page, b"")  # the prefix must hold together
    for number, (key, data) in enumerate(zip(keys[first:], datas[first:], strict=False)):
        if bound is not None and (key if unique else key + data) >= bound:
            break
        if number and not _above(key, data, keys, datas, first + number - 1, unique):
            break
        shared = tree.shared(page, key)
        need = len(key) - shared + len(data) + (_SHARED_COST if shared else _COST)
        if lines + number >= _MOST_TAGS or need > room:
            break
        line, exact = _find(page, key, None if unique else data)
        if exact:
            break
        room -= need
        log += _HEAD.pack(
            _INSERT, procid, dbid, pgno, dbtime + number, before, trx, level, line + number, flags,
            (rceid + 2 * number) & _MASK if rceid else 0, fdp, objid,
            len(key) - shared, shared, len(data),
        ) + key + data  # fmt: skip
        before = dbtime + number
        ends.append(len(log))
    return bytes(log), ends


def _above(
    key: bytes, data: bytes, keys: list[bytes], datas: list[bytes], before: int, unique: bool
) -> bool:
    if unique:
        return key > keys[before]
    return (key, data) > (keys[before], datas[before])


def _find(page: bytearray, key: bytes, data: bytes | None) -> tuple[int, bool]:
    """Return the line of a new node, and whether it is there; first a look at the last one."""
    count = tree.count(page)
    if count:
        last, content, _ = tree.node(page, count - 1)
        if (last, content if data is not None else b"") < (key, data or b""):
            return count, False
    return tree.find(page, key, data)
