"""An instance: a storage group of databases that share one stream of logs.

    with Instance.open(OsEnv(), Settings("/srv/sg1")) as instance:
        database = instance.create_database("/srv/sg1/mail.edb")
        with instance.session() as session, session.transaction():
            ...

Source: log specification 7.1, 7.6, 7.7.
"""

from __future__ import annotations

import contextlib
import os.path
from typing import Self

from hotsplit.errors import DiskFull, HotsplitError, InstanceDown, InvalidUse, Jet
from hotsplit.ese.engine.changelock import ChangeLock
from hotsplit.ese.engine.context import Context
from hotsplit.ese.engine.counters import Counters
from hotsplit.ese.engine.database import FIRST_PAGES, OpenDatabase, path_bytes
from hotsplit.ese.engine.freeze import DEADLINE, Freeze
from hotsplit.ese.engine.log.files import log_disk_full
from hotsplit.ese.engine.log.logend import put_right
from hotsplit.ese.engine.log.writer import down
from hotsplit.ese.engine.logrange import LogKeeper
from hotsplit.ese.engine.opening.attachable import (
    check_attachable,
    check_not_ahead,
    check_whole,
)
from hotsplit.ese.engine.opening.creation import check_name, fill, make_file, remove_file
from hotsplit.ese.engine.opening.forked import keep_to_this_process
from hotsplit.ese.engine.opening.restart import (
    Restarted,
    find_stream,
    restart,
    take_up_without_logs,
)
from hotsplit.ese.engine.pages.livestore import LiveStore
from hotsplit.ese.engine.pages.pagesafe import PageSafe
from hotsplit.ese.engine.session import FIRST_SESSION, INTERNAL_SESSION, Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.upkeep.checkpointing import Checkpointer
from hotsplit.ese.engine.upkeep.cleaner import Cleaner
from hotsplit.ese.engine.upkeep.leaks import Searches
from hotsplit.ese.files.env import Env, Lock
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.opened import Closing
from hotsplit.ese.format.attachments import fit_a_list
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.logrecord import encode
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.events import EventId, NoWatch, Watch
from hotsplit.ese.recovery.pages import position_number, position_of
from hotsplit.ese.recovery.store import Store, fit_size

_FIRST_POSITION = 1 << 32 | 1 << 16  # generation 1, sector 1
_MOST_SESSIONS = 0xFFFA
_UTF16_NAME = 0x08
_UTF16_DETACH = 0x10


