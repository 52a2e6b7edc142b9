"""LoRA's numbers are the papers', trees give what peft gives row by row, and the output head is refused as a target."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.language import LanguageModel, LayoutName
from burnish.models.lora import Dora, Lora, add_lora
from burnish.models.untrained import empty_model
from tests.models.tiny import tiny_model

PROMPT, ANSWERS = [5, 9, 13], ([7, 8, 9, 30], [21, 2])
BATCH = pack(
    [
        Tree(id="x", prompt=PROMPT, branches=tuple(Branch(tokens=a, weights=[1.0] * len(a)) for a in ANSWERS)),
        Tree(id="y", prompt=[40, 3], branches=(Branch(tokens=[17, 60], weights=[1.0] * 2),)),
    ]
)
ROWS = [(PROMPT, ANSWERS[0]), (PROMPT, ANSWERS[1]), ([40, 3], [17, 60])]

METHODS = {
    "lora": Lora(rank=4),
    "rslora": Lora(rank=4, scaling="root", alpha=4.0),
    "dora": Dora(rank=4),
    "attention": Lora(rank=4, targets=("q_proj", "o_proj")),
}


def shaken(model):
    """Every trained weight moved, so that the adapter matters."""
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def row_by_row(model):
    """Log-probs of every answer's tokens by peft's own forward, one row at a time."""
    found = []
    for prompt, answer in ROWS:
        logits = model(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits[0, len(prompt) - 1 : -1]
        found.append(torch.log_softmax(logits, -1).gather(1, torch.tensor(answer)[:, None])[:, 0])
    return torch.cat(found)


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_trees_give_what_peft_gives_row_by_row(method: str, layout: LayoutName):
    adapted = shaken(add_lora(tiny_model(), METHODS[method], seed=0))
    found = LanguageModel(adapted.get_base_model(), layout=layout)(BATCH, frozenset({"logp"}))["logp"]
    adapted.get_base_model().set_attn_implementation("eager")
    expected = row_by_row(adapted)
    assert (found - expected).abs().max() <= 2e-5
    with adapted.disable_adapter():
        assert (row_by_row(adapted) - expected).abs().max() > 0.1, "the adapter does nothing"


def wide(tied: bool = False):
    """One layer with matrices of 4096 by 4096, without numbers."""
    config = LlamaConfig(
        hidden_size=4096, intermediate_size=64, num_hidden_layers=1, vocab_size=32, tie_word_embeddings=tied
    )
    return empty_model(config).requires_grad_(False)


def test_the_numbers_of_the_document():
    """LoRA with r = 16 on a matrix of 4096 by 4096: 131,072 weights of 16,777,216, 128 times fewer."""
    with torch.device("meta"):
        adapted = add_lora(wide(), Lora(rank=16, targets=("q_proj",)), seed=0)
    layer = adapted.get_base_model().model.layers[0].self_attn.q_proj
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert trained == 131_072
    assert layer.get_base_layer().weight.numel() == 16_777_216 == 128 * trained


def test_dora_on_rows_of_zeros_is_refused():
    """Their direction is 0 / 0, and every output would be NaN; new models begin with such matrices."""

    def new():
        model = tiny_model("llama")
        torch.nn.init.zeros_(model.model.layers[1].self_attn.o_proj.weight[2])
        return model

    with pytest.raises(ModelError, match=r"length of each row.*layers\.1\.self_attn\.o_proj has rows of zeros"):
        add_lora(new(), Dora(rank=2), seed=0)
    add_lora(new(), Dora(rank=2, targets=("q_proj",)), seed=0)


def test_dora_adds_one_length_per_row_of_the_matrix():
    with torch.device("meta"):
        adapted = add_lora(wide(), Dora(rank=16, targets=("q_proj",)), seed=0)
    assert sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad) == 131_072 + 4096


@pytest.mark.parametrize(("scaling", "factor"), [("rank", 2.0), ("root", 8.0)])
def test_alpha_is_divided_by_the_rank_or_by_its_root(scaling, factor):
    adapted = add_lora(tiny_model(), Lora(rank=16, alpha=32.0, scaling=scaling), seed=0)
    assert adapted.get_base_model().model.layers[0].mlp.up_proj.scaling == {"default": factor}


def test_all_linear_layers_but_the_head_get_one():
    adapted = add_lora(tiny_model(), Lora(rank=2), seed=0)
    names = {name.split(".lora_A")[0].rsplit(".", 1)[1] for name, _ in adapted.named_parameters() if "lora_A" in name}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_the_output_head_and_what_is_tied_to_it_are_refused():
    with pytest.raises(ModelError, match="targets names lm_head, which is the output head; log-probs are"):
        add_lora(tiny_model(), Lora(targets=("q_proj", "lm_head")), seed=0)
    with pytest.raises(ModelError, match="targets names embed_tokens, which is tied to the output head"):
        add_lora(wide(tied=True), Lora(targets=("embed_tokens",)), seed=0)


def test_embeddings_of_their_own_may_get_one():
    adapted = add_lora(tiny_model(), Lora(rank=2, targets=("embed_tokens",)), seed=0)
    assert [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
