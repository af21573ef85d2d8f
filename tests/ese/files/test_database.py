"""A database file: which header, which pages, what is corrected and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotsplit.errors import (
    FileMissing,
    FileTruncated,
    HeaderDamaged,
    HotsplitError,
    Jet,
    PageDamaged,
)
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import MAGIC, VERSION, DatabaseHeader
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.report import Reporter

FLAGS = PageFlag.LEAF | PageFlag.NEW_RECORD | PageFlag.NEW_CHECKSUM


def make_database(path: Path, size: int = 4096, pages: int = 4) -> list[bytes]:
    """Write a file of `pages` leaf pages; return them."""
    header = DatabaseHeader.empty(size)
    header.magic, header.version, header.page_size_field, header.file_type = MAGIC, VERSION, size, 1
    made = []
    for number in range(1, pages + 1):
        page = Page.new(size, number, 5, 100 + number, FLAGS)
        page.fill(b"prefix", [Node(bytes([number, i]), b"data" * i) for i in range(9)])
        data = bytearray(page.data)
        stamp(data, number)
        made.append(bytes(data))
    path.write_bytes(header.sealed() * 2 + b"".join(made))
    return made


def change(path: Path, offset: int, mask: int = 1) -> None:
    """Flip bits of one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


@pytest.mark.parametrize("size", [2048, 4096, 8192, 16384, 32768])
def test_pages_are_read_by_number(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.edb"
    pages = make_database(path, size)
    with DatabaseFile.open(OsEnv(), str(path)) as file:
        assert (file.page_size, file.page_count, file.header_copy) == (size, 4, "primary")
        assert not file.has_trailer
        assert file.trailer is None
        assert [file.read_page(n) for n in range(1, 5)] == pages
        assert file.read_raw(2, 2) == pages[1] + pages[2]
        assert file.reporter.findings == []


def test_a_wrong_bit_is_corrected_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.edb"
    pages = make_database(path)
    change(path, 3 * 4096 + 1000, 8)
    before = path.read_bytes()
    reporter = Reporter()
    with DatabaseFile.open(OsEnv(), str(path), reporter) as file:
        assert file.read_page(2) == pages[1]
    (finding,) = reporter.findings
    assert (finding.rule, finding.position) == ("page-corrected", "page 2")
    assert "8003" in finding.message
    assert path.read_bytes() == before


def test_a_correction_that_makes_no_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.edb"
    make_database(path)
    data = bytearray(path.read_bytes())
    page = bytearray(data[2 * 4096 : 3 * 4096])
    page[34:36] = (0x0FFF).to_bytes(2, "little")  # a tag array longer than the page
    stamp(page, 1)
    page[100] ^= 1
    data[2 * 4096 : 3 * 4096] = page
    path.write_bytes(data)
    with DatabaseFile.open(OsEnv(), str(path)) as file, pytest.raises(PageDamaged) as caught:
        file.read_page(1)
    assert caught.value.jet == Jet.errReadVerifyFailure


def test_each_kind_of_bad_page_has_its_error(tmp_path: Path) -> None:
    path = tmp_path / "x.edb"
    pages = make_database(path)
    damaged = bytearray(pages[0])
    damaged[500] ^= 3
    path.write_bytes(path.read_bytes()[:8192] + bytes(damaged) + bytes(4096) + pages[0] + b"half")
    with DatabaseFile.open(OsEnv(), str(path)) as file:
        assert file.page_count == 3
        for number, jet in (
            (1, Jet.errReadVerifyFailure),
            (2, Jet.errPageNotInitialized),
            (3, Jet.errReadVerifyFailure),
        ):
            with pytest.raises(PageDamaged) as caught:
                file.read_page(number)
            assert (caught.value.jet, caught.value.file) == (jet, str(path))
            assert caught.value.position == f"page {number}"
        for number in (0, -1, 4, 1 << 31):
            with pytest.raises(FileTruncated) as beyond:
                file.read_page(number)
            assert beyond.value.jet == Jet.errFileIOBeyondEOF


def test_the_shadow_header_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "x.edb"
    make_database(path)
    change(path, 300)
    reporter = Reporter()
    with DatabaseFile.open(OsEnv(), str(path), reporter) as file:
        assert file.header_copy == "shadow"
    assert [f.rule for f in reporter.findings] == ["header-copy"]
    assert "primary" in reporter.findings[0].message
    change(path, 4096 + 300)
    with pytest.raises(HeaderDamaged) as caught:
        DatabaseFile.open(OsEnv(), str(path))
    assert (caught.value.file, caught.value.jet) == (str(path), Jet.errReadVerifyFailure)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        DatabaseFile.open(OsEnv(), str(tmp_path / "x.edb"))


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_file_gives_our_errors_only(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.edb"
    make_database(path, pages=2)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        with DatabaseFile.open(OsEnv(), str(path)) as file:
            for number in range(4):
                try:
                    file.read_page(number)
                except HotsplitError as error:
                    assert error.file == str(path)
    except HotsplitError as error:
        assert error.file == str(path)


def test_reading_after_close_says_what_is_wrong(tmp_path: Path) -> None:
    make_database(tmp_path / "x.edb")
    with DatabaseFile.open(OsEnv(), str(tmp_path / "x.edb")) as file:
        assert file.read_page(1)
    with pytest.raises(HotsplitError) as caught:
        file.read_page(1)
    assert "closed" in caught.value.hint
