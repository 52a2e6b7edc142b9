"""The contract, rehearsed: objectives, parts and sources of kinds that are not built in yet run on the same trainer.

A statistic over the global batch (KTO's), a penalty on parameters (EWC's), a second part with its own rate (PPO's
critic), a target that is a distribution (distillation), a source that is in the middle of a rollout when it is killed
(online RL), and items that are no trees (an encoder's).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from burnish.batch import Branch, Tree, TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Mean, Metric, Number
from burnish.models.language import LanguageModel, head_of
from burnish.numerics import generator_from
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.sft import SFT
from burnish.protocols import Decoding, Request
from burnish.sampling.scripted import ScriptedEngine
from burnish.training.checkpoint import restore_checkpoint, save_checkpoint
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import chats, gradient_of, parts_of, policy, weights_of, without_clocks

FAST = Updates(optimizer=AdamW(learning_rate=3e-3))
STILL = Updates(optimizer=AdamW(learning_rate=0.0), clip_norm=0.0)


# A statistic over the global batch ------------------------------------------------------------------------------------


@settings
class TinyKTO(Objective):
    """KTO (Ethayarajh et al. 2024, eq. 8): rewards are measured from the mean log-ratio of mismatched pairs.

    Each tree has the answer (label 1 or 0) and a mismatched answer (label -1) that only feeds the mean, z.
    """

    beta: float = setting(0.1, "strength of the pull towards the reference", gt=0)

    coupling: ClassVar[Coupling] = "group"

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        return {"kto": float((batch.columns["label"] >= 0).sum())}

    def statistics(self, outputs: Outputs, batch: TreeBatch) -> Mapping[str, Metric]:
        mismatched = batch.columns["label"] < 0
        ratio_C = batch.sum_C(outputs["logp"]) - batch.columns["reference_logp"]
        return {"kl": Mean(float(ratio_C[mismatched].sum()), float(mismatched.sum()))}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        label_C = batch.columns["label"]
        ratio_C = batch.sum_C(outputs["logp"]) - batch.columns["reference_logp"]
        zero = max(0.0, float(statistics["kl"]))
        value_C = torch.where(label_C > 0, ratio_C - zero, zero - ratio_C)
        loss_C = 1 - torch.sigmoid(self.beta * value_C)
        scored = label_C >= 0
        return Loss(terms={"kto": loss_C[scored].sum()}, metrics={"kl": Mean(zero * int(scored.sum()), scored.sum())})


def labelled(count: int) -> list[Tree]:
    """Trees with an answer that is desirable or not, and a mismatched one."""

    def with_label(branch: Branch, label: float, reference: float) -> Branch:
        return replace(branch, columns={"label": label, "reference_logp": reference})

    return [
        replace(
            tree,
            branches=(
                with_label(tree.branches[0], float(index % 2), -3.0 * len(tree.branches[0].tokens)),
                with_label(tree.branches[1], -1.0, -9.0 * len(tree.branches[1].tokens)),
            ),
        )
        for index, tree in enumerate(chats(count, completions=2))
    ]


@pytest.mark.parametrize("most", [1, 3])
def test_a_statistic_over_the_global_batch_does_not_depend_on_the_split(most: int):
    """Pain 23: KTO's KL term is that of all pairs, not of those that happen to share a micro-batch."""
    part, items = policy(), labelled(10)
    found = []
    for size in (None, most):
        trainer = Trainer(parts_of(part), TinyKTO(), replace(STILL, micro_batch_size=size), steps=1)
        trainer.forward_backward(items)
        found.append((gradient_of(trainer), without_clocks(trainer.optimizer_step())))
    (whole, metrics), (split, others) = found
    assert metrics["kl"] > 0.5, "the data must make the statistic matter"
    assert others["kl"] == pytest.approx(metrics["kl"], rel=1e-5)
    assert others["loss"] == pytest.approx(metrics["loss"], rel=1e-5)
    assert float((split - whole).norm() / whole.norm()) < 1e-5
    assert metrics["loss"] == pytest.approx(closed_form_kto(part, items), rel=1e-4)


