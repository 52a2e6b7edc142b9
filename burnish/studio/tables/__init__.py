"""The schema as typed models: who is there, what the work is, what was judged, what was said in the arena.

    base.py       the class of all tables, the types of columns
    people.py     Person, Invitation, Login (a session), LoginFailure
    projects.py   Project, Quota, Guideline, Item
    judging.py    Lease, Judgement, Skip, Flag, Adjudication
    arena.py      Conversation, Turn, Vote

Judgements, adjudications and votes are only ever inserted. What else is updated says so in its docstring.
"""

from burnish.studio.tables.arena import Conversation, Turn, Vote
from burnish.studio.tables.base import Base
from burnish.studio.tables.judging import Adjudication, Flag, Judgement, Lease, Skip
from burnish.studio.tables.people import Invitation, Login, LoginFailure, Person, Role
from burnish.studio.tables.projects import Guideline, Item, Kind, Project, Quota

__all__ = [
    "Adjudication",
    "Base",
    "Conversation",
    "Flag",
    "Guideline",
    "Invitation",
    "Item",
    "Judgement",
    "Kind",
    "Lease",
    "Login",
    "LoginFailure",
    "Person",
    "Project",
    "Quota",
    "Role",
    "Skip",
    "Turn",
    "Vote",
]
