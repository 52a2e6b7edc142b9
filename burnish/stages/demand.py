"""What a training stage will ask of a machine: its models, its batches, its sampler; read from settings and data.

Nothing is loaded but configs and the data. Batches are the very ones that the run will train on, as far as they are
looked at; answers that a run has yet to sample are taken as long as they may get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import Branch, Tree
from burnish.models.adapters import Adapter, virtual_tokens
from burnish.models.flops import padded_extent, tree_extent
from burnish.models.four_bits import BYTES
from burnish.models.language import LanguageModel, layout_for
from burnish.models.load import load_config
from burnish.models.lora import LowRank
from burnish.models.parameters import model_parameters
from burnish.models.routed import RoutedLanguageModel, is_routed
from burnish.models.score import ScoreModel
from burnish.models.stacks import Extents, row_extents, row_tokens
from burnish.models.untrained import Make, causal_model
from burnish.models.value import PolicyWithValue, ValueModel
from burnish.numerics import compute_dtype, default_device
from burnish.stages.asked import Asked
from burnish.stages.doremi import DoremiStage
from burnish.stages.evaluate_reward import members_of
from burnish.stages.likelihood import LikelihoodStage
from burnish.stages.online import OnlineStage
from burnish.stages.policy_gradient import PPOStage
from burnish.stages.preference import PreferenceStage
from burnish.stages.prepare import Prepared
from burnish.stages.reference import COLUMN
from burnish.stages.reward import RewardStage
from burnish.stages.sft import SFTStage
from burnish.stages.task_questions import Questioned
from burnish.stages.training import TrainingStage
from burnish.training.muon import Muon
from burnish.training.optimizer import AdamW
from burnish.training.plan import MicroBatch, ample, packed_cost, padded_cost, plan
from burnish.training.rehearsal import adapted

Offer = Literal["adapter", "gradient_checkpointing", "divide"]
"""A setting that a run leaves as it is, and with which it would hold less."""

LOOKED_AT = 16
"""Batches of a run that are looked at; the others are taken to be like them."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model that is trained.

    Attributes:
        name: of the part.
        config: of the model.
        build: the part over a model, without any check by numbers.
        reads: what the objective takes from it.
        head: whether the output head runs.
        optimizer: AdamW's numbers.
        muon: Muon's, None without it.
        make: a model of the config.
        adapt: puts the run's adapter on such a model.
        pooled: whether classes are read at one place of each row.
    """

    name: str
    config: PretrainedConfig
    build: Callable[[PreTrainedModel], nn.Module]
    reads: frozenset[str]
    head: bool
    optimizer: AdamW
    muon: Muon | None
    make: Make = causal_model
    adapt: Callable[[PreTrainedModel, Adapter], nn.Module] = adapted
    pooled: bool = False


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What a rollout, or a look at held-out tasks, asks of the sampler.

    Attributes:
        prompts, samples: how many, and answers to each.
        prompt_tokens, answer_tokens: the longest.
        cache_tokens, max_rows: as set.
        updates: that a rollout is worth, or that lie between two looks.
    """

    prompts: int
    samples: int
    prompt_tokens: int
    answer_tokens: int
    cache_tokens: int
    max_rows: int
    updates: int


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A run.

    Attributes:
        trained: models that are trained, the policy first.
        frozen: models that are only read, by name: of the reference, of the reward.
        adapter: trained in place of all weights, or None.
        dtype: of the computation.
        layout: tree or padded, of trees; rows for an encoder or an encoder-decoder.
        twice: gradient checkpointing.
        batches: micro-batches of the updates looked at, of all processes together.
        steps: updates of the run.
        passes: forward passes over every trained token that train nothing, per update.
        once: trees that are computed without training before the first update (reference log-probs).
        sampling: None for a run that samples nothing.
        anchored: whether EWC holds the weights of the first model near their start.
        estimates: whether it is estimated at the end what each weight matters, for EWC.
        divides: whether processes divide the weights.
        offers: what could be set to take less memory.
    """

    trained: tuple[Trained, ...]
    frozen: Mapping[str, PretrainedConfig]
    adapter: Adapter | None
    dtype: torch.dtype
    layout: Literal["tree", "padded", "rows"]
    twice: bool
    batches: Sequence[Sequence[MicroBatch[Any]]]
    steps: int
    passes: int
    once: Sequence[Tree]
    sampling: Sampling | None
    anchored: bool = False
    estimates: bool = False
    divides: bool = True
    offers: frozenset[Offer] = frozenset()

    @property
    def virtual(self) -> int:
        """Virtual tokens in front of every prompt."""
        return virtual_tokens(self.adapter)

    @property
    def folds(self) -> bool:
        """Whether the adapter is folded into the weights to sample."""
        return isinstance(self.adapter, LowRank) and self.adapter.base == "full"

    @property
    def weight_bytes(self) -> float:
        """Of a frozen weight of a linear layer."""
        held = self.adapter.base if isinstance(self.adapter, LowRank) else "full"
        return float(self.dtype.itemsize) if held == "full" else BYTES[held]

    @property
    def largest(self) -> Sequence[Any]:
        """The micro-batch that takes the most tokens."""
        micros = [micro.items for batch in self.batches for micro in batch]
        return max(micros, key=self.cost)

    def cost(self, items: Sequence[Any]) -> int:
        """Tokens that a micro-batch takes in the layout that runs."""
        costs: Mapping[str, Callable[[Any], int]] = {"tree": packed_cost, "padded": padded_cost, "rows": row_tokens}
        return costs[self.layout](items)

    def extents(self, items: Sequence[Any]) -> Extents:
        """The size of items in the layout that runs, virtual tokens included."""
        if self.layout == "rows":
            return row_extents(items)
        longer = [replace(tree, prompt=(0,) * self.virtual + tuple(tree.prompt)) for tree in items]
        return {"tokens": tree_extent(longer) if self.layout == "tree" else padded_extent(longer)}


def demand_of(stage: TrainingStage) -> Demand:
    """What a training stage asks for.

    Args:
        stage: with settings that its `plan` has passed.

    Raises:
        BurnishError: the run could not succeed.
    """
    prepared = stage.prepared(lambda line: None)
    config = load_config(stage.model)
    layout = layout_for(config, stage.train.layout)[0]
    steps = stage.num_steps(prepared)
    sampling = None
    if isinstance(stage, OnlineStage):
        assert isinstance(prepared, Asked)
        longest = max(len(prompt.tokens) for prompt in prepared.prompts)
        sampling = _sampling(stage, longest)
        batches: list[Sequence[Tree]] = [_answered(stage, longest)]
    else:
        sampling = _looks(stage, prepared)
        source = stage.source(prepared)
        batches = [batch for _ in range(min(steps, LOOKED_AT)) if (batch := source.next({})) is not None]
    cost = packed_cost if layout == "tree" else padded_cost
    trained = _trained(stage, config, layout)
    largest = max(model_parameters(one.config).total for one in trained)
    cut = [
        plan(
            batch,
            budget=stage.train.token_budget,
            fill=stage.train.fill or ample(largest, default_device()),
            most_items=stage.train.micro_batch_size,
            coupling=stage.goal().coupling,
            cost=cost,
        )[0]
        for batch in batches
    ]
    return Demand(
        trained=trained,
        frozen=_frozen(stage, config),
        adapter=stage.adapter,
        dtype=compute_dtype(stage.train.precision, default_device()),
        layout=layout,
        twice=stage.train.gradient_checkpointing,
        batches=cut,
        steps=steps,
        passes=_passes(stage, config),
        once=prepared.trees if isinstance(stage, PreferenceStage) and COLUMN in stage.goal().needs else (),
        sampling=sampling,
        anchored=stage.ewc is not None,
        divides=stage.train.divide == "weights",
        offers=_offers(stage),
    )


def _offers(stage: TrainingStage) -> frozenset[Offer]:
    """What is not set yet."""
    found: dict[Offer, bool] = {
        "adapter": stage.adapter is None and stage.ewc is None,
        "gradient_checkpointing": not stage.train.gradient_checkpointing,
        "divide": stage.train.divide == "weights",
    }
    return frozenset(name for name, is_open in found.items() if is_open)


def _trained(stage: TrainingStage, config: PretrainedConfig, layout: Literal["tree", "padded"]) -> tuple[Trained, ...]:
    """The models that train: a scorer, a policy, a policy that shares its trunk with a critic, or both apart."""
    if isinstance(stage, RewardStage):
        heads = stage.heads

        def scorer(model: PreTrainedModel) -> nn.Module:
            return ScoreModel(model, heads=heads, layout=layout, seed=0)

        return (_part(stage, "scorer", config, scorer, ScoreModel.provides),)
    if isinstance(stage, PPOStage) and stage.critic.shared:

        def both(model: PreTrainedModel) -> nn.Module:
            return PolicyWithValue(model, layout=layout, seed=0)

        return (_part(stage, "policy", config, both, PolicyWithValue.provides),)

    def language(model: PreTrainedModel) -> nn.Module:
        return RoutedLanguageModel(model, layout=layout, seed=0) if routed else LanguageModel(model, layout=layout)

    routed = isinstance(stage, LikelihoodStage) and is_routed(config)
    provides = RoutedLanguageModel.provides if routed else LanguageModel.provides
    policy = _part(stage, "policy", config, language, provides)
    if not isinstance(stage, PPOStage):
        return (policy,)

    def critic(model: PreTrainedModel) -> nn.Module:
        return ValueModel(model, layout=layout, seed=0)

    of_critic = config if stage.critic.model == "start" else load_config(str(stage.critic.model))
    own = stage.critic.optimizer
    return (policy, _part(stage, "critic", of_critic, critic, ValueModel.provides, own=own))


def _part(
    stage: TrainingStage,
    name: str,
    config: PretrainedConfig,
    build: Callable[[PreTrainedModel], nn.Module],
    provides: frozenset[str],
    *,
    own: AdamW | None = None,
) -> Trained:
    reads = frozenset(stage.goal_over(config).reads) & provides
    return Trained(
        name=name,
        config=config,
        build=build,
        reads=reads,
        head="logp" in reads,
        optimizer=own or stage.train.optimizer,
        muon=None if own else stage.train.muon,
    )


def _frozen(stage: TrainingStage, config: PretrainedConfig) -> dict[str, PretrainedConfig]:
    """Models that are there all through the run and do not train."""
    found: dict[str, PretrainedConfig] = {}
    if isinstance(stage, DoremiStage):
        found["reference"] = load_config(stage.reference)
    if isinstance(stage, OnlineStage):
        if stage.reference is not None and stage.adapter is None:
            found["reference"] = config
        for number, name in enumerate(members_of(stage.reward.models) if stage.reward.models else ()):
            found[f"reward model {number + 1}"] = load_config(name)
    return found


def _passes(stage: TrainingStage, config: PretrainedConfig) -> int:
    """Forward passes per trained batch: statistics, DoReMi's reference; online old log-probs, reference, critic."""
    found = int(stage.goal_over(config).has_statistics) + isinstance(stage, DoremiStage)
    if isinstance(stage, OnlineStage):
        found += 1 + (stage.reference is not None) + isinstance(stage, PPOStage)
    return found


