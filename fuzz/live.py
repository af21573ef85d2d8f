"""The engine over the databases of a case: attached, changed, looked after, backed up."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import hotsplit
from fuzz.place import Place, WrongOutcome
from hotsplit import backup, engine
from hotsplit.errors import HotsplitError, PageDamaged
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.tables.table import Row, Table
from hotsplit.ese.files.identify import FileKind
from hotsplit.report import Severity

MOST_TABLES, MOST_ROWS, MOST_IDLE, CACHE = 20, 40, 200, 8 << 20


def live(place: Place) -> str:
    """Attach the databases to new instances and work in them: what was sound stays so."""
    found = []
    for number, path in enumerate(place.of_kind(FileKind.DATABASE)):
        into = place.scratch / f"live {number}"
        try:
            result = hotsplit.recover(path, into, place.folder)
            for database, _, _ in result.databases:
                found.append(_live_in(Path(database), place.scratch / f"logs {number}"))
        except HotsplitError as error:
            found.append(error.jet.title)
    return " ".join(found)


def _live_in(path: Path, logs: Path) -> str:
    worst = hotsplit.check(path).reporter.worst()
    sound = worst in (None, Severity.NOTE) and not hotsplit.verify(path).is_damaged
    with hotsplit.open(path) as db:
        settings = engine.Settings(str(logs), page_size=db.page_size, cache_size=CACHE)
    try:
        with engine.open(settings) as instance, instance.session() as session:
            try:
                database = instance.attach_database(str(path))
            except HotsplitError as error:
                return error.jet.title
            done = sum(
                _work(session, database, name) for name in database.table_names()[:MOST_TABLES]
            )
            _look_after(instance, session, database, logs)
    except HotsplitError as error:
        if sound:
            raise WrongOutcome(f"trouble in a sound database: {error.jet.title} {error}") from error
        return error.jet.title
    damaged = hotsplit.check(path).is_damaged
    if sound and damaged:
        raise WrongOutcome(f"not sound any more after {done} changes")
    return f"{done} changes, sound {sound}, {not damaged}"


def _work(session: Session, database: OpenDatabase, name: str) -> int:
    """Change rows of a table where that can be; return how many statements went well."""
    done = 0
    with contextlib.suppress(HotsplitError):
        table = session.open_table(database, name)
        rows = list(itertools.islice(table.rows(), MOST_ROWS))
        cursor = table.cursor()
        place = cursor.first()
        for number, row in enumerate(rows):
            if not place:
                break
            done += _change(table, cursor.bookmark, row, number)
            place = cursor.move(1)
    return done


def _change(table: Table, bookmark: bytes, row: Row, number: int) -> int:
    """Carry out one statement; tell whether it went well."""
    try:
        match number % 4:
            case 0:
                table.update(bookmark, row)
            case 1:
                table.copy(bookmark, {})
            case 2:
                table.delete(bookmark)
            case _:
                table.insert(row)
    except HotsplitError:
        return 0
    return 1


def _look_after(instance: Instance, session: Session, database: OpenDatabase, logs: Path) -> None:
    engine.defragment(session, database)
    engine.shrink(session, database)
    with contextlib.suppress(PageDamaged):  # of a free page: no check looks at these
        engine.scrub(session, database)
    for _ in range(MOST_IDLE):
        if not instance.idle():
            break
    backup.back_up(instance, str(logs.with_name(f"{logs.name} saved")))
