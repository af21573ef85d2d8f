"""The damage that the vector sets describe, carried out on a copy (see the sets' own README)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def apply_ops(folder: Path, ops: list[dict[str, Any]], target: Path, base: str = "base") -> None:
    """Copy `folder`/`base` to `target` and damage the copy. "immutable" is left to the caller."""
    shutil.copytree(folder / base, target)
    (target / "sub").mkdir(exist_ok=True)
    for op in ops:
        _OPERATIONS[op["op"]](folder, target / op["file"], op)


def _delete(_: Path, path: Path, op: dict[str, Any]) -> None:
    path.unlink()


def _rename(_: Path, path: Path, op: dict[str, Any]) -> None:
    path.rename(path.parent / op["to"])


def _copy(folder: Path, path: Path, op: dict[str, Any]) -> None:
    shutil.copy(folder / op["from"], path)


def _put(path: Path, offset: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)


def _xor(_: Path, path: Path, op: dict[str, Any]) -> None:
    bits = bytes.fromhex(op["hex"])
    old = path.read_bytes()[op["offset"] : op["offset"] + len(bits)]
    _put(path, op["offset"], bytes(a ^ b for a, b in zip(old, bits, strict=True)))


def _fill(_: Path, path: Path, op: dict[str, Any]) -> None:
    _put(path, op["offset"], bytes([op["byte"]]) * op["length"])


def _truncate(_: Path, path: Path, op: dict[str, Any]) -> None:
    with path.open("r+b") as file:
        file.truncate(op["size"])


def _copyrange(folder: Path, path: Path, op: dict[str, Any]) -> None:
    source = (folder / op["from"]).read_bytes()
    _put(path, op["to_offset"], source[op["offset"] : op["offset"] + op["length"]])


def _swap(_: Path, path: Path, op: dict[str, Any]) -> None:
    data, size = path.read_bytes(), op["length"]
    one, two = op["offset"], op["offset2"]
    _put(path, one, data[two : two + size])
    _put(path, two, data[one : one + size])


def _create(_: Path, path: Path, op: dict[str, Any]) -> None:
    path.write_bytes(bytes.fromhex(op["hex"]) * op.get("repeat", 1))


_OPERATIONS = {
    "delete": _delete,
    "rename": _rename,
    "copy": _copy,
    "xor": _xor,
    "fill": _fill,
    "truncate": _truncate,
    "copyrange": _copyrange,
    "swap": _swap,
    "create": _create,
    "immutable": lambda *_: None,
}
