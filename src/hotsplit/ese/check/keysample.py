"""A look at some keys of a table's own tree: are they those that its columns make?

Of Unicode text that depends on weights of characters. Where they are not those known here, all rows
would seem to have wrong keys. Source: format specification 10.4, 13.1 X 61.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from hotsplit._native.indexkey_py import (
    Fetch,
    Index,
    OutOfKeysError,
    OutOfTuplesError,
    Source,
    UnknownError,
)
from hotsplit._native.record_py import Record
from hotsplit.errors import HotsplitError
from hotsplit.ese.check.treewalk import TreeSpec
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.pages import CachedPages
from hotsplit.report import Reporter

_SAMPLE = 40  # rows


def fits_keys(plan: tuple[Any, ...], pages: CachedPages, spec: TreeSpec, fetch: Fetch) -> bool:
    """Say whether at least half of the first keys of a tree are those of the plan."""
    index = Index.of(plan)
    judged = [
        made == key
        for key, source in islice(_rows(pages, spec, fetch), _SAMPLE)
        if (made := _key(index, source)) is not None
    ]
    return 2 * sum(judged) >= len(judged)


def _rows(pages: CachedPages, spec: TreeSpec, fetch: Fetch) -> Iterator[tuple[bytes, Source]]:
    tree = BTree(pages, spec.root, name=spec.name, reporter=Reporter(limit=0), objid=spec.objid)
    large = is_large(pages.page_size)
    try:
        for page in tree.leaves():
            old = not page.flags & PageFlag.NEW_RECORD
            for node in page.nodes():
                if not node.is_deleted:
                    yield node.key, Source(Record(node.data, large, old), fetch)
    except (HotsplitError, ValueError):
        return  # what is wrong with it is for the check itself


def _key(index: Index, source: Source) -> bytes | None:
    try:
        return index.make_key(source, [1] * len(index.segments), 0)[0]
    except (UnknownError, OutOfKeysError, OutOfTuplesError):
        return None
