"""Reward models on disk: plain transformers sequence classifiers with one label, and back.

    folder/              one head: config.json (...ForSequenceClassification, num_labels 1), weights, tokenizer
    folder/head-0, ...   several heads: each by itself, a whole reward model

transformers reads a sequence's score at the rightmost token that is not the padding token. Many chat tokenizers pad
with the token that ends a turn, which is the very token that we score, so the export gets a padding token of its own:
the tokenizer's copy learns `<|pad|>`, and the embedding a row of zeros for it if it has none to spare. It pads on the
right, because transformers would count the positions of a text from its padding on otherwise.

Every folder is read back before it is trusted: a padded batch of two lengths must get the scores that the part gives.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.language import LayoutName, checked
from burnish.models.load import Source, load_tokenizer, quiet, read_model, source_of
from burnish.models.save import SaveDtype, write_files, written
from burnish.models.score import ScoreModel, check_scores
from burnish.numerics import cast_weights, generator_from
from burnish.text.tokenizer import PADDING

TOLERANCE = 1e-3
"""Largest difference of a score, relative to the largest one (or to 1), between a part and its export."""


def reward_folders(folder: Path, *, heads: int) -> list[Path]:
    """Where each head of a reward model is saved."""
    return [folder] if heads == 1 else [folder / f"head-{number}" for number in range(heads)]


def save_reward_model(
    part: ScoreModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    template_hash: str,
    dtype: SaveDtype = "float32",
) -> None:
    """Write `folder` so that transformers loads it without Burnish, and gives the same scores there.

    Args:
        part: without adapters (merge them first); its weights are rounded to `dtype` and left in float32.
        tokenizer: copied; the copy is saved with its chat template and a padding token of its own.
        folder: replaced if it exists; see the head of this file.
        template_hash: of the template that training used.
        dtype: of the saved weights.

    Raises:
        ModelError: transformers has no such classifier, the part has adapters, or what was saved gives other scores;
            nothing is left in `folder` then.
    """
    cast_weights(part, getattr(torch, dtype))
    cast_weights(part, torch.float32)
    tokenizer = with_padding(tokenizer)
    classifier = _classifier(part.language.model, tokenizer)
    trees = _probes(tokenizer, vocabulary=part.language.model.get_input_embeddings().weight.shape[0])
    with torch.no_grad():
        device = part.head.weight.device
        expected_CK = part.eval()(pack(trees).to(device), frozenset({"scores"}))["scores"].cpu()
    with written(folder) as beside:
        for number, place in enumerate(reward_folders(beside, heads=part.num_heads)):
            score = _head_of(classifier)
            score.weight = nn.Parameter(part.head.weight.detach()[number : number + 1].clone())
            cast_weights(classifier, getattr(torch, dtype))
            write_files(classifier, tokenizer, place, template_hash=template_hash)
            _compare(expected_CK[:, number], _padded_scores(place, trees), folder)


def with_padding(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A copy of `tokenizer` that pads on the right with a token that no text contains.

    Raises:
        ModelError: that token already begins or ends texts.
    """
    copied = copy.deepcopy(tokenizer)
    if PADDING in (copied.eos_token, copied.bos_token):
        raise ModelError(f"the tokenizer ends or begins texts with {PADDING}, so that token cannot be padding too")
    copied.add_special_tokens({"pad_token": PADDING})
    copied.padding_side = "right"
    return copied


def load_reward_model(source: str, *, layout: LayoutName = "auto") -> ScoreModel:
    """Read a sequence classifier with one label as a part, in evaluation mode and without gradients.

    Its tokenizer is `load_tokenizer(source)`.

    Args:
        source: as for `load_model`: a folder that `save_reward_model` wrote, or any such classifier.
        layout: as for `score_model`.

    Raises:
        ModelError: it cannot be read, is no sequence classifier, has more labels than one or a bias, lacks a padding
            token, or cannot run in the layout asked for.
    """
    _refuse_ensemble(source)
    found = source_of(source)
    _check_config(source, found)
    model = read_model(AutoModelForSequenceClassification, source, found, dtype=torch.float32)
    head = _head_of(model)
    model.score = nn.Identity()  # the head is the part's alone: it is neither rounded nor adapted with the model

    def build(name: LayoutName) -> ScoreModel:
        part = ScoreModel(model, layout=name, seed=0)
        part.head = head
        return part.eval()

    return checked(build, check=check_scores, layout=layout)


