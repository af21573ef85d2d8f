"""A database that is attached: its file, header, counters and trees.

Source: log specification 4.12, 6.8, 7.7; format specification 1.4, 1.5.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

from hotsplit.errors import HotsplitError, InvalidUse, Jet, ObjectNotFound
from hotsplit.ese.engine.context import Context
from hotsplit.ese.engine.pages.flushmap import FlushMap
from hotsplit.ese.engine.pages.livestore import LiveStore
from hotsplit.ese.engine.schema.catalog import CatalogWriter
from hotsplit.ese.engine.schema.changes import create_long_values
from hotsplit.ese.engine.session import INTERNAL_SESSION, Session
from hotsplit.ese.engine.tables.longvalues import LongValueTree
from hotsplit.ese.engine.tables.tablestate import TableState
from hotsplit.ese.engine.trees.space import DATABASE_ROOT, extension
from hotsplit.ese.engine.trees.tree import Tree
from hotsplit.ese.files.flushmapfile import flush_map_path
from hotsplit.ese.files.opened import decoded, located
from hotsplit.ese.format.attachments import UTF16_NAMES, Attachment
from hotsplit.ese.format.basics import NO_SIGNATURE, LogPosition, LogTime, Signature
from hotsplit.ese.format.catalogschema import TableFlag
from hotsplit.ese.format.header import MAGIC, VERSION, DatabaseHeader, DbState
from hotsplit.ese.format.logrecord import encode
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.format.space import Extent
from hotsplit.ese.read.catalog import Catalog, TableEntry
from hotsplit.ese.read.pages import CachedPages
from hotsplit.ese.recovery.pages import position_number, position_of
from hotsplit.ese.recovery.store import Store
from hotsplit.report import Reporter

FIRST_DBTIME = 0x40
FIRST_PAGES = 254
"""Numbered pages of a new database: 256 with the two headers."""

_LAST_OBJID = 0x7FFFFFFF
_EXTENSION = 256
_REVISION = 20
_CREATED_BY = 0x620
_OS_VERSION = (6, 2, 9200)
_ESE_BUILD = 0x02000000
_PER_INDEX_VERSIONS = 0xFFFFFFFFFFFFFFFF
_FILE_TYPE = 1
_TREE_KINDS = PageFlag.INDEX | PageFlag.LONG_VALUE | PageFlag.NON_UNIQUE | PageFlag.NEW_RECORD


class OpenDatabase:
    """One attached database. consistent: its position before it was attached (0 for a new one).

    is_attached: until it is detached; another one may have its number then.
    """

    def __init__(self, context: Context, dbid: int, store: Store, consistent: LogPosition) -> None:
        self.context, self.dbid, self.store = context, dbid, store
        self.consistent = consistent
        self.dbtime = store.header.dbtime
        self.objid_last = store.header.objid_last
        self._trees: dict[int, Tree] = {}
        self._tables: dict[str, TableState] = {}
        self.schema_changer: Session | None = None
        self.is_attached = True
        context.cache.attach(dbid)
        context.cache.stores[dbid] = store
        context.core.attach(dbid, position_number(store.header.attach), 0)

    @property
    def path(self) -> str:
        """Where the file is."""
        return self.store.path

    @property
    def header(self) -> DatabaseHeader:
        """The header as it will be written next."""
        return self.store.header

    def check(self, context: Context | None = None) -> None:
        """Raise InvalidUse (-1010) if it is not attached, or not to the instance of `context`.

        Raises InstanceDown.
        """
        self.context.check()
        if not self.is_attached:
            raise InvalidUse(
                "The database is detached", jet=Jet.errInvalidDatabaseId, file=self.path
            )
        if context not in (None, self.context):
            raise InvalidUse(
                "The database is of another instance", jet=Jet.errInvalidDatabaseId, file=self.path
            )

    # Counters

    def tick(self) -> int:
        """Return the dbtime of a new change."""
        self.dbtime += 1
        return self.dbtime

    def next_objid(self) -> int:
        """Return the id of a new object."""
        if self.objid_last == _LAST_OBJID:
            raise InvalidUse("No table or index can be added", jet=Jet.errOutOfObjectIDs)
        self.objid_last += 1
        return self.objid_last

    # Trees and space

    def tree(self, root: int, objid: int, kind: int = 0, *, unique: bool = True) -> Tree:
        """Return the tree of a root page: one object for each, as it holds the versions."""
        found = self._trees.get(root)
        if found is None or found.objid != objid:
            found = self._trees[root] = Tree(self, root, objid, kind, unique=unique)
        return found

    def tree_at(self, root: int) -> Tree:
        """Return the tree of a root page, known or told by the page itself."""
        found = self._trees.get(root)
        if found is not None and found.dropped is None:
            return found
        page = Page(self.context.cache.load(self.dbid, root), root)
        flags = page.flags
        unique = not flags & PageFlag.NON_UNIQUE
        return self.tree(root, page.objid, flags & _TREE_KINDS, unique=unique)

    @property
    def root(self) -> Tree:
        """The tree that owns all space of the database."""
        return self.tree(DATABASE_ROOT, DATABASE_ROOT)

    # Tables

    @functools.cached_property
    def catalog(self) -> CatalogWriter:
        """The system tables, for changes."""
        return CatalogWriter(self)

    def table_names(self) -> list[str]:
        """Return the names of all tables but the engine's own, as far as they are committed.

        Raises InstanceDown, InvalidUse (-1010).
        """
        with self.context.looking:
            self.check()
            with Session(self.context, INTERNAL_SESSION) as session, decoded(self.path):
                session.begin()
                return self.catalog.table_names(session)

    def tables(self) -> list[TableState]:
        """Return all tables but the engine's own. Raises InstanceDown, InvalidUse (-1010)."""
        with self.context.looking:
            catalog = self._as_read()
            return [self._known(catalog, entry) for entry in self._user_tables(catalog)]

    def root_trees(self) -> list[int]:
        """Return the roots of all trees whose space comes from the database itself."""
        return [entry.root for entry in self._as_read().entries().values()]

    def find_table(self, name: str) -> TableState | None:
        """Return a table by its name, None if there is none."""
        state = self._tables.get(name.casefold())
        if state is not None:
            return state
        self.check()
        entry = self.catalog.find(name)
        return None if entry is None else self._known(self._as_read(), entry)

    def _as_read(self) -> Catalog:
        self.check()
        return Catalog(CachedPages(_CachedSource(self)), Reporter())

    @staticmethod
    def _user_tables(catalog: Catalog) -> list[TableEntry]:
        hidden = TableFlag.SYSTEM | TableFlag.DYNAMIC_SYSTEM
        return [entry for entry in catalog.entries().values() if not entry.flags & hidden]

    def _known(self, catalog: Catalog, entry: TableEntry) -> TableState:
        """Return the table of an entry: one object for each name."""
        name = entry.name.casefold()
        if name not in self._tables:
            definition = catalog.table(entry)
            base = self.catalog.find(definition.template) if definition.template else None
            if definition.template and base is None:
                raise ObjectNotFound(f"Template {definition.template} of {entry.name} is not there")
            template = None if base is None or base.objid == entry.objid else catalog.table(base)
            with located(self.path):
                self._tables[name] = TableState(self, definition, template)
        return self._tables[name]

    def adopt_table(self, session: Session, state: TableState) -> None:
        """Keep a table that the session just made, or gave its name.

        Who does not see that goes on seeing the table that had the name before.
        """
        name, transaction = state.name.casefold(), session.current
        before = self._tables.get(name)
        self._tables[name] = state
        state.made_by, state.named_before = transaction, before

        def settle() -> None:
            state.named_before = None

        def undo() -> None:
            state.outdated = True
            self._tables.pop(name, None)
            if before is not None:
                self._tables[name] = before
            transaction.settling.remove(settle)

        transaction.settling.append(settle)
        session.on_undo(undo)

    def forget_table(self, state: TableState, following: TableState | None) -> None:
        """All see another table in place of this one, or none: None."""
        name = state.name.casefold()
        if self._tables.get(name) is state:
            del self._tables[name]
            if following is not None and following.name.casefold() == name:
                self._tables[name] = following

    def table_of(self, session: Session, name: str) -> TableState | None:
        """Return a table by its name as a session sees it, None if there is none."""
        state = self.find_table(name)
        while state is not None:
            if state.made_by is None or session.sees(state.made_by):
                with contextlib.suppress(ObjectNotFound):
                    seen = state.seen_by(session)
                    if seen.name.casefold() == name.casefold():
                        return seen
            state = state.named_before
        return None

    def long_values_of(self, session: Session, state: TableState) -> LongValueTree:
        """Return the tree of a table's long values, made at the first need.

        It stays if the transaction is rolled back, but not without its table. All see it then, as
        whoever drops the table needs it.
        """
        if state.long_values is None:
            is_own = state.made_by is not None and not state.made_by.commit
            if not is_own:
                session = Session(self.context, INTERNAL_SESSION)
            session.begin()
            transaction = session.current
            create_long_values(session, state)
            session.commit(lazy=True)
            if not is_own:
                self.context.versions.show_to_all(transaction)
        assert state.long_values is not None
        return state.long_values

    def extend(self, session: Session, count: int) -> Extent:
        """Make the file longer; return the new extent."""
        last = max(extent.last for extent in self.root.space.extents(self.root.space.owned))
        count = max(count, _EXTENSION)
        self.extend_file(last + count)
        return Extent(last + count, count)

    def extend_file(self, last: int) -> None:
        """Make the file grow to page `last`, then log it. Raises DiskFull; nothing changed then."""
        self.store.extend(last)
        self.context.journal.note(extension(self.dbid, last))
        self.header.extend_count += 1
        self.header.extend_time = self.context.now()

    def cut_file(self, last: int, count: int) -> None:
        """Let the file end with page `last`: `count` pages behind it are nobody's any more.

        The record is durable before the file changes: whether replay does it again depends on that.
        """
        context = self.context
        context.cache.drop(self.dbid, last + 1, last + count)
        record = encode(T.SHRINK_DB, dbid=self.dbid, pgno_last=last, cpg_shrunk=count)
        position = context.journal.note(record)
        context.log.flush()
        self.store.shrink(last)
        self.header.shrink_count += 1
        self.header.shrink_time = context.now()
        self.header.note_resize(position_of(position))
        self.write_header()

    # Header

    def write_header(self) -> None:
        """Write the header, as of now."""
        header = self.header
        header.dbtime, header.objid_last = self.dbtime, self.objid_last
        header.header_flush_signature = self._stamp()
        self.store.write_header(header)

    def _stamp(self) -> Signature:
        return Signature(self.context.random(), self.context.now())

    def mark_attached(self, position: int) -> None:
        """The database is in use since the record at `position`."""
        header = self.header
        header.state, header.dbid = DbState.DIRTY_SHUTDOWN, self.dbid
        header.log_signature = self.context.files.signature
        header.attach, header.attach_time = position_of(position), self.context.now()
        header.detach, header.detach_time = LogPosition(), LogTime()
        generation = position >> 32
        self._begin_flush_map(generation)
        header.gen_min_required = header.gen_min_consistent = generation
        self.mark_generation(self.context.log.generation)  # another one may have begun since
        self.context.core.attach(self.dbid, position, 0)

    def _begin_flush_map(self, generation: int) -> None:
        header, store, context = self.header, self.store, self.context
        has_name = flush_map_path(self.path) != self.path
        if isinstance(store, LiveStore) and context.settings.flush_map and has_name:
            store.flush_map = made = FlushMap(context.env, self.path, self._stamp)
            self._with_flush_map(lambda: made.begin(header, generation, context.now()))
        else:
            header.flush_map_signature = NO_SIGNATURE

    def _with_flush_map(self, write: Callable[[], None]) -> None:
        """Write the flush map; where that fails, the database goes on without one."""
        try:
            write()
        except HotsplitError as error:
            assert isinstance(self.store, LiveStore)
            self.store.drop_flush_map(error)
            self.header.flush_map_signature = NO_SIGNATURE

    @property
    def flush_map(self) -> FlushMap | None:
        """The map of page writes, None where none is kept."""
        return self.store.flush_map if isinstance(self.store, LiveStore) else None

    def mark_generation(self, generation: int) -> None:
        """Changes of a log generation may reach the file from now on. Writes the header.

        One that is closed needs no log, and the stream goes on without it.
        """
        header = self.header
        if header.state == DbState.CLEAN_SHUTDOWN:
            return
        header.gen_max_required = header.gen_max_committed = generation
        header.gen_max_create_time = self.context.files.created
        self.write_header()

    def mark_required(self, generation: int) -> bool:
        """Logs below `generation` are not needed any more; tell whether the header changed.

        All pages that were written must be durable.
        """
        header = self.header
        generation = max(generation, header.attach.generation)
        if generation <= header.gen_min_required:
            return False
        kept, now = self.flush_map, self.context.now()
        if kept is not None:
            self._with_flush_map(lambda: kept.write(header, generation, now))
        header.gen_min_required = header.gen_min_consistent = generation
        self.write_header()
        return True

    def mark_clean(self, position: int) -> None:
        """Write all pages, then the header of a database that needs no log."""
        self.context.cache.flush(self.dbid)
        kept, now = self.flush_map, self.context.now()
        if kept is not None:
            self.store.sync()
            self._with_flush_map(lambda: kept.close(self.header, now))
        self.header.set_clean(position_of(position), self.context.now())
        self.write_header()

    def close(self) -> None:
        """Close the file."""
        self.is_attached = False
        self.context.core.detach(self.dbid)
        self.context.cache.forget(self.dbid)
        self.store.close()

    def attachment(self) -> Attachment:
        """Return what the header of a new log says of the database."""
        counters = self.dbtime, self.objid_last
        return attachment_of(self.dbid, self.header, counters, self.consistent, self.path)


