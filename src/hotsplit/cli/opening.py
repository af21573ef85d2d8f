"""Options that say which database, and which of its rows, a command reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from hotsplit.ese.files.env import Env
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import INCLUDABLE, State
from hotsplit.ese.recovery.replayed import open_replayed

_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(,|\Z)')


def replay_options(function: Any) -> Any:
    """Add ``--replay`` and ``--logs``."""
    function = click.option(
        "--logs", multiple=True, type=click.Path(), metavar="DIR", help="Folder of logs to replay."
    )(function)
    return click.option(
        "--replay",
        is_flag=True,
        help="Read a dirty database as recovery would leave it; nothing is written.",
    )(function)


def include_option(function: Any) -> Any:
    """Add ``--include``, which gives a tuple of states."""

    def parse(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[State, ...]:
        names = [name.strip() for name in (value or "").split(",") if name.strip()]
        known = {str(state): state for state in INCLUDABLE}
        unknown = [name for name in names if name not in (*known, "all")]
        if unknown:
            raise click.BadParameter(f"{unknown[0]} is none of {', '.join(known)}, all")
        chosen = known if "all" in names else names
        return tuple(state for name, state in known.items() if name in chosen)

    return click.option(
        "--include",
        metavar="STATES",
        callback=parse,
        help="Rows that are not live too: deleted, orphaned, carved, or all; each is labelled.",
    )(function)


def column_names(text: str) -> list[str]:
    """Return the names of ``--columns``; one with a comma stands in double quotes."""
    names: list[str] = []
    at: int | None = 0
    while at is not None and (found := _NAME.match(text, at)):
        quoted, plain, more = found.groups()
        names.append(plain.strip() if quoted is None else quoted.replace('""', '"'))
        at = found.end() if more else None
    return names


def profile_option(default: str) -> Callable[[Any], Any]:
    """Return what adds ``--profile``."""
    return click.option(
        "--profile",
        default=default,
        show_default=True,
        metavar="NAME|FILE",
        help="Names and meanings of columns: auto, none, the name of one, or a TOML or JSON file.",
    )


def opener(
    env: Env, path: str, *, replay: bool = False, logs: tuple[str, ...] = ()
) -> Callable[[], Database]:
    """Return what opens the database; it can be handed to another process."""
    if replay:
        return partial(open_replayed, env, path, list(logs))
    return partial(Database.open, env, path)
