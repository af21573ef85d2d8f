"""``eseutil /p``: what is readable of a damaged database, in its place."""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.classic.console import Console
from hotsplit.classic.integrity import check_under_ruler, not_up_to_date
from hotsplit.classic.rebuild import OnPage, Place, note
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import DirtyDatabase, Jet
from hotsplit.ese.check.fileheader import is_clean
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.rebuild.losses import Repaired
from hotsplit.ese.rebuild.repair import PASSES, repair

SWITCHES = {
    "t": Takes.PATH,
    "f": Takes.PATH,
    "b": Takes.PATH,
    "g": Takes.NOTHING,
    "n": Takes.NOTHING,
    "u": Takes.MAYBE,
    "e": Takes.MAYBE,
}
_KEPT = ".unrepaired"


def run(console: Console, env: Env, arguments: Arguments) -> Jet | None:
    """Repair a database that breaks rules; the old file is kept. Return the warning, if repaired.

    Raises DirtyDatabase (-550) for one that needs its logs, unless ``/o`` says to go on.
    """
    path = arguments.only("source database")
    console.line("Initiating REPAIR mode...")
    console.line(f"        Database: {path}")
    with DatabaseFile.open(env, path) as file:
        clean = is_clean(file)
    if not clean:
        not_up_to_date(console)
        if "o" not in arguments:
            raise DirtyDatabase("Recover the database, or repair it as it lies with /o", file=path)
    elif not check_under_ruler(console, env, path).is_damaged:
        console.line()
        console.line("Integrity check successful.")
        console.line()
        return None
    _repair(console, env, path, arguments)
    note(console, "repair")
    return Jet.wrnDatabaseRepaired


def _repair(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    place = Place(console, env, path, arguments, "TEMPREPAIR", path + _KEPT)
    done: list[Repaired] = []
    with DatabaseFile.open(env, path) as file:

        def work(into: str, on_page: OnPage) -> None:
            done.append(repair(env, file, path, into, on_page))

        place.build("Repair", PASSES * file.page_count, work)
    for line in loss_lines(done[0]):
        console.error_line(line)
    place.instate()
    console.line()
    console.line("Repair completed. Database corruption has been repaired!")
    console.line()


def loss_lines(result: Repaired) -> Iterator[str]:
    """Yield what the result lacks."""
    for page in result.damaged_pages:
        yield f"ERROR: page {page} cannot be read"
    for tree in result.trees:
        lost = f"about {tree.lost} nodes lost" if tree.lost else "nothing lost"
        yield f"ERROR: {tree.object}: {lost}{f'; {tree.action}' if tree.action else ''}"
    for table, values in result.values.items():
        yield f"ERROR: {table}: {len(values)} long values are not whole"
    for name in result.left_out:
        yield f"ERROR: {name} is left out"
    for text in result.notes:
        yield f"WARNING: {text}"
