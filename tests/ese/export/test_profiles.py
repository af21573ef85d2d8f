"""Profiles: those that come with the program fit real databases; a user can write one more."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import InvalidUse
from hotsplit.ese.export.job import Job, Report
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.export.profiles import builtin_names, choose, load_builtin, load_file, parse
from hotsplit.ese.export.view import make_view
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database

FITTING = {
    "srum/goese-SRUDB.dat": "srum",
    "srum/win11-22000-clean-before/SRUDB.dat": "srum",
    "ual/hyperv/Current.mdb": "ual",
    "ual/hyperv/SystemIdentity.mdb": "ual-system",
    "ntds/ntds.dit": "ntds",
    "ntds/adamntds.dit": "ntds",
    "qmgr/qmgr-win10.db": None,
    "engine/Catalog1.edb": None,
}


@pytest.mark.parametrize("path", FITTING)
def test_the_right_one_is_found(corpus: Path, path: str) -> None:
    with Database.open(OsEnv(), str(corpus / path)) as db:
        found = choose(OsEnv(), "auto", db.tables(system=True))
        assert (found.name if found else None) == FITTING[path]


@pytest.mark.parametrize("name", builtin_names())
def test_those_of_the_program_are_sound(name: str) -> None:
    profile = load_builtin(name)
    assert profile.name == name
    assert profile.title
    assert profile.required
    rules = list(profile.columns.values())
    rules += [rule for table in profile.tables.values() for rule in table.columns.values()]
    assert all(rule.lookup in (*profile.lookups, "") for rule in rules)


def test_known_applications_are_covered() -> None:
    wanted = {"srum", "ual", "webcache", "ntds", "windows-search", "dhcp", "certificate-services"}
    assert wanted | {"update-datastore", "exchange"} <= set(builtin_names())


def export(path: Path, target: Path, profile: str) -> Report:
    with Database.open(OsEnv(), str(path)) as db:
        return Job(OsEnv(), db, str(target), Plan("jsonl", profile=profile)).run()


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_srum(corpus: Path, tmp_path: Path) -> None:
    """Numbers of programs and users come with what the map of the database says of them."""
    path = corpus / "srum" / "goese-SRUDB.dat"
    export(path, tmp_path, "auto")
    rows = lines(tmp_path, "application_resource_usage")
    ids = {row["IdIndex"]: row for row in lines(tmp_path, "ids")}
    assert len(rows) == 1778
    for row in rows[:200]:
        stored = bytes.fromhex(ids[row["AppId"]]["IdBlob"] or "")
        assert row["App"] == stored.decode("utf-16-le").rstrip("\0")
        assert row["User"].startswith("S-1-5-")
        assert row["TimeStamp"].endswith("Z")
    assert ids[8]["IdType"] == "user"
    assert ids[8]["Id"] == rows[0]["User"]
    for row in rows:
        assert (row["App"], row["User"]) == (ids[row["AppId"]]["Id"], ids[row["UserId"]]["Id"])
    traffic = lines(tmp_path, "network_usage")
    of_wires = {row["InterfaceLuid"] >> 48: row["InterfaceType"] for row in traffic}
    assert of_wires[6] == "ethernet"


def test_user_access_logging(corpus: Path, tmp_path: Path) -> None:
    """As the listing that another reader printed has it."""
    export(corpus / "ual" / "hyperv" / "Current.mdb", tmp_path, "auto")
    golden = (corpus / "ual" / "UAL_CLIENTS.golden").read_text().splitlines()
    wanted = [json.loads(line) for line in golden]
    rows = lines(tmp_path, "clients")
    for row, want in zip(rows, wanted, strict=False):
        assert row["InsertDate"][:19] + "Z" == want["InsertDate"]
        assert row["LastAccess"][:19] + "Z" == want["LastAccess"]
    assert any(row["Address"] and row["Address"].count(".") == 3 for row in rows)
    export(corpus / "ual" / "hyperv" / "SystemIdentity.mdb", tmp_path / "system", "auto")
    roles = lines(tmp_path / "system", "roles")
    names = {role["RoleGuid"]: role["RoleName"] for role in roles}
    profile = load_builtin("ual")
    assert profile.lookups["roles"].values.items() >= names.items()
    assert {row["Role"] for row in rows} <= set(names.values())
    everything = [*rows, *roles, *lines(tmp_path / "system", "system_identity")]
    assert not any("\0" in str(value) for row in everything for value in row.values())


def test_active_directory(corpus: Path, tmp_path: Path) -> None:
    """Columns are called as the schema in the database says; secrets stay as they are."""
    report = export(corpus / "ntds" / "adamntds.dit", tmp_path, "auto")
    objects = next(r for r in report.results if r.title == "objects")
    names = {column["column"]: column for column in objects.columns}
    with Database.open(OsEnv(), str(corpus / "ntds" / "adamntds.dit")) as db:
        have = {c.name for c in db.table("datatable").columns}
    known = {"ATTm3": "cn", "ATTl131074": "whenCreated", "ATTk589826": "objectGUID"}
    assert {c: names[c]["name"] for c in known if c in have}.items() <= known.items()
    assert names["ATTk589914"].get("encrypted") is True
    rows = lines(tmp_path, "objects")
    created = [t for row in rows for t in row.get("whenCreated") or [] if t]
    assert len(created) > 100
    assert all(t.endswith("Z") and "2000" < t < "2030" for t in created)
    names_of = {row["DNT_col"]: row["name"][0] for row in rows if row["name"]}
    assert sum(row["Parent"] is not None for row in rows) > 100
    assert all(row["Parent"] == names_of.get(row["PDNT_col"]) for row in rows)
    classes = {row["governsID"][0]: row["lDAPDisplayName"][0] for row in rows if row["governsID"]}
    typed = [row for row in rows if row["objectClass"]]
    assert len(typed) > 100
    for row in typed:
        assert row["objectClassName"] == [classes[number] for number in row["objectClass"]]
        assert "top" in row["objectClassName"]
    (link,) = lines(tmp_path, "links")[:1]
    assert link["Target"] == names_of[link["backlink_DNT"]]


PROFILE = """
name = "engine"
match.tables = ["Counters"]

