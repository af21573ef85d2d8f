"""``eseutil /ml /x``: a log whose last write was torn, put right where it lies.

Only what can be known is written: a segment that its shadow replaces, and single wrong bits. What
is torn beyond that stays as it is, and the dump says so. Source: log specification 3.4, 3.6, 10.6.
"""

from __future__ import annotations

from hotsplit.errors import Unsupported
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.logsegment import SEGMENT_SIZE


def mend_log(env: Env, path: str) -> int:
    """Write the corrected segments of a log into it; return their number.

    Raises Unsupported for logs without segments, and what opening a log raises.
    """
    with LogFile.open(env, path) as log:
        if not log.header.has_segments:
            raise Unsupported("/x: logs of format 7 are not mended", file=path)
        wanted = {corrected.position.sector for corrected in log.corrected}
        found = [(sector, bytes(data)) for sector, data in log.segments() if sector in wanted]
    if found:
        file = env.open(path, "write")
        try:
            for sector, data in found:
                file.pwrite(data, sector * SEGMENT_SIZE)
            file.sync()
        finally:
            file.close()
    return len(found)
