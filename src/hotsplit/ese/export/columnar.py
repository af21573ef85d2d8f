"""Tables as Arrow and Parquet files.

A table of very many columns is read some columns at a time: what reading takes for each column,
and what libraries that write files take, counts for those only. One Arrow file holds them all;
Parquet comes in several files then, as its library keeps a description of every column of a file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from hotsplit.errors import HotsplitError
from hotsplit.ese.export.fields import Field
from hotsplit.ese.export.files import replaced
from hotsplit.ese.export.schema import Written, meaning_entries
from hotsplit.ese.export.view import View, label_values
from hotsplit.ese.files.env import Env
from hotsplit.ese.read.arrow import (
    WIDE,
    ArrowField,
    ArrowForm,
    filetime_columns,
    list_columns,
    load_pyarrow,
)
from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.batches import row_limit
from hotsplit.ese.read.labels import origins
from hotsplit.ese.read.parts import LeafRange, OutOfOrder

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS_A_FILE = {"parquet": 4096}
"""How many columns a file gets at most if nothing else is asked for; in other formats all."""

_Item = TypeVar("_Item")
_ROWS_A_GROUP, _BYTES_A_GROUP = 65536, 1 << 23
_COLUMNS_A_PASS, _BYTES_A_BLOCK = 4096, 1 << 23
_Blocks = Sequence[LeafRange | None]
_WHOLE: _Blocks = (None,)
_PLACE = 8  # bytes of a row in `Batch.places`
_LESS = 4  # a batch of several passes has a fourth of the rows: it is there as a whole


def write_columns(
    env: Env, view: View, form: str, path: str, most: int = 0, *, ahead: bool = False
) -> Written:
    """Write a table to `path`; if it has more than `most` columns, to several files beside it.

    Each of them has the number of the row, too. ahead: read while writing, for a second core.
    Raises what reading raises.
    """
    if not most or len(view.fields) <= most:
        return _write_file(env, view, form, path, ahead)
    number = view.free_number
    whole = View(view.table, view.title, view.fields, view.include, number=number)
    parts = whole.groups(most)
    files = [_numbered(path, i) for i in range(1, len(parts) + 1)]
    written: list[Written] = []
    try:
        for part, file in zip(parts, files, strict=True):
            written.append(_write_file(env, part, form, file, ahead))
    except BaseException:
        for file in files:
            with contextlib.suppress(HotsplitError):
                env.remove(file)
        raise
    _remove_further(env, path, len(parts))
    extra = len(parts[0].extra)
    types = [kind for one in written for kind in one.types[:-extra]] + written[0].types[-extra:]
    names = [os.path.basename(file) for file in files]  # noqa: PTH119 - paths are plain strings
    return Written(written[0].rows, types, names)


def _numbered(path: str, number: int) -> str:
    """Return the name of a file with some columns: one that no table's own file ever has."""
    stem, _, suffix = path.rpartition(".")
    return f"{stem}~c{number}.{suffix}"


def _remove_further(env: Env, path: str, count: int) -> None:
    """Remove the files behind the last one that an earlier export of more parts has left."""
    number = count + 1
    while env.exists(_numbered(path, number)):
        env.remove(_numbered(path, number))
        number += 1


class _MoreLists(Exception):
    """A column turned out to have several values in a row after rows were written."""

    def __init__(self, names: set[str]) -> None:
        self.names = names


def _write_file(env: Env, view: View, form: str, path: str, ahead: bool) -> Written:
    lists: set[str] = set()
    blocks = _blocks(view)
    while True:
        try:
            return _once(env, view, form, path, lists, blocks, ahead)
        except _MoreLists as found:  # at most once a column: the table is written again
            lists |= found.names
        except OutOfOrder:
            blocks = _WHOLE


def _once(
    env: Env,
    view: View,
    form: str,
    path: str,
    lists: set[str],
    blocks: _Blocks,
    ahead: bool,
) -> Written:
    pyarrow = load_pyarrow()
    passes = [_Pass(pyarrow, part, lists, size, blocks) for part, size in _passes(view)]
    fields = [field for one in passes for field in one.fields]
    fields += [pyarrow.field(name, kind) for name, kind in _extra_kinds(pyarrow, view)]
    schema = pyarrow.schema(fields, {"ese.table": view.table.name})
    del fields
    count = 0
    with replaced(env, path) as file, _writer(pyarrow, form, file, schema) as out:
        batches = _aligned(passes)
        for arrays, places in _made_ahead(batches) if ahead and len(passes) == 1 else batches:
            arrays += _extra_arrays(pyarrow, view, places, count)
            out.write_batch(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))
            count += len(places) // _PLACE
            del arrays  # closing the file of a wide table takes much memory
        del passes
    return Written(count, [str(field.type) for field in schema])


def _writer(pyarrow: Any, form: str, file: Any, schema: pa.Schema) -> Any:
    """Return what writes batches, to be closed at the end."""
    if form == "arrow":
        return pyarrow.ipc.new_file(file, schema)
    import pyarrow.parquet as parquet

    narrow = len(schema) < WIDE
    return parquet.ParquetWriter(file, schema, compression="zstd", write_statistics=narrow)


# Reading some columns at a time


