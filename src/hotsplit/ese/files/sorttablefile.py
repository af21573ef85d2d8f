"""Windows' own sort table, a copy of ``Globalization\\Sorting\\SortDefault.nls``."""

from __future__ import annotations

from hotsplit.errors import InvalidUse
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.sorttable import SortTable

_MOST = 64 << 20  # those of Windows have 3 to 4 MB


def read_sort_table(env: Env, path: str) -> SortTable:
    """Read a sort table. Raises InvalidUse if the file is none, and what the Env raises."""
    file = env.open(path, "read")
    try:
        if file.size() > _MOST:
            raise InvalidUse("The file is too large for a sort table", file=path)
        return SortTable(file.pread(file.size(), 0))
    except ValueError as error:
        raise InvalidUse(
            f"The file is no sort table of Windows: {error}",
            hint="It is C:\\Windows\\Globalization\\Sorting\\SortDefault.nls of Windows 8 or later",
            file=path,
        ) from error
    finally:
        file.close()
