"""Units of texts in scripts without spaces: what they are, and what they do for dedup, evaluation sets and classes."""

from __future__ import annotations

import itertools
import json
import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.data.curate.classifier import features
from burnish.data.curate.phrases import CHARACTERS_PER_WORD
from burnish.data.curate.shingles import jaccard, shingle_sets
from burnish.data.curate.steps.decontamination import Decontamination
from burnish.data.curate.words import Words, is_spaceless, split_units, split_words
from tests.data.curate.contract import check_row_step, run_steps

# Written for this test: news of a village, as a page and its copies elsewhere would have it.
PARAGRAPHS = (
    "今天早上，村里的老人们坐在大树下面喝茶，谈论去年夏天的洪水。河边的桥已经修好了，孩子们又可以走路去上学。",
    "图书馆的新房子明年春天开放，里面有三万本书和一间安静的阅览室。馆长说，每个星期六下午都会给小朋友讲故事。",
    "农民在山坡上种了茶树和橘子树，希望秋天能卖一个好价钱。合作社买了两辆卡车，把水果直接送到城里的市场。",
    "晚上广场上放电影，许多人带着小凳子早早地来占位置。下雨的时候，大家就搬到学校的礼堂里继续看。",
)
JAPANESE = (
    "昨日は朝から雨が降っていたので、家で本を読んでいました。夕方になって雨がやみ、友達と川のそばを散歩しました。"
)
THAI = "เมื่อวานนี้ฝนตกตั้งแต่เช้าฉันจึงอ่านหนังสืออยู่ที่บ้านตอนเย็นฝนหยุดแล้วฉันไปเดินเล่นริมแม่น้ำกับเพื่อน"


def words(*texts: str) -> Words:
    return Words([split_words(text) for text in texts])


def grams(text: str, size: int = 5) -> set[str]:
    """Plain Python: n-grams of the letters of a Chinese text."""
    letters = [mark for mark in text if mark.isalnum()]
    return {"".join(letters[at : at + size]) for at in range(len(letters) - size + 1)}


@pytest.mark.parametrize(
    ("word", "units"),
    [
        ("don't!", ["don't!"]),
        ("größe", ["größe"]),
        ("한국어는", ["한국어는"]),  # Korean has spaces
        ("世界，你好。", ["世", "界，", "你", "好。"]),
        ("「GPT-4是什么？」", ["「GPT-4", "是", "什", "么？」"]),
        ("iPhoneを買う", ["iPhone", "を", "買", "う"]),
        ("ｽｶ", ["ｽ", "ｶ"]),
        ("ที่นี่", ["ที่", "นี่"]),  # marks stay with their letter
        ("𠮷野", ["𠮷", "野"]),
        ("……", ["……"]),
    ],
)
def test_units(word, units):
    assert split_units(word) == units


@given(st.lists(st.text(st.sampled_from("a é世กิ,。カ\u3000한"), max_size=12), max_size=6))
def test_units_lose_nothing_and_do_not_depend_on_neighbours(texts):
    found = words(*texts).units
    assert ["".join(units) for units in found.split] == ["".join(text.split()) for text in texts]
    for text, units in zip(texts, found.split, strict=True):
        assert words(text).units.split[0] == units


def test_other_scripts_cost_nothing():
    found = words("plain words", "größer, Ärger")
    assert found.units is found


def test_sets_are_those_of_plain_python_and_punctuation_does_not_count():
    one, other = PARAGRAPHS[0], PARAGRAPHS[0].replace("，", " ").replace("大树", "小树")
    found = shingle_sets(words(one, other), 5)
    assert [len(each) for each in found] == [len(grams(one)), len(grams(other))]
    plain = len(grams(one) & grams(other)) / len(grams(one) | grams(other))
    assert jaccard(*found) == pytest.approx(plain)
    assert 0.7 < plain < 1


@pytest.mark.parametrize("text", [JAPANESE, THAI, *PARAGRAPHS])
def test_a_changed_character_leaves_most_shingles(text):
    middle = len(text) // 2
    changed = text[:middle] + text[middle + 1 :]
    assert jaccard(*shingle_sets(words(text, changed), 5)) > 0.75
    assert is_spaceless(text)


def test_chinese_near_copies_go_and_nothing_else(tmp_path):
    """120 texts of recombined sentences; a third has a copy in which some characters are other ones."""
    pytest.importorskip("rensa", reason="the extra 'data' is not installed")
    from burnish.data.curate.steps.minhash import MinHashDedup

    rng = random.Random(1)
    letters = [mark for mark in "".join(PARAGRAPHS) if mark.isalnum()]
    texts = {f"p{n}": "".join(rng.choice(letters) for _ in range(rng.randint(150, 300))) for n in range(120)}
    copies = {}
    for n in range(0, 120, 3):
        text = list(texts[f"p{n}"])
        for place in rng.sample(range(len(text)), 3):
            text[place] = rng.choice(letters)
        copies[f"c{n}"] = "".join(text)[:-1]  # shorter, so that it is the one to go
    alike = {
        name: len(grams(text) & grams(texts["p" + name[1:]])) / len(grams(text) | grams(texts["p" + name[1:]]))
        for name, text in copies.items()
    }
    rows = [{"id": name, "text": text} for name, text in {**texts, **copies}.items()]
    found = run_steps([MinHashDedup()], rows, tmp_path / "out")
    gone = {name for name, fate in found.items() if fate.fate == "drop"}
    assert gone == {name for name, share in alike.items() if share >= 0.8}
    assert len(gone) > 30
    assert all(found[name].steps["minhash-dedup"]["note"] == "p" + name[1:] for name in gone)


def test_a_chinese_question_is_found_inside_a_page_and_common_words_are_not(tmp_path):
    question, short = PARAGRAPHS[2], "今天天气怎么样？"
    path = tmp_path / "quiz.jsonl"
    path.write_text("".join(json.dumps({"q": text}) + "\n" for text in (question, short)), encoding="utf-8")
    step = Decontamination(sets={"quiz": str(path)})
    step.prepare(tmp_path, None)
    letters = "".join(mark for mark in question if mark.isalnum())
    run = 13 * CHARACTERS_PER_WORD
    texts = [
        PARAGRAPHS[0] + question + PARAGRAPHS[1],
        PARAGRAPHS[0] + letters[5 : 5 + run] + "。",
        PARAGRAPHS[0] + letters[5 : 4 + run] + "。",
        PARAGRAPHS[0] + short,  # 7 characters: too short to be looked for
        "A page in English, with 农民在山坡上 in it.",
    ]
    rows = check_row_step(step, texts, folder=tmp_path)
    assert [row[2] for row in rows] == ["contaminated", "contaminated", None, None, None]
    assert [row[5] for row in rows] == [len(letters) - run + 1, 1, 0, 0, 0]


def test_classes_are_told_by_characters_and_their_pairs():
    one, other, swapped = (np.flatnonzero(features(words(text), 16).toarray()[0]) for text in ("茶树", "大树", "树茶"))
    assert len(one) == 3  # two characters and their pair
    assert len(np.intersect1d(one, other)) == 1
    assert len(np.intersect1d(one, swapped)) == 2


def test_hostile_words_take_bounded_time():
    start = time.perf_counter()
    for piece in ("。", "。a", "่", "่a世", "世。a", "_"):
        assert "".join(split_units(piece * 100_000)) == piece * 100_000
    assert time.perf_counter() - start < 10
    assert list(itertools.chain.from_iterable(words("").units.split)) == []