def _passes(view: View) -> Iterator[tuple[View, int]]:
    """Yield views of some columns each, with the number of rows of a batch."""
    size = row_limit(view.columns, _ROWS_A_GROUP)
    groups = view.groups(_COLUMNS_A_PASS)
    for group in groups:
        yield group, size if len(groups) == 1 else max(1, size // _LESS)


def _blocks(view: View) -> _Blocks:
    """Return parts of the table that several passes read one after the other.

    What is read of one is kept, so a table that cannot be shared out is no part of itself.
    """
    if len(view.fields) <= _COLUMNS_A_PASS or view.include:
        return _WHOLE
    try:
        leaves = sum(len(part.leaves) for part in view.table.parts(1))
        count = max(1, -(-leaves * view.table.tree().pages.page_size // _BYTES_A_BLOCK))
        parts = view.table.parts(count)
    except HotsplitError:  # it is met again by who reads
        return _WHOLE
    return parts if leaves and len(parts) >= min(count, leaves) else _WHOLE


def _read(view: View, size: int, blocks: _Blocks) -> Iterator[Batch]:
    """Yield the batches of a table. Between blocks nothing is kept of what reads."""
    names = [column.name for column in view.columns]
    for block in blocks:
        batches = view.table.batches(
            names, size=size, most_bytes=_BYTES_A_GROUP, include=view.include, part=block
        )
        if block is None:
            yield from batches
            continue
        read = list(batches)[::-1]
        while read:
            yield read.pop()


class _Pass:
    """Arrow data of some columns of a table, batch by batch. fields: what they are in Arrow."""

    def __init__(
        self, pyarrow: Any, view: View, lists: set[str], size: int, blocks: _Blocks
    ) -> None:
        self._pa, self._view = pyarrow, view
        self._declared = {column.name for column in view.columns if column.is_multi_valued}
        self._batches = _read(view, size, blocks)
        first = next(self._batches, None)
        self._filetimes = filetime_columns(first) if first else set()
        self._lists = lists | (list_columns(first) if first else set())
        self._schema = self._form().schema
        self._ready = [self._record(first)] if first is not None else []

    def _form(self) -> ArrowForm:
        """Return how the columns look in Arrow; it is not kept, as there may be very many."""
        return ArrowForm(_fields(self._view), self._filetimes, self._lists)

    @property
    def fields(self) -> list[pa.Field]:
        """The columns as they are in Arrow."""
        return list(self._schema)

    def records(self) -> Iterator[tuple[pa.RecordBatch, bytes]]:
        """Yield batches with their places; see `Batch`. Raises _MoreLists."""
        while self._ready:
            yield self._ready.pop()
        yield from map(self._record, self._batches)

    def _record(self, batch: Batch) -> tuple[pa.RecordBatch, bytes]:
        missing = list_columns(batch) - self._lists - self._declared
        if missing:
            raise _MoreLists(missing)
        arrays = self._form().arrays(batch)
        return self._pa.RecordBatch.from_arrays(arrays, schema=self._schema), batch.places


def _aligned(
    passes: Sequence[_Pass],
) -> Iterator[tuple[list[pa.Array], bytes]]:
    """Yield the arrays of all passes for the same rows, and their places.

    Passes may end their batches at different rows, since they have different values.
    """
    sources = [one.records() for one in passes]
    waiting: list[Any] = [None] * len(sources)
    while True:
        for i, source in enumerate(sources):
            waiting[i] = waiting[i] or next(source, None)
        if None in waiting:
            return
        rows = min(record.num_rows for record, _ in waiting)
        arrays, places = [], waiting[0][1][: _PLACE * rows]
        for i, (record, rest) in enumerate(waiting):
            whole = record.num_rows == rows
            arrays += record.columns if whole else record.slice(0, rows).columns
            waiting[i] = None if whole else (record.slice(rows), rest[_PLACE * rows :])
        del record
        yield arrays, places
        del arrays  # before the next ones are made


def _fields(view: View) -> list[ArrowField]:
    nothing: dict[str, str] = {}
    wide = len(view.fields) >= WIDE
    return [
        ArrowField(f.name, f.column, f.meaning, nothing if wide else _notes(f)) for f in view.fields
    ]


def _notes(field: Field) -> dict[str, str]:
    return {f"hotsplit.{key}": str(value) for key, value in meaning_entries(field).items()}


def _made_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items; while one is used, another thread makes the next."""
    nothing: Any = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, nothing)
        while (item := waiting.result()) is not nothing:
            waiting = pool.submit(next, items, nothing)
            yield item
            del item


# What rows carry beside their columns


def _extra_kinds(pyarrow: Any, view: View) -> list[tuple[str, pa.DataType]]:
    string = pyarrow.string()
    kinds = [string, pyarrow.uint32(), pyarrow.uint16(), string, string]
    labels = zip(view.labels, kinds, strict=True) if view.include else ()
    return [*labels, *([(view.number, pyarrow.int64())] if view.number else [])]


def _extra_arrays(pyarrow: Any, view: View, places: bytes, first: int) -> list[Any]:
    """Return labels and numbers of rows. first: the number of the first of them."""
    columns: list[Any] = []
    if view.include:
        columns += zip(*map(label_values, origins(places)), strict=True)
    if view.number:
        columns.append(range(first, first + len(places) // _PLACE))
    pairs = zip(columns, _extra_kinds(pyarrow, view), strict=True)
    return [pyarrow.array(values, kind) for values, (_, kind) in pairs]
