"""The studio as a newcomer starts it: `--demo` prints a name and a password that open every page there is."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from burnish.studio.access import ACCESS
from burnish.studio.kinds import KINDS

pytestmark = pytest.mark.studio

PAGES = [path for method, path in ACCESS if method == "GET" and not path.startswith(("/api/", "/static/"))]
LONGEST_START = 120.0


@contextmanager
def started(folder: Path, *words: str) -> Iterator[list[str]]:
    """A server in a process of its own; what it prints, up to the line that ends with a link or a password."""
    command = [sys.executable, "-u", "-m", "burnish", "studio", "--folder", str(folder), "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    late = threading.Timer(LONGEST_START, process.kill)
    late.start()
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if "password" in line or "/join#" in line:
                break
        yield lines
    finally:
        late.cancel()
        process.kill()
        process.stdout.close()
        process.wait()


def address_of(lines: list[str]) -> str:
    (found,) = [line.rpartition(" is at ")[2] for line in lines if " is at " in line]
    return found


@contextmanager
def browser_at(address: str) -> Iterator[httpx2.Client]:
    """Once the server listens, which it does after it has told where."""
    with httpx2.Client(base_url=address, headers={"Origin": address}, timeout=60, trust_env=False) as browser:
        for _ in range(600):
            with suppress(httpx2.ConnectError):
                browser.get("/login")
                break
            time.sleep(0.1)
        yield browser


def test_the_sample_work_shows_every_page(tmp_path):
    with started(tmp_path / "demo", "--demo") as lines, browser_at(address_of(lines)) as browser:
        name, password = (line.split()[-1] for line in lines[-2:])
        answer = browser.post("/api/login", json={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        assert answer.json()["person"]["role"] == "admin"
        for path in PAGES:
            for kind in KINDS if "{slug}" in path else ("",):
                page = browser.get(path.format(slug=f"demo-{kind}"))
                assert page.status_code == 200, path
                assert "<main" in page.text
        shown = browser.get("/projects/demo-compare/progress").text
        assert len(re.findall(r'role="img" aria-label="\d+ of \d+"', shown)) > 4, "a bar for each language"
        for found in ("Ada", "Björk", "Cecilia", "Dag"):
            assert f"<bdi>{found}</bdi>" in shown, "the leaderboard"
        assert "Nowhere" not in browser.get("/projects/demo-compare/review").text
        assert "Krippendorff" in browser.get("/projects/demo-compare/numbers").text


def test_a_first_start_prints_a_link_that_makes_the_first_admin(tmp_path):
    with started(tmp_path / "own") as lines, browser_at(address_of(lines)) as browser:
        token = lines[-1].partition("/join#")[2]
        wanted = {"token": token, "name": "Ada", "password": "correct horse battery"}
        assert browser.post("/api/join", json=wanted).json()["person"]["role"] == "admin"
        assert browser.post("/api/join", json={**wanted, "name": "Bo"}).status_code == 403
