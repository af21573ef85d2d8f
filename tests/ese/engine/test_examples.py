"""The programs that the page of the engine shows run."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.files.env import OsEnv
from tests.ese.engine.judge import check_rules

PAGE = Path(__file__).resolve().parents[3] / "docs" / "engine.md"
FIRST, *BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def run(code: str, names: dict[str, Any], folder: Path) -> None:
    code = code.replace("/srv/sg1", str(folder))
    exec(compile(code, PAGE.name, "exec"), names)


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_run(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first one makes a table; each of the others goes on with it."""
    names: dict[str, Any] = {"contextlib": contextlib}
    run(FIRST, names, tmp_path)
    assert capsys.readouterr().out == "Minutes\n1 7\n1\n"
    path = f"{tmp_path}/mail.edb"
    settings = Settings(str(tmp_path))
    with Instance.open(OsEnv(), settings) as instance, instance.session() as session:
        database = instance.attach_database(path)
        messages: Table = session.open_table(database, "Messages")
        names |= {"instance": instance, "session": session, "database": database}
        names |= {"messages": messages, "mark": messages.bookmark(1)}
        names["source"] = io.BytesIO(b"streamed")
        run(BLOCKS[number], names, tmp_path)
        if "copyfileobj" in BLOCKS[number]:
            row = messages.get(2)
            assert row is not None
            assert (row["Subject"], row["Body"]) == (
                "Minutes, again",
                b"streamed".decode("utf-16-le"),
            )
    check_rules(OsEnv(), path)
