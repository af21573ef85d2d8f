"""Counts of docs/compatibility.md that can be asked again without the published engine.

    python -m tests.compatibility

recovers every reference set, and holds the result against the listing that the real engine made of
the same files (`tests.expected`), against hotsplit's own check and against two independent readers;
rebuilds databases; reads real Windows databases. Prints a table; the exit status is 1 if anything
differs. A reader that cannot open a database at all is counted apart.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import pyesedb
from dissect.database.ese import ESE
from pyarrow.parquet import read_metadata

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.integrity import check_database
from hotsplit.ese.export.job import Job
from hotsplit.ese.export.manifest import Plan
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
from hotsplit.ese.rebuild.compact import compact
from hotsplit.ese.rebuild.scrub import scrub
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover
from hotsplit.report import Reporter, Severity
from tests.conftest import SHARED, manifest, set_names, unpack_vector
from tests.expected import compare_rows

READERS_SKIP = ("engine/large.edb",)  # minutes for one of them
DEFECTIVE = ("Catalog1.edb",)  # has a page that is newer than its header says
Case = tuple[Path, Path | None]
"""A database, and the engine's listing of it if there is one."""


@dataclass
class Counts:
    """What came of the databases of one kind. listings: those that the engine listed."""

    databases: int = 0
    listings: int = 0
    equal: int = 0
    sound: int = 0
    libesedb: int = 0
    dissect: int = 0
    unreadable: int = 0
    exported: int = 0
    differences: list[str] = field(default_factory=list)

    def take(self, case: Case, what: str) -> None:
        """Look at one database."""
        path, listing = case
        self.databases += 1
        with Database.open(OsEnv(), str(path)) as db:
            if listing is not None:
                self.listings += 1
                found = compare_rows(db, json.loads(listing.read_text()))
                self.equal += not found
                self.differences += [f"{what}: {one}" for one in found[:1]]
            mine = {table.name: table.count() for table in db}
            shown = {name: n + _deleted(db, name) for name, n in mine.items()}
            exported = _exported(db)
        errors = _errors(path)
        self.sound += not errors
        if path.name not in DEFECTIVE:
            self.differences += [f"{what}: {one}" for one in errors[:1]]
        self._ask("libesedb", partial(_libesedb, path), mine, what)
        self._ask("dissect", partial(_dissect, path), shown, what)
        self._ask("exported", lambda: exported, mine, what)

    def _ask(
        self, name: str, reader: Callable[[], dict[str, int]], mine: dict[str, int], what: str
    ) -> None:
        """Compare the numbers of rows in the tables."""
        try:
            theirs = reader()
        except Exception:  # whatever it falls over
            self.unreadable += 1
            return
        wrong = [t for t, n in mine.items() if theirs.get(t, n if name == "exported" else -1) != n]
        setattr(self, name, getattr(self, name) + (not wrong))
        for table in wrong[:1]:
            numbers = f"{theirs.get(table)} rows of {table}, not {mine[table]}"
            self.differences.append(f"{what}: {name} has {numbers}")


def _deleted(db: Database, name: str) -> int:
    """Return how many rows of a table are flagged as deleted: one reader shows them, too."""
    rows = db.table(name).labelled([], include={State.DELETED})
    return sum(row.origin.label.state == State.DELETED for row in rows)