def closed_form_kto(part: LanguageModel, items: Sequence[Tree]) -> float:
    """The loss by the formula, one log-prob at a time."""
    with torch.no_grad():
        batch = Tree.collate(items)
        ratios = batch.sum_C(part(batch, frozenset({"logp"}))["logp"]) - batch.columns["reference_logp"]
    rows = list(zip(ratios.tolist(), batch.columns["label"].tolist(), strict=True))
    mismatched = [ratio for ratio, label in rows if label < 0]
    zero = max(0.0, sum(mismatched) / len(mismatched))
    losses = [1 - 1 / (1 + math.exp(-0.1 * (r - zero if label else zero - r))) for r, label in rows if label >= 0]
    return sum(losses) / len(losses)


# A penalty on parameters ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Anchor:
    """Where the parameters were, and how much each mattered there."""

    start: Mapping[str, Tensor]
    fisher: float


class TinyEWC(SFT):
    """SFT held near the weights that an earlier task needs: lambda/2 sum F (theta - theta*)^2 (Kirkpatrick 2017)."""

    anchor: ClassVar[Anchor]

    def penalty(self, parts: Mapping[str, nn.Module]) -> Tensor | None:
        pull = [
            (parameter - self.anchor.start[name]).square().sum()
            for name, parameter in parts["policy"].named_parameters()
        ]
        return 0.5 * self.anchor.fisher * torch.stack(pull).sum()


def anchored(part: LanguageModel, *, distance: float, fisher: float) -> TinyEWC:
    """An objective whose anchor lies `distance` from every weight."""

    class Here(TinyEWC):
        anchor = Anchor({name: p.detach() - distance for name, p in part.named_parameters()}, fisher)

    return Here()


@pytest.mark.parametrize("most", [None, 1, 2])
def test_a_penalty_counts_once_per_update_whatever_the_number_of_micro_batches(most: int | None):
    part, items = policy(), chats(6)
    count = len(weights_of(part))
    updates = replace(STILL, micro_batch_size=most)
    plain = Trainer(parts_of(part), SFT(), updates, steps=1)
    bare = without_clocks(plain.step(items))
    trainer = Trainer(parts_of(part), anchored(part, distance=0.25, fisher=0.02), updates, steps=1)
    metrics = trainer.step(items)
    assert metrics["penalty"] == pytest.approx(0.5 * 0.02 * 0.25**2 * count, rel=1e-4)
    assert metrics["loss"] == pytest.approx(bare["loss"] + metrics["penalty"], rel=1e-5)


@pytest.mark.parametrize("most", [None, 1])
def test_the_gradient_of_a_penalty_is_added_once(most: int | None):
    part, items = policy(), chats(4)
    seen: list[Tensor] = []
    for objective in (SFT(), anchored(part, distance=0.25, fisher=0.5)):
        trainer = Trainer(parts_of(part), objective, replace(STILL, micro_batch_size=most), steps=1)
        trainer.forward_backward(items)
        penalty = trainer._penalty()
        assert (penalty is None) == (type(objective) is SFT)
        seen.append(gradient_of(trainer))
        trainer.optimizer_step() if penalty is None else trainer._drop()
    assert torch.allclose(seen[1] - seen[0], torch.full_like(seen[0], 0.5 * 0.25), atol=1e-4)


def test_a_strong_penalty_holds_the_weights():
    moved = {}
    for fisher in (0.0, 1000.0):
        part = policy()
        before = weights_of(part)
        trainer = Trainer(parts_of(part), anchored(part, distance=0.0, fisher=fisher), FAST, steps=20)
        for _ in range(20):
            trainer.step(chats(4))
        moved[fisher] = float((weights_of(part) - before).norm())
    assert moved[1000.0] < 0.3 * moved[0.0]


# Two parts with two optimiser groups ----------------------------------------------------------------------------------