class Instance(Closing):
    """See the module. All methods may be called from any thread.

    restarted: what opening had to recover, None if nothing. watch: is told events.
    """

    def __init__(self, context: Context, watch: Watch) -> None:
        self.context = context
        self.databases: dict[int, OpenDatabase] = {}
        self._sessions: dict[int, Session] = {}
        self.internal = Session(context, INTERNAL_SESSION)
        self.checkpointer = Checkpointer(context, self.databases, self._live_sessions)
        self.logs = LogKeeper(context, self.checkpointer)
        self.cleaner = Cleaner(context, self.internal)
        context.safe_point = self._safe_point
        context.log.attachments = lambda: [d.attachment() for d in self.databases.values()]
        context.log.checkpoint = lambda: position_of(self.checkpointer.position)
        context.log.on_roll = self._on_roll
        context.cache.before_write = self.cleaner.log_before_images
        self.cleaner.on_damage = self._could_not_clean
        self._init_position = 0
        self.restarted: Restarted | None = None
        self._housekeeping = False
        self._searches = Searches(self.internal, self._could_not_clean)
        self._folder_locks: list[Lock] = []
        self._locks: dict[int, Lock] = {}
        self.watch = watch
        self._ending = False
        context.files.on_low = self._log_disk_is_low
        context.make_log_room = self._make_log_room
        context.on_over = self._end_if_log_disk_is_full

    # Begin and end

    @classmethod
    def open(cls, env: Env, settings: Settings, watch: Watch | None = None) -> Self:
        """Open the instance of a folder: a new stream of logs, or the one that is there.

        The folder is this instance's alone, and so is every database while it is attached. Raises
        AccessDenied (-1032) if another one has it, and other HotsplitErrors. watch: is told events.
        """
        instance = cls(Context(env, settings), watch or NoWatch())
        try:
            instance._take_folders()
            instance._open()
        except BaseException:
            instance.context.log.close()
            instance._release()
            raise
        keep_to_this_process(instance)
        return instance

    def leave_to_parent(self) -> None:
        """See `Forkable`."""
        context = self.context
        context.lock = ChangeLock()  # a thread that is not here may have the other one
        context.looking = context.lock.looking
        why = InstanceDown("The instance belongs to the process that forked this one")
        context.log.failure = context.log.failure or why
        for database in self.databases.values():
            database.store.close()  # the lock of its flush map, too
        self._release()

    def _take_folders(self) -> None:
        """Lock the folders of logs and checkpoint. Scratch files of several instances may mix."""
        env, settings = self.context.env, self.context.settings
        for folder in dict.fromkeys((settings.folder, settings.system_path)):
            env.mkdir(folder)
            self._folder_locks.append(env.lock(folder))
        env.mkdir(settings.temp_path)

    def _open(self) -> None:
        context, settings = self.context, self.context.settings
        follow = settings.follow_paths
        safe = PageSafe(context.env, settings.folder, settings.base, follow=follow)
        if context.files.exists():
            sequence = find_stream(context.env, settings)
            safe.mend()
            self.restarted = restart(context.env, settings, sequence)
            self._continue_stream()
        else:
            safe.mend()
            take_up_without_logs(context.env, settings)
            context.log.begin_stream()
            self.checkpointer.reset(_FIRST_POSITION)
        context.files.make_reserves()
        if settings.mend_torn_pages:
            safe.begin(settings.page_size)
            context.cache.safe = safe
        self._start()

    def _release(self) -> None:
        """Let others have the folder and the databases."""
        for lock in (*self._locks.values(), *self._folder_locks):
            lock.release()

    def _continue_stream(self) -> None:
        """Go on behind the end of a stream that was closed normally."""
        context = self.context
        sequence = find_stream(context.env, context.settings)
        last = sequence.logs[sequence.highest]
        assert last.header is not None
        context.files.adopt(last.header, sequence.digits, sequence.extension)
        with LogFile.open(context.env, last.path) as log:
            scan = log.scan()
            if last.is_current:
                put_right(context.env, log)
        if last.is_current:
            context.log.continue_stream(last.generation, scan.end.sector, scan.checksum)
        else:
            context.log.begin_generation(last.generation + 1, scan.checksum)
        found = sequence.read_checkpoint(context.env)
        closed = LogPosition(last.generation, 1, 0) if found is None else found.checkpoint.position
        self.checkpointer.position = position_number(closed)

    def _start(self) -> None:
        context = self.context
        record = encode(T.INIT2, parameters=context.settings.parameters(), time=context.now())
        self._init_position = context.journal.note(record)

    def close(self) -> None:
        """Shut down cleanly: all databases need no logs afterwards."""
        with self.context.lock:
            if self.context.closed:
                return
            self._ending = True
            self.context.holds.stop()
            try:
                if self.context.failure is None:
                    with self.context.log.stopped_by_errors():  # what is kept beside is needed then
                        self._shut_down()
            finally:
                self._close_files()

    def _close_files(self) -> None:
        """Let all files go, whatever fails: others wait for the locks."""
        context = self.context
        context.closed = True
        with contextlib.ExitStack() as rest:
            for work in self._release, self._close_safe, context.log.close, context.awaiting.end:
                rest.callback(work)
            rest.callback(self.databases.clear)
            for database in self.databases.values():
                rest.callback(database.close)

    def _close_safe(self) -> None:
        safe = self.context.cache.safe
        if safe is not None and self.context.failure is None:
            safe.remove()
        elif safe is not None:
            safe.close()

    def _shut_down(self) -> None:
        context = self.context
        for transaction in context.versions.open_transactions:  # views of rows among them
            transaction.writer.roll_back_all()
        if not context.files.low:
            self.cleaner.run()
        mark = context.journal.note(encode(T.SHUTDOWN_MARK))
        context.log.flush()
        for database in self.databases.values():
            database.mark_clean(mark)
        init = LogPosition(self._init_position >> 32, self._init_position >> 16 & 0xFFFF, 0)
        term = context.journal.note(encode(T.TERM2, position=init, time=context.now()))
        context.log.flush()
        self.checkpointer.write_closed(term)

    # Sessions

    def session(self) -> Session:
        """Begin a session. Raises InvalidUse (-1101) when there are too many."""
        with self.context.looking:
            self.context.check()
            for procid in range(FIRST_SESSION, _MOST_SESSIONS):
                if procid not in self._sessions:
                    session = self._sessions[procid] = Session(self.context, procid)
                    session.on_close = self._end_session
                    return session
        raise InvalidUse("There are too many sessions", jet=Jet.errOutOfSessions)

    def _end_session(self, session: Session) -> None:
        self._sessions.pop(session.procid, None)

    def _live_sessions(self) -> list[Session]:
        return [*self._sessions.values(), self.internal]

    # Databases

    def create_database(self, path: str) -> OpenDatabase:
        """Make a new database and attach it. Raises TargetExists, InvalidUse (-1805).

        It is there in whole or not at all: after an error nothing is left of it, and after a crash
        `open` removes what was not finished.
        """
        context = self.context
        with context.lock:
            context.check()
            path = os.path.abspath(path)  # noqa: PTH100 - paths are plain strings below the CLI
            dbid = self._free_dbid(path)
            store = make_file(context, self.internal.procid, dbid, path)
            with contextlib.ExitStack() as undo:
                undo.callback(remove_file, context.env, path)
                undo.callback(store.close)
                self._instruct(store)
                self._locks[dbid] = context.env.lock(path)
                undo.callback(self._leave, dbid)
                # From its record on it is in the lists of all logs: the next one may begin at once.
                self.databases[dbid] = database = OpenDatabase(context, dbid, store, LogPosition())
                database.extend_file(FIRST_PAGES)
                undo.pop_all()
            fill(context, self.internal, database)
            return database

    def _leave(self, dbid: int) -> None:
        self.databases.pop(dbid, None)
        self._locks.pop(dbid).release()

    def attach_database(self, path: str) -> OpenDatabase:
        """Attach a database that was shut down cleanly.

        What its file has behind the last page that the database owns is cut off: it is nobody's,
        and may be anything, where pages that the database grows by must be empty.
        Raises DirtyDatabase, DatabaseMismatch (-1213, -539), FileTruncated, UnsupportedVersion.
        """
        context = self.context
        with context.lock:
            context.check()
            path = os.path.abspath(path)  # noqa: PTH100
            dbid = self._free_dbid(path)
            store = self._open_store(dbid, path)
            header = store.header
            consistent = header.consistent
            if header.log_signature != context.files.signature:
                consistent = LogPosition()
            record = encode(
                T.ATTACH_DB, procid=self.internal.procid, dbid=dbid, consistent=header.consistent,
                db_signature=header.db_signature, log_signature=header.log_signature,
                flags=_UTF16_NAME, path=path_bytes(path),
            )  # fmt: skip
            with context.log.stopped_by_errors():  # the logs say that it is attached
                position = context.journal.note(record)
                context.log.flush(position)
                database = OpenDatabase(context, dbid, store, consistent)
                self.databases[dbid] = database
                fit_size(store)
                database.mark_attached(position)  # which makes the cut durable, too
            if self.restarted is not None and path in self.restarted.databases:
                self._searches.begin(database)
            return database

    def _instruct(self, store: LiveStore) -> None:
        """Tell a file whom to tell of damage and of failures, and when not to put it right."""
        lock, store.on_failure = self.context.lock, self.context.log.stop
        store.watch, store.is_frozen = self.watch, lambda: lock.is_closed

    def _open_store(self, dbid: int, path: str) -> LiveStore:
        """Open a database that nobody else uses."""
        env = self.context.env
        check_name(path)
        if any(database.path == path for database in self.databases.values()):
            raise InvalidUse("The database is attached", jet=Jet.errDatabaseSharingViolation)
        lock = env.lock(path)
        try:
            store = LiveStore.open_work(env, path)
            self._instruct(store)
            try:
                check_attachable(store.header, path, self.context.settings.page_size)
                end = position_of(self.context.log.end)
                check_not_ahead(store.header, path, self.context.files.signature, end)
                check_whole(store)
            except BaseException:
                store.close()
                raise
        except BaseException:
            lock.release()
            raise
        self._locks[dbid] = lock
        return store

    def detach_database(self, database: OpenDatabase) -> None:
        """Detach a database: it needs no logs afterwards.

        What was opened of it is of no more use then (-1010). Raises InvalidUse (-1202) while there
        are transactions, (-505) during a backup, (-1010) for one that is not attached.
        """
        context = self.context
        with context.lock:
            database.check(context)
            context.holds.check_detach(database.dbid)
            if context.versions.open_transactions:
                raise InvalidUse("A transaction is open", jet=Jet.errDatabaseInUse)
            self.cleaner.run()
            context.cache.flush(database.dbid)
            record = encode(
                T.DETACH_DB, procid=self.internal.procid, dbid=database.dbid,
                flags=_UTF16_DETACH, path=path_bytes(database.path),
            )  # fmt: skip
            with context.log.stopped_by_errors():  # the logs have nothing of it from here on
                position = context.journal.note(record)
                context.log.flush(position)
                database.mark_clean(position)
                database.close()
                del self.databases[database.dbid]
            self._searches.end(database)
            self._locks.pop(database.dbid).release()

    def _free_dbid(self, path: str) -> int:
        """Return a number for one more database. Raises InvalidUse (-1805)."""
        free = (n for n in range(1, self.context.settings.databases + 1) if n not in self.databases)
        dbid = next(free, 0)
        if not dbid:
            raise InvalidUse("Too many databases", jet=Jet.errTooManyAttachedDatabases)
        paths = [*(database.path for database in self.databases.values()), path]
        if not fit_a_list(map(path_bytes, paths)):
            raise InvalidUse(
                "The headers of logs have no room for the paths of so many databases",
                jet=Jet.errTooManyAttachedDatabases,
                file=path,
                hint="Use shorter paths, or another instance for this database.",
            )
        return dbid

    # Durability

    def wait_durable(self, position: int | None = None) -> None:
        """Return when the commit at a log position is durable; None: all commits so far.

        position: what `Session.commit_without_wait` returned. Raises InstanceDown.
        """
        self.context.log.flush(position)

    async def durable(self, position: int | None = None) -> None:
        """Do the same for a task of an event loop: others run meanwhile, and share the sync."""
        end = self.context.log.end - 1
        await self.context.awaiting.durable(end if position is None else min(position, end))

    # Backup

    def freeze(self, deadline: float = DEADLINE) -> Freeze:
        """Return a context in which no file of the instance changes: see `freeze`.

        deadline: seconds after which the freeze ends whatever happens.
        """
        return Freeze(self.context, self._stores, deadline, self.watch)

    def _stores(self) -> list[Store]:
        return [database.store for database in list(self.databases.values())]

    # When there is time

    def idle(self) -> bool:
        """Do some of the work that is put off: call it while nothing else is to be done.

        Removes what no view holds any more, writes some changed pages, moves the checkpoint, gives
        back pages that a crash left in nobody's hands. Tells whether more is left to do now. Calls
        of others wait for one batch of pages at most, after a crash for a look at one table.
        """
        with self.context.lock:
            self.context.check()
            if self.context.files.low:
                return False
            self._housekeeping = True
            try:
                self.cleaner.run()
                return self.checkpointer.idle() or self._searches.step()
            finally:
                self._housekeeping = False

    def counters(self) -> Counters:
        """Return what the instance has done since it was opened, and what it holds."""
        context = self.context
        with context.looking:
            cache, log = context.cache, context.log
            return Counters(
                page_writes=cache.writes.copy(),
                page_reads=cache.reads,
                log_writes=log.flushes,
                log_bytes=log.written,
                pages=context.core.resident(),
                dirty_pages=cache.dirty_count(),
                log_depth=self.checkpointer.depth,
                versions=context.versions.count(),
                reclaimed=self._searches.reclaimed,
            )

    # A full disk

    def _log_disk_is_low(self, out: bool) -> None:
        """The logs are in the reserves, or out of them."""
        if out:
            text, number = "No reserve log is left: the instance stops", EventId.LOG_DISK_FULL
        else:
            text = "The disk of the logs is full: changes are refused until there is space"
            number = EventId.LOG_DISK_LOW
        self.watch.event(number, text, self.context.files.current_path)

    def _make_log_room(self) -> bool:
        """Fill the reserves again, if there is space; circular logs that are not needed go."""
        try:
            if self.context.settings.circular and not self._ending:
                self.checkpointer.advance()
            self.context.files.make_reserves()
        except DiskFull:
            return False
        return True

    def _end_if_log_disk_is_full(self) -> None:
        """A transaction is over: the last one is followed by a clean shutdown."""
        if self.context.lock.is_closed:
            return
        if self._ending or self._housekeeping or self.context.versions.open_transactions:
            return
        if self._make_log_room():
            return
        why = log_disk_full(self.context.files.current_path)
        self.context.log.progress.end(down("shut down", why))
        with contextlib.suppress(HotsplitError):  # the log writer keeps why, and says so
            self.close()
            self.context.ended = why
            text = "The instance was shut down: the disk of the logs is full"
            self.watch.event(EventId.INSTANCE_STOPPED, text, why.message)

    # In between

    def _could_not_clean(self, error: HotsplitError) -> None:
        self.watch.event(EventId.PAGE_DAMAGED, f"Not removed: {error}", error.file, error.position)

    def _on_roll(self, generation: int) -> None:
        for database in self.databases.values():
            database.mark_generation(generation)

    def _safe_point(self) -> None:
        """Called between operations, with the lock: housekeeping that is due."""
        if self._housekeeping or self.internal.level or self.context.lock.is_closed:
            return
        self._housekeeping = True
        try:
            self.cleaner.run_if_due()
            self.context.cache.trim()
            self.checkpointer.advance_if_due()
        finally:
            self._housekeeping = False
