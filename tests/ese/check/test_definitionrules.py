"""Defaults of columns: as many bytes as their type has, or as a value may have."""

from __future__ import annotations

import pytest

from hotsplit.ese.check.definitionrules import default_problem
from hotsplit.ese.format.columns import Coltyp, ColumnFlag

ESCROW, BY_CALLBACK = int(ColumnFlag.ESCROW), int(ColumnFlag.USER_DEFAULT)


@pytest.mark.parametrize(
    ("fid", "coltyp", "flags", "size", "default", "fits"),
    [
        (1, Coltyp.LONG, 0, 4, bytes(4), True),
        (1, Coltyp.LONG, 0, 4, bytes(3), False),
        (300, Coltyp.SHORT, 0, 0, bytes(2), True),
        (300, Coltyp.SHORT, 0, 0, bytes(4), False),
        (2, Coltyp.BINARY, 0, 10, bytes(10), True),
        (2, Coltyp.TEXT, 0, 10, bytes(11), False),
        (128, Coltyp.BINARY, 0, 255, bytes(255), True),
        (300, Coltyp.LONG_TEXT, 0, 0, bytes(255), True),
        (300, Coltyp.LONG_TEXT, 0, 0, bytes(256), False),
        (1, Coltyp.LONG, 0, 4, None, True),
        (1, Coltyp.LONG, ESCROW, 4, None, False),
        (1, Coltyp.LONG, ESCROW, 4, bytes(4), True),
        (300, Coltyp.LONG, BY_CALLBACK, 0, b"a function's name", True),
        (1, 0, ESCROW, 4, None, True),
    ],
)
def test_defaults(
    fid: int, coltyp: int, flags: int, size: int, default: bytes | None, fits: bool
) -> None:
    assert (default_problem(fid, coltyp, flags, size, default) == "") == fits
