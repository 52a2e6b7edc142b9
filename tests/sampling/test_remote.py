"""The engine of an endpoint against a scripted server: every fault, and what comes of it."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import ConfigError, EndpointError
from burnish.example import Message, assistant, user
from burnish.protocols import Decoding, TextEngine
from burnish.sampling.chat_completions import Reply
from burnish.sampling.endpoint import Endpoint, wait_seconds
from burnish.sampling.faults import retry_after
from burnish.sampling.journal import Journal
from burnish.sampling.remote import RemoteEngine
from tests.sampling.scripted_server import (
    Server,
    Step,
    answer,
    body,
    completion,
    drip,
    drop,
    echo,
    hang,
    serving,
    status,
)

QUESTION = [user("Name a gem.")]
KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def engine(server: Server, journal: Journal | None = None, **settings: Any) -> RemoteEngine:
    quick = {"model": "judge-1", "tries": 3, "first_wait_seconds": 0.01, "timeout_seconds": 5.0, **settings}
    return RemoteEngine(Endpoint(url=server.url, **quick), journal=journal)


def failure(script: list[Step], logps: bool = False, models: Any = None, **settings: Any) -> tuple[str, Server]:
    """The message of the error that a script ends in."""
    with serving(script, models=models) as server:
        with pytest.raises(EndpointError) as caught:
            engine(server, **settings).ask([QUESTION], Decoding(), seeds=[0], logps=logps)
        assert server.url in str(caught.value)
        assert caught.value.place == 0
    return str(caught.value), server


def test_the_request_says_all_that_was_asked_for_and_the_reply_comes_back():
    decoding = Decoding(temperature=0.5, top_p=0.9, max_tokens=7)
    talk = [Message(role="system", content="Be brief."), user("Hi"), assistant("Hello"), user("Name a gem.")]
    with serving([answer("an opal")]) as server:
        text_engine: TextEngine = engine(server)
        assert text_engine.reply(talk, decoding, seed=2**40 + 5) == "an opal"
    assert server.bodies == [
        {
            "model": "judge-1",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "Name a gem."},
            ],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 7,
            "seed": 5,
        }
    ]
    path, headers, _ = server.requests[0]
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert headers["User-Agent"].startswith("burnish/")


def test_thinking_and_weights_are_not_sent_and_the_limit_may_have_another_name():
    said = Message(role="assistant", content="An opal.", thinking="Which one?", weight=0.0)
    with serving([answer("ok")]) as server:
        engine(server, limit_name="max_completion_tokens").reply([*QUESTION, said, user("Why?")], Decoding(), seed=0)
    assert server.bodies[0]["messages"][1] == {"role": "assistant", "content": "An opal."}
    assert server.bodies[0]["max_completion_tokens"] == 256
    assert "max_tokens" not in server.bodies[0]


def test_order_is_kept_and_as_many_requests_are_under_way_as_allowed():
    together = threading.Barrier(3)

    def meets(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        together.wait(timeout=10)
        echo(handler, asked)

    texts = ["a", "d", "b", "e", "c", "f", "a"]
    with serving([meets, meets, meets, echo]) as server:
        found = engine(server, concurrency=3).replies([[user(t)] for t in texts], Decoding(), seeds=range(7))
    assert found == texts
    assert server.most == 3
    assert sorted(request["seed"] for request in server.bodies) == list(range(7))


def test_no_conversation_asks_nothing():
    with serving([status(500)]) as server:
        assert engine(server).replies([], Decoding(), seeds=[]) == []
    assert server.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(503, Retry_After="0"),
        status(408),
        status(429),
        drop,
        body("<html>a gateway's page</html>"),
        body('{"choices": [{"message"'),
        body({"object": "chat.completion"}),
        body({"error": {"message": "upstream", "code": 502}}),
        body(completion(None)),
        body({"choices": [{"index": 0}]}),
        body(["no object"]),
    ],
    ids=["500", "503", "408", "429", "dropped", "html", "cut", "choices", "error", "null", "message", "list"],
)
def test_a_passing_fault_loses_no_request(fault: Step):
    with serving([fault, fault, answer("an opal")]) as server:
        assert engine(server).reply(QUESTION, Decoding(), seed=3) == "an opal"
    assert len(server.requests) == 3
    assert server.bodies[0] == server.bodies[1] == server.bodies[2]


@pytest.mark.parametrize("silent", [hang(4.0), drip], ids=["silent", "dripping"])
def test_a_try_without_a_whole_response_in_time_is_given_up(silent: Step):
    start = time.monotonic()
    with serving([silent, answer("an opal")]) as server:
        assert engine(server, timeout_seconds=0.3).reply(QUESTION, Decoding(), seed=0) == "an opal"
        assert time.monotonic() - start < 3.0
    assert len(server.requests) == 2


def test_one_request_that_fails_now_and_then_does_not_hold_up_the_others():
    with serving([status(500), drop, status(429), echo]) as server:
        texts = [f"question {n}" for n in range(6)]
        found = engine(server, concurrency=2).replies([[user(t)] for t in texts], Decoding(), seeds=[0] * 6)
    assert found == texts
    assert len(server.requests) == 9


def test_it_waits_as_long_as_the_endpoint_asks():
    with serving([status(429, Retry_After="1"), answer("an opal")]) as server:
        start = time.monotonic()
        assert engine(server).reply(QUESTION, Decoding(), seed=0) == "an opal"
    assert 1.0 <= time.monotonic() - start < 3.0


def test_an_endpoint_that_asks_to_wait_too_long_has_failed():
    message, server = failure([status(429, "quota used up", Retry_After="3600")])
    assert "status 429" in message
    assert "quota used up" in message
    assert "asks to wait 3600 seconds, and longest_wait_seconds is 60" in message
    assert len(server.requests) == 1


def test_retry_after_may_be_a_date():
    assert 3 < retry_after(email.utils.formatdate(time.time() + 5, usegmt=True)) <= 5
    assert retry_after(email.utils.formatdate(time.time() - 50, usegmt=True)) == 0
    assert retry_after("soon") == retry_after("-3") == retry_after(None) == 0
    assert retry_after("7") == 7


def test_after_the_last_try_the_error_says_everything():
    message, server = failure([status(500, "out of memory " + "x" * 5000)])
    assert len(server.requests) == 3
    assert "asked for the model 'judge-1'" in message
    assert "no reply in 3 tries; the last one: status 500, and the body begins 'out of memory" in message
    assert len(message) < 600


def test_a_dropped_connection_and_a_closed_port_are_named():
    message, _ = failure([drop])
    assert "RemoteProtocolError" in message
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match="no reply in 2 tries; the last one: ConnectError"):
        RemoteEngine(Endpoint(url=url, model="m", tries=2, first_wait_seconds=0.01)).reply(QUESTION, Decoding(), seed=0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (body("no json"), "has no reply (Expecting value"),
        (body({"object": "x"}), "choices is None; expected a list of one object"),
        (body({"choices": []}), "choices is []; expected a list of one object"),
        (body({"choices": [{"finish_reason": "stop"}]}), "choices[0].message is None; expected an object"),
        (body({"choices": [{"message": {"content": "x"}}]}), "choices[0].finish_reason is None"),
        (body(completion(None, finish_reason="content_filter")), "(finish_reason 'content_filter'); expected a string"),
        (body({"error": {"message": "upstream died"}}), "the body holds an error: {'message': 'upstream died'}"),
    ],
)
def test_a_response_without_a_reply_is_quoted(fault: Step, said: str):
    message, server = failure([fault])
    assert said in message
    assert "status 200, and the body begins" in message
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422, 307])
def test_what_another_try_would_meet_again_is_not_tried_again(code: int):
    message, server = failure([status(code, "wrong")])
    assert f"status {code}, and the body begins 'wrong'" in message
    assert len(server.bodies) == 1


def test_a_wrong_model_name_lists_those_that_are_there():
    listed = {"object": "list", "data": [{"id": "judge-7b"}, {"id": "judge-70b"}]}
    message, server = failure([status(404, "no such model")], models=listed)
    assert message.endswith("the endpoint lists the models judge-7b, judge-70b")
    assert [path for path, _, _ in server.requests] == ["/v1/chat/completions", "/v1/models"]


def test_a_reply_cut_before_its_first_word_is_empty():
    with serving([body(completion(None, finish_reason="length"))]) as server:
        found = engine(server).ask([QUESTION], Decoding(), seeds=[0])
    assert found == [Reply(text="", finish="length", model="the-model-0613")]


def logprobs(*values: object) -> dict[str, Any]:
    return {"content": [{"token": "x", "logprob": value, "top_logprobs": []} for value in values]}


def test_log_probs_come_when_they_are_asked_for():
    with serving([answer("an opal", logprobs=logprobs(-0.5, -1.25, 0))]) as server:
        asked, plain = (engine(server).ask([QUESTION], Decoding(), seeds=[0], logps=wanted) for wanted in (True, False))
    assert asked[0].logps == (-0.5, -1.25, 0.0)
    assert plain[0].logps is None
    assert [request.get("logprobs") for request in server.bodies] == [True, None]


@pytest.mark.parametrize(
    "given",
    [{}, {"logprobs": None}, {"logprobs": {"content": []}}, {"logprobs": logprobs(-1.0, None)}]
    + [{"logprobs": logprobs(value)} for value in (0.5, "-1", float("nan"), float("-inf"), True)],
)
def test_dropped_or_impossible_log_probs_are_an_error_at_once(given: dict[str, Any]):
    message, server = failure([answer("an opal", **given)], logps=True)
    assert "log-probs were asked for, and" in message
    assert "ask an endpoint that gives them, or none" in message
    assert len(server.requests) == 1


def test_the_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("JUDGE_KEY", f"{KEY}\n")
    with serving([answer("ok")]) as server:
        one = engine(server, Journal(tmp_path / "journal", resume=False), key_variable="JUDGE_KEY")
        one.reply(QUESTION, Decoding(), seed=0)
    assert server.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in (tmp_path / "journal").read_text()
    assert KEY not in repr(one) + repr(one.endpoint)
    message, _ = failure([status(401, "x" * 280 + f"wrong key {KEY}!")], key_variable="JUDGE_KEY")
    assert "status 401" in message
    assert KEY[:6] not in message


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "no such variable is set; type: export JUDGE_KEY="), ("", "no such variable"), ("a b", "holds spaces")],
)
def test_a_key_that_cannot_be_used_is_refused_unquoted(value: str | None, said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(ConfigError, match=said) as caught:
        RemoteEngine(Endpoint(url="http://localhost/v1", model="m", key_variable="JUDGE_KEY"))
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "is no http or https URL"),
        ("ftp://host/v1", "is no http or https URL"),
        ("http://", "with a host"),
        ("http://[bad/v1", "is no URL"),
        ("http://ada:secret@host/v1", "holds a user, a query or a fragment"),
        ("http://host/v1?key=secret", "name a variable in key_variable"),
        ("http://host/v1/chat/completions/", "ends in /chat/completions"),
    ],
)
def test_a_url_that_cannot_be_a_base_is_refused(url: str, said: str):
    with pytest.raises(ValueError, match=said):
        Endpoint(url=url, model="m")


def test_what_the_protocol_has_no_word_for_is_refused():
    with serving([answer("ok")]) as server, pytest.raises(ConfigError, match="top_k is 5, and chat completions"):
        engine(server).reply(QUESTION, Decoding(top_k=5), seed=0)
    assert server.requests == []


def test_rl_is_refused_by_name():
    with serving([answer("ok")]) as server, pytest.raises(ConfigError, match="RL needs a token engine, and the endp"):
        engine(server).sample([], Decoding(), seed=0)


def test_waits_double_up_to_a_limit_and_differ_by_question_alone():
    endpoint = Endpoint(url="http://host/v1", model="m", first_wait_seconds=1.0, longest_wait_seconds=20.0)
    for tries, full in ((1, 1.0), (2, 2.0), (3, 4.0), (6, 20.0), (500, 20.0)):
        waits = [wait_seconds(endpoint, tries, "question", number) for number in range(200)]
        assert all(full / 2 <= wait < full for wait in waits)
        assert max(waits) - min(waits) > 0.4 * full
        assert waits == [wait_seconds(endpoint, tries, "question", number) for number in range(200)]


def test_a_journal_answers_what_was_asked_before_and_nothing_else(tmp_path: Path):
    texts = ["a", "b", "c"]
    path = tmp_path / "journal.jsonl"
    with serving([echo]) as server:
        first = engine(server, Journal(path, resume=False), concurrency=1)
        first.replies([[user(text)] for text in texts], Decoding(), seeds=[0, 1, 2])
        path.write_text(path.read_text() + '{"request": "cut')
        journal = Journal(path, resume=True)
        assert len(journal) == 3
        again = engine(server, journal)
        assert again.replies([[user(text)] for text in texts], Decoding(), seeds=[0, 1, 2]) == texts
        assert len(server.requests) == 3
        again.reply([user("a")], Decoding(), seed=9)
        again.reply([user("a")], Decoding(temperature=0.5), seed=0)
        again.ask([[user("d")]], Decoding(), seeds=[0])
        assert len(server.requests) == 6
    assert len(Journal(path, resume=True)) == 6
    assert len(Journal(path, resume=False)) == 0
    assert path.read_text() == ""


def test_what_had_come_before_a_lasting_fault_is_kept(tmp_path: Path):
    journal = Journal(tmp_path / "journal", resume=False)
    with serving([echo, echo, status(400, "no")]) as server:
        one = engine(server, journal, concurrency=1)
        with pytest.raises(EndpointError) as caught:
            one.replies([[user(text)] for text in "defgh"], Decoding(), seeds=[0] * 5)
    assert caught.value.place == 2
    assert len(journal) == 2
    assert len(server.requests) == 3


def test_the_list_of_models_says_whether_the_endpoint_is_there(monkeypatch: pytest.MonkeyPatch):
    with serving([answer("x")], models={"data": [{"id": "a"}, {"id": "b"}]}) as server:
        assert engine(server).offered() == ("a", "b")
    with serving([answer("x")]) as server:
        assert engine(server).offered() is None
    with pytest.raises(EndpointError, match="ConnectError"):
        engine(server).offered()
    monkeypatch.setenv("JUDGE_KEY", KEY)
    refused = pytest.raises(EndpointError, match=r"status 401, and the body begins 'bad key \[key\]'")
    with serving([answer("x")], models=status(401, f"bad key {KEY}")) as server, refused:
        engine(server, key_variable="JUDGE_KEY").offered()


def test_it_works_where_a_loop_runs_already():
    async def in_a_notebook(one: RemoteEngine) -> str:
        return one.reply(QUESTION, Decoding(), seed=0)

    with serving([answer("an opal")]) as server:
        assert asyncio.run(in_a_notebook(engine(server))) == "an opal"
