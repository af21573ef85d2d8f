"""The databases of a log stream during replay: attached, created, resized, closed.

Source: log specification 4.12 (records), 6.2 (attach decision), 6.8 (header at the end).
"""

from __future__ import annotations

import ntpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hotsplit.errors import AccessDenied, DatabaseMismatch, HotsplitError
from hotsplit.ese.format.basics import NO_SIGNATURE, BackupInfo, LogPosition, LogTime, Signature
from hotsplit.ese.format.header import MAGIC, VERSION, DatabaseHeader, DbState
from hotsplit.ese.format.logrecord import LogRecord
from hotsplit.ese.format.recordparts import create_version, database_path, extended_to, reattached
from hotsplit.ese.format.recordtable import RecordType
from hotsplit.ese.recovery.attach import Claim, Outcome, check_range, decide_attach, decide_create
from hotsplit.ese.recovery.backupstamp import Phase, stamp
from hotsplit.ese.recovery.core import Core
from hotsplit.ese.recovery.pages import PageAccess, position_number
from hotsplit.ese.recovery.store import Store, fit_size

_FIRST_UPDATE = 0x14  # update-major that a new database has until SetDbVersion
_DATABASE_FILE = 1
_FULLY_LOGGED = 2, 0  # version of a creation that ends with a record of its own
_LAST_PAGE = 0xFFFF_FFFF


@dataclass
class Target:
    """A database of the stream and what became of it.

    dbid: 0 until it is attached. since: the log position of that. made_at: path in the log of the
    CreateDB record that made it during this replay, in lower case.
    """

    signature: Signature
    store: Store
    outcome: Outcome = Outcome.DEFER
    reason: str = "not attached by these logs"
    dbid: int = 0
    since: int = 0
    made_at: str = ""

    @property
    def header(self) -> DatabaseHeader:
        """The header as recovery sees it now; written when recovery ends."""
        return self.store.header


@dataclass(frozen=True)
class Setting:
    """What does not change during one replay.

    log: the stream's signature. create: makes the store of a database that a CreateDB record
    begins, from the path in the log and the new header, or returns None where another file is in
    its place; None forbids that.
    unusable: databases that are there but cannot be opened, by lower-case file name.
    hard: hard recovery of backup copies. now: stamps for headers. discard: takes a store that
    `create` made back, when another database took the place of its file.
    """

    log: Signature
    page_size: int
    create: Callable[[str, DatabaseHeader], Store | None] | None = None
    unusable: dict[str, HotsplitError] | None = None
    hard: bool = False
    now: Callable[[], LogTime] = LogTime
    discard: Callable[[Store], None] = lambda store: store.close()


