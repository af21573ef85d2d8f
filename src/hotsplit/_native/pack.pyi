from collections.abc import Sequence
from typing import Any

from hotsplit._native.pack_py import Column, Key

class Packer:
    def __init__(
        self, columns: Sequence[Column], keys: Sequence[Key], *, large: bool, most: int
    ) -> None: ...
    def make(self, row: Any) -> tuple[bytes, list[bytes | None]] | None: ...
    def pack(
        self,
        rows: Sequence[Any],
        first: int,
        names: tuple[str, ...] | None,
        records: list[bytes],
        keys: Sequence[list[bytes | None]],
    ) -> int: ...
