"""The API under inputs drawn from its own description, for every role: no 500, no answer of another form."""

from __future__ import annotations

import argon2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from burnish.studio import passwords
from burnish.studio.access import ACCESS
from burnish.studio.arena_models import SCRIPTED
from burnish.studio.demo import fill
from tests.studio.studio_browser import ORIGIN, Browser, studio
from tests.studio.studio_people import SECRET

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SLUGS = st.sampled_from(
    [f"demo-{kind}" for kind in ("compare", "rank", "rate", "create", "evaluate", "arena", "spans")]
)
FILES = st.sampled_from(["preferences.jsonl", "judgements.csv", "prompts.csv", "rankings.jsonl", "none.csv"])
EACH = 3
"""Inputs of each route."""

LEFT_OUT = ("/api/logout", "/api/me/password")
"""What would only end the session with which the others are called; test_studio_app.py has them."""


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()
    for speaker in SCRIPTED.values():
        monkeypatch.setattr(speaker, "seconds", 0.0)


@pytest.fixture
def at(sqlite, tmp_path):
    with sqlite.write() as session:
        fill(session, SECRET, 1_800_000_000_000)
    return studio(sqlite, tmp_path, lambda: 1_800_000_000_000, max_upload_mb=1)


def fuzzed(browser: Browser) -> dict[str, set[int]]:
    """Which statuses each route answered with; fails on an answer that breaks the description."""
    schema = schemathesis.openapi.from_dict(browser.client.app.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    wanted = [one for one in operations if one.path.startswith("/api/") and one.path not in LEFT_OUT]
    statuses: dict[str, set[int]] = {}

    @settings(
        max_examples=EACH,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=HealthCheck,
        phases=[Phase.generate],
    )
    @given(data=st.data(), slug=SLUGS, file=FILES, number=st.integers(1, 60), is_known=st.booleans())
    def run(operation, data, slug, file, number, is_known):
        case = data.draw(operation.as_strategy())
        if is_known:
            known = {"slug": slug, "file": file}
            case.path_parameters = {name: known.get(name, number) for name in case.path_parameters or {}}
        words = case.as_transport_kwargs(base_url=ORIGIN)
        words.pop("cookies", None)
        headers = {name: value for name, value in (words.pop("headers", None) or {}).items() if name != "Origin"}
        answer = browser.client.request(**words, headers={**headers, **browser.headers()})
        statuses.setdefault(f"{case.method} {case.path}", set()).add(answer.status_code)
        answer.request.read()  # a form's body is a stream until then
        case.validate_response(answer, checks=CHECKS)

    for operation in wanted:
        run(operation)
    return statuses


@pytest.mark.parametrize("role", ["annotator", "reviewer", "admin", None])
def test_no_input_breaks_the_api_for_any_role(at, role):
    browser = Browser(at) if role is None else Browser(at).join("Somebody", role)
    statuses = fuzzed(browser)
    assert len(statuses) == sum(path.startswith("/api/") and path not in LEFT_OUT for _, path in ACCESS)
    seen = set().union(*statuses.values())
    assert (401 if role is None else 200) in seen


def test_what_breaks_would_be_found(at, monkeypatch):
    browser = Browser(at).join("Somebody", "admin")

    def broken(session, project):
        raise ZeroDivisionError

    monkeypatch.setattr("burnish.studio.routes.projects.leaderboard", broken)
    with pytest.raises(ZeroDivisionError):
        fuzzed(browser)
