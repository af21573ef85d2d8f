"""The flush map: real ones agree with the pages, written ones read back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import HeaderDamaged, HotsplitError, Jet, NotEseFile, UnsupportedVersion
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.flushmapfile import FlushMapFile, flush_map_path
from hotsplit.ese.format.basics import LogTime, Signature
from hotsplit.ese.format.checksum import scan_pages
from hotsplit.ese.format.flushmap import (
    PAGE_SIZE,
    PER_PAGE,
    FlushMapHeader,
    FlushMapPage,
)
from hotsplit.ese.format.header import DatabaseHeader, DbState


def map_header(**values: object) -> FlushMapHeader:
    header = FlushMapHeader.empty(PAGE_SIZE)
    header.version, header.file_type = 3, 7
    for name, value in values.items():
        setattr(header, name, value)
    return header


def test_clean_maps_agree_with_every_page(corpus: Path) -> None:
    compared = 0
    for path in corpus.rglob("*.jfm"):
        database = next(p for p in path.parent.iterdir() if p.suffix in (".dat", ".sdb"))
        assert Path(flush_map_path(str(database))) == path
        with (
            DatabaseFile.open(OsEnv(), str(database)) as file,
            FlushMapFile.open(OsEnv(), str(path)) as flush_map,
        ):
            assert flush_map.header.belongs_to(file.header), path
            clean = file.header.state == DbState.CLEAN_SHUTDOWN
            assert flush_map.header.is_clean == clean
            run = scan_pages(file.read_raw(1, file.page_count), file.page_size, 1)
            known = flush_map.flush_types(1, file.page_count)
            both = [pair for pair in zip(run.flush_types, known, strict=True) if all(pair)]
            assert all(page == entry for page, entry in both), path
            compared += len(both)
    assert compared > 1000


@settings(deadline=None, max_examples=20)
@given(st.integers(), st.integers(0, 1000), st.integers(0, 1 << 40))
def test_pages_read_back(seed: int, number: int, dbtime: int) -> None:
    types = bytes(b & 3 for b in random.Random(seed).randbytes(PER_PAGE))
    page = FlushMapPage.empty()
    page.number, page.dbtime_max = number, dbtime
    page.set_flush_types(types)
    data = page.sealed()
    found = FlushMapPage.unpack(data, number)
    assert found is not None
    assert (found.flush_types(), found.dbtime_max) == (types, dbtime)
    assert FlushMapPage.unpack(data, number + 1) is None
    bit = random.Random(seed).randrange(64, 8 * PAGE_SIZE)
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    mended = FlushMapPage.unpack(bytes(flipped), number)
    assert mended is None if bit == 301 else mended is not None and mended.raw == data


def test_the_first_page_has_the_highest_bits() -> None:
    page = FlushMapPage.empty()
    types = bytearray(PER_PAGE)
    types[0], types[5] = 3, 1
    page.set_flush_types(bytes(types))
    assert page.raw[64:67] == bytes([0b11000000, 0b00010000, 0])


def test_a_map_belongs_to_a_database_by_either_signature() -> None:
    one, two = Signature(1, LogTime(1)), Signature(2, LogTime(1))
    database = DatabaseHeader.empty()
    assert not map_header().belongs_to(database), "signatures that are not set prove nothing"
    database.header_flush_signature = one
    assert map_header(header_flush_signature=one).belongs_to(database)
    assert not map_header(flush_map_signature=one).belongs_to(database)
    assert not map_header(header_flush_signature=two).belongs_to(database)
    database.flush_map_signature = two
    assert map_header(header_flush_signature=two, flush_map_signature=two).belongs_to(database)


def test_headers_that_cannot_be_used() -> None:
    good = map_header().sealed()
    assert FlushMapHeader.unpack(good).raw == good
    cases: list[tuple[bytes, type[HotsplitError], Jet]] = [
        (b"", HeaderDamaged, Jet.errReadVerifyFailure),
        (bytes(PAGE_SIZE), HeaderDamaged, Jet.errReadVerifyFailure),
        (good[:8000], HeaderDamaged, Jet.errReadVerifyFailure),
        (good[:50] + b"\1" + good[51:], HeaderDamaged, Jet.errReadVerifyFailure),
        (map_header(file_type=1).sealed(), NotEseFile, Jet.errFileInvalidType),
        (map_header(version=9).sealed(), UnsupportedVersion, Jet.errFlushMapVersionUnsupported),
    ]
    for data, kind, jet in cases:
        with pytest.raises(kind) as caught:
            FlushMapHeader.unpack(data)
        assert caught.value.jet == jet


@settings(deadline=None, max_examples=30)
@given(st.integers(), st.integers(0, PAGE_SIZE))
def test_random_pages_are_not_used(seed: int, size: int) -> None:
    data = random.Random(seed).randbytes(size)
    assert FlushMapPage.unpack(data, 0) is None
    with pytest.raises(HeaderDamaged):
        FlushMapHeader.unpack(data)


def test_flush_types_across_pages_of_the_map(tmp_path: Path) -> None:
    first, third = FlushMapPage.empty(), FlushMapPage.empty()
    first.set_flush_types(bytes([1]) * PER_PAGE)
    third.number = 2
    third.set_flush_types(bytes([2]) * PER_PAGE)
    path = tmp_path / "x.jfm"
    missing = bytes(PAGE_SIZE)
    path.write_bytes(map_header().sealed() + first.sealed() + missing + third.sealed())
    with FlushMapFile.open(OsEnv(), str(path)) as flush_map:
        found = flush_map.flush_types(PER_PAGE - 2, PER_PAGE + 4)
        assert found == b"\1\1" + bytes(PER_PAGE) + b"\2\2"
        assert flush_map.flush_types(3 * PER_PAGE + 5, 3) == bytes(3)
