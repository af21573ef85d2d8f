"""Lists of trees as the published engine prints them; definitions with /v."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.classic.metadump import tree_lines
from hotsplit.ese.files.env import OsEnv
from tests.classic.tool import run_eseutil
from tests.conftest import unpack_vector

PRINTED = Path(__file__).parents[1] / "data" / "metadump"


@pytest.fixture(params=sorted(path.stem for path in PRINTED.iterdir()))
def name(request: pytest.FixtureRequest, shared: Path) -> str:
    return str(request.param)


def test_every_line_as_the_engine(name: str) -> None:
    database = unpack_vector(name) / "recovered" / "test.edb"
    expected = (PRINTED / f"{name}.txt").read_text().splitlines()
    found = list(tree_lines(OsEnv(), str(database), ""))
    assert found[3][5:] == expected[3][5:]  # behind the beginning of the path
    del found[3], expected[3]
    assert found == expected


def test_one_table_and_its_definition(name: str) -> None:
    database = unpack_vector(name) / "recovered" / "test.edb"
    ran = run_eseutil("/mm", database, "/tTagged")
    assert ran.result == 0
    names = [line.split()[0] for line in ran.out if " Tbl " in line or " Idx " in line]
    assert names[0] == "Tagged"
    assert "i_tuple" in names
    ran = run_eseutil("/mm", database, "/tTagged", "/v")
    assert any("tCmpText" in line for line in ran.out)
