"""``eseutil /m DB /n`` and ``/i``: single nodes and tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.errors import Jet
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from tests.classic.tool import normal, run_eseutil
from tests.conftest import unpack_vector


@pytest.fixture(scope="module")
def database(shared: Path) -> Path:
    return unpack_vector("crash-p4096-mid") / "recovered" / "test.edb"


@pytest.fixture(scope="module")
def page(database: Path) -> tuple[int, list[str]]:
    """A leaf of a table and the lines of its dump."""
    with Database.open(OsEnv(), str(database)) as db:
        pgno = next(db.table("Counters").tree().leaves()).number
    ran = run_eseutil("/m", database, f"/p{pgno}")
    return pgno, [line for line in ran.out if line.startswith("TAG ")]


def test_nodes_and_tags(database: Path, page: tuple[int, list[str]]) -> None:
    pgno, lines = page
    assert len(lines) > 3
    first = next(i for i, line in enumerate(lines) if "data:cb" in line)
    for form in ("[1:{}:{}]", "{}:{}", "[{}:{}]", "1:{}:{}"):
        ran = run_eseutil("/m", database, "/n" + form.format(pgno, 2))
        assert ran.result == 0
        assert lines[first + 2] in ran.out
        assert f"          Node: {pgno}:2" in ran.out
        assert lines[2] in run_eseutil("/m", database, "/i" + form.format(pgno, 2)).out


def test_bytes_of_a_node(database: Path, page: tuple[int, list[str]]) -> None:
    pgno, lines = page
    size = int(lines[2].partition("cb:0x")[2][:4], 16)
    ran = run_eseutil("/m", database, f"/i{pgno}:2")
    dumped = [
        line[12:48].replace(" ", "") for line in ran.out if line[8:12] == "    " and "\\" in line
    ]
    with Database.open(OsEnv(), str(database)) as db:
        assert bytes.fromhex("".join(dumped)) in db.source.read_page(pgno)
    assert sum(map(len, dumped)) == 2 * size > 0


@pytest.mark.parametrize(
    ("what", "result"),
    [
        ("/n{}:9999", Jet.errFileIOBeyondEOF),
        ("/i{}:9999", Jet.errFileIOBeyondEOF),
        ("/n99999999:0", Jet.errFileIOBeyondEOF),
        ("/n0:0", Jet.errFileIOBeyondEOF),
        ("/n{}", -1),
        ("/nx:1", -1),
        ("/n[{}:1:2:3]", -1),
        ("/n{}:" + "9" * 5000, -1),
    ],
)
def test_what_is_not_there(
    database: Path, page: tuple[int, list[str]], what: str, result: int
) -> None:
    assert run_eseutil("/m", database, what.format(page[0])).result == result


@pytest.mark.parametrize("more", [[], ["/v"]], ids=["page", "with its bytes"])
def test_the_number_of_a_page_in_the_mode(
    database: Path, page: tuple[int, list[str]], more: list[str]
) -> None:
    pgno, lines = page
    ran, other = (
        run_eseutil(*mode, *more)
        for mode in ((f"/m{pgno}", database), ("/m", database, f"/p{pgno}"))
    )
    assert (ran.result, set(lines) <= set(ran.out)) == (0, True)
    assert normal(ran.out, 0) == normal(other.out, 0)
    assert run_eseutil("/m99999999", database).result == Jet.errFileIOBeyondEOF