class ValueHead(nn.Module):
    """A critic that reads the policy's hidden states, without a gradient into the policy."""

    provides = frozenset({"value"})

    def __init__(self, size: int) -> None:
        super().__init__()
        self.line = nn.Linear(size, 1)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)

    def forward(self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"value": self.line(context["hidden"].detach().float())[:, 0]} if "value" in reads else {}


@settings
class ActorCritic(Objective):
    """A policy-gradient term with a value baseline, and the squared error of the values."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("logp", "hidden", "value")

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        tokens = float(batch.weight_N.sum())
        return {"policy": tokens, "value": tokens}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        reward_N = batch.columns["score"][batch.completion_N]
        gain_N = (reward_N - outputs["value"]).detach()
        error = (outputs["value"] - reward_N).square().sum()
        return Loss(terms={"policy": -(gain_N * outputs["logp"]).sum(), "value": error})


def rewarded(count: int) -> list[Tree]:
    """Chats with a score of 1 for the even and 0 for the odd ones."""
    return [
        replace(tree, branches=tuple(replace(b, columns={"score": float(index % 2 == 0)}) for b in tree.branches))
        for index, tree in enumerate(chats(count))
    ]


def actor_critic(part: LanguageModel, *, rate: float = 3e-3) -> Trainer[Tree]:
    torch.manual_seed(0)
    critic = ValueHead(part.model.config.hidden_size)
    parts = {"policy": Part(module=part), "critic": Part(module=critic, optimizer=AdamW(learning_rate=0.05))}
    return Trainer(parts, ActorCritic(), Updates(optimizer=AdamW(learning_rate=rate)), steps=40)


def test_two_parts_learn_each_at_its_own_rate():
    trainer, items = actor_critic(policy()), rewarded(8)
    history = [trainer.step(items) for _ in range(25)]
    assert history[0]["learning_rate_policy"] == 3e-3
    assert history[0]["learning_rate_critic"] == 0.05
    assert history[-1]["value"] < 0.3 * history[0]["value"]
    assert history[0]["loss"] == pytest.approx(history[0]["policy"] + history[0]["value"])


def test_parts_are_updated_alone():
    """At rate 0 the policy stands still and the critic moves; the critic's loss sends nothing into the policy."""
    part = policy()
    before = weights_of(part)
    trainer = actor_critic(part, rate=0.0)
    critic = weights_of(trainer.parts["critic"].module)
    trainer.step(rewarded(4))
    assert torch.equal(weights_of(part), before)
    assert not torch.equal(weights_of(trainer.parts["critic"].module), critic)


def test_a_checkpoint_holds_both_parts(tmp_path):
    items = rewarded(6)
    straight = actor_critic(policy())
    for _ in range(4):
        last = straight.step(items)
    stopped = actor_critic(policy())
    for _ in range(2):
        metrics = stopped.step(items)
    source = RolloutSource()
    save_checkpoint(tmp_path, stopped, source, metrics, metrics_bytes=0)
    resumed = actor_critic(policy(seed=9))
    restore_checkpoint(tmp_path, resumed, source)
    for _ in range(2):
        again = resumed.step(items)
    assert without_clocks(again) == without_clocks(last)
    for name in ("policy", "critic"):
        assert torch.equal(weights_of(resumed.parts[name].module), weights_of(straight.parts[name].module))


# A target that is a distribution --------------------------------------------------------------------------------------


class TeacherPart(nn.Module):
    """A frozen model that provides what the divergences read."""

    provides = frozenset({"teacher_hidden", "teacher_weight"})

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"teacher_hidden": self.model.hidden(batch), "teacher_weight": head_of(self.model.model).weight}


