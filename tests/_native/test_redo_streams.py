"""Streams of any records, damaged at will: the replay kernel and its reference do the same.

Both get the stream as a buffer that ends with its last byte, so that under the sanitizer (see
`fuzz.sanitize`) a byte read behind a record is noticed. A delete once was: it ends in front of the
two sizes that every longer record of a node has.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotsplit._native import redo_py
from hotsplit.ese.format.logrecord import NO_DBTIME, encode
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T

native = pytest.importorskip("hotsplit._native.redo", reason="the kernel is not built")

NODE_RECORDS = (
    T.INSERT,
    T.FLAG_INSERT,
    T.FLAG_INSERT_AND_REPLACE,
    T.FLAG_DELETE,
    T.REPLACE,
    T.REPLACE_DIFF,
    T.DELETE,
    T.UNDO_INFO,
    T.DELTA,
    T.SET_EXTERNAL_HEADER,
    T.UNDO,
    T.DELTA64,
)
PARTS = {
    T.INSERT: ("prefix", "suffix", "data"),
    T.FLAG_INSERT: ("key", "data"),
    T.FLAG_INSERT_AND_REPLACE: ("key", "data"),
    T.REPLACE: ("change",),
    T.REPLACE_DIFF: ("change",),
    T.UNDO_INFO: ("key", "bookmark_data", "data"),
    T.DELTA: ("key", "bookmark_data"),
    T.SET_EXTERNAL_HEADER: ("data",),
    T.UNDO: ("key", "bookmark_data"),
    T.DELTA64: ("key", "bookmark_data"),
}
NUMBERS = {
    T.FLAG_INSERT_AND_REPLACE: {"rceid_replace": st.integers(0, 4)},
    T.REPLACE: {"old_size": st.sampled_from((4, 8, 12)), "new_size": st.integers(0, 12)},
    T.REPLACE_DIFF: {"old_size": st.sampled_from((4, 8, 12)), "new_size": st.integers(0, 12)},
    T.UNDO_INFO: {"operation": st.integers(0, 4)},
    T.DELTA: {"delta": st.integers(-(2**31), 2**31 - 1), "offset": st.integers(0, 9)},
    T.DELTA64: {"delta": st.integers(-(2**63), 2**63 - 1), "offset": st.integers(0, 9)},
    T.UNDO: {"operation": st.sampled_from((1, 2, 3, 4, 9))},
}
KEYS = (b"", b"a", b"ab", b"abc", b"abd", b"b", b"zz")


@st.composite
def node_records(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(NODE_RECORDS))
    fields: dict[str, Any] = {
        "procid": 1,
        "dbid": 1,
        "pgno": draw(st.sampled_from((9, 10))),
        "fdp": 9,
        "objid": 4,
        "level": draw(st.integers(0, 2)),
        "dbtime": draw(st.integers(11, 20)),
        "dbtime_before": NO_DBTIME,
        "iline": draw(st.integers(0, 4)),
        "flags": draw(st.integers(0, 7)),
        "rceid": draw(st.integers(0, 4)),
    }
    for part in PARTS.get(kind, ()):
        fields[part] = draw(st.sampled_from(KEYS) | st.binary(max_size=12))
    for name, values in NUMBERS.get(kind, {}).items():
        fields[name] = draw(values)
    return encode(kind, **fields)


def parts(record: bytes, at: int) -> bytes:
    """Return the record as two fragments, as if the end of a segment cut it at `at`."""
    head, tail = record[:at], record[at:]
    return encode(T.FRAGMENT_BEGIN, total_size=len(record), fragment=head) + encode(
        T.FRAGMENT, fragment=tail
    )


BEGIN = encode(T.BEGIN0, procid=1, levels=0x10, trx=5)
SESSION_RECORDS = st.sampled_from(
    (
        BEGIN,
        encode(T.BEGIN, procid=1, levels=0x11),
        encode(T.COMMIT0, procid=1),
        encode(T.ROLLBACK, procid=1, levels=1),
        encode(T.MACRO_BEGIN, procid=1, dbtime=12),
        b"\0",
    )
)
FRAGMENTS = st.builds(parts, node_records(), st.integers(0, 60))
STREAMS = st.builds(
    lambda begin, records: begin * BEGIN + b"".join(records),
    st.booleans() | st.just(True),
    st.lists(node_records() | SESSION_RECORDS | FRAGMENTS, min_size=1, max_size=8),
)


def pages(size: int) -> list[bytes]:
    """Return a leaf with a prefix and a leaf without: some nodes deleted, some compressed."""
    first = Page.new(size, 9, 4, 10, PageFlag.LEAF | PageFlag.SCRUBBED)
    first.fill(b"ab", [])
    for line, (key, data) in enumerate([(b"a", bytes(4)), (b"abc", bytes(8)), (b"b", bytes(12))]):
        first.insert(line, key, data)
    second = Page.new(size, 10, 4, 10, PageFlag.LEAF)
    for line, key in enumerate((b"abc", b"abd", b"b")):
        second.insert(line, key, bytes(8), flags=2 * (line & 1))
    return [bytes(first.data), bytes(second.data)]


def everything(core: Any, stream: bytes, given_pages: list[bytes], framed: bool) -> list[Any]:
    """Run the stream to its end; return all that can be seen of it."""
    seen: list[Any] = []
    core.attach(1, 0, 100)
    for pgno, data in zip((9, 10), given_pages, strict=True):
        core.load(1, pgno, data)
    core.feed(stream, 1 << 32 | 1 << 16, 0, framed)
    for _ in range(len(stream) + 1):
        code = core.run()
        seen.append((code, core.position, core.record if code == redo_py.RECORD else b""))
        if code == redo_py.END or code == redo_py.DAMAGED:
            break
        if code != redo_py.RECORD:
            core.skip_record()
    seen.append((core.records, core.volume, core.redone, core.skipped, core.counters(1)))
    seen.append([bytes(core.page(1, pgno)) for pgno in (9, 10)])
    if code != redo_py.DAMAGED:  # then what else happened is of no use to anyone
        seen.append(core.open_sessions())
    return seen


@given(
    stream=STREAMS,
    size=st.sampled_from((4096, 32768)),
    framed=st.booleans(),
    flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=2),
    page_flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=2),
    cut=st.integers(0, 3),
)
@example(
    stream=BEGIN
    + encode(T.FLAG_DELETE, procid=1, dbid=1, pgno=9, dbtime=11, dbtime_before=NO_DBTIME),
    size=4096,
    framed=True,
    flips=[],
    page_flips=[],
    cut=0,
)
@settings(max_examples=600, deadline=None)
def test_kernel_and_reference_do_the_same(
    stream: bytes,
    size: int,
    framed: bool,
    flips: list[tuple[int, int]],
    page_flips: list[tuple[int, int]],
    cut: int,
) -> None:
    data = bytearray(40 * framed) + bytearray(stream[: len(stream) - cut])
    for at, bits in flips:
        if data:
            data[at % len(data)] ^= bits
    first, second = pages(size)
    damaged = bytearray(first)
    for at, bits in page_flips:
        # Where it hurts: the header's counts, and the tags at the page's end.
        damaged[(28 + at % 12) if at & 1 else size - 1 - at % 20] ^= bits
    given_pages = [bytes(damaged), second]
    ours = everything(native.Core(size), bytes(data), given_pages, framed)
    assert ours == everything(redo_py.Core(size), bytes(data), given_pages, framed)


@pytest.mark.parametrize("kind", NODE_RECORDS)
def test_a_record_that_ends_the_data(kind: T) -> None:
    """Every record of a node without its variable parts, the last byte of the buffer its own."""
    fields = {"procid": 1, "dbid": 1, "pgno": 9, "dbtime": 11, "dbtime_before": NO_DBTIME}
    stream = BEGIN + encode(kind, **fields, flags=1)
    ours = everything(native.Core(4096), stream, pages(4096), framed=False)
    assert ours == everything(redo_py.Core(4096), stream, pages(4096), framed=False)


@pytest.mark.parametrize("module", [redo_py, native])
def test_a_page_that_changes_is_not_scrubbed_any_more(module: Any) -> None:
    record = encode(
        T.INSERT, procid=1, dbid=1, pgno=9, fdp=9, objid=4, dbtime=11, dbtime_before=10,
        suffix=b"c", data=b"new",
    )  # fmt: skip
    core = module.Core(4096)
    core.attach(1, 0, 100)
    for pgno, data in zip((9, 10), pages(4096), strict=True):
        core.load(1, pgno, data)
    core.feed(BEGIN + record, 1 << 32 | 1 << 16, 0, False)
    assert Page(core.page(1, 9)).flags & PageFlag.SCRUBBED
    assert core.run() == redo_py.END
    assert core.redone == 1
    assert Page(core.page(1, 9)).flags == PageFlag.LEAF
