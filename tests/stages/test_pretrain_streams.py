"""`pretrain` from token files and mixtures: what it trains on, resuming, bounds, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from burnish.config import load, merged
from burnish.errors import ConfigError, DataError
from burnish.stages.costs import costs_of
from burnish.stages.mix import MixStage
from burnish.stages.pretrain import PretrainStage
from burnish.stages.run import run_stage
from burnish.stages.streamed import Streamed
from burnish.stages.tokenise import TokeniseStage
from burnish.training.mixed import Mixed
from tests.stages.runs import FAST, digest, run, run_killed, weights
from tests.stages.tiny_chat import GEMS, tiny_tokenizer, write_model


def quiet(line: str) -> None:
    """Hears nothing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_WORKERS", "1")
        for name, gems in {"a": GEMS[:9], "b": GEMS[9:]}.items():
            rows = [{"id": f"{name}{n}", "text": f"{gem} is a gem, and old."} for n, gem in enumerate(gems)]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            given = {"model": str(folder / "model"), "data": {name: str(folder / f"{name}.jsonl")}}
            run_stage(load(TokeniseStage, given), folder / f"tokens-{name}", say=quiet)
    return folder


def mixed(world: Path, out: Path, **settings) -> Path:
    data = {name: str(world / f"tokens-{name}") for name in "ab"}
    return run_stage(load(MixStage, {"data": data, **settings}), out, say=quiet)


def stage(world: Path, data: Path, **changes) -> PretrainStage:
    base = {
        "model": str(world / "model"),
        "data": str(data),
        "train": {**FAST, "checkpoint_every": 2},
        "text": {"max_tokens": 9},
    }
    return load(PretrainStage, merged(base, changes))


def source(made: PretrainStage) -> Mixed:
    prepared = made.prepared(quiet)
    assert isinstance(prepared, Streamed)
    found = made.source(prepared)
    assert isinstance(found, Mixed)
    return found


def test_one_pass_over_token_files_predicts_every_token_of_every_document_once(world):
    made = stage(world, world / "tokens-a")
    prepared = made.prepared(quiet)
    stream = made.source(prepared)
    trees = [tree for _ in range(made.num_steps(prepared)) for tree in stream.next({}) or ()]
    files = source(made).segments[0].files
    seen = Counter()
    for tree in trees[: len(trees)]:
        document, _, place = tree.id.rstrip("]").rpartition("[")
        seen.update((document, offset) for offset in range(*map(int, place.split(":"))))
        assert 1 <= len(tree.branches[0].tokens) <= 8
    holders = [files.holder(token) for token in range(files.num_tokens)]
    assert {(holder.document, holder.offset) for holder in holders} == set(seen)
    assert sum(seen.values()) - files.num_tokens < made.train.batch_size * 8  # the last batch reaches into a new pass
    assert made.plan().facts["domains"]["tokens"]["tokens"] == files.num_tokens


def test_a_mixture_draws_by_weight_and_goes_through_a_domain_epoch_by_epoch(world, tmp_path):
    out = mixed(world, tmp_path / "mix", weights={"a": 1, "b": 3}, bounds={"a": 50, "b": 50})
    stream = source(stage(world, out))
    names = [stream.draws.domains[stream.draws.at(draw)[0]].name for draw in range(80)]
    assert abs(Counter(names)["b"] - 60) <= 2
    size = len(stream.segments[1])
    draws = [draw for draw in range(300) if stream.draws.at(draw)[0] == 1][: 2 * size]
    ids = [stream._trees(draw)[0].id for draw in draws]
    assert sorted(ids[:size]) == sorted(ids[size:])
    assert len(set(ids)) == size
    assert ids[:size] != ids[size:]


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_stream_goes_on_at_any_batch(world, tmp_path, at):
    made = stage(world, mixed(world, tmp_path / "mix", temperature=2))
    through, later = source(made), source(made)
    batches = [through.next({}) for _ in range(8)]
    later.restore({"batch": at})
    assert [later.next({}) for _ in range(8 - at)] == batches[at:]
    assert later.state() == through.state() == {"batch": 8}
    assert source(stage(world, tmp_path / "mix", seed=1)).next({}) != batches[0]


