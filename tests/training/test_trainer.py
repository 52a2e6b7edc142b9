"""The trainer: one update per step, what stops it, what it reports, and that two runs are one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from burnish.batch import Branch, Tree, TreeBatch
from burnish.config import settings
from burnish.errors import NonFinite, OverBudget, TrainingError
from burnish.metrics import Mean, Number, Sum
from burnish.objectives.dpo import DPO
from burnish.objectives.objective import Loss, Objective, Outputs
from burnish.objectives.sft import SFT
from burnish.training.columns import completion_logps, with_column
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.plan import packed_cost
from burnish.training.schedule import Linear
from burnish.training.trainer import Probe, Trainer, Updates
from tests.models.tiny import tiny_model
from tests.training.toys import Shelf, chats, gradient_of, pairs, parts_of, policy, weights_of, without_clocks

FAST = Updates(optimizer=AdamW(learning_rate=3e-3))


class TableModel(nn.Module):
    """The smallest policy: a free log-prob for each token id. What the gradient is can be said by heart."""

    provides = frozenset({"logp"})

    def __init__(self, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(97, dtype=dtype))

    def forward(self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"logp": self.table.float()[batch.target_N]}


class Poisoned(TableModel):
    """Says NaN, or has an infinite gradient, where the token 13 is to be said."""

    def __init__(self, poison: str) -> None:
        super().__init__()
        self.poison = poison

    def forward(self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        logp = super().forward(batch, reads, context)["logp"]
        bad = batch.target_N == 13
        if self.poison == "loss":
            return {"logp": torch.where(bad, float("nan"), logp)}
        sharp = -(logp[bad] - logp[bad].detach()).abs().sqrt()
        return {"logp": torch.cat([logp[~bad], sharp])}


def one(name: str, *tokens: int) -> Tree:
    return Tree(id=name, prompt=[1], branches=(Branch(tokens=tokens, weights=[1.0] * len(tokens)),))


# One update -----------------------------------------------------------------------------------------------------------


def test_a_step_is_exactly_one_update():
    """AdamW's first update moves every weight that has a gradient by the learning rate, whatever its size."""
    part = TableModel()
    trainer = Trainer(parts_of(part), SFT(), FAST, steps=9)
    metrics = trainer.step([one("a", 5, 6), one("b", 6)])
    assert trainer.num_updates == 1
    moved = part.table.detach().nonzero().flatten().tolist()
    assert moved == [5, 6]
    assert part.table.detach()[[5, 6]].tolist() == pytest.approx([3e-3, 3e-3], rel=1e-4)
    assert metrics["tokens"] == 5
    assert metrics["learning_rate"] == 3e-3
    assert metrics["tokens_per_second"] == pytest.approx(metrics["tokens"] / metrics["seconds"])


def test_the_loss_and_the_gradient_norm_by_hand():
    """Three scored tokens, two of them 6: the gradient is -1/3 for 5 and -2/3 for 6, its norm sqrt(5)/3."""
    part = TableModel()
    with torch.no_grad():
        part.table[5], part.table[6] = -3.0, -1.5
    metrics = Trainer(parts_of(part), SFT(), FAST, steps=1).step([one("a", 5, 6), one("b", 6)])
    assert metrics["loss"] == pytest.approx(2.0)
    assert metrics["grad_norm"] == pytest.approx(math.sqrt(5) / 3)


@pytest.mark.parametrize(("clip", "norm"), [(0.1, 0.1), (0.0, math.sqrt(5) / 3), (10.0, math.sqrt(5) / 3)])
def test_clipping_scales_the_whole_gradient(clip: float, norm: float):
    """What the optimiser sees has the norm asked for and the direction it had; the metric is the norm before."""
    part = TableModel()
    trainer = Trainer(parts_of(part), SFT(), replace(FAST, clip_norm=clip), steps=1)
    seen: list[Tensor] = []
    adam = trainer.optimizers["policy"].adam
    adam.register_step_pre_hook(lambda *_: seen.append(gradient_of(trainer)))
    metrics = trainer.step([one("a", 5, 6), one("b", 6)])
    assert metrics["grad_norm"] == pytest.approx(math.sqrt(5) / 3)
    assert float(seen[0].norm()) == pytest.approx(norm)
    assert float(seen[0][6] / seen[0][5]) == pytest.approx(2.0)


