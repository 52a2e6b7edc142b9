"""The app over HTTP: who may what, what browsers are told, how guesses and forgeries fare, one project through."""

from __future__ import annotations

import csv
import io
import json
import re

import argon2
import pytest
from fastapi.routing import APIRoute

from burnish.data.read import DataSettings, read
from burnish.example import example_dict
from burnish.studio import passwords
from burnish.studio.access import ACCESS, allowed
from burnish.studio.app import ROUTERS, create_app, open_studio
from burnish.studio.caller import admit
from burnish.studio.people import new_person
from burnish.studio.refusals import StudioError
from burnish.studio.secret import VARIABLE
from burnish.studio.serve import greeting
from burnish.studio.settings import StudioSettings
from tests.studio.studio_browser import ORIGIN, PASSWORD, Browser, studio
from tests.studio.studio_people import SECRET


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()


class Hands:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def at(database, tmp_path, hands):
    return studio(database, tmp_path, hands, max_upload_mb=1)


@pytest.fixture
def browsers(at):
    roles = ("annotator", "reviewer", "admin")
    return {role: Browser(at).join(f"the {role}", role) for role in roles} | {None: Browser(at)}


def routes(at) -> list[tuple[str, str]]:
    app = Browser(at).client.app
    assert len(app.routes) == len(ROUTERS), "every route belongs to a router of the list"
    here = [route for router in ROUTERS for route in router.routes]
    assert all(isinstance(route, APIRoute) for route in here)
    assert all(admit in {part.call for part in route.dependant.dependencies} for route in here), "asks the table"
    return [(method, route.path) for route in here for method in route.methods]


def test_every_route_is_in_the_table_and_the_table_has_no_other(at):
    assert sorted(routes(at)) == sorted(ACCESS)


@pytest.mark.parametrize("role", ["annotator", "reviewer", "admin", None])
def test_each_role_gets_into_its_routes_and_no_others(browsers, role):
    browser = browsers[role]
    for (method, path), least in ACCESS.items():
        if path == "/api/logout":
            continue
        numbers = {"person_id": 99, "item_id": 99, "flag_id": 99, "conversation_id": 99}
        filled = path.format(slug="none", file="preferences.csv", given="0", **numbers)
        answer = browser.client.request(method, filled, headers=browser.headers())
        refused = path.startswith("/api/") and answer.json().get("code") in ("role", "no-access", "token")
        kept_out = answer.status_code == 401 or refused or (not path.startswith("/api/") and answer.status_code == 403)
        assert kept_out == (not allowed(least, role)), (method, path, answer.text)


def test_a_route_that_is_not_in_the_table_answers_nobody(at, monkeypatch):
    admin = Browser(at).join("Ada", "admin")
    monkeypatch.delitem(ACCESS, ("GET", "/api/people"))
    assert admin.get("/api/people").json()["code"] == "no-access"