def _refuse_ensemble(source: str) -> None:
    for folder in (Path(source).expanduser(), Path(source).expanduser() / "model"):
        if members := sorted(folder.glob("head-*/config.json")):
            raise ModelError(
                f"{source} holds an ensemble of {len(members)} reward models; name one of them, such as "
                f"{members[0].parent}, or each in turn"
            )


def _check_config(name: str, source: Source) -> None:
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source.name, **source.arguments)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot read the config of '{name}': {str(error).splitlines()[0]}") from error
    kind = ", ".join(config.architectures or ()) or "nothing"
    if not kind.endswith("ForSequenceClassification"):
        raise ModelError(f"'{name}' is no reward model but {kind}; train one on pairs with: burnish reward")
    if config.num_labels != 1:
        raise ModelError(f"'{name}' is a classifier with {config.num_labels} labels; a reward model has 1")
    if config.get_text_config(decoder=True).pad_token_id is None:
        raise ModelError(
            f"'{name}' has no padding token, so transformers cannot score more than one text at a time and it is not "
            "clear where it reads a score; set pad_token_id in its config.json to a token that ends no text"
        )


def _classifier(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The sequence classifier around the weights of `model`, which it shares but for the embedding."""
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    config.pad_token_id = None  # the embedding may have no row for ours yet
    with quiet(), torch.random.fork_rng(devices=[]):
        try:
            classifier: PreTrainedModel = AutoModelForSequenceClassification.from_config(
                config, dtype=torch.float32, attn_implementation="eager"
            )
            classifier.get_decoder().load_state_dict(model.get_decoder().state_dict(), assign=True)
        except (ValueError, RuntimeError) as error:
            why = str(error).strip().splitlines()[0]
            raise ModelError(f"{type(model).__name__} cannot be saved as a sequence classifier: {why}") from error
        _make_room(classifier, tokenizer.pad_token_id)
    classifier.config.pad_token_id = tokenizer.pad_token_id
    return classifier


def _make_room(classifier: PreTrainedModel, token: int) -> None:
    """Give the embedding a row of zeros for the padding token, where it has no row for it."""
    rows = classifier.get_input_embeddings().weight.shape[0]
    if token >= rows:
        classifier.resize_token_embeddings(token + 1, mean_resizing=False)
        classifier.get_input_embeddings().weight.data[rows:] = 0.0


def _head_of(classifier: PreTrainedModel) -> nn.Linear:
    """The head of a sequence classifier.

    Raises:
        ModelError: it is not a linear map without bias to one number.
    """
    head: nn.Module | None = dict(classifier.named_children()).get("score")
    if not isinstance(head, nn.Linear) or "bias" in dict(head.named_parameters()):
        raise ModelError(f"{type(classifier).__name__} has no linear head 'score' without bias; it cannot be a reward")
    return head


def _probes(tokenizer: PreTrainedTokenizerFast, *, vocabulary: int) -> list[Tree]:
    """Two texts of different length that end with the token that many tokenizers pad with."""
    generator = generator_from("reward model")
    end = tokenizer.eos_token_id
    trees = []
    for name, prompt, answer in (("long", 4, 7), ("short", 3, 2)):
        drawn = torch.randint(0, min(vocabulary, tokenizer.pad_token_id), (prompt + answer,), generator=generator)
        tokens = [*drawn.tolist(), *([end] if end is not None and end < vocabulary else [])]
        branch = Branch(tokens=tokens[prompt:], weights=[1.0] * len(tokens[prompt:]))
        trees.append(Tree(id=name, prompt=tokens[:prompt], branches=(branch,)))
    return trees


def _padded_scores(folder: Path, trees: Sequence[Tree]) -> Tensor:
    """Scores of one padded batch by transformers alone, without anything of ours. (C,)"""
    classifier: Any = read_model(
        AutoModelForSequenceClassification, str(folder), Source(str(folder)), dtype=torch.float32
    )
    texts = [[*tree.prompt, *branch.tokens] for tree in trees for branch in tree.branches]
    with quiet(), torch.no_grad():
        rows = load_tokenizer(str(folder)).pad({"input_ids": texts}, return_tensors="pt")
        scores: Tensor = classifier(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"]).logits[:, 0]
    return scores


def _compare(expected: Tensor, found: Tensor, folder: Path) -> None:
    gap = float((expected - found).abs().max())
    if not gap <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ModelError(f"the reward model saved for {folder} gives other scores in transformers, off by {gap:.2g}")
