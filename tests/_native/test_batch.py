"""The batch kernel: the compiled one equals its reference, buffer by buffer, on any page."""

from __future__ import annotations

import math
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit._native import batch_py
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.batch import kernel_column
from hotsplit.ese.read.database import Database
from tests.conftest import unpack_vector

batch = pytest.importorskip("hotsplit._native.batch", reason="the compiled kernel is not built")
Column = tuple[int, int, int, int, bool, bool, bytes | None]


def both(columns: list[Column], page_size: int, **options: Any) -> tuple[Any, Any]:
    return (
        batch.Builder(columns, page_size, **options),
        batch_py.Builder(columns, page_size, **options),
    )


def outcome(builder: Any, pages: list[bytes], objid: int, **how: Any) -> Any:
    """Everything that a walk over pages 1, 2, ... yields."""
    run, visited = b"".join(pages), bytearray(len(pages) // 8 + 2)
    stop = builder.walk(run, bytes(len(pages)), 0, 1, visited, objid, 1, **how)
    return stop, visited, builder.rows, builder.value_bytes, builder.pending(), builder.finish()


def leaves(path: Path) -> list[tuple[list[Column], int, list[bytes]]]:
    """(columns, object id, pages renumbered as one chain) of each table."""
    out = []
    with Database.open(OsEnv(), str(path)) as db:
        for name in db.tables(system=True):
            table = db.table(name)
            pages = [bytearray(leaf.data) for leaf in table.tree().leaves()][:40]
            for i, page in enumerate(pages):
                following = i + 2 if i + 1 < len(pages) else 0
                struct.pack_into("<II", page, 16, i, following)
            columns = [kernel_column(column) for column in table.columns]
            out.append((columns, table.definition.objid, [bytes(page) for page in pages]))
    return out


@pytest.fixture(scope="module", params=["crash-p4096-base", "crash-p32768-w10"])
def tables(request: pytest.FixtureRequest, shared: Path) -> list[Any]:
    return leaves(unpack_vector(request.param) / "recovered" / "test.edb")


def test_equal_on_real_pages(tables: list[Any]) -> None:
    for columns, objid, pages in tables:
        native, reference = both(columns, len(pages[0]), keys=True, deleted=True)
        assert outcome(native, pages, objid) == outcome(reference, pages, objid)


def test_equal_on_damaged_pages(tables: list[Any]) -> None:
    random_ = random.Random(11)
    for columns, objid, pages in tables:
        for options in ({"keys": True}, {"most_rows": 3}, {"most_bytes": 500, "deleted": True}):
            damaged = bytearray(pages[0])
            for _ in range(random_.randint(1, 16)):
                damaged[random_.randrange(40, len(damaged))] = random_.randrange(256)
            native, reference = both(columns, len(damaged), **options)
            chain = [bytes(damaged), *pages[1:3]]
            for how in ({}, {"reverse": True}, {"label": 2}):
                assert outcome(native, chain, objid, **how) == outcome(
                    reference, chain, objid, **how
                )


def test_equal_when_cut_and_filled(tables: list[Any]) -> None:
    random_ = random.Random(5)
    for columns, objid, pages in tables:
        results = []
        seed = random_.random()
        for builder in both(columns, len(pages[0]), keys=True):
            visited = bytearray(len(pages) // 8 + 2)
            run = b"".join(pages)
            builder.walk(run, bytes(len(pages)), 0, 1, visited, objid, 1)
            if builder.rows > 1:
                builder.truncate(builder.rows // 2, visited)
            rows = builder.rows
            chosen = random.Random(seed)
            for number, column in enumerate(columns):
                if rows and not column[5] and not column[3]:
                    elements = sorted(chosen.sample(range(rows), chosen.randint(1, rows)))
                    waiting = {p[2] for p in builder.pending() if p[1] == number}
                    elements = [e for e in elements if e in waiting]
                    values = [chosen.choice([None, b"", b"abc"]) for _ in elements]
                    builder.fill(number, elements, values)
            results.append((visited, builder.pending(), builder.finish()))
        assert results[0] == results[1]


COLUMNS: list[Column] = [
    (batch_py.NUMBER, 1, 4, 4, False, False, None),
    (batch_py.BIT, 2, 8, 1, False, False, b"\1"),
    (batch_py.GUID, 3, 9, 16, False, False, None),
    (batch_py.ANSI, 128, 0, 0, False, False, None),
    (batch_py.UTF16, 129, 0, 0, False, False, b"x"),
    (batch_py.NUMBER, 256, 0, 2, False, True, b"\1\2"),
    (batch_py.BINARY, 256, 0, 0, True, False, None),
    (batch_py.UTF16, 257, 0, 0, False, False, None),
    (batch_py.RAW, 258, 0, 0, False, False, None),
    (batch_py.BIT, 257, 0, 1, False, False, None),
]
heads = st.tuples(st.integers(0, 5), st.integers(125, 131), st.integers(0, 40))


def records(large: bool) -> st.SearchStrategy[bytes]:
    """Records with a good frame and tagged entries of any content."""
    entry = st.tuples(st.sampled_from([256, 257, 258]), st.integers(0, 0x7F), st.binary(max_size=9))

    def build(entries: list[tuple[int, int, bytes]], derived: bytes) -> bytes:
        array, area, start = b"", b"", 4 * (len(entries) + bool(derived))
        listed = [(256, 0x8000, derived)] if derived else []
        listed += [(fid, 0, bytes([header]) + data) for fid, header, data in entries]
        for fid, flag, data in listed:
            word = start + len(area) | flag | (0 if large else 0x4000)
            array += struct.pack("<HH", fid, word)
            area += data
        return struct.pack("<BBH", 0, 127, 4) + array + area

    unique = st.lists(entry, max_size=3, unique_by=lambda e: e[0]).map(sorted)
    return st.builds(build, unique, st.binary(max_size=4))


@given(data=st.data(), large=st.booleans(), old=st.booleans())
def test_equal_on_any_records(data: st.DataObject, large: bool, old: bool) -> None:
    any_record = st.one_of(
        records(large),
        st.builds(lambda h, b: bytes([*h, 0]) + b, heads, st.binary(max_size=90)),
        st.binary(max_size=8),
    )
    several = data.draw(st.lists(any_record, min_size=1, max_size=6))
    results = []
    for builder in both(COLUMNS, 16384 if large else 4096):
        for i, record in enumerate(several):
            builder.add_record(record, 7, i, 3, old=old)
        results.append((builder.pending(), builder.place(0), builder.finish()))
    assert results[0] == results[1]


@pytest.mark.parametrize("kernel", [batch, batch_py])
@pytest.mark.parametrize("bad", [(batch_py.NUMBER, 1, 4, 3), (batch_py.BINARY, 0, 4, 4)])
def test_impossible_columns_are_refused(kernel: Any, bad: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="column"):
        kernel.Builder([(*bad, False, False, None)], 4096)


@pytest.mark.parametrize("kernel", [batch, batch_py])
def test_layout_of_arrow(kernel: Any) -> None:
    """Three rows: a number, null, a number; text; several values."""
    column = (batch_py.NUMBER, 1, 4, 2, False, False, None)
    text = (batch_py.UTF16, 128, 0, 0, False, False, None)
    builder = kernel.Builder([column, text], 4096)
    builder.add_record(bytes.fromhex("018007000100fe040041004200"), 1, 0, 0)
    builder.add_record(bytes.fromhex("017f07000000ff"), 1, 1, 0)
    builder.add_record(bytes.fromhex("018007000200fe0200e900"), 1, 2, 0)
    rows, (numbers, words), keys, places = builder.finish()
    assert (rows, keys, len(places)) == (3, None, 24)
    assert numbers == (3, b"\x05", None, bytes.fromhex("010000000200"), None, None)
    assert words == (3, b"\x05", struct.pack("<4I", 0, 2, 2, 4), "ABé".encode(), None, None)


def test_codes_have_the_same_numbers() -> None:
    names = [name for name in vars(batch_py) if name.isupper() and not name.startswith("_")]
    shared = [name for name in names if hasattr(batch, name)]
    assert len(shared) >= 22
    assert all(getattr(batch, name) == getattr(batch_py, name) for name in shared)


BITS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0x0080000000000000, 0x0400000000000000),
    st.floats(-700000, 3000000).map(lambda d: struct.unpack("<q", struct.pack("<d", d))[0]),
)


@given(values=st.lists(BITS, max_size=20), form=st.sampled_from([0, 1]), data=st.data())
def test_times_equal(values: list[int], form: int, data: st.DataObject) -> None:
    stored = struct.pack(f"<{len(values)}q", *values)
    size = (len(values) + 7) // 8
    whole = bytearray(data.draw(st.binary(min_size=size, max_size=size)))
    if len(values) % 8:
        whole[-1] &= (1 << len(values) % 8) - 1
    for validity in (None, bytes(whole)):
        assert batch.convert_times(stored, validity, form) == batch_py.convert_times(
            stored, validity, form
        )
    assert batch.count_filetimes(stored) == batch_py.count_filetimes(stored)


@pytest.mark.parametrize("kernel", [batch, batch_py])
def test_times(kernel: Any) -> None:
    """2021-10-07 08:26 UTC as OLE date and as FILETIME; a time before the epoch of OLE dates."""
    second = 1633595160
    ole = struct.pack("<d", 25569 + second / 86400)
    filetime = struct.pack("<q", (second + 11644473600) * 10**7 + 1)
    before = struct.pack("<d", -1.5)
    out, validity, lost = kernel.convert_times(ole + filetime + before, None, kernel.OLE)
    wanted = (second * 10**6, second * 10**6, (-25569 - 1) * 86400 * 10**6 + 43200 * 10**6)
    assert (struct.unpack("<3q", out), validity, lost) == (wanted, None, 0)
    out, _, _ = kernel.convert_times(ole + filetime, None, kernel.FILETIME)
    assert struct.unpack("<2q", out) == (second * 10**9, second * 10**9 + 100)
    nothing = struct.pack("<d", math.nan)
    assert kernel.convert_times(nothing, None, kernel.OLE) == (bytes(8), b"\0", 1)
    assert kernel.count_filetimes(ole + filetime + bytes(8)) == (1, 1)
