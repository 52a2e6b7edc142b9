"""The study of Muon: equal tokens, each optimiser at its own best rate, and nothing run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies.muon import measure

LEAST = {"adamw": 1e-3, "muon": 1e-2}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs whose bits per byte are least at their method's rate; what was run, by name of its folder."""
    calls: dict[str, dict[str, object]] = {}

    def run(verb: str, out: Path, options: dict[str, object]):
        if verb == "pretrain" and out.name not in calls:
            calls[out.name] = dict(options)
            method, rate, seed = (
                out.name.split("-", 1)[0],
                float(options["train.optimizer.learning_rate"]),
                out.name[-1],
            )
            bits = 2.0 + (rate != LEAST[method]) + 0.01 * int(seed) - 0.1 * (method == "muon")
            row = {"held_out_bits_per_byte": bits, "held_out_loss": 3.0, "tokens_seen": 960.0}
            out.mkdir(parents=True)
            (out / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        return {"seconds": 7.0}

    def main() -> dict[str, object]:
        out = tmp_path / "study"
        out.mkdir(exist_ok=True)
        monkeypatch.setattr("sys.argv", ["measure", "--out", str(out)])
        measure.main()
        return json.loads((out / "record.json").read_text(encoding="utf-8"))

    monkeypatch.setattr(measure, "_burnish", run)
    return main, calls


def test_the_best_rate_of_each_is_repeated_with_other_seeds(asked, capsys):
    main, calls = asked
    methods = main()["methods"]
    assert {name: found["best_rate"] for name, found in methods.items()} == LEAST
    assert len(calls) == 2 * (len(measure.RATES) + len(measure.SEEDS) - 1)
    assert [one["bits_per_byte"] for one in methods["muon"]["seeds"]] == pytest.approx([1.9, 1.91, 1.92])
    assert "| muon | 2.900 | 2.900 | 1.900 | 1.910 | 0.020 |" in capsys.readouterr().out


def test_the_two_differ_in_muon_alone(asked):
    main, calls = asked
    main()
    adamw, muon = (calls[f"{name}-0.01-0"] for name in ("adamw", "muon"))
    assert {name for name in muon if name not in adamw} == {"train.muon.momentum"}
    assert {name: value for name, value in muon.items() if name in adamw} == adamw
