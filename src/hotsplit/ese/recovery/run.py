"""Carry a plan out: redo, the checks at its end, undo. Source: log specification 6.3, 6.6, 6.12."""

from __future__ import annotations

from dataclasses import dataclass, field

from hotsplit.errors import DatabaseMismatch, HotsplitError, Jet, LogDamaged, LogsMissing
from hotsplit.ese.check.owned import LEAST_PAGES, last_owned_page
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogInfo, checksum_link
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.header import DbState
from hotsplit.ese.recovery.attach import Outcome
from hotsplit.ese.recovery.databases import Setting, Target
from hotsplit.ese.recovery.events import EventId, Watch
from hotsplit.ese.recovery.journalfile import journal_path, mend
from hotsplit.ese.recovery.keptpages import KeptPages, kept_path
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.plan import Plan
from hotsplit.ese.recovery.replay import Replay
from hotsplit.ese.recovery.store import Store
from hotsplit.ese.recovery.tail import check_tail
from hotsplit.ese.recovery.undo import undo_all
from hotsplit.report import Finding, Severity


@dataclass
class Done:
    """What was done. first, last: generations replayed; volume: bytes of records.

    left_out: files of databases whose creation was broken off: nothing is in them.
    """

    first: int = 0
    last: int = 0
    records: int = 0
    volume: int = 0
    undone: int = 0
    end: LogPosition = field(default_factory=LogPosition)
    left_out: list[str] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def warn(
        self, rule: str, message: str, file: str, position: str = "", jet: Jet | None = None
    ) -> None:
        """Add a warning."""
        self.warnings.append(Finding(rule, Severity.WARNING, message, file, position, jet))


