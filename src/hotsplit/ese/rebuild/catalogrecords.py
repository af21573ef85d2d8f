"""Records of a catalog that can be read, but not as they lie: these are written anew.

Source: format specification 7, 13.1 R 47 to 49.
"""

from __future__ import annotations

from collections.abc import Iterable

from hotsplit import _native
from hotsplit.ese.check.findings import Report
from hotsplit.ese.check.messages import explain
from hotsplit.ese.check.rowplan import LastIds, TableShape, layout_of
from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS, CATALOG_NAME, TableDef, key_most
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Node
from hotsplit.ese.rebuild.memorytree import MemoryCatalog
from hotsplit.ese.rebuild.objects import CATALOG
from hotsplit.ese.rebuild.reader import SoundReader

_kernel = _native.load("integrity")
_STRUCTURE = ("R47", "R48", "R49a")
_KEY = 13  # bytes of a key of the catalog
_NEVER = 0xFFFFFFFFFFFFFFFF


def broken_records(header: DatabaseHeader, kind: int, rows: Iterable[Node]) -> set[bytes]:
    """Return the keys of rows, given in order, whose records break the rules of their structure.

    kind: page flags of the catalog.
    """
    definition = TableDef(CATALOG_NAME, CATALOG.objid, CATALOG.root)
    definition.columns = list(CATALOG_COLUMNS)
    shape = TableShape(definition, LastIds.of([column.id for column in CATALOG_COLUMNS]))
    size = header.page_size
    reports: list[Report] = []
    layout = layout_of(shape, size, None)
    content = _kernel.Rows(layout, None, [], lambda *_: None, reports)
    tree = _kernel.Tree(size, CATALOG.objid, 0, _NEVER, 2 * key_most(size), content, reports)
    found: set[bytes] = set()
    readable = (node for node in rows if len(node.key) == _KEY and node.data)
    for page in SoundReader(MemoryCatalog(header, kind, readable)).leaves(CATALOG):
        tree.leaves(bytes(page.data), page.number, page.is_root, None, [None])
        found.update(
            page.node(node).key
            for code, pgno, node, a, b in reports
            if pgno == page.number and node >= 0 and explain(code, a, b)[0] in _STRUCTURE
        )
        reports.clear()
    return found
