"""The locked dependencies: reading locks/*.txt, and writing them anew.

Usage: scripts/lock [--upgrade [PACKAGE ...]]

Without --upgrade every version stays that still fits pyproject.toml; what is new there is added, what is gone is left
out. With --upgrade the named packages, or all, move to the newest version that fits.

    locks/build.txt   what installs and builds: uv, setuptools, wheel
    locks/base.txt    keras_seq itself
    locks/<extra>.txt what an extra adds to the base; those of OWN are environments of their own, base included
    constraints.txt   versions of base and dev without hashes, for those who install with another tool

Every line of a lock has the sha256 of every file of that version; no lock names where a file comes from.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name as canonical

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "locks"
OWN = ("beam",)  # Apache Beam wants an older protobuf than the rest is tested with
INSTALLERS = ("uv", "wheel")
ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<marker>\s*;[^\\]*)?")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
PLATFORM = ("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28")


class Pinned(NamedTuple):
    """A package of a lock: version, sha256 of every file, and its lines."""

    version: str
    digests: tuple[str, ...]
    text: str


def split_lock(text: str) -> dict[str, Pinned]:
    """Packages of a lock by canonical name.

    Raises:
        ValueError: a line that is no part of an entry, or a package that is there twice.
    """
    packages: dict[str, Pinned] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        entry, digests = ENTRY.match(line), tuple(HASH.findall(line))
        if entry:
            name = canonical(entry["name"])
            if name in packages:
                raise ValueError(f"'{name}' is locked twice")
            packages[name] = Pinned(entry["version"], (), "")
        elif not (name and line.startswith(" ") and digests):
            raise ValueError(f"not a pinned package: {line!r}")
        version, before, lines = packages[name]
        packages[name] = Pinned(version, before + digests, f"{lines}{line}\n")
    return packages


def read_lock(path: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Packages of a lock: ``{canonical name: (version, sha256 of every file)}``."""
    packages = split_lock(path.read_text(encoding="utf-8"))
    return {name: (package.version, package.digests) for name, package in packages.items()}


def pins_of(path: Path) -> dict[str, str]:
    """Versions of a lock or of constraints.txt; none if there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    entries = (ENTRY.match(line) for line in lines)
    return {canonical(entry["name"]): entry["version"] for entry in entries if entry}


def project() -> dict[str, list[str]]:
    """Direct requirements by group: ``build``, ``base`` and every extra."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = settings["project"].get("optional-dependencies", {})
    build = [*settings["build-system"]["requires"], *INSTALLERS]
    return {"build": build, "base": settings["project"]["dependencies"], **extras}


def resolve(requirements: list[str], pins: dict[str, str]) -> dict[str, Pinned]:
    """All packages that ``requirements`` need, in the versions of ``pins`` where they are among them."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, limits, out = (Path(folder) / name for name in ("wanted.in", "limits.txt", "out.txt"))
        wanted.write_text("\n".join(requirements) + "\n")
        limits.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
        command = [str(ROOT / ".venv/bin/uv"), "pip", "compile", str(wanted), "--quiet", "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--constraints", str(limits), "--output-file", str(out), *PLATFORM]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"error: no versions fit together:\n{done.stderr}")
        return split_lock(out.read_text())


def write(name: str, packages: dict[str, Pinned], what: str) -> None:
    """Write ``locks/<name>.txt``."""
    path = LOCKS / f"{name}.txt"
    lines = "".join(packages[package].text for package in sorted(packages))
    path.write_text(f"# {what} Written by scripts/lock; do not edit.\n{lines}", encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(packages)} packages")


def lock(upgraded: list[str] | None) -> None:
    """Write every lock and constraints.txt.

    Args:
        upgraded: packages whose version may move; all if empty, none if None.
    """

    def still(pins: dict[str, str]) -> dict[str, str]:
        return {} if upgraded == [] else {name: pins[name] for name in pins if name not in (upgraded or ())}

    groups = project()
    pins = pins_of(ROOT / "constraints.txt")
    for name in groups:
        if name not in OWN:
            pins = pins_of(LOCKS / f"{name}.txt") | pins
    everything = resolve([*groups["build"], *groups["base"], *groups["dev"]], still(pins))
    fixed = {name: package.version for name, package in everything.items()}
    base = resolve(groups["base"], fixed)
    write("build", resolve(groups["build"], fixed), "What installs and builds.")
    write("base", base, "keras_seq without extras.")
    for name, needs in groups.items():
        needed = [*groups["base"], *needs]
        if name in OWN:
            own = resolve(needed, still(pins_of(LOCKS / f"{name}.txt")))
            write(name, own, f"keras_seq[{name}], an environment of its own.")
        elif name not in ("build", "base"):
            # an extra's own packages keep their versions too; what base and dev have is decided above
            packages = resolve(needed, still(pins) | fixed)
            added = {package: packages[package] for package in packages.keys() - base}
            write(name, added, f"What the extra '{name}' adds to base.txt.")
    versions = {name: package.version for name, package in base.items()} | pins_of(LOCKS / "dev.txt")
    text = "".join(f"{name}=={versions[name]}\n" for name in sorted(versions))
    (ROOT / "constraints.txt").write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="scripts/lock", description="Write locks/ and constraints.txt anew.")
    parser.add_argument("--upgrade", nargs="*", metavar="PACKAGE", help="move these packages, or all, to the newest")
    options = parser.parse_args()
    lock(None if options.upgrade is None else [canonical(name) for name in options.upgrade])


if __name__ == "__main__":
    main()