class Run:
    """One recovery under way. Use `run`."""

    def __init__(
        self,
        env: Env,
        plan: Plan,
        targets: list[Target],
        options: Options,
        setting: Setting,
        watch: Watch,
    ) -> None:
        self._env, self._plan, self._options, self._watch = env, plan, options, watch
        self._targets = targets
        # What the headers said before replay changed them.
        self._required = {id(t): t.header.gen_max_required for t in targets}
        self.replay = Replay(setting, targets, options.budget)
        self.done = Done(warnings=list(plan.warnings))

    def redo(self) -> None:
        """Replay the logs of the plan. Raises HotsplitError."""
        first = self._plan.logs[0]
        assert first.header is not None
        self._mend_torn_pages()
        self.replay.begin(first.header.attachments, self._plan.start)
        self.done.first = first.generation
        self._watch.begin(sum(info.size for info in self._plan.logs))
        checksum = 0
        for info in self._plan.logs:
            with LogFile.open(self._env, info.path) as log:
                self._check_checksum(checksum, info)
                if not self._is_usable(log, info):
                    return
                start = log.header.first_position
                self.replay.replay(log, start, self._options.stop)
                self.done.end = log.end
                checksum = log.scan().checksum
            self.done.last = info.generation
            self._watch.event(EventId.LOG_REPLAYED, f"Replayed {info.path}", info.path)
            self._watch.advance(info.size)

    def _mend_torn_pages(self) -> None:
        """Take pages that a crash may have torn as an engine of ours kept them."""
        sequence = self._plan.sequence
        if sequence is None:
            return
        stores = [target.store for target in self._targets]
        for folder in sequence.folders:
            path = kept_path(folder, sequence.base)
            kept = KeptPages.read(self._env, path)
            if kept is not None:
                for store in stores:
                    self._note_kept(store, kept.mend(store, store.write_page), path)
            path = journal_path(folder, sequence.base)
            for store, pages in mend(self._env, path, stores):
                self._note_kept(store, pages, path)

    def _note_kept(self, store: Store, pages: int, path: str) -> None:
        if pages:
            text = f"{pages} pages that were being written are taken as kept in {path}"
            self.done.warnings.append(Finding("kept-pages", Severity.NOTE, text, store.path))

    def _check_checksum(self, before: int, info: LogInfo) -> None:
        """Compare what a log says of the segments of the one before with what they are."""
        broken = checksum_link(before, info) if before else None
        if broken is not None:
            raise LogDamaged(broken.message, jet=broken.jet, file=info.path, position="header")

    def _is_usable(self, log: LogFile, info: LogInfo) -> bool:
        """Tell whether to replay a log; False ends redo before it. Raises LogDamaged."""
        for place in log.corrected:
            text = "A bit of a log segment was wrong and was corrected in memory"
            self.done.warn("log-corrected", text, info.path, str(place.position))
            number = EventId.LOG_BIT_CORRECTED
            self._watch.event(number, text, info.path, str(place.position))
        damage = log.damage
        if damage is None:
            return True
        is_last = info is self._plan.logs[-1]
        position = str(damage.position)
        # Format v7 cannot end a write but torn: the engine cuts it by itself there (3.7).
        may_cut = self._options.cut_torn_tail or not log.header.has_segments
        if may_cut and damage.torn and is_last:
            text = f"CUT: what follows {position} in the last log is torn and is not replayed"
            self.done.warn("torn-tail-cut", text, info.path, position, damage.jet)
            self._watch.event(EventId.TORN_TAIL_CUT, text, info.path, position)
            return True
        if self._give_up(info):
            return False
        hint = ""
        if damage.torn and is_last:
            hint = "If the log was torn when it was copied, cut its end: --cut-torn-tail."
        raise LogDamaged(
            f"The log is damaged ({damage.reason})",
            jet=self._jet_of_damage(info, damage.jet),
            file=info.path,
            position=position,
            hint=hint,
        )

    def _highest_required(self) -> int:
        return max(self._required.values(), default=0)

    def _give_up(self, info: LogInfo) -> bool:
        """Stop before a damaged log that is not required, if its loss is accepted."""
        if not self._options.accept_lost_logs or info.generation <= self._highest_required():
            return False
        if not self.done.last:
            return False
        text = f"LOST: transactions from the damaged log {info.path} on are given up"
        self.done.warn("logs-lost", text, info.path, jet=Jet.wrnCommittedLogFilesLost)
        self._watch.event(EventId.LOSSY_RECOVERY, text, info.path)
        return True

    def _jet_of_damage(self, info: LogInfo, jet: Jet) -> Jet:
        committed = max((t.header.gen_max_committed for t in self._targets), default=0)
        lossy = self._highest_required() < info.generation <= committed
        return Jet.errCommittedLogFileCorrupt if lossy else jet

    def check_end(self) -> None:
        """Raise unless every database got all it needs. Source: log specification 6.3."""
        done, options = self.done, self._options
        self.replay.check_complete(done.last, ignore_missing=options.ignore_missing)
        for path, reason in self.replay.databases.deferred():
            text = f"LEFT OUT: the logs also use {path}: {reason}"
            done.warn("database-left-out", text, path)
            self._watch.event(EventId.DATABASES_LEFT_OUT, text, path, reason)
        for target in self._targets:
            required = self._required.get(id(target), 0)
            if target.outcome != Outcome.NOW or not required or done.last > required:
                continue
            dbtime, _ = self.replay.core.counters(target.dbid)
            if target.header.state == DbState.CLEAN_SHUTDOWN:
                dbtime = target.header.dbtime
            try:
                check_tail(target.store, dbtime)
            except LogsMissing as error:
                if not options.accept_lost_logs:
                    raise
                done.warn("tail-cut", f"LOST: {error.message}", error.file, error.position)
        for dbid in self.replay.databases.attached:
            self.replay.databases.count_on(dbid)

    def finish(self) -> None:
        """Undo open transactions and close the databases, or leave them dirty if asked to."""
        databases = self.replay.databases
        if not self._options.undo:
            databases.leave_dirty(self.done.last)
            text = "Replayed without undo: the databases stay dirty"
            path = self._targets[0].store.path if self._targets else ""
            self.done.warn("without-undo", text, path, jet=Jet.errRecoveredWithoutUndo)
            self._watch.event(EventId.REPLAYED_WITHOUT_UNDO, "Replayed without undo")
            return
        self.done.undone = undo_all(self.replay.pages)
        self._warn_of_lost_pages()
        for dbid in list(databases.attached):
            databases.close(dbid, self.done.end, at_end=True)
        self._refuse_dirty()

    def _warn_of_lost_pages(self) -> None:
        """Say which files are shorter than their databases: recovery can only add empty pages."""
        for target in self._targets:
            if target.outcome == Outcome.NOW:
                self.replay.pages.flush(target.dbid)
            owned, count = _pages_owned(target.store), target.store.page_count
            if owned > count:
                text = (
                    f"The database has pages up to {owned}, the file ended with page {count}:"
                    " what the others held is not in the result"
                )
                path = target.store.path
                self.done.warn("file-truncated", text, path, jet=Jet.errFileIOBeyondEOF)

    def _refuse_dirty(self) -> None:
        """Raise for a database that the logs never attached: it must not pass for recovered.

        One whose creation was broken off is left out if there are others.
        """
        unfinished = [t for t in self._targets if t.outcome == Outcome.UNFINISHED]
        if len(unfinished) < len(self._targets):
            for target in unfinished:
                text = f"LEFT OUT: {target.store.path}: {target.reason}"
                self.done.warn("database-unfinished", text, target.store.path)
                self.done.left_out.append(target.store.path)
                self._targets.remove(target)
                target.store.close()
        for target in self._targets:
            if target.header.state != DbState.CLEAN_SHUTDOWN:
                why, hint = f"The logs do not recover this database: {target.reason}", ""
                if any(t.signature == target.signature for t in self._targets if t is not target):
                    why = "There is another copy of this database, and the logs recover one"
                    hint = "Name the file to recover, or take the other one out of the folder."
                raise DatabaseMismatch(why, file=target.store.path, hint=hint)


def _pages_owned(store: Store) -> int:
    """Return the last page that a database owns; if its space trees are gone, what each one has."""
    if store.page_count < LEAST_PAGES:
        return LEAST_PAGES
    return last_owned_page(store) or 0


def run(
    env: Env,
    plan: Plan,
    targets: list[Target],
    options: Options,
    setting: Setting,
    watch: Watch,
) -> Done:
    """Replay the logs of `plan` onto `targets` (databases that it creates are added to the list).

    Raises HotsplitError; the stores are then in the middle of it.
    """
    work = Run(env, plan, targets, options, setting, watch)
    try:
        if plan.logs:
            work.redo()
        work.check_end()
        work.finish()
    except HotsplitError as error:
        _refer(error, work.done)
        raise
    work.done.records, work.done.volume = work.replay.core.records, work.replay.core.volume
    return work.done


def _refer(error: HotsplitError, done: Done) -> None:
    """Name the log in errors that only know a position in it."""
    if not error.file and done.last:
        error.at(position=f"replayed up to log {done.last}")
