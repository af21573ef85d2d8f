"""The record kernel: the compiled one equals its reference on real, damaged and random pages."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit._native import record_py
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.read.database import Database
from tests.conftest import unpack_vector

record = pytest.importorskip("hotsplit._native.record", reason="the compiled kernel is not built")


def plans(columns: list[tuple[Any, ...]]) -> tuple[Any, Any]:
    return record.Plan(columns), record_py.Plan(columns)


def plan_of(db: Database, name: str) -> list[tuple[Any, ...]]:
    from hotsplit.ese.format.record import _plan_column, default_value

    return [_plan_column(c, default_value(c)) for c in db.table(name).columns]


def outcome(decode: Any, page: bytes, plan: Any) -> Any:
    try:
        return repr(decode(page, plan, True))  # text, so that not-a-number equals itself
    except ValueError as error:
        return str(error)


def pages_of(path: Path) -> list[tuple[list[tuple[Any, ...]], bytes]]:
    with Database.open(OsEnv(), str(path)) as db:
        return [
            (plan_of(db, name), bytes(leaf.data))
            for name in db.tables(system=True)
            for leaf in db.table(name).tree().leaves()
        ]


@pytest.fixture(scope="module", params=["crash-p4096-base", "crash-p32768-w10"])
def pages(request: pytest.FixtureRequest, shared: Path) -> list[tuple[Any, bytes]]:
    return pages_of(unpack_vector(request.param) / "recovered" / "test.edb")


def test_equal_on_real_pages(pages: list[tuple[Any, bytes]]) -> None:
    for columns, page in pages:
        native, reference = plans(columns)
        assert outcome(record.decode_page, page, native) == outcome(
            record_py.decode_page, page, reference
        )


def test_equal_on_damaged_pages(pages: list[tuple[Any, bytes]]) -> None:
    random_ = random.Random(7)
    for columns, page in pages:
        native, reference = plans(columns)
        for _ in range(6):
            damaged = bytearray(page)
            for _ in range(random_.randint(1, 12)):
                damaged[random_.randrange(34, len(page))] = random_.randrange(256)
            data = bytes(damaged)
            assert outcome(record.decode_page, data, native) == outcome(
                record_py.decode_page, data, reference
            )


COLUMNS: list[tuple[Any, ...]] = [
    (record_py.NUMBER, "i", 1, 4, 4, False, False, None, None),
    (record_py.BIT, "", 2, 8, 1, False, False, True, None),
    (record_py.NUMBER, "d", 3, 9, 8, False, False, None, None),
    (record_py.ASCII, "", 128, 0, 0, False, False, None, None),
    (record_py.UTF16, "", 129, 0, 0, False, False, "x", None),
    (record_py.NUMBER, "h", 256, 0, 2, False, True, None, None),
    (record_py.BINARY, "", 256, 0, 0, True, False, None, None),
    (record_py.RAW, "", 257, 0, 0, False, False, None, None),
]


@given(
    head=st.tuples(st.integers(0, 5), st.integers(125, 131), st.integers(0, 40)),
    body=st.binary(max_size=120),
    large=st.booleans(),
    old=st.booleans(),
)
def test_equal_on_any_record(
    head: tuple[int, int, int], body: bytes, large: bool, old: bool
) -> None:
    data = bytes([head[0], head[1], head[2], 0]) + body
    native, reference = plans(COLUMNS)
    assert repr(record.decode_record(data, native, large, old)) == repr(
        record_py.decode_record(data, reference, large, old)
    )


@given(data=st.binary(max_size=12))
def test_equal_on_very_short_records(data: bytes) -> None:
    native, reference = plans(COLUMNS)
    assert record.decode_record(data, native, False, False) == record_py.decode_record(
        data, reference, False, False
    )


@pytest.mark.parametrize("kernel", [record, record_py])
@pytest.mark.parametrize("bad", [(record_py.NUMBER, "q", 1, 4, 4), (record_py.BINARY, "", 0, 4, 4)])
def test_impossible_columns_are_refused(kernel: Any, bad: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="column"):
        kernel.Plan([(*bad, False, False, None, None)])


def test_kinds_have_the_same_numbers() -> None:
    assert record.KINDS == record_py.KINDS
    assert (record.DAMAGED, record.OLD_TAGGED) == (record_py.DAMAGED, record_py.OLD_TAGGED)
    assert Coltyp.LONG_TEXT.title == "LongText"
