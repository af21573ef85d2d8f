"""A database opened for reading: tables by name.

    with Database.open(OsEnv(), "mail.edb") as db:
        for row in db.table("Messages").rows():
            ...

Opening reads the header only; the catalog is read when a table is asked for, and of it only the
part that is needed. A database that was not shut down cleanly is read as it lies: see `is_dirty`.

Source: format specification 1 (header), 6 (catalog).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from hotsplit.errors import ObjectNotFound
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.opened import Closing
from hotsplit.ese.format.catalogschema import TableFlag
from hotsplit.ese.format.header import DbState
from hotsplit.ese.read.catalog import Catalog, TableEntry
from hotsplit.ese.read.pages import CachedPages, PageSource
from hotsplit.ese.read.remains import PageMap
from hotsplit.ese.read.table import Table, find_name
from hotsplit.report import Reporter

_SYSTEM = TableFlag.SYSTEM | TableFlag.DYNAMIC_SYSTEM
_UNKNOWN_STATE = 0  # headers of engines that did not keep the state
_CLEAN_STATES = (_UNKNOWN_STATE, DbState.CLEAN_SHUTDOWN)


class Database(Closing):
    """Tables of one database, over any source of verified pages.

    `source` stays open until `close`. Damage that readers meet and go around goes to `reporter`.
    """

    def __init__(
        self,
        source: PageSource,
        *,
        path: str = "",
        reporter: Reporter | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self.reporter = reporter or Reporter()
        self.source = source
        self._close = close
        self._pages = CachedPages(source)
        self._page_map = PageMap(source)
        self._catalog: Catalog | None = None
        self._tables: dict[str, Table] = {}

    @classmethod
    def open(cls, env: Env, path: str, *, reporter: Reporter | None = None) -> Self:
        """Open a database file. Raises HotsplitError if it is none or its header is unusable."""
        reporter = reporter or Reporter()
        file = DatabaseFile.open(env, path, reporter)
        return cls(file, path=path, reporter=reporter, close=file.close)

    def close(self) -> None:
        """Close the file. Iterators over rows end with an error then."""
        if self._close is not None:
            self._close()
            self._close = None

    @property
    def header(self) -> Any:
        """The database header."""
        return self.source.header

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        return self.source.page_size

    @property
    def state(self) -> str:
        """How the database was left, e.g. ``dirty shutdown``."""
        state = int(self.header.state)
        names = {member.value: member.name for member in DbState}
        return names.get(state, f"state {state}").lower().replace("_", " ")

    @property
    def is_dirty(self) -> bool:
        """True if the database was not shut down cleanly: rows may be missing or torn."""
        return int(self.header.state) not in _CLEAN_STATES

    @property
    def catalog(self) -> Catalog:
        """The catalog, not read yet."""
        if self._catalog is None:
            self._catalog = Catalog(self._pages, self.reporter)
        return self._catalog

    def entries(self, *, system: bool = False) -> list[TableEntry]:
        """Return name, root page and flags of each table. system: the engine's own ones too.

        Raises HotsplitError if neither the catalog nor its shadow can be read.
        """
        entries = self.catalog.entries().values()
        return [entry for entry in entries if system or not entry.flags & _SYSTEM]

    def tables(self, *, system: bool = False) -> list[str]:
        """Return the names of the tables, in order of creation. system: see `entries`."""
        return [entry.name for entry in self.entries(system=system)]

    def table(self, name: str) -> Table:
        """Return a table by name: exactly, else without regard to case.

        Raises ObjectNotFound with near names as hint, or another HotsplitError if the catalog
        cannot be read.
        """
        entries = self.catalog.entries()
        entry = entries.get(name)
        if entry is None:
            entry = self._find(list(entries.values()), name)
        if entry.name not in self._tables:
            self._tables[entry.name] = self._read_table(entry)
        return self._tables[entry.name]

    def _find(self, entries: list[TableEntry], name: str) -> TableEntry:
        try:
            found: TableEntry = find_name(entries, name, "table")
        except ObjectNotFound as error:
            raise error.at(file=self.path) from None
        return found

    def _read_table(self, entry: TableEntry) -> Table:
        table = self.catalog.table(entry)
        template = None
        if table.template and table.template != table.name:
            base = self.catalog.entries().get(table.template)
            template = self.catalog.table(base) if base else None
        return Table(self._pages, table, template, self.reporter, self._page_map)

    def __iter__(self) -> Iterator[Table]:
        """Iterate over the tables that are not the engine's own."""
        return (self.table(name) for name in self.tables())