class Databases:
    """The attached databases by their number in the stream (dbid).

    `missing`: path by dbid of databases that the logs use and that are not there.
    """

    def __init__(
        self, core: Core, pages: PageAccess, targets: list[Target], setting: Setting
    ) -> None:
        self._core, self._pages, self._setting = core, pages, setting
        self.targets = targets
        self.attached: dict[int, Target] = {}
        self.missing: dict[int, str] = {}
        self._hindered: dict[int, str] = {}  # by dbid: what could not be made, its place is taken

    # Attaching

    def replayed(self, dbid: int) -> Target | None:
        """Return the target if records of `dbid` are carried out."""
        target = self.attached.get(dbid)
        return target if target is not None and target.outcome == Outcome.NOW else None

    def attach(self, dbid: int, claim: Claim, path: str) -> None:
        """Attach what an attachment list or an AttachDB record names. Raises HotsplitError."""
        self._give_up_unfinished(dbid, claim.replaying)
        self._core.detach(dbid)
        self.attached.pop(dbid, None)
        target = self._find(claim.database)
        if target is None:
            unusable = self._unusable(path)
            if unusable is not None:
                raise unusable
            self.missing[dbid] = path
            return
        self.missing.pop(dbid, None)
        target.outcome, target.reason = decide_attach(claim, target.header)
        self._enter(dbid, claim, target)

    def create(self, record: LogRecord, here: LogPosition) -> None:
        """Carry out a CreateDB record: make the database unless its file is there already."""
        log, path = self._setting.log, database_path(record)
        claim = Claim(here, LogPosition(), record.db_signature, log, log, here)
        self._give_up_unfinished(record.dbid, here)
        self.missing.pop(record.dbid, None)
        self._make_room(path)
        target = self._find(claim.database)
        if target is not None:
            target.outcome, target.reason = decide_create(claim, target.header)
            if target.outcome == Outcome.CREATE:  # it was broken off; pages tell what they lack
                target.outcome = Outcome.NOW
            self._enter(record.dbid, claim, target)
            return
        unusable = self._unusable(path)
        if isinstance(unusable, AccessDenied) or (unusable and self._setting.create is None):
            raise unusable
        make, store = self._setting.create, None
        if make is not None:
            store = make(path, _new_header(claim, record.dbid, self._setting))
        if store is None:
            awaited = make is not None and create_version(record) == _FULLY_LOGGED
            (self._hindered if awaited else self.missing)[record.dbid] = path
        else:
            target = Target(claim.database, store, Outcome.NOW, made_at=path.lower())
            self.targets.append(target)
            self._enter(record.dbid, claim, target)

    def _give_up_unfinished(self, dbid: int, here: LogPosition) -> None:
        """Making the database of that number failed, and the instance went on: another has it."""
        self._hindered.pop(dbid, None)
        before = self.replayed(dbid)
        if before is not None and before.header.state == DbState.JUST_CREATED:
            self.close(dbid, here)

    def _make_room(self, path: str) -> None:
        """Forget a database that these logs made and, later, put another one in the place of."""
        for target in list(self.targets):
            in_use = any(target is other for other in self.attached.values())
            if target.made_at == path.lower() and not in_use:
                self.targets.remove(target)
                self._setting.discard(target.store)

    def finish_creation(self, record: LogRecord) -> None:
        """CreateDBFinish: from now on the database is one that can be recovered, and must be."""
        hindered = self._hindered.pop(record.dbid, None)
        if hindered is not None:
            self.missing[record.dbid] = hindered
        target = self.replayed(record.dbid)
        if target is not None:
            target.header.state = DbState.DIRTY_SHUTDOWN

    def _unusable(self, path: str) -> HotsplitError | None:
        """Return why the database of that name, which is there, cannot be opened."""
        return (self._setting.unusable or {}).get(_name(path))

    def _find(self, signature: Signature) -> Target | None:
        return next((t for t in self.targets if t.signature == signature), None)

    def _enter(self, dbid: int, claim: Claim, target: Target) -> None:
        self.attached[dbid] = target
        target.dbid = dbid
        if target.outcome != Outcome.NOW:
            return
        header = target.header
        if header.state in (DbState.DIRTY_SHUTDOWN, DbState.DIRTY_AND_PATCHED_SHUTDOWN):
            generation = claim.replaying.generation
            check_range(header, generation, target.store.path, hard=self._setting.hard)
        if header.state == DbState.CLEAN_SHUTDOWN:
            header.state = DbState.DIRTY_SHUTDOWN
        header.dbid, header.attach = dbid, claim.attach
        target.since = position_number(claim.attach)
        header.log_signature = self._setting.log
        self._pages.stores[dbid] = target.store
        self._pages.required[dbid] = header.gen_max_required
        self._core.attach(dbid, target.since, header.gen_max_required)
        # The header may know of changes whose records were not captured: see `count_on`.
        self._core.note(dbid, claim.dbtime or header.dbtime, header.objid_last)

    def count_on(self, dbid: int) -> None:
        """Redo is over: the next changes come behind all that the logs or the header know of.

        Until then the counter tells how far the logs reach.
        """
        target = self.replayed(dbid)
        if target is not None:
            self._count(dbid, target.header)

    def _count(self, dbid: int, header: DatabaseHeader) -> None:
        self._core.note(dbid, header.dbtime, header.objid_last)
        header.dbtime, header.objid_last = self._core.counters(dbid)

    # Changes of a whole database

    def reattach(self, record: LogRecord, here: LogPosition) -> None:
        """ReAttach: the database stayed attached over a recovery; only its header says so."""
        target = self.replayed(reattached(record).dbid)
        if target is not None:
            target.header.last_reattach = here
            target.header.last_reattach_time = self._setting.now()

    def extend(self, record: LogRecord, here: LogPosition) -> None:
        """ExtendDB: grow the file."""
        dbid, last = extended_to(record)
        target = self.replayed(dbid)
        if target is not None:
            target.store.extend(last)
            target.header.extend_count += 1
            target.header.extend_time = self._setting.now()
            target.header.note_resize(here)

    def shrink(self, record: LogRecord, here: LogPosition) -> None:
        """ShrinkDB: cut the file, unless it was resized after this record already (6.7).

        Headers of older formats do not tell: there it waits until the required range is passed.
        """
        target = self.replayed(record.dbid)
        if target is None:
            return
        header, last = target.header, record.pgno_last
        if record.type == RecordType.SHRINK_DB3:
            self._core.note(record.dbid, record.dbtime, 0)
        count = target.store.page_count
        self._pages.drop(record.dbid, last + 1, max(count, last + record.cpg_shrunk))
        if header.last_resize != LogPosition():
            is_due = header.last_resize <= here
        else:
            is_due = here.generation > header.gen_max_required
        if is_due:
            target.store.shrink(last)
            header.shrink_count += 1
            header.shrink_time = self._setting.now()
            header.note_resize(here)

    def trim(self, record: LogRecord, here: LogPosition) -> None:
        """TrimDB: pages become zero; in the required range they may have got a new use already."""
        target = self.replayed(record.dbid)
        if target is None:
            return
        first, count = record.pgno_first, record.cpg_zero
        self._pages.drop_pending(record.dbid, first, first + count - 1)
        if here.generation > target.header.gen_max_required:
            self._pages.drop(record.dbid, first, first + count - 1)
            target.store.zero(first, count)

    def set_version(self, record: LogRecord) -> None:
        """SetDbVersion: raise the format revision in the header."""
        target = self.replayed(record.dbid)
        version = record.update_major, record.update_minor
        if target is not None and version > (
            target.header.update_major,
            target.header.update_minor,
        ):
            target.header.update_major, target.header.update_minor = version

    def backed_up(self, record: LogRecord, here: LogPosition) -> None:
        """Backup2, phase Update: what the header says of backups (8.5)."""
        target = self.replayed(record.dbid) if record.phase == Phase.UPDATE else None
        if target is None or here <= target.header.attach:
            return
        stamp(target.header, record)

    # Closing

    def close(self, dbid: int, position: LogPosition, *, at_end: bool = False) -> None:
        """Make a database clean as of `position`: pages written, then the header (6.8).

        at_end: recovery ends, so the file gets its proper length, too. One whose creation was not
        finished stays as it is: what is missing of it was never logged.
        """
        target = self.attached.pop(dbid)
        self._core.detach(dbid)
        if target.outcome != Outcome.NOW:
            return
        if target.header.state == DbState.JUST_CREATED:
            self._pages.drop(dbid, 0, _LAST_PAGE)
            target.outcome, target.reason = Outcome.UNFINISHED, "its creation was broken off"
            return
        self._pages.flush(dbid)
        self._pages.drop(dbid, 0, _LAST_PAGE)
        if at_end:
            fit_size(target.store)
        header = target.header
        self._count(dbid, header)
        header.set_clean(position, self._setting.now())
        self._end_backup(header)
        target.store.write_header(header)
        target.reason = "recovered"

    def _end_backup(self, header: DatabaseHeader) -> None:
        """Forget the backup that the copy came from, and a flush map that knows other writes."""
        if self._setting.hard or header.backup_full_current != BackupInfo():
            header.backup_full_current = header.backup_snapshot_current = BackupInfo()
            header.backup_incremental_previous = BackupInfo()
        if self._setting.hard:
            header.backup_full_previous = header.backup_copy_previous = BackupInfo()
            header.backup_differential_previous = BackupInfo()
        header.header_flush_signature = header.flush_map_signature = NO_SIGNATURE

    def close_all(self, position: LogPosition) -> None:
        """The instance ended: all databases are clean as of `position`."""
        for dbid in list(self.attached):
            self.close(dbid, position)
        self.missing.clear()

    def leave_dirty(self, generation: int) -> None:
        """Write what was replayed and leave the databases dirty, needing logs to `generation`."""
        for dbid, target in self.attached.items():
            if target.outcome != Outcome.NOW:
                continue
            self._pages.flush(dbid)
            header = target.header
            self._count(dbid, header)
            if generation > header.gen_max_required:
                header.gen_max_required = generation
                header.gen_max_required_time = header.gen_max_create_time = LogTime()
            header.gen_max_committed = max(header.gen_max_committed, generation)
            header.header_flush_signature = header.flush_map_signature = NO_SIGNATURE
            target.store.write_header(header)

    def deferred(self) -> Iterator[tuple[str, str]]:
        """Yield (path, reason) of databases in use by the logs and not recovered."""
        yield from ((path, "it was not found, or not asked for") for path in self.missing.values())
        for target in self.attached.values():
            # A clean database that is newer than the logs needs nothing from them.
            newer = target.outcome == Outcome.DEFER_FUTURE
            if target.outcome != Outcome.NOW and not (
                newer and target.header.state == DbState.CLEAN_SHUTDOWN
            ):
                yield target.store.path, target.reason

    def refuse_deferred(self) -> None:
        """Raise DatabaseMismatch (-1216) if a database that the logs use was not recovered."""
        for path, reason in self.deferred():
            raise DatabaseMismatch(
                f"The logs use a database that cannot be recovered with them: {reason}", file=path
            )


def _name(path: str) -> str:
    return ntpath.basename(path).lower()


def _new_header(claim: Claim, dbid: int, setting: Setting) -> DatabaseHeader:
    """Return the header of a database that a CreateDB record makes (4.12)."""
    header = DatabaseHeader(bytes(setting.page_size))
    header.magic, header.version, header.update_major = MAGIC, VERSION, _FIRST_UPDATE
    header.create_version, header.create_update = VERSION, _FIRST_UPDATE
    header.page_size_field, header.file_type = setting.page_size, _DATABASE_FILE
    header.state, header.dbid = DbState.JUST_CREATED, dbid
    header.db_signature, header.log_signature = claim.database, setting.log
    header.attach, header.attach_time = claim.attach, setting.now()
    return header
