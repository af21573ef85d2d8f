"""Macros that add a page to the end of a tree: in one go they do what their records do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit._native import redo_py
from hotsplit.ese.engine.log.segments import SegmentBuffer
from hotsplit.ese.format.logrecord import NO_DBTIME, decode, encode
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.macros import carry_out
from hotsplit.ese.recovery.pages import PageAccess

native = pytest.importorskip("hotsplit._native.redo", reason="the kernel is not built")

ABOVE, SOURCE, NEW = 9, 10, 11
BEGIN = encode(T.BEGIN0, procid=1, levels=0x10, trx=5)
POSITION = 1 << 32 | 1 << 16
SIZES = st.sampled_from((4096, 8192, 32768))


class Nothing:
    """A database file of no pages."""

    path = "test.edb"

    def read_raw(self, pgno: int) -> bytes:
        return b""


def pages(size: int, external: bytes, flags: int) -> dict[int, bytes]:
    """Return a parent of two leaves, the last of which is given with its nodes."""
    above = Page.new(size, ABOVE, 4, 10, flags | PageFlag.PARENT_OF_LEAF)
    above.fill(external, [Node(b"key2", b"\7\0\0\0"), Node(b"", SOURCE.to_bytes(4, "little"))])
    source = Page.new(size, SOURCE, 4, 10, PageFlag.LEAF)
    source.fill(b"key", [Node(b"key%d" % n, b"data") for n in range(2, 6)])
    return {ABOVE: bytes(above.data), SOURCE: bytes(source.data)}


def macro(**changes: Any) -> list[bytes]:
    """Return the records of such a macro, some fields otherwise: (record's number)_(field)."""
    page = {"procid": 1, "dbid": 1, "dbtime": 20, "fdp": 9, "objid": 4, "flags": 5}
    fields: list[dict[str, Any]] = [
        {"type_": T.MACRO_BEGIN, "procid": 1, "dbtime": 20},
        page | {"type_": T.SPLIT2, "pgno": ABOVE, "dbtime_before": 10},
        page
        | {"type_": T.SPLIT2, "pgno": SOURCE, "dbtime_before": 10, "pgno_new": NEW}
        | {"split_type": 2, "split_operation": 1, "iline_operation": 4, "iline_split": 4}
        | {"line_count": 5, "new_page_flags": int(PageFlag.LEAF), "iline_prefix_new": -1}
        | {"parent_key": b"key6", "old_prefix": b"key", "uncommitted_free_target": 30},
        page
        | {"type_": T.INSERT, "pgno": SOURCE, "dbtime_before": NO_DBTIME, "rceid": 3, "level": 1}
        | {"suffix": b"key6", "data": b"new"},
        {"type_": T.MACRO_COMMIT, "procid": 1, "dbtime": 20},
    ]
    for name, value in changes.items():
        number, _, field = name.partition("_")
        fields[int(number[1:])][field] = value
    return [encode(**one) for one in fields]


def ready(module: Any, size: int, given_pages: dict[int, bytes]) -> Any:
    core = module.Core(size)
    core.attach(1, 0, 100)
    for pgno, data in given_pages.items():
        core.load(1, pgno, data)
    return core


def state(core: Any) -> list[Any]:
    """Return all that a replay leaves in memory."""
    found = [core.page(1, pgno) for pgno in (ABOVE, SOURCE, NEW)]
    return [
        [None if page is None else bytes(page) for page in found],
        *(core.dirty_pages(1), core.counters(1), core.open_sessions()),
    ]


def run(core: Any, stream: bytes, framed: bool = False) -> list[Any]:
    """Run a stream to its end; return what can be seen of it. Missing new pages are empty."""
    core.feed(stream, POSITION, 0, framed)
    seen: list[Any] = []
    for _ in range(len(stream) + 1):
        code = core.run()
        seen.append((code, core.position, core.missing))
        if code == redo_py.NEW:
            core.load(1, core.missing[1], bytes(core.page_size))
        elif code == redo_py.RECORD:
            seen.append(core.record)
        elif code in (redo_py.END, redo_py.DAMAGED):
            break
        else:
            core.skip_record()
    return [*seen, core.records, core.volume, core.redone, core.skipped]


@given(
    size=SIZES,
    key=st.sampled_from((b"key6", b"key5x", b"kez", b"z", b"key" + b"9" * 90)),
    data=st.binary(max_size=40) | st.just(b"d" * 3000),
    external=st.sampled_from((b"", b"key", b"ke")),
    flags=st.sampled_from((0, int(PageFlag.ROOT), int(PageFlag.INDEX | PageFlag.SCRUBBED))),
    node_flags=st.sampled_from((0, 1, 4, 5)),
    free=st.integers(-5, 5000),
    target=st.sampled_from((None, 0, 5, 0x18000)),
)
@pytest.mark.parametrize("module", [redo_py, native])
@settings(max_examples=150, deadline=None)
def test_it_does_what_its_records_do(
    module: Any, size: int, key: bytes, data: bytes, external: bytes, flags: int,
    node_flags: int, free: int, target: int | None,
) -> None:  # fmt: skip
    records = macro(
        r2_parent_key=key, r3_suffix=key, r3_data=data, r3_flags=node_flags,
        r2_uncommitted_free_target=free, r2_uncommitted_free_source=free,
    )  # fmt: skip
    before = pages(size, b"" if flags & PageFlag.ROOT else external, flags)
    if target is not None:  # the new page is there: an old one of any flush type
        before[NEW] = bytes(Page.new(size, NEW, 3, 5, target).data)
    core, plain = ready(module, size, before), ready(module, size, before)
    seen = run(core, BEGIN + b"".join(records))
    if target is None:
        assert [step[0] for step in seen[:2]] == [redo_py.NEW, redo_py.END]
    else:
        assert seen[0][0] == redo_py.END
    assert core.records == 6

    plain.feed(BEGIN, POSITION, 0, False)
    assert plain.run() == redo_py.END
    access = PageAccess(plain, size, 1 << 20)
    access.stores[1], access.required[1] = Nothing(), 100  # type: ignore[assignment]
    for record in records[1:4]:
        plain.note(1, 20, decode(record).objid)
    carry_out(access, [decode(record) for record in records[1:4]])
    assert state(core) == state(plain)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "r0_dbtime": st.sampled_from((19, 20)),
        "r1_pgno": st.sampled_from((ABOVE, SOURCE, 77)),
        "r1_dbtime_before": st.sampled_from((10, 9, NO_DBTIME)),
        "r1_pgno_new": st.sampled_from((0, NEW)),
        "r2_dbtime_before": st.sampled_from((10, 11)),
        "r2_dbid": st.sampled_from((1, 2)),
        "r2_pgno": st.sampled_from((SOURCE, ABOVE, 77)),
        "r2_pgno_new": st.sampled_from((NEW, SOURCE, ABOVE, 0)),
        "r2_pgno_right": st.sampled_from((0, 5)),
        "r2_split_type": st.integers(0, 3),
        "r2_split_operation": st.integers(0, 2),
        "r2_iline_operation": st.sampled_from((3, 4)),
        "r2_iline_split": st.sampled_from((3, 4)),
        "r2_line_count": st.sampled_from((4, 5)),
        "r2_iline_prefix_new": st.sampled_from((-1, 0)),
        "r2_parent_key": st.sampled_from((b"", b"key1", b"key6", b"k" * 2500)),
        "r2_image": st.sampled_from((b"", b"i" * 9)),
        "r3_procid": st.sampled_from((1, 2)),
        "r3_data": st.sampled_from((b"", b"x" * 4000, b"x" * 5000, b"x" * 32000)),
        "r3_flags": st.integers(0, 7),
        "r4_procid": st.sampled_from((1, 2)),
    },
)


