"""The studio's benchmark: its load waits for nobody, it sees what the studio gets wrong, page and records agree.

The benchmark itself, in a short form against a real server, is tests/studio/test_studio_load.py.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx2

from benchmarks.studio import engines, run, table
from benchmarks.studio.crowd import OVERLAP, Found, Member, mistakes
from benchmarks.studio.load import Annotator, Answered, Log, moments, open_loop
from benchmarks.studio.run import Done, Load, measured, percentile, spread

RECORDS = Path(__file__).parents[2] / "benchmarks" / "records"


def whole(**changes) -> Found:
    """Two items, each judged by three people."""
    pairs = [(item, person) for item in (1, 2) for person in range(OVERLAP)]
    ids = [f"{item}-{person}" for item, person in pairs]
    kept = {"judged": {1: OVERLAP, 2: OVERLAP}, "states": {1: "done", 2: "done"}, "uncounted": 0}
    return Found(**{**kept, "pairs": pairs, "client_ids": ids, **changes})


def seen(found: Found, **changes):
    kept = {"handed": [(f"p{p}", i) for i, p in found.pairs], "acknowledged": set(whole().client_ids)}
    return mistakes(found, **{**kept, **changes})


def test_what_goes_wrong_is_seen():
    assert seen(whole()) == []
    for found, message in (
        (whole(judged={1: OVERLAP, 2: OVERLAP + 1}), "1 items without exactly 3 judgements that count, such as 2"),
        (whole(judged={1: OVERLAP, 2: 0}), "1 items without exactly 3"),
        (whole(states={1: "done", 2: "open"}), "1 items that are not done, such as 2"),
        (whole(pairs=[(1, 1), (1, 1)]), "1 people who judged an item twice"),
        (whole(client_ids=[*whole().client_ids, "1-0"]), "1 judgements that are there twice, such as 1-0"),
        (whole(client_ids=whole().client_ids[1:]), "1 judgements that were acknowledged and are lost, such as 1-0"),
        (whole(client_ids=[*whole().client_ids, "new"]), "1 judgements that nobody was told of, such as new"),
        (whole(uncounted=2), "2 judgements were kept and not counted"),
    ):
        assert any(line.startswith(message) for line in seen(found)), message
    (twice,) = seen(whole(), handed=[("Ada", 1), ("Bo", 1), ("Ada", 1)])
    assert twice.startswith("1 people who were handed an item twice")


def test_requests_come_when_they_are_due_and_waiting_counts():
    """A server that takes a second for its first answer, and one person who waits for it."""

    async def answer(request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0.6 if not served else 0)
        served.append(time.perf_counter())
        return httpx2.Response(200, json={"task": None, "why": "done"})

    async def drive() -> Log:
        log = Log()
        transport = httpx2.MockTransport(answer)
        async with httpx2.AsyncClient(base_url="http://studio.example", transport=transport) as client:
            member = Member(name="Ada", cookie="burnish=1", token="2")
            await open_loop([Annotator(member, client, log)], rate=40, seconds=0.5, seed=1)
        return log

    served: list[float] = []
    log = asyncio.run(drive())
    due = list(moments(40, 0.5, 1))
    assert len(log.answered) == len(due) > 5
    assert due == sorted(due)
    assert [one.seconds > 0.6 - moment for one, moment in zip(log.answered, due, strict=True)] == [True] * len(due)
    assert log.odd == []


def test_an_answer_that_is_refused_or_never_comes_is_told():
    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/work"):
            raise httpx2.ConnectError("gone")
        return httpx2.Response(500, text="database is locked")

    async def drive() -> Log:
        log = Log()
        transport = httpx2.MockTransport(answer)
        async with httpx2.AsyncClient(base_url="http://studio.example", transport=transport) as client:
            one = Annotator(Member(name="Ada", cookie="", token=""), client, log)
            await one.step(0.0)
            await one.step(0.0)
            await one.work_until_done()
        return log

    log = asyncio.run(drive())
    assert [one.status for one in log.answered] == [500, 0, 500]
    assert log.odd[0] == "next item: 500 database is locked"
    assert "gone" in log.odd[1]


def test_percentiles_are_values_that_were_measured():
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([7.0], 0.99) == 7.0
    assert spread([0.001, 0.003])["worst_ms"] == 3.0


def test_the_line_has_all_repetitions(monkeypatch):
    runs = iter((0.1, 0.3, 0.2))

    def fake(load, database, folder):
        assert (database, load.people) == ("", 50)
        seconds = next(runs)
        answered = [Answered(what="next item", seconds=seconds, status=200)] * 3
        return Done(answered=answered, seconds=1.0, judgements=7, engine="SQLite 3")

    monkeypatch.setattr(run, "one_run", fake)
    with run.databases("sqlite") as databases:
        line = measured("sqlite", Load(people=50, rate=20, seconds=60), 3, databases)
    assert (line["p95_ms"], line["runs"], line["judgements"]) == (200.0, [100.0, 300.0, 200.0], [7, 7, 7])
    assert line["all"]["count"] == line["kinds"]["next item"]["count"] == 9
    assert line["items"] == 184


def test_only_a_whole_measurement_is_recorded():
    assert run.is_usual(run.parser().parse_args(["all"]))
    for less in (["--people", "49"], ["--rate", "19.9"], ["--seconds", "59"], ["--repetitions", "2"]):
        assert not run.is_usual(run.parser().parse_args(["all", *less]))


def test_without_postgres_the_command_says_so_and_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    assert run.main(["postgres"]) == 0
    said = capsys.readouterr()
    assert "apt-get install postgresql; PostgreSQL is left out" in said.err
    assert said.out == ""


def test_the_page_has_what_the_records_say():
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.placed(page, table.lines()) == page, "type python -m benchmarks.studio.table"
    for path in RECORDS.glob("studio-*.json"):
        line = json.loads(path.read_text(encoding="utf-8"))["line"]
        assert path.stem == line["work"]
        assert len(line["runs"]) >= run.USUAL["repetitions"]


def test_the_table_has_each_engine_with_its_target(tmp_path):
    assert table.lines(tmp_path) == [table.OWED]
    spread = {"count": 3600, "p50_ms": 12.4, "p95_ms": 48.6, "p99_ms": 90.0, "worst_ms": 180.2}
    line = {"engine": "SQLite 3.40.1", "people": 50, "rate": 20.0, "seconds": 60.0, "overlap": 3}
    line |= {"runs": [48.0, 49.4, 51.0], "judgements": [900, 901, 902], "versions": {"burnish": "0.1.0"}}
    line |= {"all": spread, "kinds": {"judgement": {**spread, "count": 1200}}}
    made = {"date": "2026-01-01", "machine": "M", "cores": 2, "memory_bytes": 2**30}
    (tmp_path / "studio-sqlite.json").write_text(json.dumps({"line": line, "origin": made}), encoding="utf-8")
    lines = table.lines(tmp_path)
    assert "| **SQLite**, all | 3,600 | 12 | 49 (at most 200) | 90 | 180 |" in lines
    assert "| a judgement | 1,200 | 12 | 49 | 90 | 180 |" in lines
    assert "Owed: postgres." in lines
    assert lines[-1] == (
        "- SQLite 3.40.1: 50 people, 20 requests a second for 60 s, 3 times (95% within 48, 49, 51 ms), "
        "2,703 judgements of items that each needed 3. 2026-01-01: M, 2 cores, 1 GiB; burnish 0.1.0."
    )
