from collections.abc import Sequence

RAW: int
BIT: int
NUMBER: int
ANSI: int
UTF16: int
BINARY: int
GUID: int
LONG: int
COMPRESSED: int
TEXT: int
ENCRYPTED: int
BAD_RECORD: int
BAD_PLACE: int
BAD_SIZE: int
BAD_VALUES: int
BAD_NODE: int
END: int
OUTSIDE: int
REFUSED: int
MET: int
FULL: int
NO_ELEMENT: int
OLE: int
FILETIME: int

Pending = tuple[int, int, int, int, bytes, int, int]
Buffers = tuple[int, bytes | None, bytes | None, bytes, bytes | None, bytes | None]

FOUND: int
HARD: int
TOO_LARGE: int
SEEK: int

class Gather:
    def __init__(self, lids: Sequence[int], chunk: int, budget: int) -> None: ...
    @property
    def wanted(self) -> bytes | None: ...
    @property
    def is_inside(self) -> bool: ...
    def walk(
        self,
        data: bytes,
        states: bytes | bytearray,
        good: int,
        first: int,
        page_size: int,
        objid: int,
        pgno: int,
    ) -> tuple[int, int]: ...
    def miss(self) -> None: ...
    def results(self) -> list[tuple[int, int, bytes | None]]: ...

class Builder:
    rows: int
    value_bytes: int
    def __init__(
        self,
        columns: Sequence[tuple[int, int, int, int, bool, bool, bytes | None]],
        page_size: int,
        *,
        keys: bool = False,
        deleted: bool = False,
        live: bool = True,
        most_rows: int = 65536,
        most_bytes: int = ...,
        most_pending: int = 1024,
    ) -> None: ...
    @property
    def pending_count(self) -> int: ...
    @property
    def is_full(self) -> bool: ...
    def pending(self) -> list[Pending]: ...
    def clear_pending(self) -> None: ...
    def place(self, row: int) -> tuple[int, int, int]: ...
    def walk(
        self,
        data: bytes,
        states: bytes | bytearray,
        good: int,
        first: int,
        visited: bytearray,
        objid: int,
        pgno: int,
        skip: int = 0,
        *,
        reverse: bool = False,
        again: bool = False,
        label: int = 0,
    ) -> tuple[int, int, int]: ...
    def add_record(
        self, record: bytes, pgno: int, line: int, label: int, *, old: bool = False
    ) -> None: ...
    def truncate(self, row: int, visited: bytearray) -> None: ...
    def gather(self, chunk: int, budget: int) -> Gather: ...
    def fitting(self, gather: Gather, left: int) -> tuple[int, int]: ...
    def take_gathered(self, gather: Gather) -> None: ...
    def fill(self, column: int, elements: list[int], values: list[bytes | None]) -> None: ...
    def finish(self) -> tuple[int, list[Buffers | None], Buffers | None, bytes]: ...

def convert_times(
    data: bytes, validity: bytes | None, form: int
) -> tuple[bytes, bytes | None, int]: ...
def count_filetimes(data: bytes) -> tuple[int, int]: ...
