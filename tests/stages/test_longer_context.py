"""`lengthen`, training what it made, and `evaluate-needle`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import OPTConfig

from burnish.errors import ConfigError, ModelError
from burnish.models.load import load_config, load_tokenizer
from burnish.models.rope import Interpolation, YaRN
from burnish.stages.evaluate_needle import EvaluateNeedleStage
from burnish.stages.lengthen import LengthenStage
from burnish.stages.pretrain import PretrainStage
from burnish.text.tokenizer import Encoder
from burnish.text.truncate import Truncation
from tests.stages.runs import FAST, run, weights
from tests.stages.tiny_chat import tiny_tokenizer, write_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("longer") / "run" / "model", context=256).parent


def test_a_longer_model_has_the_same_weights_and_learns_from_longer_texts(base: Path, tmp_path: Path):
    stage = LengthenStage(model=str(base), scaling=YaRN(factor=2.0))
    assert stage.plan().facts == {"context": 512}
    run(stage, tmp_path / "longer")
    before, after = weights(base), weights(tmp_path / "longer")
    assert all((after[name] == value).all() for name, value in before.items())
    config = load_config(str(tmp_path / "longer"))
    assert config.max_position_embeddings == 512
    assert (config.rope_parameters["rope_type"], config.rope_parameters["factor"]) == ("yarn", 2.0)
    (tmp_path / "long.jsonl").write_text(json.dumps({"text": "An opal is a gem. " * 60}) + "\n")
    run(
        PretrainStage(
            model=str(tmp_path / "longer"),
            data=str(tmp_path / "long.jsonl"),
            text=Truncation(max_tokens=500, longer="windows"),
            steps=2,
            train=FAST,
        ),
        tmp_path / "trained",
    )
    trained = load_config(str(tmp_path / "trained"))
    assert trained.rope_parameters == config.rope_parameters
    assert trained.max_position_embeddings == 512
    with pytest.raises(ModelError, match="scaled already, by 'yarn'; lengthen the model that it was made from"):
        LengthenStage(model=str(tmp_path / "trained"), scaling=Interpolation(factor=2.0)).plan()


def test_needles_are_looked_for_at_every_length_and_depth(base: Path, tmp_path: Path):
    stage = EvaluateNeedleStage(model=str(base), lengths=(160, 250), depths=(0.0, 0.5, 1.0), repeats=2, answers=4)
    assert stage.plan().facts == {"texts": 12, "tokens": 2460}
    run(stage, tmp_path / "needle")
    scores = json.loads((tmp_path / "needle" / "scores.json").read_text())
    assert [(row["length"], row["depth"], row["count"]) for row in scores["cells"]] == [
        (length, depth, 2) for length in (160, 250) for depth in (0.0, 0.5, 1.0)
    ]
    assert scores["chance"] == 0.25
    rows = [json.loads(line) for line in (tmp_path / "needle" / "searches.jsonl").read_text().splitlines()]
    assert len(rows) == 12
    assert all(len(row["logps"]) == 4 for row in rows)


def test_the_text_holds_the_needle_once_at_its_depth_and_ends_with_the_question(base: Path):
    encoder = Encoder(load_tokenizer(str(base)))
    for depth, place in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.5)):
        stage = EvaluateNeedleStage(model=str(base), lengths=(256,), depths=(depth,))
        tree = stage._tree(encoder, 256, depth, 0)
        text = encoder.decode(tree.prompt)
        fact = text.index(" The secret word of")
        assert text.count(" The secret word of") == 2
        assert text.endswith(" is")
        assert abs(fact / text.rindex(" The secret word of") - place) < 0.35
        longest = max(len(branch.tokens) for branch in tree.branches)
        assert 200 < len(tree.prompt) + longest <= 256
        right = encoder.decode(tree.branches[0].tokens)
        assert text.count(right) == 1, "the right answer stands in the needle"
        assert not any(encoder.decode(branch.tokens) in text for branch in tree.branches[1:])


def test_texts_that_do_not_fit_the_model_are_refused(base: Path):
    with pytest.raises(ConfigError, match=r"lengths: 512 tokens are over the 256 of .*burnish lengthen"):
        EvaluateNeedleStage(model=str(base), lengths=(128, 512)).plan()
    with pytest.raises(ConfigError, match=r"a needle takes \d+ tokens of this tokenizer, and 40 are given"):
        EvaluateNeedleStage(model=str(base), lengths=(128, 40)).plan()
    with pytest.raises(ConfigError, match="2 is not between 0 and 1"):
        EvaluateNeedleStage(model=str(base), lengths=(128,), depths=(2.0,)).plan()


def test_a_model_can_be_looked_at_beyond_its_context_if_its_positions_go_on(base: Path, tmp_path: Path):
    settings = {"lengths": (300,), "depths": (0.5,), "repeats": 1, "beyond_context": True}
    run(EvaluateNeedleStage(model=str(base), **settings), tmp_path / "beyond")
    assert json.loads((tmp_path / "beyond" / "scores.json").read_text())["overall"]["count"] == 1
    sizes = {"hidden_size": 32, "ffn_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    learned = OPTConfig(**sizes, max_position_embeddings=256)
    learned.save_pretrained(tmp_path / "opt")
    tiny_tokenizer().save_pretrained(tmp_path / "opt")
    with pytest.raises(ConfigError, match=r"over the 256 of .*no rotary positions that would go on"):
        EvaluateNeedleStage(model=str(tmp_path / "opt"), **settings).plan()
