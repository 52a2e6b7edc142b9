"""A studio that listens in this process, at a time that tests move, and people who are signed in to it.

Tests of one module share it: each makes its own projects and people, and looks at the database from here. What needs
a process that can be killed is in `tests/studio/test_studio_browser.py`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import select

from burnish.studio.app import app_of, open_studio
from burnish.studio.caller import Studio
from burnish.studio.clock import SECOND, wall_clock
from burnish.studio.sessions import begin_session
from burnish.studio.settings import StudioSettings
from burnish.studio.tables import Judgement, Person, Project
from tests.studio.studio_people import SECRET

LANGUAGES = ("en", "is", "sv", "ar")


class Served:
    """The studio, its address, and its clock.

    Attributes:
        studio: to look into its database.
        address: where it listens.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        settings = StudioSettings(folder=str(folder), port=listener.getsockname()[1], max_upload_mb=1)
        self._ahead = 0
        self.studio: Studio = open_studio(settings, secret=SECRET, clock=lambda: wall_clock() + self._ahead)
        self.address = settings.origin
        self._server = uvicorn.Server(uvicorn.Config(app_of(self.studio), log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        until(lambda: self._server.started)

    def stop(self) -> None:
        """Let requests end, and stop."""
        self._server.should_exit = True
        self._thread.join()
        self.studio.database.close()

    def pass_time(self, seconds: int) -> None:
        """Let the studio's time go on at once."""
        self._ahead += seconds * SECOND

    def write(self):
        """A transaction that writes."""
        return self.studio.database.write()

    def person(self, name: str, role: str = "annotator") -> int:
        """Somebody with that name, made if there is nobody; the id."""
        with self.write() as session:
            found = session.scalar(select(Person).where(Person.name == name))
            if found is None:
                found = Person(name=name, name_key=name.lower(), role=role, languages=list(LANGUAGES), created_at=0)
                found.pseudonym = f"p-{name.lower()}"
                session.add(found)
                session.flush()
            return found.id

    def cookie(self, name: str) -> dict[str, str]:
        """A session of somebody, as a browser keeps it."""
        studio = self.studio
        with self.write() as session:
            person = session.scalars(select(Person).where(Person.name == name)).one()
            token = begin_session(session, studio.secret, person, days=14, now=studio.clock())
        return {"name": studio.cookie, "value": token, "url": self.address}

    def judgements(self, slug: str) -> Sequence[Judgement]:
        """Those of a project, in the order in which they came."""
        with self.studio.database.read() as session:
            of = select(Judgement).join(Project, Project.id == Judgement.project_id).where(Project.slug == slug)
            return session.scalars(of.order_by(Judgement.id)).all()

    def content(self, slug: str) -> dict[str, Any]:
        """What the one judgement of a project says, once it has come."""
        until(lambda: len(self.judgements(slug)) > 0)
        (judgement,) = self.judgements(slug)
        return dict(judgement.content)


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not come to hold within {seconds} seconds"
        time.sleep(0.05)
