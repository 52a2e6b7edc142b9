"""The studio in a real browser (Playwright with the system's Chromium): no vote is lost or doubled, whatever happens to
the network and the server; hostile texts raise nothing; each kind of work is done by keys alone.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from burnish.studio.app import open_studio
from burnish.studio.caller import Studio
from burnish.studio.contents import shown
from burnish.studio.demo import fill
from burnish.studio.people import new_person
from burnish.studio.record import content_class
from burnish.studio.settings import StudioSettings
from burnish.studio.tables import Judgement, Project, Vote
from tests.studio.studio_people import compare, items

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "correct horse battery"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e\"' onclick=alert(3) javascript:alert(4)"
NAME = "<img src=x onerror=alert(1)>"

pytestmark = [
    pytest.mark.studio,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")


class Server:
    """A studio in a process of its own, which can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def open(self) -> Studio:
        return open_studio(StudioSettings(folder=str(self.folder)))

    def start(self) -> None:
        words = [sys.executable, "-m", "burnish", "studio", "--folder", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.address}/login", timeout=1).close()
                return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                assert self.process.poll() is None, "the studio did not start"
                time.sleep(0.1)
        raise AssertionError("the studio did not answer within a minute")

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    made = Server(tmp_path / "studio")
    yield made
    made.kill()


def person(server: Server, name: str = "Ada", role: str = "annotator") -> None:
    studio = server.open()
    with studio.database.write() as session:
        new_person(session, name=name, password=PASSWORD, role=role, languages=["en", "is", "sv"], now=studio.clock())
    studio.database.close()


