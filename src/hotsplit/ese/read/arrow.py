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
| GUID | arrow.uuid; string in lists: pandas takes no lists of UUIDs |
| Text, LongText | string |
| Binary, LongBinary | binary |
| several values | list |
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hotsplit import _native
from hotsplit.errors import FeatureMissing
from hotsplit.ese.format.columns import TEXT_TYPES, Coltyp, ColumnDef, ColumnFlag
from hotsplit.ese.read.batch import Batch, Buffers

if TYPE_CHECKING:
    import pyarrow as pa


class ElementDecoder(Protocol):
    """Turns the elements of a column into what they mean."""

    def arrow_type(self, pa: Any, column: ColumnDef) -> pa.DataType | None:
        """Return the type of what comes out, None if the column's own type stays."""
        ...

    def arrow_array(self, pa: Any, column: ColumnDef, buffers: Buffers) -> pa.Array | None:
        """Return the elements decoded, None for those of the column as they are."""
        ...


_Taking = Callable[[bytes | None], Any]
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
WIDE = 1000
"""Tables of so many columns have no metadata: it would take more memory than their rows."""

_GUID_TEXT, _DASHES = 36, (8, 13, 18, 23)
_SMALL, _CHUNK = 4096, 1 << 18  # bytes
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


class ArrowField(NamedTuple):
    """One column of the result: name, the column it comes from, what is done to its elements.

    notes: metadata of the field beside those of the column.
    """

    name: str
    column: ColumnDef
    decoder: ElementDecoder | None = None
    notes: Mapping[str, str] = {}


class ArrowForm:
    """How columns of a table look as Arrow fields.

    filetimes: names of DateTime columns that hold FILETIMEs. lists: names of columns that have
    several values in some row though they are not declared as multi-valued.
    """

    def __init__(
        self,
        fields: Sequence[ArrowField],
        filetimes: Collection[str] = (),
        lists: Collection[str] = (),
    ) -> None:
        self._pa = load_pyarrow()
        self._buffer = _Packing(self._pa) if len(fields) >= WIDE else partial(_buffer, self._pa)
        self.fields = list(fields)
        self.filetimes, self.lists = set(filetimes), set(lists)

    @classmethod
    def of(cls, batches: Iterable[Batch], columns: Sequence[ColumnDef]) -> ArrowForm:
        """Return the form that fits some batches of these columns, names as they are."""
        form = cls([ArrowField(column.name, column) for column in columns])
        for batch in batches:
            form.filetimes |= filetime_columns(batch)
            form.lists |= list_columns(batch)
        return form

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema; each field's metadata says what the column is in ESE."""
        wide = len(self.fields) >= WIDE
        fields = [
            self._pa.field(field.name, self._type(field), metadata=None if wide else _noted(field))
            for field in self.fields
        ]
        return self._pa.schema(fields)

    def record_batch(self, batch: Batch) -> pa.RecordBatch:
        """Return a batch as Arrow data, without copying buffers that need no decoding."""
        return self._pa.RecordBatch.from_arrays(self.arrays(batch), schema=self.schema)

    def arrays(self, batch: Batch) -> list[pa.Array]:
        """Return the arrays of the fields."""
        found = {
            column.name: buffers
            for column, buffers in zip(batch.columns, batch.buffers, strict=True)
        }
        return [self._array(field, found[field.column.name], batch.rows) for field in self.fields]

    def _is_list(self, column: ColumnDef) -> bool:
        return column.is_multi_valued or column.name in self.lists

    def _type(self, field: ArrowField) -> pa.DataType:
        one = self._element_type(field)
        if not self._is_list(field.column):
            return one
        return self._pa.list_(self._pa.string() if one == self._pa.uuid() else one)

    def _element_type(self, field: ArrowField) -> pa.DataType:
        decoder = field.decoder
        decoded = decoder.arrow_type(self._pa, field.column) if decoder else None
        return decoded or self._stored_type(field.column)

    def _stored_type(self, column: ColumnDef) -> pa.DataType:
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

    def _array(self, field: ArrowField, buffers: Buffers | None, rows: int) -> pa.Array:
        pa = self._pa
        if buffers is None:
            return pa.nulls(rows, self._type(field))
        column, decoder = field.column, field.decoder
        elements = decoder.arrow_array(pa, column, buffers) if decoder else None
        if elements is None:
            elements = self._elements(column, buffers)
        if not self._is_list(column):
            return elements
        if elements.type == pa.uuid():
            elements = _texts_of(pa, elements)
        validity, offsets = buffers.row_validity, buffers.row_offsets
        if offsets is None:
            validity, offsets = buffers.validity, struct.pack(f"<{rows + 1}i", *range(rows + 1))
        found = [self._buffer(validity), self._buffer(offsets)]
        return pa.Array.from_buffers(self._type(field), rows, found, children=[elements])

    def _elements(self, column: ColumnDef, buffers: Buffers) -> pa.Array:
        pa, coltyp = self._pa, column.coltyp
        kind = self._stored_type(column)
        validity, data = buffers.validity, buffers.data
        if coltyp == Coltyp.DATE_TIME:
            form = _kernel.FILETIME if column.name in self.filetimes else _kernel.OLE
            data, validity, _ = _kernel.convert_times(data, validity, form)
        storage = pa.binary(16) if coltyp == Coltyp.GUID else kind
        stored = buffers._replace(validity=validity, data=data)
        array = _array_of(pa, storage, stored, self._buffer)
        return pa.ExtensionArray.from_storage(kind, array) if coltyp == Coltyp.GUID else array