def _sampling(stage: OnlineStage, longest: int) -> Sampling:
    return Sampling(
        prompts=stage.worth().num_prompts,
        samples=stage.rollout.num_samples,
        prompt_tokens=virtual_tokens(stage.adapter) + longest,
        answer_tokens=stage.rollout.decoding.max_tokens,
        cache_tokens=stage.rollout.cache_tokens,
        max_rows=stage.rollout.max_rows,
        updates=stage.worth().num_updates,
    )


def _looks(stage: TrainingStage, prepared: Prepared) -> Sampling | None:
    """What answers to held-out tasks ask of the sampler, None for a run that gives none."""
    if not isinstance(stage, SFTStage) or stage.held_out_tasks is None:
        return None
    assert isinstance(prepared, Questioned)
    return Sampling(
        prompts=len(prepared.questions),
        samples=1,
        prompt_tokens=virtual_tokens(stage.adapter) + max(len(one.tokens) for one in prepared.questions),
        answer_tokens=stage.held_out_tasks.answer_tokens,
        cache_tokens=stage.held_out_tasks.cache_tokens,
        max_rows=stage.held_out_tasks.max_rows,
        updates=stage.train.evaluate_every,
    )


def _answered(stage: OnlineStage, longest: int) -> list[Tree]:
    """A batch in which every prompt and every answer is as long as it may get."""
    length = stage.rollout.decoding.max_tokens
    branch = Branch(tokens=(0,) * length, weights=(1.0,) * length)
    tree = Tree(id="longest", prompt=(0,) * longest, branches=(branch,) * stage.rollout.num_samples)
    return [tree] * stage.train.batch_size
