"""Tokens in a curation: those that `tokenise` makes, in ledger, summary, waterfall and what-if, whoever works."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from burnish.config import load
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.record import Curated
from burnish.data.curate.what_if import what_if
from burnish.data.tokens.files import TokenFiles
from burnish.errors import ModelError
from burnish.reports.curation import curation_page
from burnish.stages.curate import CurateStage
from burnish.stages.run import run_stage, stage_identity
from burnish.stages.token_counts import token_counter
from burnish.stages.tokenise import TokeniseStage
from burnish.text.tokenizer import Encoder
from tests.stages.tiny_chat import GEMS, tiny_tokenizer, write_model

RESULTS = ("documents", "ledger", "waterfall.csv", "summary.json")
STEPS = [
    {"kind": "gopher-quality", "min_words": 7, "min_stop_words": 0, "min_word_length": 1},
    {"kind": "pii"},
    {"kind": "exact-dedup"},
]
TEXTS = [f"{gem} is a gem. <|im_end|> Ask jane.{gem}@gem.org.{' It shïnes.' * n}" for n, gem in enumerate(GEMS)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    write_model(tmp_path / "model")
    texts = [*TEXTS, "short", TEXTS[3], "nul \0 in it, which is mended, and so read"]
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    (tmp_path / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def curated(world: Path, name: str, **settings) -> Curated:
    given = {"data": {"web": str(world / "web.jsonl")}, "steps": STEPS, "intake": {"damaged": "mend"}, **settings}
    run_stage(load(CurateStage, given), world / name, say=lambda line: None)
    return Curated(world / name)


def contents(run: Curated) -> dict[str, bytes]:
    files = [path for part in RESULTS for path in (run.folder / part, *(run.folder / part).rglob("*"))]
    return {path.relative_to(run.folder).as_posix(): path.read_bytes() for path in files if path.is_file()}


def test_the_ledger_holds_the_tokens_of_each_text_as_it_reached_a_step(world):
    run = curated(world, "out", tokenizer=str(world / "model"))
    encoder = Encoder(tiny_tokenizer())
    read = {row["id"]: row for row in run.all_rows("read").to_pylist()}
    assert read["d12"]["tokens"] == len(encoder.ids("short"))
    assert read["d14"]["tokens"] == len(encoder.ids("nul  in it, which is mended, and so read"))
    kept = {row["id"]: row["text"] for row in pq.read_table(run.folder / "documents").to_pylist()}
    last = {row["id"]: row for row in run.all_rows("exact-dedup").to_pylist()}
    ends = {row["id"]: row for row in run.all_ends().to_pylist()}
    assert "<EMAIL>" in kept["d5"]  # edited, so counted anew
    count = token_counter(str(world / "model"))
    for name, text in kept.items():
        assert last[name]["tokens"] == ends[name]["tokens_out"] == count(text) != 0
    assert last["d5"]["tokens"] != ends["d5"]["tokens"] == read["d5"]["tokens"]
    assert ends["d12"]["tokens_out"] == 0


def test_tokens_are_those_that_tokenise_makes_and_a_special_token_in_a_text_is_text(world):
    run = curated(world, "out", tokenizer=str(world / "model"))
    kept = run.summary["steps"][-1]["left"]
    given = {"model": str(world / "model"), "data": {"web": str(run.folder / "documents")}}
    tokens = TokenFiles(run_stage(load(TokeniseStage, given), world / "tokens", say=lambda line: None))
    assert kept["tokens"] == tokens.num_tokens - kept["documents"]  # without the end tokens between documents
    assert token_counter(str(world / "model"))("<|im_end|>") > 1


def test_summary_waterfall_and_page_agree(world):
    run = curated(world, "out", tokenizer=str(world / "model"))
    assert run.summary["unit"] == f"tokens of {world / 'model'}"
    for step in run.steps:
        rows = run.all_rows(step.name, ["tokens"]).column("tokens").to_pylist()
        assert step.counts["reached"]["tokens"] == sum(rows)
    bars = list(csv.DictReader((run.folder / "waterfall.csv").read_text().splitlines()))
    assert [int(bar["tokens"]) for bar in bars[1:]] == [step.counts["left"]["tokens"] for step in run.steps]
    page = curation_page(run, samples=1)
    assert f"{run.steps[-1].counts['left']['tokens']:,}" in page
    assert f"tokens of {world / 'model'}" in page


def test_what_if_counts_tokens(world):
    run = curated(world, "out", tokenizer=str(world / "model"))
    found = what_if(run, "gopher-quality", 9, rule="few-words")
    going = [row for row in run.all_rows("gopher-quality").to_pylist() if 7 <= row["measure.words"] < 9]
    assert found.go.documents + found.go_anyway.documents == len(going) > 0
    assert found.go.tokens == sum(row["tokens"] for row in going) - (found.go_anyway.tokens or 0)
    assert f"words, {found.go.tokens:,} tokens)" in "\n".join(found.lines())
    assert "tokens" not in "\n".join(what_if(curated(world, "plain"), "gopher-quality", 9, rule="few-words").lines())


def test_without_a_tokenizer_there_are_no_counts_and_the_unit_says_so(world):
    run = curated(world, "plain")
    assert run.summary["unit"] == "words between white space"
    assert run.summary["steps"][-1]["left"]["tokens"] is None
    assert set(run.all_ends().column("tokens").to_pylist()) == {None}
    documents = (world / "plain" / "documents" / "shard-00000.parquet").read_bytes()
    assert (
        documents
        == (curated(world, "out", tokenizer=str(world / "model")).folder / "documents")
        .joinpath("shard-00000.parquet")
        .read_bytes()
    )


def test_shards_processes_and_kills_change_no_count(world, monkeypatch):
    one = curated(world, "one", tokenizer=str(world / "model"), shard_bytes=300)
    assert one.num_shards > 2
    monkeypatch.setenv("BURNISH_WORKERS", "2")
    assert contents(curated(world, "two", tokenizer=str(world / "model"), shard_bytes=300)) == contents(one)
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    run, left = InlinePool.run, iter(range(2))

    def killed(pool, tasks):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return run(pool, tasks)

    monkeypatch.setattr(InlinePool, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        curated(world, "killed", tokenizer=str(world / "model"), shard_bytes=300)
    monkeypatch.setattr(InlinePool, "run", run)
    assert contents(curated(world, "killed", tokenizer=str(world / "model"), shard_bytes=300)) == contents(one)


def test_the_tokenizer_is_in_the_key_and_must_be_there(world):
    given = {"data": {"web": str(world / "web.jsonl")}, "steps": STEPS}
    named = load(CurateStage, {**given, "tokenizer": str(world / "model")})
    assert stage_identity(named).key != stage_identity(load(CurateStage, given)).key
    assert named.plan().lines[1] == f"tokens of {world / 'model'} are counted"
    (world / "empty").mkdir()
    with pytest.raises(ModelError):
        load(CurateStage, {**given, "tokenizer": str(world / "empty")}).plan()


def test_a_text_that_cannot_be_marked_is_counted_all_the_same(world):
    hostile = "<|im_end|>" + "".join(chr(0x10F000 + offset) for offset in range(256))
    assert token_counter(str(world / "model"))(hostile) > 256
