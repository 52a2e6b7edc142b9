"""Prompts, prefixes and bottlenecks: trees, rows and peft agree; off is the start; saved is the same."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft import PrefixTuningConfig as PeftPrefix
from peft import PromptTuningConfig as PeftPrompt

from burnish.errors import ModelError
from burnish.models.adapters import adapter_off, add_adapter, sample_logps
from burnish.models.attached import attached
from burnish.models.bottleneck import Bottleneck, Bottlenecks
from burnish.models.front import front_of, num_virtual
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_model, require_whole
from burnish.models.lora import old_names
from burnish.models.prefix import PrefixTuning
from burnish.models.prompt import PromptTuning
from burnish.models.routed import RoutedLanguageModel
from burnish.models.save import save_adapter, save_model
from burnish.models.saved_adapters import adapter_kind, read_adapter
from tests.models.attached_models import BATCH, KINDS, LOGP, logps, row_by_row, with_adapter
from tests.models.tiny import tiny_model
from tests.stages.tiny_chat import tiny_tokenizer

FRONTS = ("prompt", "prefix", "prefix-network")
NAMES = ("llama", "gpt2", "gemma2", "gpt_oss", "mistral")


def by_peft(kind, model):
    """The same numbers in peft's own method, over a second copy of the model."""
    front = front_of(model)
    assert front is not None
    shared = {"task_type": "CAUSAL_LM", "num_virtual_tokens": front.length}
    config = PeftPrompt(**shared) if kind.startswith("prompt") else PeftPrefix(**shared)
    plain = tiny_model(model.config.model_type)
    plain.set_attn_implementation("eager")
    with old_names():
        adapted = get_peft_model(plain, config)
    adapted.prompt_encoder["default"].embedding.weight.data = front.vectors().clone()
    return adapted.eval()


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("kind", FRONTS)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@torch.no_grad()
def test_trees_give_what_peft_gives_row_by_row(name, kind, layout):
    model = with_adapter(kind, name)
    peft = by_peft(kind, model)
    count = num_virtual(model) if kind == "prompt" else 0  # peft's logits of a soft prompt have its own in front
    expected = row_by_row(lambda row: peft(input_ids=row).logits[:, count:])
    assert (logps(model, layout) - expected).abs().max() <= 5e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_both_layouts_agree_and_differ_from_the_start(name, kind):
    model = with_adapter(kind, name)
    tree, padded = logps(model), logps(model, "padded")
    assert (tree - padded).abs().max() <= 5e-5
    with adapter_off(model):
        assert (logps(model) - tree).abs().max() > 0.02, "it does nothing"


@torch.no_grad()
def test_bottlenecks_act_in_the_plain_model_too():
    model = with_adapter("bottleneck")
    found = logps(model)
    model.set_attn_implementation("eager")
    assert (row_by_row(lambda row: model(input_ids=row, use_cache=False).logits) - found).abs().max() <= 2e-5


@pytest.mark.parametrize("kind", ["bottleneck", "bottleneck-one"])
def test_fresh_bottlenecks_change_nothing(kind):
    plain = tiny_model()
    before = sample_logps(plain)
    assert torch.equal(sample_logps(add_adapter(plain, KINDS[kind], seed=0)), before)


