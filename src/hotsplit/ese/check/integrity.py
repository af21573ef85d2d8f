"""The integrity check of a database: all rules, every finding.

Each page in use is read once, tree after tree; memory is at most a byte a page plus a bounded
amount, whatever the number of rows. The rules are in `hotsplit.ese.check.rules`.
Source: format specification 13.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

from hotsplit import _native
from hotsplit.errors import FileTruncated, HotsplitError
from hotsplit.ese.check.catalogrows import CatalogRows, TableRows
from hotsplit.ese.check.catalogrules import CatalogRules, is_plain
from hotsplit.ese.check.context import Context, Totals
from hotsplit.ese.check.fileheader import check_header, is_clean
from hotsplit.ese.check.findings import Findings
from hotsplit.ese.check.owned import LEAST_PAGES
from hotsplit.ese.check.ownlists import OwnLists
from hotsplit.ese.check.pagemap import PageMap
from hotsplit.ese.check.pagereader import PageReader
from hotsplit.ese.check.result import OnRead
from hotsplit.ese.check.rowplan import LastIds, TableShape
from hotsplit.ese.check.shadow import compare_with_shadow
from hotsplit.ese.check.space import DATABASE, Space
from hotsplit.ese.check.tablecheck import TableCheck
from hotsplit.ese.files.database import HEADER_BYTES, DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.flushmapfile import proving_map
from hotsplit.ese.format.catalogschema import (
    CATALOG_COLUMNS,
    CATALOG_NAME,
    CATALOG_ROOT,
    SHADOW_ROOT,
    TableDef,
)
from hotsplit.ese.read.catalog import Catalog, TableEntry, definition_of
from hotsplit.ese.read.pages import RunSource
from hotsplit.report import Reporter, Severity

_kernel = _native.load("integrity")

_CATALOG_OBJID, _SHADOW_OBJID = 2, 3
_SHADOWING_OFF = 0x1
_BITS = 12


@dataclass
class CheckResult:
    """What the check of one database found; the findings are the reporter's.

    bytes: read from the file. dirty: the database was not shut down cleanly.
    changed: the file changed while it was read, so findings may not be true of it.
    """

    path: str
    reporter: Reporter
    page_size: int = 0
    pages: int = 0
    dirty: bool = False
    totals: Totals = field(default_factory=Totals)
    bytes: int = 0
    seconds: float = 0.0
    changed: bool = False

    @property
    def is_damaged(self) -> bool:
        """True if a rule is broken that makes the engine call the database corrupted."""
        return self.reporter.worst() == Severity.ERROR

    @property
    def megabytes_per_second(self) -> float:
        """Speed in units of 10^6 bytes."""
        return self.bytes / 1e6 / self.seconds if self.seconds else 0.0


def check_database(
    env: Env, path: str, reporter: Reporter, on_read: OnRead | None = None
) -> CheckResult:
    """Check a database file against all rules; the file is only read.

    Raises HeaderDamaged when neither header copy is usable, NotEseFile, UnsupportedVersion,
    FileTruncated when not even the first pages are there, and what the Env raises. All other damage
    goes to `reporter`.
    """
    begun = env.now()
    with DatabaseFile.open(env, path, Reporter(limit=0)) as file:
        clean = is_clean(file)
        result = CheckResult(path, reporter, file.page_size, file.page_count, not clean)
        before = (file.file.size(), file.file.pread(HEADER_BYTES, 0))
        if file.page_count < LEAST_PAGES:
            raise FileTruncated("The file ends before the root of the database", file=path)
        findings = Findings(reporter, path, dirty=not clean)
        reader = PageReader(file, on_read)
        check_header(env, file, findings)
        with proving_map(env, path, file.header) as reader.flush_map:
            _Check(file, reader, findings, result).run()
        result.bytes = reader.bytes
        result.changed = before != (file.file.size(), file.file.pread(HEADER_BYTES, 0))
    result.seconds = (env.now() - begun).total_seconds()
    return result


class Faults(NamedTuple):
    """What breaks rules. rules: ids of the broken rules by object id.

    checked: object ids of the trees that were gone over whole and held against each other.
    """

    rules: dict[int, set[str]]
    checked: set[int]

    def of(self, objid: int) -> set[str]:
        """Return the rules that an object breaks."""
        return self.rules.get(objid, set())


def find_faults(source: RunSource, on_read: OnRead | None = None) -> Faults:
    """Check a database that may be damaged in any way: which of its trees break which rules?"""
    findings = Findings(Reporter(limit=0), "", dirty=False)
    result = CheckResult("", findings.reporter)
    check = _Check(source, PageReader(source, on_read), findings, result)
    with contextlib.suppress(HotsplitError):
        check.run()
    return Faults(findings.faults, check.checked)


class _Check:
    """One check on its way: space first, then the catalog, then table after table."""

    def __init__(
        self, file: RunSource, reader: PageReader, findings: Findings, result: CheckResult
    ) -> None:
        pages = PageMap(reader.last)
        space = Space(reader, pages, findings)
        self._context = Context(reader, pages, findings, space, file.header, result.totals)
        self._rules = CatalogRules(findings, file.page_size)
        self._catalog = Catalog(self._context.cached, Reporter(limit=0))
        self._templates: dict[str, TableShape] = {}
        self._lists = OwnLists()
        self._shadowed = not int(file.header.flags) & _SHADOWING_OFF

    @property
    def checked(self) -> set[int]:
        """See `Context`."""
        return self._context.checked

    def run(self) -> None:
        context = self._context
        context.space.claim_database()
        context.walk(DATABASE)
        rows, complete = self._check_catalogs()
        self._check_tables(rows)
        if complete:
            self._rules.finish()
            self._lists.compare(context)
            self._report_leaks()

    # The catalog and its shadow

    def _check_catalogs(self) -> tuple[CatalogRows, bool]:
        """Check both as tables and against each other.

        Return the rows to go by, and whether they are all that there are.
        """
        copy = _kernel.Ledger(_BITS, False)
        sound = {}
        for objid, root in ((_CATALOG_OBJID, CATALOG_ROOT), (_SHADOW_OBJID, SHADOW_ROOT)):
            check = TableCheck(self._context, self._catalog_shape(objid, root), copy)
            check.run()
            sound[root] = not check.damaged
        rows = CatalogRows(self._context.cached, CATALOG_ROOT, _CATALOG_OBJID)
        shadow = CatalogRows(self._context.cached, SHADOW_ROOT, _SHADOW_OBJID)
        if all(sound.values()) and self._shadowed and copy.differing(False):
            compare_with_shadow(self._context, rows, shadow)
        if sound[CATALOG_ROOT] or not sound[SHADOW_ROOT]:
            return rows, sound[CATALOG_ROOT]
        return shadow, True

    def _catalog_shape(self, objid: int, root: int) -> TableShape:
        """The catalog describes itself; its columns are fixed whatever it says."""
        name = CATALOG_NAME if root == CATALOG_ROOT else f"{CATALOG_NAME}Shadow"
        try:
            table = self._catalog.table(TableEntry(name, objid, root, 0))
        except HotsplitError:
            table = TableDef(name, objid, root)
        table.columns = list(CATALOG_COLUMNS)
        return TableShape(table, LastIds.of([column.id for column in CATALOG_COLUMNS]))

    # Tables

    def _check_tables(self, rows: CatalogRows) -> None:
        try:
            for group in rows.tables():
                self._check_table(rows, group if is_plain(group) else rows.expanded(group))
        except HotsplitError as error:
            self._context.findings.add("C37", f"The catalog cannot be read: {error.message}")

    def _check_table(self, rows: CatalogRows, group: TableRows) -> None:
        usable = self._rules.check(group)
        shape = self._shape(rows, group) if usable else None
        self._lists.add(group, shape)
        if group.objid in (_CATALOG_OBJID, _SHADOW_OBJID):
            return
        if shape is None:  # its pages stay unaccounted for
            self._context.space.blind.add(DATABASE.objid)
            return
        TableCheck(self._context, shape).run()

    def _shape(self, rows: CatalogRows, group: TableRows) -> TableShape | None:
        first = group.rows[0]
        entry = TableEntry(
            first.text, group.objid, first.number("ColtypOrPgnoFDP"), first.number("Flags")
        )
        table = definition_of(entry, (row.values for row in group.rows))
        shape = TableShape(table, group.last_ids, blocks=group.blocks)
        if group.blocks:
            shape.define = lru_cache(None)(partial(rows.define, group))
        if table.is_template:
            self._templates[table.name] = shape
        template = self._templates.get(table.template)
        if template is not None and template.table is not table:
            shape.template, shape.template_last = template.table, template.last
        return shape

    # Leaks

    def _report_leaks(self) -> None:
        """Report pages that are owned but neither in use nor available, an owner at a time."""
        first: dict[int, int] = {}
        counts: Counter[int] = Counter()
        space = self._context.space
        for page, count, owner in self._context.pages.unused(space.last_owned):
            counts[owner] += count
            first.setdefault(owner, page)
        for owner, count in counts.items():
            if owner not in space.blind:
                message = f"{count} pages of object {owner} are neither in use nor available"
                self._context.findings.add("S34", message, first[owner])
