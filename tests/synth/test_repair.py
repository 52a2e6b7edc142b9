"""Demonstrations by code: worked repairs of each kind, and that every result passes the grader."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.config import dump
from burnish.errors import GraderError
from burnish.example import Completion, Example, assistant, user
from burnish.graders.format import CONSTRAINTS, FormatGrader
from burnish.graders.phrasing import (
    BeginsWith,
    EndsWith,
    LowerCase,
    MaxWords,
    NoCommas,
    OneQuestionMark,
    UpperCase,
    WordTimes,
)
from burnish.graders.shapes import Bullets, JsonKeys, Paragraphs, Quoted
from burnish.graders.words import words
from burnish.synth.format_prompts import SPLITS, VARIANTS, prompts
from burnish.synth.repair import asked_in_full, demonstration, repaired, with_repaired

# As a small model answers: a remark on the task, Markdown, a list, an end cut off by the token limit.
RAW = (
    "Sure! Here are 3 bullet points about dogs:\n\n"
    "1. **Loyalty**: Dogs are loyal animals, and they protect their homes.\n"
    "2. They love to run, jump, and play in the park.\n"
    "3. A dog can smell far better than people can.\n\n"
    'Some people call the dog "our best friend" with good reason. Dogs also need a lot of'
)


def _example(constraint, topic="dogs", prompt="Tell me about dogs."):
    return Example(id="x", prompt=(user(prompt),), columns={"constraint": dump(constraint), "topic": topic})


def _completion(text, finish="stop"):
    return Completion(messages=(assistant(text),), finish=finish)


def _passes(example, text):
    return FormatGrader().grade(example, _completion(text)).score == 1.0


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (
            LowerCase(),
            "dogs are loyal animals, and they protect their homes. they love to run, jump, and play in the park.",
        ),
        (
            UpperCase(),
            "DOGS ARE LOYAL ANIMALS, AND THEY PROTECT THEIR HOMES. THEY LOVE TO RUN, JUMP, AND PLAY IN THE PARK.",
        ),
        (
            NoCommas(),
            'A dog can smell far better than people can. Some people call the dog "our best friend" with good reason.',
        ),
        (
            Bullets(count=3),
            "- Dogs are loyal animals, and they protect their homes.\n"
            "- They love to run, jump, and play in the park.\n"
            "- A dog can smell far better than people can.",
        ),
        (
            Bullets(count=5),
            "- Dogs are loyal animals.\n- They protect their homes.\n- They love to run, jump, and play in the park.\n"
            "- A dog can smell far better than people can.\n"
            '- Some people call the dog "our best friend" with good reason.',
        ),
        (
            EndsWith(phrase="Now you know."),
            "Dogs are loyal animals, and they protect their homes. They love to run, jump, and play in the park. "
            "Now you know.",
        ),
        (
            BeginsWith(word="Well"),
            "Well, dogs are loyal animals, and they protect their homes. They love to run, jump, and play in the park.",
        ),
        (MaxWords(count=10), "Dogs are loyal animals, and they protect their homes."),
        (
            JsonKeys(keys=("topic", "fact", "why")),
            '{"topic": "Dogs", "fact": "Dogs are loyal animals, and they protect their homes.", '
            '"why": "A dog can smell far better than people can."}',
        ),
        (
            Quoted(),
            '"Dogs are loyal animals, and they protect their homes. They love to run, jump, and play in the park."',
        ),
        (
            WordTimes(word="clearly", count=2),
            "Clearly, dogs are loyal animals, and they protect their homes. "
            "Clearly, a dog can smell far better than people can.",
        ),
        (
            Paragraphs(count=2),
            "Dogs are loyal animals, and they protect their homes.\n\nA dog can smell far better than people can.",
        ),
    ],
)
def test_worked_repairs(constraint, expected):
    assert repaired(_example(constraint), RAW) == expected


def test_a_question_is_added_or_the_own_one_kept():
    answer = repaired(_example(OneQuestionMark()), RAW)
    assert answer.startswith("Dogs are loyal animals")
    assert answer.endswith(" dogs?")
    own = repaired(
        _example(OneQuestionMark()), "Dogs are loyal and playful animals. Who could say no to a dog? Dogs bark. ?"
    )
    assert own == "Dogs are loyal and playful animals. Who could say no to a dog?"


def test_max_words_cuts_at_a_clause_and_never_inside():
    text = "Dogs are loved by many people because they are loyal and will guard the house at night."
    assert repaired(_example(MaxWords(count=10)), text) == "Dogs are loved by many people."
    assert repaired(_example(MaxWords(count=5)), text) is None
    fragment = "When dogs are left alone, they bark until someone comes home and feeds them again."
    assert repaired(_example(MaxWords(count=10)), fragment) is None


def test_lists_lose_their_commas_to_and():
    text = "Dogs eat meat, rice, and carrots, which weigh up to 1,000 grams."
    assert repaired(_example(NoCommas()), text) == "Dogs eat meat and rice and carrots which weigh up to 1000 grams."


def test_inner_quotations_take_single_marks():
    text = 'People call the dog "our best friend" with good reason.'
    assert repaired(_example(Quoted()), text) == "\"People call the dog 'our best friend' with good reason.\""


def test_names_keep_their_capital_behind_a_new_first_word():
    text = "London is full of dogs and their owners. Many dogs of London like the park."
    assert repaired(_example(BeginsWith(word="Indeed")), text).startswith("Indeed, London is full")


def test_a_pronoun_gives_way_to_the_topic_only_where_number_agrees():
    plural, mass = "They are loyal and playful animals that bark.", "It is made of flour and water in most places."
    assert repaired(_example(LowerCase()), plural) == "dogs are loyal and playful animals that bark."
    assert repaired(_example(LowerCase(), topic="bread"), mass) == "bread is made of flour and water in most places."
    assert repaired(_example(LowerCase()), mass) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "Dogs",
        "Dogs are loyal animals that love to play in the",
        "Cats are quiet animals that love to sleep on sofas.",
        "dog dog dog dog dog dog dog dog dog dog dog dog.",
        "Here is a sentence about dogs without capital letters.",
        "```\ndogs = ['a', 'b']\n```",
        "I am sorry, but I cannot talk about dogs with you.",
    ],
)
@pytest.mark.parametrize("constraint", [LowerCase(), Bullets(count=2), Quoted()], ids=lambda c: c.kind)
def test_what_cannot_be_repaired_well_is_refused(constraint, text):
    assert repaired(_example(constraint), text) is None


def test_a_longer_limit_takes_more_sentences_and_a_shorter_one_fewer():
    long = "Dogs are animals that many people like to keep at home with them all year. They bark at the postman, too."
    assert len(words(repaired(_example(EndsWith(phrase="Now you know.")), long))) == 18
    assert repaired(_example(Quoted()), long, max_words=12) is None


def test_an_example_without_constraint_is_an_error():
    with pytest.raises(GraderError, match="no column 'constraint'"):
        repaired(Example(id="x", columns={"topic": "dogs"}), RAW)


SENTENCES = st.sampled_from(
    [
        "Dogs are loyal animals, and they protect their homes.",
        "A dog's nose is wet, cold, and often very large.",
        "They love to play; they run all day.",
        "Do dogs dream at night?",
        "It is often said that the dog is our friend, because it stays.",
        'Many call it "man\'s best friend" in the U.S. today.',
        "Clearly, dogs are simply wonderful, which is why people like them so much.",
        "Sure! Here are 3 bullet points about dogs:",
        "dogs sleep a lot and they eat 1,000 grams a day.",
        "WELL, DOGS BARK LOUDLY AT NIGHT AND AT NOON!",
        '{"fact": "Dogs can smell very well.", "reason": "Their noses are wet."}',
        "- **Care**: Dogs need food, water, and a warm place to sleep.",
        "Today, dogs live in cities, on farms, in the woods, or wherever people like them to be with their puppies",
        "Naturally the Straße is full of dogs… isn't it?! Yes.",
        "She said (and he agreed) that her dog is well-trained.",
    ]
)
NOISE = st.text(alphabet=st.sampled_from("aDog s.,!?\n\"'-*{}:éİß1"), max_size=30)
TEXTS = st.lists(
    st.tuples(st.one_of(SENTENCES, SENTENCES, NOISE), st.sampled_from([" ", "\n", "\n\n"])), max_size=9
).map(lambda parts: "".join(itertools.chain.from_iterable(parts)))
ANY_CONSTRAINT = st.one_of([st.sampled_from(variants) for variants in VARIANTS.values()])


@settings(max_examples=600, deadline=None)
@given(ANY_CONSTRAINT, TEXTS, st.integers(0, 40), st.sampled_from([25, 60]))
def test_every_repaired_answer_passes_and_ends_properly(constraint, text, cut, max_words):
    example = _example(constraint)
    answer = repaired(example, text[: len(text) - cut], max_words=max_words)
    if answer is None:
        return
    assert _passes(example, answer)
    assert _ends_properly(constraint, answer)
    parts = constraint.count if isinstance(constraint, (Bullets, Paragraphs, WordTimes)) else 3
    assert len(words(answer)) <= max(max_words, 14 * parts) + 10


def _ends_properly(constraint, answer):
    ends = json.loads(answer).values() if isinstance(constraint, JsonKeys) else answer.split("\n")
    return all(part.rstrip("\"')")[-1] in ".!?" for part in ends if part and part != "Dogs")


@pytest.mark.parametrize("split", SPLITS)
def test_a_good_answer_is_repaired_for_every_prompt_of_the_generator(split):
    for example in prompts(seed=0, count=180, split=split):
        topic = example.columns["topic"]
        text = (
            f"People enjoy {topic} in many countries. They spend time and money on them, and they tell their friends. "
            f"In most towns there is a club for {topic}. The oldest one is more than a hundred years old. "
            "Children learn about them at school, too."
        )
        assert repaired(example, text) is not None, example


def test_every_kind_is_repaired_above():
    assert set(VARIANTS) == set(CONSTRAINTS)


def test_demonstration_takes_the_first_repairable_sample():
    example = replace(
        _example(LowerCase()), completions=(_completion("Nothing."), _completion(RAW), _completion(RAW[::-1]))
    )
    made = demonstration(example)
    assert made.completions[0].text == repaired(_example(LowerCase()), RAW)
    assert made.completions[0].score == 1.0
    assert made.completions[0].token_ids is None
    assert made.id == example.id


def test_demonstration_keeps_a_finished_sample_that_passes():
    text = "dogs bark at night, and nobody in the house can sleep"
    passing = replace(_completion(text), token_ids=(1, 2), logps=(-0.5, -0.1))
    example = replace(_example(LowerCase()), completions=(_completion(RAW), passing))
    assert demonstration(example).completions == (replace(passing, score=1.0),)
    assert demonstration(example, keep_passing=False).completions[0].text.startswith("dogs are loyal")
    cut = replace(example, completions=(_completion(RAW), replace(passing, finish="length")))
    assert demonstration(cut).completions[0].text.startswith("dogs are loyal")
    assert demonstration(example, max_words=10).completions[0].text.startswith("dogs are loyal")


def test_demonstration_is_none_if_no_sample_will_do():
    assert demonstration(_example(LowerCase())) is None
    assert with_repaired(replace(_example(LowerCase()), completions=(_completion("No."),))) is None


def test_a_request_alone_gets_its_whole_prompt_back():
    bare = prompts(seed=0, count=1, split="train", kinds=("lower_case",), request_only=True)[0]
    topic = bare.columns["topic"]
    sample = _completion(f"Many people like {topic} for more than one reason.")
    made = demonstration(replace(bare, completions=(sample,)))
    assert made.prompt == prompts(seed=0, count=1, split="train", kinds=("lower_case",))[0].prompt
    assert made.completions[0].text == sample.text.lower()
    assert "full_prompt" not in made.columns
    assert asked_in_full(made) is made
