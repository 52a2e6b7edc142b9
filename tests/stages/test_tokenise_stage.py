"""The stage `tokenise`: the same bytes from any number of workers and after a kill; text comes back; `where`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from burnish.batch import Tree
from burnish.cli import main
from burnish.config import load
from burnish.data.curate.pool import InlinePool, Task
from burnish.data.read import Reading
from burnish.data.tokens.files import TokenFiles
from burnish.data.tokens.segments import Segments
from burnish.errors import DataError
from burnish.models.load import load_tokenizer
from burnish.stages import tokenise
from burnish.stages.prepare import prepare
from burnish.stages.run import run_stage
from burnish.stages.tokenise import TokeniseStage
from burnish.text.rendering import TemplateSettings
from burnish.text.truncate import Truncation
from tests.stages.tiny_chat import GEMS, write_model

ENDINGS = ("tokens", "index.arrow")
TEXTS = [f"{gem} is a gem. <|im_end|> It shïnes." + " Old." * n for n, gem in enumerate(GEMS)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    write_model(tmp_path / "model")
    (tmp_path / "web").mkdir()
    for number in range(3):
        rows = [{"id": f"d{n}", "text": TEXTS[n]} for n in range(4 * number, 4 * number + 4)]
        path = tmp_path / "web" / f"{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def stage(world: Path, **settings) -> TokeniseStage:
    given = {"model": str(world / "model"), "data": {"web": str(world / "web")}, **settings}
    return load(TokeniseStage, given)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "run.json"}


def test_the_texts_come_back_with_their_ids_in_order(world):
    said: list[str] = []
    out = run_stage(stage(world), world / "out", say=said.append)
    files, tokenizer = TokenFiles(out), load_tokenizer(str(world / "model"))
    found, token = [], 0
    while token < files.num_tokens:
        holder = files.holder(token)
        ids = files.tokens(holder.start, holder.stop).tolist()
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.eos_token_id not in ids[:-1]  # a text cannot spell a special token
        found.append((holder.document, holder.source, tokenizer.decode(ids[:-1])))
        token = holder.stop
    assert found == [(f"d{n}", "web", text) for n, text in enumerate(TEXTS)]
    counts = json.loads((out / "run.json").read_text())["tokens"]
    size = sum(len(text.encode()) for text in TEXTS)
    assert counts == {"documents": 12, "tokens": files.num_tokens, "bytes": size, "left_out": {}}
    assert set(contents(out)) == {"tokens.json"} | {f"shard-0000{n}.{end}" for n in range(3) for end in ENDINGS}


def test_segments_longer_than_all_documents_are_the_trees_of_the_text(world):
    out = run_stage(stage(world), world / "out", say=lambda line: None)
    prepared = prepare(
        str(world / "model"),
        str(world / "web"),
        reading=Reading(),
        template=TemplateSettings(),
        truncation=Truncation(),
        held_out=0,
        held_out_data=None,
        seed=0,
        say=lambda line: None,
    )
    trees = Segments(TokenFiles(out), length=10**6, joined=False, measure=lambda prompt, tokens: len(tokens)).trees(0)
    assert [plain(tree) for tree in trees] == [plain(tree) for tree in prepared.trees]


def plain(tree: Tree) -> tuple[list[int], list[int], list[float]]:
    (branch,) = tree.branches
    return list(tree.prompt), list(branch.tokens), list(branch.weights)


class Backwards(InlinePool):
    """Does the last task first."""

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        return super().run(tasks[::-1])[::-1]


def test_the_order_in_which_shards_are_made_changes_nothing(world, monkeypatch):
    one = run_stage(stage(world), world / "one", say=lambda line: None)
    monkeypatch.setattr(tokenise, "workers", lambda: nullcontext(Backwards()))
    assert contents(run_stage(stage(world), world / "two", say=lambda line: None)) == contents(one)


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(world, monkeypatch):
    one = run_stage(stage(world), world / "one", say=lambda line: None)
    monkeypatch.setenv("BURNISH_WORKERS", "2")
    two = run_stage(stage(world), world / "two", say=lambda line: None)
    assert contents(one) == contents(two)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(world, monkeypatch):
    whole = contents(run_stage(stage(world), world / "whole", say=lambda line: None))
    real, calls = tokenise.write_shard, []

    def dies(folder, name, documents, dtype):
        calls.append(name)
        if calls == ["shard-00000", "shard-00001"]:
            (folder / "shard-00001.tokens.1.new").write_bytes(b"half")
            raise KeyboardInterrupt
        return real(folder, name, documents, dtype)

    monkeypatch.setattr(tokenise, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage(world), world / "out", say=lambda line: None)
    out = run_stage(stage(world), world / "out", say=lambda line: None)
    assert calls == ["shard-00000", "shard-00001", "shard-00001", "shard-00002"]
    assert contents(out) == whole


def test_what_gives_no_tokens_is_counted_and_named(world):
    (world / "web" / "1.jsonl").write_text('{"text": "a\\u0000b"}\n{"text": ""}\n{"text": "good"}\nnot json\n')
    said: list[str] = []
    out = run_stage(stage(world), world / "out", say=said.append)
    left_out = json.loads((out / "run.json").read_text())["tokens"]["left_out"]
    assert left_out == {"empty": 1, "not-json": 1, "nul-bytes": 1}
    assert "left out: 1 of 'not-json'; the first: web/1.jsonl, row 4" in said
    files = TokenFiles(out)
    documents = {files.holder(token).document for token in range(files.num_tokens)}
    assert "web/1.jsonl:3" in documents
    assert len(documents) == 9
    mended = run_stage(stage(world, intake={"damaged": "mend"}), world / "mended", say=lambda line: None)
    assert TokenFiles(mended).num_documents == 10
    with pytest.raises(DataError, match="nul-bytes"):
        run_stage(stage(world, intake={"damaged": "stop"}), world / "stopped", say=lambda line: None)


def test_the_verbs(world, capsys):
    out = str(world / "runs")
    assert main(["tokenise", "--model", str(world / "model"), "--data", f"web={world / 'web'}", "--out", out]) == 0
    capsys.readouterr()
    assert main(["tokenise", "where", "0", "--run", out]) == 0
    assert "token 0 is number 0 of the" in (shown := capsys.readouterr().out)
    assert "tokens of 'd0'" in shown
    assert main(["tokenise", "where", "99999", "--run", out]) == 2
    assert main(["tokenise", "where", "x"]) == 2
    assert "--run is required" in capsys.readouterr().err
