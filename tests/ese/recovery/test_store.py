"""The file of a database that is being written: what a crash leaves of its header."""

from __future__ import annotations

import random

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.format.header import DatabaseHeader, choose_header
from hotsplit.ese.recovery.store import WorkStore
from tests.ese.engine.crashes import FOLDER, PATH, Watched
from tests.memoryenv import Crash

SETTINGS = Settings(FOLDER)
SIZE = SETTINGS.page_size
REST = 4096  # offset of bytes that have no meaning: all sectors of the header change


@pytest.mark.parametrize("damaged", [None, 0, SIZE])
def test_one_copy_of_the_header_is_whole_at_any_time(damaged: int | None) -> None:
    """Found by the crash campaign: after a torn shadow, a crash tore the primary copy, too."""
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    with Instance.open(env, SETTINGS) as instance:
        instance.create_database(PATH)
    if damaged is not None:
        data = bytearray(env.get(PATH))
        data[damaged + 600] ^= 1
        env.put(PATH, bytes(data))
    images: list[bytes] = []
    env.moment = lambda *_: images.extend(env.image(Crash.TORN, n).get(PATH) for n in range(20))
    with WorkStore.open_work(env, PATH) as store:
        for objid in (1000, 2000):
            header = DatabaseHeader(bytes(store.header.raw))
            header.objid_last = objid
            header.raw[REST:] = random.Random(objid).randbytes(SIZE - REST)
            store.write_header(header)
    found = {choose_header(image[: 2 * SIZE]).header.objid_last for image in images}
    assert found > {1000, 2000}
    assert len({image[: 2 * SIZE] for image in images}) > 20