def attachment_of(
    dbid: int,
    header: DatabaseHeader,
    counters: tuple[int, int],
    consistent: LogPosition,
    path: str,
) -> Attachment:
    """Return the entry of a database in a list of attachments. counters: dbtime and last objid."""
    positions = header.attach, consistent
    name = path_bytes(path)
    return Attachment(dbid, UTF16_NAMES, *counters, 0, *positions, header.db_signature, name)


class _CachedSource:
    """Pages of a database in use, for the readers of files."""

    def __init__(self, database: OpenDatabase) -> None:
        self._database = database
        self.page_size = database.context.settings.page_size
        self.header = database.header

    def read_page(self, pgno: int, /) -> bytes:
        """Return a page as it is now."""
        return bytes(self._database.context.cache.load(self._database.dbid, pgno))


def path_bytes(path: str) -> bytes:
    """Return a path as logs hold it."""
    return (path + "\0").encode("utf-16-le", "surrogatepass")


def new_header(context: Context) -> DatabaseHeader:
    """Return the header of a database that is being created."""
    header = DatabaseHeader.empty(context.settings.page_size)
    header.magic, header.version, header.file_type = MAGIC, VERSION, _FILE_TYPE
    header.state, header.dbtime = DbState.JUST_CREATED, FIRST_DBTIME
    header.db_signature = Signature(context.random(), context.now())
    header.log_signature = context.files.signature
    header.update_major = header.create_update = _REVISION
    header.create_version = _CREATED_BY
    header.page_size_field = context.settings.page_size
    header.flags = _ESE_BUILD
    header.major_version, header.minor_version, header.build_number = _OS_VERSION
    header.sort_version = _PER_INDEX_VERSIONS
    return header
