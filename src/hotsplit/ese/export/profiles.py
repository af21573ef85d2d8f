"""Profiles: what the tables and columns of known applications mean, as data.

A profile is a TOML or JSON file. Those that come with the program lie in the folder
``hotsplit/profiles``; anyone can write one more:

    name = "shop"
    title = "Orders of the shop"
    match.tables = ["Orders"]              # the database must have all of them

    [columns]                              # of any table, by name or pattern
    "*When" = { decode = "filetime" }

    [tables.Orders]                        # by name or pattern
    title = "orders"
    columns.Flags = { decode = "flags", values = { 1 = "paid", 2 = "shipped" } }
    columns.CustomerId = { lookup = "customers", as = "Customer" }
    columns.Owner = { decode = "sid", add = "OwnerSid" }    # beside the column

    [lookups.customers]                    # adds a column beside the one with the number
    table = "Customers"
    key = "Id"
    value = "Name"

    [lookups.countries]                    # the same from what stands here
    values = { 41 = "Switzerland", 44 = "United Kingdom" }

Decoders are listed in `hotsplit.ese.export.decoders`.
"""

from __future__ import annotations

import fnmatch
import importlib.resources
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hotsplit.errors import InvalidUse
from hotsplit.ese.export.decoders import Decoder
from hotsplit.ese.files.env import Env

_COLUMN_KEYS = {"as", "add", "decode", "values", "lookup", "unit", "note"}
_TABLE_KEYS = {"title", "titles", "columns", "names", "note"}
_LOOKUP_KEYS = {"table", "key", "value", "kind", "decode", "values", "shift"}
_NAMES_KEYS = {"pattern", "table", "key", "value"}
_TOP_KEYS = {"name", "title", "match", "checked", "source", "columns", "tables", "lookups"}
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class ColumnRule:
    """What a profile says of a column.

    name: in the result, empty for its own. added: that of a column beside it with what it means.
    """

    name: str = ""
    decoder: Decoder | None = None
    lookup: str = ""
    unit: str = ""
    note: str = ""
    added: str = ""


@dataclass(frozen=True)
class Lookup:
    """What says what numbers or GUIDs mean: a table of the database, or the profile itself.

    kind: a column that chooses the decoder of the value; decoders: by its value, None for any.
    values: meanings by the text of a value, if no table has them. shift: number of the lowest bits
    of a number that do not count.
    """

    table: str
    key: str = ""
    value: str = ""
    kind: str = ""
    decoders: Mapping[int | None, Decoder] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    shift: int = 0


@dataclass(frozen=True)
class Names:
    """How columns or tables are called: what a group of the pattern finds in their name.

    table: if not empty, the group is a number, and the row of that table which has it in one of the
    columns `keys` has the name in the column `value`.
    """

    pattern: re.Pattern[str]
    table: str = ""
    keys: tuple[str, ...] = ()
    value: str = ""


@dataclass(frozen=True)
class TableRule:
    """What a profile says of a table.

    titles: how each of several such tables is called, with its number behind it.
    """

    title: str = ""
    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    names: Names | None = None
    note: str = ""
    titles: Names | None = None


@dataclass(frozen=True)
class Profile:
    """A profile. checked: it was tried on real databases."""

    name: str
    title: str
    required: tuple[str, ...]
    tables: Mapping[str, TableRule]
    columns: Mapping[str, ColumnRule]
    lookups: Mapping[str, Lookup]
    checked: bool = False

    def fits(self, names: list[str]) -> bool:
        """Say whether a database with tables of these names is of the application."""
        return bool(self.required) and all(_find(dict.fromkeys(names), r) for r in self.required)

    def table(self, name: str) -> TableRule:
        """Return what is said of a table."""
        return _best(self.tables, name) or TableRule()

    def column(self, table: str, column: str) -> ColumnRule:
        """Return what is said of a column: by its table's rule, else by the general one."""
        return _best(self.table(table).columns, column) or _best(self.columns, column) or _NOTHING


_NOTHING = ColumnRule()


def _find(names: Mapping[str, Any], pattern: str) -> str | None:
    folded = pattern.casefold()
    return next((n for n in names if fnmatch.fnmatchcase(n.casefold(), _literal(folded))), None)


def _best(rules: Mapping[str, Any], name: str) -> Any:
    """Return the rule of that very name, else of the first pattern that fits."""
    if name in rules:
        return rules[name]
    folded = name.casefold()
    return next(
        (r for p, r in rules.items() if fnmatch.fnmatchcase(folded, _literal(p.casefold()))), None
    )


def _literal(pattern: str) -> str:
    return pattern.replace("[", "[[]")


def builtin_names() -> list[str]:
    """Return the names of the profiles that come with the program."""
    folder = importlib.resources.files("hotsplit") / "profiles"
    files = [file.name for file in folder.iterdir()]
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def load_builtin(name: str) -> Profile:
    """Return a profile that comes with the program. Raises InvalidUse if there is none."""
    if name not in builtin_names():
        known = ", ".join(builtin_names())
        raise InvalidUse(f"no profile is named {name!r}", hint=f"There are: {known}; or a file.")
    file = importlib.resources.files("hotsplit") / "profiles" / f"{name}.toml"
    return parse(tomllib.loads(file.read_text("utf-8")), f"profile {name}")


