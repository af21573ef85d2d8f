from collections.abc import Sequence
from typing import Any

DAMAGED: int
OLD_TAGGED: int
RAW: int
BIT: int
NUMBER: int
ASCII: int
UTF16: int
BINARY: int

class Plan:
    def __init__(self, columns: Sequence[tuple[Any, ...]]) -> None: ...

def decode_record(
    data: bytes, plan: Plan, large: bool, old: bool
) -> tuple[list[Any], list[int]]: ...
def decode_page(
    page: bytes, plan: Plan, keys: bool
) -> list[tuple[int, bytes | None, list[Any] | None, list[int]]]: ...
