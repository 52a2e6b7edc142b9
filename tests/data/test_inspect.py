"""What `inspection` prints, with and without a tokenizer."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from burnish.data.inspect import inspection, shown_example
from burnish.data.lengths import Lengths, histogram, measured, spread
from burnish.data.read import Dataset, DataSettings, read
from burnish.example import Example, user
from burnish.text.template import ChatText

Load = Callable[..., Dataset]

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PAIR = {"prompt": "Name a gem.", "chosen": "Opal!", "rejected": "Mud"}


def printed(renderable: RenderableType, *, color: bool = False) -> str:
    console = Console(file=io.StringIO(), width=140, force_terminal=color, color_system="standard" if color else None)
    console.print(renderable)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture(scope="module")
def text() -> ChatText:
    """One token per character, and markers of the template."""
    characters = [chr(code) for code in (*range(32, 127), 10)]
    words = ["<unk>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>", *characters]
    backend = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        eos_token="<|end|>",
        additional_special_tokens=words[2:6],
        chat_template=TEMPLATE,
    )
    return ChatText(tokenizer)


def test_without_a_tokenizer(load: Load) -> None:
    seen = printed(inspection(load(PAIR, {**PAIR, "chosen": ""}, on_bad_row="skip")))
    assert "preference: a prompt with a better and a worse answer" in seen
    assert "2 read, 1 examples, 1 bad" in seen
    assert "row 2, field 'chosen': found empty text; expected text" in seen
    assert "2 in 1 examples" in seen
    assert "lengths in characters" in seen
    assert "user: Name a gem." in seen
    assert "completion 1, rank 1" in seen
    assert "no tokenizer given, so no loss mask" in seen


def test_labels_columns_and_notes(load: Load) -> None:
    rows = [{"prompt": "Q", "completion": "A", "label": True, "source": "s"}, {"prompt": "Q", "completion": "B"}]
    seen = printed(inspection(load(rows[0], {**rows[1], "label": False})))
    assert "1 desirable, 1 not" in seen
    assert "source" in seen


def test_loss_mask(load: Load, text: ChatText) -> None:
    dataset = load(PAIR)
    seen = printed(inspection(dataset, text), color=True)
    supervised = "\x1b[1;30;42m"
    assert f"{supervised}Opal!" in seen
    assert f"{supervised}Mud" in seen
    assert f"{supervised}Name a gem." not in seen
    assert "tokens with loss" in seen
    assert "user:" in seen
    assert "assistant:" in seen


def test_lengths_in_tokens(load: Load, text: ChatText) -> None:
    lengths = measured(load(PAIR).examples, text)
    # <|user|> Name a gem. <|end|> <|assistant|>; then each answer with its end
    assert lengths.prompts == [1 + len("Name a gem.") + 1 + 1]
    assert lengths.completions == [len("Opal!") + 1, len("Mud") + 1]
    assert lengths.examples == [lengths.prompts[0] + 6 + 4]
    assert lengths.supervised == 6 + 4
    assert "10 tokens carry loss (42%)" in printed(inspection(load(PAIR), text))


def test_prompts_alone(load: Load, text: ChatText) -> None:
    seen = printed(inspection(load({"prompt": "Name a gem.", "constraint": "lowercase"}), text))
    assert "a prompt that waits for its completions" in seen
    assert "columns: {'constraint': 'lowercase'}" in seen


def test_what_the_template_refuses_is_counted(load: Load, text: ChatText) -> None:
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "weight": 0}]
    seen = printed(inspection(load({"messages": turns}), text))
    assert "1 examples cannot be laid out: " in seen
    assert "no token to learn from" in seen


def test_control_characters_do_not_reach_the_terminal() -> None:
    example = Example(id="1", prompt=(user("\x1b]0;title\x07 and [red]brackets[/red]"),))
    seen = printed(shown_example(example, None))
    assert "\x1b" not in seen
    assert "[red]brackets[/red]" in seen


def test_histogram_has_a_row_per_doubling() -> None:
    seen = printed(histogram(Lengths(unit="tokens", examples=[1, 8, 9, 15, 16, 40])))
    rows = [line.split() for line in seen.splitlines()[1:]]
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        ("1", "1", "1"),
        ("2", "3", "0"),
        ("4", "7", "0"),
        ("8", "15", "3"),
        ("16", "31", "1"),
        ("32", "63", "1"),
    ]


def test_spread_is_even() -> None:
    examples = [Example(id=str(i)) for i in range(10)]
    assert [example.id for example in spread(examples, 5)] == ["0", "2", "4", "6", "8"]
    assert spread(examples, 10) is examples


def test_real_files_print(real: Path) -> None:
    for name in ("preference/hh_harmless_1500.jsonl", "eval/xstest_prompts.csv", "domains"):
        dataset = read(DataSettings(path=str(real / name), on_bad_row="skip"))
        assert f"{dataset.report.examples:,} examples" in printed(inspection(dataset))
