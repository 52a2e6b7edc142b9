"""The scripted engine says what it was told to."""

from __future__ import annotations

import pytest

from burnish.errors import ModelError
from burnish.protocols import Decoding, Request, TokenEngine
from burnish.sampling.scripted import ScriptedEngine


def test_completions_are_taken_in_turn_for_every_request_anew():
    engine: TokenEngine = ScriptedEngine({(1, 5): [[7, 2], [8, 9, 2]]}, logp=-0.5)
    requests = [Request(id="a", prompt=[1, 5], num_samples=3), Request(id="b", prompt=(1, 5))]
    for seed in (0, 1):
        found = engine.sample(requests, Decoding(), seed=seed)
        assert [[sample.tokens for sample in group] for group in found] == [[(7, 2), (8, 9, 2), (7, 2)], [(7, 2)]]
    assert found[0][1].logps == (-0.5,) * 3
    assert {sample.finish for group in found for sample in group} == {"stop"}
    assert {sample.policy_version for group in found for sample in group} == {"scripted"}


def test_stated_logps_and_stop_tokens():
    engine = ScriptedEngine({(1,): [[7, 3], [8]]}, logps={(7, 3): [-1.0, -2.0]}, stop_tokens=[3], policy_version="v7")
    first, second = engine.sample([Request(id="a", prompt=[1], num_samples=2)], Decoding(), seed=0)[0]
    assert (first.logps, first.finish, first.policy_version) == ((-1.0, -2.0), "stop", "v7")
    assert (second.logps, second.finish) == ((0.0,), "length")


def test_the_limit_cuts():
    engine = ScriptedEngine({(1,): [[7, 8, 2]]}, logps={(7, 8, 2): [-1.0, -2.0, -3.0]})
    sample = engine.sample([Request(id="a", prompt=[1])], Decoding(max_tokens=2), seed=0)[0][0]
    assert (sample.tokens, sample.logps, sample.finish) == ((7, 8), (-1.0, -2.0), "length")


def test_calls_are_kept():
    engine = ScriptedEngine({(1,): [[2]]})
    request = Request(id="a", prompt=[1])
    engine.sample([request], Decoding(), seed=0)
    assert engine.calls == [(request,)]


def test_an_unknown_prompt_is_refused_by_name():
    with pytest.raises(ModelError, match=r"request 'q' has the prompt \[9\], which the script does not know"):
        ScriptedEngine({(1,): [[2]]}).sample([Request(id="q", prompt=[9])], Decoding(), seed=0)


@pytest.mark.parametrize(
    ("script", "logps", "message"),
    [
        ({(1,): []}, {}, "needs at least one completion"),
        ({(1,): [[]]}, {}, "needs at least one completion, each with at least one token"),
        ({(1,): [[5, 2]]}, {(5, 2): [-1.0]}, "has 2 tokens but 1 log-probs"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(script, logps, message: str):
    with pytest.raises(ValueError, match=message):
        ScriptedEngine(script, logps=logps)
