"""What profiles say against what real databases and public documentation say.

A rule that fits no column does nothing, and nobody would notice.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from hotsplit.ese.export.profiles import Profile, load_builtin
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database

_DOCUMENTED = tomllib.loads(
    (Path(__file__).parents[2] / "data" / "schemas.toml").read_text(encoding="utf-8")
)
_REAL = {
    "srum": ("srum/*.dat", "srum/*/SRUDB.dat", "birth/expected-day0/*.dat"),
    "ual": ("ual/hyperv/Current.mdb", "ual/nondomain/Current.mdb"),
    "ual-system": ("ual/hyperv/SystemIdentity.mdb",),
}
_NOT_FOUND = {
    "update-datastore": {"*UpdateID", "HResult"},  # of newer systems; no document, no file
    "dhcp": {"*ServerIp*", "*MacAddress*", "*LeaseTerminate*", "*ExpiryTime*"},  # of no document
    "srum": {"{B6D82AF1-F780-4E17-8077-6CB9AD8A6FC4}"},  # an extension that is seldom there
}
_Schema = Mapping[str, Collection[str]]


def _without_effect(profile: Profile, schema: _Schema) -> set[str]:
    """Return the rules, and the tables, that fit nothing in a schema."""
    everything = {column for columns in schema.values() for column in columns}
    found = {rule for rule in profile.columns if not fnmatch.filter(everything, rule)}
    for name, table in profile.tables.items():
        fitting = fnmatch.filter(schema, name)
        columns = {column for one in fitting for column in schema[one]}
        found |= set() if fitting else {name}
        found |= {r for r in table.columns if fitting and not fnmatch.filter(columns, r)}
    return found


@pytest.mark.parametrize("name", _DOCUMENTED)
def test_rules_fit_documented_columns(name: str) -> None:
    found = _without_effect(load_builtin(name), _DOCUMENTED[name])
    assert found == _NOT_FOUND.get(name, set())


@pytest.mark.parametrize("name", _REAL)
def test_rules_fit_columns_of_real_databases(corpus: Path, name: str) -> None:
    schema: dict[str, set[str]] = {}
    for path in (found for pattern in _REAL[name] for found in corpus.glob(pattern)):
        with Database.open(OsEnv(), str(path)) as db:
            for table in map(db.table, db.tables()):
                schema.setdefault(table.name, set()).update(c.name for c in table.columns)
    assert _without_effect(load_builtin(name), schema) == _NOT_FOUND.get(name, set())


def test_attributes_are_called_as_the_directory_calls_them(corpus: Path) -> None:
    """The schema of the directory lies in it: the numbers in the profile are those of its notes."""
    with Database.open(OsEnv(), str(corpus / "ntds" / "ntds.dit")) as db:
        table = db.table("datatable")
        rows = table.values(["ATTc131102", "ATTm131532"])
        names = {_one(number): str(_one(name)) for number, name in rows if number and name}
    assert len(names) > 1000
    rules = load_builtin("ntds").tables["datatable"].columns
    guid = rules["ATTk589972"].decoder
    assert guid is not None
    assert guid("a37a96bfe60dd011a28500aa003049e2") == "a37a96bfe60dd011a28500aa003049e2"
    assert str(guid(bytes.fromhex("ba7a96bfe60dd011a28500aa003049e2"))) == (
        "bf967aba-0de6-11d0-a285-00aa003049e2"  # of the class user, as documented
    )
    for column, rule in rules.items():
        if rule.note and "*" not in column:
            assert names[int(column[4:])] == rule.note


def _one(value: object) -> object:
    return value[0] if isinstance(value, list) else value