def test_requests_of_other_sites_and_without_the_token_are_refused(browsers):
    admin = browsers["admin"]
    body = {"role": "admin"}
    forged = (
        ({"X-Burnish-Token": admin.token}, "origin"),
        ({"X-Burnish-Token": admin.token, "Origin": "http://evil.example"}, "origin"),
        ({"X-Burnish-Token": admin.token, "Origin": "null"}, "origin"),
        ({"X-Burnish-Token": admin.token, "Sec-Fetch-Site": "cross-site"}, "origin"),
        ({"Origin": ORIGIN}, "token"),
        ({"Origin": ORIGIN, "X-Burnish-Token": browsers["reviewer"].token}, "token"),
    )
    for headers, code in forged:
        answer = admin.client.post("/api/invitations", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    same_site = {"X-Burnish-Token": admin.token, "Sec-Fetch-Site": "same-origin"}
    assert admin.client.post("/api/invitations", json=body, headers=same_site).status_code == 200


def test_every_answer_carries_the_headers_of_security(browsers):
    for answer in (browsers[None].get("/api/me"), browsers["admin"].get("/api/people"), browsers[None].get("/none")):
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
    assert browsers[None].get("/openapi.json").status_code == 404


@pytest.mark.parametrize(("address", "secure"), [("http://studio.example", False), ("https://studio.example", True)])
def test_the_cookie_is_kept_from_scripts_and_other_sites(sqlite, tmp_path, hands, address, secure):
    at = studio(sqlite, tmp_path, hands)
    object.__setattr__(at.settings, "address", address)
    browser = Browser(at)
    browser.client.base_url = address
    browser.headers = lambda: {"Origin": address}
    browser.join("Ada")
    cookie = browser.log_in("ada").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert ("Secure" in cookie) == cookie.startswith("__Host-") == secure
    assert ("strict-transport-security" in browser.get("/api/me").headers) == secure


def test_a_planted_session_is_worth_nothing_after_signing_in(at):
    attacker, victim = Browser(at).join("Eve"), Browser(at).join("Ada")
    victim.post("/api/logout")
    planted = attacker.client.cookies["burnish"]
    victim.client.cookies.set("burnish", planted, domain="studio.example")
    assert victim.log_in("Ada").status_code == 200
    kept = [cookie.value for cookie in victim.client.cookies.jar]
    assert planted not in kept[-1:]
    assert attacker.get("/api/me").status_code == 401


def test_signing_out_and_time_end_a_session(at, hands):
    ada = Browser(at).join("Ada")
    cookie = ada.client.cookies["burnish"]
    assert ada.post("/api/logout").status_code == 200
    ada.client.cookies.set("burnish", cookie)
    assert ada.get("/api/me").status_code == 401
    bo = Browser(at).join("Bo")
    hands.now += 13 * 86_400_000
    assert bo.get("/api/me").status_code == 200
    hands.now += 86_400_000
    assert bo.get("/api/me").status_code == 401


def test_guessing_is_slowed_down_and_survives_a_restart(at, hands):
    Browser(at).join("Ada")
    guesser = Browser(at)
    answers = [guesser.log_in("ADA", f"wrong password {n}") for n in range(10)]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["message"] for answer in answers} == {guesser.log_in("nobody").json()["message"]}
    stopped = Browser(at).log_in("ada")
    assert stopped.status_code == 429
    assert int(stopped.headers["retry-after"]) == 900
    hands.now += 900_000
    assert guesser.log_in("ada").status_code == 200


def test_a_link_of_invitation_is_good_once_and_for_a_week(at, hands):
    admin = Browser(at).join("Ada", "admin")
    link = admin.post("/api/invitations", {"role": "reviewer", "languages": ["is"]}).json()["link"]
    assert link.startswith(f"{ORIGIN}/join#")
    token = link.partition("#")[2]
    new = Browser(at)
    assert new.post("/api/invitations/look", {"token": token}).json()["role"] == "reviewer"
    wanted = {"token": token, "name": "Ａda ", "password": PASSWORD}
    assert new.post("/api/join", wanted).json()["code"] == "name-taken"
    assert new.post("/api/join", {**wanted, "name": "Bo", "password": "short"}).json()["code"] == "password"
    joined = new.post("/api/join", {**wanted, "name": "Bo"}).json()["person"]
    assert (joined["role"], joined["languages"]) == ("reviewer", ["is"])
    assert new.post("/api/join", {**wanted, "name": "Cy"}).json()["code"] == "invitation"
    old = admin.post("/api/invitations", {"role": "annotator"}).json()["link"].partition("#")[2]
    hands.now += 7 * 86_400_000
    assert new.post("/api/invitations/look", {"token": old}).status_code == 403
    with at.database.read() as session:
        stored = str(session.connection().exec_driver_sql("SELECT * FROM invitations").all())
    assert token not in stored


def test_a_new_password_ends_the_other_sessions(at):
    one, other = Browser(at).join("Ada"), Browser(at)
    other.log_in("Ada")
    assert (
        one.post("/api/me/password", {"old": "not it at all", "new": PASSWORD * 2}).json()["code"] == "wrong-password"
    )
    assert one.post("/api/me/password", {"old": PASSWORD, "new": PASSWORD * 2}).status_code == 200
    assert one.get("/api/me").status_code == 200
    assert other.get("/api/me").status_code == 401
    assert other.log_in("Ada").status_code == 401
    assert other.log_in("Ada", PASSWORD * 2).status_code == 200