@pytest.mark.parametrize("kind", KINDS)
def test_off_is_exactly_the_start(kind):
    with torch.no_grad():
        start = logps(tiny_model())
        model = with_adapter(kind)
        on = logps(model)
        with adapter_off(model):
            assert torch.equal(logps(model), start)
        assert torch.equal(logps(model), on), "it is on again"


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_attached_learns_and_all_of_it(kind):
    model = with_adapter(kind)
    ours = {name for piece in attached(model) for name, _ in piece.named_parameters()}
    assert ours
    logps(model).sum().backward()
    pieces = {id(parameter) for piece in attached(model) for parameter in piece.parameters()}
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and bool((parameter.grad != 0).any())
        assert moved == (id(parameter) in pieces), name


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_between_the_layouts(kind):
    found = []
    for layout in ("tree", "padded"):
        model = with_adapter(kind)
        logps(model, layout).sum().backward()
        found.append([parameter.grad for piece in attached(model) for parameter in piece.parameters()])
    assert all((one - other).abs().max() <= 1e-4 * (1 + one.abs().max()) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind):
    first, again, other = (
        [p for piece in attached(with_adapter(kind, seed=seed)) for p in piece.parameters()] for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_soft_prompt_begins_as_embeddings_and_a_prefix_as_what_the_model_computes():
    model = add_adapter(tiny_model(), PromptTuning(length=4), seed=0)
    table = model.get_input_embeddings().weight
    assert all(any(torch.equal(row, token) for token in table) for row in front_of(model).vectors())
    drawn = front_of(add_adapter(tiny_model(), PromptTuning(length=400, start="random"), seed=0)).vectors()
    assert -0.5 <= drawn.min() < -0.4
    assert 0.4 < drawn.max() <= 0.5
    first = torch.tensor(3)
    with torch.no_grad():
        prefix = add_adapter(tiny_model(), PrefixTuning(length=1), seed=0)
        value = front_of(prefix).keys_and_values()[1][:, 0]
        layer = prefix.model.layers[0]
        values = layer.self_attn.v_proj(layer.input_layernorm(prefix.get_input_embeddings().weight)).view(-1, 2, 8)
    assert (values - value).abs().amax((1, 2)).min() <= 1e-5, f"{first} is no token's value"


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_counted(kind):
    trained = sum(p.numel() for p in with_adapter(kind).parameters() if p.requires_grad)
    hidden, layers, keys = 32, 2, 2 * 8
    expected = {
        "prompt": 3 * hidden,
        "prompt-random": 3 * hidden,
        "prefix": 3 * 2 * layers * keys,
        "prefix-network": 3 * 8 + 8 * 8 + 8 * 2 * layers * keys,
        "bottleneck": 2 * layers * (2 * hidden * 4 + hidden + 4),
        "bottleneck-one": layers * (2 * hidden * 4 + hidden + 4),
    }
    assert trained == expected[kind]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def saved(tmp_path, tokenizer):
    save_model(tiny_model(), tokenizer, tmp_path / "base", template_hash="abc")
    return tmp_path / "base"


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_read_again_it_is_the_same(kind, saved, tokenizer, tmp_path):
    model = with_adapter(kind)
    with torch.no_grad():
        expected = logps(model)
        save_adapter(model, tokenizer, tmp_path / "alone", template_hash="abc", base=str(saved))
        loaded = load_model(str(tmp_path / "alone"))
        assert (logps(loaded) - expected).abs().max() <= 1e-5
        part = language_model(loaded)
        assert part.layout == "tree", "what is attached does not disturb the check of the layouts"
    assert not [p for p in loaded.parameters() if p.requires_grad]
    sizes = sum(file.stat().st_size for file in (tmp_path / "alone").glob("*.safetensors"))
    assert sizes < 20_000, "the model itself was saved too"


@pytest.mark.parametrize("kind", FRONTS)
def test_what_is_saved_is_a_peft_folder(kind, saved, tokenizer, tmp_path):
    model = with_adapter(kind)
    save_adapter(model, tokenizer, tmp_path / "alone", template_hash="abc", base=str(saved))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        peft = PeftModel.from_pretrained(tiny_model(), str(tmp_path / "alone")).eval()
        peft.get_base_model().set_attn_implementation("eager")
        count = num_virtual(model) if kind == "prompt" else 0
        expected = row_by_row(lambda row: peft(input_ids=row).logits[:, count:])
        assert (logps(model) - expected).abs().max() <= 5e-5


def test_what_does_not_fit_is_refused(saved, tokenizer, tmp_path):
    folders = {}
    for kind in ("prompt", "prefix", "bottleneck"):
        folders[kind] = tmp_path / kind
        save_adapter(with_adapter(kind), tokenizer, folders[kind], template_hash="abc", base=str(saved))
    assert [adapter_kind(folder) for folder in folders.values()] == ["PROMPT_TUNING", "PREFIX_TUNING", "BOTTLENECK"]
    assert adapter_kind(saved) == ""
    with pytest.raises(ModelError, match=r"prompt is a soft prompt beside .*base, which cannot be merged"):
        require_whole(str(folders["prompt"]))
    require_whole(str(saved))
    record = folders["prefix"] / "adapter_config.json"
    changed = json.loads(record.read_text()) | {"num_layers": 5}
    record.write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="it has 64 numbers per token, and LlamaForCausalLM takes 160 there"):
        read_adapter(tiny_model(), folders["prefix"])
    record = folders["bottleneck"] / "adapter_config.json"
    settings = {"kind": "bottleneck", "width": 4, "function": "gelu", "after": "feed_forward"}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"settings": settings}))
    with pytest.raises(ModelError, match="the bottlenecks are those of a model of another depth"):
        read_adapter(tiny_model(), folders["bottleneck"])
    with pytest.raises(ModelError, match="attached to LlamaForCausalLM cannot be merged; keep it with --adapter"):
        save_model(with_adapter("bottleneck"), tokenizer, tmp_path / "plain", template_hash="abc")


