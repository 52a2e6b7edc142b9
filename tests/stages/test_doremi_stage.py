"""`doremi`: from a mixture to a mixture, resumed, in any split; what the next stage reads; collapse; bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from burnish.config import load, merged
from burnish.data.mixing.mixture import read_mixture
from burnish.data.mixing.weights import normalised
from burnish.errors import BurnishError, ConfigError, DataError, ModelError
from burnish.reports.notes import notes
from burnish.reports.records import read_run
from burnish.stages.costs import costs_of
from burnish.stages.demand import demand_of
from burnish.stages.doremi import DoremiStage, collapse
from burnish.stages.mix import MixStage
from burnish.stages.pretrain import PretrainStage
from burnish.stages.run import run_stage
from burnish.stages.tokenise import TokeniseStage
from tests.stages.runs import FAST, digest, lines, run, run_killed
from tests.stages.tiny_chat import GEMS, tiny_tokenizer, write_model

NAMES = ("easy", "hard")
TRAIN = {**FAST, "batch_size": 6, "checkpoint_every": 2}


def quiet(line: str) -> None:
    """Hears nothing."""


def texts(name: str) -> list[str]:
    """Sentences that are easily learned, and numbers that are not."""
    if name == "easy":
        return [f"{gem} is a gem. It shines, and it is old." for gem in GEMS]
    return [" ".join(str(7919 * (place + 3 * step) % 9973) for step in range(9)) for place in range(12)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, token files of two domains, their mixture, and a reference that was trained on it."""
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_WORKERS", "1")
        for name in NAMES:
            rows = [{"id": f"{name}{number}", "text": text} for number, text in enumerate(texts(name))]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            given = {"model": str(folder / "model"), "data": {name: str(folder / f"{name}.jsonl")}}
            run_stage(load(TokeniseStage, given), folder / f"tokens-{name}", say=quiet)
    mixed(folder, folder / "mix", weights={"easy": 3, "hard": 1})
    given = {"model": str(folder / "model"), "data": str(folder / "mix"), "steps": 12, "train": TRAIN}
    run_stage(load(PretrainStage, merged(given, {"text": {"max_tokens": 17}})), folder / "reference", say=quiet)
    return folder


def mixed(world: Path, out: Path, names: tuple[str, ...] = NAMES, **settings: Any) -> Path:
    data = {name: str(world / f"tokens-{name}") for name in names}
    return run_stage(load(MixStage, {"data": data, "max_epochs": 60, **settings}), out, say=quiet)


def stage(world: Path, **changes: Any) -> DoremiStage:
    base = {
        "model": str(world / "model"),
        "reference": str(world / "reference"),
        "data": str(world / "mix"),
        "steps": 6,
        "train": TRAIN,
        "text": {"max_tokens": 17},
    }
    return load(DoremiStage, merged(base, changes))


@pytest.fixture(scope="module")
def found(world: Path) -> Path:
    """A run of it."""
    return run(stage(world), world / "doremi")


def found_weights(out: Path) -> dict[str, float]:
    return {name: part.weight for name, part in read_mixture(out).parts.items()}


def test_the_mixture_has_the_means_of_the_weights_that_the_proxy_was_trained_with(found: Path):
    rows = lines(found)
    assert [rows[0][f"domain_weight/{name}"] for name in NAMES] == [0.5, 0.5]
    means = {name: sum(row[f"domain_weight/{name}"] for row in rows) / len(rows) for name in NAMES}
    assert found_weights(found) == pytest.approx(means, rel=1e-12)
    assert max(means.values()) > 0.52, "the weights must have moved"
    record = json.loads((found / "run.json").read_text())
    assert record["weights"] == found_weights(found)
    assert record["last_weights"] == {name: rows[-1][f"domain_weight/{name}"] for name in NAMES}
    assert 1 < record["effective_domains"] < 2
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["bits_per_byte"] > 0
    assert (found / "model" / "model.safetensors").is_file()