def test_the_schedule_is_that_of_the_update_number():
    trainer = Trainer(parts_of(TableModel()), SFT(), replace(FAST, schedule=Linear(warmup=2)), steps=4)
    rates = [trainer.step([one("a", 5)])["learning_rate"] for _ in range(4)]
    assert rates == pytest.approx([1.5e-3, 3e-3, 3e-3, 1.5e-3])


def test_weight_decay_takes_from_matrices_and_not_from_vectors():
    part = nn.Module()
    part.provides = frozenset({"logp"})
    part.matrix, part.vector = nn.Parameter(torch.ones(4, 97)), nn.Parameter(torch.ones(97))
    part.forward = lambda batch, reads, context: {"logp": 0.0 * (part.matrix[0] + part.vector)[batch.target_N]}
    updates = Updates(optimizer=AdamW(learning_rate=0.1, weight_decay=0.5))
    Trainer(parts_of(part), SFT(), updates, steps=1).step([one("a", 5)])
    assert torch.allclose(part.matrix.detach(), torch.full((4, 97), 0.95))
    assert torch.equal(part.vector.detach(), torch.ones(97))


def test_gradients_of_several_batches_make_one_update():
    together, apart = TableModel(), TableModel()
    trainer = Trainer(parts_of(apart), SFT(), FAST, steps=1)
    trainer.forward_backward([one("a", 5)])
    trainer.forward_backward([one("b", 6)])
    metrics = trainer.optimizer_step()
    Trainer(parts_of(together), SFT(), FAST, steps=1).step([one("a", 5), one("b", 6)])
    assert trainer.num_updates == 1
    assert metrics["tokens"] == 4
    assert torch.allclose(apart.table, together.table)


def test_an_update_needs_a_gradient():
    trainer = Trainer(parts_of(TableModel()), SFT(), FAST, steps=1)
    with pytest.raises(TrainingError, match="needs a forward_backward before it"):
        trainer.optimizer_step()
    trainer.step([one("a", 5)])
    with pytest.raises(TrainingError, match="needs a forward_backward before it"):
        trainer.optimizer_step()


# What stops a run -----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_examples():
    part = Poisoned("loss")
    trainer = Trainer(parts_of(part), SFT(), replace(FAST, micro_batch_size=1), steps=9)
    trainer.step([one("fine", 5)])
    before, state = weights_of(part), {k: v.clone() for k, v in trainer.optimizers["policy"].state().items()}
    with pytest.raises(NonFinite, match=r"loss is not finite before the update \(nll = nan\); examples: poisoned$"):
        trainer.step([one("good", 7, 8), one("poisoned", 13)])
    assert torch.equal(weights_of(part), before)
    assert trainer.num_updates == 1
    assert all(torch.equal(v, state[k]) for k, v in trainer.optimizers["policy"].state().items())


def test_a_gradient_that_is_not_finite_stops_before_the_update_and_names_the_examples():
    part = Poisoned("gradient")
    trainer = Trainer(parts_of(part), SFT(), FAST, steps=9)
    with pytest.raises(NonFinite, match=r"gradient norm of update 1 is (nan|inf); examples: good, poisoned$"):
        trainer.step([one("good", 5), one("poisoned", 13)])
    assert not weights_of(part).any()
    assert trainer.num_updates == 0


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_step_that_failed_leaves_nothing_for_the_next_one(poison: str):
    failed, fresh = Poisoned(poison), Poisoned(poison)
    updates = replace(FAST, micro_batch_size=1)
    trainer = Trainer(parts_of(failed), SFT(), updates, steps=9)
    with pytest.raises(NonFinite):
        trainer.step([one("good", 7, 8), one("poisoned", 13)])
    metrics = trainer.step([one("next", 5, 6)])
    expected = Trainer(parts_of(fresh), SFT(), updates, steps=9).step([one("next", 5, 6)])
    assert without_clocks(metrics) == without_clocks(expected)
    assert torch.equal(failed.table, fresh.table)


def test_a_penalty_that_is_not_finite_stops_before_the_update():
    class Broken(SFT):
        def penalty(self, parts: Mapping[str, nn.Module]) -> Tensor:
            return next(parts["policy"].parameters()).sum() / 0.0

    part = TableModel()
    with pytest.raises(NonFinite, match=r"the penalty of update 1 is (nan|inf); examples: a$"):
        Trainer(parts_of(part), Broken(), FAST, steps=1).step([one("a", 5)])
    assert not weights_of(part).any()


