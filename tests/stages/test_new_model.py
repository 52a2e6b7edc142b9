"""The stage `new-model`: folders that the other verbs read, the account it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer

from burnish.cli import main
from burnish.config import load
from burnish.errors import ConfigError, ModelError
from burnish.models.bidirectional import load_bidirectional
from burnish.models.load import load_model, load_tokenizer, stored_template_hash
from burnish.stages.new_model import NewModelStage
from burnish.stages.prepare import load_text
from burnish.stages.pretrain import PretrainStage
from burnish.stages.run import run_stage
from burnish.text.rendering import TemplateSettings
from tests.stages.runs import FAST, lines, run
from tests.stages.tiny_chat import TEMPLATE, tiny_tokenizer, write_text

TINY = {"depth": 2, "sizes": {"width": 32, "heads": 4}}
AUTO = {"llama": AutoModelForCausalLM, "bert": AutoModelForMaskedLM, "t5": AutoModelForSeq2SeqLM}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    made = tiny_tokenizer(vocabulary=320, template="")
    made.chat_template = None
    made.add_special_tokens({"mask_token": "<|mask|>", "pad_token": "<|pad|>"})
    made.save_pretrained(folder)
    return folder


def stage(tokenizer: Path, **changes) -> NewModelStage:
    return load(NewModelStage, {"tokenizer": str(tokenizer), **TINY, **changes})


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_a_new_model_is_a_plain_folder_with_its_tokenizer_and_card(tokenizer, tmp_path, family):
    said: list[str] = []
    out = run(stage(tokenizer, family=family), tmp_path / "out", said)
    model = AUTO[family].from_pretrained(out / "model")
    again = AutoTokenizer.from_pretrained(out / "model")
    total = sum(parameter.numel() for parameter in model.parameters())
    assert model.config.vocab_size == len(again) == len(AutoTokenizer.from_pretrained(tokenizer))
    assert model.config.eos_token_id == again.eos_token_id
    assert model.config.pad_token_id == again.pad_token_id
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    record = json.loads((out / "run.json").read_text())
    assert sum(record["parameters"].values()) == total
    assert record["shape"]["width"] == 32
    card = (out / "model" / "README.md").read_text()
    assert f"| all | {total:,} |" in card
    assert "tags: [burnish, new-model]" in card
    assert said[-1].split() == ["all", f"{total:,}"]
    assert sum(int(line.split()[-2].replace(",", "")) for line in said[1:-1]) == total
    assert stored_template_hash(str(out)) == record["template_hash"]
    loaded = load_model(str(out)) if family == "llama" else load_bidirectional(str(out))
    assert type(loaded) is type(model)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tokenizer, tmp_path):
    torch.manual_seed(1)
    one = run(stage(tokenizer, zero_residual=False), tmp_path / "one")
    torch.manual_seed(2)  # the global generator has no say
    same = run(stage(tokenizer, zero_residual=False), tmp_path / "same")
    other = run(stage(tokenizer, zero_residual=False, seed=1), tmp_path / "other")
    files = [out / "model" / "model.safetensors" for out in (one, same, other)]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()
    first, last = load_file(files[0]), load_file(files[2])
    assert all((first[name] == last[name]).all() == (first[name].ndim == 1) for name in first)


def test_pretrain_takes_a_new_model_and_lowers_its_loss(tokenizer, tmp_path):
    made = run(stage(tokenizer), tmp_path / "new")
    data = write_text(tmp_path / "text.jsonl")
    settings = {"model": str(made), "data": str(data), "steps": 12, "held_out": 2}
    trained = run(load(PretrainStage, {**settings, "train": {**FAST, "evaluate_every": 12}}), tmp_path / "base")
    found = lines(trained)
    assert found[-1]["loss"] < 0.8 * found[0]["loss"]
    assert found[-1]["held_out_bits_per_byte"] < 8


def test_a_template_given_at_birth_is_the_one_of_later_stages(tokenizer, tmp_path):
    (tmp_path / "chat.jinja").write_text(TEMPLATE)
    out = run(stage(tokenizer, template={"template": str(tmp_path / "chat.jinja")}), tmp_path / "out")
    assert load_tokenizer(str(out)).chat_template == TEMPLATE
    assert load_text(str(out), TemplateSettings()).hash == stored_template_hash(str(out))


def test_a_dry_run_counts_what_the_run_makes(tokenizer, tmp_path):
    made = stage(tokenizer, family="t5")
    plan = made.plan()
    out = run(made, tmp_path / "out")
    assert plan.facts["parameters"] == json.loads((out / "run.json").read_text())["parameters"]


def test_the_command_line_and_a_tokenizer_given_as_its_file(tokenizer, tmp_path, capsys):
    file = tokenizer / "tokenizer.json"
    words = ["new-model", "--depth", "1", "--width", "64", "--tokenizer", str(file), "--out", str(tmp_path / "out")]
    assert main(words) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "family llama, depth 1, width 64, heads 1, key heads 1" in said
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model").config.hidden_size == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "bert", "sizes": {"key_heads": 2}}, "bert has no such size; leave it out"),
        ({"family": "t5", "sizes": {"context": 64, "tied": False}}, "sizes.context is 64, and t5 has no such size"),
        ({"sizes": {"width": 100}}, "unless sizes.heads is given, which does not divide the width 100"),
        ({"sizes": {"width": 64, "heads": 3}}, "sizes.heads is 3, which does not divide the width 64"),
        ({"sizes": {"heads": 6, "key_heads": 4, "width": 384}}, "sizes.key_heads is 4, which does not divide the 6"),
        ({"sizes": {"width": 64, "heads": 3, "head_size": 8}}, "sizes.heads is 3, which does not divide the width 64"),
        ({"sizes": {"heads": 4, "width": 12}}, "a head has 3 numbers; rotary positions turn pairs"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_any_work(tokenizer, tmp_path, changes, message):
    made = stage(tokenizer, **changes)
    for work in (made.plan, lambda: run_stage(made, tmp_path / "out", say=print)):
        with pytest.raises(ConfigError, match=message):
            work()


def test_every_mistake_in_the_sizes_is_listed():
    made = stage(Path("x"), family="bert", sizes={"key_heads": 2, "tied": False, "width": 10})
    with pytest.raises(ConfigError) as caught:
        made.plan()
    assert len(caught.value.mistakes) == 3


def test_a_tokenizer_without_what_the_family_needs_is_refused(tmp_path):
    plain = tiny_tokenizer(vocabulary=320)
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(ModelError, match="family bert needs a tokenizer with mask_token; set it"):
        stage(tmp_path / "plain", family="bert").plan()
    plain.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="family llama needs a tokenizer with eos_token"):
        stage(tmp_path / "tokenizer.json").plan()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no model"):
        stage(tmp_path / "empty").plan()


def test_a_model_of_another_kind_is_named(tokenizer, tmp_path):
    out = run(stage(tokenizer), tmp_path / "out")
    with pytest.raises(ModelError, match="is LlamaForCausalLM; expected a masked encoder such as BERT"):
        load_bidirectional(str(out))
