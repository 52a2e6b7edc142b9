"""The studio as people start it, under many at once, in the short form of its benchmark: what is promised holds.

Nothing is said of times here; `make bench-studio` measures them.
"""

from __future__ import annotations

import pytest

from benchmarks.studio.run import Load, one_run

pytestmark = pytest.mark.studio


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_many_people_over_http_lose_nothing_and_get_nothing_twice(engine, request, tmp_path):
    database = "" if engine == "sqlite" else request.getfixturevalue("new_postgres")
    load = Load(people=10, rate=15, seconds=3)
    done = one_run(load, database, tmp_path)
    assert {one.status for one in done.answered} == {200}
    assert {one.what for one in done.answered} >= {"work page", "next item", "judgement"}
    assert done.judgements >= 3 * load.num_items
    assert done.engine.startswith("SQLite" if engine == "sqlite" else "PostgreSQL")