def test_the_next_stage_reads_it_and_draws_by_it(world: Path, found: Path, tmp_path: Path):
    parts = read_mixture(found).parts
    assert {name: part.max_epochs for name, part in parts.items()} == dict.fromkeys(NAMES, 60)
    given = {"model": str(world / "model"), "data": str(found), "steps": 2, "train": TRAIN, "text": {"max_tokens": 17}}
    out = run(load(PretrainStage, given), tmp_path / "next")
    record = json.loads((out / "run.json").read_text())
    drawn = {name: one["weight"] for name, one in record["data"]["domains"].items()}
    assert normalised(drawn) == pytest.approx(found_weights(found))


def test_the_same_weights_are_settings_of_mix_for_other_token_files(world: Path, found: Path, tmp_path: Path):
    given = json.loads((found / "weights.json").read_text())
    assert found_weights(mixed(world, tmp_path / "again", **given)) == pytest.approx(found_weights(found))


def test_a_killed_run_ends_with_the_same_bytes_and_weights(world: Path, found: Path, tmp_path: Path):
    run_killed(stage(world), tmp_path / "killed", after=3)
    assert not (tmp_path / "killed" / "mixture.json").exists()
    out = run(stage(world), tmp_path / "killed")
    assert digest(out) == digest(found)
    assert found_weights(out) == found_weights(found)


@pytest.mark.parametrize("train", [{"micro_batch_size": 1}, {"layout": "padded", "token_budget": 40}], ids=str)
def test_micro_batches_and_layouts_find_the_same_weights(world: Path, found: Path, tmp_path: Path, train):
    # A large epsilon keeps rounding small; both sides have it.
    calm = {"train": {"optimizer": {"epsilon": 1e-2}}}
    whole = run(stage(world, **calm), tmp_path / "whole")
    cut = run(stage(world, **merged(calm, {"train": train})), tmp_path / "cut")
    assert found_weights(cut) == pytest.approx(found_weights(whole), rel=1e-4)
    for row, other in zip(lines(cut), lines(whole), strict=True):
        names = [name for name in other if name.startswith(("domain_weight/", "excess_loss/"))]
        assert [row[name] for name in names] == pytest.approx([other[name] for name in names], rel=1e-3)


def test_held_out_text_has_the_plain_loss(world: Path, tmp_path: Path):
    made = stage(world, steps=2, held_out_data=str(world / "easy.jsonl"), train={"evaluate_every": 2})
    last = lines(run(made, tmp_path / "out"))[-1]
    assert last["held_out_bits_per_byte"] > 0
    assert not [name for name in last if name.startswith("held_out_") and "/" in name]


def test_every_domain_is_drawn_alike_whatever_the_mixture_says(world: Path):
    made = stage(world)
    stream = made.source(made.prepared(quiet))
    assert [domain.weight for domain in stream.segments.draws.domains] == [1.0, 1.0]
    draws = [stream.segments.draws.at(draw)[0] for draw in range(40)]
    assert abs(draws.count(0) - 20) <= 1


def test_a_mixture_of_experts_may_be_the_proxy_of_a_plain_reference(world: Path, tmp_path: Path):
    from burnish.stages.new_model import NewModelStage

    sizes = {"width": 32, "heads": 4, "inner": 24, "experts": 4}
    given = {"family": "moe", "tokenizer": str(world / "model"), "depth": 1, "sizes": sizes}
    run(load(NewModelStage, given), tmp_path / "moe")
    rows = lines(run(stage(world, model=str(tmp_path / "moe"), steps=2), tmp_path / "out"))
    assert {"importance", "load", "excess_loss/easy", "domain_weight/easy"} < rows[-1].keys()


# Collapse -------------------------------------------------------------------------------------------------------------


def test_a_collapse_is_said_and_noted_and_smoothing_keeps_it_away(world: Path, tmp_path: Path):
    said: list[str] = []
    alone = run(stage(world, smoothing=0.0, step_size=60.0), tmp_path / "alone", said)
    assert max(found_weights(alone).values()) > 0.85
    assert lines(alone)[-1]["effective_domains"] < 1.01
    (warning,) = [line for line in said if "have collapsed" in line]
    assert "in the last update" in warning
    assert "raise --smoothing (it is 0)" in warning
    assert any("have collapsed" in note for note in notes(read_run(alone)))

    said.clear()
    smooth = run(stage(world, smoothing=0.5, step_size=60.0), tmp_path / "smooth", said)
    assert min(row[f"domain_weight/{name}"] for row in lines(smooth) for name in NAMES) >= 0.25
    assert not [line for line in said if "have collapsed" in line]
    assert not [note for note in notes(read_run(smooth)) if "have collapsed" in note]