def _exported(db: Database) -> dict[str, int]:
    """Export to Parquet; return how many rows the files say that they have."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Job(OsEnv(), db, f"{scratch}/out", Plan("parquet", profile="none")).run()
        assert not report.failed
        files = {result.table: f"{scratch}/out/{result.file}" for result in report.results}
        return {table: read_metadata(file).num_rows for table, file in files.items()}


def _errors(path: Path) -> list[str]:
    reporter = Reporter()
    check_database(OsEnv(), str(path), reporter)
    return [f"{f.rule}: {f.message}" for f in reporter.findings if f.severity == Severity.ERROR]


def _libesedb(path: Path) -> dict[str, int]:
    file = pyesedb.file()
    file.open(str(path))
    tables = [file.get_table(i) for i in range(file.get_number_of_tables())]
    return {table.name: table.get_number_of_records() for table in tables}


def _dissect(path: Path) -> dict[str, int]:
    with path.open("rb") as file:
        return {t.name: sum(1 for _ in t.records()) for t in ESE(file).tables()}


# Databases


def crashes(scratch: Path) -> Iterator[Case]:
    """Engine killed at full load."""
    for name in set_names("crash"):
        folder = unpack_vector(name)
        yield from _recovered(folder / "crash", [], scratch / name, folder / "expected.json")


def snapshots(scratch: Path) -> Iterator[Case]:
    """Hot split snapshots, alone and rolled forward to the end of their stream."""
    for name in set_names("hotsplit"):
        folder = unpack_vector(name)
        for snap, case in manifest()[name]["snapshots"].items():
            into = scratch / f"{name}-{snap}"
            yield from _recovered(folder / snap, [], into, folder / f"{snap}.json")
            if case.get("rollforward_no_checkpoint", {}).get("same_rows_as_end"):
                source, into = folder / snap / "test.edb", scratch / f"{name}-{snap}-end"
                yield from _recovered(source, [folder / "end"], into, folder / "end.json")


def volumes(scratch: Path) -> Iterator[Case]:
    """Database and logs from two volumes, one after the other."""
    for name in set_names("hotsplit-two"):
        folder, pairs = unpack_vector(name), manifest()[name]["pairs"]
        for pair, case in pairs.items():
            database, logs = pair.split("_")[0].split("+")
            best = pairs.get(f"{database}+{logs}_no_checkpoint", case)
            if not best["error"]:
                source, into = folder / database / "test.edb", scratch / f"{name}-{pair}"
                yield from _recovered(source, [folder / logs], into, folder / best["rows_json"])


def several(scratch: Path) -> Iterator[Case]:
    """Three databases of one stream."""
    for name in set_names("multidb"):
        folder = unpack_vector(name)
        yield from _recovered(folder / "crash", [], scratch / name, folder / "expected")


def moments(scratch: Path) -> Iterator[Case]:
    """The same workload killed at many points; a frozen snapshot, also rolled forward."""
    for name in set_names("tail-many"):
        folder = unpack_vector(name)
        for case in manifest()[name]["cases"]:
            into = scratch / f"{name}-{case['case']}"
            listing = folder / case["result"]["rows_json"]
            yield from _recovered(folder / case["directory"], [], into, listing)
    for name in set_names("os-snapshot"):
        folder = unpack_vector(name)
        source = folder / "snap" / "test.edb"
        yield from _recovered(source, [], scratch / name, folder / "snap.json")
        into, end = scratch / f"{name}-end", folder / "end"
        yield from _recovered(source, [end], into, folder / "end.json")


def backups(scratch: Path) -> Iterator[Case]:
    """Streaming backups, hard recovery, of one set and of several together."""
    listings = {"full": "content_full.json", "incr": "content_incr.json", "end": "content_end.json"}
    for name in set_names("backup-stream"):
        folder = unpack_vector(name)
        for case_name, case in manifest()[name]["restores"].items():
            if case["error"] or "missing" in case_name or case_name.endswith("_soft"):
                continue
            source = scratch / f"{name}-{case_name}-set"
            source.mkdir()
            for part, _ in case["parts"]:
                for path in (folder / {"d": "live"}.get(part, part)).iterdir():
                    if part != "d" or path.suffix == ".log":
                        shutil.copy(path, source)
            more = [folder / "live"] if case.get("log_directory_of_live_engine") else []
            listing = folder / (case.get("rows_json") or listings[case["same_rows_as"][0]])
            into = scratch / f"{name}-{case_name}"
            yield from _recovered(source, [source, *more], into, listing, Options(hard=True))


def _recovered(
    source: Path,
    logs: list[Path],
    into: Path,
    listing: Path,
    options: Options = Options(),  # noqa: B008
) -> Iterator[Case]:
    """Yield what is recovered; listing: of it, or a folder with one for each database."""
    result = recover(OsEnv(), [str(source)], list(map(str, logs)), str(into), options)
    for path, _, _ in result.databases:
        one = listing / f"{Path(path).stem}.json" if listing.is_dir() else listing
        yield Path(path), one
    shutil.rmtree(into)


def compacted(scratch: Path) -> Iterator[Case]:
    """Recovered databases of the engine, written anew by compact."""
    for name in set_names("crash"):
        source, into = unpack_vector(name) / "recovered" / "test.edb", scratch / f"{name}.edb"
        with DatabaseFile.open(OsEnv(), str(source)) as file:
            compact(OsEnv(), file, str(source), str(into))
        yield into, None
        into.unlink()


def scrubbed(scratch: Path) -> Iterator[Case]:
    """The same, by scrub: pages stay where they are, so do rows and index entries."""
    for name in set_names("crash"):
        folder, into = unpack_vector(name), scratch / f"{name}.edb"
        source = folder / "recovered" / "test.edb"
        with DatabaseFile.open(OsEnv(), str(source)) as file:
            scrub(OsEnv(), file, str(source), str(into))
        yield into, folder / "expected.json"
        into.unlink()


def windows(scratch: Path) -> Iterator[Case]:
    """Real databases of Windows and others, shut down cleanly."""
    corpus = SHARED / "corpus"
    for path in sorted(corpus.rglob("*")):
        if path.suffix.lower() not in (".edb", ".dit", ".dat", ".mdb", ".sdb", ".db"):
            continue
        if str(path.relative_to(corpus)) in READERS_SKIP:
            continue
        with contextlib.suppress(HotsplitError), Database.open(OsEnv(), str(path)) as db:
            clean = not db.is_dirty
            del db
            if clean:
                yield path, None


GROUPS = (crashes, snapshots, volumes, several, moments, backups, compacted, scrubbed, windows)


def ask(group: Callable[[Path], Iterator[Case]]) -> Counts:
    """Look at all databases of a group."""
    counts = Counts()
    with tempfile.TemporaryDirectory() as scratch:
        for case in group(Path(scratch)):
            counts.take(case, f"{group.__name__}, {case[0].parent.name}/{case[0].name}")
    return counts


_HEAD = (
    *("databases", "listed by the engine", "equal", "check finds no error"),
    *("libesedb counts the same", "dissect counts the same", "not readable to one"),
    "Parquet has the same rows",
)


def main() -> int:
    """Print the table."""
    print(f"| what | {' | '.join(_HEAD)} |")
    print(f"|---|{'---:|' * len(_HEAD)}")
    differences: list[str] = []
    for group in GROUPS:
        counts = ask(group)
        numbers = [getattr(counts, f.name) for f in fields(counts) if f.name != "differences"]
        what = (group.__doc__ or "").rstrip(".")
        print(f"| {what} | {' | '.join(map(str, numbers))} |", flush=True)
        differences += counts.differences
    for one in differences:
        print(one, file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