def arrow_table(batches: Sequence[Batch], columns: Sequence[ColumnDef]) -> pa.Table:
    """Return batches of these columns as one Arrow table. Raises FeatureMissing without pyarrow."""
    pyarrow = load_pyarrow()
    form = ArrowForm.of(batches, columns)
    return pyarrow.Table.from_batches(map(form.record_batch, batches), schema=form.schema)


def plain_array(pa: Any, kind: pa.DataType, buffers: Buffers) -> pa.Array:
    """Return the elements of a column as an array of a type that has the same layout."""
    return _array_of(pa, kind, buffers, partial(_buffer, pa))


def _array_of(pa: Any, kind: pa.DataType, buffers: Buffers, take: _Taking) -> pa.Array:
    found = [take(buffers.validity), take(buffers.offsets), take(buffers.data)]
    if buffers.offsets is None:
        del found[1]
    return pa.Array.from_buffers(kind, buffers.length, found)


def _texts_of(pa: Any, guids: pa.ExtensionArray) -> pa.Array:
    """Return GUIDs as text. One digit of all of them is put in its place at a time."""
    count = len(guids)
    validity, data = guids.storage.buffers()
    digits = memoryview(data)[: 16 * count].hex().encode() if data is not None else b""
    texts = bytearray(b"-" * _GUID_TEXT * count)
    places = [place for place in range(_GUID_TEXT) if place not in _DASHES]
    for digit, place in enumerate(places):
        texts[place::_GUID_TEXT] = digits[digit::32]
    offsets = struct.pack(f"<{count + 1}i", *range(0, _GUID_TEXT * count + 1, _GUID_TEXT))
    buffers = [validity, _buffer(pa, offsets), _buffer(pa, bytes(texts))]
    return pa.Array.from_buffers(pa.string(), count, buffers)


def _buffer(pa: Any, data: bytes | None) -> Any:
    return None if data is None else pa.py_buffer(data)


class _Packing:
    """Puts many small buffers into few large ones: what each takes beside its bytes counts."""

    def __init__(self, pa: Any) -> None:
        self._pa = pa
        self._chunk, self._used = pa.allocate_buffer(0), 0

    def __call__(self, data: bytes | None) -> Any:
        if data is None or len(data) > _SMALL:
            return _buffer(self._pa, data)
        if self._used + len(data) > self._chunk.size:
            self._chunk, self._used = self._pa.allocate_buffer(_CHUNK), 0
        begin, self._used = self._used, self._used + (len(data) + 7) // 8 * 8
        memoryview(self._chunk).cast("B")[begin : begin + len(data)] = data
        return self._chunk.slice(begin, len(data))


def _noted(field: ArrowField) -> dict[str, str]:
    return {**_metadata(field.column), **field.notes}


def _metadata(column: ColumnDef) -> dict[str, str]:
    """Return what the column is in ESE: type, id, unit, code page, flags."""
    known = {"ese.type": column.type_name, "ese.id": str(column.id)}
    if column.coltyp in _UNITS:
        known["ese.unit"] = _UNITS[Coltyp(column.coltyp)]
    if column.coltyp in TEXT_TYPES:
        known["ese.code_page"] = str(column.code_page)
    flags = _flag_names(column.flags)
    if flags:
        known["ese.flags"] = flags
    return known


@lru_cache(maxsize=1024)
def _flag_names(flags: int) -> str:
    names = [flag.name for flag in ColumnFlag if flag.name and flags & flag]
    return ", ".join(name.lower().replace("_", " ") for name in names)


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
