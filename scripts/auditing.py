"""Known vulnerabilities of the locked packages, without a network.

Usage: scripts/audit --database FILE [--lock FILE ...] [--ignore ID ...] [--json]

The database is an export in the OSV format (https://ossf.github.io/osv-schema/) that somebody has brought here: the
archive of all advisories for the ecosystem PyPI (all.zip), a folder of such JSON files, or one file with an advisory or
a list of them. Every package of the locks is looked up. Exit code 0: none is known; 1: some are; 2: not checked.

What it cannot see: vulnerabilities published after the export; advisories of other ecosystems, such as those of the C
libraries inside wheels; packages with another name. Python's own interpreter is not looked up.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

sys.path.insert(0, str(Path(__file__).parent))

import locking


class AuditError(Exception):
    """The check cannot be made."""


@dataclass(frozen=True)
class Finding:
    """A locked package that an advisory names.

    Attributes:
        package: canonical name.
        version: that is locked.
        identifier: of the advisory.
        aliases: other names of it, such as CVE numbers.
        fixed: versions that mend it, as far as known.
        summary: one line.
    """

    package: str
    version: str
    identifier: str
    aliases: tuple[str, ...]
    fixed: tuple[str, ...]
    summary: str


def advisories(database: Path) -> Iterator[dict[str, Any]]:
    """Every advisory of an archive, a folder or a file.

    Raises:
        AuditError: it cannot be read, or holds none.
    """
    count = 0
    for name, text in _texts(database):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise AuditError(f"'{name}' in '{database}' is not JSON: {error}") from None
        for advisory in content if isinstance(content, list) else [content]:
            if not isinstance(advisory, dict) or "id" not in advisory:
                raise AuditError(f"'{name}' in '{database}' is no OSV advisory: it has no 'id'.")
            count += 1
            yield advisory
    if not count:
        raise AuditError(f"'{database}' holds no advisories (*.json).")


def _texts(database: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if database.is_dir():
            for path in sorted(database.rglob("*.json")):
                yield path.name, path.read_bytes()
        elif zipfile.is_zipfile(database):
            with zipfile.ZipFile(database) as archive:
                for name in archive.namelist():
                    if name.endswith(".json"):
                        yield name, archive.read(name)
        else:
            yield database.name, database.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        raise AuditError(f"The database '{database}' cannot be read: {error}") from None


def audit(locked: dict[str, set[str]], database: Path) -> list[Finding]:
    """What the database says against ``locked``, ``{canonical name: versions}``.

    Raises:
        AuditError: the database cannot be read.
    """
    findings = []
    for advisory in advisories(database):
        if advisory.get("withdrawn"):
            continue
        for affected in advisory.get("affected", []):
            package = affected.get("package", {})
            name = locking.canonical(package.get("name", ""))
            if package.get("ecosystem") == "PyPI":
                hit = [version for version in locked.get(name, ()) if is_affected(version, affected)]
                findings += [_finding(name, version, advisory, affected) for version in hit]
    return sorted(set(findings), key=lambda finding: (finding.package, finding.version, finding.identifier))


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Whether an ``affected`` entry of an advisory means a version: listed, or within a range (OSV, "Evaluation")."""
    wanted = Version(version)
    if any(_parsed(listed) == wanted for listed in affected.get("versions", [])):
        return True
    ranges = (span.get("events", []) for span in affected.get("ranges", []) if span.get("type") == "ECOSYSTEM")
    return any(_within(wanted, events) for events in ranges)


def _within(version: Version, steps: list[dict[str, str]]) -> bool:
    """Events in the order of their versions switch "affected" on and off; the last one not after ``version`` counts."""
    events = []
    for step in steps:
        for kind, value in step.items():
            bound = Version("0.dev0") if value == "0" else _parsed(value)
            if bound is not None and kind in ("introduced", "fixed", "last_affected"):
                events.append((bound, kind))
    inside = False
    for bound, kind in sorted(events, key=lambda event: (event[0], event[1] != "introduced")):
        if kind == "introduced" and version >= bound:
            inside = True
        elif (kind == "fixed" and version >= bound) or (kind == "last_affected" and version > bound):
            inside = False
    return inside


def _parsed(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _finding(name: str, version: str, advisory: dict[str, Any], affected: dict[str, Any]) -> Finding:
    events = [event for span in affected.get("ranges", []) for event in span.get("events", [])]
    return Finding(
        package=name,
        version=version,
        identifier=str(advisory["id"]),
        aliases=tuple(advisory.get("aliases", ())),
        fixed=tuple(event["fixed"] for event in events if "fixed" in event),
        summary=str(advisory.get("summary") or advisory.get("details", "")).strip().partition("\n")[0][:200],
    )


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    folder = locking.ROOT / "locks"
    parser = argparse.ArgumentParser(prog="scripts/audit", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--database", required=True, metavar="FILE", help="OSV export: all.zip, a folder, or a JSON file"
    )
    parser.add_argument(
        "--lock", nargs="+", metavar="FILE", default=sorted(map(str, folder.glob("*.txt"))), help="locks"
    )
    parser.add_argument("--ignore", nargs="+", metavar="ID", default=[], help="advisories judged harmless here")
    parser.add_argument("--json", action="store_true", help="findings as a JSON list")
    options = parser.parse_args(argv)
    locked: dict[str, set[str]] = {}
    try:
        for path in options.lock:
            pins = locking.pins_of(Path(path))
            if not pins:
                raise AuditError(f"The lock '{path}' is not there or holds no package.")
            for name, version in pins.items():
                locked.setdefault(name, set()).add(version)
        findings = audit(locked, Path(options.database))
    except AuditError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ignored = set(options.ignore)
    counted = [finding for finding in findings if not {finding.identifier, *finding.aliases} & ignored]
    if options.json:
        print(json.dumps([asdict(finding) for finding in counted], indent=1))
    else:
        _show(counted, sum(map(len, locked.values())), len(findings) - len(counted))
    return 1 if counted else 0


def _show(findings: list[Finding], packages: int, ignored: int) -> None:
    for finding in findings:
        names = ", ".join((finding.identifier, *finding.aliases))
        mended = f"fixed in {', '.join(finding.fixed)}" if finding.fixed else "no fixed version is known"
        print(f"{finding.package} {finding.version}: {names}; {mended}\n  {finding.summary}")
    print(f"{packages} packages looked up, {len(findings)} findings" + (f", {ignored} ignored" if ignored else ""))


if __name__ == "__main__":
    sys.exit(main())