def load_file(env: Env, path: str) -> Profile:
    """Return the profile in a TOML or JSON file. Raises InvalidUse that names what is wrong."""
    file = env.open(path, "read")
    try:
        data = file.pread(_MOST_BYTES, 0)
    finally:
        file.close()
    try:
        text = data.decode("utf-8")
        raw = json.loads(text) if path.lower().endswith(".json") else tomllib.loads(text)
    except ValueError as error:
        raise InvalidUse(f"the profile cannot be read: {error}", file=path) from error
    return parse(raw, path)


def choose(env: Env, wanted: str, tables: list[str]) -> Profile | None:
    """Return the profile for a database with these tables.

    wanted: ``auto`` (one that comes with the program and fits), ``none``, a name, or a file.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        return next((p for p in map(load_builtin, builtin_names()) if p.fits(tables)), None)
    if wanted.lower().endswith((".toml", ".json")):
        return load_file(env, wanted)
    return load_builtin(wanted)


def parse(raw: Any, where: str) -> Profile:
    """Make a profile of the content of its file. Raises InvalidUse that names what is wrong."""
    try:
        _check(raw, _TOP_KEYS, "the profile")
        match = raw.get("match", {})
        profile = Profile(
            str(raw["name"]),
            str(raw.get("title", raw["name"])),
            tuple(map(str, match.get("tables", ()))),
            {name: _table(rule, name) for name, rule in raw.get("tables", {}).items()},
            dict(_columns(raw.get("columns", {}))),
            {name: _lookup(rule, name) for name, rule in raw.get("lookups", {}).items()},
            bool(raw.get("checked", False)),
        )
        _check_lookups(profile)
        return profile
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidUse(f"the profile is wrong: {why}", file=where) from error


def _check(raw: Any, keys: set[str], what: str) -> None:
    if not isinstance(raw, dict):
        raise TypeError(f"{what} is no table of names and values")
    unknown = set(raw) - keys
    if unknown:
        known = ", ".join(sorted(keys))
        raise ValueError(f"{what} has {', '.join(sorted(unknown))}, which is none of {known}")


def _check_lookups(profile: Profile) -> None:
    for columns in (profile.columns, *(table.columns for table in profile.tables.values())):
        for name, rule in columns.items():
            if rule.lookup and rule.lookup not in profile.lookups:
                raise ValueError(f"column {name} has lookup {rule.lookup!r}, which is not there")


def _table(raw: Any, name: str) -> TableRule:
    _check(raw, _TABLE_KEYS, f"tables.{name}")
    names, named = (_names(raw.get(key), f"tables.{name}.{key}") for key in ("names", "titles"))
    if named and not (named.table and named.pattern.groups):
        raise ValueError(f"tables.{name}.titles needs a table, and a group in its pattern")
    columns = dict(_columns(raw.get("columns", {})))
    return TableRule(str(raw.get("title", "")), columns, names, str(raw.get("note", "")), named)


def _names(raw: Any, where: str) -> Names | None:
    if raw is None:
        return None
    _check(raw, _NAMES_KEYS, where)
    keys = raw.get("key", ())
    keys = (keys,) if isinstance(keys, str) else tuple(keys)
    return Names(re.compile(raw["pattern"]), raw.get("table", ""), keys, raw.get("value", ""))


def _columns(raw: Any) -> Iterator[tuple[str, ColumnRule]]:
    for name, rule in raw.items():
        _check(rule, _COLUMN_KEYS, f"column {name}")
        decoder = None
        if "decode" in rule:
            decoder = Decoder(rule["decode"], _numbers(rule.get("values", {})))
        yield (
            name,
            ColumnRule(
                str(rule.get("as", "")),
                decoder,
                str(rule.get("lookup", "")),
                str(rule.get("unit", "")),
                str(rule.get("note", "")),
                str(rule.get("add", "")),
            ),
        )


def _numbers(raw: Mapping[str, Any]) -> dict[int, str]:
    return {int(number, 0): str(name) for number, name in raw.items()}


def _lookup(raw: Any, name: str) -> Lookup:
    _check(raw, _LOOKUP_KEYS, f"lookups.{name}")
    shift = int(raw.get("shift", 0))
    if "values" in raw:
        values = {str(key).casefold(): str(text) for key, text in raw["values"].items()}
        return Lookup("", values=values, shift=shift)
    decode = raw.get("decode", {})
    if isinstance(decode, str):
        decoders: dict[int | None, Decoder] = {None: Decoder(decode)}
    else:
        decoders = {int(kind): Decoder(one) for kind, one in decode.items()}
    kind = str(raw.get("kind", ""))
    return Lookup(raw["table"], raw["key"], raw["value"], kind, decoders, shift=shift)
