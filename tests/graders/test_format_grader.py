"""What an answer needs besides its constraint, and what goes wrong with the columns."""

from dataclasses import replace

import pytest

from burnish.config import dump
from burnish.errors import ConfigError, GraderError
from burnish.example import WORKED, Completion, Example, assistant, user
from burnish.graders.format import FormatGrader, constraint_from
from burnish.graders.phrasing import EndsWith, LowerCase, MaxWords, NoCommas
from burnish.graders.registry import GRADERS, grader_named, verdict
from burnish.graders.shapes import JsonKeys


def _example(constraint, topic="dogs", prompt="Tell me about dogs in lower case letters only, please."):
    return Example(id="x", prompt=(user(prompt),), columns={"constraint": dump(constraint), "topic": topic})


def _grade(constraint, text):
    return FormatGrader().grade(_example(constraint), Completion(messages=(assistant(text),)))


@pytest.mark.parametrize(
    ("constraint", "text", "failed"),
    [
        (LowerCase(), "dogs like to run around all day", {"length"}),
        (LowerCase(), "dogs", {"length", "substance"}),
        (LowerCase(), "", {"constraint", "length", "topic", "substance"}),
        (LowerCase(), "they like to run around in the park", {"topic"}),
        (LowerCase(), "dogs dogs dogs dogs dogs dogs dogs dogs dogs", {"substance"}),
        (LowerCase(), "tell me about dogs in lower case letters only, please.", {"substance"}),
        (LowerCase(), "dogs yes dogs yes dogs yes dogs yes dogs ok", {"substance"}),
        (LowerCase(), "!!! ??? ... --- *** ,,, ;;; :::", {"constraint", "length", "topic", "substance"}),
        (MaxWords(count=10), "dogs like to run", {"length"}),
        (MaxWords(count=10), "dogs like to run fast", set()),
        (MaxWords(count=10), "dogs dogs dogs are fine", {"substance"}),
        (JsonKeys(keys=("dogs", "why")), '{"dogs": "They bark a lot", "why": "They guard a house"}', {"topic"}),
        (JsonKeys(keys=("fact", "why")), '{"fact": "Dogs bark", "why": "They guard"}', {"length", "substance"}),
        (
            EndsWith(phrase="Now you know it all about them."),
            "Dogs bark. Now you know it all about them.",
            {"length", "substance"},
        ),
        (EndsWith(phrase="I love my dogs."), "They bark a lot and guard the house. I love my dogs.", {"topic"}),
        (NoCommas(), "Dogs, yes", {"constraint", "length", "substance"}),
    ],
)
def test_empty_obedience_does_not_pay(constraint, text, failed):
    grade = _grade(constraint, text)
    assert {part for part, score in grade.parts.items() if score == 0} == failed
    assert grade.score == float(not failed)
    assert [reason.partition(":")[0] for reason in grade.reasons] == [p for p in grade.parts if p in failed]


def test_reasons_say_what_was_found_and_wanted():
    grade = _grade(MaxWords(count=6), "dogs like to run around all day long")
    assert grade.reasons == ("constraint: 8 words; at most 6 are allowed",)


def test_eight_words_are_enough_and_seven_are_not():
    assert _grade(LowerCase(), "dogs like to run around in the park").score == 1
    assert _grade(LowerCase(), "dogs like to run around the park").score == 0


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"topic": "dogs"}, "no column 'constraint'"),
        ({"constraint": {"kind": "lower_case"}}, "column 'topic': found None"),
        ({"constraint": {"kind": "lower_case"}, "topic": "!"}, "column 'topic': found '!'"),
        ({"constraint": {"kind": "lowercase"}, "topic": "dogs"}, "kind is 'lowercase'; expected one of lower_case"),
        ({"constraint": {"kind": ["lower_case"]}, "topic": "dogs"}, "kind is"),
        ({"constraint": {"kind": "bullets"}, "topic": "dogs"}, "'count' is required"),
        ({"constraint": {"kind": "bullets", "count": 0}, "topic": "dogs"}, "'count' is 0"),
        ({"constraint": {"kind": "bullets", "cont": 3}, "topic": "dogs"}, "did you mean 'count'"),
        ({"constraint": {"kind": "begins_with", "word": "two words"}, "topic": "dogs"}, "'word' is 'two words'"),
        ({"constraint": {"kind": "ends_with", "phrase": "!"}, "topic": "dogs"}, "'phrase' is '!'"),
        ({"constraint": "lower_case", "topic": "dogs"}, "expected an object with 'kind'"),
    ],
)
def test_wrong_columns_name_the_example_and_the_cause(columns, cause):
    with pytest.raises(GraderError, match="example 'row 7'") as error:
        FormatGrader().grade(Example(id="row 7", columns=columns), WORKED.completions[0])
    assert cause in str(error.value)


def test_constraint_from_refuses_what_is_no_constraint():
    with pytest.raises(ConfigError, match="expected an object"):
        constraint_from(None)


def test_graders_are_known_by_name():
    assert set(GRADERS) >= {"format"}
    assert isinstance(grader_named("format"), FormatGrader)
    with pytest.raises(ConfigError, match="did you mean 'format'"):
        grader_named("fromat")
    with pytest.raises(ConfigError, match="known here: format"):
        grader_named("zzz")


class _Broken:
    def grade(self, example, completion):
        raise ZeroDivisionError("by zero")


def test_a_failing_grader_names_the_example_and_the_cause():
    with pytest.raises(GraderError, match=r"_Broken failed on example 'worked': ZeroDivisionError: by zero"):
        verdict(_Broken(), WORKED, WORKED.completions[0])


def test_a_grader_error_passes_through():
    with pytest.raises(GraderError, match="kind"):
        verdict(FormatGrader(), replace(WORKED, columns={"constraint": "lowercase"}), WORKED.completions[0])