def test_the_last_admin_stays(at):
    admin = Browser(at).join("Ada", "admin")
    me = admin.get("/api/me").json()["person"]["id"]
    assert admin.post(f"/api/people/{me}/role", {"role": "annotator"}).json()["code"] == "last-admin"
    assert admin.client.delete(f"/api/people/{me}", headers=admin.headers()).json()["code"] == "last-admin"


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused(at, announced):
    admin = Browser(at).join("Ada", "admin")
    body = b"x" * 1_100_000
    headers = {**admin.headers(), "Content-Type": "application/json"}
    content = body if announced else (body[i : i + 65_536] for i in range(0, len(body), 65_536))
    assert admin.client.post("/api/projects", content=content, headers=headers).status_code == 413


ROWS = [{"prompt": f"=Gem {n}?", "chosen": f"=1+{n}", "rejected": f"<script>{n}</script>"} for n in range(4)]
PAIRS = "".join(f"{json.dumps(row)}\n" for row in ROWS)


def gems(browsers, **settings) -> Browser:
    admin = browsers["admin"]
    made = {"slug": "gems", "title": "Gems", "kind": "compare", "languages": ["en"], "overlap": 2, **settings}
    assert admin.post("/api/projects", made).status_code == 200
    file = {"file": ("../../gems.jsonl", PAIRS.encode())}
    data = {"language": "en"}
    answer = admin.client.post("/api/projects/gems/import", data=data, files=file, headers=admin.headers())
    assert answer.json() == {"items": 4, "known": 0}
    again = admin.client.post("/api/projects/gems/import", data=data, files=file, headers=admin.headers())
    assert again.json() == {"items": 0, "known": 4}
    return admin


def test_rows_of_another_file_with_the_same_numbers_are_other_items(browsers):
    admin = gems(browsers)
    row = {"prompt": "Another?", "chosen": "Yes.", "rejected": "No."}
    file = {"file": ("more.jsonl", json.dumps(row).encode())}
    for expected in ({"items": 1, "known": 0}, {"items": 0, "known": 1}):
        answer = admin.client.post(
            "/api/projects/gems/import", data={"language": "en"}, files=file, headers=admin.headers()
        )
        assert answer.json() == expected


def work(browser: Browser, choose, *, name: str) -> None:
    """Judge all there is; `choose` says which text is better."""
    for number in range(99):
        task = browser.post("/api/projects/gems/next").json()["task"]
        if task is None:
            return
        texts = [messages[-1]["content"] for messages in task["answers"]]
        better = choose(texts)
        content = {"better": better, **({} if better is None else {"strength": 2})}
        sent = {
            "client_id": f"{name}-number-{number}",
            "item": task["item"],
            "content": content,
            "guideline_version": task["guideline"]["version"],
            "seconds": 1.5,
        }
        for repeated in (False, True):
            answer = browser.post("/api/judgements", sent)
            assert answer.json()["repeated"] == repeated, answer.text
        other = {**sent, "content": {"better": None if better is not None else 0}}
        assert browser.post("/api/judgements", other).json()["code"] == "other-content"


def formula(texts: list[str]) -> int:
    return next(place for place, text in enumerate(texts) if text.startswith("="))