@given(
    size=SIZES,
    changes=CHANGES,
    begun=st.booleans(),
    left_out=st.sets(st.integers(0, 4), max_size=1),
    first=st.integers(3400, 4100) | st.just(0),
    between=st.sampled_from((b"", BEGIN, encode(T.MACRO_BEGIN, procid=1, dbtime=20))),
    framed=st.booleans(),
    page_flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=3),
    flip=st.tuples(st.integers(0, 2**16), st.sampled_from((0, 0, 1, 64))),
    cut=st.integers(0, 3),
)
@settings(max_examples=400, deadline=None)
def test_kernel_and_reference_do_the_same(
    size: int, changes: dict[str, Any], begun: bool, left_out: set[int], first: int, between: bytes,
    framed: bool, page_flips: list[tuple[int, int]], flip: tuple[int, int], cut: int,
) -> None:  # fmt: skip
    records = [record for n, record in enumerate(macro(**changes)) if n not in left_out]
    if between:
        records.insert(len(records) // 2, between)
    records = [encode(T.TRACE, procid=1, text=b"t" * first), *begun * [BEGIN], *records]
    stream = bytearray(segments(records) if framed else b"".join(records))
    stream[flip[0] % len(stream)] ^= flip[1]
    data = bytes(stream[: len(stream) - cut])
    before = pages(size, b"key", 0)
    damaged = bytearray(before[ABOVE])
    for at, bits in page_flips:
        damaged[(28 + at % 12) if at & 1 else size - 1 - at % 20] ^= bits
    before[ABOVE] = bytes(damaged)
    results = []
    for module in (native, redo_py):
        core = ready(module, size, before)
        results.append([run(core, data, framed), state(core)])
    assert results[0] == results[1]


def segments(records: list[bytes]) -> bytes:
    """Return records as they lie in a log: what does not fit a segment is in parts."""
    buffer = SegmentBuffer(1, 64)
    for record in records:
        buffer.append(record)
    buffer.close_segment()
    return b"".join(bytes(40) + body.ljust(4056, b"\0") for body in buffer.take()[1])


def both(stream: bytes, *, framed: bool) -> list[Any]:
    """Return what both kernels made of a stream on the given pages."""
    results = []
    for module in (native, redo_py):
        core = ready(module, 8192, pages(8192, b"key", 0))
        results.append([run(core, stream, framed), state(core)])
    assert results[0] == results[1]
    return results[0]


def test_a_macro_that_lies_in_several_segments() -> None:
    for first in range(3500, 4060, 3):
        records = [encode(T.TRACE, procid=1, text=b"t" * first), BEGIN, *macro(r3_data=b"d" * 3000)]
        seen, _ = both(segments(records), framed=True)
        assert [step[0] for step in seen[:2]] == [redo_py.NEW, redo_py.END]


def test_a_beginning_in_parts_is_left_to_the_caller() -> None:
    begin, *others = macro()
    parts = encode(T.FRAGMENT_BEGIN, total_size=len(begin), fragment=begin[:5])
    parts += encode(T.FRAGMENT, fragment=begin[5:])
    seen, _ = both(BEGIN + parts + b"".join(others), framed=False)
    assert seen[1] == begin


def test_a_page_that_is_there_already_is_told_by_its_dbtime() -> None:
    access = PageAccess(native.Core(4096), 4096, 1 << 20)
    page = Page.new(4096, NEW, 4, 30, PageFlag.LEAF)

    class One(Nothing):
        def read_raw(self, pgno: int) -> bytes:
            return bytes(page.data)

        def read_page(self, pgno: int) -> bytes:
            return bytes(page.data)

    access.stores[1] = One()  # type: ignore[assignment]
    for pgno, data in pages(4096, b"", 0).items():
        access.core.load(1, pgno, data)
    access.core.attach(1, 0, 100)
    access.core.feed(BEGIN + b"".join(macro()), POSITION, 0, False)
    assert access.core.run() == redo_py.NEW
    access.missing_new(*access.core.missing)
    assert access.core.run() == redo_py.RECORD  # newer than the macro: not so simple
    assert access.core.record[0] == T.MACRO_BEGIN
    assert access.core.page(1, NEW) == page.data
