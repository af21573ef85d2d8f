"""What tables are called: titles stand in the profile, or in the database itself."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from hotsplit.errors import ObjectNotFound
from hotsplit.ese.export.fields import known_names
from hotsplit.ese.export.profiles import Profile, choose
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table


def profile_of(env: Env, wanted: str, db: Database) -> Profile | None:
    """Return the profile for a database, with the titles that the database gives to its tables.

    wanted: as in `choose`. Raises InvalidUse.
    """
    names = db.tables(system=True)
    profile = choose(env, wanted, names)
    if profile is None:
        return None
    found = {}
    for name in names:
        rule = profile.table(name)
        match = rule.titles.pattern.fullmatch(name) if rule.titles else None
        if rule.titles and match:
            number = match.group(1)
            title = known_names(db, rule.titles).get(int(number))
            if title:
                found[name] = replace(rule, title=f"{title}_{number}")
    return replace(profile, tables={**found, **profile.tables})


def titles(names: Sequence[str], profile: Profile | None) -> dict[str, str]:
    """Return the titles that a profile gives to tables, by their names."""
    found = {name: profile.table(name).title for name in names} if profile else {}
    return {name: title for name, title in found.items() if title}


def named_table(db: Database, name: str, profile: Profile | None) -> Table:
    """Return the table of a name, or of the title that a profile gives it.

    Raises ObjectNotFound with near names and titles as hint.
    """
    names = db.tables(system=True)
    by_title = titles(names, profile)
    folded = name.casefold()
    if folded not in {own.casefold() for own in names}:
        for own, title in by_title.items():
            if title.casefold() == folded:
                return db.table(own)
    try:
        return db.table(name)
    except ObjectNotFound as error:
        near = difflib.get_close_matches(folded, by_title.values(), n=1)
        if near and error.hint == error.default_hint:
            error.hint = f"Did you mean {near[0]}?"
        raise