[tables.Counters]
title = "counted"
columns.ver = { decode = "hex", as = "version" }
columns.auto = { lookup = "names", as = "who" }
columns.esc = { lookup = "given", as = "size" }

[lookups.given]
values = { 0 = "none", 1 = "some" }
shift = 1

[lookups.names]
table = "Counters"
key = "auto"
value = "name"
"""


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_one_by_the_user(shared: Path, tmp_path: Path, suffix: str) -> None:
    from tests.conftest import unpack_vector

    path = tmp_path / f"mine.{suffix}"
    text = PROFILE if suffix == "toml" else json.dumps(tomllib.loads(PROFILE))
    path.write_text(text)
    database = unpack_vector("crash-p4096-base") / "recovered" / "test.edb"
    export(database, tmp_path / "out", str(path))
    rows = lines(tmp_path / "out", "counted")
    assert rows
    for row in rows:
        assert row["version"].startswith("0x")
        assert row["who"] == row["name"]
        assert row["size"] == {0: "none", 1: "some"}.get(row["esc"] >> 1)


def test_views_give_the_same_to_rows_and_to_columns(corpus: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from hotsplit.ese.read.arrow import ArrowField, ArrowForm

    path = corpus / "srum" / "goese-SRUDB.dat"
    with Database.open(OsEnv(), str(path)) as db:
        profile = load_builtin("srum")
        view = make_view(db, db.table("{5C8CF1C7-7257-4F13-B223-970EF5939312}"), profile)
        form = ArrowForm([ArrowField(f.name, f.column, f.meaning) for f in view.fields])
        batch = next(view.table.batches([c.name for c in view.columns], size=300))
        arrays = dict(zip(view.names, form.arrays(batch), strict=True))
        rows = [dict(zip(view.names, row, strict=True)) for row in view.rows()][:300]
        for name in ("App", "User", "DurationMS"):
            assert arrays[name].to_pylist() == [row[name] for row in rows]
        for name in ("TimeStamp", "EndTime"):
            times = arrays[name].cast(pa.timestamp("us", "UTC"), safe=False).to_pylist()
            assert [t.isoformat()[:19] for t in times] == [row[name][:19] for row in rows]


WRONG = {
    "name = 1\nmatch.tables = []\n[columns]\na = { decode = 'rot13' }": "no decoder",
    "title = 'x'": "'name' is missing",
    "name = 'x'\n[tables.'T_*']\ntitles = { pattern = 'T_.*', table = 'N' }": "a group in its",
    "name = 'x'\n[columns]\na = { lookup = 'b' }": "lookup 'b', which is not there",
    "name = 'x'\n[lookups.l]\nvalues = 3": "no attribute",
    "name = 'x'\n[tables.t]\ncolumn.a = {}": "tables.t has column",
    "name = 'x'\n[columns]\na = 5": "no table of names",
    "name = 'x'\n[lookups.l]\ntable = 't'": "'key' is missing",
    "name = 'x'\n[tables.t.names]\npattern = '('": "the profile is wrong",
    "name = ": "cannot be read",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(InvalidUse) as caught:
        load_file(OsEnv(), str(path))
    assert WRONG[text] in caught.value.message
    assert caught.value.file == str(path)


def test_unknown_profiles_are_told_with_those_there_are() -> None:
    with pytest.raises(InvalidUse) as caught:
        choose(OsEnv(), "srumm", [])
    assert "srum" in caught.value.hint
    assert choose(OsEnv(), "none", ["SruDbIdMapTable"]) is None
    assert parse({"name": "x"}, "here").fits(["anything"]) is False


def test_files_say_what_times_and_units_are(corpus: Path, tmp_path: Path) -> None:
    """The fields of Parquet and Arrow, a table in SQLite and the manifest say the same."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path = corpus / "srum" / "goese-SRUDB.dat"
    said: dict[str, dict[str, Any]] = {}
    for form in ("parquet", "sqlite"):
        target = tmp_path / ("x.sqlite" if form == "sqlite" else form)
        with Database.open(OsEnv(), str(path)) as db:
            report = Job(OsEnv(), db, str(target), Plan(form, profile="srum")).run()
        said[form] = {
            column["name"]: {key: value for key, value in column.items() if key != "type"}
            for result in report.results
            if result.title == "network_usage"
            for column in result.columns
        }
    assert said["parquet"] == said["sqlite"]
    assert said["parquet"]["TimeStamp"]["zone"] == "UTC"
    assert said["parquet"]["BytesSent"]["unit"] == "bytes"
    schema = parquet.read_schema(tmp_path / "parquet" / "network_usage.parquet")
    assert str(schema.field("TimeStamp").type).endswith("tz=UTC]")
    assert schema.field("BytesSent").metadata[b"hotsplit.unit"] == b"bytes"
    with sqlite3.connect(tmp_path / "x.sqlite") as found:
        query = "SELECT name, zone, unit FROM hotsplit_columns WHERE \"table\" = 'network_usage'"
        rows = {name: (zone, unit) for name, zone, unit in found.execute(query)}
    assert rows["TimeStamp"] == ("UTC", None)
    assert rows["BytesSent"] == (None, "bytes")
