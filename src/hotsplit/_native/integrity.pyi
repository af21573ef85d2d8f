from collections.abc import Callable, Sequence
from typing import Any

Buffer = bytes | bytearray | memoryview
Report = tuple[int, int, int, int, int]
Place = tuple[int, int]

class Ledger:
    bits: int
    found: dict[tuple[bytes, bytes], list[Any]]
    missed: int
    def __init__(self, bits: int, distinct: bool) -> None: ...
    @property
    def counts(self) -> tuple[int, int]: ...
    def differing(self, subset: bool) -> int: ...
    def watch(self, buckets: int, items: int, subset: bool) -> None: ...

class Collection(Ledger):
    def __init__(self) -> None: ...
    @property
    def size(self) -> int: ...
    def run(self) -> bytes: ...

class Rows:
    def __init__(
        self,
        layout: tuple[Any, ...],
        primary: tuple[Any, ...] | None,
        indexes: Sequence[tuple[Any, ...]],
        call: Callable[[bool, bytes, int], bytes | None],
        findings: list[Report],
    ) -> None: ...
    def set_references(self, ledger: Ledger | None) -> None: ...
    def set_copy(self, ledger: Ledger, side: int) -> None: ...
    @property
    def unknown(self) -> list[int]: ...

class LongValues:
    def __init__(self, chunk: int, wide_allowed: bool, ledger: Ledger, tools: Rows) -> None: ...

class Entries:
    def __init__(self, comparisons: Sequence[tuple[int, Ledger]]) -> None: ...

Content = list[tuple[int, int, bytes, bytes]] | Rows | LongValues | Entries | None

class Tree:
    def __init__(
        self,
        size: int,
        objid: int,
        kind: int,
        dbtime: int,
        key_most: int,
        content: Content,
        findings: list[Report],
    ) -> None: ...
    def internal(
        self, page: Buffer, pgno: int, is_root: bool, low: bytes | None, high: bytes | None
    ) -> tuple[list[int], list[bytes]]: ...
    def leaves(
        self,
        pages: Buffer,
        first: int,
        is_root: bool,
        low: bytes | None,
        highs: list[bytes | None],
    ) -> None: ...
    def wanted(self, pages: Buffer) -> list[bytes]: ...
    def enter(self, pages: Buffer) -> None: ...
    def lose(self) -> None: ...
    def finish(self) -> None: ...
    @property
    def damaged(self) -> bool: ...
    @property
    def counts(self) -> tuple[int, int, int, int, int]: ...