def test_a_group_over_the_budget_updates_nothing():
    part = TableModel()
    trainer = Trainer(parts_of(part), DPO(reference_free=True), replace(FAST, token_budget=4), steps=1)
    with pytest.raises(OverBudget, match="'pair-0' must stay whole"):
        trainer.step(pairs(1))
    assert not weights_of(part).any()


# What is reported -----------------------------------------------------------------------------------------------------


@settings
class SplitLoss(Objective):
    """SFT, and a second term on the tokens of odd id, which a batch may not have."""

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        return {"nll": float(len(batch.target_N)), "odd": float((batch.target_N % 2 == 1).sum())}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        odd = batch.target_N % 2 == 1
        return Loss(terms={"nll": -outputs["logp"].sum(), "odd": outputs["logp"][odd].square().sum()})


def test_a_term_of_weight_0_adds_nothing_and_is_reported():
    part, plain = TableModel(), TableModel()
    for model in (part, plain):
        with torch.no_grad():
            model.table.fill_(-2.0)
    metrics = Trainer(parts_of(part), SplitLoss(), FAST, steps=1).step([one("a", 4, 6)])
    expected = Trainer(parts_of(plain), SFT(), FAST, steps=1).step([one("a", 4, 6)])
    assert metrics["weight_odd"] == 0.0
    assert metrics["loss"] == expected["loss"] == 2.0
    assert metrics["nll"] == 2.0
    assert math.isnan(metrics["odd"])
    assert torch.equal(part.table, plain.table)


def test_a_term_with_weight_is_divided_by_its_own_weight():
    part = TableModel()
    with torch.no_grad():
        part.table.fill_(-2.0)
    metrics = Trainer(parts_of(part), SplitLoss(), replace(FAST, micro_batch_size=1), steps=1).step(
        [one("a", 4, 6, 8), one("b", 5)]
    )
    assert "weight_odd" not in metrics
    assert metrics["nll"] == 2.0
    assert metrics["odd"] == 4.0
    assert metrics["loss"] == 6.0


def test_an_evaluation_that_is_nan_says_nan():
    """A NaN must not be taken for a term without weight and left out of the loss."""
    trainer = Trainer(parts_of(Poisoned("loss")), SFT(), FAST, steps=1)
    assert math.isnan(trainer.evaluate([one("good", 5), one("poisoned", 13)])["loss"])


def test_terms_and_weights_must_be_the_same():
    @settings
    class Mismatched(SFT):
        def weights(self, batch: TreeBatch) -> Mapping[str, float]:
            return {"other": 1.0}

    with pytest.raises(TrainingError, match=r"terms \['nll'\], but weights \['other'\]"):
        Trainer(parts_of(TableModel()), Mismatched(), FAST, steps=1).step([one("a", 5)])


def test_two_kinds_of_one_metric_are_refused():
    @settings
    class Confused(SFT):
        def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
            kind = Sum(1.0) if batch.ids[0] == "a" else Mean(1.0, 1.0)
            return replace(super().loss(outputs, batch, statistics), metrics={"it": kind})

    with pytest.raises(TypeError, match="'it' is a Sum here and a Mean there"):
        Trainer(parts_of(TableModel()), Confused(), replace(FAST, micro_batch_size=1), steps=1).step(
            [one("a", 5), one("b", 5)]
        )


# Which parts and outputs go together ----------------------------------------------------------------------------------


