"""A new database: its record in the log, its file, what every database has in it.

Source: log specification 7.7.
"""

from __future__ import annotations

import contextlib
import os.path

from hotsplit.errors import FileMissing, HotsplitError, InvalidUse, Jet, TargetExists
from hotsplit.ese.engine.context import Context
from hotsplit.ese.engine.database import FIRST_PAGES, OpenDatabase, new_header, path_bytes
from hotsplit.ese.engine.pages.livestore import LiveStore
from hotsplit.ese.engine.session import Session
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.logrecord import WITH_VERSION, encode
from hotsplit.ese.format.names import parse_name
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.pages import position_number, position_of

_CREATE_GRBIT = 0x200
_UTF16_NAME = 0x08
_FULLY_LOGGED = b"\2\0\0\0"


def check_name(path: str) -> None:
    """Raise InvalidUse (-1023) for a path that logs cannot hold, or that other files need."""
    if "\0" in path or (not path.isascii() and path.encode("utf-8", "ignore").decode() != path):
        raise InvalidUse(f"No text: {path!r}", jet=Jet.errInvalidPath)
    if parse_name(os.path.basename(path)) is not None:  # noqa: PTH119
        raise InvalidUse("Files of a log stream are called so", jet=Jet.errInvalidPath, file=path)


def make_file(context: Context, procid: int, dbid: int, path: str) -> LiveStore:
    """Log that a database is made, and make its file, of a header alone.

    Raises TargetExists, FileMissing (-1023), InvalidUse (-1023) before anything is logged.
    """
    check_name(path)
    if context.env.exists(path):
        raise TargetExists("The database is there already", file=path)
    if not context.env.is_dir(os.path.dirname(path)):  # noqa: PTH120
        raise FileMissing("There is no such folder", jet=Jet.errInvalidPath, file=path)
    header = new_header(context)
    record = encode(
        T.CREATE_DB, procid=procid, dbid=dbid, grbit=_CREATE_GRBIT,
        db_signature=header.db_signature, flags=_UTF16_NAME | WITH_VERSION,
        version=_FULLY_LOGGED, path=path_bytes(path),
    )  # fmt: skip
    position = context.journal.note(record)
    context.log.flush(position)
    header.attach, header.attach_time = position_of(position), context.now()
    return LiveStore.create(context.env, path, header)


def remove_file(env: Env, path: str) -> None:
    """Remove what was made: a header alone. If that fails, too, the first error is told."""
    with contextlib.suppress(HotsplitError):
        env.remove(path)
        env.sync_dir(os.path.dirname(path))  # noqa: PTH120


def fill(context: Context, internal: Session, database: OpenDatabase) -> None:
    """Make what every database has. Raises whatever it is: the instance is stopped then.

    So it is with a database as after a crash: whoever opens the instance again removes it.
    """
    with context.log.stopped_by_errors():
        catalog, attach = database.catalog, position_number(database.header.attach)
        catalog.create(internal, FIRST_PAGES)
        context.journal.note(encode(T.CREATE_DB_FINISH, procid=internal.procid, dbid=database.dbid))
        context.log.flush()
        database.mark_attached(attach)
        catalog.create_others(internal)
        context.log.flush()
