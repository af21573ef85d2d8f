"""Crashes at many moments of a workload, in every way; see `crashes`, `judge` and `campaign`."""

from __future__ import annotations

import random
from contextlib import nullcontext

import pytest

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.recovery.recover import recover
from tests.ese.engine.campaign import STEPS, Budget, campaign, one_run
from tests.ese.engine.crashes import (
    COLUMNS,
    FOLDER,
    INDEXES,
    PATH,
    Image,
    Run,
    Watched,
    by_number,
    write_some,
)
from tests.ese.engine.judge import Judge, check_rules, rows_on_disk
from tests.memoryenv import Crash, MemoryEnv, Origin


@pytest.mark.parametrize("seed", range(1, 7))
def test_every_crash_leaves_what_was_committed(seed: int) -> None:
    run = Run(seed, often=0.02)
    judge = Judge(run.settings, seed, thorough=0.5)
    run.check = judge.check
    run.work(STEPS)
    assert judge.distinct > 1
    assert judge.reopened


def test_what_was_open_is_taken_back() -> None:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    settings = Settings(FOLDER, log_size=64 << 10)
    instance = Instance.open(env, settings)
    session = instance.session()
    table = session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
    table.insert({"Id": 7, "Name": "committed"})
    session.begin()
    table.update(table.bookmark(7), {"Name": "open"})
    table.insert({"Id": 8})
    write_some(instance, random.Random(1), 99)
    with Instance.open(env.image(Crash.ALL_LOST, 1), settings) as again:
        assert again.restarted is not None
        assert again.restarted.undone > 2
        with again.session() as reader:
            items = reader.open_table(again.attach_database(PATH), "Items")
            assert [(row["Id"], row["Name"]) for row in items.rows()] == [(7, "committed")]


@pytest.mark.parametrize("rows", [1, 400])
def test_a_copy_of_the_files_taken_during_recovery_can_be_recovered(rows: int) -> None:
    """As one taken at any other time: of one instant, by who has only databases and logs."""
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    settings = Settings(FOLDER, log_size=64 << 10)
    instance = Instance.open(env, settings)
    session = instance.session()
    table = session.create_table(instance.create_database(PATH), "Items", COLUMNS, INDEXES)
    with session.transaction():
        table.insert_many({"Id": n, "Name": f"n{n}", "Body": bytes(900)} for n in range(rows))
    expected = by_number(table.rows())
    session.begin()
    for number in range(rows):  # its undo takes several logs
        table.update(table.bookmark(number), {"Body": b"changed" * 100, "Size": number})
    write_some(instance, random.Random(1), 10_000)
    crashed = env.image(Crash.ALL_KEPT, 1)
    copies: list[Watched] = []
    chance = random.Random(rows)

    def moment(kind: str, path: str) -> None:
        if chance.random() < 20 / rows or chance.random() < 0.03:
            copies.append(crashed.image(Crash.ALL_KEPT, 1))

    crashed.moment = moment
    with Instance.open(crashed, settings) as again:
        assert again.restarted is not None
        assert again.restarted.undone >= rows
    assert len(copies) > 10
    while copies:
        copy = copies.pop()
        for name in copy.listdir(FOLDER):
            if ".hotsplit-" in name:
                copy.remove(f"{FOLDER}/{name}")
        recover(copy, [FOLDER], [], "/recovered")
        assert rows_on_disk(Image(copy, [], ""), "/recovered/items.edb") == expected
        check_rules(copy, "/recovered/items.edb")


def test_a_crash_at_any_moment_of_a_clean_end_leaves_sound_headers() -> None:
    env = Watched()
    env.mkdir(FOLDER)
    env.sync_dir("/")
    settings = Settings(FOLDER, log_size=64 << 10)
    images: dict[frozenset[tuple[str, Origin]], Watched] = {}  # one of those that are equal

    def moment(kind: str, path: str) -> None:
        for crash in Crash:
            image = env.image(crash, 1)
            images[image.origins()] = image

    with Instance.open(env, settings) as instance, instance.session() as session:
        database = instance.create_database(PATH)
        table = session.create_table(database, "Items", COLUMNS, INDEXES)
        table.insert({"Id": 7})
        session.close()
        env.moment = moment
    different = 0
    for image in images.values():
        start = image.get(PATH)[: 2 * settings.page_size]
        different += start[: settings.page_size] != start[settings.page_size :]
        Instance.open(image, settings)
        check_rules(image, PATH)
    assert different


def test_a_torn_page_is_mended() -> None:
    run = Run(1, often=0.3, mend=False)
    run.check = Judge(run.settings, 1, thorough=0).check
    with pytest.raises(AssertionError, match="torn"):
        run.work(60)


def test_images_of_the_same_writes_are_looked_at_once() -> None:
    run = Run(3, often=0.05, all_ways=True)
    judge = Judge(run.settings, 3, thorough=0, again=0)
    contents: set[str] = set()

    def check(image: Image) -> None:
        contents.add(repr(sorted(image.env.files().items())))
        judge.check(image)

    run.check = check
    run.work(3)
    assert len(contents) <= judge.distinct < judge.tried


def test_images_that_are_equal_when_their_pages_are_mended_are_recovered_once() -> None:
    run = Run(1, often=0.05, all_ways=True)
    judge = Judge(run.settings, 1, thorough=0, again=0)
    run.check = judge.check
    run.work(STEPS)
    assert judge.mended
    assert judge.reopened < judge.looked_at < judge.distinct
    # What is known of the files is held against what is expected of each image.
    looked_at = judge.looked_at
    for expected, wrong in ((run.expected, False), ([{}], True)):
        image = Image(run.env.image(Crash.ALL_KEPT, 0), expected, "at the end")
        with pytest.raises(AssertionError, match="at the end") if wrong else nullcontext():
            judge.check(image)
    assert judge.looked_at == looked_at


def test_a_wrong_state_is_noticed() -> None:
    run = Run(2, often=0)
    run.check = Judge(run.settings, 2, thorough=0).check
    run.work(5)
    judge = Judge(run.settings, 2, thorough=0)
    with pytest.raises(AssertionError, match="at the end"):
        judge.check(Image(run.env, [{}], "at the end"))


def test_a_campaign_keeps_to_its_budget_and_can_be_repeated() -> None:
    told: list[str] = []
    result = campaign(7, Budget(points=40), steps=2, tell=told.append)
    assert result.tried >= 40
    assert result.failures == []
    assert "--seed 7" in told[0]
    again = one_run(7, Budget(points=40), steps=2)
    assert (again.tried, again.distinct) == (result.tried, result.distinct)


def test_a_campaign_says_how_to_repeat_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryEnv, "origins", lambda env: 1 / 0)
    result = campaign(7, Budget(points=1), steps=2, tell=lambda _: None)
    assert "--seed 7 --runs 1" in result.failures[0]