class Reading(SFT):
    """SFT that asks for one output more."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("logp", "value")


def test_an_output_that_no_part_provides_is_refused():
    with pytest.raises(TrainingError, match="Reading reads 'value', but no part provides that"):
        Trainer(parts_of(TableModel()), Reading(), FAST, steps=1)
    with pytest.raises(TrainingError, match="SFT reads 'logp', but no part provides that"):
        Trainer({}, SFT(), FAST, steps=1)


def test_a_part_that_would_train_for_nothing_is_refused():
    class Critic(TableModel):
        provides = frozenset({"value"})

    parts = {**parts_of(TableModel()), "critic": Part(module=Critic())}
    with pytest.raises(TrainingError, match=r"'critic' would train for nothing: it provides value, and SFT reads logp"):
        Trainer(parts, SFT(), FAST, steps=1)
    Trainer({**parts, "critic": Part(module=Critic(), frozen=True)}, SFT(), FAST, steps=1)


def test_an_output_from_two_parts_is_refused():
    """The later part would silently take the place of the earlier one."""
    parts = {"policy": Part(module=TableModel()), "reference": Part(module=TableModel(), frozen=True)}
    with pytest.raises(TrainingError, match="more than one part provides it: policy, reference"):
        Trainer(parts, SFT(), FAST, steps=1)


@pytest.mark.parametrize("frozen", [True, False])
def test_nothing_to_train_is_refused(frozen: bool):
    part = TableModel().requires_grad_(frozen)
    with pytest.raises(TrainingError, match="nothing is trainable"):
        Trainer({"policy": Part(module=part, frozen=frozen)}, SFT(), FAST, steps=1)


# Precision ------------------------------------------------------------------------------------------------------------


@settings
class Unscaled(Objective):
    """The sum of the negative log-likelihoods; only the example `first` weighs, and it weighs 1."""

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        return {"nll": float("first" in batch.ids)}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        return Loss(terms={"nll": -outputs["logp"].sum()})


class Scalar(nn.Module):
    """One bf16 number, whose gradient is 1 for the token 5 and 2**-10 for every other."""

    provides = frozenset({"logp"})

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))

    def forward(self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"logp": self.number.float() * torch.where(batch.target_N == 5, 1.0, 2.0**-10)}


def test_bf16_gradients_accumulate_in_float32():
    """In float32 1 + 64 x 2**-10 is 1.0625. In bf16 it is 1, because 1 + 2**-10 rounds back to 1 every time."""
    part = Scalar()
    trainer = Trainer(parts_of(part), Unscaled(), replace(FAST, micro_batch_size=1, clip_norm=0.0), steps=1)
    trainer.forward_backward([one("first", 5), *[one(str(i), 6) for i in range(64)]])
    assert trainer.optimizers["policy"].masters["number"].dtype == torch.float32
    assert part.number.grad is None
    assert gradient_of(trainer).tolist() == [-1.0625]

    lost = torch.tensor(1.0, dtype=torch.bfloat16)
    for _ in range(64):
        lost += 2.0**-10
    assert float(lost) == 1.0, "bf16 itself would have lost them"


def test_many_micro_batches_on_one_token_lose_nothing():
    """257 gradients of 1 sum to 257, which bf16 cannot even write down (it has 256 and 258)."""
    part = TableModel(dtype=torch.bfloat16)
    trainer = Trainer(parts_of(part), Unscaled(), replace(FAST, micro_batch_size=1, clip_norm=0.0), steps=1)
    trainer.forward_backward([one("first", 5), *[one(str(i), 5) for i in range(256)]])
    assert float(gradient_of(trainer)[5]) == -257.0


def test_updates_below_the_spacing_of_bf16_accumulate_in_the_master():
    """At 1.0 bf16 steps are 2**-7 up; 20 updates of 1e-3 must arrive although none of them alone is seen."""
    part = TableModel(dtype=torch.bfloat16)
    with torch.no_grad():
        part.table.fill_(1.0)
    trainer = Trainer(parts_of(part), SFT(), Updates(optimizer=AdamW(learning_rate=1e-3)), steps=20)
    seen = []
    for _ in range(20):
        trainer.step([one("a", 5)])
        seen.append(float(part.table.detach()[5]))
    master = trainer.optimizers["policy"].masters["table"]
    assert seen[0] == 1.0, "one update alone is rounded away"
    assert float(master.detach()[5]) == pytest.approx(1.02, rel=1e-3)
    assert seen[-1] == pytest.approx(1.02, abs=2**-8)
    assert part.table.dtype == torch.bfloat16


def test_bf16_training_follows_float32():
    items, losses = chats(6), {}
    for dtype in (torch.float32, torch.bfloat16):
        trainer = Trainer(parts_of(policy(dtype=dtype)), SFT(), FAST, steps=20)
        losses[dtype] = [trainer.step(items)["loss"] for _ in range(20)]
    assert losses[torch.bfloat16][-1] < 0.6 * losses[torch.bfloat16][0]
    assert losses[torch.bfloat16] == pytest.approx(losses[torch.float32], abs=0.15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_second_trainer_on_the_same_weights_trains_too(dtype: torch.dtype):
    """The first one's hooks must not swallow the gradients of the second one (rounds of online DPO make both)."""
    part = TableModel(dtype=dtype)
    first = Trainer(parts_of(part), SFT(), Updates(optimizer=AdamW(learning_rate=0.5)), steps=2)
    first.step([one("a", 5)])
    second = Trainer(parts_of(part), SFT(), Updates(optimizer=AdamW(learning_rate=0.5)), steps=2)
    metrics = second.step([one("a", 6)])
    assert metrics["grad_norm"] == pytest.approx(1.0)
    assert part.table.detach()[[5, 6]].tolist() == pytest.approx([0.5, 0.5])


