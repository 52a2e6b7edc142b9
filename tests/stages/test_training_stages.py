"""The training verbs from data on disk to a saved model: what they write, resume, repeat and refuse."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from burnish.cli import main
from burnish.config import load, merged
from burnish.errors import BurnishError, DataError, Finished, NonFinite, Stopped, StoreError
from burnish.objectives.dpo import DPO
from burnish.stages import updates
from burnish.stages.merge_adapter import MergeAdapterStage
from burnish.stages.preference import DPOStage
from burnish.stages.pretrain import PretrainStage
from burnish.stages.run import run_stage
from burnish.stages.sft import SFTStage
from burnish.training.trainer import Trainer
from tests.stages.changes import ALONE, changed_values
from tests.stages.runs import FAST, digest, lines, run, run_killed, weights
from tests.stages.tiny_chat import write_chats, write_model, write_pairs, write_text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("world")
    return {
        "model": str(write_model(folder / "model")),
        "chats": str(write_chats(folder / "chats.jsonl")),
        "pairs": str(write_pairs(folder / "pairs.jsonl")),
        "text": str(write_text(folder / "text.jsonl")),
    }


def sft(world: Mapping[str, str], **changes: Any) -> SFTStage:
    base = {"model": world["model"], "data": world["chats"], "steps": 3, "train": FAST}
    return load(SFTStage, merged(base, changes))


def dpo(world: Mapping[str, str], **changes: Any) -> DPOStage:
    base = {"model": world["model"], "data": world["pairs"], "steps": 3, "train": FAST}
    return load(DPOStage, merged(base, changes))


def test_sft_writes_a_model_that_transformers_loads_alone(world: dict[str, str], tmp_path: Path):
    out = run(sft(world), tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == ["metrics.jsonl", "model", "run.json"]
    model = AutoModelForCausalLM.from_pretrained(out / "model")
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    assert tokenizer.chat_template
    assert model.dtype == torch.float32
    record = json.loads((out / "run.json").read_text())
    assert record["template_hash"] == json.loads((out / "model" / "burnish.json").read_text())["template_hash"]
    names = {"step", "loss", "tokens", "tokens_per_second", "peak_memory_bytes", "grad_norm", "learning_rate"}
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(names <= set(row) for row in rows)


def test_sft_learns_to_stop(world: dict[str, str], tmp_path: Path):
    """Pain 2: with padding equal to the end-of-turn token, the trained model ends its turn."""
    out = run(sft(world, steps=120, train={"batch_size": 12}), tmp_path / "out")
    assert lines(out)[-1]["loss"] < 0.1
    model, tokenizer = (kind.from_pretrained(out / "model") for kind in (AutoModelForCausalLM, AutoTokenizer))
    chat = [{"role": "user", "content": "What is ruby?"}]
    tokens = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False, return_tensors="pt")
    mask = torch.ones_like(tokens)
    answer = model.generate(tokens, attention_mask=mask, max_new_tokens=40, do_sample=False)[0, tokens.shape[1] :]
    assert tokenizer.decode(answer) == "ruby is a gem. It shines.<|im_end|>"


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_two_runs_with_one_seed_are_the_same_bytes(kind: str, world: dict[str, str], tmp_path: Path):
    make = {"sft": sft, "dpo": dpo}[kind]
    one, two = (run(make(world, adapter={"rank": 2}), tmp_path / name) for name in ("one", "two"))
    other = run(make(world, adapter={"rank": 2}, seed=1), tmp_path / "other")
    assert digest(one) == digest(two) != digest(other)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_run_stopped_anywhere_ends_with_the_same_bytes(stop: int, world: dict[str, str], tmp_path: Path):
    """Killed after update `stop`, with checkpoints every 2: what came after the checkpoint is done again."""
    changes: dict[str, Any] = {"steps": 5, "train": {"checkpoint_every": 2}}
    whole = run(dpo(world, **changes), tmp_path / "whole")
    run_killed(dpo(world, **changes), tmp_path / "cut", after=stop)
    cut = run(dpo(world, **changes), tmp_path / "cut")
    assert digest(cut) == digest(whole)


def test_a_run_killed_by_the_system_goes_on(world: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """kill -9 through the command line, then the same words again in another process, this one."""
    words = ["sft", "--model", world["model"], "--data", world["chats"], "--out", str(tmp_path / "cut")]
    words += ["--steps", "40", "--train.checkpoint_every", "3", "--train.batch_size", "4", "--train.precision", "fp32"]
    process = subprocess.Popen([sys.executable, "-m", "burnish", *words], stdout=subprocess.DEVNULL)
    checkpoints = tmp_path / "cut" / "checkpoints"
    for _ in range(600):
        if list(checkpoints.glob("step-*")):
            break
        time.sleep(0.1)
    process.kill()
    assert process.wait() == -9
    assert main(words) == 0
    assert "going on after update" in capsys.readouterr().out
    whole = load(
        SFTStage,
        {
            "model": world["model"],
            "data": world["chats"],
            "steps": 40,
            "train": {"checkpoint_every": 3, "batch_size": 4, "precision": "fp32"},
        },
    )
    assert digest(tmp_path / "cut") == digest(run(whole, tmp_path / "whole"))


def test_a_checkpoint_without_a_counter_that_is_kept_now_says_how_to_start_over(world: dict[str, str], tmp_path: Path):
    made, out = sft(world, train={"checkpoint_every": 1}), tmp_path / "out"
    run_killed(made, out, after=2)
    (path,) = (out / "checkpoints").glob("step-*/state.json")
    state = json.loads(path.read_text())
    del state["feedback"]["tokens_seen"]
    path.write_text(json.dumps(state))
    message = r"out was begun by an earlier version .* update 1 has no 'tokens_seen'.* type --overwrite .* remove .*out"
    with pytest.raises(StoreError, match=message):
        run(made, out)
    run_stage(made, out, overwrite=True, say=print)
    assert digest(out) == digest(run(made, tmp_path / "whole"))
    assert (tmp_path / "out.replaced-1" / "checkpoints").is_dir()


def test_sigterm_saves_and_stops(world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = updates.Interrupt

    class Asked(asked):
        def __init__(self) -> None:
            super().__init__()
            self.asked = True

    monkeypatch.setattr(updates, "Interrupt", Asked)
    with pytest.raises(Stopped, match="stopped after update 1 of 3"):
        run(sft(world), tmp_path / "out")
    monkeypatch.setattr(updates, "Interrupt", asked)
    assert digest(run(sft(world), tmp_path / "out")) == digest(run(sft(world), tmp_path / "whole"))


@pytest.mark.parametrize("adapter", [None, {"rank": 2}])
def test_a_run_at_learning_rate_0_saves_the_model_it_loaded(
    adapter: dict[str, Any] | None, world: dict[str, str], tmp_path: Path
):
    """In bf16 too: the masters begin from the float32 weights, not from rounded ones."""
    train = {"precision": "bf16", "optimizer": {"learning_rate": 0.0}}
    found = weights(run(sft(world, adapter=adapter, train=train), tmp_path / "out"))
    for name, value in load_file(Path(world["model"]) / "model.safetensors").items():
        assert torch.equal(found[name], value), name


def test_a_finished_run_is_refused(world: dict[str, str], tmp_path: Path):
    out = run(sft(world), tmp_path / "out")
    with pytest.raises(Finished):
        run(sft(world), out)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_the_split_and_the_layout_do_not_matter(kind: str, world: dict[str, str], tmp_path: Path):
    """Pains 7 and 9: 1x8 and 8x1, tree and padded, give the same model up to float32 rounding."""
    make = {"sft": sft, "dpo": dpo}[kind]
    changes = [{"micro_batch_size": 8}, {"micro_batch_size": 1}, {"layout": "padded", "token_budget": 120}]
    # SGD-like steps: AdamW's first steps turn rounding of tiny gradients into steps of full size.
    base = {"batch_size": 8, "optimizer": {"learning_rate": 1e-2, "epsilon": 1.0}}
    outs = [run(make(world, train={**base, **change}), tmp_path / str(i)) for i, change in enumerate(changes)]
    for other in outs[1:]:
        for name, value in weights(outs[0]).items():
            torch.testing.assert_close(weights(other)[name], value, rtol=1e-5, atol=1e-6)
        for mine, theirs in zip(lines(outs[0]), lines(other), strict=True):
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)


def test_dpo_starts_at_log_2_and_widens_the_margin(world: dict[str, str], tmp_path: Path):
    out = run(dpo(world, steps=12, held_out=2, train={"evaluate_every": 4}), tmp_path / "out")
    rows = lines(out)
    assert rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-5)
    assert rows[0]["margin"] == pytest.approx(0.0, abs=1e-4)
    assert rows[-1]["margin"] > 0.5
    assert rows[-1]["accuracy"] == 1.0
    assert [("held_out_loss" in row) for row in rows] == [False, False, False, True] * 3
    shown = {"logp_chosen", "logp_rejected", "length_chosen", "length_rejected", "reward_chosen", "kl_proxy"}
    assert shown <= set(rows[0])


def test_the_reference_is_the_start_of_the_run_with_an_adapter_too(world: dict[str, str], tmp_path: Path):
    """Pain 24: the reference of a run on a merged model is that model, so the first margin is 0 again."""
    first = run(dpo(world, adapter={"rank": 4}), tmp_path / "first")
    second = run(dpo(world, model=str(first), adapter={"rank": 4}), tmp_path / "second")
    assert lines(first)[-1]["margin"] > 0.01
    assert lines(second)[0]["margin"] == pytest.approx(0.0, abs=1e-4)


def test_an_adapter_alone_can_be_merged_later(world: dict[str, str], tmp_path: Path):
    alone = run(sft(world, adapter={"rank": 4}, adapter_only=True), tmp_path / "alone")
    assert (alone / "model" / "adapter_config.json").is_file()
    assert not (alone / "model" / "model.safetensors").exists()
    merged_later = run(MergeAdapterStage(model=str(alone)), tmp_path / "merged")
    at_once = run(sft(world, adapter={"rank": 4}), tmp_path / "at_once")
    for name, value in weights(at_once).items():
        torch.testing.assert_close(weights(merged_later)[name], value, rtol=1e-5, atol=1e-6)


def test_pretraining_reports_bits_per_byte(world: dict[str, str], tmp_path: Path):
    stage = load(PretrainStage, {"model": world["model"], "data": world["text"], "steps": 40, "train": FAST})
    rows = lines(run(stage, tmp_path / "out"))
    assert rows[-1]["bits_per_byte"] < rows[0]["bits_per_byte"] / 2


OWN_LOSS = '''
"""Unlikelihood of rare tokens, for a test."""
from burnish.config import setting, settings
from burnish.objectives.objective import Loss, Objective


@settings
class Squared(Objective):
    """Squared negative log-likelihood."""

    scale: float = setting(1.0, "factor on the loss", gt=0)

    def weights(self, batch):
        return {"squared": float(batch.weight_N.sum())}

    def loss(self, outputs, batch, statistics):
        return Loss(terms={"squared": self.scale * (batch.weight_N * outputs["logp"] ** 2).sum()})
'''


def test_a_loss_of_ones_own_in_one_file(world: dict[str, str], tmp_path: Path):
    path = tmp_path / "own.py"
    path.write_text(OWN_LOSS)
    out = run(sft(world, objective={"use": f"{path}:Squared", "scale": 2.0}), tmp_path / "out")
    assert lines(out)[-1]["loss"] < lines(out)[0]["loss"]
    with pytest.raises(BurnishError, match="did you mean 'scale'"):
        run(sft(world, objective={"use": f"{path}:Squared", "scael": 2.0}), tmp_path / "wrong")


def test_a_loss_that_is_not_finite_stops_before_the_update(world: dict[str, str], tmp_path: Path):
    path = tmp_path / "bad.py"
    path.write_text(OWN_LOSS.replace("** 2).sum()", "** 2).sum() / 0.0"))
    with pytest.raises(NonFinite, match="examples: "):
        run(sft(world, objective={"use": f"{path}:Squared"}), tmp_path / "out")
    assert (tmp_path / "out" / "metrics.jsonl").read_text() == ""


def test_wrong_data_is_refused_before_any_work(world: dict[str, str], tmp_path: Path):
    with pytest.raises(DataError, match=r"has 1 completions of ranks \(none\); a preference pair has two"):
        run(dpo(world, data=world["chats"]), tmp_path / "chats")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match="is empty"):
        run(sft(world, data=str(empty)), tmp_path / "empty")
    with pytest.raises(DataError, match="nothing to train on"):
        run(sft(world, text={"max_tokens": 4}), tmp_path / "short")


def test_another_template_than_the_models_own_is_refused(world: dict[str, str], tmp_path: Path):
    """Pain 3: a model trained with one template is not trained on with another."""
    out = run(sft(world), tmp_path / "out")
    template = tmp_path / "other.jinja"
    template.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}")
    with pytest.raises(BurnishError, match="was made with the chat text"):
        run(sft(world, model=str(out), template={"template": str(template)}), tmp_path / "second")


ALSO = {
    "columns": {"messages": "chat"},
    "date": "2020-02-20",
    "push": "nobody/nothing",
    "warmup": 3,
    "decay": 0.5,
    "final": 0.5,
    "token_budget": 100,
    "layout": "padded",
    "ignore": ["messages", "prompt"],
    "max_tokens": 40,
    "epochs": 2.0,
    "loss_kind": "hinge",
}

ELSEWHERE = {
    "reading.on_bad_row": "needs a bad row: tests/data/test_data_read.py",
    "train.attention": "needs a GPU: tests/models/test_flex.py",
    "train.divide": "needs several processes: tests/stages/test_several_processes.py",
    "template.date": "needs a template that asks for the date: tests/text",
    "held_out_tasks": "needs questions: tests/stages/test_held_out_tasks.py",
}
"""Settings that good data with a plain template cannot show."""

FALLS = "train.schedule.final (train.schedule.kind wsd)"


@pytest.mark.parametrize("verb", ["sft", "dpo"])
def test_every_setting_changes_something_or_is_refused(
    verb: str, world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Pain 21: each setting in turn is changed; the plan, the loss, the record or the output must change."""
    seen: list[int] = []
    spied = updates.save_checkpoint

    def save(folder: Path, trainer: Trainer[Any], *arguments: Any, **named: Any) -> Path:
        seen.append(trainer.num_updates)
        return spied(folder, trainer, *arguments, **named)

    monkeypatch.setattr(updates, "save_checkpoint", save)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cls = {"sft": SFTStage, "dpo": DPOStage}[verb]
    base: dict[str, Any] = {
        "model": world["model"],
        "data": world["chats" if verb == "sft" else "pairs"],
        "steps": 4,
        "text": {"max_tokens": 60},
        "held_out": 4,
        "adapter": {"kind": "lora", "rank": 2, "dropout": 0.1},
        "train": {**FAST, "checkpoint_every": 2, "evaluate_every": 2},
    }

    def outcome(changes: Mapping[str, Any], name: str) -> object:
        seen.clear()
        out = tmp_path / name.replace("/", "_")
        try:
            stage = load(cls, merged(base, changes))
            run(stage, out)
        except BurnishError as error:
            return type(error).__name__
        files = {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name not in ("run.json", "metrics.jsonl") and "tfevents" not in path.name
        }
        record = json.loads((out / "run.json").read_text())
        facts = {name: record.get(name) for name in ("layout", "dtype", "data", "activations")}
        return json.dumps([files, sorted(p.name for p in out.iterdir()), lines(out), facts, seen])

    before = outcome({}, "base")
    assert before == outcome({}, "again")
    changes = changed_values(cls, base, ALSO, ALONE)
    changes = {name: change for name, change in changes.items() if name not in ELSEWHERE}
    longer = {"train": {"schedule": {"decay": 0.5}}}  # of four updates a fifth is one, which would not fall yet
    changes[FALLS] = merged(changes[FALLS], longer)
    here = ("objective", "reference")
    own = {name: change for name, change in changes.items() if verb == "sft" or name.startswith(here)}
    unchanged = [name for name, change in own.items() if outcome(change, name) == before]
    assert unchanged == []


def test_the_default_objective_of_dpo_is_the_papers():
    assert DPO() == DPO(beta=0.1, label_smoothing=0.0, reference_free=False)
