"""The repository keeps its own promises: pins agree, licences and paths are checked, what is named exists."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import check_licences
import check_paths
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in exact}


def requirements() -> list[Requirement]:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *extras] if not line.startswith("burnish")]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_pinned_version_satisfies_the_range(requirement):
    pinned = pins().get(canonicalize_name(requirement.name))
    if requirement.name in ("wandb", "trackio"):
        assert pinned is None, "extras that CI does not install have no pin"
    else:
        assert pinned is not None
        assert requirement.specifier.contains(pinned)


def test_runtime_dependencies_are_ranges_and_tools_are_exact():
    for line in PROJECT["dependencies"]:
        assert not any(part.operator == "==" for part in Requirement(line).specifier), line
    for tool in ("ruff", "mypy", "pytest", "import-linter"):
        assert any(line.startswith(f"{tool}==") for line in PROJECT["optional-dependencies"]["dev"]), tool


def test_extras_that_messages_name_exist():
    named = set()
    for file in (ROOT / "burnish").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "MissingExtra":
                named.update(arg.value for arg in node.args[1:] if isinstance(arg, ast.Constant))
    assert named <= set(PROJECT["optional-dependencies"])


def test_make_lists_every_target_that_people_type():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in targets() - {"help"}:
        assert f"make {target}" in listed


def test_ci_and_the_commit_hook_run_targets_that_exist():
    ci = ROOT / ".ci" / "run"
    assert os.access(ci, os.X_OK)
    text = ci.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    called = re.findall(r"^make ([a-z-]+)$", text, flags=re.MULTILINE)
    assert {"check", "test", "test-slow"} <= set(called) <= targets()
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [(repo["repo"], hook["entry"]) for repo in hooks for hook in repo["hooks"]] == [("local", "make check")]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", "allowed"),
        ("Apache-2.0 OR BSD-2-Clause", "allowed"),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", "allowed"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "allowed"),
        ("MIT OR GPL-3.0-only", "allowed"),
        ("MIT AND GPL-3.0-only", "refused"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "refused"),
        ("LGPL-2.1-or-later", "refused"),
        ("Some Own License", "unknown"),
        ("", "unknown"),
    ],
)
def test_verdict_on_a_licence(licence, expected):
    assert check_licences.verdict(licence) == expected


def test_licences_are_read_for_all_that_is_installed_at_run_time():
    names = {canonicalize_name(package.name) for package in check_licences.dependencies("burnish")}
    assert {"torch", "transformers", "filelock", "accelerate"} <= names
    assert "pytest" not in names


def test_a_refused_licence_fails_the_check(monkeypatch, capsys):
    monkeypatch.setattr(check_licences, "declared", lambda package: "GPL-3.0-only")
    assert check_licences.main() == 1
    assert "refused" in capsys.readouterr().out


def test_paths_of_machines_and_registry_hosts_are_found():
    bad = ["cd /" + "home/ada/burnish", "x = '/" + "root/.cache'", "C:" + "\\Users", "from py" + "pi.org/simple"]
    for line in bad:
        assert [number for number, _ in check_paths.places(f"fine\n{line}\n")] == [2], line


def test_relative_paths_and_papers_are_not_found():
    fine = ["../shared/data", "https://arxiv.org/abs/2305.18290", "runs/work/model", "and/or/home/x", "a/root/b"]
    assert list(check_paths.places("\n".join(fine))) == []


def test_no_tracked_file_names_a_path_of_a_machine(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff/" + b"home/ada")
    files = [*check_paths.tracked_files(ROOT), tmp_path / "picture.png"]
    assert len(files) > 10
    assert list(check_paths.findings(files)) == []
