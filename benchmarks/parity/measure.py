"""Make TRL's environment where there is none, compute its numbers there, and write them with the table.

    python -m benchmarks.parity.measure [--environment .cache/trl]

From the root of the repository. Installs torch, transformers and everything that both need at the versions of
`constraints.txt`, and TRL beside them; it takes about 3 GB where torch is the default build (README.md says how to get
the build for CPUs). Writes `benchmarks/parity/numbers.json` and `docs/parity.md`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.parity.ours import NUMBERS
from benchmarks.parity.table import write

TRL = "trl==1.16.*"
CONSTRAINTS = Path("constraints.txt")


def environment(folder: Path) -> Path:
    """The interpreter of an environment with TRL, made if the folder has none."""
    interpreter = folder / "bin" / "python"
    if not interpreter.is_file():
        venv.create(folder, with_pip=True, symlinks=True)
        pins = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line.startswith("torch==")]
        install = [str(interpreter), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *pins], check=True)  # first, so that nothing else chooses another build
        subprocess.run([*install, "--constraint", str(CONSTRAINTS), TRL, "transformers"], check=True)
    return interpreter


def main() -> None:
    """Everything, from the environment to the page."""
    parser = argparse.ArgumentParser(description="TRL's losses on a small case, stored and compared")
    parser.add_argument("--environment", type=Path, default=Path(".cache/trl"), help="of TRL, made if it is not there")
    interpreter = environment(parser.parse_args().environment)
    subprocess.run([str(interpreter), "-m", "benchmarks.parity.trl_side", str(NUMBERS)], check=True)
    write()
    sys.stdout.write(f"wrote {NUMBERS} and the page\n")


if __name__ == "__main__":
    main()
