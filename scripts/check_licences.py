"""List the licences of what Burnish needs at run time, and fail on one that is not allowed or not known.

Walks the installed dependencies from `burnish` itself, extras left out, and reads what each package declares: the SPDX
expression, else the classifiers, else the licence field. Only installed metadata is read; nothing is fetched.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = (
    "apache", "mit", "bsd", "0bsd", "psf", "python software foundation", "mpl", "mozilla public license 2", "isc",
    "zlib", "hpnd", "cc0", "cnri-python", "unlicense", "boost", "bsl",
)  # fmt: skip
REFUSED = ("gpl", "general public license", "sspl", "noncommercial", "non-commercial", "proprietary")

GPU_RUNTIME = re.compile(r"(nvidia|cuda)-")
"""Libraries that a GPU build of torch brings. Burnish does not import them; who installs such a build accepts them."""


def dependencies(root: str) -> Iterator[metadata.Distribution]:
    """Yield what `root` needs at run time, directly or not, each installed package once, sorted by name."""
    seen: dict[str, metadata.Distribution] = {}
    waiting = [root]
    while waiting:
        for text in metadata.distribution(waiting.pop()).requires or ():
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if name not in seen and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                seen[name] = metadata.distribution(name)
                waiting.append(name)
    yield from (seen[name] for name in sorted(seen))


def declared(package: metadata.Distribution) -> str:
    """What the package says its licence is, on one line; "" if it says nothing."""
    info = package.metadata
    expression = info.get_all("License-Expression") or [""]
    classifiers = [c.rsplit(" :: ", 1)[1] for c in info.get_all("Classifier") or () if c.startswith("License :: ")]
    named = " AND ".join(name for name in classifiers if name != "OSI Approved")
    field = (info.get_all("License") or [""])[0].strip().partition("\n")[0]
    return expression[0] or named or field


def verdict(licence: str) -> str:
    """ "allowed", "refused" or "unknown". Every part joined by AND has to be allowed; of an OR, one part."""
    parts = [part.strip(" ()").lower() for part in re.split(r"\sAND\s", licence)]
    verdicts = {_choice(part) for part in parts}
    return next((worst for worst in ("refused", "unknown") if worst in verdicts), "allowed")


def _choice(part: str) -> str:
    verdicts = {_single(option.strip()) for option in re.split(r"\sor\s", part)}
    return next((best for best in ("allowed", "unknown") if best in verdicts), "refused")


def _single(name: str) -> str:
    if any(word in name for word in REFUSED):
        return "refused"
    return "allowed" if any(re.search(rf"\b{word}", name) for word in ALLOWED) else "unknown"


def main() -> int:
    """Print one line per package and return 1 if a licence is refused or unknown."""
    bad = 0
    for package in dependencies("burnish"):
        licence = declared(package)
        result = "GPU runtime" if GPU_RUNTIME.match(package.name) else verdict(licence)
        bad += result in ("refused", "unknown")
        print(f"{result:<12} {package.name} {package.version}: {licence or 'declares none'}")
    if bad:
        print(f"{bad} of these may not be a dependency; choose another package, or ask before you extend ALLOWED")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
