"""The engine in one import: storage groups that write real ESE databases and logs.

    from hotsplit import engine

    with engine.open("/srv/sg1") as instance:
        database = instance.create_database("/srv/sg1/mail.edb")
        with instance.session() as session, session.transaction():
            ...

What can be had from here is what programs need; `hotsplit.ese.engine` holds all of it.
"""

from __future__ import annotations

import os

from hotsplit.ese.engine.counters import Counters
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.freeze import Freeze
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index, Tuples
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.cursor import Cursor
from hotsplit.ese.engine.tables.longfile import LongFile
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.upkeep.maintenance import defragment, scrub, shrink
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.recovery.events import Watch

__all__ = [
    "Coltyp", "Column", "Counters", "Cursor", "Freeze", "Index", "Instance", "LongFile",
    "OpenDatabase", "Session", "Settings", "Table", "Tuples", "Watch", "defragment", "open",
    "scrub", "shrink",
]  # fmt: skip


def open(settings: Settings | str | os.PathLike[str], *, watch: Watch | None = None) -> Instance:
    """Open a storage group, or begin a new one; after a crash it is recovered first.

    settings: all of them, or only the folder of the logs, which is made if need be. watch: is told
    events. Raises HotsplitError.
    """
    if not isinstance(settings, Settings):
        settings = Settings(os.fspath(settings))
    return Instance.open(OsEnv(), settings, watch)