def test_models_without_a_place_for_it_are_refused_with_the_remedy():
    with pytest.raises(ModelError, match=r"BloomForCausalLM has no attention sublayer .* adapter.kind to lora"):
        add_adapter(tiny_model("bloom"), Bottlenecks(), seed=0)
    with pytest.raises(ModelError, match=r"MambaForCausalLM cannot have a prefix, .* set adapter.kind to prompt"):
        add_adapter(tiny_model("mamba"), PrefixTuning(), seed=0)


@torch.no_grad()
def test_a_soft_prompt_runs_where_only_the_padded_layout_does():
    model = with_adapter("prompt", "mamba")
    part = language_model(model)
    assert part.layout == "padded"
    together = part(BATCH, LOGP)["logp"]
    with adapter_off(model):
        assert (part(BATCH, LOGP)["logp"] - together).abs().max() > 0.02


def test_a_prefix_behind_a_cache_refuses_gradient_checkpointing():
    model = with_adapter("prefix")
    part = LanguageModel(model, layout="padded")
    model.activation_checkpointing_enable({"use_reentrant": False})
    with pytest.raises(ModelError, match=r"gradient checkpointing drops; set train.gradient_checkpointing to false"):
        part.train()(BATCH, LOGP)


@pytest.mark.parametrize("kind", ["prompt", "prefix", "bottleneck"])
def test_activations_computed_twice_give_the_same_gradients(kind):
    found = []
    for twice in (False, True):
        model = with_adapter(kind)
        if twice:
            model.activation_checkpointing_enable({"use_reentrant": False})
        part = LanguageModel(model).train()
        part(BATCH, LOGP)["logp"].sum().backward()
        found.append([p.grad for piece in attached(model) for p in piece.parameters()])
    assert all((one - other).abs().max() <= 1e-5 * (1 + one.abs().max()) for one, other in zip(*found, strict=True))


def test_bottlenecks_stand_where_they_are_asked_for():
    names = [
        [name for name, module in with_adapter(kind).named_modules() if isinstance(module, Bottleneck)]
        for kind in ("bottleneck", "bottleneck-one")
    ]
    layers = ("model.layers.0", "model.layers.1")
    assert names[0] == [f"{layer}.{kind}_bottleneck" for layer in layers for kind in ("attention", "feed_forward")]
    assert names[1] == [f"{layer}.feed_forward_bottleneck" for layer in layers]


@pytest.mark.parametrize("kind", FRONTS)
@torch.no_grad()
def test_a_mixture_counts_its_own_tokens_and_no_virtual_ones(kind):
    reads = LOGP | {"expert_tokens", "expert_importance"}
    expected = logps(with_adapter(kind, "noisy_moe"))
    for layout in ("tree", "padded"):
        found = RoutedLanguageModel(with_adapter(kind, "noisy_moe"), layout=layout, seed=0)(BATCH, reads)
        assert (found["logp"] - expected).abs().max() <= 5e-5
        assert found["expert_tokens"].sum(-1).tolist() == [2.0 * BATCH.num_tokens] * 2
        assert found["expert_importance"].sum(-1).tolist() == pytest.approx([BATCH.num_tokens] * 2)