def sign_in(server: Server, chromium, name: str = "Ada", **options: object):
    """A page of somebody who is signed in; what should never happen is written to `page.wrong`."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 820}, **options})
    page = context.new_page()
    wrong: list[str] = []
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
    page.goto(f"{server.address}/")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("button.main")
    page.wait_for_selector("#log-out")
    return page, wrong


def votes(server: Server) -> list[tuple[int, int]]:
    """How many judgements each judged item has."""
    studio = server.open()
    with studio.database.read() as session:
        query = select(Judgement.item_id, func.count()).group_by(Judgement.item_id).order_by(Judgement.item_id)
        found = [(item, count) for item, count in session.execute(query)]
    studio.database.close()
    return found


def until(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to hold within 20 seconds")


def test_a_vote_survives_no_network_a_reload_and_a_killed_server_and_is_there_once(server, chromium):
    person(server)
    studio = server.open()
    with studio.database.write() as session:
        items(session, compare(session, overlap=2), 4)
    studio.database.close()
    server.start()
    page, wrong = sign_in(server, chromium)
    page.goto(f"{server.address}/projects/gems/work")
    page.wait_for_selector("#work[data-item]")
    first = page.get_attribute("#work", "data-item")
    page.wait_for_timeout(500)  # the next item is fetched ahead
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#work:not([data-item='{first}'])")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.get_by_text("2 waiting to be sent").wait_for()
    with pytest.raises(playwright.Error, match="ERR_INTERNET_DISCONNECTED"):
        page.reload()
    server.kill()
    assert votes(server) == []
    page.context.set_offline(False)
    with pytest.raises(playwright.Error, match="ERR_CONNECTION_REFUSED"):
        page.goto(f"{server.address}/projects/gems/work")
    server.start()
    page.goto(f"{server.address}/projects/gems/work")
    until(lambda: [count for _, count in votes(server)] == [1, 1])
    page.wait_for_selector("#outbox[hidden]", state="attached")
    page.wait_for_selector("#work[data-item]")
    assert page.get_attribute("#work", "data-item") != first
    page.reload()
    page.wait_for_selector("#work[data-item]")
    assert [count for _, count in votes(server)] == [1, 1]
    assert wrong == []


def test_a_vote_whose_answer_never_came_is_sent_again_and_is_there_once(server, chromium):
    person(server)
    studio = server.open()
    with studio.database.write() as session:
        items(session, compare(session, overlap=2), 3)
    studio.database.close()
    server.start()
    page, wrong = sign_in(server, chromium)
    sent: list[str] = []

    def swallow(route) -> None:
        sent.append(route.request.post_data_json["client_id"])
        if len(sent) < 3:
            route.fetch()  # the studio takes it, and the browser never hears of it
            route.abort()
        else:
            route.continue_()

    page.route("**/api/judgements", swallow)
    page.goto(f"{server.address}/projects/gems/work")
    page.wait_for_selector("#work[data-item]")
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    page.wait_for_selector("#outbox", state="visible")
    page.wait_for_selector("#outbox[hidden]", state="attached")
    assert len(sent) == 3, sent
    assert len(set(sent)) == 1
    assert [count for _, count in votes(server)] == [1]
    assert wrong == []


def test_hostile_texts_raise_nothing_in_a_browser(server, chromium):
    person(server, name=NAME, role="admin")
    studio = server.open()
    with studio.database.write() as session:
        for kind in ("compare", "rank", "rate", "thumbs", "spans", "evaluate", "demonstrate"):
            project = compare(session, slug=kind, kind=kind, overlap=1)
            project.title = HOSTILE
            project.options = {**project.options, "reasons": [HOSTILE], "labels": [HOSTILE], "scales": [HOSTILE]}
            count = {"thumbs": 1, "spans": 1, "evaluate": 0, "demonstrate": 0}.get(kind, 2)
            for item in items(session, project, 2, num_answers=count):
                item.prompt = [{"role": "user", "content": HOSTILE}]
                item.answers = [{"messages": [{"role": "assistant", "content": HOSTILE}], "model": None}] * count
    studio.database.close()
    server.start()
    page, wrong = sign_in(server, chromium, NAME)
    for kind in ("compare", "rank", "rate", "thumbs", "spans", "evaluate", "demonstrate"):
        page.goto(f"{server.address}/projects/{kind}/work")
        page.wait_for_selector("#work[data-item]")
        assert HOSTILE in page.text_content("#work")
        assert page.locator("#work img, #work script, [onclick], [onerror]").count() == 0
    for name in ("progress", "settings", "review", "mine", "numbers"):
        page.goto(f"{server.address}/projects/compare/{name}")
        page.wait_for_selector("h1")
    page.goto(f"{server.address}/admin")
    assert wrong == []


SCALES = ("helpful", "honest", "harmless", "coherent")
KEYS = {
    "compare": (["2", "2", "Enter"], {"better": 1, "strength": 2}),
    "rank": (["ArrowDown", "Shift+ArrowDown", "Enter"], {"ranks": [1, 0, 2, 3]}),
    "rate": (
        [*"54321234", "Enter"],
        {"scores": [dict(zip(SCALES, given, strict=True)) for given in ((5, 4, 3, 2), (1, 2, 3, 4))]},
    ),
    "thumbs": (["1", "Enter"], {"good": True}),
    "spans": (
        ["ArrowRight", "Shift+ArrowRight", "2", "Enter"],
        {"spans": [{"answer": 0, "start": 0, "label": "wrong"}]},
    ),
    "evaluate": (["r", "1", "Enter"], {"verdict": "reject", "reasons": ["unclear"]}),
    "demonstrate": (["w", "type:It is a gem.", "Control+Enter"], {"text": "It is a gem."}),
    "reformulate": (["w", "type:Ḥvað er þetta?", "Control+Enter"], {"text": "Ḥvað er þetta?"}),
    "create": (["w", "type:What is jade?", "Control+Enter"], {"text": "What is jade?"}),
}


def test_each_kind_of_work_is_done_by_keys(server, chromium):
    studio = server.open()
    with studio.database.write() as session:
        fill(session, studio.secret, studio.clock())
    studio.database.close()
    person(server, name="Eva", role="admin")
    server.start()
    page, wrong = sign_in(server, chromium, "Eva")
    for kind, (keys, expected) in KEYS.items():
        page.goto(f"{server.address}/projects/demo-{kind}/work")
        page.wait_for_selector("#work[data-item]")
        item = page.get_attribute("#work", "data-item")
        for key in keys:
            if key.startswith("type:"):
                page.keyboard.type(key[5:])
            else:
                page.keyboard.press(key)
        page.wait_for_selector("#outbox[hidden]", state="attached")
        page.wait_for_selector(f"#work:not([data-item='{item}']), #rest")
        content = _seen(server, int(item))
        if kind == "spans":
            (mark,) = content["spans"]
            assert mark.pop("end") > 8, "two words"
        assert content == expected, kind
    assert wrong == []


def test_the_arena_is_done_by_keys_and_a_vote_is_sent_once(server, chromium):
    studio = server.open()
    with studio.database.write() as session:
        fill(session, studio.secret, studio.clock())
        before = session.query(Vote).count()
    studio.database.close()
    person(server, name="Eva")
    server.start()
    page, wrong = sign_in(server, chromium, "Eva")
    page.goto(f"{server.address}/projects/demo-arena/work")
    page.wait_for_selector("#work[data-conversation]")
    page.keyboard.type(HOSTILE)  # the field has the focus
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#votes")
    assert all(text.strip() for text in page.locator("[data-side]").all_text_contents())
    assert page.locator("h2 .part").count() == 0
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("h2 .part")
    page.reload()
    page.wait_for_selector("h2 .part")
    page.wait_for_selector("#outbox[hidden]", state="attached")
    studio = server.open()
    with studio.database.read() as session:
        assert session.query(Vote).count() == before + 1
        assert session.query(Vote).order_by(Vote.id.desc()).first().better == "left"
    studio.database.close()
    assert wrong == []


def _seen(server: Server, item: int) -> dict[str, object]:
    """The newest judgement of an item, by the places at which the answers stood on the screen."""
    studio = server.open()
    with studio.database.read() as session:
        found = session.scalars(
            select(Judgement).where(Judgement.item_id == item).order_by(Judgement.id.desc())
        ).first()
        kind = content_class(session.get_one(Project, found.project_id))
    studio.database.close()
    return shown(kind, found.content, found.shown_order)
