"""Licences of the locked packages, from their installed metadata, into docs/licences.md.

Usage: scripts/licences [--check]

pip-licenses reads the metadata; what it cannot say is in UNDECLARED, read from the licence texts by hand.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import locking

PAGE = locking.ROOT / "docs/licences.md"
UNDECLARED = {"huey": "MIT", "namex": "Apache-2.0", "skops": "MIT"}
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD License",
    "DFSG approved; MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
STRONG = ("AGPL", "GPL", "SSPL", "EUPL", "OSL-")
WEAK = ("LGPL", "MPL", "EPL", "CDDL")
PERMISSIVE = ("MIT", "BSD", "Apache", "ISC", "PSF", "Python", "Zlib", "CC0", "Unlicense", "HPND", "0BSD", "CNRI", "ZPL")

HEAD = """# Licences

keras_seq is under Apache-2.0. These are the packages it is installed with, by what each says of itself in its metadata;
`scripts/licences` writes this page from the environment of `scripts/setup`. It is a list, not legal advice: a package
may carry parts under other licences, which its own licence files name.

"""


NOTE = """The MPL is copyleft by file: a changed file of such a package must be published under it, code that uses the
package need not. The LGPL of psycopg, a driver that the extra `sql` installs, holds for psycopg itself: it is imported
as it is, and nothing of it is part of keras_seq. The extras `gpu`, `beam` and `wandb` are not installed by
`scripts/setup` and not listed; the CUDA libraries of `gpu` come under NVIDIA's own terms.
"""


@functools.cache
def installed() -> dict[str, str]:
    """Licence of every installed package, ``{canonical name: licence}``.

    Raises:
        SystemExit: pip-licenses failed.
    """
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--with-system", "--from=mixed"]
    done = subprocess.run([*command, "--python", sys.executable], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: pip-licenses failed:\n{done.stderr}")
    found = {locking.canonical(one["Name"]): one["License"] for one in json.loads(done.stdout)}
    return {name: name_of(UNDECLARED.get(name, licence)) for name, licence in found.items()}


def name_of(licence: str) -> str:
    """A licence by its SPDX name, where it has one."""
    licence = licence.strip().partition("\n")[0]
    return SPDX.get(licence, " AND ".join(SPDX.get(part, part) for part in licence.split("; ")))


def kind_of(licence: str) -> str:
    """``strong copyleft``, ``weak copyleft``, ``permissive`` or ``unknown``; of alternatives the mildest counts."""
    kinds = []
    for choice in licence.split(" OR "):
        if any(name in choice for name in WEAK):
            kinds.append("weak copyleft")
        elif any(name in choice for name in STRONG):
            kinds.append("strong copyleft")
        else:
            kinds.append("permissive" if any(name in choice for name in PERMISSIVE) else "unknown")
    if "AND (" in licence:  # the alternatives are only a part of it
        return max(kinds, key=KINDS.index)
    return min(kinds, key=KINDS.index)


KINDS = ("permissive", "weak copyleft", "strong copyleft", "unknown")


def page() -> str:
    """The text of docs/licences.md.

    Raises:
        SystemExit: a locked package is not installed.
    """
    licences = installed()
    groups = {name: locking.read_lock(locking.ROOT / "locks" / f"{name}.txt") for name in ("base", "dev")}
    missing = sorted({name for lock in groups.values() for name in lock} - set(licences))
    if missing:
        sys.exit(f"error: locked but not installed: {', '.join(missing)}. Run scripts/setup first.")
    text = HEAD + _copyleft(groups, licences)
    titles = {"base": "What keras_seq needs", "dev": "Only for building and testing"}
    for group, lock in groups.items():
        text += f"\n## {titles[group]}\n\n| Package | Version | Licence | Kind |\n|---|---|---|---|\n"
        for name, (version, _) in sorted(lock.items()):
            text += f"| {name} | {version} | {licences[name]} | {kind_of(licences[name])} |\n"
    return text


def _copyleft(groups: dict[str, dict[str, tuple[str, tuple[str, ...]]]], licences: dict[str, str]) -> str:
    text = "## Copyleft and unknown\n\n"
    for group, lock in groups.items():
        named = [f"{name} ({licences[name]})" for name in sorted(lock) if kind_of(licences[name]) != "permissive"]
        what = "Needed" if group == "base" else "Only for building and testing"
        text += f"- {what}: {', '.join(named) or 'none'}.\n"
    return f"{text}\n{NOTE}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="scripts/licences", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit code 1 if docs/licences.md is not up to date")
    options = parser.parse_args()
    text = page()
    if options.check:
        sys.exit(
            0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text else "docs/licences.md is out of date"
        )
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE.relative_to(locking.ROOT))


if __name__ == "__main__":
    main()
