from collections.abc import Callable, Sequence
from typing import Any

def names_to_prefixes(names: Sequence[str]) -> list[bytes]: ...
def encode_csv(
    rows: Sequence[Sequence[Any]], separator: bytes, special: Callable[[Any], str]
) -> bytes: ...
def encode_rows(
    prefixes: Sequence[bytes],
    rows: Sequence[Sequence[Any]],
    separator: bytes,
    special: Callable[[Any], str],
) -> bytes: ...
