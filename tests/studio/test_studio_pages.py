"""The pages: for each role, with hostile texts, without anything inline; static files, contrast, shown keys."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import argon2
import pytest

from burnish.studio import passwords
from burnish.studio.access import ACCESS, allowed
from burnish.studio.assignment import flag
from burnish.studio.kinds import KINDS
from burnish.studio.pages_frame import STATIC, TEMPLATES, unbent, version
from burnish.studio.pages_shortcuts import shortcuts
from burnish.studio.pages_static import TYPES
from burnish.studio.pages_words import said
from burnish.studio.projects import publish
from burnish.studio.tables import Item, Person
from tests.studio.studio_browser import Browser, studio
from tests.studio.studio_people import compare, items

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</textarea></title><svg onload=alert(1)>",
    "\u202egnp.exe\u2066",
    "{{ 7*7 }}{% raw %}",
)
PAGES = [path for _, path in ACCESS if not path.startswith(("/api/", "/static/"))]
CONTENT = {
    "compare": {"better": 0, "strength": 2},
    "rank": {"ranks": [1, 0]},
    "rate": {"scores": [dict.fromkeys(("helpful", "honest", "harmless", "coherent"), 3)]},
    "thumbs": {"good": True},
    "spans": {"spans": [{"answer": 0, "start": 0, "end": 3, "label": "wrong", "comment": HOSTILE[0]}]},
    "evaluate": {"verdict": "edit", "text": HOSTILE[1], "reasons": ["unclear"]},
}


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()


@pytest.fixture
def at(sqlite, tmp_path):
    return studio(sqlite, tmp_path, lambda: 1_800_000_000_000)


class Page(HTMLParser):
    """What a page holds: elements with their attributes, and each text with the elements around it."""

    VOID = frozenset(("meta", "link", "input", "br", "img", "rect", "line", "circle", "path"))

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, tuple[str, ...], bool]] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.elements.append((tag, found))
        if tag not in self.VOID:
            self._open.append((tag, tag == "bdi" or "dir" in found))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        around = tuple(tag for tag, _ in self._open)
        self.texts.append((data, around, any(isolates for _, isolates in self._open)))


def check_clean(text: str) -> Page:
    """That nothing in a page can run, and nothing is inline."""
    page = Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("style", "img", "iframe", "object", "embed", "base"), tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        if tag == "script":
            assert (attributes["src"] or "").startswith(f"/static/{version()}/"), attributes
        for name in ("href", "src", "action"):
            assert (attributes.get(name) or "/").startswith(("/", "#")), (tag, attributes)
    assert not [data for data, around, _ in page.texts if "script" in around and data.strip()]
    return page


def hostile_project(at, kind: str, text: str) -> None:
    """A project whose every text is hostile, judged by two people who disagree."""
    fewest = KINDS[kind].fewest
    with at.database.write() as session:
        project = compare(session, slug=f"x-{kind}", kind=kind, overlap=1 if kind == "create" else 2)
        project.title = text
        project.options = {**project.options, "reasons": [text, "unclear"]}
        publish(session, project, text, author_id=None, now=0)
        if kind in ("create", "arena"):
            return
        made = items(session, project, 2, num_answers=fewest)
        for item in made:
            item.prompt = [{"role": "user", "content": text}]
            item.answers = [
                {"messages": [{"role": "assistant", "content": text}], "model": f"{text}{n}"} for n in range(fewest)
            ]


def judge(at, browser: Browser, kind: str, number: int) -> None:
    task = browser.post(f"/api/projects/x-{kind}/next").json()["task"]
    if task is None:
        return
    content = CONTENT.get(kind, {"text": HOSTILE[number % len(HOSTILE)]})
    if number and kind == "compare":
        content = {"better": 1, "strength": 1}
    body = {"client_id": f"client-{kind}-{number}", "item": task["item"], "content": {**content, "comment": HOSTILE[0]}}
    answer = browser.post("/api/judgements", {**body, "guideline_version": 1})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("role", ["annotator", "reviewer", "admin", None])
def test_every_page_renders_for_those_it_is_for(at, role):
    with at.database.write() as session:
        for kind in KINDS:
            project = compare(session, slug=f"x-{kind}", kind=kind, overlap=1 if kind == "create" else 2)
            if kind not in ("create", "arena"):
                items(session, project, 1, num_answers=KINDS[kind].fewest)
    browser = Browser(at) if role is None else Browser(at).join("Ada", role)
    for path in PAGES:
        least = ACCESS["GET", path]
        for slug in [f"x-{kind}" for kind in KINDS] if "{slug}" in path else [""]:
            answer = browser.get(path.format(slug=slug))
            assert answer.status_code == (200 if allowed(least, role) else 401 if role is None else 403), (path, slug)
            assert answer.headers["content-type"].startswith("text/html")
            assert answer.headers["cache-control"] == "no-store"
            page = check_clean(answer.text)
            tags = [tag for tag, _ in page.elements]
            assert tags.count("main") == tags.count("h1") == 1
            assert ("html", {"lang": "en"}) in page.elements
            if role is None and least != "anyone":
                assert "Sign in" in answer.text


def test_what_only_some_may_see_is_in_the_table():
    own = {path for path in PAGES if ACCESS["GET", path] != "annotator"}
    assert own == {"/login", "/join", "/admin"} | {
        f"/projects/{{slug}}/{name}" for name in ("numbers", "review", "settings")
    }
    assert ACCESS["GET", "/admin"] == ACCESS["GET", "/projects/{slug}/settings"] == "admin"
    assert ACCESS["GET", "/projects/{slug}/review"] == ACCESS["GET", "/projects/{slug}/numbers"] == "reviewer"


def test_a_page_that_is_not_there_says_so_as_a_page(at):
    browser = Browser(at).join("Ada")
    for path in ("/projects/none/work", "/nowhere", "/projects/x/work?correct=0"):
        answer = browser.get(path)
        assert answer.status_code in (404, 422)
        assert "This page is not shown" in answer.text
    assert browser.get("/api/projects/none").json()["code"] == "project"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_as_they_are_and_run_nothing(at, text):
    admin, other = Browser(at).join("Ada", "admin"), Browser(at).join("Bo")
    with at.database.write() as session:
        session.query(Person).filter_by(name="Ada").one().name = text
    for kind in KINDS:
        hostile_project(at, kind, text)
        if KINDS[kind].content is not None:
            for number, browser in enumerate((admin, other, admin, other)):
                judge(at, browser, kind, number)
    with at.database.write() as session:
        who = session.query(Person).filter_by(name=text).one()
        for item in session.query(Item).filter(Item.judged > 0).all()[:2]:
            flag(session, item.id, who, reason=text, comment=text, now=0)
    seen = 0
    for path in PAGES:
        for kind in KINDS if "{slug}" in path else [""]:
            answer = admin.get(path.format(slug=f"x-{kind}"))
            assert answer.status_code == 200, (path, kind, answer.text)
            page = check_clean(answer.text)
            for data, around, isolated in page.texts:
                if "title" in around:
                    assert unbent(data) == data
                elif text in data and not set(around) & {"option", "textarea"}:
                    seen += 1
                    assert isolated, (path, kind, data, around)
    assert seen > 50


def test_a_correction_comes_with_what_was_said(at):
    ada = Browser(at).join("Ada")
    hostile_project(at, "compare", HOSTILE[1])
    judge(at, ada, "compare", 0)
    (mine,) = ada.get("/api/projects/x-compare/mine").json()["judgements"]
    page = Page(ada.get(f"/projects/x-compare/work?correct={mine['judgement']}").text)
    (task,) = [json.loads(found["data-task"]) for _, found in page.elements if "data-task" in found]
    assert (task["supersedes"], task["content"]["better"]) == (mine["judgement"], 0)
    assert task["prompt"] == mine["prompt"]
    assert Browser(at).join("Bo").get(f"/projects/x-compare/work?correct={mine['judgement']}").status_code == 404


def test_static_files_have_their_types_and_are_kept(at):
    browser = Browser(at)
    for path in STATIC.iterdir():
        answer = browser.get(f"/static/{version()}/{path.name}")
        assert answer.content == path.read_bytes()
        assert answer.headers["content-type"] == TYPES[path.suffix]
        assert "immutable" in answer.headers["cache-control"]
        assert browser.get(f"/static/older/{path.name}").headers["cache-control"] == "no-cache"
    for name in ("none.js", "..%2fpages.py", "style.css%00", "pages.py"):
        assert browser.get(f"/static/{version()}/{name}").status_code in (404, 422)


def test_scripts_make_no_markup_of_texts_and_fetch_nothing_from_elsewhere():
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write\b|\beval\(|new Function|\.style\b", text
        ), path
        assert "http" not in text, path
        for name in re.findall(r'from "\./([^"]+)"', text):
            assert (STATIC / name).is_file(), (path, name)
    for path in TEMPLATES.iterdir():
        assert "|safe" not in path.read_text(), path
        assert "autoescape" not in path.read_text(), path


def test_every_field_for_texts_goes_by_what_is_written_in_it():
    """A project's options are code, and so from left to right."""
    made = [text for path in STATIC.glob("*.js") for text in re.findall(r'el\("textarea", \{(.*?)\}', path.read_text())]
    typed = [text for path in TEMPLATES.iterdir() for text in re.findall(r"<textarea([^>]*)>", path.read_text())]
    typed += [
        text
        for path in TEMPLATES.iterdir()
        for text in re.findall(r"<input([^>]*)>", path.read_text())
        if re.search('name="(name|title)"', text)
    ]
    assert len(made) > 4
    assert len(typed) > 5
    assert [text for text in made if 'dir: "auto"' not in text] == []
    odd = [text for text in typed if 'dir="auto"' not in text]
    assert len(odd) == 1
    assert 'name="options"' in odd[0]


