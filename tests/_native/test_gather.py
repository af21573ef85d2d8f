"""Gathering long values and searching pages: the compiled code equals its reference."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from hotsplit._native import gather_py, lookup_py
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from tests.conftest import unpack_vector

batch = pytest.importorskip("hotsplit._native.batch", reason="the compiled kernel is not built")
lookup = pytest.importorskip("hotsplit._native.lookup", reason="the compiled kernel is not built")


@pytest.fixture(scope="module", params=["crash-p4096-ckpt", "crash-p32768-w10"])
def database(request: pytest.FixtureRequest, shared: Path) -> Any:
    with Database.open(OsEnv(), str(unpack_vector(request.param) / "recovered" / "test.edb")) as db:
        yield db


def outcome(work: Any, *args: Any) -> Any:
    try:
        return work(*args)
    except ValueError as error:
        return str(error)


def changed(page: bytes, random_: random.Random) -> bytes:
    data = bytearray(page)
    for _ in range(random_.choice([0, 2, 20])):
        data[random_.randrange(28, len(data))] = random_.randrange(256)
    return bytes(data)


def test_searching_equals(database: Database) -> None:
    random_ = random.Random(2)
    for pgno in range(1, 120):
        try:
            page = database.source.read_page(pgno)
        except Exception:
            continue
        keys = [node[0] for node in lookup_py.nodes(page) if node] or [b"\x7f"]
        for _ in range(4):
            data = changed(page, random_)
            key = random_.choice(keys) + random_.choice([b"", b"\0", b"\xff"])
            for name, args in {
                "nodes": (random_.choice([0, 1, 5]),),
                "children": (),
                "child_for": (key,),
                "lower_bound": (key,),
            }.items():
                assert outcome(getattr(lookup, name), data, *args) == outcome(
                    getattr(lookup_py, name), data, *args
                )


@pytest.mark.parametrize("damage", [False, True])
def test_gathering_equals(database: Database, damage: bool) -> None:
    """All ids and some that are not there, from leaves in a row, sound or damaged."""
    random_ = random.Random(4)
    for table in database:
        if not table.definition.long_value_root:
            continue
        tree = table.long_values().tree
        leaves = list(tree.leaves())
        lids = sorted({int.from_bytes(n.key[: _size(n.key)], "big") for n in tree.nodes()})
        for budget in (1 << 24, 3000):
            wanted = sorted({*random_.sample(lids, len(lids) // 2 + 1), lids[-1] + 1, 5})
            pages = [bytes(leaf.data) for leaf in leaves]
            if damage:
                pages = [changed(page, random_) for page in pages]
            both = [
                _gather(kernel, wanted, table.long_values().chunk, budget, leaves, pages)
                for kernel in (batch, gather_py)
            ]
            assert both[0] == both[1]
            if not damage and budget > 3000:
                assert {state for state, _, _ in both[0][1]} >= {batch.FOUND, batch.HARD}


@pytest.mark.parametrize("kernel", [batch, gather_py])
def test_a_node_that_cannot_be_read_costs_no_other_value(database: Database, kernel: Any) -> None:
    """Each node of a few leaves in turn gets a key longer than its line: what is found is true."""
    for table in database:
        if not table.definition.long_value_root:
            continue
        values = table.long_values()
        leaves = list(values.tree.leaves())
        lids = sorted({int.from_bytes(n.key[: _size(n.key)], "big") for n in values.tree.nodes()})
        truth = {lid: values.read(lid) for lid in lids}
        for leaf in leaves[1:3]:
            for number in range(leaf.node_count):
                pages = [_broken(x, number) if x is leaf else bytes(x.data) for x in leaves]
                result = _gather(kernel, lids, values.chunk, 1 << 24, leaves, pages)[1]
                found = {
                    lid: data
                    for lid, (state, _, data) in zip(lids, result, strict=True)
                    if state == batch.FOUND
                }
                assert found == {lid: truth[lid] for lid in found}
                assert found


def _broken(leaf: Any, number: int) -> bytes:
    """Return a leaf with a node whose key does not fit its line."""
    data = bytearray(leaf.data)
    line = number + leaf.reserved_tags
    tag = int.from_bytes(data[len(data) - 4 * line - 2 : len(data) - 4 * line], "little")
    start = leaf.header_size + (tag & (0x1FFF if leaf.size <= 8192 else 0x7FFF))
    data[start] = 0xFF
    data[start + 1] |= 0x1F
    data[start + 2 : start + 4] = b"\xff\xff"
    return bytes(data)


def _size(key: bytes) -> int:
    return 8 if key[0] & 0x80 else 4


def _gather(
    kernel: Any, wanted: list[int], chunk: int, budget: int, leaves: list[Any], pages: list[bytes]
) -> Any:
    gather = kernel.Gather(wanted, chunk, budget)
    steps = []
    size, objid = leaves[0].size, leaves[0].objid
    while gather.wanted is not None:
        key = gather.wanted
        for leaf, page in zip(leaves, pages, strict=True):
            steps.append(
                (
                    gather.walk(page, b"\0", 0, leaf.number, size, objid, leaf.number),
                    gather.wanted,
                    gather.is_inside,
                )
            )
        if gather.wanted == key:
            gather.miss()
    return steps, gather.results()
