"""Ask the hub once whether a repository is there, and at which revision.

Loading code retries for a minute before it says that there is no network, and then blames a missing file. One question
with a short time limit comes first, so a mistyped name is known at once.
"""

from __future__ import annotations

from typing import Literal

from huggingface_hub import HfApi

from burnish.errors import BurnishError

_SECONDS = 10


def hub_revision(name: str, *, revision: str | None, kind: Literal["model", "dataset"]) -> str:
    """The commit that `revision` (None for the newest) stands for.

    Args:
        name: of the repository, `owner/name`.
        revision: a branch, tag or commit.
        kind: of the repository.

    Raises:
        BurnishError: there is no such repository, or the hub cannot be reached.
    """
    try:
        return str(HfApi().repo_info(name, revision=revision, repo_type=kind, timeout=_SECONDS).sha)
    except Exception as error:  # the client's transport errors have no public class in common
        lines = str(error).strip().splitlines() or [type(error).__name__]
        what = f"there is no file or folder '{name}', and the hub does not give a {kind} of that name"
        raise BurnishError(f"{what}: {lines[0]}") from error