def test_a_bounded_mixture_ends(world, tmp_path):
    made = stage(world, mixed(world, tmp_path / "mix", max_epochs=1))
    stream, prepared = source(made), made.prepared(quiet)
    sizes = []
    while (batch := stream.next({})) is not None:
        sizes.append(len(batch))
    assert len(sizes) == made.num_steps(prepared)
    assert stream.next({}) is None
    with pytest.raises(ConfigError, match=f"the bounds of the mixture end it after {len(sizes)}"):
        stage(world, tmp_path / "mix", steps=len(sizes) + 1).prepared(quiet)
    with pytest.raises(ConfigError, match=r"train\.epochs is 3"):
        stage(world, tmp_path / "mix", train={"epochs": 3}).prepared(quiet)


def test_a_killed_run_on_a_mixture_ends_with_the_same_bytes(world, tmp_path):
    made = stage(world, mixed(world, tmp_path / "mix", temperature=3, cap=40), steps=6)
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=5)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)
    first, *_, last = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert last["loss"] < first["loss"]
    assert last["bits_per_byte"] > 0


def test_documents_are_isolated_unless_concatenation_is_asked_for(world, tmp_path):
    made = stage(world, world / "tokens-a", steps=2, text={"max_tokens": 65})
    joined = stage(world, world / "tokens-a", steps=2, text={"max_tokens": 65}, concatenate=True)
    apart, together = source(made).next({}), source(joined).next({})
    assert len(together) == made.train.batch_size < len(apart)
    assert [t for tree in together for t in tree.branches[0].tokens] == [
        t for tree in apart for t in tree.branches[0].tokens
    ]
    one, other = run(made, tmp_path / "apart"), run(joined, tmp_path / "together")
    assert any(not value.equal(weights(other)[name]) for name, value in weights(one).items())


def test_held_out_text_and_the_cost_of_a_stream(world, tmp_path):
    made = stage(world, world / "tokens-a", steps=2, held_out_data=str(world / "b.jsonl"), train={"evaluate_every": 2})
    out = run(made, tmp_path / "out")
    assert "held_out_loss" in json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert costs_of(made, measure=False).phases


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": 2}, "for token files give held_out_data"),
        ({"text": {"longer": "drop"}}, "text.longer is 'drop'"),
        ({"reading": {"limit": 3}}, "reading is for text"),
        ({"steps": 3, "train": {"epochs": 2}}, "give one of them"),
    ],
)
def test_settings_that_nothing_would_obey_are_refused(world, changes, message):
    with pytest.raises(ConfigError, match=message):
        stage(world, world / "tokens-a", **changes).plan()


def test_concatenation_of_text_and_tokens_of_another_tokenizer_are_refused(world, tmp_path):
    with pytest.raises(ConfigError, match="concatenate is for token files"):
        stage(world, world / "a.jsonl", concatenate=True).plan()
    write_model(tmp_path / "model", tokenizer=tiny_tokenizer(vocabulary=290))
    with pytest.raises(DataError, match="made with another tokenizer than the model's"):
        stage(world, world / "tokens-a", model=str(tmp_path / "model")).plan()


def test_the_settings_of_a_mixture(world, tmp_path):
    plan = load(MixStage, {"data": {"a": str(world / "tokens-a"), "b": str(world / "tokens-b")}, "cap": 1}).plan()
    assert plan.facts["weights"] == {"a": 0.5, "b": 0.5}
    for settings, message in (
        ({"weights": {"a": 1}}, "expected one for each of a, b"),
        ({"weights": {"a": 1, "b": 0}}, "weights"),
        ({"weights": {"a": 1, "b": 1}, "temperature": 2}, "leave out temperature and cap"),
        ({"bounds": {"c": 1}}, "there is no domain c"),
    ):
        with pytest.raises(ConfigError, match=message):
            mixed(world, tmp_path / "wrong", **settings)
