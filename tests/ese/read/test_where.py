"""Conditions on times: they are held against the time that is stored, OLE date or FILETIME."""

from __future__ import annotations

import struct

import pytest

from hotsplit.ese.format.columns import Coltyp, ColumnDef, DateTime
from hotsplit.ese.read.where import parse_condition

COLUMN = ColumnDef("Seen", 1, Coltyp.DATE_TIME, size=8)
FILETIME = DateTime(struct.pack("<q", 132680728886024421))  # 2021-06-13T15:48:08.6024421Z
FILETIME_OF_A_SECOND = DateTime(struct.pack("<q", 132680728880000000))
NOON = DateTime(struct.pack("<d", 44360.5))  # 2021-06-13T12:00
BEFORE = DateTime(struct.pack("<d", -1.25))  # 1899-12-29T06:00: the fraction counts forward
FINE = DateTime(struct.pack("<d", 44000.123456789))


@pytest.mark.parametrize(
    ("value", "text", "met"),
    [
        (FILETIME, "Seen >= 2021-06-13", True),
        (FILETIME, "Seen < 2021-06-13", False),
        (FILETIME, "Seen < 2021-06-13T15:48:09", True),
        (FILETIME_OF_A_SECOND, "Seen = 2021-06-13T15:48:08", True),
        (FILETIME, "Seen = 132680728886024421", True),
        (FILETIME, "Seen = 132680728886024422", False),
        (NOON, "Seen = 2021-06-13T12:00", True),
        (NOON, "Seen > 2021-06-13T12:00", False),
        (NOON, "Seen = 4676494797505462272", False),
        (NOON, f"Seen = {NOON.bits}", True),
        (BEFORE, "Seen = 1899-12-29T06:00", True),
        (BEFORE, "Seen > 1899-12-29", True),
        (FINE, f"Seen = {FINE}", True),
    ],
)
def test_times(value: DateTime, text: str, met: bool) -> None:
    condition = parse_condition(text, lambda _: COLUMN)
    assert condition.is_met(value) is met
    assert condition.is_met([None, value]) is met
    assert not condition.is_met(None)
