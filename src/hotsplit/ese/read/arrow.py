"""Batches as Arrow data, for everything that speaks Arrow: pyarrow, pandas, polars, DuckDB.

pyarrow is needed here only (the extra ``hotsplit[export]``); it is loaded when it is asked for.

| ESE type | Arrow type |
|---|---|
| Bit | bool |
| UnsignedByte, UnsignedShort, UnsignedLong, UnsignedLongLong | uint8, uint16, uint32, uint64 |
| Short, Long, LongLong | int16, int32, int64 |
| Currency | int64, the stored number (10000 is one unit) |
| IEEESingle, IEEEDouble | float, double |
| DateTime | timestamp[us], without zone; timestamp[ns, UTC] in a column of FILETIMEs |
| GUID | arrow.uuid |
| Text, LongText | string |
| Binary, LongBinary | binary |
| several values | list |
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hotsplit import _native
from hotsplit.errors import FeatureMissing
from hotsplit.ese.format.columns import TEXT_TYPES, Coltyp, ColumnDef, ColumnFlag
from hotsplit.ese.read.batch import Batch, Buffers

if TYPE_CHECKING:
    import pyarrow as pa

_kernel = _native.load("batch")
_NUMBERS = {
    Coltyp.UNSIGNED_BYTE: "uint8",
    Coltyp.SHORT: "int16",
    Coltyp.LONG: "int32",
    Coltyp.CURRENCY: "int64",
    Coltyp.IEEE_SINGLE: "float32",
    Coltyp.IEEE_DOUBLE: "float64",
    Coltyp.UNSIGNED_LONG: "uint32",
    Coltyp.LONG_LONG: "int64",
    Coltyp.UNSIGNED_SHORT: "uint16",
    Coltyp.UNSIGNED_LONG_LONG: "uint64",
}
_UNITS = {Coltyp.CURRENCY: "1/10000", Coltyp.DATE_TIME: "days since 1899-12-30"}


def load_pyarrow() -> Any:
    """Return the module. Raises FeatureMissing with the way to get it."""
    try:
        import pyarrow
    except ImportError as error:
        raise FeatureMissing(
            "Arrow and Parquet need pyarrow, which is not installed",
            hint="Install it: pip install 'hotsplit[export]'",
        ) from error
    return pyarrow


class ArrowForm:
    """How the columns of a table look as Arrow fields.

    filetimes: names of DateTime columns that hold FILETIMEs. lists: names of columns that have
    several values in some row though they are not declared as multi-valued.
    """

    def __init__(
        self,
        columns: Sequence[ColumnDef],
        filetimes: Collection[str] = (),
        lists: Collection[str] = (),
    ) -> None:
        self._pa = load_pyarrow()
        self.columns = list(columns)
        self.filetimes, self.lists = set(filetimes), set(lists)

    @classmethod
    def of(cls, batches: Iterable[Batch], columns: Sequence[ColumnDef]) -> ArrowForm:
        """Return the form that fits some batches of these columns."""
        form = cls(columns)
        for batch in batches:
            form.filetimes |= filetime_columns(batch)
            form.lists |= list_columns(batch)
        return form

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema; each field's metadata says what the column is in ESE."""
        fields = [
            self._pa.field(column.name, self._type(column), metadata=_metadata(column))
            for column in self.columns
        ]
        return self._pa.schema(fields)

    def record_batch(self, batch: Batch) -> pa.RecordBatch:
        """Return a batch of these columns as Arrow data, without copying its buffers."""
        arrays = [
            self._array(column, buffers, batch.rows)
            for column, buffers in zip(self.columns, batch.buffers, strict=True)
        ]
        return self._pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _is_list(self, column: ColumnDef) -> bool:
        return column.is_multi_valued or column.name in self.lists

    def _type(self, column: ColumnDef) -> pa.DataType:
        one = self._element_type(column)
        return self._pa.list_(one) if self._is_list(column) else one

    def _element_type(self, column: ColumnDef) -> pa.DataType:
        pa, coltyp = self._pa, column.coltyp
        if coltyp in _NUMBERS:
            return getattr(pa, _NUMBERS[Coltyp(coltyp)])()
        if coltyp == Coltyp.BIT:
            return pa.bool_()
        if coltyp == Coltyp.GUID:
            return pa.uuid()
        if coltyp == Coltyp.DATE_TIME:
            filetime = column.name in self.filetimes
            return pa.timestamp("ns", "UTC") if filetime else pa.timestamp("us")
        return pa.string() if coltyp in TEXT_TYPES else pa.binary()

    def _array(self, column: ColumnDef, buffers: Buffers | None, rows: int) -> pa.Array:
        pa = self._pa
        if buffers is None:
            return pa.nulls(rows, self._type(column))
        elements = self._elements(column, buffers)
        if not self._is_list(column):
            return elements
        validity, offsets = buffers.row_validity, buffers.row_offsets
        if offsets is None:
            validity, offsets = buffers.validity, struct.pack(f"<{rows + 1}i", *range(rows + 1))
        found = [_buffer(pa, validity), _buffer(pa, offsets)]
        return pa.Array.from_buffers(self._type(column), rows, found, children=[elements])

    def _elements(self, column: ColumnDef, buffers: Buffers) -> pa.Array:
        pa, coltyp = self._pa, column.coltyp
        kind = self._element_type(column)
        validity, data = buffers.validity, buffers.data
        if coltyp == Coltyp.DATE_TIME:
            form = _kernel.FILETIME if column.name in self.filetimes else _kernel.OLE
            data, validity, _ = _kernel.convert_times(data, validity, form)
        storage = pa.binary(16) if coltyp == Coltyp.GUID else kind
        found = [_buffer(pa, validity), _buffer(pa, buffers.offsets), _buffer(pa, data)]
        if buffers.offsets is None:
            del found[1]
        array = pa.Array.from_buffers(storage, buffers.length, found)
        return pa.ExtensionArray.from_storage(kind, array) if coltyp == Coltyp.GUID else array


def _buffer(pa: Any, data: bytes | None) -> Any:
    return None if data is None else pa.py_buffer(data)


def _metadata(column: ColumnDef) -> dict[str, str]:
    """Return what the column is in ESE: type, id, unit, code page, flags."""
    known = {"ese.type": column.type_name, "ese.id": str(column.id)}
    if column.coltyp in _UNITS:
        known["ese.unit"] = _UNITS[Coltyp(column.coltyp)]
    if column.coltyp in TEXT_TYPES:
        known["ese.code_page"] = str(column.code_page)
    flags = [
        flag.name.lower().replace("_", " ")
        for flag in ColumnFlag
        if flag.name and column.flags & flag
    ]
    if flags:
        known["ese.flags"] = ", ".join(flags)
    return known


def filetime_columns(batch: Batch) -> set[str]:
    """Return the DateTime columns of a batch in which most values other than 0 are FILETIMEs."""
    names = set()
    for column, buffers in zip(batch.columns, batch.buffers, strict=True):
        if column.coltyp == Coltyp.DATE_TIME and buffers is not None:
            filetimes, others = _kernel.count_filetimes(buffers.data)
            if filetimes > others:
                names.add(column.name)
    return names


def list_columns(batch: Batch) -> set[str]:
    """Return the columns of a batch whose rows are lists."""
    pairs = zip(batch.columns, batch.buffers, strict=True)
    return {column.name for column, found in pairs if found is not None and found.is_list}
