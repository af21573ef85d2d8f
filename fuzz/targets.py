"""What is done with the files of a case. Nothing may raise but HotsplitError."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.batches import rows_of

from fuzz.classic import esefile, eseutil
from fuzz.live import live
from fuzz.place import Place, Target, WrongOutcome, run_command
from hotsplit.cli import main
from hotsplit.errors import HotsplitError, error_classes
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.export.text import RowWriter
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.identify import FileKind
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
from hotsplit.ese.read.table import Table
from hotsplit.ese.rebuild.objects import CATALOG, SHADOW
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover

MOST_TABLES, MOST_ROWS = 60, 3000
OPTIONS = (
    *(Options(),) * 4,
    Options(ignore_checkpoint=True),
    Options(undo=False),
    Options(accept_lost_logs=True, ignore_missing=True, cut_torn_tail=True),
    Options(hard=True),
    Options(until=LogPosition(4, 9, 0), budget=1 << 18),
)
_STATUSES = {0, 3, 4, *(cls.exit_status for cls in error_classes())}


def _json_command(*args: str) -> str:
    status, text = run_command(main, *args, "--json")
    if status not in _STATUSES:
        raise WrongOutcome(f"exit status {status} of {args}: {text[:300]}")
    report = json.loads(text)
    error = report.get("error")
    if (status != 0) != (error is not None) and args[0] in ("inspect", "logs"):
        raise WrongOutcome(f"{args[0]}: exit status {status}, error {error}")
    return f"{status} {error and error['name']}"


def verify(place: Place) -> str:
    """Check the files."""
    return _json_command("verify", *map(str, place.changed))


def inspect(place: Place) -> str:
    """Show the headers of the files."""
    return _json_command("inspect", *map(str, place.changed))


def logs(place: Place) -> str:
    """List the logs."""
    return _json_command("logs", str(place.folder))


def records(place: Place) -> str:
    """Decode every record of the logs."""
    found = []
    for path in place.of_kind(FileKind.LOG):
        count = 0
        try:
            with LogFile.open(OsEnv(), str(path)) as log:
                for _position, raw in log.records():
                    decode(raw).as_dict()
                    count += 1
            found.append(str(count))
        except HotsplitError as error:
            found.append(f"{count} {error.jet.title}")
    return " ".join(found)


def rows(place: Place) -> str:
    """Read every table of the databases row by row."""
    return " ".join(_all_tables(path, _read_rows) for path in place.of_kind(FileKind.DATABASE))


def batches(place: Place) -> str:
    """Read every table of the databases by columns."""
    return " ".join(_all_tables(path, _read_batches) for path in place.of_kind(FileKind.DATABASE))


def remains(place: Place) -> str:
    """Look for deleted, orphaned and carved rows in the databases."""
    return " ".join(_all_tables(path, _read_remains) for path in place.of_kind(FileKind.DATABASE))


def check(place: Place) -> str:
    """Check the integrity of the databases."""
    return " ".join(_json_command("check", str(p)) for p in place.of_kind(FileKind.DATABASE))


def assess(place: Place) -> str:
    """Ask whether the files can be recovered."""
    return _json_command("assess", str(place.folder))


def recover_all(place: Place) -> str:
    """Recover what is in the folder; read the result."""
    folder, into = place.folder, place.scratch / "recovered"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    options = OPTIONS[place.number % len(OPTIONS)]
    try:
        result = recover(OsEnv(), [str(folder)], [str(folder)], str(into), options)
        outcome = " ".join(_all_tables(Path(path), _read_rows) for path, _, _ in result.databases)
        outcome += f" {result.undone}"
    except HotsplitError as error:
        outcome = f"{error.jet.title} {error.message}"
        if into.exists():
            raise WrongOutcome(f"a result is there in spite of {outcome}") from error
    if before != {path.name: path.read_bytes() for path in folder.iterdir()}:
        raise WrongOutcome("the source was changed")
    return outcome


def recover_where_they_lie(place: Place) -> str:
    """Recover copies in place; the rows must be those of a recovery into a new folder."""
    folder, into = place.scratch / "in place", place.scratch / "beside"
    shutil.copytree(place.folder, folder)
    source = str(place.folder)
    try:
        here = recover_in_place(OsEnv(), [str(folder)], []).databases
        there = recover(OsEnv(), [source], [source], str(into)).databases
    except HotsplitError as error:
        return f"{error.jet.title} {error.message}"
    rows_here = [_all_tables(Path(path), _read_rows) for path, _, _ in sorted(here)]
    rows_there = [_all_tables(Path(path), _read_rows) for path, _, _ in sorted(there)]
    created = len(rows_there) - len(rows_here)  # only a new folder gets databases out of logs alone
    if not created and rows_here != rows_there:
        raise WrongOutcome(f"other rows in place: {rows_here} {rows_there}")
    return " ".join(rows_here)


def rewrite(place: Place) -> str:
    """Write the databases anew, compacted and scrubbed."""
    found = []
    for path in place.of_kind(FileKind.DATABASE):
        for command in ("compact", "scrub"):
            into = place.scratch / f"{command} {path.name}"
            options = (str(path), "--into", str(into), "--replay")
            outcome = _json_command(command, *options)
            if outcome.startswith("0"):
                outcome += _all_tables(into, _read_rows)
            found.append(outcome)
    return " ".join(found)


def mend(place: Place) -> str:
    """Repair the databases: results are sound, unless both copies of the catalog are damaged."""
    found = []
    for path in place.of_kind(FileKind.DATABASE):
        into = place.scratch / f"mended {path.name}"
        args = ("repair", str(path), "--into", str(into), "--json")
        status, text = run_command(main, *args)
        if status not in _STATUSES:
            raise WrongOutcome(f"exit status {status} of repair: {text[:300]}")
        report = json.loads(text)
        if report.get("error") is not None:
            found.append(report["error"]["name"])
            continue
        catalogs = {tree["object"] for tree in report["trees"]} & {CATALOG.text, SHADOW.text}
        if not report["sound"] and not catalogs and not report["notes"]:
            raise WrongOutcome(f"the result is not sound: {report['check']}")
        found.append(f"{report['sound']} {_all_tables(into, _read_rows)}")
    return " ".join(found)


def export(place: Place) -> str:
    """Export the databases as text, with what was deleted."""
    found = []
    for path in place.of_kind(FileKind.DATABASE):
        into = place.scratch / f"exported {path.name}"
        options = ("--format", "jsonl", "--include", "all", "--jobs", "1")
        found.append(_json_command("export", str(path), "--output", str(into), *options))
    return " ".join(found)


ALWAYS: tuple[Target, ...] = (verify, inspect, logs, records, rows, check, assess, recover_all)
SOMETIMES: tuple[Target, ...] = (
    batches, remains, recover_where_they_lie, rewrite, export, mend, eseutil, esefile, live,
)  # fmt: skip
NAMED: dict[str, Target] = {target.__name__: target for target in (*ALWAYS, *SOMETIMES)}


def named(names: str) -> tuple[Target, ...]:
    """Return the targets of these names, none if there are none. Raises ValueError."""
    wrong = sorted(set(names.split()) - NAMED.keys())
    if wrong:
        raise ValueError(f"no such target: {', '.join(wrong)}; there are {', '.join(NAMED)}")
    return tuple(NAMED[name] for name in names.split())


def targets_of(number: int) -> tuple[Target, ...]:
    """Return what is done in a case: the rarer things take turns."""
    return (*ALWAYS, SOMETIMES[number % len(SOMETIMES)])


def _all_tables(path: Path, read: Callable[[Table, Callable[[bytes], None]], int]) -> str:
    """Read the tables of a database; return the number of rows and a sum of what they hold."""
    digest, count = hashlib.sha256(), 0
    try:
        with Database.open(OsEnv(), str(path)) as db:
            for name in db.tables(system=True)[:MOST_TABLES]:
                with contextlib.suppress(HotsplitError):
                    count += read(db.table(name), digest.update)
            found = sum(db.reporter.counts.values())
    except HotsplitError as error:
        return error.jet.title
    return f"{count} rows {found} findings {digest.hexdigest()[:16]}"


def _read_rows(table: Table, update: Callable[[bytes], None]) -> int:
    writer, count = RowWriter(table.columns, "jsonl"), 0
    values = itertools.islice(table.values(), MOST_ROWS)
    while batch := list(itertools.islice(values, 500)):
        update(writer.encode(batch))
        count += len(batch)
    for record in itertools.islice(table.records([]), MOST_ROWS):
        update(record.key)
    for index in table.indexes[:10]:
        with contextlib.suppress(HotsplitError):
            for entry in itertools.islice(table.entries(index), MOST_ROWS):
                update(entry.key + entry.bookmark)
    return count


def _read_batches(table: Table, update: Callable[[bytes], None]) -> int:
    count = 0
    for batch in itertools.islice(table.batches(size=200, keys=True), MOST_ROWS // 200):
        for row in rows_of(batch):
            update(repr(row).encode())
            count += 1
    return count


def _read_remains(table: Table, update: Callable[[bytes], None]) -> int:
    count = 0
    for row in itertools.islice(table.labelled(include=list(State)), MOST_ROWS):
        update(repr((row.key, row.values)).encode())
        count += 1
    return count
