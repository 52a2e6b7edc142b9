"""A rehearsed update against the same update done, byte for byte on torch's own account."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, PreTrainedModel, T5Config

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.language import LanguageModel
from burnish.models.lora import Lora, add_lora
from burnish.models.parameters import parameters_of
from burnish.models.score import ScoreModel
from burnish.numerics import cast_weights
from burnish.training.live_bytes import LiveBytes
from burnish.training.optimizer import AdamW, MasterOptimizer
from burnish.training.part import trainable_parameters
from burnish.training.rehearsal import Rehearsal, Stretches, rehearsed, shortened
from tests.models.tiny import ARCHITECTURES, tiny_model
from tests.models.tiny_rows import CONFIGS, KINDS

LAYERS = 6
READS = frozenset({"logp"})


def config(layers: int = LAYERS) -> LlamaConfig:
    return LlamaConfig(**{**tiny_model("llama").config.to_dict(), "num_hidden_layers": layers, "hidden_size": 64})


def tree(*lengths: int) -> Tree:
    branches = tuple(Branch(tokens=[3] * length, weights=[1.0] * length) for length in lengths[1:])
    return Tree(id=str(lengths), prompt=[5] * lengths[0], branches=branches)


TREES = [tree(20, 9, 14), tree(7, 18)]


def language(model: PreTrainedModel) -> LanguageModel:
    return LanguageModel(model, layout="tree")


def done(adapter: Lora | None, dtype: torch.dtype) -> int:
    """The most bytes alive in an update of the whole model, beyond those before it."""

    def made() -> PreTrainedModel:
        return type(tiny_model("llama"))(config())

    return updated(made, language, READS, TREES[:1], adapter, dtype)


def updated(make, build, reads, items, adapter: Lora | None, dtype: torch.dtype) -> int:
    """The same of any model and micro-batch."""
    with LiveBytes() as live:
        model = make().requires_grad_(adapter is None)
        part = build(model)
        if adapter is not None:
            add_lora(model, adapter, seed=0)
        named = trainable_parameters(part)
        exact = {name: value.detach() for name, value in named.items()}
        cast_weights(model, dtype)
        optimizer = MasterOptimizer(named, AdamW(), exact)
        del exact
        live.lap()
        before = live.now
        part.train()
        outputs = part(type(items[0]).collate(items), reads)
        torch.stack([output.sum() for output in outputs.values()]).sum().backward()
        del outputs
        optimizer.step(1.0)
    return live.peak - before


def most(found: Stretches) -> int:
    return max(found.forward, found.head, found.top, found.between, found.bottom, found.update)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("adapter", [None, Lora(rank=2)])
def test_what_is_rehearsed_is_what_happens(adapter, dtype):
    rehearsal = Rehearsal(config=config(), build=language, reads=READS, adapter=adapter, dtype=dtype)
    assert most(rehearsed(rehearsal, TREES[:1])) == pytest.approx(done(adapter, dtype), rel=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_rehearsed_on_rows_is_what_happens(name, dtype):
    """With three layers and, in the decoder, five: the rehearsal has two or three."""
    kind = KINDS[name]
    rehearsal = Rehearsal(
        config=kind.config, build=kind.part, reads=kind.reads, adapter=None, dtype=dtype, make=kind.make
    )
    for items in (kind.items, kind.items * 8):
        expected = updated(kind.model, kind.part, kind.reads, items, None, dtype)
        assert most(rehearsed(rehearsal, items)) == pytest.approx(expected, rel=0.02)


def test_where_a_decoder_is_done_its_gradients_stand_beside_what_the_encoder_kept():
    """A long source with a short target: a decoder that is deeper by a layer adds its float32 gradients there, and next
    to nothing at the top."""
    kind = KINDS["spans"]
    source = replace(kind.items[0], tokens=kind.items[0].tokens * 20)
    found = []
    for layers in (5, 6):
        config = T5Config(**{**CONFIGS["t5"].to_dict(), "num_decoder_layers": layers})
        rehearsal = Rehearsal(
            config=config, build=kind.part, reads=kind.reads, adapter=None, dtype=torch.bfloat16, make=kind.make
        )
        found.append(rehearsed(rehearsal, [source]))
    weights = 8 * 32 * 64 + 3 * 32 * 48
    assert found[1].between - found[0].between == pytest.approx(4 * weights, rel=0.05)
    assert found[1].between > found[1].kept


def test_no_memory_is_taken_for_a_large_model():
    large = LlamaConfig(hidden_size=8192, num_hidden_layers=80, num_attention_heads=64, intermediate_size=28672)
    rehearsal = Rehearsal(config=large, build=language, reads=READS, adapter=None, dtype=torch.bfloat16)
    found = rehearsed(rehearsal, [tree(100, 100)])
    assert found.update > 12 * parameters_of(large).total  # two moments and the gradients


def test_gradient_checkpointing_keeps_less():
    plain, twice = (
        rehearsed(
            Rehearsal(config=config(), build=language, reads=READS, adapter=None, dtype=torch.bfloat16, twice=twice),
            TREES,
        )
        for twice in (False, True)
    )
    assert twice.kept < plain.kept / 4


def test_twice_the_tokens_keep_about_twice_as_much():
    rehearsal = Rehearsal(config=config(), build=language, reads=READS, adapter=None, dtype=torch.bfloat16)
    one, two = (rehearsed(rehearsal, [tree(30, 20)] * count).kept for count in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.1)


def test_a_reward_model_has_no_logits():
    def scorer(model: PreTrainedModel) -> ScoreModel:
        return ScoreModel(model, layout="tree", seed=0)

    rehearsal = Rehearsal(config=config(), build=scorer, reads=frozenset({"score"}), adapter=None, dtype=torch.bfloat16)
    assert rehearsed(rehearsal, TREES).kept > 0


def test_real_tensors_are_computed_right_afterwards():
    """Masks that attention keeps between calls must not be those of the rehearsal."""
    part = language(tiny_model("llama"))
    before = part(pack(TREES), READS)["logp"]
    rehearsed(Rehearsal(config=config(), build=language, reads=READS, adapter=None, dtype=torch.float32), TREES)
    after = part(pack(TREES), READS)["logp"]
    after.sum().backward()
    assert type(after) is torch.Tensor
    assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["mixtral", "gpt2", "gemma2"])
def test_families(name):
    model = tiny_model(name)
    rehearsal = Rehearsal(config=model.config, build=language, reads=READS, adapter=None, dtype=torch.bfloat16)
    assert rehearsed(rehearsal, TREES).kept > 0


def padded(model: PreTrainedModel) -> LanguageModel:
    return LanguageModel(model, layout="padded")


def test_the_padded_layout_keeps_every_prompt_again():
    one, two = (
        rehearsed(
            Rehearsal(config=config(), build=build, reads=READS, adapter=None, dtype=torch.bfloat16),
            [tree(40, 3, 3, 3)],
        ).kept
        for build in (language, padded)
    )
    assert two > 2 * one


def test_a_model_that_decides_by_numbers_is_refused_by_name():
    dynamic = tiny_model("llama-dynamic").config
    rehearsal = Rehearsal(config=dynamic, build=padded, reads=READS, adapter=None, dtype=torch.bfloat16)
    with pytest.raises(ModelError, match=r"a llama decides by numbers what it computes .*--dry-run"):
        rehearsed(rehearsal, TREES)


def test_what_a_config_says_of_each_layer_is_cut_too():
    found = shortened(tiny_model("gemma2").config, 3)
    assert found.layer_types == ["sliding_attention", "full_attention", "sliding_attention"]
    assert ARCHITECTURES["gemma2"][1]["layer_types"] == ["sliding_attention", "full_attention"]


def test_an_encoder_decoder_is_cut_in_both_its_stacks():
    found = shortened(CONFIGS["t5"], 2, 4)
    assert (found.num_layers, found.num_decoder_layers, found.decoder_start_token_id) == (2, 4, 0)
    assert shortened(CONFIGS["t5"], 2).num_decoder_layers == 2