@settings
class Distil(Objective):
    """Forward KL from the teacher to the policy, per token (Hinton et al. 2015)."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("forward_kl",)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        return {"kl": float(batch.weight_N.sum())}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        return Loss(terms={"kl": (batch.weight_N * outputs["forward_kl"]).sum()})


def distillation() -> tuple[Trainer[Tree], LanguageModel, LanguageModel]:
    student, teacher = policy("llama", seed=0), policy("qwen2", seed=1)
    parts = {"teacher": Part(module=TeacherPart(teacher), frozen=True), "policy": Part(module=student)}
    return Trainer(parts, Distil(), FAST, steps=30), student, teacher


def distribution(part: LanguageModel, items: Sequence[Tree]) -> Tensor:
    with torch.no_grad():
        return torch.log_softmax(head_of(part.model).logits(part.hidden(Tree.collate(items))), dim=-1)


def test_a_target_that_is_a_distribution():
    trainer, student, teacher = distillation()
    items = chats(6)
    before, target = distribution(student, items), distribution(teacher, items)
    expected = float((target.exp() * (target - before)).sum(-1).mean())
    frozen = weights_of(teacher)
    history = [trainer.step(items)["loss"] for _ in range(25)]
    assert history[0] == pytest.approx(expected, rel=1e-4)
    assert history[-1] < 0.6 * history[0]
    assert torch.equal(weights_of(teacher), frozen)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert set(trainer.optimizers) == {"policy"}


# A source that resumes in the middle of a rollout, and hears feedback ------------------------------------------------


ANSWERS = {(1, prompt): [[10 + prompt, 20 + prompt, 2], [30 + prompt, 2]] for prompt in range(5)}


class RolloutSource:
    """Samples two prompts at a time, keeps what an update leaves over, and steers a coefficient by what it hears."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine(ANSWERS, logp=-0.5)
        self.rollouts = 0
        self.buffer: list[dict[str, Any]] = []
        self.coefficient = 0.1

    def next(self, feedback: Mapping[str, float]) -> list[Tree]:
        if feedback:
            self.coefficient *= 1.5 if feedback["loss"] > 4.0 else 0.5
        while len(self.buffer) < 3:
            self._roll_out()
        batch, self.buffer = self.buffer[:3], self.buffer[3:]
        return [self._tree(row) for row in batch]

    def state(self) -> dict[str, Any]:
        return {"rollouts": self.rollouts, "buffer": self.buffer, "coefficient": self.coefficient}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rollouts, self.coefficient = state["rollouts"], state["coefficient"]
        self.buffer = list(state["buffer"])

    def _roll_out(self) -> None:
        numbers = [(2 * self.rollouts + place) % len(ANSWERS) for place in range(2)]
        requests = [Request(id=f"{self.rollouts}-{n}", prompt=[1, n], num_samples=2) for n in numbers]
        for request, samples in zip(requests, self.engine.sample(requests, Decoding(), seed=0), strict=True):
            self.buffer += [{"id": request.id, "prompt": request.prompt, "tokens": s.tokens} for s in samples]
        self.rollouts += 1

    def _tree(self, row: Mapping[str, Any]) -> Tree:
        weights = [self.coefficient] * len(row["tokens"])
        return Tree(id=row["id"], prompt=row["prompt"], branches=(Branch(tokens=row["tokens"], weights=weights),))


def run_online(trainer: Trainer[Tree], source: RolloutSource, until: int, feedback: Mapping[str, float]):
    lines: list[dict[str, float]] = []

    def after(metrics: Mapping[str, float]) -> bool:
        lines.append({**without_clocks(metrics), "coefficient": source.coefficient})
        return trainer.num_updates == until

    trainer.run(source, after=after, feedback=feedback)
    return lines


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_a_source_resumes_in_the_middle_of_a_rollout(tmp_path, stop: int):
    """Four samples per rollout and three per update, so most updates end inside a rollout."""
    straight = policy()
    expected = run_online(Trainer(parts_of(straight), SFT(), FAST, steps=6), RolloutSource(), 6, {})
    assert len({line["coefficient"] for line in expected}) > 2, "the source must have heard its feedback"

    trainer, source = Trainer(parts_of(policy()), SFT(), FAST, steps=6), RolloutSource()
    lines = run_online(trainer, source, stop, {})
    json.dumps(source.state())
    save_checkpoint(tmp_path, trainer, source, lines[-1], metrics_bytes=0)

    part, fresh = policy(seed=5), RolloutSource()
    resumed = Trainer(parts_of(part), SFT(), FAST, steps=6)
    found = restore_checkpoint(tmp_path, resumed, fresh)
    assert found is not None
    lines += run_online(resumed, fresh, 6, found.feedback)
    assert lines == expected
    assert torch.equal(weights_of(part), weights_of(straight))


