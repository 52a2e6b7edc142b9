"""Sampled answers are trained on as sampled, and only by a model whose tokens they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from burnish.errors import DataError
from burnish.example import Completion, Example, assistant, user, write_jsonl
from burnish.stages.sft import SFTStage
from tests.stages.tiny_chat import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("world") / "model")


def planned(model: Path, folder: Path, text: str, token_ids: tuple[int, ...] | None) -> int:
    """How many trees a run would have on one answer of this text and these tokens."""
    answer = Completion(messages=(assistant(text),), token_ids=token_ids)
    write_jsonl(folder / "data.jsonl", [Example(id="gem", prompt=(user("Name a gem."),), completions=(answer,))])
    trees = SFTStage(model=str(model), data=str(folder / "data.jsonl")).prepared(lambda line: None).trees
    if token_ids is not None:
        assert trees[0].branches[0].tokens == token_ids
    return len(trees)


def test_tokens_of_the_own_tokenizer_are_used_as_they_are(model: Path, tmp_path: Path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    letters = tuple(tokenizer.convert_tokens_to_ids(list("opal")))  # not how the tokenizer would cut the word
    assert tuple(tokenizer("opal")["input_ids"]) != letters
    for ids in (letters, (*letters, tokenizer.eos_token_id)):
        assert planned(model, tmp_path, "opal", ids) == 1


@pytest.mark.parametrize("ids", [(5, 6, 7), (10_000, 10_001), ()], ids=["other", "unknown", "none"])
def test_tokens_that_do_not_spell_the_message_are_refused(model: Path, tmp_path: Path, ids: tuple[int, ...]):
    with pytest.raises(DataError, match=r"'gem': the token ids of an answer spell .*its message is 'opal'.*Remove"):
        planned(model, tmp_path, "opal", ids)
    assert planned(model, tmp_path, "opal", None) == 1
