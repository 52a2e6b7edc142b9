"""Scaled positions: the formulas, transformers' own, packed rows and cached decoding beyond the original context."""

from __future__ import annotations

import math

import pytest
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.language import LanguageModel, language_model
from burnish.models.rope import NTK, Interpolation, Scaling, YaRN, lengthened, ntk_base, plain_positions, rotation
from burnish.protocols import Decoding, Request
from burnish.sampling.engine import InProcessEngine
from tests.models.tiny import VOCABULARY, tiny_model

SCALINGS = (Interpolation(factor=4.0), NTK(factor=4.0), YaRN(factor=4.0))
EACH = pytest.mark.parametrize("scaling", SCALINGS, ids=lambda one: one.kind)
KNOWN = {"base": 10000.0, "size": 64, "original": 2048}


def test_the_formulas():
    """Pair i of 32 turns by 10000^(-i/32)."""
    plain = torch.tensor([10000 ** (-i / 32) for i in range(32)], dtype=torch.float64)
    assert torch.allclose(rotation(Interpolation(factor=4.0), **KNOWN).frequencies, plain / 4)
    ntk = rotation(NTK(factor=4.0), **KNOWN)
    assert ntk.frequencies[0] == plain[0] == 1
    assert float(ntk.frequencies[-1]) == pytest.approx(float(plain[-1]) / 4)
    assert ntk_base(10000.0, 4.0, 64) == pytest.approx(10000 * 4 ** (64 / 62))
    yarn = rotation(YaRN(factor=4.0), **KNOWN)
    turns = 2048 * plain / (2 * math.pi)
    assert torch.equal(yarn.frequencies[turns > 40], plain[turns > 40]), "fast pairs stay"
    assert torch.allclose(yarn.frequencies[turns < 0.9], plain[turns < 0.9] / 4), "slow pairs are interpolated"
    assert (torch.diff(yarn.frequencies) < 0).all()
    assert yarn.attention == pytest.approx(0.1 * math.log(4) + 1)
    assert rotation(YaRN(factor=4.0, attention=1.5), **KNOWN).attention == 1.5
    assert rotation(Interpolation(factor=4.0), **KNOWN).attention == ntk.attention == 1


@pytest.mark.parametrize("factor", [1.5, 4.0, 32.0])
@pytest.mark.parametrize(("base", "size", "original"), [(10000.0, 64, 2048), (5e5, 128, 8192), (100.0, 8, 64)])
@pytest.mark.parametrize("beta_fast", [32.0, 12.0])
def test_yarn_is_transformers(factor: float, base: float, size: int, original: int, beta_fast: float):
    scaling = YaRN(factor=factor, beta_fast=beta_fast)
    config = tiny_model().config
    config.head_dim, config.max_position_embeddings = size, round(factor * original)
    config.rope_parameters = {
        "rope_type": "yarn",
        "rope_theta": base,
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": beta_fast,
    }
    expected, attention = ROPE_INIT_FUNCTIONS["yarn"](config)
    found = rotation(scaling, base=base, size=size, original=original)
    assert torch.allclose(found.frequencies.float(), expected, rtol=1e-5)
    assert found.attention == pytest.approx(attention)


def tokens(count: int, seed: int) -> list[int]:
    return torch.randint(1, VOCABULARY, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def part_of(scaling: Scaling, layout: str = "auto") -> LanguageModel:
    part = language_model(lengthened(tiny_model(), scaling), layout=layout)  # type: ignore[arg-type]
    assert part.model.config.max_position_embeddings == 256
    return part


@EACH
@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_packed_rows_are_transformers_own_forward_beyond_the_original_context(scaling: Scaling, layout: str):
    """Prompts of 100 and 150 tokens, of which the model was made for 64."""
    part = part_of(scaling, layout)
    assert part.layout == layout
    groups = [(tokens(100, 1), [tokens(30, 2), tokens(9, 3)]), (tokens(150, 4), [tokens(40, 5)])]
    trees = [
        Tree(id="t", prompt=prompt, branches=tuple(Branch(tokens=one, weights=[1.0] * len(one)) for one in group))
        for prompt, group in groups
    ]
    with torch.no_grad():
        found = part(pack(trees), frozenset({"logp"}))["logp"]
        part.model.set_attn_implementation("eager")
        alone = []
        for prompt, group in groups:
            for answer in group:
                row = torch.tensor([prompt + answer])
                logits = part.model(input_ids=row, use_cache=False).logits[0, len(prompt) - 1 : -1]
                alone.append(torch.log_softmax(logits, -1).gather(1, torch.tensor(answer)[:, None])[:, 0])
    assert torch.allclose(found, torch.cat(alone), atol=1e-4)


@EACH
def test_sampling_is_transformers_own_forward_beyond_the_original_context(scaling: Scaling):
    part, prompt = part_of(scaling), tokens(120, 6)
    engine = InProcessEngine(part, stop_tokens=[], policy_version="v")
    request = Request(id="r", prompt=tuple(prompt))
    ((sample,),) = engine.sample([request], Decoding(temperature=0.0, max_tokens=20), seed=0)
    part.model.set_attn_implementation("eager")
    row = list(prompt)
    with torch.no_grad():
        for _ in range(20):
            row.append(int(part.model(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1].argmax()))
    assert list(sample.tokens) == row[len(prompt) :]


def test_scaling_changes_what_a_model_says_and_the_temperature_is_part_of_it():
    batch = pack([Tree(id="t", prompt=tokens(90, 1), branches=(Branch(tokens=tokens(9, 2), weights=[1.0] * 9),))])
    parts = [LanguageModel(tiny_model()), *map(part_of, SCALINGS), part_of(YaRN(factor=4.0, attention=1.0))]
    with torch.no_grad():
        logps = [part(batch, frozenset({"logp"}))["logp"] for part in parts]
    assert all((one - other).abs().max() > 1e-3 for n, one in enumerate(logps) for other in logps[:n])


def test_what_cannot_be_scaled_is_refused():
    with pytest.raises(ModelError, match="scaled already, by 'yarn'"):
        plain_positions(part_of(YaRN(factor=4.0)).model.config)
    with pytest.raises(ModelError, match="gpt2 has no rotary positions"):
        plain_positions(tiny_model("gpt2").config)
    with pytest.raises(ModelError, match="turns its layers differently"):
        plain_positions(tiny_model("gemma3").config)
    with pytest.raises(ValueError, match="beta_fast is 1; set it above beta_slow"):
        YaRN(factor=2.0, beta_fast=1.0)


def test_positions_that_transformers_reads_otherwise_are_refused(monkeypatch: pytest.MonkeyPatch):
    function = ROPE_INIT_FUNCTIONS["yarn"]
    monkeypatch.setitem(ROPE_INIT_FUNCTIONS, "yarn", lambda *args, **more: (function(*args, **more)[0], 1.0))
    with pytest.raises(ModelError, match=r"another factor \(1\) than the formulas \(1.13863\)"):
        lengthened(tiny_model(), YaRN(factor=4.0))