def test_a_project_from_import_to_export(browsers, tmp_path, at):
    admin = gems(browsers)
    assert admin.post("/api/projects/gems/guidelines", {"text": "Prefer sums."}).json() == {"version": 1}
    work(browsers["annotator"], formula, name="annotator")
    work(browsers["reviewer"], lambda texts: None if "=1+3" in texts else formula(texts), name="reviewer")
    progress = admin.get("/api/projects/gems/progress").json()
    assert progress["languages"]["en"] == {"done": 4, "begun": 0, "untouched": 0, "withdrawn": 0, "goal": 4}
    (dispute,) = browsers["reviewer"].get("/api/projects/gems/disputes").json()["disputes"]
    assert dispute["weight"] == 0.5
    decided = {"content": {"better": 1, "strength": 1}, "reason": "It is shorter."}
    assert browsers["reviewer"].post(f"/api/items/{dispute['item']}/adjudicate", decided).status_code == 200
    assert browsers["reviewer"].get("/api/projects/gems/disputes").json()["disputes"] == []
    exported = admin.get("/api/projects/gems/export/preferences.jsonl")
    (tmp_path / "gems.jsonl").write_bytes(exported.content)
    back = read(DataSettings(path=str(tmp_path / "gems.jsonl"))).examples
    assert [json.dumps(example_dict(e), ensure_ascii=False) for e in back] == exported.text.splitlines()
    assert [e.completions[0].text for e in back] == ["=1+0", "=1+1", "=1+2", "<script>3</script>"]
    assert [e.columns["studio"]["agreement"] for e in back] == [1.0] * 4
    assert [e.columns["studio"]["decided_by"] for e in back] == ["votes"] * 3 + ["reviewer"]
    vote = back[0].columns["studio"]["votes"][0]
    assert vote["guideline_version"] == 1
    assert vote["content"] == {"better": 0, "strength": 2}
    assert sorted(vote["shown_order"]) == [0, 1]
    names = {person["name"] for person in admin.get("/api/people").json()["people"]}
    assert not any(name in exported.text for name in names)
    assert admin.get("/api/projects/gems/export/preferences.jsonl").content == exported.content


def test_deleting_a_person_keeps_their_work_under_the_pseudonym(browsers):
    admin = gems(browsers, overlap=1)
    work(browsers["annotator"], formula, name="annotator")
    before = admin.get("/api/projects/gems/export/preferences.jsonl").text
    person = browsers["annotator"].get("/api/me").json()["person"]
    assert admin.client.delete(f"/api/people/{person['id']}", headers=admin.headers()).status_code == 200
    assert browsers["annotator"].get("/api/me").status_code == 401
    assert admin.get("/api/projects/gems/export/preferences.jsonl").text == before
    (line,) = admin.get("/api/projects/gems/leaderboard").json()["people"]
    assert line["name"] == line["pseudonym"] == person["pseudonym"]
    assert line["agreed"] == {"en": 4}
    gone = next(p for p in admin.get("/api/people").json()["people"] if p["id"] == person["id"])
    assert (gone["name"], gone["languages"]) == (None, [])


