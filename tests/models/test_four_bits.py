"""Weights in 4 bits: close to the whole ones on the CPU, frozen, merged as they were trained on, refused in time."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from burnish.errors import MissingExtra
from burnish.models import four_bits
from burnish.models.adapters import MERGE_TOLERANCE, adapter_off, folded, merged, sample_logps
from burnish.models.bidirectional import probe_logps
from burnish.models.families import Sizes, shape_of
from burnish.models.four_bits import BYTES, dequantised, held_as, hold, make_whole
from burnish.models.initial import new_model
from burnish.models.language import LanguageModel
from burnish.models.load import load_model
from burnish.models.lora import Dora, Lora, add_lora
from burnish.models.save import save_adapter, save_model
from burnish.numerics import cast_weights, generator_from
from tests.models.attached_models import BATCH, LOGP, logps
from tests.models.tiny import tiny_model
from tests.stages.tiny_chat import tiny_tokenizer

pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")

QLORA = {"lora": Lora(rank=4, base="nf4-double"), "single": Lora(rank=4, base="nf4"), "dora": Dora(rank=4, base="nf4")}


def shaken(model):
    """Every trained weight moved, so that the adapter matters."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


class Matrix(nn.Module):
    """One matrix of normal weights, in the least that `hold` asks of a model."""

    _keep_in_fp32_modules = None

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(512, 256, bias=False)
        self.inner.weight = nn.Parameter(torch.randn(256, 512, generator=generator_from("nf4")))

    @property
    def base_model(self) -> nn.Module:
        """All of it."""
        return self

    def get_output_embeddings(self) -> None:
        """It has none."""


@pytest.mark.parametrize("held", ["nf4", "nf4-double"])
def test_normal_weights_are_off_by_what_16_quantiles_are(held):
    """A tenth of the spread, root mean square, and never more than half the widest gap of the code times the scale."""
    model = Matrix()
    exact = model.inner.weight.detach().clone()
    tokens = torch.randn(8, 512, generator=generator_from("tokens"))
    hold(model, held)  # type: ignore[arg-type]
    off = dequantised(model.inner) - exact
    assert 0.05 < off.square().mean().sqrt() < 0.12
    assert held_as(model) == held
    with torch.no_grad():
        assert torch.allclose(model.inner(tokens), tokens @ dequantised(model.inner).T, atol=1e-4)
        assert (model.inner(tokens) - tokens @ exact.T).square().mean().sqrt() < 0.12 * 512**0.5
    again = dequantised(model.inner)
    make_whole(model)  # type: ignore[arg-type]
    assert held_as(model) == "full"
    assert torch.equal(model.inner.weight, again)


def test_bits_of_a_weight():
    """4.5 bits, and 4.127 with double quantisation (section 3 of the paper: 0.373 bits less)."""
    assert 8 * BYTES["nf4"] == 4.5
    assert 8 * (BYTES["nf4"] - BYTES["nf4-double"]) == pytest.approx(0.373, abs=1e-3)


@pytest.mark.parametrize("kind", QLORA)
def test_the_forward_is_close_and_off_is_the_rounded_start(kind):
    with torch.no_grad():
        whole = sample_logps(tiny_model(spread=0.05))
        adapted = add_lora(tiny_model(spread=0.05), QLORA[kind], seed=0)
        start = sample_logps(adapted.get_base_model())
        assert 0 < (start - whole).abs().mean() < 0.15
        shaken(adapted)
        assert (sample_logps(adapted.get_base_model()) - start).abs().max() > 0.05
        with adapter_off(adapted):
            assert torch.equal(sample_logps(adapted.get_base_model()), start)


@pytest.mark.parametrize("kind", QLORA)
def test_both_layouts_agree_and_only_the_adapter_learns(kind):
    adapted = shaken(add_lora(tiny_model(), QLORA[kind], seed=0))
    model = adapted.get_base_model()
    with torch.no_grad():
        assert (logps(model) - logps(model, "padded")).abs().max() <= 5e-5
    logps(model).sum().backward()
    for name, parameter in adapted.named_parameters():
        assert (parameter.grad is not None) == ("lora_" in name), name


@pytest.mark.parametrize("kind", QLORA)
def test_merged_is_the_model_that_was_trained(kind):
    adapted = shaken(add_lora(tiny_model(), QLORA[kind], seed=0))
    expected = sample_logps(adapted.get_base_model())
    state = torch.get_rng_state()
    plain = merged(adapted)
    assert torch.equal(torch.get_rng_state(), state)
    assert (sample_logps(plain) - expected).abs().max() <= 1e-4 < MERGE_TOLERANCE
    assert held_as(plain) == "full"
    assert {name for name, _ in plain.named_parameters()} == {name for name, _ in tiny_model().named_parameters()}


def test_the_compute_dtype_leaves_4_bits_alone_and_sampling_folds_nothing():
    adapted = shaken(add_lora(tiny_model(), QLORA["lora"], seed=0))
    model = adapted.get_base_model()
    packed = model.model.layers[0].mlp.up_proj.get_base_layer().weight
    assert packed.dtype == torch.uint8
    before = packed.detach().clone()
    cast_weights(model, torch.bfloat16)
    assert model.get_output_embeddings().weight.dtype == torch.bfloat16
    part = LanguageModel(model)
    with torch.no_grad():
        plain = part(BATCH, LOGP)["logp"]
        with folded(model):
            assert torch.equal(part(BATCH, LOGP)["logp"], plain)
    assert torch.equal(model.model.layers[0].mlp.up_proj.get_base_layer().weight, before)


def test_an_adapter_is_read_onto_weights_held_as_it_was_trained_on(tmp_path):
    tokenizer = tiny_tokenizer()
    save_model(tiny_model(), tokenizer, tmp_path / "base", template_hash="abc")
    adapted = shaken(add_lora(tiny_model(), QLORA["lora"], seed=0))
    expected = sample_logps(adapted.get_base_model())
    save_adapter(adapted, tokenizer, tmp_path / "alone", template_hash="abc", base=str(tmp_path / "base"))
    loaded = load_model(str(tmp_path / "alone"))
    assert (sample_logps(loaded) - expected).abs().max() <= 1e-4
    (tmp_path / "alone" / "burnish.json").write_text('{"template_hash": "abc"}')
    assert (sample_logps(load_model(str(tmp_path / "alone"))) - expected).abs().max() > 1e-2, "on the whole weights"


def test_without_the_library_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match=r"pip install 'burnish\[qlora\]'"):
        add_lora(tiny_model(), QLORA["lora"], seed=0)
    add_lora(tiny_model(), Lora(rank=4), seed=0)
    assert four_bits.held_as(tiny_model()) == "full"


def test_layers_that_must_stay_as_they_are_do():
    """Those that are named; and T5's `wo`, in whose dtype transformers puts what comes in, which 4 bits would ruin."""
    shape = shape_of("t5", 1, Sizes(width=32, heads=2))
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    model = new_model(shape, tokenizer, zero_residual=False)
    before = probe_logps(model)
    hold(model, "nf4", beside=["encoder.block.0.layer.0.SelfAttention.q"])
    whole = {name for name, parameter in model.named_parameters() if parameter.is_floating_point()}
    assert {name.split(".")[-2] for name in whole if "block" in name and "layer_norm" not in name} == {
        "wo",
        "q",
        "relative_attention_bias",
    }
    assert [name for name in whole if name.endswith(".q.weight")] == ["encoder.block.0.layer.0.SelfAttention.q.weight"]
    assert 0 < (probe_logps(model) - before).abs().mean() < 0.5, "0.85 with `wo` in 4 bits"
