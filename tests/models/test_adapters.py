"""A fresh adapter changes nothing, off is exactly the start, merged is the same model, and a bad merge is refused."""

from __future__ import annotations

import pytest
import torch
from peft import LoraModel, PeftModel

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.adapters import MERGE_TOLERANCE, adapter_off, folded, merged, sample_logps
from burnish.models.language import LanguageModel
from burnish.models.lora import Dora, Lora, add_lora
from tests.models.tiny import tiny_model

METHODS = {"lora": Lora, "dora": Dora}
LOGP = frozenset({"logp"})
BATCH = pack(
    [
        Tree(
            id="x",
            prompt=[5, 9, 13],
            branches=(Branch(tokens=[7, 8, 9], weights=[1.0] * 3), Branch(tokens=[21, 2], weights=[1.0] * 2)),
        )
    ]
)


def logps(model):
    return LanguageModel(model.get_base_model() if isinstance(model, PeftModel) else model)(BATCH, LOGP)["logp"]


def trained(model, steps=3):
    """A few steps of SFT that move the log-probs far beyond rounding."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (-logps(model).sum()).backward()
        optimizer.step()
    return model


def weights_of(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt_oss"])
def test_a_fresh_adapter_changes_nothing(name, method):
    model = tiny_model(name)
    before = sample_logps(model)
    adapted = add_lora(model, METHODS[method](rank=4), seed=0)
    assert (sample_logps(adapted.get_base_model()) - before).abs().max() <= 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_off_is_exactly_the_start_model_after_training(name, method):
    model = tiny_model(name)
    with torch.no_grad():
        start = logps(model)
    adapted = trained(add_lora(model, METHODS[method](rank=4), seed=0))
    with torch.no_grad():
        on = logps(adapted)
        with adapter_off(adapted):
            assert torch.equal(logps(adapted), start)
        assert torch.equal(logps(adapted), on), "it is on again"
    assert (on - start).abs().max() > 0.1


def test_a_model_without_an_adapter_runs_as_it_is():
    model = tiny_model()
    before = sample_logps(model)
    with adapter_off(model):
        assert torch.equal(sample_logps(model), before)


def test_off_is_the_start_and_not_the_raw_base_after_an_earlier_merge():
    model = tiny_model()
    raw = sample_logps(model)
    start = merged(trained(add_lora(model, Lora(rank=4), seed=0)))
    expected = sample_logps(start)
    adapted = trained(add_lora(start, Lora(rank=4), seed=1))
    with adapter_off(adapted):
        found = sample_logps(adapted.get_base_model())
    assert torch.equal(found, expected)
    assert (found - raw).abs().max() > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_merged_is_the_model_with_its_adapter(name, method):
    adapted = trained(add_lora(tiny_model(name), METHODS[method](rank=4), seed=0))
    expected = sample_logps(adapted.get_base_model())
    plain = merged(adapted)
    assert not isinstance(plain, PeftModel)
    assert not [parameter for parameter, _ in plain.named_parameters() if "lora" in parameter]
    assert weights_of(plain).keys() == weights_of(tiny_model(name)).keys()
    assert (sample_logps(plain) - expected).abs().max() <= 1e-4 < MERGE_TOLERANCE


def test_fused_experts_are_adapted_and_merged_too():
    model = tiny_model("mixtral")
    before = sample_logps(model)
    adapted = trained(add_lora(model, Lora(rank=4), seed=0))
    assert [name for name, p in adapted.named_parameters() if p.requires_grad and "experts" in name]
    expected = sample_logps(adapted.get_base_model())
    assert (expected - before).abs().max() > 0.1
    assert (sample_logps(merged(adapted)) - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("damage", [0.1, float("nan")])
def test_a_merge_that_changes_the_model_is_refused(monkeypatch, damage):
    merge = LoraModel.merge_and_unload

    def damaged(self, *args, **kwargs):
        plain = merge(self, *args, **kwargs)
        plain.model.layers[0].mlp.down_proj.weight.data += damage
        return plain

    monkeypatch.setattr(LoraModel, "merge_and_unload", damaged)
    adapted = trained(add_lora(tiny_model(), Lora(rank=4), seed=0))
    with pytest.raises(
        ModelError, match=r"the merged model differs from the adapter by .* nats; keep it with --adapter-"
    ):
        merged(adapted)


@pytest.mark.parametrize("method", METHODS)
def test_only_the_adapter_learns(method):
    model = tiny_model()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    adapted = add_lora(model, METHODS[method](rank=4), seed=0)
    learning = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name for name in learning)
    assert not [name for name in learning if "lm_head" in name], "all but the output head"
    base = {names[id(p)]: p for p in adapted.parameters() if id(p) in names}
    before = {name: parameter.detach().clone() for name, parameter in base.items()}
    assert len(before) == len(names)
    trained(adapted)
    assert all(torch.equal(base[name], value) for name, value in before.items())


def test_dora_also_learns_magnitudes():
    adapted = add_lora(tiny_model(), Dora(rank=4), seed=0)
    magnitudes = [name for name, p in adapted.named_parameters() if p.requires_grad and "magnitude" in name]
    layers = [name for name, p in adapted.named_parameters() if p.requires_grad and "lora_A" in name]
    assert len(magnitudes) == len(layers) > 0


def test_the_settings_are_obeyed():
    adapted = add_lora(tiny_model(), Lora(rank=3, alpha=12.0, targets=("q_proj", "up_proj")), seed=0)
    factors = [parameter for name, parameter in adapted.named_parameters() if "lora_A" in name]
    assert len(factors) == 4, "two layers with two targets each"
    assert {factor.shape[0] for factor in factors} == {3}
    assert adapted.get_base_model().model.layers[0].self_attn.q_proj.scaling == {"default": 4.0}


def test_dropout_acts_in_training_alone():
    adapted = trained(add_lora(tiny_model(), Lora(rank=4, dropout=0.5), seed=0))
    with torch.no_grad():
        still = logps(adapted.eval())
        assert torch.equal(logps(adapted), still)
        assert not torch.equal(logps(adapted.train()), still)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_the_same_adapter_whatever_was_drawn_before(method):
    made = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        made.append(weights_of(add_lora(tiny_model(), METHODS[method](rank=4), seed=7)))
        assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    other = weights_of(add_lora(tiny_model(), METHODS[method](rank=4), seed=8))
    first = [name for name in made[0] if "lora_A" in name]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not any(torch.equal(made[0][name], other[name]) for name in first)


def test_a_target_that_is_no_layer_is_refused():
    with pytest.raises(ModelError, match=r"cannot add the adapter to w_pack, q_prj: .*not found in the base model"):
        add_lora(tiny_model(), Lora(targets=("w_pack", "q_prj")), seed=0)


def test_layers_that_cannot_be_adapted_are_refused_with_the_remedy():
    with pytest.raises(
        ModelError, match="cannot add the adapter to all linear layers; name those that get one in targets"
    ):
        add_lora(tiny_model("mixtral"), Dora(), seed=0)
    assert add_lora(tiny_model("mixtral"), Dora(targets=("q_proj", "v_proj")), seed=0)


def test_sample_logps_look_without_touching():
    """In training mode, with dropout on, it still sees the plain model."""
    model = tiny_model("gpt2")
    expected = sample_logps(model)
    assert expected.shape == (16, 97)
    assert torch.allclose(expected.exp().sum(-1), torch.ones(16))
    model.train()
    model.set_attn_implementation("sdpa")
    state = torch.get_rng_state()
    assert torch.equal(sample_logps(model), expected)
    assert model.training
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight += 0.1
    assert not torch.equal(sample_logps(model), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_oss"])
def test_a_folded_adapter_computes_the_same_and_every_weight_comes_back(name, method):
    model = trained(add_lora(tiny_model(name), METHODS[method](rank=4), seed=0)).eval()
    before, apart = weights_of(model), logps(model).detach()
    seen = []
    hooks = [m.register_forward_hook(lambda *_: seen.append(1)) for n, m in model.named_modules() if "lora_A." in n]
    with folded(model), torch.no_grad():
        together = logps(model)
    for hook in hooks:
        hook.remove()
    assert not seen, "the adapter's own products were still computed"
    assert (together - apart).abs().max() <= MERGE_TOLERANCE
    after = weights_of(model)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert torch.equal(logps(model), apart), "the adapter is not back"


def test_folding_leaves_an_adapter_off_that_is_off_and_comes_back_after_an_error():
    model = trained(add_lora(tiny_model("llama"), Lora(rank=4), seed=0)).eval()
    adapted = logps(model).detach()
    with adapter_off(model):
        off = logps(model).detach()
        with folded(model):
            assert torch.equal(logps(model), off)
    with pytest.raises(RuntimeError, match="in the middle"), folded(model):
        raise RuntimeError("in the middle")
    assert torch.equal(logps(model), adapted)
    assert not torch.equal(adapted, off)
