"""Who may call which route: one table, and nothing that is not in it.

    ANYONE       also who is not signed in
    ANNOTATOR    whoever is signed in; reviewers and admins are annotators too
    REVIEWER     reviewers and admins
    ADMIN        admins

Every route of the app asks this table before it does anything; a route that is not here answers nobody, and the test
of the table fails. Pages are listed like the JSON routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Least = Literal["anyone", "annotator", "reviewer", "admin"]

ANYONE: Least = "anyone"
ANNOTATOR: Least = "annotator"
REVIEWER: Least = "reviewer"
ADMIN: Least = "admin"

_RANK: Mapping[str, int] = {"annotator": 1, "reviewer": 2, "admin": 3}

ACCESS: Mapping[tuple[str, str], Least] = {
    ("POST", "/api/login"): ANYONE,
    ("POST", "/api/logout"): ANNOTATOR,
    ("POST", "/api/invitations/look"): ANYONE,
    ("POST", "/api/join"): ANYONE,
    ("GET", "/api/me"): ANNOTATOR,
    ("POST", "/api/me/password"): ANNOTATOR,
    ("POST", "/api/me/languages"): ANNOTATOR,
    ("GET", "/api/people"): ADMIN,
    ("POST", "/api/people/{person_id}/role"): ADMIN,
    ("DELETE", "/api/people/{person_id}"): ADMIN,
    ("POST", "/api/invitations"): ADMIN,
    ("GET", "/api/projects"): ANNOTATOR,
    ("POST", "/api/projects"): ADMIN,
    ("GET", "/api/projects/{slug}"): ANNOTATOR,
    ("POST", "/api/projects/{slug}/settings"): ADMIN,
    ("POST", "/api/projects/{slug}/guidelines"): ADMIN,
    ("POST", "/api/projects/{slug}/next"): ANNOTATOR,
    ("GET", "/api/projects/{slug}/mine"): ANNOTATOR,
    ("POST", "/api/items/{item_id}/renew"): ANNOTATOR,
    ("POST", "/api/items/{item_id}/release"): ANNOTATOR,
    ("POST", "/api/items/{item_id}/skip"): ANNOTATOR,
    ("POST", "/api/items/{item_id}/flag"): ANNOTATOR,
    ("POST", "/api/judgements"): ANNOTATOR,
    ("POST", "/api/projects/{slug}/arena"): ANNOTATOR,
    ("GET", "/api/arena/{conversation_id}"): ANNOTATOR,
    ("POST", "/api/arena/{conversation_id}/say"): ANNOTATOR,
    ("POST", "/api/arena/{conversation_id}/answer"): ANNOTATOR,
    ("POST", "/api/arena/votes"): ANNOTATOR,
    ("GET", "/api/projects/{slug}/disputes"): REVIEWER,
    ("POST", "/api/items/{item_id}/adjudicate"): REVIEWER,
    ("GET", "/api/projects/{slug}/flags"): REVIEWER,
    ("POST", "/api/flags/{flag_id}/resolve"): REVIEWER,
    ("POST", "/api/projects/{slug}/import"): ADMIN,
    ("POST", "/api/projects/{slug}/priorities"): ADMIN,
    ("GET", "/api/projects/{slug}/export/{file}"): ADMIN,
    ("GET", "/api/projects/{slug}/progress"): ANNOTATOR,
    ("GET", "/api/projects/{slug}/leaderboard"): ANNOTATOR,
    ("GET", "/api/projects/{slug}/agreement"): REVIEWER,
    ("GET", "/api/projects/{slug}/bias"): REVIEWER,
    ("GET", "/api/projects/{slug}/ratings"): REVIEWER,
    ("GET", "/"): ANNOTATOR,
    ("GET", "/login"): ANYONE,
    ("GET", "/join"): ANYONE,
    ("GET", "/account"): ANNOTATOR,
    ("GET", "/admin"): ADMIN,
    ("GET", "/projects/{slug}/work"): ANNOTATOR,
    ("GET", "/projects/{slug}/guidelines"): ANNOTATOR,
    ("GET", "/projects/{slug}/mine"): ANNOTATOR,
    ("GET", "/projects/{slug}/progress"): ANNOTATOR,
    ("GET", "/projects/{slug}/numbers"): REVIEWER,
    ("GET", "/projects/{slug}/review"): REVIEWER,
    ("GET", "/projects/{slug}/settings"): ADMIN,
    ("GET", "/static/{given}/{file}"): ANYONE,
}


def allowed(least: Least, role: str | None) -> bool:
    """Whether somebody with this role, None for nobody, may call what asks for at least `least`."""
    return least == "anyone" or (role is not None and _RANK[role] >= _RANK[least])
