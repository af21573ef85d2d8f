"""Where a result lies while it is made: under a name of its own, which one program has at a time.

What a program that was killed left there goes. What another program is at work on stays: taken
away under it, its result would get its name with only a part of what belongs to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hotsplit.errors import AccessDenied, Jet, TargetExists
from hotsplit.ese.files.env import Env, Lock

SUFFIX = ".hotsplit-work"


@contextlib.contextmanager
def work_folder(env: Env, target: str) -> Iterator[str]:
    """Make the empty folder that is to become `target`; it is gone again after an error.

    Whoever has filled it renames it. Raises TargetExists; AccessDenied (-1032) while another
    program makes the same.
    """
    work = target.rstrip("/") + SUFFIX
    env.mkdir(work)
    lock = keep(env, work, target)
    try:
        if env.exists(target):
            raise TargetExists("The folder for the result is there already", file=target)
        for name in env.listdir(work):
            path = f"{work}/{name}"
            (env.remove_tree if env.is_dir(path) else env.remove)(path)
        yield work
    except BaseException:
        env.remove_tree(work)
        raise
    finally:
        lock.release()


def keep(env: Env, work: str, target: str) -> Lock:
    """Keep what is to become `target` for this program. Raises AccessDenied (-1032)."""
    try:
        return env.lock(work)
    except AccessDenied as error:
        raise AccessDenied(
            "Another program is making it",
            jet=Jet.errFileAccessDenied,
            file=target,
            hint="Wait until that is done, or choose another name.",
        ) from error
