"""Replay of log records onto resident pages: the readable reference of the ``redo`` kernel.

`Core` walks log segments and carries out the records that make up almost all of a log: those of
sessions and of single nodes, and macros that add a page to the end of a tree. It stops and hands
over to its caller for everything rare (other macros, page creation, database records), for a page
that is not resident (MISS, or NEW if the records at hand make it), and when a page and a record do
not go together. The caller mends the matter and calls `run` again.

A position is one number: generation << 32 | sector << 16 | byte, so that positions compare.

Source: log specification 3.3 (placement), 4 (records), 6.4 (redo decision), 6.5 (version store).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hotsplit._native import appendredo_py as appends
from hotsplit._native.noderedo_py import HEAD, NODE_RECORDS, NodeRedo
from hotsplit._native.recordwalk_py import RecordWalk
from hotsplit._native.seek_py import Seek
from hotsplit._native.sessions_py import INSERT, Session, Version

# Why `run` returned.
END, RECORD, MISS, TOO_OLD, TOO_NEW, BEYOND, DAMAGED, NEW = range(8)

NO_DBTIME = 0xFFFFFFFFFFFFFFFF

_UNDO_INFO = 36
_SCRUBBED = 0x40  # in the second byte of the page's flags
_IGNORED = frozenset([
    0, 3, 4, 10, 19, 20, 21, 22, 42, 45, 46, 57, 59, 61, 66, 67, 69, 70, 71, 73, 74, 75, 97, 98,
    100, 101, *range(82, 92),
])  # fmt: skip


class _Database:
    def __init__(self) -> None:
        self.attached = False
        self.position = 0
        self.required = 0
        self.dbtime = 0
        self.objid = 0


class _Stop(Exception):
    """The record cannot go on now."""


class Core(Seek):
    """See the module. One `Core` serves all databases of a log stream (dbid 1 to 255)."""

    def __init__(self, page_size: int) -> None:
        super().__init__()
        self.page_size = page_size
        self.records = self.volume = self.redone = self.skipped = 0
        self.position = 0
        self.record = b""
        self.missing = (0, 0)
        self.why = ""
        self._databases = [_Database() for _ in range(256)]
        self._sessions: dict[int, Session] = {}
        self._macros: set[tuple[int, int]] = set()
        self._dirty: set[tuple[int, int]] = set()
        self._skip: set[tuple[int, int]] = set()
        self._force_skip = False
        self._walk = RecordWalk()
        self._pending = b""

    # Databases and counters

    def attach(self, dbid: int, position: int, required: int) -> None:
        """Carry out records of `dbid` behind `position`; its counters begin anew.

        required: pages may be newer than the log up to this generation.
        """
        db = self._databases[dbid]
        db.attached, db.position, db.required = True, position, required
        db.dbtime = db.objid = 0

    def detach(self, dbid: int) -> None:
        """Ignore records of `dbid` from now on."""
        self._databases[dbid].attached = False

    def note(self, dbid: int, dbtime: int, objid: int) -> None:
        """Raise the counters of a database to at least these."""
        db = self._databases[dbid]
        db.dbtime, db.objid = max(db.dbtime, dbtime), max(db.objid, objid)

    def counters(self, dbid: int) -> tuple[int, int]:
        """Return the highest (dbtime, objid) seen."""
        db = self._databases[dbid]
        return db.dbtime, db.objid

    def open_macro(self, procid: int, dbtime: int) -> None:
        """Hand over records of this session with this dbtime (UndoInfo excepted)."""
        self._macros.add((procid, dbtime))

    def close_macro(self, procid: int, dbtime: int) -> None:
        """End `open_macro`."""
        self._macros.discard((procid, dbtime))

    # Pages

    def page(self, dbid: int, pgno: int) -> bytearray | None:
        """Return a resident page; changes to it must be followed by `dirty`."""
        return self._pages.get((dbid, pgno))

    def load(self, dbid: int, pgno: int, data: bytes) -> bytearray:
        """Make a page resident, clean."""
        self._skip.discard((dbid, pgno))
        page = self._pages[dbid, pgno] = bytearray(data)
        return page

    def dirty(self, dbid: int, pgno: int) -> None:
        """Mark a resident page changed."""
        self._dirty.add((dbid, pgno))

    def clean(self, dbid: int, pgno: int) -> None:
        """Mark a resident page as written."""
        self._dirty.discard((dbid, pgno))

    def skip(self, dbid: int, pgno: int) -> None:
        """Leave a page alone: records do not change it until it is loaded anew."""
        self._skip.add((dbid, pgno))
        self._pages.pop((dbid, pgno), None)
        self._dirty.discard((dbid, pgno))

    def is_skipped(self, dbid: int, pgno: int) -> bool:
        """Tell whether `skip` holds for the page."""
        return (dbid, pgno) in self._skip

    def forget(self, dbid: int, first: int, last: int) -> None:
        """Drop all state of pages first..last."""
        gone = [k for k in [*self._pages, *self._skip] if k[0] == dbid and first <= k[1] <= last]
        for key in gone:
            self._pages.pop(key, None)
            self._dirty.discard(key)
            self._skip.discard(key)

    def resident(self) -> int:
        """Return the number of resident pages."""
        return len(self._pages)

    def dirty_pages(self, dbid: int) -> list[int]:
        """Return the numbers of changed resident pages, ascending."""
        return sorted(pgno for db, pgno in self._dirty if db == dbid)

    def skipped_pages(self, dbid: int) -> list[int]:
        """Return the numbers of pages that are left alone, ascending."""
        return sorted(pgno for db, pgno in self._skip if db == dbid)

    def evict(self, keep: int) -> Iterator[tuple[int, int, bytearray]]:
        """Drop pages until `keep` are resident; yield (dbid, pgno, data) of changed ones."""
        for key in list(self._pages)[: max(0, len(self._pages) - keep)]:
            data = self._pages.pop(key)
            if key in self._dirty:
                self._dirty.discard(key)
                yield (*key, data)

    # Sessions

    def reset_sessions(self) -> None:
        """Forget all sessions and open macros."""
        self._sessions.clear()
        self._macros.clear()

    def is_known(self, procid: int) -> bool:
        """Tell whether a transaction of the session began behind the start of replay."""
        return procid in self._sessions and self._sessions[procid].known

    def open_sessions(self) -> list[tuple[int, int, int, list[Version]]]:
        """Return (procid, level, trx, versions) of each open transaction, by procid."""
        return [
            (procid, s.level, s.trx, list(s.versions))
            for procid, s in sorted(self._sessions.items())
            if s.level
        ]

    def add_version(self, procid: int, version: Version) -> None:
        """Remember an operation carried out by the caller."""
        self._session(procid).add(version)

    def _session(self, procid: int) -> Session:
        return self._sessions.setdefault(procid, Session())

    # Replay

    def feed(self, data: bytes, position: int, offset: int, framed: bool) -> None:
        """Set what `run` walks.

        data: whole segments (framed) or one stretch of records; position: that of its first byte;
        offset: where in `data` to begin. Ends the fragments of an earlier file.
        """
        self._walk.feed(data, position, offset, framed)
        self._pending = b""

    def run(self) -> int:
        """Carry out records until the data ends (END) or something needs the caller."""
        while True:
            if not self._pending and not self._next():
                return DAMAGED if self.why else END
            record = self._pending
            try:
                handled = self._carry_out(record)
            except _Stop as stop:
                self.record = record
                code: int = stop.args[0]
                return code
            except (ValueError, struct.error) as error:
                self.record, self.why = record, str(error)
                return DAMAGED
            self._pending = b""
            self._force_skip = False
            self.records += 1
            self.volume += len(record)
            if not handled:
                self.record = record
                return RECORD

    def skip_record(self) -> None:
        """Leave the page of the stopped record alone when `run` goes on."""
        self._force_skip = True

    def _next(self) -> bool:
        found = self._walk.next()
        self.why = self._walk.why
        if found or self.why:
            self.position = self._walk.position
        self._pending = self._walk.record if found else b""
        return found

    def _carry_out(self, record: bytes) -> bool:
        """Carry out one record; False if it is the caller's."""
        kind = record[0]
        if kind in _IGNORED:
            return True
        if kind in (5, 8, 53):
            session = self._session(int.from_bytes(record[1:3], "little"))
            if kind != 5 or session.known:  # a nested begin does not make a session known
                session.begin(record[3] & 15, record[3] >> 4)
            if kind != 5:
                session.trx = int.from_bytes(record[4:8], "little")
            return True
        if kind in (6, 9):
            session = self._session(int.from_bytes(record[1:3], "little"))
            session.commit(min(record[3], session.level) if kind == 6 else 0)
            return True
        if kind == 7:
            self._session(int.from_bytes(record[1:3], "little")).rollback(record[3])
            return True
        if kind == appends.MACRO_BEGIN:
            return self._append_macro(record)
        return kind in NODE_RECORDS and self._node_record(record)

    def _append_macro(self, begin: bytes) -> bool:
        """Carry out the macro that begins if it adds a page to the end of a tree."""
        procid, dbtime = int.from_bytes(begin[1:3], "little"), int.from_bytes(begin[3:11], "little")
        if self._walk.in_parts or self._force_skip or not self.is_known(procid):
            return False
        if (procid, dbtime) in self._macros:
            return False
        mark = self._walk.mark()

        def following() -> bytes:
            return self._walk.record if self._walk.next() else b""

        macro = appends.read_append(begin, following)
        code = RECORD if macro is None else self._try_append(macro)
        if macro is not None and code == END:
            self.position = self._walk.position
            self.records += 4
            self.volume += macro.size - len(begin)
            return True
        self._walk.back(mark)
        if code == NEW:
            raise _Stop(NEW)
        return False

    def _try_append(self, macro: appends.Append) -> int:
        """Carry out a macro: END. RECORD: it is the caller's; NEW: its new page is missing."""
        split, db = macro.split, self._databases[macro.split.dbid]
        new = split.dbid, split.new
        above, source = self._untouched(macro.above), self._untouched(split)
        if not db.attached or self._walk.position <= db.position:
            return RECORD
        if above is None or source is None or above is source or not appends.fits(macro, source):
            return RECORD
        line = appends.child_line(above, macro)
        if line is None or new in self._skip:
            return RECORD
        target = self._pages.get(new)
        if target is None:
            self.missing = new
            return NEW
        if target is above or target is source or appends.dbtime_of(target) >= split.dbtime:
            return RECORD
        if not appends.change_parent(above, line, macro):
            return RECORD
        self._remember_insert(split, macro)
        appends.make_page(target, macro)
        appends.change_source(source, macro)
        for key in ((split.dbid, macro.above.pgno), (split.dbid, split.pgno), new):
            self._dirty.add(key)
        for objid in (macro.above.objid, split.objid, macro.objid):
            self.note(split.dbid, split.dbtime, objid)
        return END

    def _untouched(self, split: appends.Split) -> bytearray | None:
        """Return a page if it is as it was when the record was made."""
        page = self._pages.get((split.dbid, split.pgno))
        return page if page is not None and appends.is_untouched(page, split) else None

    def _remember_insert(self, split: appends.Split, macro: appends.Append) -> None:
        if macro.flags & 1:
            unique = bool(macro.flags & 4)
            what = INSERT, macro.level, split.dbid, macro.fdp, macro.objid, macro.rceid, unique
            data = b"" if unique else macro.data
            self._session(split.procid).add(Version(*what, macro.key, data, b"", 0, 0))

    def _node_record(self, record: bytes) -> bool:
        kind, procid, dbid, pgno, dbtime, before, _, _, _, _, _, _, objid = HEAD.unpack_from(record)
        session = self._session(procid)
        if session.known and kind != _UNDO_INFO and (procid, dbtime) in self._macros:
            return False
        db = self._databases[dbid]
        if not db.attached or self.position <= db.position:
            return True
        if kind == _UNDO_INFO:
            if session.known:
                NodeRedo(session, record, None, self.page_size).carry_out()
            return True
        if not session.known:
            self.note(dbid, dbtime, objid)
            return True
        page = self._needs_redo(db, dbid, pgno, dbtime, before)
        NodeRedo(session, record, page, self.page_size).carry_out()
        self.note(dbid, dbtime, objid)
        if page is None:
            self.skipped += 1
        else:
            struct.pack_into("<Q", page, 8, dbtime)
            page[37] &= ~_SCRUBBED  # whatever a scrub has done, there is data again
            self._dirty.add((dbid, pgno))
            self.redone += 1
        return True

    def _needs_redo(
        self, db: _Database, dbid: int, pgno: int, dbtime: int, before: int
    ) -> bytearray | None:
        """Return the page if the record must change it, None if the page already has the change."""
        key = dbid, pgno
        if self._force_skip or key in self._skip:
            return None
        page = self._pages.get(key)
        if page is None:
            self.missing = key
            raise _Stop(MISS)
        now: int = struct.unpack_from("<Q", page, 8)[0]
        if dbtime <= now:
            if self.position >> 32 > db.required:
                raise _Stop(BEYOND)
            return None
        if before not in (NO_DBTIME, now):
            raise _Stop(TOO_OLD if now < before else TOO_NEW)
        return page
