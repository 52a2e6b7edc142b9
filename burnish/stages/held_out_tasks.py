"""Which tasks that training never sees are answered during a run: the settings alone, light to import.

`task_questions.py` reads the questions, `task_looks.py` has them answered and scored.
"""

from __future__ import annotations

from burnish.config import setting, settings


@settings
class HeldOutTasks:
    """Which tasks are answered during a run, and how long an answer may be; answers are the most likely ones."""

    data: tuple[str, ...] = setting(
        ..., "their questions: zero_shot and few_shot of an `instructions` run", source=True, min_length=1
    )
    answer_tokens: int = setting(64, "longest answer", unit="tokens", ge=1)
    cache_tokens: int = setting(32768, "tokens that the sampler's cache may hold", unit="tokens", ge=1)
    max_rows: int = setting(128, "answers decoded at a time", ge=1)