def test_a_trainer_whose_gradients_go_elsewhere_says_so():
    part = TableModel(dtype=torch.bfloat16)
    first = Trainer(parts_of(part), SFT(), FAST, steps=2)
    Trainer(parts_of(part), SFT(), FAST, steps=2)
    with pytest.raises(TrainingError, match="no parameter got a gradient"):
        first.step([one("a", 5)])


# Whole runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_tiny_set_is_learned_by_heart(kind: str):
    part = policy()
    items = chats(4) if kind == "sft" else with_reference(part, pairs(4))
    objective: Objective = SFT() if kind == "sft" else DPO(beta=0.5)
    trainer = Trainer(parts_of(part), objective, Updates(optimizer=AdamW(learning_rate=1e-2)), steps=60)
    history = [trainer.step(items) for _ in range(60)]
    if kind == "dpo":
        assert history[0]["loss"] == pytest.approx(math.log(2), abs=1e-4), "the policy is its own reference"
        assert history[-1]["accuracy"] == 1.0
    assert history[-1]["loss"] < 0.02
    assert trainer.evaluate(items)["loss"] == pytest.approx(history[-1]["loss"], abs=0.02)


def with_reference(part, items: list[Tree]) -> list[Tree]:
    found = completion_logps(part, items, budget=4096, cost=packed_cost, device=torch.device("cpu"))
    return with_column(items, "reference_logp", found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_runs_are_the_same_to_the_bit(dtype: torch.dtype):
    found = []
    for noise in (1, 2):
        torch.manual_seed(noise)  # the global generator must not matter
        part = policy("gpt2", dtype=dtype)
        trainer = Trainer(parts_of(part), SFT(), replace(FAST, token_budget=30), steps=4, seed=3)
        lines = [without_clocks(trainer.step(chats(6, seed=step))) for step in range(4)]
        found.append((lines, weights_of(part)))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def with_dropout(share: float) -> nn.Module:
    """A policy of the library's own kind whose hidden states are dropped out."""
    part = policy("gpt2")
    for module in part.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
    return part


def test_dropout_is_a_function_of_the_seed_and_the_update():
    items = chats(6)

    def losses(share: float, seed: int) -> list[float]:
        updates = Updates(optimizer=AdamW(learning_rate=0.0), micro_batch_size=3)
        trainer = Trainer(parts_of(with_dropout(share)), SFT(), updates, steps=3, seed=seed)
        return [trainer.step(items)["loss"] for _ in range(3)]

    assert losses(0.3, 1) == losses(0.3, 1)
    assert losses(0.3, 1) != losses(0.3, 2)
    assert len(set(losses(0.3, 1))) == 3, "every update draws anew"
    assert len(set(losses(0.0, 1))) == 1, "at rate 0 and without dropout nothing changes"


def test_dropout_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Trainer(parts_of(with_dropout(0.3)), SFT(), FAST, steps=1).step(chats(2))
    assert torch.equal(torch.rand(3), expected)


def test_dropout_differs_between_the_batches_of_one_update():
    """`forward_backward` twice before one update must not draw the same mask twice."""
    items, updates = chats(4), Updates(optimizer=AdamW(learning_rate=0.0), clip_norm=0.0)
    part = with_dropout(0.3)
    trainer = Trainer(parts_of(part), SFT(), updates, steps=1)
    trainer.forward_backward(items)
    first = gradient_of(trainer)
    trainer.forward_backward(items)
    assert not torch.allclose(gradient_of(trainer), 2 * first)


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_evaluation_changes_nothing():
    def run(look: bool) -> tuple[list[dict[str, float]], Tensor]:
        part = with_dropout(0.2)
        trainer = Trainer(parts_of(part), SFT(), replace(FAST, micro_batch_size=2), steps=4)
        lines = []
        for step in range(4):
            if look:
                trainer.evaluate(chats(3, seed=99))
            trainer.forward_backward(chats(4, seed=step))
            if look:
                trainer.evaluate(chats(3, seed=98))
            lines.append(without_clocks(trainer.optimizer_step()))
        return lines, weights_of(part)

    plain, looked = run(False), run(True)
    assert plain[0] == looked[0]
    assert torch.equal(plain[1], looked[1])


def test_evaluation_is_the_loss_without_dropout_whatever_the_split():
    items, part = pairs(5), policy()
    whole = Trainer(parts_of(part), DPO(), FAST, steps=1).evaluate(items)
    split = Trainer(parts_of(part), DPO(), replace(FAST, micro_batch_size=1), steps=1).evaluate(items)
    assert split == pytest.approx(whole, rel=1e-4)
    trained = Trainer(parts_of(part), DPO(), replace(FAST, optimizer=AdamW(learning_rate=0.0)), steps=1).step(items)
    shared = {name: value for name, value in trained.items() if name in whole}
    assert shared == pytest.approx(whole, rel=1e-4)
    drop = with_dropout(0.4)
    one_look, other = (Trainer(parts_of(drop), SFT(), FAST, steps=1, seed=s).evaluate(chats(4)) for s in (1, 2))
    assert one_look == other


# The loop -------------------------------------------------------------------------------------------------------------


def test_run_goes_on_until_the_steps_are_done():
    source = Shelf([[one(str(i), 5)] for i in range(9)])
    trainer = Trainer(parts_of(TableModel()), SFT(), FAST, steps=3)
    seen: list[Mapping[str, float]] = []
    trainer.run(source, after=lambda metrics: bool(seen.append(metrics)))
    assert trainer.num_updates == len(seen) == source.place == 3
    assert source.heard == [{}, *seen[:2]], "each batch is chosen knowing the update before"


def test_run_ends_with_the_source_or_when_told_to():
    trainer = Trainer(parts_of(TableModel()), SFT(), FAST, steps=9)
    trainer.run(Shelf([[one("a", 5)]] * 2))
    assert trainer.num_updates == 2
    trainer.run(Shelf([[one("a", 5)]] * 7), after=lambda metrics: trainer.num_updates == 4)
    assert trainer.num_updates == 4


def test_a_resumed_run_gives_the_feedback_that_it_had():
    source = Shelf([[one("a", 5)]])
    Trainer(parts_of(TableModel()), SFT(), FAST, steps=1).run(source, feedback={"loss": 4.5})
    assert source.heard == [{"loss": 4.5}]


def test_probes_look_every_so_many_updates_and_at_the_end():
    trainer = Trainer(parts_of(TableModel()), SFT(), FAST, steps=5)
    lines: list[Mapping[str, float]] = []
    probe = Probe(every=2, look=lambda trainer: {"seen": float(trainer.num_updates)})
    trainer.run(Shelf([[one("a", 5)]] * 5), probes=[probe], after=lambda metrics: bool(lines.append(metrics)))
    assert [line.get("seen") for line in lines] == [None, 2.0, None, 4.0, 5.0]


def test_gradient_checkpointing_changes_nothing_but_memory():
    found = []
    for again in (False, True):
        part = policy("llama")
        if again:
            part.model.activation_checkpointing_enable({"use_reentrant": False})
        trainer = Trainer(parts_of(part), SFT(), FAST, steps=2)
        found.append([without_clocks(trainer.step(chats(4))) for _ in range(2)])
    for line, other in zip(*found, strict=True):
        assert line == pytest.approx(other, rel=1e-5)


def test_a_model_of_transformers_alone_is_no_part():
    with pytest.raises(AttributeError, match="provides"):
        Trainer({"policy": Part(module=tiny_model())}, SFT(), FAST, steps=1)


def test_a_micro_batch_is_filled_as_set_and_the_gradient_stays_the_same():
    items = [one(str(number), 5, 6, 7) for number in range(6)]
    whole, cut = (
        Trainer(parts_of(TableModel()), SFT(), replace(FAST, fill=fill), steps=1)
        for fill in (None, 2 * items[0].num_tokens)
    )
    assert [len(micro.items) for micro in whole.plan(items)[0]] == [6]
    assert [len(micro.items) for micro in cut.plan(items)[0]] == [2, 2, 2]
    assert whole.step(items)["loss"] == pytest.approx(cut.step(items)["loss"])
    assert torch.allclose(weights_of(whole.parts["policy"].module), weights_of(cut.parts["policy"].module))
