"""Conditions by the names and values of a profile choose the rows that show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import InvalidUse, ObjectNotFound
from hotsplit.ese.export.profiles import load_builtin
from hotsplit.ese.export.titles import named_table
from hotsplit.ese.export.view import make_view
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database

USAGE, TIMELINE, IDS = "application_resource_usage", "application_timeline", "ids"
Test = Callable[[dict[str, Any]], bool]

EXACT = "2021-10-07T08:09:00.0035352Z"
CASES: list[tuple[str, list[str], Test]] = [
    (USAGE, ["App ~ *CHROME*"], lambda row: "chrome" in (row["App"] or "").lower()),
    (USAGE, ["User = s-1-5-18"], lambda row: row["User"] == "S-1-5-18"),
    (USAGE, ["User != 'S-1-5-18'"], lambda row: row["User"] not in (None, "S-1-5-18")),
    (USAGE, ["AppId = 85"], lambda row: row["AppId"] == 85),
    (IDS, ["Id is null"], lambda row: row["Id"] is None),
    (
        USAGE,
        ["App ~ *svchost*", "FaceTime > 0"],
        lambda row: "svchost" in (row["App"] or "") and row["FaceTime"] > 0,
    ),
    (USAGE, ["TimeStamp ~ 2021-10-08*"], lambda row: row["TimeStamp"][:10] == "2021-10-08"),
    (USAGE, ["TimeStamp < 2021-10-08"], lambda row: row["TimeStamp"] < "2021-10-08"),
    (
        USAGE,
        ["TimeStamp >= 2021-10-08T02:00:00+02:00"],
        lambda row: row["TimeStamp"] >= "2021-10-08T00:00:00Z",
    ),
    (TIMELINE, ["EndTime >= 2021-10-08"], lambda row: row["EndTime"] >= "2021-10-08"),
    (
        TIMELINE,
        ['EndTime > "2021-10-07 10:00:00"', "EndTime <= 2021-10-07T12:00:00"],
        lambda row: "2021-10-07T10:00:00.0" < row["EndTime"] < "2021-10-07T12:00:00.0",
    ),
    (TIMELINE, [f"EndTime = {EXACT}"], lambda row: row["EndTime"] == EXACT),
    (IDS, ["IdType = user"], lambda row: row["IdType"] == "user"),
    (IDS, ["IdType = 3"], lambda row: row["IdType"] == "user"),
    (IDS, ["Id ~ S-1-5-21-*"], lambda row: (row["Id"] or "").startswith("S-1-5-21-")),
]


@pytest.fixture(scope="module")
def srum(corpus: Path) -> Iterator[Database]:
    with Database.open(OsEnv(), str(corpus / "srum" / "goese-SRUDB.dat")) as db:
        yield db


@pytest.mark.parametrize(("title", "where", "test"), CASES, ids=[" ".join(c[1]) for c in CASES])
def test_rows_that_meet_conditions(
    srum: Database, title: str, where: list[str], test: Test
) -> None:
    profile = load_builtin("srum")
    view = make_view(srum, named_table(srum, title, profile), profile)
    everything = [dict(zip(view.names, row, strict=True)) for row in map(_text, view.rows())]
    wanted = [row for row in everything if test(row)]
    assert 0 < len(wanted) < len(everything)
    found = [dict(zip(view.names, row, strict=True)) for row in map(_text, view.rows(where=where))]
    assert found == wanted
    few = make_view(srum, view.table, profile, columns=["AutoIncId" if title != IDS else "IdIndex"])
    assert [row[0] for row in few.rows(where=where)] == [
        row["AutoIncId" if title != IDS else "IdIndex"] for row in wanted
    ]


def _text(row: list[Any]) -> list[Any]:
    return [value if isinstance(value, int | str | None) else str(value) for value in row]


@pytest.fixture(scope="module")
def ntds(corpus: Path) -> Iterator[Database]:
    with Database.open(OsEnv(), str(corpus / "ntds" / "adamntds.dit")) as db:
        yield db


def test_columns_by_either_name(srum: Database, ntds: Database) -> None:
    profile = load_builtin("srum")
    table = named_table(srum, USAGE, profile)

    def names(*columns: str) -> list[str]:
        return make_view(srum, table, profile, columns=columns).names

    assert names("TimeStamp", "App") == ["TimeStamp", "App"]
    assert names("appid", "user") == ["AppId", "App", "User"]
    assert names("AppId", "App") == ["AppId", "App"]
    directory = load_builtin("ntds")
    objects = named_table(ntds, "objects", directory)
    view = make_view(ntds, objects, directory, columns=["objectClass", "whenCreated"])
    assert view.names == ["objectClass", "objectClassName", "whenCreated"]
    with pytest.raises(ObjectNotFound) as caught:
        names("Usr")
    assert "User" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [("EndTime > noon", ""), ("EndTime > 2021-10-07 and AppId = 3", "--where once for each")],
)
def test_what_is_no_time(srum: Database, text: str, hint: str) -> None:
    profile = load_builtin("srum")
    view = make_view(srum, named_table(srum, TIMELINE, profile), profile)
    with pytest.raises(InvalidUse) as caught:
        next(view.rows(where=[text]))
    assert hint in caught.value.hint


def test_titles_stand_for_names_only_where_no_table_has_them(srum: Database) -> None:
    profile = load_builtin("srum")
    assert named_table(srum, "Network_Usage", profile).name.startswith("{973F5D5C")
    assert named_table(srum, "sruDBidmaptable", profile).name == "SruDbIdMapTable"
    with pytest.raises(ObjectNotFound) as caught:
        named_table(srum, "network_usge", profile)
    assert "network_usage" in caught.value.hint
    with pytest.raises(ObjectNotFound):
        named_table(srum, "network_usage", None)
