"""The jsonl kernel: valid JSON that reads back the same, both kernels byte for byte alike."""

from __future__ import annotations

import csv
import io
import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit._native import jsonl_py

KERNELS: list[ModuleType] = [jsonl_py]
try:
    from hotsplit._native import jsonl

    KERNELS.append(jsonl)
except ImportError:
    pass

kernels = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__.rsplit(".", 1)[-1])
simple = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)


def special(value: Any) -> str:
    return json.dumps(repr(value))


@kernels
@given(rows=st.lists(st.tuples(simple, simple, simple), max_size=5))
def test_reads_back(kernel: ModuleType, rows: list[tuple[Any, ...]]) -> None:
    names = ["a", 'quo"te', "üñ\n"]
    data = kernel.encode_rows(kernel.names_to_prefixes(names), rows, b"\n", special)
    lines = data.decode().split("\n") if rows else []
    assert [tuple(json.loads(line).values()) for line in lines] == rows
    assert all(list(json.loads(line)) == names for line in lines)


@given(rows=st.lists(st.tuples(simple, st.binary(max_size=4), st.floats()), max_size=5))
def test_kernels_are_alike(rows: list[tuple[Any, ...]]) -> None:
    prefixes = jsonl_py.names_to_prefixes(["a", "b", "c"])
    texts = {k.encode_rows(prefixes, rows, b",", special) for k in KERNELS}
    assert len(texts) == 1


@kernels
def test_rows_must_fit_the_names(kernel: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"row|zip"):
        kernel.encode_rows(kernel.names_to_prefixes(["a"]), [[1, 2]], b"\n", special)


@kernels
def test_no_columns(kernel: ModuleType) -> None:
    assert kernel.encode_rows([], [[], []], b"\n", special) == b"{}\n{}"


@kernels
@given(rows=st.lists(st.tuples(st.text(), st.none() | st.text(), st.integers()), max_size=5))
def test_cells_read_back(kernel: ModuleType, rows: list[tuple[Any, ...]]) -> None:
    data = kernel.encode_csv(rows, b"\r\n", special).decode()
    found = list(csv.reader(io.StringIO(data, newline="")))
    assert found == [[a, b or "", str(c)] for a, b, c in rows]


@given(rows=st.lists(st.tuples(simple, st.binary(max_size=4), st.floats()), max_size=5))
def test_csv_kernels_are_alike(rows: list[tuple[Any, ...]]) -> None:
    assert len({k.encode_csv(rows, b"\n", special) for k in KERNELS}) == 1
