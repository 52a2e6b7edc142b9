"""The same bytes on Ray as in this process; a script of its own, since Ray leaves much behind in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.data.curate.pool import InlinePool
from tests.data.curate.contract import bytes_of, run_steps
from tests.data.curate.test_engine import RESULTS, STEPS, rows_of

SCRIPT = """
import os
import sys
from pathlib import Path

from burnish.data.curate.pool import Task
from burnish.data.curate.ray_pool import RayPool
from burnish.errors import DataError
from tests.data.curate.contract import run_steps
from tests.data.curate.test_engine import STEPS, rows_of

pool = RayPool("local", 2)
run_steps(STEPS, rows_of(), Path(sys.argv[1]), files=3, shard_bytes=900, pool=pool)
for name, function, argument in (("wrong", divmod, (1, 0)), ("gone", os._exit, (3,))):
    try:
        first = Task(name="first", function=abs, arguments=(1,))
        pool.run([first, Task(name=name, function=function, arguments=argument)])
    except DataError as error:
        print(str(error).splitlines()[0])
print(pool.run([Task(name="n", function=abs, arguments=(-n,)) for n in range(4)]))
pool.close()
"""


@pytest.mark.slow
def test_ray_gives_the_same_bytes_and_names_what_fails(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'burnish[ray]'")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "ignore", str(script), str(tmp_path / "ray")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    run_steps(STEPS, rows_of(), tmp_path / "here", pool=InlinePool(), shard_bytes=900)
    assert bytes_of(tmp_path / "ray", *RESULTS) == bytes_of(tmp_path / "here", *RESULTS)
    said = [line for line in ended.stdout.splitlines() if "raylet" not in line]
    assert any(line.startswith("wrong: ZeroDivisionError") for line in said)
    assert any(line.startswith("gone: its process ended early") for line in said)
    assert said[-1] == "[0, 1, 2, 3]"
