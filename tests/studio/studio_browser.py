"""A browser for the studio's tests: cookies, the origin and the token that a page of the studio sends along."""

from __future__ import annotations

from collections.abc import Callable

from fastapi.testclient import TestClient

from burnish.studio.app import app_of
from burnish.studio.caller import TOKEN_HEADER, Studio
from burnish.studio.database import Database
from burnish.studio.invitations import invite
from burnish.studio.settings import StudioSettings
from tests.studio.studio_people import LANGUAGES, SECRET

ORIGIN = "http://studio.example"
PASSWORD = "correct horse battery"


class Browser:
    """One person's browser."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.client = TestClient(app_of(studio), base_url=ORIGIN)
        self.token = ""

    def get(self, path: str):
        return self.client.get(path)

    def post(self, path: str, data: object = None, **more):
        return self.client.post(path, json={} if data is None else data, headers=self.headers(), **more)

    def headers(self) -> dict[str, str]:
        return {"Origin": ORIGIN, TOKEN_HEADER: self.token}

    def join(self, name: str, role: str = "annotator") -> Browser:
        with self.studio.database.write() as session:
            token = invite(session, SECRET, role=role, languages=LANGUAGES, days=7, now=self.studio.clock())
        answer = self.post("/api/join", {"token": token, "name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["token"]
        return self

    def log_in(self, name: str, password: str = PASSWORD):
        answer = self.post("/api/login", {"name": name, "password": password})
        if answer.status_code == 200:
            self.token = answer.json()["token"]
        return answer


def studio(database: Database, folder: object, clock: Callable[[], int], **settings: object) -> Studio:
    chosen = StudioSettings(folder=str(folder), address=ORIGIN, **settings)
    return Studio(settings=chosen, database=database, secret=SECRET, clock=clock)
