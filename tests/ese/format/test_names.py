"""Names of the files of a log stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.ese.format.names import FileName, NameKind, file_name, parse_name


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("E00.log", FileName(NameKind.CURRENT, "E00")),
        ("edb.jtx", FileName(NameKind.CURRENT, "edb")),
        ("E0000000001.log", FileName(NameKind.ARCHIVE, "E00", 1, 8)),
        ("SRU0004E.log", FileName(NameKind.ARCHIVE, "SRU", 0x4E, 5)),
        ("e0100000012ab.LOG", FileName(NameKind.ARCHIVE, "e01", 0x12AB, 10)),
        ("j50tmp.log", FileName(NameKind.TMP, "j50")),
        ("srures00002.jrs", FileName(NameKind.RESERVE, "sru", 0, 5)),
        ("res2.log", FileName(NameKind.RESERVE, "", 0, 1)),
        ("V01.chk", FileName(NameKind.CHECKPOINT, "V01")),
        ("RVN.jcp", FileName(NameKind.CHECKPOINT, "RVN")),
        ("E0000000010.jsl", FileName(NameKind.SHIPPED, "E00", 16, 8)),
    ],
)
def test_known_names(name: str, parsed: FileName) -> None:
    assert parse_name(name) == parsed
    assert not parsed.base or parsed.is_of(parsed.base.swapcase())


@pytest.mark.parametrize(
    "name",
    ["E00garbage.log", "readme.txt", "E0.log", "E00123456.log", "E0000001.log.bak", "E00.chk2", ""],
)
def test_foreign_names(name: str) -> None:
    assert parse_name(name) is None


@given(st.integers(1, 0x7FFFFA00), st.sampled_from([5, 8, 10]))
def test_composed_names_parse(generation: int, digits: int) -> None:
    parsed = parse_name(file_name("E01", generation, digits))
    assert parsed is not None
    assert (parsed.kind, parsed.generation) == (NameKind.ARCHIVE, generation)


def test_style_of_the_engine() -> None:
    assert file_name("E01", 0x925, 5) == "E0100925.log"
    assert file_name("E01", 0x100000, 5) == "E0100100000.log"
    assert file_name("E00") == "E00.log"
