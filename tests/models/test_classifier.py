"""A saved reward model gives the same scores in transformers alone, on a padded batch; what is none is refused."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from burnish.errors import ModelError
from burnish.models import classifier
from burnish.models.adapters import merged
from burnish.models.classifier import load_reward_model, reward_folders, save_reward_model, with_padding
from burnish.models.load import load_tokenizer, quiet, stored_template_hash
from burnish.models.lora import Lora, add_lora
from burnish.models.save import save_model
from burnish.models.score import ScoreModel
from burnish.numerics import cast_weights
from burnish.text.template import ChatText
from tests.models.test_score import TREES, loud, scores
from tests.models.tiny import VOCABULARY, tiny_model
from tests.stages.tiny_chat import tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    """Its padding token is its end-of-turn token, as SmolLM2's is."""
    return tiny_tokenizer()


def scorer(name="llama", *, heads=1) -> ScoreModel:
    return loud(ScoreModel(tiny_model(name), heads=heads, seed=0))


def texts(end):
    """The texts of `TREES`, each ended by the end-of-turn token."""
    return [[*tree.prompt, *branch.tokens, end] for tree in TREES for branch in tree.branches]


def by_transformers(folder, rows):
    """Scores by transformers alone, in one padded batch."""
    with quiet(), torch.no_grad():
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        batch = AutoTokenizer.from_pretrained(folder).pad({"input_ids": rows}, return_tensors="pt")
        assert (batch["attention_mask"] == 0).any(), "a batch without padding would prove nothing"
        return model(**batch).logits


def ours(part, end):
    """Scores of the same texts by the part."""
    ended = [
        type(tree)(
            id=tree.id,
            prompt=tree.prompt,
            branches=tuple(type(b)(tokens=[*b.tokens, end], weights=[*b.weights, 1.0]) for b in tree.branches),
        )
        for tree in TREES
    ]
    return scores(part, ended)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2", "gemma2"])
def test_transformers_gives_the_same_scores_on_a_padded_batch(name, tmp_path, tokenizer):
    part, folder, end = scorer(name), tmp_path / "model", tokenizer.eos_token_id
    assert tokenizer.pad_token_id == end
    expected = ours(part, end)
    save_reward_model(part, tokenizer, folder, template_hash="abc")
    assert (by_transformers(folder, texts(end)) - expected).abs().max() <= 1e-4
    loaded = load_reward_model(str(folder))
    assert (loaded.layout, loaded.num_heads) == ("tree", 1)
    assert (ours(loaded, end) - expected).abs().max() <= 1e-4
    assert ours(part, end).equal(expected), "saving leaves the part as it was"
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"][0].endswith("ForSequenceClassification")
    assert stored_template_hash(str(folder)) == "abc"


def test_the_padding_token_is_its_own_and_the_tokenizer_is_left_alone(tmp_path, tokenizer):
    size = len(tokenizer)
    save_reward_model(scorer(), tokenizer, tmp_path / "model", template_hash="abc")
    saved = load_tokenizer(str(tmp_path / "model"))
    assert (saved.pad_token, saved.padding_side, saved.eos_token) == ("<|pad|>", "right", tokenizer.eos_token)
    assert saved.pad_token_id == size
    assert (len(tokenizer), tokenizer.pad_token) == (size, tokenizer.eos_token)
    assert saved.chat_template == tokenizer.chat_template
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["pad_token_id"] == size
    model = load_reward_model(str(tmp_path / "model")).language.model
    rows = model.get_input_embeddings().weight
    assert rows.shape[0] == size + 1
    assert not rows[VOCABULARY:].any(), "zeros, and not random numbers"


def test_a_tokenizer_that_pads_on_the_left_is_saved_to_pad_on_the_right(tmp_path, tokenizer):
    """GPT-2 counts positions from the padding on, so on the left the scores would be others."""
    save_model(tiny_model(), tokenizer, tmp_path / "left", template_hash="abc")
    path = tmp_path / "left" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    left = load_tokenizer(str(tmp_path / "left"))
    assert left.padding_side == "left"
    save_reward_model(scorer("gpt2"), left, tmp_path / "model", template_hash="abc")
    assert load_tokenizer(str(tmp_path / "model")).padding_side == with_padding(left).padding_side == "right"
    assert left.padding_side == "left"


def test_the_chat_text_is_that_of_the_model_it_was_made_from(tokenizer):
    """The digest leaves the padding token out, so the hash beside a reward model is true of its own tokenizer."""
    padded = with_padding(tokenizer)
    assert ChatText(padded).hash == ChatText(tokenizer).hash
    other = with_padding(tokenizer)
    other.add_special_tokens({"additional_special_tokens": ["<|gem|>"]})
    assert ChatText(other).hash != ChatText(tokenizer).hash


def test_a_token_that_ends_texts_cannot_be_padding(tokenizer):
    other = with_padding(tokenizer)
    other.eos_token = "<|pad|>"
    with pytest.raises(ModelError, match=r"the tokenizer ends or begins texts with <\|pad\|>"):
        with_padding(other)


def test_a_vocabulary_with_room_is_not_resized(tmp_path, tokenizer):
    model = tiny_model()
    model.resize_token_embeddings(len(tokenizer) + 20, mean_resizing=False)
    part = loud(ScoreModel(model, seed=0))
    save_reward_model(part, tokenizer, tmp_path / "model", template_hash="abc")
    saved = load_reward_model(str(tmp_path / "model")).language.model.get_input_embeddings().weight
    assert saved.equal(model.get_input_embeddings().weight)


