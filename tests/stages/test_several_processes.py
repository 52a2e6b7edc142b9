"""Two gloo processes under torchrun train what one process trains, end together, and go on in any number.

The processes are started once for all cases of training, and once for each way to end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from burnish.config import load
from burnish.example import read_jsonl
from burnish.stages.mix import MixStage
from burnish.stages.run import run_stage
from burnish.stages.tokenise import TokeniseStage
from tests.stages.several import CASES, ONLINE, stage_of
from tests.stages.tiny_chat import (
    write_chats,
    write_labelled,
    write_model,
    write_pairs,
    write_prompts,
    write_rankings,
    write_text,
)

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and data of every kind."""
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    write_chats(folder / "chats.jsonl")
    write_pairs(folder / "pairs.jsonl")
    write_labelled(folder / "labelled.jsonl")
    write_rankings(folder / "rankings.jsonl")
    write_prompts(folder / "prompts.jsonl", count=12)
    write_text(folder / "text.jsonl")
    write_questions(folder / "questions.jsonl")
    write_model(folder / "reference", seed=1)
    write_domains(folder)
    return folder


def write_domains(folder: Path) -> None:
    """Token files of two domains, and their mixture."""
    data = {}
    for name in ("chats", "text"):
        rows = [{"text": f"{name} {number}: {number**5}" * 3} for number in range(12)]
        (folder / f"{name}-documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tokenise = {"model": str(folder / "model"), "data": {name: str(folder / f"{name}-documents.jsonl")}}
        data[name] = str(run_stage(load(TokeniseStage, tokenise), folder / f"tokens-{name}", say=lambda line: None))
    run_stage(load(MixStage, {"data": data}), folder / "mix", say=lambda line: None)


def write_questions(path: Path) -> None:
    """Questions of a task that training never sees."""
    rows = [{"prompt": f"Old {number}?", "completion": "yes", "task": "ages"} for number in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def started(words: list[str], **more: str) -> subprocess.Popen[str]:
    """A command in the root of the repository, with one thread for each process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(words: list[str], **more: str) -> tuple[int, str, str]:
    """How a command ended: its code, and what it wrote to stdout and stderr."""
    process = started(words, **more)
    try:
        out, err = process.communicate(timeout=1200)
    finally:
        process.kill()
    return process.returncode, out, err


# The same training ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case by two processes."""
    out = tmp_path_factory.mktemp("two")
    code, _, err = ended([*TORCHRUN, "-m", "tests.stages.several", str(world), str(out), *CASES])
    assert code == 0, err[-4000:]
    return out


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


CLOCKS = ("seconds", "tokens_per_second", "peak_memory_bytes")


def assert_same_run(found: Path, expected: Path, start: Path, *, rel: float, apart: float) -> None:
    """Every metric of every update, and the weights: their difference as a share of what the training changed."""
    for line, other in zip(lines(found), lines(expected), strict=True):
        assert line.keys() == other.keys()
        for name, value in other.items():
            if name not in CLOCKS:
                assert line[name] == pytest.approx(value, rel=rel, abs=10 * rel), name
    files = sorted(path.relative_to(expected) for path in (expected / "model").rglob("*.safetensors"))
    assert files
    for file in files:
        one, other = load_file(expected / file), load_file(found / file)
        assert one.keys() == other.keys()
        # A reward model is saved with a row more for its padding token.
        before = {k: v for k, v in load_file(start).items() if k in one and v.shape == one[k].shape}
        off = torch.cat([(one[name] - other[name]).flatten() for name in before]).norm()
        change = torch.cat([(one[name] - before[name]).flatten() for name in before]).norm()
        assert float(change) > 0.1
        assert float(off / change) < apart, file


def start_of(world: Path) -> Path:
    """The weights that every run starts from."""
    return world / "model" / "model.safetensors"


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_what_one_does(name: str, world: Path, two: Path, tmp_path: Path):
    """In float32 to rounding; in bf16 to that of a few weights that fall on the other side of a rounding."""
    one = run_stage(stage_of(world, name), tmp_path / name, say=lambda line: None)
    bf16 = name.endswith("bf16")
    assert_same_run(two / name, one, start_of(world), rel=2e-2 if bf16 else 1e-4, apart=1e-2 if bf16 else 1e-5)
    if CASES[name][0] in ONLINE:
        answers = [
            [[c.token_ids for c in example.completions] for example in read_jsonl(out / "rollouts" / "000000.jsonl")]
            for out in (one, two / name)
        ]
        assert answers[0] == answers[1]


def test_held_out_tasks_are_answered_alike(world: Path, two: Path, tmp_path: Path):
    """By two processes, each of which answers its share with a whole copy of weights that are divided."""
    one = run_stage(stage_of(world, "sft-tasks"), tmp_path / "one", say=lambda line: None)
    for name in ("000000", "000001", "000003"):
        found = [list(read_jsonl(out / "looks" / f"{name}.jsonl")) for out in (one, two / "sft-tasks")]
        tokens = [[example.completions[0].token_ids for example in examples] for examples in found]
        assert tokens[0] == tokens[1]
        assert [example.id for example in found[0]] == [example.id for example in found[1]]


def test_records_and_artefacts_are_written_once(two: Path):
    for name in CASES:
        record = json.loads((two / name / "run.json").read_text())
        assert record["state"] == "finished"
        assert [line["step"] for line in lines(two / name)] == [1, 2, 3]
        assert not (two / name / "checkpoints").exists()


# The command line -----------------------------------------------------------------------------------------------------


def words_of(world: Path, out: Path, *more: str, data: str = "chats") -> list[str]:
    """`burnish sft` as one types it, without what starts it."""
    return [
        *("-m", "burnish", "sft", "--model", str(world / "model"), "--data", str(world / f"{data}.jsonl")),
        *("--out", str(out), "--train.batch_size", "4", "--train.precision", "fp32", "--train.micro_batch_size", "1"),
        *("--train.optimizer.learning_rate", "1e-2", "--train.optimizer.epsilon", "1e-2", *more),
    ]


def test_two_one_and_two_processes_on_one_run(world: Path, tmp_path: Path):
    """Interrupted by SIGTERM each time; steps may be raised, and every number of processes goes on with the others'.

    The last words of each try are printed once, and no more than once.
    """
    out, more = tmp_path / "run", ("--train.checkpoint_every", "1")
    for start, steps, stop in ((TORCHRUN, 5, 2), ([sys.executable], 6, 4), (TORCHRUN, 6, 0)):
        words = words_of(world, out, *more, "--steps", str(steps))
        code, said, err = ended([*start, "-m", "tests.stages.stopping", *words[2:]], BURNISH_TEST_STOP_AFTER=str(stop))
        assert (code == 0) == (stop == 0), err[-3000:]
        if stop:
            assert err.count(f"stopped after update {stop}") == 1, err[-3000:]
            [folder] = (out / "checkpoints").iterdir()
            count = 1 if start == [sys.executable] else 2
            assert len(list(folder.glob(f"policy-*-of-{count:05d}.safetensors"))) == count
    assert said.count("finished: ") == 1
    assert said.count("going on after update 4") == 1
    alone = tmp_path / "alone"
    code, _, err = ended([sys.executable, *words_of(world, alone, "--steps", "6")])
    assert code == 0, err[-3000:]
    assert_same_run(out, alone, start_of(world), rel=1e-4, apart=1e-5)


def test_a_recipe_runs_in_two_processes(world: Path, tmp_path: Path):
    """Stages that do not train run once; those that do are shared; the keys are those of one process."""
    recipe = tmp_path / "recipe.yaml"
    train, short = "{batch_size: 4, precision: fp32}", "{decoding: {max_tokens: 4}}"
    recipe.write_text(
        f"name: both\nout: {tmp_path}/out\nstore: {tmp_path}/store\nstages:\n"
        f"  sft: {{use: sft, model: {world}/model, data: {world}/chats.jsonl, steps: 2, train: {train}}}\n"
        f"  ask: {{use: sample, model: '@sft', data: {world}/prompts.jsonl, sampling: {short}}}\n"
        f"  dpo: {{use: dpo, model: '@sft', data: {world}/pairs.jsonl, steps: 2, train: {train}}}\n"
        "publish: {model: '@dpo/model'}\n"
    )
    code, said, err = ended([*TORCHRUN, "-m", "burnish", "run", str(recipe)])
    assert code == 0, err[-3000:]
    assert (said.count("sft: starts"), said.count("ask: starts"), said.count("finished: ")) == (1, 1, 1)
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()
    code, said, _ = ended([sys.executable, "-m", "burnish", "run", str(recipe)])
    assert code == 0
    assert said.count("done before") == 3


# Ends -----------------------------------------------------------------------------------------------------------------


def ranks_of(launcher: subprocess.Popen[str]) -> dict[int, int]:
    """The process id of each rank that a launcher has started, as Linux tells."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            environment = (path.parent / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == launcher.pid:
            found |= {int(item[5:]): int(path.parent.name) for item in environment if item.startswith(b"RANK=")}
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="ranks are found through /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_the_run_and_the_same_words_go_on(rank: int, world: Path, tmp_path: Path):
    out = tmp_path / "run"
    words = [*TORCHRUN, *words_of(world, out, "--steps", "60", "--train.checkpoint_every", "2")]
    process = started(words)
    try:
        for _ in range(3000):
            if list((out / "checkpoints").glob("step-*")):
                break
            time.sleep(0.1)
        os.kill(ranks_of(process)[rank], signal.SIGKILL)
        killed = time.monotonic()
        _, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode != 0
    assert time.monotonic() - killed < 120, "torchrun gives the ranks that are left 30 seconds, on an idle machine"
    assert err.count("another process of the run is gone without a word") == 1, err[-3000:]
    assert "type the same command again" in err
    assert json.loads((out / "run.json").read_text())["state"] == "running"
    code, said, err = ended(words)
    assert code == 0, err[-3000:]
    assert "going on after update" in said


BAD_LOSS = '''
"""A loss that is NaN on rank 1 alone."""
import os

from burnish.config import settings
from burnish.objectives.objective import Loss, Objective


@settings
class Bad(Objective):
    """Negative log-likelihood."""

    def weights(self, batch):
        return {"nll": float(batch.weight_N.sum())}

    def loss(self, outputs, batch, statistics):
        if os.environ["RANK"] == "1":
            outputs["logp"] = outputs["logp"] * float("nan")
        return Loss(terms={"nll": -(batch.weight_N * outputs["logp"]).sum()})
'''


def test_a_nan_on_one_rank_stops_all_and_names_the_example(world: Path, tmp_path: Path):
    rows = [json.loads(line) for line in (world / "chats.jsonl").read_text().splitlines()]
    data, loss = tmp_path / "rows.jsonl", tmp_path / "bad.py"
    data.write_text("".join(json.dumps({**row, "id": f"row-{i}"}) + "\n" for i, row in enumerate(rows)))
    loss.write_text(BAD_LOSS)
    words = words_of(world, tmp_path / "run", "--objective.use", f"{loss}:Bad", "--epochs", "1")
    words[words.index("--data") + 1] = str(data)
    code, _, err = ended([*TORCHRUN, *words])
    assert code != 0
    assert err.count("the loss is not finite before the update") == 1, err[-3000:]
    assert "examples: row-" in err
    assert "NonFinite" not in err, "no traceback"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["error"].startswith("RankFailed: rank 1: the loss is not finite before the update")
    assert lines(tmp_path / "run") == []


def test_bad_words_and_bad_data_are_told_once(world: Path, tmp_path: Path):
    code, _, err = ended([*TORCHRUN, *words_of(world, tmp_path / "run", "--stepz", "3")])
    assert code != 0
    assert err.count("unknown option --stepz") == 1
    code, _, err = ended(
        [*TORCHRUN, "-m", "tests.stages.stopping", *words_of(world, tmp_path / "run")[2:]], **ONE_BLIND
    )
    assert code != 0
    assert err.count("burnish: ") == 1, err[-3000:]
    assert "rank 1 cannot read" in err


ONE_BLIND = {"BURNISH_TEST_BLIND_RANK": "1"}
"""Rank 1 fails as it reads the data; rank 0 is well and waits for it."""
