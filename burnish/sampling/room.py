"""What a token engine asks of its requests before any work: prompts that are there, and fit with their completions."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.errors import ModelError
from burnish.protocols import Decoding, Request


def require_room(requests: Sequence[Request], decoding: Decoding, *, limit: int, what: str) -> None:
    """Refuse requests that cannot be sampled.

    Args:
        requests: of one call.
        decoding: its `max_tokens` counts with each prompt.
        limit: tokens that a prompt and its completion may have together.
        what: sets the limit, as the beginning of "... 64".

    Raises:
        ModelError: a prompt is empty or does not fit; names the request.
    """
    for request in requests:
        if not request.prompt:
            raise ModelError(f"request '{request.id}' has an empty prompt; begin it with a begin-of-text or end token")
        if len(request.prompt) + decoding.max_tokens > limit:
            raise ModelError(
                f"request '{request.id}' has {len(request.prompt)} tokens and may get {decoding.max_tokens} more, "
                f"but {what} {limit}; shorten the prompt or lower max_tokens"
            )
