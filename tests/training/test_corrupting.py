"""Denoisers in the trainer: parity with transformers' loss, any split, resuming, and a held-out loss that falls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from burnish.errors import DataError, ModelError
from burnish.models.corrupted import Corrupted
from burnish.models.denoiser import Denoiser
from burnish.models.families import Sizes, shape_of
from burnish.models.initial import new_model
from burnish.objectives.denoising import UL2, Denoising, MaskedLM, SpanCorruption, Text
from burnish.stages.denoise import padded
from burnish.text.pieces import pieces_of
from burnish.text.tokenizer import Encoder
from burnish.text.training import BPE, Special, trained_tokenizer
from burnish.training.corrupting import Corrupting, held_out_texts
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.trainer import Trainer, Updates
from tests.models.tiny import tiny_model
from tests.stages.specialist_gradients import flat_gradient, require_gradient
from tests.text.test_training import TEXTS

TOKENIZER = trained_tokenizer(TEXTS, BPE(vocabulary=330), Special(mask="<|mask|>", sentinels=30, modes=True))
PIECES = pieces_of(TOKENIZER)
SAMPLES = [Text(id=f"t{n}", tokens=Encoder(TOKENIZER).ids(text)) for n, text in enumerate(TEXTS)]
OBJECTIVES = {"bert": MaskedLM(), "t5": SpanCorruption(), "ul2": UL2()}


def model(name: str, *, zero_residual: bool = False) -> PreTrainedModel:
    shape = shape_of("bert" if name == "bert" else "t5", 1, Sizes(width=32, heads=2))
    return new_model(shape, TOKENIZER, zero_residual=zero_residual).requires_grad_(True)


def trainer(name: str, *, steps: int = 60, **settings) -> Trainer[Corrupted]:
    updates = Updates(optimizer=AdamW(learning_rate=1e-2), token_budget=settings.pop("token_budget", 4096))
    return Trainer({"model": Part(module=Denoiser(model(name)))}, OBJECTIVES[name], updates, steps=steps, **settings)


def source(objective: Denoising, texts=SAMPLES[:-8]) -> Corrupting:
    return Corrupting(texts, objective, PIECES, batch_size=8, seed=0)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_and_the_gradient_are_those_of_transformers_for_any_split(name):
    items = held_out_texts(SAMPLES[:5], OBJECTIVES[name], PIECES)
    plain = model(name)
    batch = Corrupted.collate(items)
    width = batch.tokens_BL.shape[1] if batch.decoder_BM is None else batch.decoder_BM.shape[1]
    labels = torch.full((len(items) * width,), -100)
    labels[batch.source_N] = batch.target_N
    theirs = plain(input_ids=batch.tokens_BL, attention_mask=batch.mask_BL, labels=labels.view(len(items), width)).loss
    with torch.no_grad():
        logp = Denoiser(plain)(batch, frozenset({"logp"}))["logp"]
    loss = OBJECTIVES[name].loss({"logp": logp}, batch, {})
    assert float(loss.terms["nll"]) / len(batch.target_N) == pytest.approx(float(theirs.detach()), rel=1e-5)
    require_gradient(Denoiser(plain), OBJECTIVES[name], items, flat_gradient(theirs, plain), cost=padded)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_padding_and_splitting_change_nothing(name):
    items = held_out_texts(SAMPLES[:6], OBJECTIVES[name], PIECES)
    whole, split = trainer(name), trainer(name, token_budget=max(item.num_tokens for item in items))
    assert len(whole.plan(items)[0]) == 1 < len(split.plan(items)[0])
    first, second = whole.step(items), split.step(items)
    for metric in ("loss", "bits_per_byte", "grad_norm"):
        assert first[metric] == pytest.approx(second[metric], rel=2e-4), metric
    with torch.no_grad():
        parts = [Denoiser(model(name))(Corrupted.collate([one]), frozenset({"logp"}))["logp"].sum() for one in items]
    count = sum(len(one.targets) for one in items)
    assert -float(sum(parts)) / count == pytest.approx(first["loss"], rel=1e-4)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_tiny_model_learns_to_fill_in_texts_it_has_not_seen(name):
    training = trainer(name)
    held_out = held_out_texts(SAMPLES[-8:], OBJECTIVES[name], PIECES)
    before = training.evaluate(held_out)
    training.run(source(OBJECTIVES[name]))
    after = training.evaluate(held_out)
    assert training.num_updates == 60
    assert after["bits_per_byte"] < 0.75 * before["bits_per_byte"]
    assert after["loss"] < before["loss"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_batch_k_is_a_function_of_the_seed_and_k(name):
    through, later = source(OBJECTIVES[name]), source(OBJECTIVES[name])
    batches = [through.next({}) for _ in range(12)]
    later.restore({"batch": 7})
    assert [later.next({}) for _ in range(5)] == batches[7:]
    assert later.state() == through.state()
    seen = [item for batch in batches for item in batch if item.id == "t0"]
    assert len(seen) >= 2
    assert len({item.targets for item in seen}) > 1
    alone = source(OBJECTIVES[name], texts=SAMPLES[:1])  # the same text at every place of every batch
    first, second = alone.next({}), alone.next({})
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_what_would_fail_later_is_refused_before_the_first_step():
    with pytest.raises(DataError, match="sentinels"):
        Corrupting(SAMPLES, SpanCorruption(), replace(PIECES, sentinels=()), batch_size=2, seed=0)
    with pytest.raises(DataError, match="nothing to train on"):
        source(MaskedLM(), texts=[])
    with pytest.raises(ModelError, match="not of a LlamaForCausalLM"):
        Denoiser(tiny_model("llama"))
    masks, spans = (Corrupted.collate(held_out_texts(SAMPLES[:1], OBJECTIVES[name], PIECES)) for name in ("bert", "t5"))
    with pytest.raises(ModelError, match="BertForMaskedLM is trained on masks, and this batch has spans"):
        Denoiser(model("bert"))(spans, frozenset({"logp"}))
    with pytest.raises(ModelError, match="T5ForConditionalGeneration is trained on spans, and this batch has masks"):
        Denoiser(model("t5"))(masks, frozenset({"logp"}))
    with pytest.raises(ValueError, match="all of them for a masked encoder or all for an encoder-decoder"):
        Corrupted.collate(held_out_texts(SAMPLES[:1], MaskedLM(), PIECES) + held_out_texts(SAMPLES[:1], UL2(), PIECES))
