"""Take in judgements: each once, none lost, none changed.

    the same client id, the same content     the answer of the first time (`repeated`)
    the same client id, other content        refused (409 other-content)
    a second judgement of an item            refused (409 judged-already), unless it names the one it corrects
    after the lease ended                    recorded; counted if the item has a place left by judgements alone
    the item is full or withdrawn            recorded, not counted
    never handed to this person              refused (403 never-handed)

Who comes first is counted: a late judgement may so take the place of a lease that is still live, and then that one is
recorded and not counted. Nothing that somebody did is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.contents import stored
from burnish.studio.lineage import pass_on
from burnish.studio.projects import guideline_version
from burnish.studio.record import content_class, work_of
from burnish.studio.refusals import Conflict, Denied, Invalid, Unknown
from burnish.studio.tables import Item, Judgement, Lease, Person, Project

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_LONGEST_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A judgement as the browser sends it.

    Attributes:
        client_id: 8 to 64 letters, digits, `-` or `_`, made once for this judgement.
        item_id: what was judged.
        content: by place on the screen.
        guideline_version: that was shown beside it; 0 if the project had none.
        seconds: from seeing the item to submitting it.
        supersedes: the judgement that it corrects.
    """

    client_id: str
    item_id: int
    content: Mapping[str, Any]
    guideline_version: int = 0
    seconds: float = 0.0
    supersedes: int | None = None

    def hash(self) -> str:
        """What has to be the same for a repetition."""
        said = [self.item_id, self.content, self.guideline_version, self.supersedes]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a submission: the row, and whether it was there already."""

    judgement: Judgement
    repeated: bool


def submit(session: Session, person: Person, submission: Submission, now: int) -> Receipt:
    """Take in a judgement.

    Raises:
        Invalid: it is not what the item asks for.
        Unknown: there is no such item.
        Denied: the item was never handed to this person.
        Conflict: the client id was used for something else, or the person has judged the item.
    """
    item = session.get(Item, submission.item_id, with_for_update=True)
    if before := _repeated(session, person, submission):
        return Receipt(judgement=before, repeated=True)
    if item is None:
        raise Unknown("item", f"there is no item {submission.item_id}")
    lease = session.scalar(select(Lease).where(Lease.item_id == item.id, Lease.person_id == person.id))
    if lease is None:
        raise Denied("never-handed", "this item was not handed to you")
    project = session.get_one(Project, item.project_id)
    _check(session, project, submission)
    corrected = _corrected(session, person, submission)
    judgement = Judgement(
        client_id=submission.client_id,
        project_id=project.id,
        item_id=item.id,
        person_id=person.id,
        content=stored(content_class(project), submission.content, lease.shown_order, work_of(project, item)),
        content_hash=submission.hash(),
        shown_order=lease.shown_order,
        guideline_version=submission.guideline_version,
        seconds=submission.seconds,
        counted=corrected.counted if corrected else _counts(project, item),
        supersedes_id=corrected.id if corrected else None,
        created_at=now,
    )
    session.add(judgement)
    lease.state = "judged"
    if judgement.counted and corrected is None and item.gold is None:
        item.judged += 1
        item.state = "done" if item.judged >= project.overlap else "open"
    session.flush()
    pass_on(session, judgement, now)
    return Receipt(judgement=judgement, repeated=False)


def checked_client_id(client_id: str) -> None:
    """Refuse what is no client id.

    Raises:
        Invalid: it is too short, too long, or has other characters.
    """
    if not _CLIENT_ID.fullmatch(client_id):
        raise Invalid("client-id", "a client id has 8 to 64 letters, digits, '-' or '_'")


def checked_seconds(seconds: float) -> None:
    """Refuse a time that nobody can have taken.

    Raises:
        Invalid: it is negative, not finite, or longer than 30 days.
    """
    if not math.isfinite(seconds) or not 0 <= seconds <= _LONGEST_SECONDS:
        raise Invalid("seconds", f"found {seconds} seconds; expected 0 to {_LONGEST_SECONDS:.0f}")


def _repeated(session: Session, person: Person, submission: Submission) -> Judgement | None:
    checked_client_id(submission.client_id)
    before = session.scalar(select(Judgement).where(Judgement.client_id == submission.client_id))
    if before is None:
        return None
    if before.person_id != person.id or before.content_hash != submission.hash():
        raise Conflict("other-content", "this client id was used for another judgement")
    return before


def _check(session: Session, project: Project, submission: Submission) -> None:
    checked_seconds(submission.seconds)
    known = guideline_version(session, project)
    if not 0 <= submission.guideline_version <= known:
        raise Invalid("guideline", f"found version {submission.guideline_version} of the guidelines; there are {known}")


def _corrected(session: Session, person: Person, submission: Submission) -> Judgement | None:
    """The judgement that is corrected; None for a first one."""
    of_item = (Judgement.item_id == submission.item_id, Judgement.person_id == person.id)
    if submission.supersedes is None:
        if session.scalar(select(Judgement.id).where(*of_item).limit(1)) is not None:
            raise Conflict("judged-already", "you have judged this item already; a correction names what it supersedes")
        return None
    found = session.scalar(select(Judgement).where(*of_item, Judgement.id == submission.supersedes))
    if found is None:
        raise Unknown("judgement", f"you have no judgement {submission.supersedes} of this item")
    if session.scalar(select(Judgement.id).where(Judgement.supersedes_id == found.id)) is not None:
        raise Conflict("superseded", "that judgement was corrected already; correct the newest one")
    return found


def _counts(project: Project, item: Item) -> bool:
    return item.gold is not None or (item.state == "open" and item.judged < project.overlap)