def colours(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", text))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_of_aa(scheme):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    style = (STATIC / "style.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    found = colours(light) if scheme == "light" else {**colours(light), **colours(dark)}
    grounds = ("paper", "card", "band")
    texts = [(ink, ground) for ink in ("ink", "soft", "accent", "bad", "good") for ground in grounds]
    texts += [
        ("on-accent", "accent"),
        ("ink", "warn"),
        ("ink", "accent-soft"),
        ("bad", "warn"),
        ("soft", "accent-soft"),
    ]
    texts += [("ink", f"m{number}") for number in range(6)]
    low = {pair: round(contrast(found[pair[0]], found[pair[1]]), 2) for pair in texts}
    assert not {pair: value for pair, value in low.items() if value < 4.5}
    edges = {(line, ground): contrast(found[line], found[ground]) for line in ("edge", "accent") for ground in grounds}
    assert not {pair: value for pair, value in edges.items() if value < 3}
    assert "outline: none" not in style.replace(
        "main { max-width: 1240px; margin: 0 auto; padding: 18px 20px 60px; outline: none; }", ""
    )
    assert "prefers-reduced-motion" in style


def actions_of(kind: str) -> str:
    """What the script of a kind has under `actions`."""
    if kind == "arena":
        return (STATIC / "arena.js").read_text().partition("const ACTIONS")[2]
    files = {"thumbs": "editors", "evaluate": "editors"}
    writes = KINDS[kind].writes
    text = (STATIC / f"{'editors' if writes else files.get(kind, kind)}.js").read_text()
    name = "write" if writes else kind
    return re.search(rf"function {name}\(.*?actions: (\{{.*?\n?.*?)problem:", text, re.S).group(1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_that_is_shown_does_something(at, kind):
    run = (STATIC / "work.js").read_text().partition("function run(")[2] + (STATIC / "keys.js").read_text()
    keys = [shortcut.key for shortcut in shortcuts(kind)]
    assert len(set(keys)) == len(keys)
    assert "digit" not in keys or not set(keys) & set("123456789")
    for shortcut in shortcuts(kind):
        general = f'action === "{shortcut.action}"' in run
        assert general or re.search(rf"\b{shortcut.action}\b\s*[:,(]", actions_of(kind)), shortcut
    with at.database.write() as session:
        compare(session, slug="keys", kind=kind, overlap=1)
    text = Browser(at).join("Ada").get("/projects/keys/work").text
    page = Page(text)
    shown = [found["data-key"] for tag, found in page.elements if tag == "li" and "data-key" in found]
    assert shown == keys
    assert text.count("<kbd>") == len(keys)


def test_judgements_in_words():
    assert said({"better": None}) == ["A tie"]
    assert said({"better": 1, "strength": 3, "comment": "why"}) == ["Answer 2 is much better", "Comment: why"]
    assert said({"ranks": [1, 0, 1]}) == ["Best to worst: 2, then 1 = 3"]
    assert said({"spans": []}) == ["Nothing stands out"]
    assert said({"verdict": "reject", "reasons": ["unclear"]}) == ["Rejected: unclear"]
    assert said({"scores": [{"helpful": 2}]}) == ["Answer 1: helpful 2"]
