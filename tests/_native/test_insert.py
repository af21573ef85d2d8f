"""Planned inserts: the kernel against its reference, and the records against what they must do."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit import _native
from hotsplit._native import insert_py, redo_py
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.recordparts import insert_key
from hotsplit.ese.recovery.core import END, Core

NATIVE = _native.load("redo")
FORMS = [pytest.param(m, id=m.__name__) for m in dict.fromkeys((redo_py, NATIVE))]
KEYS = st.binary(min_size=1, max_size=6)
NODES = st.dictionaries(KEYS, st.binary(min_size=1, max_size=40), max_size=30)
UNIQUE, VERSIONED = 4, 1
PGNO, ABOVE, ELSEWHERE, DBTIME, RCEID = 9, 8, 7, 100, 31


def fields(flags: int) -> insert_py.Fields:
    return 5, 1, DBTIME, 12, 1, flags, RCEID, 7, 6


def plan(
    form: Any,
    page: bytearray,
    keys: list[bytes],
    datas: list[bytes],
    first: int,
    bound: bytes | None,
    fields: insert_py.Fields,
) -> tuple[bytes, list[int]]:
    """Plan nodes for a leaf that is alone, or the first one of two of a tree."""
    core = form.Core(len(page))
    core.load(1, PGNO, bytes(page))
    root = PGNO
    if bound is not None:
        above = Page.new(len(page), ABOVE, 6, DBTIME - 1, PageFlag(0))
        children = [
            Node(bound, PGNO.to_bytes(4, "little")),
            Node(b"", ELSEWHERE.to_bytes(4, "little")),
        ]
        above.fill(b"", children)
        core.load(1, ABOVE, bytes(above.data))
        root = ABOVE
    log, ends, leaves = core.plan(root, keys, datas, first, fields)
    assert leaves == [PGNO] * bool(ends)
    return log, ends


def leaf(nodes: list[tuple[bytes, bytes]], prefix: bytes, kept: int, size: int = 4096) -> bytearray:
    page = Page.new(size, PGNO, 6, DBTIME - 1, PageFlag.LEAF)
    page.fill(prefix, [Node(*node) for node in nodes])
    page.uncommitted_free = kept
    assert isinstance(page.data, bytearray)
    return page.data


@given(
    there=NODES,
    new=NODES,
    prefix=KEYS,
    bound=st.none() | KEYS,
    unique=st.booleans(),
    first=st.integers(0, 3),
    kept=st.integers(0, 4096),
    in_order=st.booleans(),
)
def test_kernel_and_reference_plan_the_same(
    there: dict[bytes, bytes],
    new: dict[bytes, bytes],
    prefix: bytes,
    bound: bytes | None,
    unique: bool,
    first: int,
    kept: int,
    in_order: bool,
) -> None:
    page = leaf(sorted(there.items()), prefix, kept)
    nodes = sorted(new.items()) if in_order else list(new.items())
    keys, datas = [key for key, _ in nodes], [data for _, data in nodes]
    what = keys, datas, first, bound, fields(UNIQUE * unique | VERSIONED)
    assert plan(NATIVE, page, *what) == plan(redo_py, page, *what)


@pytest.mark.parametrize("form", FORMS)
@given(there=NODES, new=NODES, prefix=KEYS, bound=st.none() | KEYS)
def test_replayed_records_put_the_nodes_where_they_belong(
    form: Any,
    there: dict[bytes, bytes],
    new: dict[bytes, bytes],
    prefix: bytes,
    bound: bytes | None,
) -> None:
    page = leaf(sorted(there.items()), prefix, 0)
    nodes = sorted(new.items())
    keys, datas = [key for key, _ in nodes], [data for _, data in nodes]
    log, ends = plan(form, page, keys, datas, 0, bound, fields(UNIQUE))
    taken = nodes[: len(ends)]
    core = Core(4096)
    core.attach(1, 0, 0)
    core.load(1, PGNO, bytes(page))
    core.feed(bytes((8, 5, 0, 0x10)) + bytes(4) + log, 1 << 32, 0, False)  # Begin0 of session 5
    assert core.run() == END
    changed = core.page(1, PGNO)
    assert changed is not None
    found = Page(changed, PGNO)
    assert found.problem() is None
    assert [(n.key, n.data) for n in found.nodes()] == sorted([*there.items(), *taken])
    assert found.dbtime == (DBTIME + len(ends) - 1 if ends else DBTIME - 1)
    if len(taken) < len(nodes):  # why the next one was not taken
        key = nodes[len(taken)][0]
        assert key in there or (bound is not None and key >= bound)


@pytest.mark.parametrize("form", FORMS)
def test_a_leaf_is_filled_to_the_last_byte_and_no_further(form: Any) -> None:
    page = leaf([], b"", 0)
    room = Page(page).free
    size = 100 - 4 - 2 - 2  # of a key of two bytes, with tag and length
    keys = [n.to_bytes(2, "big") for n in range(80)]
    log, ends = plan(form, page, keys, [bytes(size)] * 80, 0, None, fields(UNIQUE | VERSIONED))
    assert len(ends) == room // 100
    kept = Page(page)
    kept.uncommitted_free = room % 100 + 1  # for an undo: one node less
    assert len(plan(form, page, keys, [bytes(size)] * 80, 0, None, fields(UNIQUE))[1]) == (
        room // 100 - 1
    )
    records = [decode(log, start) for start in (0, *ends[:-1])]
    assert [insert_key(r) for r in records] == keys[: len(ends)]
    assert [(r.rceid, r.dbtime, r.dbtime_before) for r in records] == [
        (RCEID + 2 * i, DBTIME + i, DBTIME + i - 1) for i in range(len(ends))
    ]


@pytest.mark.parametrize("form", FORMS)
def test_equal_bookmarks_are_left_to_the_caller(form: Any) -> None:
    page = leaf([(b"b", b"1")], b"", 0)

    def planned(nodes: list[tuple[bytes, bytes]], flags: int) -> int:
        keys, datas = [key for key, _ in nodes], [data for _, data in nodes]
        return len(plan(form, page, keys, datas, 0, None, fields(flags))[1])

    assert planned([(b"a", b""), (b"b", b"2"), (b"c", b"")], UNIQUE) == 1
    assert planned([(b"a", b""), (b"b", b"2"), (b"c", b"")], 0) == 3
    assert planned([(b"a", b""), (b"b", b"1"), (b"c", b"")], 0) == 1
    assert planned([(b"c", b"1"), (b"c", b"2")], UNIQUE) == 1
    assert planned([(b"c", b"1"), (b"c", b"2"), (b"c", b"2")], 0) == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_bound_that_begins_with_a_key_lies_above_it(form: Any) -> None:
    page, keys, bound = leaf([], b"", 0), [b"a", b"ab"], b"ab"
    assert len(plan(form, page, keys, [b"z", b"z"], 0, bound, fields(UNIQUE))[1]) == 1
    assert plan(form, page, keys, [b"z", b"z"], 0, bound, fields(0)) == (b"", [])


@pytest.mark.parametrize("size", [4096, 32768])
def test_damaged_pages_are_refused_alike(size: int) -> None:
    chance = random.Random(7)
    whole = leaf([(bytes((n,)) * 3, bytes(20)) for n in range(1, 60)], b"\x05\x05\x05", 0, size)
    keys = [bytes((n, n)) for n in range(0, 200, 3)]
    what = keys, [b"data"] * len(keys), 0, None, fields(UNIQUE)
    taken = set()
    for _ in range(300):
        page = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            place = chance.choice((chance.randrange(28, 40), size - chance.randrange(1, 240)))
            page[place] = chance.randrange(256)
        found = plan(NATIVE, page, *what)
        assert found == plan(redo_py, page, *what)
        taken.add(bool(found[1]))
    assert taken == {True, False}


@pytest.mark.parametrize("form", FORMS)
def test_wrong_use_is_refused(form: Any) -> None:
    core = form.Core(4096)
    core.load(1, PGNO, bytes(leaf([], b"", 0)))
    for keys, datas, first in ([b"a", b"b"], [b""], 0), ([b"a"], [b""], -1):
        with pytest.raises(ValueError):
            core.plan(PGNO, keys, datas, first, fields(UNIQUE))
