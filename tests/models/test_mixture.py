"""The mixture of experts: what its block computes, on disk and back, within transformers, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from torch.nn import functional
from transformers import AutoModelForCausalLM

from burnish.errors import ModelError
from burnish.models.adapters import Lora, add_lora
from burnish.models.grouped import grouped_linear
from burnish.models.load import load_config, load_model
from burnish.models.mixture import NoisyMoeBlock, NoisyMoeConfig, NoisyMoeForCausalLM
from burnish.models.parameters import parameters_of
from burnish.numerics import generator_from
from tests.models.tiny import VOCABULARY, tiny_model

SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 1, "num_experts": 4}


def block(dtype: torch.dtype) -> NoisyMoeBlock:
    made = NoisyMoeBlock(NoisyMoeConfig(**SIZES, num_experts_per_tok=3), 0).to(dtype)
    for name, parameter in made.named_parameters():
        parameter.data.normal_(generator=generator_from("block", name))
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_block_is_the_sum_of_its_experts_by_their_gates(dtype):
    """y = sum_i G(x)_i E_i(x), token by token and expert by expert; one expert sees nothing at all."""
    made = block(dtype)
    made.gate.weight.data[1] = -40.0 * made.gate.weight.data[0].abs()
    hidden = torch.rand(2, 7, 8, generator=generator_from("x"), dtype=dtype)
    found = made(hidden)
    weights = torch.zeros(14, 4, dtype=dtype)
    for row, token in enumerate(hidden.flatten(0, 1)):
        logits = made.gate.weight.detach() @ token
        best = logits.topk(3).indices
        weights[row, best] = torch.softmax(logits[best], -1)
    assert not weights[:, 1].any()
    expected = torch.zeros(14, 8, dtype=dtype)
    for expert in range(4):
        gate, up = (hidden.flatten(0, 1) @ made.experts.gate_up_proj[expert].T).chunk(2, -1)
        output = (functional.silu(gate) * up) @ made.experts.down_proj[expert].T
        expected += weights[:, expert, None] * output
    assert torch.allclose(found.flatten(0, 1), expected, rtol=1e-5, atol=1e-12 if dtype == torch.float64 else 1e-4)
    gradients = {}
    for name, output in (("found", found.flatten(0, 1)), ("expected", expected)):
        gradients[name] = torch.autograd.grad(
            output.square().mean(), list(made.experts.parameters()), retain_graph=True
        )
    for one, other in zip(gradients["found"], gradients["expected"], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)
        assert not one[1].any()


def test_products_by_group_are_those_of_each_group_alone():
    """Groups of 3, 0, 1 and 4 rows, in float64; the gradients are those of differences."""
    drawn = {"generator": generator_from("rows"), "dtype": torch.float64, "requires_grad": True}
    rows, weights = torch.randn(8, 5, **drawn), torch.randn(4, 3, 5, **drawn)
    ends = torch.tensor([3, 3, 4, 8], dtype=torch.int32)
    found = grouped_linear(rows, weights, ends)
    expected = [rows[:3] @ weights[0].T, rows[3:4] @ weights[2].T, rows[4:] @ weights[3].T]
    assert torch.allclose(found, torch.cat(expected), rtol=1e-12)
    assert torch.autograd.gradcheck(grouped_linear, (rows, weights, ends))
    torch.library.opcheck(torch.ops.burnish.grouped_linear, (rows, weights, ends), test_utils="test_faketensor")


def test_it_is_saved_and_read_by_transformers_and_by_burnish(tmp_path):
    model = tiny_model("noisy_moe")
    model.save_pretrained(tmp_path)
    tokens = torch.arange(3, 20)[None]
    for again in (AutoModelForCausalLM.from_pretrained(tmp_path), load_model(str(tmp_path))):
        assert type(again) is NoisyMoeForCausalLM
        assert again.config.num_experts == 4
        assert torch.equal(again(input_ids=tokens).logits, model(input_ids=tokens).logits)
    assert parameters_of(load_config(str(tmp_path))).total == sum(p.numel() for p in model.parameters())


def test_another_process_reads_it_after_the_one_import_that_the_page_names(tmp_path):
    tiny_model("noisy_moe").save_pretrained(tmp_path)
    read = f"from transformers import AutoModelForCausalLM as A; print(type(A.from_pretrained({str(tmp_path)!r})))"
    said = subprocess.run(
        [sys.executable, "-c", f"import burnish.models.mixture; {read}"], capture_output=True, text=True, check=True
    )
    assert "NoisyMoeForCausalLM" in said.stdout


def test_cached_decoding_says_what_the_whole_text_does():
    model = tiny_model("noisy_moe")
    model.set_attn_implementation("sdpa")
    prompt = torch.tensor([[5, 9, 11, 30]])
    with torch.no_grad():
        found = model.generate(prompt, max_new_tokens=6, do_sample=False, use_cache=True, eos_token_id=VOCABULARY)[0]
        logits = model(input_ids=found[None]).logits[0]
    assert found[4:].tolist() == logits[3:-1].argmax(-1).tolist()


def test_training_mode_alone_makes_no_noise():
    model, tokens = tiny_model("noisy_moe"), torch.arange(3, 20)[None]
    before = model(input_ids=tokens).logits
    assert torch.equal(model.train()(input_ids=tokens).logits, before)


def test_an_adapter_takes_the_attention_and_leaves_gates_and_experts():
    adapted = add_lora(tiny_model("noisy_moe"), Lora(rank=2), seed=0)
    names = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert names
    assert all(".self_attn." in name for name in names)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_experts": 0}, "experts is 0; a gate needs 2 or more"),
        ({"num_experts": 4, "num_experts_per_tok": 5}, "experts_per_token is 5, and there are 4 experts; give at most"),
        ({"num_experts": 4, "num_experts_per_tok": 1}, "experts_per_token is 1; one alone has the weight 1 always"),
    ],
)
def test_a_config_that_no_gate_can_have_is_refused(sizes, message, tmp_path):
    with pytest.raises(StrictDataclassClassValidationError, match=message):
        NoisyMoeConfig(**sizes)
    made = tiny_model("noisy_moe").config
    made.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **sizes}))
    with pytest.raises(ModelError, match=f"cannot read the config of .*{message}"):
        load_config(str(tmp_path))
