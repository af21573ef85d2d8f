"""Begin again where a stream of logs ends: recovery in place, by the code that recovers copies.

Redo runs on overlays, so nothing of a database changes before all is known to be good. Then the
open transactions are rolled back as in normal work, logged and all; pages and headers are written,
and the stream ends like one that was closed normally.

Source: log specification 6.0, 6.6, 6.8, 3.5.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable
from dataclasses import dataclass, field

from hotsplit.errors import DatabaseMismatch, Jet, RecoveryFailed
from hotsplit.ese.engine.context import Context
from hotsplit.ese.engine.database import OpenDatabase, attachment_of
from hotsplit.ese.engine.log.logend import put_right, unfinished_write
from hotsplit.ese.engine.opening.attachable import AHEAD, check_end, check_stream
from hotsplit.ese.engine.pages.loggedpaths import LoggedPaths
from hotsplit.ese.engine.pages.pagejournal import PageJournal
from hotsplit.ese.engine.session import INTERNAL_SESSION, Session
from hotsplit.ese.engine.settings import SEGMENT, Settings
from hotsplit.ese.engine.trees.versions import largest
from hotsplit.ese.engine.upkeep.checkpointing import write_closed_checkpoint
from hotsplit.ese.engine.upkeep.cleaner import Cleaner
from hotsplit.ese.engine.upkeep.sweeping import find_unused
from hotsplit.ese.files.database import HEADER_BYTES
from hotsplit.ese.files.env import Env, Lock
from hotsplit.ese.files.flushmapfile import flush_map_path
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogSequence
from hotsplit.ese.format.attachments import Attachment
from hotsplit.ese.format.basics import NO_SIGNATURE, LogPosition
from hotsplit.ese.format.header import DatabaseHeader, DbState, choose_header
from hotsplit.ese.format.logrecord import encode
from hotsplit.ese.format.recordtable import CLOSING, FILLERS
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.attach import Outcome
from hotsplit.ese.recovery.core import PENDING, REPLACE, Version
from hotsplit.ese.recovery.databases import Target
from hotsplit.ese.recovery.events import NoWatch, Watch
from hotsplit.ese.recovery.goneversions import find_over
from hotsplit.ese.recovery.inputs import Inputs, find_inputs
from hotsplit.ese.recovery.journalfile import Written
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.overlay import OverlayStore
from hotsplit.ese.recovery.pages import position_number
from hotsplit.ese.recovery.plan import Plan, make_plan
from hotsplit.ese.recovery.recover import setting_for
from hotsplit.ese.recovery.run import Run
from hotsplit.ese.recovery.store import UNNAMED, Store, WorkStore, fit_size
from hotsplit.ese.recovery.undo import in_order


@dataclass
class Restarted:
    """What opening an instance had to do. databases: recovered; undone: operations taken back.

    removed: files of databases whose creation was broken off.
    """

    databases: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    first: int = 0
    last: int = 0
    records: int = 0
    undone: int = 0


def restart(env: Env, settings: Settings, sequence: LogSequence) -> Restarted | None:
    """Make the stream in the instance's folder closed and its databases clean.

    Returns None if they were. Raises HotsplitError; the databases are then as they were.
    """
    journal = PageJournal(env, settings.folder, settings.base, follow=settings.follow_paths)
    if sequence.current is not None:
        env.reread(sequence.current.path)
    interrupted = take_up(env, journal)
    if not interrupted and _is_closed(env, sequence):
        return None
    if cut_unfinished_write(env, sequence) and not interrupted and _is_closed(env, sequence):
        return None
    logged = LoggedPaths(env, settings, sequence)
    files = logged.files()
    for path in files:
        _remove_stillborn(env, path, settings.page_size)
    paths = [path for path in files if env.exists(path)]
    for path in paths:
        env.reread(path)
    folder = [settings.folder]  # where the databases lie if the paths are of another machine
    inputs = find_inputs(env, paths or folder, folder, settings.base)
    if inputs.sequence is not None:
        inputs.sequence.checkpoint_path = sequence.checkpoint_path
    _check_not_ahead(inputs, sequence)
    plan = make_plan(env, inputs, Options(budget=settings.cache_size))
    if plan.error is not None:
        raise plan.error
    return Restart(env, settings, sequence, inputs, plan, place=logged.place).run()


def _check_not_ahead(inputs: Inputs, sequence: LogSequence) -> None:
    """Raise DatabaseMismatch (-1216) if a database was closed later than the logs reach."""
    for candidate in inputs.databases:
        header = candidate.header
        of_stream = header.log_signature == sequence.signature
        if of_stream and header.consistent.generation > sequence.highest:
            raise DatabaseMismatch(
                f"The database was closed in log {header.consistent.generation}, the logs end with"
                f" {sequence.highest}",
                jet=Jet.errAttachedDatabaseMismatch,
                file=candidate.path,
                hint=AHEAD,
            )


def find_stream(env: Env, settings: Settings) -> LogSequence:
    """Return the instance's logs, with the checkpoint of its system folder.

    Raises LogsMissing, DatabaseMismatch (-1213), InvalidUse (-541), and as `check_end`.
    """
    sequence = LogSequence.find(env, [settings.folder], settings.base)
    check_stream(sequence, settings)
    check_end(env, sequence)
    if settings.system_path != settings.folder:
        ending = "chk" if sequence.extension == "log" else "jcp"
        path = f"{settings.system_path}/{settings.base}.{ending}"
        sequence.checkpoint_path = path if env.exists(path) else None
    return sequence


def _remove_stillborn(env: Env, path: str, page_size: int) -> None:
    """Remove what a crash left of a database in front of its header; replay makes it anew.

    That has no name yet, or, with other engines, is a file of zeros.
    """
    if env.exists(path + UNNAMED):
        env.remove(path + UNNAMED)
    if not env.exists(path):
        return
    file = env.open(path, "read")
    try:
        empty = file.size() <= 2 * page_size and not any(file.pread(2 * page_size, 0))
    finally:
        file.close()
    if empty:
        env.remove(path)


def take_up(env: Env, journal: PageJournal) -> bool:
    """Finish what an interrupted recovery in place had begun; tell whether there was one."""
    if not journal.exists:
        return False
    env.reread(journal.path)
    journal.carry_out()
    return True


def take_up_without_logs(env: Env, settings: Settings) -> None:
    """Finish an interrupted recovery in place whose logs are gone: its journal is enough."""
    journal = PageJournal(env, settings.folder, settings.base, follow=settings.follow_paths)
    if take_up(env, journal):
        journal.remove()


def cut_unfinished_write(env: Env, sequence: LogSequence) -> bool:
    """Clear what an interrupted last write left in the current log; tell whether it left any."""
    current = sequence.current
    if current is None or current.header is None or not current.usable:
        return False
    if not current.header.has_segments:
        return False
    file = env.open(current.path, "write")
    try:
        data = file.pread(current.size, 0)
        sectors = current.header.file_sectors
        sector = unfinished_write(data, current.header.generation, sectors)
        if sector:
            file.pwrite(bytes((sectors - sector) * SEGMENT), sector * SEGMENT)
            file.sync()
        return bool(sector)
    finally:
        file.close()


def _is_closed(env: Env, sequence: LogSequence) -> bool:
    """Tell whether nothing has to be done (6.0)."""
    current = sequence.current
    if current is None or current.header is None:
        return False
    closing = _closing(env, current.path)
    checkpoint = sequence.read_checkpoint(env)
    return checkpoint is not None and checkpoint.checkpoint.position == closing


def _closing(env: Env, path: str) -> LogPosition:
    """Return the position of the record that closes a log, zero if none does."""
    last = LogPosition()
    with LogFile.open(env, path) as log:
        if log.closed_normally:
            start = LogPosition(log.generation, log.end.sector - 1, 0)
            for position, raw in log.records(start):
                if raw[0] not in FILLERS:
                    last = position if raw[0] in CLOSING else LogPosition()
    return last


class Restart:
    """One recovery in place.

    place: an instance of ours takes over: databases that the logs create are made where it says for
    their paths in the logs, and nodes that were deleted go.
    """

    def __init__(
        self,
        env: Env,
        settings: Settings,
        sequence: LogSequence,
        inputs: Inputs,
        plan: Plan,
        options: Options | None = None,
        watch: Watch | None = None,
        *,
        place: Callable[[str], str] | None = None,
    ) -> None:
        self._env, self._settings, self._sequence = env, settings, sequence
        self._options = options or Options(budget=settings.cache_size)
        self._targets: list[Target] = []
        for candidate in inputs.databases:
            store = OverlayStore.over(env, candidate.path, settings.temp_path)
            self._targets.append(Target(store.header.db_signature, store))
        self._place = place
        self._sweeps = place is not None
        create = None if place is None else self._create
        setting = setting_for(env, inputs, plan, self._options, create)
        self._run = Run(env, plan, self._targets, self._options, setting, watch or NoWatch())
        self._plan = plan
        self._journal = PageJournal(
            env, settings.folder, settings.base, follow=settings.follow_paths
        )
        self.done = self._run.done

    def _create(self, path: str, header: DatabaseHeader) -> Store | None:
        path = path if self._place is None else self._place(path)
        if self._env.exists(path):  # this one took its place, or the file is somebody else's
            return None
        if not self._env.is_dir(os.path.dirname(path)):  # noqa: PTH120 - its disk is not there
            return None
        return OverlayStore(self._env, None, header, path, self._settings.temp_path)

    def run(self) -> Restarted:
        """Redo, undo, write. Raises AccessDenied (-1032) if a database is in use."""
        locks: list[Lock] = []
        try:
            for target in self._targets:
                locks.append(self._env.lock(target.store.path))  # noqa: PERF401 - each may fail
            return self._recover()
        finally:
            for target in self._targets:
                target.store.close()
            for lock in locks:
                lock.release()

    def _recover(self) -> Restarted:
        if self._plan.logs:
            self._run.redo()
        self._run.check_end()
        self._finish_unfinished()
        done, core = self._run.done, self._run.replay.core
        done.records, done.volume = core.records, core.volume
        unfinished = [t for t in self._targets if t.outcome == Outcome.UNFINISHED]
        result = Restarted(
            [t.store.path for t in self._targets if t not in unfinished],
            self._remove(unfinished),
            done.first,
            done.last,
            done.records,
        )
        self._journal.begin()
        context = self._continue_log()
        if self._run.replay.ended:
            self._write_through(context)
            last = self._sequence.logs[self._sequence.highest]
            write_closed_checkpoint(context, position_number(_closing(self._env, last.path)))
        else:
            result.undone = self._undo(context)
        context.log.close()
        if self._sweeps:
            self._mend_headers()
        self._journal.remove()
        return result

    def _mend_headers(self) -> None:
        """Make the copies of headers equal that a crash at a clean end left different."""
        for target in self._targets:
            store = target.store
            if isinstance(store, OverlayStore) and store.base is not None:
                choice = store.base.choice
                untouched = target.outcome not in (Outcome.NOW, Outcome.UNFINISHED)
                if untouched and not choice.copies_equal:
                    work = WorkStore.open_work(self._env, store.path)
                    try:
                        work.write_header(choice.header)
                    finally:
                        work.close()

    def _finish_unfinished(self) -> None:
        """Databases whose creation the logs do not finish are over: their logs have no more."""
        databases = self._run.replay.databases
        for dbid, target in list(databases.attached.items()):
            if target.header.state == DbState.JUST_CREATED:
                databases.close(dbid, LogPosition())

    def _remove(self, unfinished: list[Target]) -> list[str]:
        """Remove the files of databases that were never finished: no program has seen them."""
        paths = [t.store.path for t in unfinished if self._env.exists(t.store.path)]
        for path in paths:
            self._env.remove(path)
            self._env.sync_dir(os.path.dirname(path) or ".")  # noqa: PTH120
            text = f"REMOVED: {path}: its creation was broken off"
            self.done.warn("database-unfinished", text, path)
        return paths

    def _continue_log(self) -> Context:
        """Open the stream for writing behind its end."""
        context = Context(self._env, self._settings, self._run.replay.core)
        last = self._sequence.logs[self._sequence.highest]
        assert last.header is not None
        context.files.adopt(last.header, self._sequence.digits, self._sequence.extension)
        with LogFile.open(self._env, last.path) as log:
            scan = log.scan()
            if last.is_current:
                put_right(self._env, log)
        context.log.attachments = lambda: [self._entry(t) for t in self._attached()]
        generation = last.header.generation
        if last.is_current:
            context.log.continue_stream(generation, scan.end.sector, scan.checksum)
        else:
            context.log.begin_generation(generation + 1, scan.checksum)
        return context

    def _attached(self) -> list[Target]:
        attached = self._run.replay.databases.attached.values()
        return [target for target in attached if target.outcome == Outcome.NOW]

    def _entry(self, target: Target) -> Attachment:
        dbid, counters = target.dbid, self._run.replay.core.counters(target.dbid)
        return attachment_of(dbid, target.header, counters, LogPosition(), target.store.path)

    def _undo(self, context: Context) -> int:
        """Roll back what is open, logged, and close the stream (6.6)."""
        begun = context.journal.note(encode(T.RECOVERY_UNDO2, time=context.now()))
        context.cache.position = begun
        for procid, dbtime in self._run.replay.macros.abandon():
            context.journal.note(encode(T.MACRO_ABORT, procid=procid, dbtime=dbtime))
        databases = {}
        for target in self._attached():
            dbtime, objid = context.core.counters(target.dbid)
            database = OpenDatabase(context, target.dbid, target.store, LogPosition())
            database.dbtime, database.objid_last = dbtime, objid
            databases[target.dbid] = database
            context.cache.adopt_dirty(target.dbid, begun)
        is_over = find_over(self._run.replay.pages)
        undone = sum(
            self._roll_back(
                context, databases, procid, level, trx, [v for v in found if not is_over(v)]
            )
            for procid, level, trx, found in context.core.open_sessions()
        )
        cleaning = Session(context, INTERNAL_SESSION)
        if self._sweeps:
            for database in databases.values():
                find_unused(cleaning, database)
        Cleaner(context, cleaning).run()
        mark = context.journal.note(encode(T.SHUTDOWN_MARK))
        context.log.flush()
        for dbid, database in databases.items():
            context.cache.flush(dbid)
            fit_size(database.store)
            database.mark_clean(mark)
        self._write_through(context)
        position = LogPosition.unpack(begun.to_bytes(8, "little"))
        record = encode(T.RECOVERY_QUIT2, position=position, time=context.now())
        closed = context.journal.note(record)
        context.log.flush()
        write_closed_checkpoint(context, closed)
        return undone

    def _roll_back(
        self, context: Context, databases: dict[int, OpenDatabase], procid: int, level: int,
        trx: int, versions: list[Version],
    ) -> int:  # fmt: skip
        """Give an open session of the logs to the engine and let it roll back."""
        session = Session(context, procid)
        session.resume(level, trx, context.cache.position)
        count = 0
        for version in in_order(versions):
            database = databases.get(version.dbid)
            if database is None:
                continue
            if version.operation == PENDING:
                raise RecoveryFailed(
                    f"The before image of operation {version.rceid} was never logged",
                    jet=Jet.errRollbackError,
                )
            tree = database.tree_at(version.fdp)
            data = b"" if version.unique else version.data
            made = session.remember(
                tree, (version.key, data), version.operation, version.rceid, version.image
            )
            made.level = version.level
            made.delta, made.offset = version.delta, version.offset
            if version.operation == REPLACE:
                before = largest(tree.versions.get(made.bookmark))
                made.largest = max(before, len(version.image))
            count += 1
        session.roll_back_all()
        return count

    def _write_through(self, context: Context) -> None:
        """Write what recovery made into the files, by way of the journal."""
        written: dict[str, Written] = {}
        for target in self._targets:
            if target.outcome == Outcome.UNFINISHED:
                continue
            if target.outcome == Outcome.NOW or self._run.replay.ended:
                assert isinstance(target.store, OverlayStore)
                header = target.store.header
                # The flush map of the file as it was does not fit any more; the engine makes anew.
                header.header_flush_signature = header.flush_map_signature = NO_SIGNATURE
                written[target.store.path] = _written(target.store, context)
        self._journal.write(written.values())
        self._journal.carry_out()
        for path in written:
            of_map = flush_map_path(path)
            if of_map != path and self._env.exists(of_map):
                self._env.remove(of_map)


def _written(store: OverlayStore, context: Context) -> Written:
    """Return a database that is to be written; meanwhile it needs all logs (6.6)."""
    final, before = store.header, None
    under_way = DatabaseHeader(bytearray(final.raw))
    if store.base is not None:
        before = choose_header(store.base.file.pread(HEADER_BYTES, 0)).header
        under_way = DatabaseHeader(bytearray(before.raw))
    if not store.changed_pages:
        return Written(store, before, under_way)
    if under_way.state != DbState.DIRTY_SHUTDOWN:
        under_way.state = DbState.DIRTY_SHUTDOWN
        under_way.attach, under_way.attach_time = final.attach, final.attach_time
        under_way.gen_min_required = under_way.gen_min_consistent = final.attach.generation
    under_way.gen_max_required = under_way.gen_max_committed = context.log.generation
    under_way.gen_max_create_time = context.files.created
    under_way.header_flush_signature = under_way.flush_map_signature = NO_SIGNATURE
    return Written(store, before, under_way)
