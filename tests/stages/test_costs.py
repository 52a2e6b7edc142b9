"""`burnish plan`: what a stage would do and cost, on a tiny chat model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.cli import plan
from burnish.errors import ConfigError
from burnish.models.flops import training_flops, tree_extent
from burnish.models.load import load_config
from burnish.models.parameters import parameters_of
from burnish.stages import operations
from burnish.stages.costs import costs_of
from burnish.stages.demand import demand_of
from burnish.stages.policy_gradient import GRPOStage, PPOStage
from burnish.stages.preference import DPOStage
from burnish.stages.reward import RewardStage
from burnish.stages.sft import SFTStage
from tests.stages.tiny_chat import write_chats, write_model, write_pairs, write_prompts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    write_model(folder / "tiny")
    write_chats(folder / "chats.jsonl")
    write_pairs(folder / "pairs.jsonl")
    write_prompts(folder / "prompts.jsonl")
    return folder


def sft_words(place: Path) -> list[str]:
    common = ["--model", str(place / "tiny"), "--data", str(place / "chats.jsonl")]
    return ["sft", *common, "--steps", "3", "--train.batch_size", "4", "--train.precision", "fp32"]


@pytest.fixture(scope="module")
def sft(place: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr(plan, "say", printed.append)
        plan.run([*sft_words(place), "--no-clock", "--json"])
    found: dict[str, Any] = json.loads(printed[0])
    return found


def test_parameters_are_those_of_the_model(sft: dict[str, Any], place: Path):
    found = sft["costs"]["parameters"]["policy"]
    assert found["total"] == parameters_of(load_config(str(place / "tiny"))).total
    assert sft["costs"]["trainable"] == found["total"]


def test_what_a_dry_run_says_is_there_too(sft: dict[str, Any]):
    assert sft["plan"]["trees"] == 12


def test_operations_are_those_of_the_batches_that_will_be_trained_on(sft: dict[str, Any], place: Path):
    stage = SFTStage(
        model=str(place / "tiny"),
        data=str(place / "chats.jsonl"),
        steps=3,
        train={"batch_size": 4, "precision": "fp32"},
    )
    demand = demand_of(stage)
    assert len(demand.batches) == 3
    parameters = parameters_of(load_config(stage.model))
    total = sum(training_flops(parameters, tree_extent(micro.items)) for batch in demand.batches for micro in batch)
    assert sft["costs"]["flops_per_update"] == total // 3
    assert sft["costs"]["flops"] == 3 * (total // 3)


def test_every_phase_has_its_parts(sft: dict[str, Any]):
    memory = sft["costs"]["memory"]
    assert list(memory) == ["load", "train", "save"]
    total = sft["costs"]["parameters"]["policy"]["total"]
    assert memory["train"]["weights"] == 4 * total  # float32: no masters
    assert "masters" not in memory["train"]
    assert memory["train"]["optimiser"] == 8 * total
    assert sft["costs"]["peak_memory_bytes"] == max(sum(parts.values()) for parts in memory.values())
    assert sft["costs"]["fits"]
    assert sft["costs"]["advice"] == []


def test_the_state_of_other_optimisers_is_smaller(sft: dict[str, Any], place: Path):
    """The head has 300 rows of 32 and is held in 8 bits; the layers have no matrix that is large enough."""
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")

    def state(**train: Any) -> int:
        stage = SFTStage(model=str(place / "tiny"), data=str(place / "chats.jsonl"), steps=3, train=train)
        return int(costs_of(stage, measure=False).facts()["memory"]["train"]["optimiser"])

    whole = sft["costs"]["memory"]["train"]["optimiser"]
    head = load_config(str(place / "tiny")).vocab_size * 32
    assert state() == whole
    assert state(optimizer={"moments": "8-bit"}) == pytest.approx(whole - (8 - 2.03125) * head, abs=1)
    layers = (whole // 8) - 2 * head - 5 * 32  # without embeddings, head and norms
    assert state(muon={}) == whole - 4 * layers


def test_lines_for_people_and_advice_where_it_does_not_fit(place: Path, capsys: pytest.CaptureFixture[str]):
    plan.run([*sft_words(place), "--no-clock", "--memory", "1MB"])
    shown = capsys.readouterr().out
    assert "3 updates of 4 examples" in shown
    assert "parameters of the policy:" in shown
    assert "does not fit 0.00 GB" in shown
    for advice in (
        "--train.optimizer.moments 8-bit",
        "--adapter.rank 16",
        "--train.gradient_checkpointing true",
        "--ranks 2",
    ):
        assert advice in shown
    assert "time:" not in shown


def test_the_clock_gives_a_range(place: Path):
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr(plan, "say", printed.append)
        plan.run([*sft_words(place), "--json"])
    low, high = json.loads(printed[0])["costs"]["seconds_per_update"]
    assert 0 < low < high  # a slice of a tiny model is far slower than its products


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory", "much"], "--memory takes a size such as 16GB or 24GiB; found 'much'"),
        (["--memory", "1.2.3GB"], "found '1.2.3GB'"),
        (["--memory"], "--memory needs a value"),
        (["--ranks", "0"], "--ranks takes a whole number of processes, 1 or more; found '0'"),
        (["--json", "yes"], "--json takes no value; unexpected: yes"),
        (["--stpes", "3"], "unknown option --stpes"),
    ],
)
def test_mistakes_in_the_words(place: Path, words: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        plan.run([*sft_words(place), *words])


def test_what_is_neither_a_verb_nor_a_recipe():
    with pytest.raises(ConfigError, match="'stf' is neither a verb nor a recipe; did you mean 'sft'"):
        plan.run(["stf", "--model", "m"])


def test_stages_of_a_recipe_wait_for_their_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    stage = f"{Path(__file__).with_name('counting.py')}:CountStage"
    (tmp_path / "demo.yaml").write_text(
        f'name: demo\nstages:\n  one: {{use: "{stage}", steps: 2}}\n'
        f'  two: {{use: "{stage}", data: "@one/numbers.txt"}}\n'
    )
    plan.run(["demo.yaml"])
    shown = capsys.readouterr().out
    assert "one: would run" in shown
    assert "2 numbers" in shown
    assert "its costs are known when one has run" in shown
    plan.run(["demo.yaml", "--json", "--until", "one"])
    assert json.loads(capsys.readouterr().out)["one"]["state"] == "new"


@pytest.mark.parametrize(("text", "size"), [("16GB", 16 * 10**9), ("1.5GiB", 3 * 2**29), ("2000", 2000)])
def test_sizes(text: str, size: int):
    assert plan._split(["--memory", text])[0].memory == size


def test_a_reference_pass_is_counted_once(place: Path):
    stage = DPOStage(model=str(place / "tiny"), data=str(place / "pairs.jsonl"), steps=2)
    assert len(demand_of(stage).once) == 12


def test_ewc_is_held_beside_any_objective(place: Path, sft: dict[str, Any]):
    common: dict[str, Any] = {"model": str(place / "tiny"), "steps": 2, "ewc": {"fisher": "elsewhere", "strength": 1.0}}
    for cls, data in ((SFTStage, "chats.jsonl"), (DPOStage, "pairs.jsonl")):
        costs = costs_of(cls(data=str(place / data), **common), memory=10**6, measure=False)
        train = costs.facts()["memory"]["train"]
        assert (train["anchors"], train["Fisher information"]) == (4 * costs.trainable, 4 * costs.trainable)
        assert not any("--adapter" in advice for advice in costs.advice), "beside EWC an adapter is refused"
    assert "anchors" not in sft["costs"]["memory"]["train"]


def test_processes_that_divide_nothing_hold_all_weights_each(place: Path):
    def train(**more: Any) -> dict[str, int]:
        stage = SFTStage(model=str(place / "tiny"), data=str(place / "chats.jsonl"), steps=2, train=more)
        found: dict[str, int] = costs_of(stage, ranks=2, measure=False).facts()["memory"]["train"]
        return found

    assert train(divide="nothing")["optimiser"] == 2 * train()["optimiser"]
    assert "gathered weights" not in train(divide="nothing")


def test_operations_are_those_of_all_processes_and_each_takes_a_share_of_the_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(operations, "product_rate", lambda *_, **__: 1e6)
    monkeypatch.setattr(operations, "slice_rate", lambda *_, **__: 1e5)
    stage = online(GRPOStage, place)
    one, two = (costs_of(stage, ranks=ranks) for ranks in (1, 2))
    assert one.flops == two.flops
    assert one.seconds is not None
    assert one.seconds[0] == pytest.approx(one.flops / 1e6)
    assert two.seconds == pytest.approx([seconds / 2 for seconds in one.seconds])


def test_a_reward_model_runs_no_output_head(place: Path):
    stage = RewardStage(model=str(place / "tiny"), data=str(place / "pairs.jsonl"), steps=2)
    (scorer,) = demand_of(stage).trained
    assert (scorer.name, scorer.head) == ("scorer", False)
    assert scorer.reads


def online(cls: type, place: Path, **settings: Any) -> Any:
    rollout = {"decoding": {"max_tokens": 8}, "num_samples": 3}
    train = {"batch_size": 2}
    return cls(
        model=str(place / "tiny"),
        data=str(place / "prompts.jsonl"),
        steps=2,
        train=train,
        rollout=rollout,
        **settings,
    )


def test_answers_to_come_are_taken_as_long_as_they_may_get(place: Path):
    demand = demand_of(online(GRPOStage, place))
    assert {len(branch.tokens) for tree in demand.largest for branch in tree.branches} == {8}
    assert demand.sampling is not None
    assert (demand.sampling.prompts, demand.sampling.samples) == (2, 3)
    assert list(demand.frozen) == ["reference"]
    assert demand.passes == 2  # old log-probs and the reference's


def test_an_adapter_is_its_own_reference(place: Path):
    assert demand_of(online(GRPOStage, place, adapter={"rank": 2})).frozen == {}


def test_ppo_trains_a_critic_beside_the_policy(place: Path):
    demand = demand_of(online(PPOStage, place))
    assert [part.name for part in demand.trained] == ["policy", "critic"]
    assert [part.head for part in demand.trained] == [True, False]
    assert demand.passes == 3
