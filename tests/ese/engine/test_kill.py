"""A real process under load, killed with -9: what it called durable is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv
from tests.ese.engine.crashes import COLUMNS, INDEXES
from tests.ese.engine.shape import check_database

KILLS = int(os.environ.get("HOTSPLIT_ENGINE_KILLS", "4"))


def settings(folder: str) -> Settings:
    return Settings(folder, log_size=128 << 10, checkpoint_depth=256 << 10)


def work(folder: str) -> None:
    """Insert rows for ever, a few in a transaction; say after each how many are durable."""
    path = f"{folder}/items.edb"
    instance = Instance.open(OsEnv(), settings(folder))
    session = instance.session()
    if Path(path).exists():
        table = session.open_table(instance.attach_database(path), "Items")
    else:
        table = session.create_table(instance.create_database(path), "Items", COLUMNS, INDEXES)
    number = sum(batch.rows for batch in table.batches([]))
    print(number, flush=True)
    while True:
        with session.transaction():
            for _ in range(7):
                table.insert({"Id": number, "Name": f"n{number}", "Body": b"b" * (number % 900)})
                number += 1
            table.update(table.bookmark(number - 7), {"Size": number})
        print(number, flush=True)


def test_kills(tmp_path: Path) -> None:
    folder, rng = str(tmp_path / "sg"), random.Random(5)
    durable = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.ese.engine.test_kill", folder],
            cwd=Path(__file__).resolve().parents[3],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            found = int(process.stdout.readline())
            assert found - durable in (0, 7)
            time.sleep(rng.uniform(0.02, 0.4))
            process.kill()
            durable = max([found, *map(int, process.stdout.read().split("\n")[:-1])])
    with Instance.open(OsEnv(), settings(folder)) as instance, instance.session() as session:
        table = session.open_table(instance.attach_database(f"{folder}/items.edb"), "Items")
        rows = list(table.rows())
        assert [row["Id"] for row in rows] == list(range(len(rows)))
        assert len(rows) - durable in (0, 7)
        assert all(
            (row["Size"] == number + 7) == (number % 7 == 0) for number, row in enumerate(rows)
        )
    check_database(OsEnv(), f"{folder}/items.edb")


if __name__ == "__main__":
    work(sys.argv[1])
