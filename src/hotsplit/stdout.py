"""When standard output takes no more: its reader went away, or the disk behind it is full."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys

from hotsplit.errors import DiskFull, HotsplitError, IoFailed

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BROKEN = (errno.EIO, errno.EBADF)
_AS_IT_IS = "hotsplit.as-it-is"


def make_sure() -> None:
    """Have an output to print to, also where a program was started without one, and any name."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error(_AS_IT_IS, _as_it_is)
        sys.stdout.reconfigure(errors=_AS_IT_IS)


def _as_it_is(error: UnicodeError) -> tuple[bytes, int]:
    """Print bytes of a path that are no text as they are; escapes of what cannot be shown."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    char = error.object[error.start]
    for encoding, errors in ((error.encoding, "surrogateescape"), ("ascii", "backslashreplace")):
        with contextlib.suppress(UnicodeEncodeError):
            return char.encode(encoding, errors), error.start + 1
    raise error


def give_up() -> None:
    """Throw away what was not written, so that nothing fails once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def failure(error: OSError) -> HotsplitError:
    """Return the error to report; one that is not of the output is raised again: it is a bug."""
    if error.errno not in (*_FULL, *_BROKEN):
        raise error
    cls = DiskFull if error.errno in _FULL else IoFailed
    return cls(error.strerror or str(error), file="standard output")
