"""The arena over HTTP, with scripted endpoints: streams, faults, who leaves, restarts, and what nobody is told."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import argon2
import httpx2
import pytest
import uvicorn
from starlette.requests import ClientDisconnect

from burnish.config import load
from burnish.errors import ConfigError, EndpointError
from burnish.studio import passwords
from burnish.studio.app import app_of
from burnish.studio.arena_answers import Events
from burnish.studio.arena_models import ArenaModel, Scripted, in_step, speakers
from burnish.studio.demo import fill
from burnish.studio.exporting import export
from burnish.studio.projects import change_project, project_named
from burnish.studio.tables import Conversation
from burnish.studio.views.ratings import ratings
from tests.studio.studio_browser import Browser, studio
from tests.studio.studio_people import SECRET, compare

NAMES = ("amber", "beryl")


class Endpoint:
    """Chat completions from a script: `say` holds the words of an answer, or what goes wrong."""

    def __init__(self) -> None:
        self.words: list[str] = ["one", " two"]
        self.fault = ""
        self.pause = 0.0
        self.bodies: list[dict] = []
        self.keys: list[str] = []
        self.cut = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                endpoint.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                endpoint.keys.append(self.headers.get("Authorization", ""))
                self.send_response(500 if endpoint.fault == "status" else 200)
                self.send_header("Server-Model", endpoint.bodies[-1]["model"])
                self.end_headers()
                try:
                    endpoint.write(self.wfile)
                except OSError:
                    endpoint.cut.set()

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def write(self, out) -> None:
        for word in self.words:
            time.sleep(self.pause)
            out.write(b"data: " + json.dumps({"choices": [{"delta": {"content": word}}]}).encode() + b"\n\n")
            out.flush()
        if self.fault == "hang":
            for _ in range(200):
                time.sleep(0.05)
                out.write(b": still here\n\n")
                out.flush()
        out.write({"": b"data: [DONE]\n\n", "junk": b"data: {no json\n\n"}.get(self.fault, b""))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoints():
    made = [Endpoint(), Endpoint()]
    yield made
    for endpoint in made:
        endpoint.close()


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()


@pytest.fixture
def at(sqlite, tmp_path, endpoints, monkeypatch):
    monkeypatch.setenv("AMBER_KEY", "a-key-of-amber")
    models = {
        name: {"url": endpoint.url, "model": f"secret-{name}", "timeout_seconds": 1.5}
        for name, endpoint in zip(NAMES, endpoints, strict=True)
    }
    models["amber"]["key_variable"] = "AMBER_KEY"
    (tmp_path / "models.yaml").write_text(json.dumps(models), encoding="utf-8")
    with sqlite.write() as session:
        compare(session, slug="chat", kind="arena", overlap=1, options={"models": list(NAMES)})
    return studio(sqlite, tmp_path, lambda: 1_800_000_000_000, models=str(tmp_path / "models.yaml"))


@pytest.fixture
def ada(at):
    return Browser(at).join("Ada")


def events(text: str) -> list[tuple[str, dict]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(head.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for head, data in blocks]


def begin(browser: Browser) -> int:
    answer = browser.post("/api/projects/chat/arena", {"language": "en"})
    assert answer.status_code == 200, answer.text
    return answer.json()["conversation"]


def say(browser: Browser, conversation: int, text: str = "What is opal?"):
    return browser.post(f"/api/arena/{conversation}/say", {"text": text})


def ballot(turn: int, better: str | None = "left", name: str = "a-vote-of-ada", **more) -> dict:
    return {"client_id": name, "turn": turn, "better": better, **more}


def test_both_models_answer_as_events_and_a_vote_tells_who_they_were(ada, at, endpoints):
    endpoints[0].words, endpoints[1].words = ["It is", " a gem."], ["No", " idea", ", sorry."]
    conversation = begin(ada)
    answer = say(ada, conversation)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    found = events(answer.text)
    assert found[0][0] == "turn"
    assert found[-1][0] == "done"
    turn = found[0][1]["turn"]
    streamed = {side: "".join(data[side] for name, data in found if name == "text") for side in ("left", "right")}
    assert sorted(streamed.values()) == ["It is a gem.", "No idea, sorry."]
    (last,) = ada.get(f"/api/arena/{conversation}").json()["turns"]
    assert {side: last[side] for side in ("left", "right")} == streamed
    told = ada.post("/api/arena/votes", ballot(turn)).json()
    amber = next(side for side in streamed if streamed[side] == "It is a gem.")
    assert told["models"][amber] == "amber"
    assert set(told["models"].values()) == set(NAMES)
    assert ada.post("/api/arena/votes", ballot(turn)).json() == {**told, "repeated": True}
    assert ada.post("/api/arena/votes", ballot(turn, "right")).json()["code"] == "other-content"
    with at.database.read() as session:
        (line,) = export(session, project_named(session, "chat"), "preferences", "jsonl")
    assert json.loads(line)["completions"][0]["messages"][-1]["content"] == streamed["left"]


def test_the_next_turn_is_heard_with_its_own_sides_answers(ada, endpoints):
    endpoints[0].words, endpoints[1].words = ["from amber"], ["from beryl"]
    conversation = begin(ada)
    say(ada, conversation, "one")
    say(ada, conversation, "two")
    for name, endpoint in zip(NAMES, endpoints, strict=True):
        assert [message["content"] for message in endpoint.bodies[-1]["messages"]] == ["one", f"from {name}", "two"]
        assert endpoint.bodies[-1]["model"] == f"secret-{name}"
    assert endpoints[0].keys[-1] == "Bearer a-key-of-amber"
    assert endpoints[1].keys[-1] == ""


@pytest.mark.parametrize("fault", ["status", "junk", "hang", "cut off", "empty"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_fault_says_the_same_whichever_model_it_is_and_the_turn_is_answered_later(
    ada, endpoints, fault, which, caplog
):
    endpoints[which].fault = "" if fault == "empty" else fault
    endpoints[which].words = [] if fault == "empty" else ["some"]
    conversation = begin(ada)
    answer = say(ada, conversation)
    name, data = events(answer.text)[-1]
    expected = {"code": "no-answer", "message": "the models could not answer just now; try again"}
    assert (name, data) == ("error", expected)
    said = answer.text + str(answer.headers) + ada.get(f"/api/arena/{conversation}").text
    assert not any(word in said for word in (*NAMES, "127.0.0.1:", "a-key", "Server-Model"))
    assert "has no answers" in caplog.text
    (turn,) = ada.get(f"/api/arena/{conversation}").json()["turns"]
    assert (turn["left"], turn["right"]) == (None, None)
    assert ada.post("/api/arena/votes", ballot(turn["turn"])).json()["code"] == "unanswered"
    assert say(ada, conversation, "and more?").json()["code"] == "unanswered"
    endpoints[which].fault, endpoints[which].words = "", ["well"]
    again = ada.post(f"/api/arena/{conversation}/answer")
    assert events(again.text)[-1][0] == "done"
    assert ada.post(f"/api/arena/{conversation}/answer").json()["code"] == "answered"
    assert events(say(ada, conversation, "and more?").text)[-1][0] == "done"


def test_nothing_tells_a_model_before_the_vote(ada, at):
    conversation = begin(ada)
    pages = [say(ada, conversation), ada.get(f"/api/arena/{conversation}")]
    for answer in pages:
        said = answer.text + str(answer.headers)
        assert not any(word in said for word in (*NAMES, "secret-", "127.0.0.1:"))
    assert pages[-1].json()["models"] is None


def test_nobody_reads_or_continues_anothers_conversation(ada, at):
    conversation = begin(ada)
    turn = events(say(ada, conversation).text)[0][1]["turn"]
    for role in ("annotator", "reviewer", "admin"):
        other = Browser(at).join(f"other {role}", role)
        for answer in (
            other.get(f"/api/arena/{conversation}"),
            say(other, conversation),
            other.post(f"/api/arena/{conversation}/answer"),
            other.post("/api/arena/votes", ballot(turn)),
        ):
            assert answer.status_code == 404, answer.text


def test_an_arena_whose_model_the_server_does_not_know_is_not_begun(ada, at):
    with at.database.write() as session:
        change_project(session, project_named(session, "chat"), {"options": {"models": [*NAMES, "coral"]}})
    answer = ada.post("/api/projects/chat/arena", {"language": "en"})
    assert (answer.status_code, answer.json()["code"]) == (422, "models")
    assert "coral" in answer.json()["message"]


async def pieces(words: list[str], *, pause: float = 0.0):
    for word in words:
        await asyncio.sleep(pause)
        yield word


def stepped(*streams, **more) -> list[tuple[str, ...]]:
    async def run():
        return [piece async for piece in in_step(streams, **more)]

    return asyncio.run(run())


def test_who_is_faster_and_who_ends_first_is_not_seen():
    fast, slow = ["abcdef"], list("ABCDEFGHI")
    for streams in ((pieces(fast), pieces(slow, pause=0.01)), (pieces(slow, pause=0.01), pieces(fast))):
        found = stepped(*streams)
        longest = 6
        together = [piece for piece in found if len(piece[0]) == len(piece[1])]
        assert len(together) == longest
        assert [sorted(piece) for piece in found[longest:]] == [["", "GHI"]], "the rest only once both have ended"


def test_a_sign_of_life_comes_while_nothing_else_does():
    found = stepped(pieces(["a"], pause=0.2), pieces(["b"]), patience=0.03)
    assert found[0] == ("", "")
    assert found[-1] == ("a", "b")


def test_a_failed_stream_ends_the_other():
    closed = []

    async def failing():
        yield "a"
        raise EndpointError("gone")

    async def endless():
        try:
            while True:
                await asyncio.sleep(0.01)
                yield "b"
        finally:
            closed.append(True)

    with pytest.raises(EndpointError):
        stepped(failing(), endless())
    assert closed == [True]


def test_events_are_closed_when_the_browser_goes_between_two_of_them():
    closed = []

    async def endless():
        try:
            while True:
                yield "data: {}\n\n"
        finally:
            closed.append(True)

    async def send(message):
        if message["type"] == "http.response.body":
            raise OSError

    async def run():
        with pytest.raises(ClientDisconnect):
            await Events(endless())({"type": "http", "asgi": {"spec_version": "2.4"}}, None, send)
        assert closed == [True]

    asyncio.run(run())


class Server:
    """The studio on a port, as it is really served."""

    def __init__(self, at) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        config = uvicorn.Config(app_of(at), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(10)
        self.listener.close()


def until(done, seconds: float = 10.0) -> bool:
    for _ in range(int(seconds / 0.05)):
        if done():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("restarts", [False, True])
def test_who_leaves_in_mid_stream_and_a_restart_leave_a_turn_that_can_be_answered(ada, at, endpoints, restarts):
    endpoints[0].words, endpoints[1].words = ["x"] * 5, ["y"] * 5
    endpoints[1].fault = "hang"
    models = Path(at.settings.models)
    patient = {name: {**one, "timeout_seconds": 60.0} for name, one in json.loads(models.read_text()).items()}
    models.write_text(json.dumps(patient), encoding="utf-8")
    conversation = begin(ada)
    server = Server(at)
    cookies = {"burnish": ada.client.cookies["burnish"]}
    address = f"{server.url}/api/arena/{conversation}"
    try:
        with httpx2.stream(
            "POST", f"{address}/say", json={"text": "hello"}, headers=ada.headers(), cookies=cookies, timeout=20
        ) as answer:
            lines = answer.iter_lines()
            assert any("left" in line for line in lines)
            same = httpx2.post(f"{address}/answer", headers=ada.headers(), cookies=cookies)
            assert same.json()["code"] == "being-answered"
            if restarts:
                server.stop()
        assert endpoints[1].cut.wait(10), "the model is not asked on for nobody"
        endpoints[1].fault = ""
        if restarts:
            server = Server(at)
            address = f"{server.url}/api/arena/{conversation}"

        def again() -> str:
            return httpx2.post(f"{address}/answer", headers=ada.headers(), cookies=cookies, timeout=20).text

        found: list[str] = []
        assert until(lambda: "being-answered" not in (found.append(again()) or found[-1]))
        assert events(found[-1])[-1][0] == "done"
    finally:
        server.stop()
    (turn,) = ada.get(f"/api/arena/{conversation}").json()["turns"]
    assert {turn["left"], turn["right"]} == {"xxxxx", "yyyyy"}


def test_the_first_vote_of_a_conversation_joins_the_ratings(ada, at):
    for number in range(4):
        conversation = begin(ada)
        for text in ("one", "two"):
            turn = events(say(ada, conversation, text).text)[0][1]["turn"]
            with at.database.read() as session:
                is_left = session.get_one(Conversation, conversation).left == "amber"
            better = "left" if is_left == (text == "one") else "right"
            ada.post("/api/arena/votes", ballot(turn, better, f"vote-{number}-{text}"))
    with at.database.read() as session:
        entries = ratings(session, project_named(session, "chat"))
    assert [(entry["model"], entry["wins"], entry["losses"]) for entry in entries] == [("amber", 4, 0), ("beryl", 0, 4)]
    assert entries[0]["rating"] > entries[1]["rating"]


def test_the_sample_work_has_an_arena_that_answers(sqlite, tmp_path, monkeypatch):
    with sqlite.write() as session:
        fill(session, SECRET, 1_800_000_000_000)
        entries = ratings(session, project_named(session, "demo-arena"))
    assert [entry["model"] for entry in entries] == ["demo-brief", "demo-chatty"]
    for speaker in speakers("").values():
        assert isinstance(speaker, Scripted)
        monkeypatch.setattr(speaker, "seconds", 0.0)
    ada = Browser(studio(sqlite, tmp_path, lambda: 1_800_000_000_000)).join("Somebody")
    conversation = ada.post("/api/projects/demo-arena/arena", {"language": "en"}).json()["conversation"]
    name, data = events(say(ada, conversation, "{gems} and %s").text)[-1]
    assert name == "done"
    assert all("{gems} and %s" in data["turns"][0][side] for side in ("left", "right"))


def test_my_votes_are_shown_as_they_were_given_and_to_nobody_else(at):
    ada, bo = Browser(at).join("Ada"), Browser(at).join("Bo")
    conversation = begin(ada)
    assert ada.get("/api/projects/chat/mine").json() == {"votes": []}
    told = [events(say(ada, conversation, text).text) for text in ("<b>one</b>", "two", "three")]
    assert ada.get("/api/projects/chat/mine").json() == {"votes": []}
    sides = ("left", None, "right")
    for number, (better, turn) in enumerate(zip(sides, told, strict=True)):
        assert ada.post("/api/arena/votes", ballot(turn[0][1]["turn"], better, f"vote-{number:04d}")).status_code == 200
    third, second, first = ada.get("/api/projects/chat/mine").json()["votes"]
    assert [turn["text"] for turn in second["turns"]] == ["<b>one</b>", "two"]
    assert [one["content"]["better"] for one in (first, second, third)] == ["left", None, "right"]
    assert first["turns"][0]["left"] == "one two"
    assert sorted(first["models"].values()) == sorted(NAMES)
    page = ada.get("/projects/chat/mine").text
    assert "&lt;b&gt;one&lt;/b&gt;" in page
    assert "<b>" not in page
    assert page.count("The left answer was better") == page.count("A tie") == page.count("The right answer was") == 1
    assert bo.get("/api/projects/chat/mine").json() == {"votes": []}


def test_what_is_wrong_with_the_models_file_is_told_at_the_start(tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text(json.dumps({"amber": {"url": "http://me:pass@host", "model": "x"}}), encoding="utf-8")
    with pytest.raises(ConfigError, match="holds a user"):
        speakers(str(file))
    with pytest.raises(ConfigError, match="url"):
        load(ArenaModel, {"model": "x"})
