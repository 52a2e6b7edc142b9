"""Two processes in other ways than side by side in one run of supervised training: online training that is stopped in
mid-rollout and goes on in another number, and two launchers, as on two machines."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.stages.test_several_processes import TORCHRUN, assert_same_run, ended, started
from tests.stages.tiny_chat import write_chats, write_model, write_prompts

pytestmark = pytest.mark.slow

VOWELS = '''
"""The share of vowels in an answer: random texts differ in it."""


def vowels(example, completion):
    return sum(letter in "aeiou" for letter in completion.text) / max(len(completion.text), 1)
'''

SETTINGS = (
    *("--train.precision", "fp32", "--train.micro_batch_size", "2", "--train.checkpoint_every", "1"),
    *("--train.optimizer.learning_rate", "1e-2", "--train.optimizer.epsilon", "1e-2"),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, chats, prompts and a grader."""
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    write_chats(folder / "chats.jsonl")
    write_prompts(folder / "prompts.jsonl", count=12)
    (folder / "vowels.py").write_text(VOWELS)
    return folder


@pytest.mark.parametrize("verb", ["ppo", "online-dpo"])
def test_a_rollout_is_gone_on_with_by_another_number_of_processes(verb: str, world: Path, tmp_path: Path):
    """A rollout is worth four updates here. Two processes stop after the second, one after the third, and two finish:
    the answers at hand, the critic and the order of prompts come from the checkpoint."""
    words = [verb, "--model", str(world / "model"), "--data", str(world / "prompts.jsonl"), "--steps", "6", *SETTINGS]
    words += ["--reward.grader", f"{world / 'vowels.py'}:vowels", "--train.batch_size", "2"]
    words += ["--rollout.num_samples", "3", "--rollout.decoding.max_tokens", "8"]
    words += ["--rollout.batches", "2", "--rollout.passes", "2"]
    out, alone = tmp_path / "run", tmp_path / "alone"
    for start, stop in ((TORCHRUN, 2), ([sys.executable], 3), (TORCHRUN, 0)):
        code, said, err = ended(
            [*start, "-m", "tests.stages.stopping", *words, "--out", str(out)], BURNISH_TEST_STOP_AFTER=str(stop)
        )
        assert (code == 0) == (stop == 0), err[-3000:]
    assert "going on after update 3" in said
    code, _, err = ended([sys.executable, "-m", "burnish", *words, "--out", str(alone)])
    assert code == 0, err[-3000:]
    assert_same_run(out, alone, world / "model" / "model.safetensors", rel=1e-4, apart=1e-5)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_two_launchers_that_meet_train_what_one_process_does(world: Path, tmp_path: Path):
    """The words of the page for several machines, typed twice on this one: one process each, and one run."""
    place = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--local-addr", "127.0.0.1")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *place]
    words = ["sft", "--model", str(world / "model"), "--data", str(world / "chats.jsonl"), "--steps", "3", *SETTINGS]
    words += ["--train.batch_size", "5"]
    out, alone = tmp_path / "run", tmp_path / "alone"
    both = [started([*launcher, "-m", "burnish", *words, "--out", str(out)]) for _ in range(2)]
    try:
        heard = [process.communicate(timeout=600) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], [err[-3000:] for _, err in heard]
    assert "".join(said for said, _ in heard).count("finished: ") == 1
    code, _, err = ended([sys.executable, "-m", "burnish", *words, "--out", str(alone)])
    assert code == 0, err[-3000:]
    assert_same_run(out, alone, world / "model" / "model.safetensors", rel=1e-4, apart=1e-5)
