"""Databases that the engine recovered, read and compared with the engine's own dump."""

from __future__ import annotations

import json

import pytest

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from tests.conftest import set_names, unpack_vector
from tests.expected import compare_rows


@pytest.mark.parametrize("name", set_names("crash"))
def test_every_table_row_and_index_entry(name: str) -> None:
    folder = unpack_vector(name)
    expected = json.loads((folder / "expected.json").read_text())
    with Database.open(OsEnv(), str(folder / "recovered" / "test.edb")) as db:
        assert compare_rows(db, expected) == []