def test_what_is_said_of_a_collapse():
    even, one = {"a": 0.5, "b": 0.5}, {"a": 0.95, "b": 0.05}
    assert collapse({"x": even}) == ""
    assert collapse({"x": even, "y": one}) == "the domain weights have collapsed: 'a' has 95.0% of the weight in y"


# Plans and mistakes ---------------------------------------------------------------------------------------------------


def test_a_plan_counts_the_reference(world: Path):
    demand = demand_of(stage(world))
    assert demand.passes == 1
    assert set(demand.frozen) == {"reference"}
    costs = costs_of(stage(world), measure=False)
    assert all(phase.parts["reference"] > 0 for phase in costs.phases if phase.name == "train")
    assert {"easy", "hard"} == set(stage(world).plan().facts["domains"])


def test_the_objective_and_the_weights_belong_to_the_identity(world: Path):
    names = {one.__name__ for one in stage(world, data=str(world / "nowhere")).code()}
    assert names >= {"DoReMi", "DomainWeights", "Reweighted"}


def refused(world: Path, kind: type[BurnishError], **changes: Any) -> str:
    with pytest.raises(kind) as caught:
        stage(world, **changes).plan()
    return str(caught.value)


def test_what_is_no_mixture_of_several_domains_is_refused(world: Path, tmp_path: Path):
    assert "is no mixture: found no mixture.json" in refused(world, DataError, data=str(world / "tokens-easy"))
    assert "is no mixture: found no mixture.json" in refused(world, DataError, data=str(world / "easy.jsonl"))
    one = mixed(world, tmp_path / "one", names=("easy",))
    assert "has one domain, easy; weights are between two or more" in refused(world, DataError, data=str(one))


def test_token_files_that_are_not_those_of_the_mixture_are_refused(world: Path, tmp_path: Path):
    copy = tmp_path / "tokens-hard"
    shutil.copytree(world / "tokens-hard", copy)
    data = {"easy": str(world / "tokens-easy"), "hard": str(copy)}
    out = run_stage(load(MixStage, {"data": data}), tmp_path / "mix", say=quiet)
    manifest = copy / "tokens.json"
    manifest.write_text(manifest.read_text().replace("{", "{ ", 1))
    assert "are not those that the mixture was made for" in refused(world, DataError, data=str(out))
    shutil.rmtree(copy)
    assert "holds no token files" in refused(world, DataError, data=str(out))


def test_a_reference_that_cannot_serve_is_refused(world: Path, tmp_path: Path):
    same = refused(world, ConfigError, reference=str(world / "model"))
    assert "the model that the proxy starts from, so nothing would be in excess" in same
    write_model(tmp_path / "other", tokenizer=tiny_tokenizer(vocabulary=290))
    assert "have different tokenizers" in refused(world, ModelError, reference=str(tmp_path / "other"))


def test_batches_that_cannot_have_every_domain_are_refused(world: Path, tmp_path: Path):
    small = refused(world, ConfigError, train={"batch_size": 1})
    assert "train.batch_size is 1, and an update needs a segment of each of the 2 domains (easy, hard)" in small
    bounded = mixed(world, tmp_path / "bounded", bounds={"hard": 2})
    used = refused(world, ConfigError, data=str(bounded), steps=40)
    assert "40 updates of 6 segments would use up 'hard', which has" in used
    assert "burnish mix --bounds.hard" in used
    most = int(used.split("set steps to ")[1].split()[0])
    assert stage(world, data=str(bounded), steps=most).plan()
    assert "would use up 'hard'" in refused(world, ConfigError, data=str(bounded), steps=most + 1)


@pytest.mark.parametrize("changes", [{"step_size": 0}, {"smoothing": -0.1}, {"smoothing": 1.5}], ids=str)
def test_numbers_that_mean_nothing_are_refused(world: Path, changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        stage(world, **changes)
