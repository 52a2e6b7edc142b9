"""`burnish studio backup` and `restore` as people type them, beside a server on which others judge all the while.

What a backup holds is compared with the source: judgements are only ever added, so those of the source that the copy
has too must be the same bytes; and once nobody works, every export of the copy is that of the live server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager

import httpx2
import pytest
from sqlalchemy import null, select

from benchmarks.studio.crowd import SLUG, gather
from benchmarks.studio.load import Annotator, Log
from benchmarks.studio.server import serving
from burnish.cli import main
from burnish.studio.app import open_studio
from burnish.studio.database import Database
from burnish.studio.exporting import export
from burnish.studio.people import new_person
from burnish.studio.projects import project_named
from burnish.studio.sessions import begin_session
from burnish.studio.settings import StudioSettings
from burnish.studio.tables import Item, Judgement

pytestmark = pytest.mark.studio

PEOPLE, ITEMS, PAUSE = 5, 900, 0.05
FILES = ("judgements.jsonl", "judgements.csv", "preferences.jsonl", "preferences.csv", "rankings.jsonl")


def filled(settings: StudioSettings):
    """A studio with much to do; who works there, and an admin's cookie."""
    studio = open_studio(settings)
    members = gather(studio, people=PEOPLE, items=ITEMS)
    with studio.database.write() as session:
        admin = new_person(
            session, name="Eva", password="a password of the test", role="admin", languages=["en"], now=0
        )
        token = begin_session(session, studio.secret, admin, days=1, now=studio.clock())
    studio.database.close()
    return members, f"{studio.cookie}={token}"


@contextmanager
def at_work(members, address: str):
    """Everybody judges without an end, until the end; what they saw."""
    log, over = Log(), threading.Event()

    async def work() -> None:
        async with httpx2.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            await asyncio.gather(*(on_and_on(Annotator(member, client, log)) for member in members))

    async def on_and_on(one: Annotator) -> None:
        while not over.is_set():
            await one.step(time.perf_counter())
            await asyncio.sleep(PAUSE)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield log
    finally:
        over.set()
        thread.join()
    assert log.odd == []


def until_more(log: Log, count: int) -> None:
    """Wait until so many more were acknowledged."""
    wanted = len(log.acknowledged) + count
    end = time.monotonic() + 60
    while len(log.acknowledged) < wanted:
        assert time.monotonic() < end, "nobody judges"
        time.sleep(0.02)


def typed(*words: str) -> None:
    """A command in a process of its own, which has to succeed."""
    done = subprocess.run([sys.executable, "-m", "burnish", "studio", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def held(database: Database) -> tuple[list[str], list[Judgement]]:
    """A copy's lines of judgements and its rows, which must fit its items."""
    with database.read() as session:
        lines = list(export(session, project_named(session, SLUG), "judgements", "jsonl"))
        rows = list(session.scalars(select(Judgement).order_by(Judgement.id)))
        judged = {item.id: item.judged for item in session.scalars(select(Item).where(Item.judged > 0))}
        gold = set(session.scalars(select(Item.id).where(Item.gold.is_not(null()))))
    assert Counter(row.item_id for row in rows if row.counted and row.item_id not in gold) == judged
    return lines, rows


def number(line: str) -> int:
    return int(json.loads(line)["judgement"])


def exports(database: Database) -> dict[str, bytes]:
    with database.read() as session:
        project = project_named(session, SLUG)
        named = [(file, *file.split(".")) for file in FILES]
        return {file: "".join(export(session, project, shape, kind)).encode() for file, shape, kind in named}


def served(address: str, cookie: str) -> dict[str, bytes]:
    """The exports of a running studio, as an admin's browser saves them."""
    found = {}
    for file in FILES:
        request = urllib.request.Request(f"{address}/api/projects/{SLUG}/export/{file}", headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found[file] = answer.read()
    return found


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_backup_beside_people_at_work_is_whole_and_its_copy_exports_the_same_bytes(engine, request, tmp_path, capsys):
    database = "" if engine == "sqlite" else request.getfixturevalue("new_postgres")
    settings = StudioSettings(folder=str(tmp_path / "live"), database=database)
    at = ["--folder", settings.folder, *(["--database", database] if database else [])]
    members, cookie = filled(settings)
    kinds = ("db", "jsonl") if engine == "sqlite" else ("jsonl",)
    known: dict[str, tuple[set[str], set[str]]] = {}
    with serving(settings) as server:
        with at_work(members, server.address) as log:
            for kind in kinds:
                until_more(log, 20)
                before = set(log.acknowledged)
                typed("backup", str(tmp_path / f"busy.{kind}"), *at)
                known[kind] = before, set(log.acknowledged)
            until_more(log, 5)
        typed("backup", str(tmp_path / f"quiet.{kinds[0]}"), *at)
        now = served(server.address, cookie)
        assert main(["studio", "restore", str(tmp_path / f"quiet.{kinds[0]}"), *at]) == 1
        assert "is in use by" in capsys.readouterr().err
        assert served(server.address, cookie) == now
    assert all(now.values())
    lines = now["judgements.jsonl"].decode().splitlines(keepends=True)
    for kind in kinds:
        copy = restored(tmp_path / f"busy.{kind}", tmp_path / f"of-{kind}")
        has, rows = held(copy)
        before, after = known[kind]
        names, numbers = {row.client_id for row in rows}, {row.id for row in rows}
        assert before <= names, "what was acknowledged before the command is in the copy"
        assert len(before) < len(after), "nobody judged meanwhile"
        assert has == [line for line in lines if number(line) in numbers]
        if engine == "sqlite":
            assert has == lines[: len(has)], "one writer after the other: the copy ends at one moment"
        assert len(has) < len(lines)
        copy.close()
    copy = restored(tmp_path / f"quiet.{kinds[0]}", tmp_path / "of-quiet")
    assert exports(copy) == now
    copy.close()


def restored(saved, folder) -> Database:
    assert main(["studio", "restore", str(saved), "--folder", str(folder)]) == 0
    studio = open_studio(StudioSettings(folder=str(folder)))
    return studio.database


def test_a_copy_in_another_postgres_database_exports_the_same_bytes(new_postgres, other_postgres, tmp_path):
    live = StudioSettings(folder=str(tmp_path / "live"), database=new_postgres)
    members, cookie = filled(live)
    with serving(live) as server:
        with at_work(members, server.address) as log:
            until_more(log, 20)
        now = served(server.address, cookie)
        saved = str(tmp_path / "saved.jsonl")
        typed("backup", saved, "--folder", live.folder, "--database", new_postgres)
        typed("restore", saved, "--folder", str(tmp_path / "copy"), "--database", other_postgres)
        copy = Database(other_postgres)
        assert exports(copy) == now
        copy.close()