# Items that are no trees ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sentence:
    """A sentence with a class."""

    id: str
    tokens: tuple[int, ...]
    label: int

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    def pieces(self) -> Sequence[Sentence]:
        return [self]

    @classmethod
    def collate(cls, items: Sequence[Sentence]) -> SentenceBatch:
        width = max(item.num_tokens for item in items)
        tokens = torch.tensor([[*item.tokens, *[0] * (width - item.num_tokens)] for item in items])
        return SentenceBatch(tuple(item.id for item in items), tokens, torch.tensor([item.label for item in items]))


@dataclass(frozen=True)
class SentenceBatch:
    """Sentences padded with 0."""

    ids: tuple[str, ...]
    tokens_BL: Tensor
    label_B: Tensor

    @property
    def num_tokens(self) -> int:
        return self.tokens_BL.numel()

    def to(self, device: torch.device) -> SentenceBatch:
        return replace(self, tokens_BL=self.tokens_BL.to(device), label_B=self.label_B.to(device))


class BagOfWords(nn.Module):
    """An encoder as small as they get: the mean of embeddings, then a line."""

    provides = frozenset({"class_logits"})

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.line = nn.Embedding(30, 8), nn.Linear(8, 3)

    def forward(self, batch: SentenceBatch, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen = (batch.tokens_BL > 0).float()[..., None]
        mean = (self.embedding(batch.tokens_BL) * seen).sum(1) / seen.sum(1)
        return {"class_logits": self.line(mean)}


@settings
class Classify(Objective):
    """Cross-entropy per sentence."""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("class_logits",)

    def weights(self, batch: SentenceBatch) -> Mapping[str, float]:
        return {"nll": float(len(batch.ids))}

    def loss(self, outputs: Outputs, batch: SentenceBatch, statistics: Mapping[str, Number]) -> Loss:
        logits = outputs["class_logits"]
        hits = float((logits.argmax(-1) == batch.label_B).sum())
        total = nn.functional.cross_entropy(logits, batch.label_B, reduction="sum")
        return Loss(terms={"nll": total}, metrics={"accuracy": Mean(hits, float(len(batch.ids)))})


def sentences(count: int) -> list[Sentence]:
    """Sentences that begin with a word of their class."""
    generator = generator_from("sentences")
    lengths = torch.randint(1, 6, (count,), generator=generator).tolist()
    return [
        Sentence(str(i), (1 + i % 3, *torch.randint(4, 30, (n,), generator=generator).tolist()), i % 3)
        for i, n in enumerate(lengths)
    ]


def test_items_that_are_no_trees_run_on_the_same_trainer():
    items = sentences(24)
    updates = Updates(optimizer=AdamW(learning_rate=0.05), token_budget=20)
    trainer = Trainer({"encoder": Part(module=BagOfWords())}, Classify(), updates, steps=60)
    history = [trainer.step(items) for _ in range(60)]
    assert history[0]["loss"] == pytest.approx(math.log(3), abs=0.5)
    assert history[-1]["loss"] < 0.05
    assert history[-1]["accuracy"] == 1.0
    assert trainer.evaluate(items)["accuracy"] == 1.0


def test_their_gradient_does_not_depend_on_the_split_either():
    items, found = sentences(12), []
    for budget in (8, 1000):
        updates = Updates(optimizer=AdamW(learning_rate=0.0), token_budget=budget)
        trainer = Trainer({"encoder": Part(module=BagOfWords())}, Classify(), updates, steps=1)
        trainer.forward_backward(items)
        found.append(gradient_of(trainer, "encoder"))
    assert torch.allclose(*found, atol=1e-6)
