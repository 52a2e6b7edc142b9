"""The operations of models that read rows, counted by stacks, against torch's own count; and their parameters."""

from __future__ import annotations

import pytest
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM, BertConfig, T5Config

from burnish.models.flops import Extent, forward_flops, training_flops
from burnish.models.lora import Lora, add_lora
from burnish.models.parameters import counted
from burnish.models.stacks import Reader, Stack, one_stack, row_extents, row_tokens, stacks_of, together
from burnish.models.untrained import empty_model, made
from tests.models.tiny_rows import KINDS, Kind
from tests.models.torch_flops import torch_flops

B, L, M, D, V, WIDTH = 2, 14, 7, 32, 97, 64


def stacks(kind: Kind, model, *, adapted: bool = False) -> dict[Reader, Stack]:
    return stacks_of(model, pooled=kind.pooled, predicts=kind.predicts, adapted=adapted)


def count(kind: Kind, model, *, backward: bool) -> int:
    part = kind.part(model).train()
    return torch_flops(part, type(kind.items[0]).collate(kind.items), kind.reads, backward=backward)


@pytest.mark.parametrize("name", KINDS)
def test_a_forward_pass(name: str):
    kind = KINDS[name]
    model, extents = kind.model(), row_extents(kind.items)
    wanted = sum(forward_flops(stack, extents[reader]) for reader, stack in stacks(kind, model).items())
    assert count(kind, model, backward=False) == wanted


@pytest.mark.parametrize("name", KINDS)
def test_training_all_weights(name: str):
    kind = KINDS[name]
    model, extents = kind.model(), row_extents(kind.items)
    found = stacks(kind, model)
    wanted = sum(training_flops(stack, extents[reader], keeps=stack.keeps) for reader, stack in found.items())
    assert count(kind, model, backward=True) == wanted


@pytest.mark.parametrize("name", ["classifier", "causal classifier", "spans"])
def test_an_adapter(name: str):
    """The first layer of a stack needs no gradient of what goes into its queries, keys and values: it comes from frozen
    embeddings."""
    kind, rank = KINDS[name], 3
    model, extents = kind.model(), row_extents(kind.items)
    add_lora(model, Lora(rank=rank), seed=0)
    found = stacks(kind, model, adapted=True)
    wanted = sum(
        training_flops(stack, extents[reader], adapter=stack.adapter, keeps=stack.keeps)
        for reader, stack in found.items()
    )
    inner = {"classifier": 3 * D, "causal classifier": 2 * D, "spans": 3 * WIDTH}[name]
    starts = [reader for reader in ("tokens", "decoder") if reader in found]
    spared = sum(2 * extents[reader].tokens * (D * inner + 3 * rank * D) for reader in starts)
    assert count(kind, model, backward=True) == wanted - spared
    assert not any(stack.keeps for stack in found.values()), "the bias of positions is frozen"


def test_every_matrix_has_one_reader():
    found = {name: stacks(kind, kind.model()) for name, kind in KINDS.items()}
    assert {name: set(one) for name, one in found.items()} == {
        "masked": {"tokens", "places"},
        "spans": {"tokens", "cross", "decoder"},
        "classifier": {"tokens", "rows"},
        "causal classifier": {"tokens"},
        "tagger": {"tokens"},
        "causal tagger": {"tokens"},
        "reader": {"tokens"},
    }
    feed_forward, square = 3 * D * 48, D * WIDTH
    assert found["spans"]["tokens"].layer_products == 3 * (4 * square + feed_forward)
    assert found["spans"]["cross"].layer_products == 5 * 2 * square
    assert found["spans"]["decoder"].layer_products == 5 * (6 * square + feed_forward)
    assert [found["spans"][reader].attention_width for reader in ("tokens", "cross", "decoder")] == [192, 320, 320]
    assert found["classifier"]["rows"].layer_products == D * D + 3 * D
    assert found["masked"]["places"] == Stack(layer_products=D * D, attention_width=0, head_products=V * D)
    assert found["spans"]["decoder"].head_products == V * D
    assert {reader: stack.keeps for reader, stack in found["spans"].items()} == {
        "tokens": True,
        "cross": False,
        "decoder": True,
    }


def test_the_size_of_rows():
    spans = row_extents(KINDS["spans"].items)
    assert spans == {
        "tokens": Extent(tokens=B * L, scored=0, pairs=B * L * L),
        "cross": Extent(tokens=B * L, scored=0, pairs=B * L * M),
        "decoder": Extent(tokens=B * M, scored=7 + 5, pairs=B * M * M),
    }
    masked = row_extents(KINDS["masked"].items)
    assert masked["places"] == Extent(tokens=3 + 5, scored=3 + 5, pairs=0)
    assert row_extents(KINDS["tagger"].items)["rows"] == Extent(tokens=B, scored=0, pairs=0)
    assert row_tokens(KINDS["spans"].items) == B * (L + M)
    assert row_tokens(KINDS["masked"].items) == row_tokens(KINDS["reader"].items) == B * L
    assert together([spans, spans])["cross"] == Extent(tokens=2 * B * L, scored=0, pairs=2 * B * L * M)


def test_a_causal_model_is_one_stack():
    parameters = counted(KINDS["causal tagger"].model())
    (stack,) = one_stack(parameters, 7).values()
    assert (stack.layer_products, stack.adapter) == (parameters.layer_products, 7)


@pytest.mark.parametrize("name", KINDS)
def test_parameters_by_part_are_those_of_the_module(name: str):
    kind = KINDS[name]
    model = kind.model()
    found = counted(model)
    assert found.total == sum(parameter.numel() for parameter in model.parameters())
    labels = {"classifier": D * D + D + 3 * D + 3, "causal classifier": 3 * D, "reader": 2 * D + 2}
    tags = dict.fromkeys(("tagger", "causal tagger"), 3 * D + 3)
    assert found.head == {"masked": D * D + D + V, "spans": 0, **labels, **tags}[name]
    assert found.tied == kind.predicts


def test_published_sizes():
    """BERT-base as a masked model, and T5-base, as their papers' releases have them."""
    bert = counted(empty_model(BertConfig(), lambda config: made(AutoModelForMaskedLM, config)))
    assert bert.total == 109_514_298
    large = T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12)
    t5 = counted(empty_model(large, lambda config: made(AutoModelForSeq2SeqLM, config)))
    assert t5.total == 222_903_552
    assert t5.attention == 3 * 12 * 4 * 768 * 768
    assert t5.feed_forward == 2 * 12 * 2 * 768 * 3072