def test_the_bytes_do_not_depend_on_the_global_generator(tmp_path, tokenizer):
    for name, seed in (("one", 1), ("two", 2)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            save_reward_model(scorer(), tokenizer, tmp_path / name, template_hash="abc")
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_heads_are_exported_one_by_one(tmp_path, tokenizer):
    part, folder, end = scorer(heads=3), tmp_path / "model", tokenizer.eos_token_id
    expected = ours(part, end)
    save_reward_model(part, tokenizer, folder, template_hash="abc")
    places = reward_folders(folder, heads=3)
    assert sorted(folder.iterdir()) == places == [folder / f"head-{number}" for number in range(3)]
    for number, place in enumerate(places):
        assert (by_transformers(place, texts(end))[:, 0] - expected[:, number]).abs().max() <= 1e-4
        assert (ours(load_reward_model(str(place)), end)[:, 0] - expected[:, number]).abs().max() <= 1e-4
    for name in (folder, tmp_path):
        with pytest.raises(
            ModelError, match=r"holds an ensemble of 3 reward models; name one of them, such as .*head-0"
        ):
            load_reward_model(str(name))


def test_bfloat16_weights_give_the_scores_of_the_rounded_part(tmp_path, tokenizer):
    part, end = scorer(heads=2), tokenizer.eos_token_id
    exact = ours(part, end)
    save_reward_model(part, tokenizer, tmp_path / "model", template_hash="abc", dtype="bfloat16")
    found = by_transformers(tmp_path / "model" / "head-1", texts(end))[:, 0]
    assert (found - ours(part, end)[:, 1]).abs().max() <= 1e-4
    assert 1e-4 < (found - exact[:, 1]).abs().max() <= 0.1 * exact.abs().max()
    assert part.head.weight.dtype == torch.float32
    with quiet():
        kept = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model" / "head-1", dtype="auto")
    assert kept.dtype == torch.bfloat16


def test_a_merged_adapter_is_exported_and_an_unmerged_one_refused(tmp_path, tokenizer):
    model, end = tiny_model(), tokenizer.eos_token_id
    part = loud(ScoreModel(model, seed=0))
    adapted = add_lora(model, Lora(rank=4), seed=0)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    expected = ours(part, end)
    with pytest.raises(ModelError, match="cannot be saved as a sequence classifier"):
        save_reward_model(part, tokenizer, tmp_path / "model", template_hash="abc")
    assert not (tmp_path / "model").exists()
    merged(adapted)
    save_reward_model(part, tokenizer, tmp_path / "model", template_hash="abc")
    assert (by_transformers(tmp_path / "model", texts(end)) - expected).abs().max() <= 1e-3


def test_a_part_computed_in_bf16_is_saved_as_it_is(tmp_path, tokenizer):
    part = scorer()
    cast_weights(part.language, torch.bfloat16)
    save_reward_model(part, tokenizer, tmp_path / "model", template_hash="abc")
    assert load_reward_model(str(tmp_path / "model")).language.model.dtype == torch.float32


def test_what_is_saved_wrong_is_noticed_and_nothing_is_left(tmp_path, tokenizer, monkeypatch):
    save_reward_model(scorer(), tokenizer, tmp_path / "model", template_hash="before")
    save = PreTrainedModel.save_pretrained

    def damaged(self, *args, **kwargs):
        self.get_input_embeddings().weight.data[:VOCABULARY] *= 1.5
        save(self, *args, **kwargs)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", damaged)
    with pytest.raises(ModelError, match="gives other scores in transformers, off by"):
        save_reward_model(scorer(heads=2), tokenizer, tmp_path / "model", template_hash="after")
    assert stored_template_hash(str(tmp_path / "model")) == "before"


def test_a_tokenizer_that_pads_with_the_end_of_a_turn_is_what_the_check_would_notice(tmp_path, tokenizer, monkeypatch):
    """Without a padding token of its own transformers reads the score one token too early."""
    monkeypatch.setattr(classifier, "with_padding", lambda same: same)
    model = tiny_model()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    part = loud(ScoreModel(model, seed=0))
    with pytest.raises(ModelError, match="gives other scores in transformers"):
        save_reward_model(part, tokenizer, tmp_path / "model", template_hash="abc")


def test_an_architecture_without_a_classifier_is_refused(tmp_path, tokenizer):
    part = loud(ScoreModel(tiny_model("mamba"), seed=0))
    with pytest.raises(ModelError, match="MambaForCausalLM cannot be saved as a sequence classifier"):
        save_reward_model(part, tokenizer, tmp_path / "model", template_hash="abc")


def rewrite(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_no_reward_model_is_refused(tmp_path, tokenizer):
    save_model(tiny_model(), tokenizer, tmp_path / "chat", template_hash="abc")
    with pytest.raises(
        ModelError, match="is no reward model but LlamaForCausalLM; train one on pairs with: burnish re"
    ):
        load_reward_model(str(tmp_path / "chat"))
    save_reward_model(scorer(), tokenizer, tmp_path / "model", template_hash="abc")
    rewrite(tmp_path / "model", pad_token_id=None)
    with pytest.raises(ModelError, match="has no padding token, so transformers cannot score more than one text"):
        load_reward_model(str(tmp_path / "model"))
    rewrite(tmp_path / "model", pad_token_id=1, id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})
    with pytest.raises(ModelError, match="is a classifier with 2 labels; a reward model has 1"):
        load_reward_model(str(tmp_path / "model"))
    (tmp_path / "model" / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot read the config of"):
        load_reward_model(str(tmp_path / "model"))
