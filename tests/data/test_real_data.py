"""Every published file that fits a format loads, with its counts; damaged copies say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from burnish.data.read import Dataset, DataSettings, read
from burnish.errors import BadRow, DataError
from burnish.example import Example, example_dict

COUNTS = {
    "sft/alpaca_en_1k.json": ("alpaca", 999, 0),
    "preference/dpo_en_300.json": ("preference-sharegpt", 299, 0),
    "preference/hh_harmless_1500.jsonl": ("preference-dialogues", 1496, 4),
    "unpaired/kto_en_300.json": ("unpaired", 300, 0),
    "conversations/sharegpt_dummy.json": ("sharegpt", 500, 0),
    "math/gsm8k_train.jsonl": ("question-answer", 7473, 0),
    "instructions/self_instruct_seed_tasks.jsonl": ("self-instruct", 175, 0),
    "text/c4_300.jsonl": ("text", 300, 0),
    "text/tinyshakespeare.txt": ("text", 1, 0),
    "text/wiki.txt": ("text", 1, 0),
    "domains/arxiv.jsonl": ("text", 9, 1),
    "domains/book.jsonl": ("text", 2, 0),
    "domains/c4.jsonl": ("text", 998, 0),
    "domains/cc.jsonl": ("text", 10, 0),
    "domains/github.jsonl": ("text", 99, 0),
    "domains/stackexchange.jsonl": ("text", 1000, 0),
    "domains/wiki.jsonl": ("text", 10, 0),
    "eval/mt_bench_questions.jsonl": ("turns", 80, 0),
    "eval/xstest_prompts.csv": ("prompts", 450, 0),
    "eval/bbh_boolean_expressions.json": ("input-target", 250, 0),
    "eval/bbh_date_understanding.json": ("input-target", 250, 0),
    "eval/bbh_object_counting.json": ("input-target", 250, 0),
    "eval/bbh_word_sorting.json": ("input-target", 250, 0),
    "eval/embers_shift_3.jsonl": ("instruction-answer", 100, 0),
    "eval/embers_shift_8.jsonl": ("instruction-answer", 100, 0),
    "eval/embers_shift_13.jsonl": ("instruction-answer", 100, 0),
    "eval/embers_shift_20.jsonl": ("instruction-answer", 100, 0),
}
"""Format, good rows, bad rows. The bad ones are in the files as published: answers and a document without text."""


def loaded(path: Path, **settings: Any) -> Dataset:
    return read(DataSettings(path=str(path), **settings))


@pytest.mark.parametrize("name", COUNTS)
def test_counts(real: Path, name: str) -> None:
    dataset = loaded(real / name, on_bad_row="skip")
    report = dataset.report
    assert (report.format, report.examples, len(report.bad)) == COUNTS[name]
    assert len({example.id for example in dataset.examples}) == len(dataset.examples)
    json.dumps([example_dict(example) for example in dataset.examples[:50]], allow_nan=False)


def test_no_file_is_forgotten(real: Path) -> None:
    files = {path.relative_to(real).as_posix() for path in real.rglob("*") if path.is_file()}
    assert files - set(COUNTS) == {"README.md", "eval/mt_bench_reference_gpt4.jsonl"}


def test_reference_answers_without_questions_are_no_format(real: Path) -> None:
    with pytest.raises(DataError, match="no known format has the fields answer_id, choices, model_id"):
        loaded(real / "eval/mt_bench_reference_gpt4.jsonl")


def test_published_bad_rows_stop_with_their_lines(real: Path) -> None:
    with pytest.raises(
        BadRow, match=r"row 87, field 'chosen\[3\]': found an empty assistant turn(.|\n)*517, 926, 1104"
    ):
        loaded(real / "preference/hh_harmless_1500.jsonl")


def first(real: Path, name: str) -> Example:
    return loaded(real / name, limit=1).examples[0]


def test_what_the_first_rows_become(real: Path) -> None:
    crepes = first(real, "sft/alpaca_en_1k.json")
    assert crepes.prompt[0].content == "Describe a process of making crepes."
    assert crepes.completions[0].text.startswith("Making crepes")
    angela = first(real, "preference/dpo_en_300.json")
    assert [completion.rank for completion in angela.completions] == [0, 1]
    assert [message.role for message in first(real, "preference/hh_harmless_1500.jsonl").prompt][-1] == "user"
    clips = first(real, "math/gsm8k_train.jsonl")
    assert clips.columns["answer"] == clips.completions[0].text
    assert clips.columns["answer"].endswith("#### 72")
    vicuna = first(real, "conversations/sharegpt_dummy.json")
    assert (vicuna.id, len(vicuna.prompt), len(vicuna.completions[0].messages)) == ("identity_0", 1, 3)
    process = first(real, "eval/xstest_prompts.csv")
    assert (process.id, process.columns["label"], process.completions) == ("1", "safe", ())
    shift = first(real, "eval/embers_shift_3.jsonl")
    assert shift.prompt[0].content.endswith("Original text:")
    assert shift.columns["answer"] == "But this time, there may also be another reason."
    assert first(real, "eval/mt_bench_questions.jsonl").columns["category"] == "writing"
    assert isinstance(first(real, "unpaired/kto_en_300.json").completions[0].label, bool)


def test_dialogues_with_several_turns_keep_their_history(real: Path) -> None:
    dataset = loaded(real / "preference/hh_harmless_1500.jsonl", on_bad_row="skip")
    assert max(len(example.prompt) for example in dataset.examples) > 10
    uneven = next(example for example in dataset.examples if example.id == "1255")
    assert [len(completion.messages) for completion in uneven.completions] == [2, 1]
    for example in dataset.examples:
        assert example.completions[0].messages[0] != example.completions[1].messages[0]


def test_text_by_paragraph(real: Path) -> None:
    dataset = loaded(real / "text/tinyshakespeare.txt", documents="paragraphs", limit=2)
    assert [example.id for example in dataset.examples] == ["1", "4"]
    assert dataset.examples[1].completions[0].text == "All:\nSpeak, speak."


def test_folder_of_domains(real: Path) -> None:
    dataset = loaded(real / "domains", on_bad_row="skip")
    assert (dataset.report.examples, len(dataset.report.files)) == (2128, 7)
    assert dataset.examples[0].id == "arxiv.jsonl:1"


def test_folder_of_several_formats(real: Path) -> None:
    with pytest.raises(DataError, match="read them one by one"):
        loaded(real / "eval")


Damage = Callable[[dict[str, Any]], None]


def gone(name: str) -> Damage:
    return lambda row: row.pop(name)


def put(name: str, value: Any) -> Damage:
    return lambda row: row.update({name: value})


def turn(field: str, index: int, key: str, value: Any) -> Damage:
    return lambda row: row[field][index].update({key: value})


def last_turn_gone(field: str) -> Damage:
    return lambda row: row[field].pop()


DPO, KTO, HH = "preference/dpo_en_300.json", "unpaired/kto_en_300.json", "preference/hh_harmless_1500.jsonl"
ALPACA, SHAREGPT = "sft/alpaca_en_1k.json", "conversations/sharegpt_dummy.json"
DAMAGES: list[tuple[str, Damage, str]] = [
    (ALPACA, gone("output"), "field 'output': found no such field; the row has input, instruction"),
    (ALPACA, put("output", ["a"]), "field 'output': found ['a']; expected text"),
    (ALPACA, put("output", ""), "field 'output': found empty text"),
    (ALPACA, put("output", None), "field 'output': found None; expected the fields of the format alpaca"),
    (ALPACA, put("instruction", "  "), "field 'instruction': found empty text"),
    (ALPACA, put("input", 7), "field 'input': found 7; expected text, or nothing"),
    (DPO, gone("rejected"), "field 'rejected': found no such field"),
    (DPO, put("chosen", "  "), "field 'chosen': found empty text"),
    (DPO, put("chosen", {"from": "gpt"}), "field 'chosen[0].value': found None"),
    (DPO, put("conversations", "Hi"), "field 'conversations': found 'Hi'"),
    (DPO, turn("conversations", 0, "from", "alien"), "field 'conversations[0].from': found 'alien'"),
    (DPO, lambda row: row.update(rejected=row["chosen"]), "found the same answer as 'chosen'"),
    (KTO, put("label", "true"), "field 'label': found 'true'; expected true (desirable) or false"),
    (KTO, put("label", None), "field 'label': found None"),
    (KTO, gone("label"), "field 'label': found no such field"),
    (KTO, turn("messages", 0, "role", "human"), "field 'messages[0].role': found 'human'; expected one of system"),
    (KTO, turn("messages", 1, "content", ["a", 3]), "field 'messages[1].content[1]': found 3"),
    (KTO, turn("messages", 1, "content", ""), "field 'messages[1]': found an empty assistant turn"),
    (KTO, turn("messages", 1, "text", "x"), "field 'messages[1]': found unknown keys text"),
    (KTO, last_turn_gone("messages"), "expected"),
    (HH, put("chosen", "\n\nHuman: Hi"), "field 'chosen[0]': found a turn of role 'user' at the end"),
    (HH, put("rejected", "\n\nHuman: Hm?\n\nAssistant: No."), "field 'rejected': found the last user turn 'Hm?'"),
    (HH, put("rejected", "No."), "field 'rejected': found 'No.'; expected a dialogue that begins with"),
    (SHAREGPT, last_turn_gone("conversations"), "a turn of role 'user' at the end"),
    (SHAREGPT, put("conversations", []), "field 'conversations': found []; expected a list that is not empty"),
    (SHAREGPT, put("id", "identity_0"), "field 'id': found 'identity_0'; expected an id of its own"),
    ("math/gsm8k_train.jsonl", put("answer", True), "field 'answer': found True; expected text"),
    ("text/c4_300.jsonl", put("text", 3), "field 'text': found 3; expected text"),
    ("instructions/self_instruct_seed_tasks.jsonl", put("instances", [{"input": ""}]), "field 'instances[0].output'"),
    ("eval/mt_bench_questions.jsonl", put("turns", ["a", ""]), "field 'turns[1]': found ''"),
]


@pytest.mark.parametrize(("name", "damage", "expected"), DAMAGES)
def test_damaged_row(real: Path, tmp_path: Path, name: str, damage: Damage, expected: str) -> None:
    rows = rows_of(real / name)[:40]
    damage(rows[6])
    path = tmp_path / Path(name).name
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(BadRow) as caught:
        loaded(path)
    assert str(caught.value).startswith(f"{path}, row 7, field ")
    assert expected in str(caught.value)
    kept = loaded(path, on_bad_row="skip")
    assert (kept.report.examples, [error.line for error in kept.report.bad]) == (39, [7])


def rows_of(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def test_cut_off_file(real: Path, tmp_path: Path) -> None:
    data = (real / ALPACA).read_bytes()
    (tmp_path / "cut.json").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut.json, line \d+, column \d+: not JSON"):
        loaded(tmp_path / "cut.json")
    data = (real / HH).read_bytes()[:20000]
    (tmp_path / "cut.jsonl").write_bytes(data)
    last_line = data.count(b"\n") + 1
    with pytest.raises(BadRow, match=rf"row {last_line}, .*expected a JSON object on a line"):
        loaded(tmp_path / "cut.jsonl")
