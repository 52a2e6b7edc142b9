"""Start the studio: hold its folder, open it, invite its first admin, listen.

    make the secret -> back up and migrate -> no people yet: print a link for the first admin -> listen

One server at a time holds the folder; a second one is refused by name. Ctrl-C and SIGTERM let requests finish.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

import uvicorn
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.store import locked
from burnish.studio import invitations
from burnish.studio.app import app_of, open_studio
from burnish.studio.caller import Studio
from burnish.studio.demo import fill
from burnish.studio.refusals import StudioError
from burnish.studio.settings import StudioSettings
from burnish.studio.tables import Person

Say = Callable[[str], None]


def serve(settings: StudioSettings, *, demo: bool, say: Say) -> None:
    """Serve a studio until the process is told to stop.

    Args:
        settings: where it is and where it listens.
        demo: fill an empty studio with sample work.
        say: prints a line.

    Raises:
        StudioError: it cannot start, and why.
        Busy: another process serves this folder.
    """
    settings.path.mkdir(parents=True, exist_ok=True)
    with locked(settings.path), _listener(settings) as listener:
        settings = replace(settings, port=listener.getsockname()[1])
        studio = open_studio(settings)
        try:
            for line in greeting(studio, demo=demo):
                say(line)
            _server(studio).run(sockets=[listener])
        finally:
            studio.database.close()


def greeting(studio: Studio, *, demo: bool) -> list[str]:
    """What to tell who starts it; makes the first invitation, or the sample work, if there is nobody yet."""
    lines = [f"the studio of {studio.settings.folder} is at {studio.settings.origin}"]
    with studio.database.write() as session:
        is_new = not session.scalar(select(func.count()).select_from(Person).where(Person.role == "admin"))
        if demo and is_new:
            lines += fill(session, studio.secret, studio.clock())
        elif demo:
            lines.append("it has people already, so no sample work was added")
        elif is_new:
            link = invitation(studio, session, role="admin", languages=())
            lines.append(f"make the first account, an admin's: {link}")
    return lines


def invitation(studio: Studio, session: Session, *, role: str, languages: tuple[str, ...]) -> str:
    """A link with which somebody makes an account, once.

    Raises:
        Invalid: there is no such role or language.
    """
    token = invitations.invite(
        session,
        studio.secret,
        role=role,
        languages=languages,
        days=studio.settings.invitation_days,
        now=studio.clock(),
    )
    return invitations.link(studio.settings.origin, token)


def _listener(settings: StudioSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        place = f"{settings.host}:{settings.port}"
        raise StudioError(f"cannot listen on {place}: {error}; choose another --port") from error
    return listener


def _server(studio: Studio) -> uvicorn.Server:
    """The server. Only behind a proxy, which `address` tells of, is the client's address taken from its headers."""
    return uvicorn.Server(
        uvicorn.Config(
            app_of(studio),
            log_level="warning",
            server_header=False,
            proxy_headers=bool(studio.settings.address),
            timeout_graceful_shutdown=10,
        )
    )
