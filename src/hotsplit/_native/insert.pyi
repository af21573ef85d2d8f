Fields = tuple[int, int, int, int, int, int, int, int, int, int]

def plan(
    page: bytearray,
    keys: list[bytes],
    datas: list[bytes],
    first: int,
    bound: bytes | None,
    fields: Fields,
) -> tuple[bytes, list[int]]: ...