def test_a_spreadsheet_runs_nothing_of_an_export(browsers):
    admin = gems(browsers, overlap=1)
    work(browsers["annotator"], formula, name="annotator")
    for shape in ("preferences", "judgements"):
        text = admin.get(f"/api/projects/gems/export/{shape}.csv").text
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert not any(cell[:1] in "=+-@\t\r" for cell in cells if cell)
    prompts = [
        row["prompt"]
        for row in csv.DictReader(io.StringIO(admin.get("/api/projects/gems/export/preferences.csv").text))
    ]
    assert prompts[0] == "'=Gem 0?"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("gems.exe", b"", "expected one that ends in"),
        ("gems.jsonl", b'{"prompt": "a"}\n{"prompt": 7}\n', "gems.jsonl, row 2"),
        ("gems.jsonl", b'{"prompt": "a", "completion": "b"}\n', "row 1, field 'completions': found 1 answers"),
        ("gems.jsonl", b'{"prompt": "a\\u0000", "chosen": "b", "rejected": "c"}\n', "row 1, field 'prompt'"),
        ("gems.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c", "language": "xx"}\n', "one of en"),
        ("gems.jsonl", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_an_import_that_does_not_fit_changes_nothing(browsers, name, data, message):
    admin = gems(browsers)
    answer = admin.client.post(
        "/api/projects/gems/import", data={"language": "en"}, files={"file": (name, data)}, headers=admin.headers()
    )
    assert answer.status_code == 422
    assert message in answer.json()["message"]
    assert "/tmp" not in answer.text
    assert admin.get("/api/projects/gems/progress").json()["languages"]["en"]["goal"] == 4


def test_hostile_words_in_addresses_reach_nothing(browsers):
    admin = browsers["admin"]
    for slug in ("' OR 1=1 --", "..%2f..%2fsecret", "%00", "a" * 300):
        assert admin.get(f"/api/projects/{slug}").status_code in (404, 422)
    gems(browsers)
    for file in ("..%2f..%2fsecret", "preferences.jsonl%00", "items.csv", "preferences.exe"):
        assert admin.get(f"/api/projects/gems/export/{file}").status_code in (404, 422)
    answer = browsers["annotator"].post("/api/login", {"name": "' OR '1'='1", "password": "' OR '1'='1"})
    assert answer.status_code == 401


def test_priorities_say_what_comes_first(browsers):
    admin = gems(browsers, overlap=1)
    assert admin.post("/api/projects/gems/priorities", {"priorities": {"3": 0.5, "2": 0.75}}).json() == {"items": 2}
    assert admin.post("/api/projects/gems/priorities", {"priorities": {"none": 1}}).status_code == 404
    task = browsers["annotator"].post("/api/projects/gems/next").json()["task"]
    assert task["prompt"][0]["content"] == "=Gem 1?"


def test_flags_reach_a_reviewer_and_skipping_is_for_good(browsers):
    gems(browsers, overlap=1)
    annotator, reviewer = browsers["annotator"], browsers["reviewer"]
    first = annotator.post("/api/projects/gems/next").json()["task"]["item"]
    for _ in range(2):
        annotator.post(f"/api/items/{first}/flag", {"reason": "harmful", "comment": "<b>see</b>"})
    (flag,) = reviewer.get("/api/projects/gems/flags").json()["flags"]
    assert (flag["item"], flag["comment"]) == (first, "<b>see</b>")
    assert annotator.post(f"/api/items/{first}/skip", {"reason": "unclear"}).status_code == 200
    second = annotator.post("/api/projects/gems/next").json()["task"]["item"]
    assert second != first
    assert reviewer.post(f"/api/flags/{flag['flag']}/resolve", {"resolution": "withdrawn"}).status_code == 200
    assert reviewer.get("/api/projects/gems/flags").json()["flags"] == []
    assert reviewer.post("/api/projects/gems/next").json()["task"]["item"] not in (first, second)


def test_the_first_start_makes_an_admin_by_a_link_that_is_good_once(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    opened = open_studio(StudioSettings(folder=str(tmp_path), address=ORIGIN))
    assert (tmp_path / "secret").is_file()
    token = greeting(opened, demo=False)[-1].partition(f"{ORIGIN}/join#")[2]
    new = Browser(opened)
    wanted = {"token": token, "name": "Ada", "password": PASSWORD}
    assert new.post("/api/join", wanted).json()["person"]["role"] == "admin"
    assert Browser(opened).post("/api/join", {**wanted, "name": "Eve"}).status_code == 403
    assert not any("/join#" in line for line in greeting(opened, demo=False))
    assert any("no sample work" in line for line in greeting(opened, demo=True))
    opened.database.close()


def test_it_listens_beyond_this_machine_only_with_a_secret(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    settings = StudioSettings(folder=str(tmp_path), host="0.0.0.0")
    with pytest.raises(StudioError, match="set the variable BURNISH_STUDIO_SECRET"):
        create_app(settings)
    assert not (tmp_path / "secret").exists()
    open_studio(StudioSettings(folder=str(tmp_path))).database.close()
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
    open_studio(settings).database.close()
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(StudioError, match="has 5 characters"):
        create_app(settings)


def test_the_secret_decides_what_tokens_are_worth(at):
    assert SECRET.hash("a") != SECRET.request_token("a")
    ada = Browser(at).join("Ada")
    object.__setattr__(at, "secret", type(SECRET)("another secret that is also long enough"))
    assert ada.get("/api/me").status_code == 401


def test_passwords_are_kept_as_argon2id_and_nowhere_else(at, monkeypatch):
    monkeypatch.undo()  # the real settings
    with at.database.write() as session:
        person = new_person(session, name="Ada", password=PASSWORD, role="annotator", languages=["en"], now=0)
        stored = person.password_hash
    assert stored.startswith("$argon2id$v=19$m=")
    memory, passes = (int(re.search(rf"[$,]{name}=(\d+)", stored).group(1)) for name in "mt")
    assert memory >= 19 * 1024, "OWASP asks for 19 MiB with two passes, or more"
    assert passes >= 2
    with at.database.read() as session:
        assert PASSWORD not in str(session.connection().exec_driver_sql("SELECT * FROM people").all())
