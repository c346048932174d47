"""What is installed is what was locked, its licences are known, and its vulnerabilities can be looked up."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import auditing
import bill
import licensing
import locking

ROOT, GROUPS = locking.ROOT, locking.project()
LOCKS = {path.stem: path for path in sorted((ROOT / "locks").glob("*.txt"))}
BESIDE = [name for name in LOCKS if name not in locking.OWN]


def read(name):
    return locking.read_lock(LOCKS[name])


def applies(requirement, extras=("",)):
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def test_there_is_no_unlocked_extra():
    assert set(LOCKS) == set(GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_every_direct_dependency_is_locked_as_it_is_asked_for(group):
    locked = read(group)
    if group not in (*locking.OWN, "build"):
        locked |= read("base")
    for text in GROUPS[group]:
        wanted = Requirement(text)
        if applies(wanted):
            version, digests = locked[locking.canonical(wanted.name)]
            assert wanted.specifier.contains(version), f"{text}: {version} is locked; run scripts/lock"
            assert digests


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_digest_for_everything_and_names_no_place(name):
    text = LOCKS[name].read_text()
    assert all(digests for _, digests in locking.read_lock(LOCKS[name]).values())
    for word in ("://", "--index", "--extra-index", "--find-links", "--trusted-host", " @ ", "-e "):
        assert word not in text, f"locks/{name}.txt: {word}"


def test_locks_agree():
    seen = {}
    for name in BESIDE:
        for package, (version, digests) in read(name).items():
            assert seen.setdefault(package, (version, digests)) == (version, digests), f"{package} in locks/{name}.txt"


def test_constraints_are_base_and_dev():
    both = read("base") | read("dev")
    lines = [f"{name}=={version}" for name, (version, _) in sorted(both.items())]
    assert (ROOT / "constraints.txt").read_text().splitlines() == lines


def test_what_the_locked_packages_need_is_locked_and_is_here():
    """Walks the installed packages from pyproject.toml on: nothing that is needed came past the locks."""
    locked = {name: version for name, (version, _) in (read("base") | read("dev")).items()}
    left = [Requirement(text) for group in ("base", "dev") for text in GROUPS[group]]
    seen = set()
    while left:
        one = left.pop()
        name = locking.canonical(one.name)
        if (name, frozenset(one.extras)) in seen:
            continue
        seen.add((name, frozenset(one.extras)))
        assert name in locked, f"{name} is needed and not locked; run scripts/lock"
        found = importlib.metadata.distribution(name)
        assert Version(found.version) == Version(locked[name]), f"{name} is not the locked one; run scripts/setup"
        wanted = (Requirement(text) for text in found.requires or ())
        left += [each for each in wanted if applies(each, ("", *one.extras))]
    assert {name for name, _ in seen} == set(locked), "locked, and nothing needs it"


@pytest.mark.parametrize("text", ["numpy>=2\n", "numpy @ file:///x\n", "    --hash=sha256:0\n", "a==1\nA==2\n"])
def test_a_lock_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"not a pinned package|twice"):
        locking.split_lock(text)


def make_wheel(folder):
    """A wheel of one module, as pip and uv take it."""
    about = "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n"
    files = {
        "small.py": "VALUE = 1\n",
        "small-1.0.dist-info/METADATA": about,
        "small-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows += f"{name},sha256={digest},{len(text)}\n"
    path = folder / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (files | {"small-1.0.dist-info/RECORD": rows}).items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("altered", [False, True])
def test_an_altered_package_is_refused(tmp_path, altered):
    """The installer and the options of scripts/setup, on a package of our own."""
    said = (ROOT / "scripts/setup").read_text()
    assert said.count("--require-hashes") == 2 and "--require-build-hashes" in said
    wheel = make_wheel(tmp_path)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if altered:
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("more.py", "VALUE = 2\n")
    (tmp_path / "lock.txt").write_text(f"small==1.0 \\\n    --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "uv", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--no-cache"]
    command += ["--require-hashes", "--target", str(tmp_path / "there"), "--requirement", str(tmp_path / "lock.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode != 0) == altered, done.stderr
    assert (tmp_path / "there/small.py").exists() != altered
    assert not altered or "Hash mismatch" in done.stderr


def test_the_installer_is_the_locked_one():
    assert importlib.metadata.version("uv") == read("build")["uv"][0]


def test_hooks_are_the_locked_tools_and_fetch_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    for hook in hooks[0]["hooks"]:
        program, *words = hook["entry"].split()
        tool = words[1] if words[:1] == ["-m"] else Path(program).name
        assert program.startswith(".venv/bin/") and hook["language"] == "system" and tool in read("dev")
        assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


def test_licences_are_listed():
    assert licensing.PAGE.read_text() == licensing.page(), "run scripts/licences"


def test_no_strong_copyleft_or_unknown_licence():
    licences = licensing.installed()
    kinds = {name: licensing.kind_of(licences[name]) for name in read("base") | read("dev")}
    assert not {name: licences[name] for name, kind in kinds.items() if kind in ("strong copyleft", "unknown")}


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        ("MIT", "permissive"),
        ("LGPL-3.0-or-later", "weak copyleft"),
        ("GPL-2.0-only", "strong copyleft"),
        ("GPL-2.0-only OR MIT", "permissive"),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", "weak copyleft"),
        ("AGPL-3.0", "strong copyleft"),
        ("Proprietary", "unknown"),
    ],
)
def test_kinds_of_licences(licence, kind):
    assert licensing.kind_of(licence) == kind


def test_a_bill_follows_the_schema():
    made = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {},
        "components": [
            {"type": "library", "name": "NumPy", "version": "2", "externalReferences": [{"type": "vcs", "url": "x:y"}]},
            {"type": "library", "name": "ruff", "version": "1"},
        ],
    }
    found = bill.prepare(made, {"numpy"}, {"numpy": "BSD-3-Clause"})
    assert [one["scope"] for one in found["components"]] == ["required", "excluded"]
    text = json.dumps(found)
    assert "externalReferences" not in text and bill.problems(text) is None
    assert bill.problems(text.replace('"required"', '"perhaps"'))


@pytest.mark.slow
def test_the_bill_of_this_environment(tmp_path):
    command = [sys.executable, str(ROOT / "scripts/bill.py"), "--output", str(tmp_path / "sbom.json")]
    subprocess.run(command, check=True, capture_output=True)
    text = (tmp_path / "sbom.json").read_text()
    found = {locking.canonical(one["name"]): one for one in json.loads(text)["components"]}
    assert bill.problems(text) is None and "externalReferences" not in text
    for name, (version, _) in read("base").items():
        assert (found[name]["version"], found[name]["scope"]) == (version, "required")
        assert found[name]["purl"].startswith("pkg:pypi/") and found[name]["licenses"], name
    graph = {one["ref"]: one.get("dependsOn", []) for one in json.loads(text)["dependencies"]}
    assert found["numpy"]["bom-ref"] in graph[found["scipy"]["bom-ref"]]


# CVE-2020-14343, as the advisory database has it (shortened)
PYYAML = {
    "id": "GHSA-8q59-q68h-6hv4",
    "aliases": ["CVE-2020-14343", "PYSEC-2021-142"],
    "summary": "Improper Input Validation in PyYAML",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "PyYAML"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]}],
        }
    ],
}


def affected(*events, versions=()):
    return {"versions": list(versions), "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


@pytest.mark.parametrize(
    ("version", "entry", "answer"),
    [
        ("5.3.1", PYYAML["affected"][0], True),
        ("5.4", PYYAML["affected"][0], False),
        ("5.4rc1", PYYAML["affected"][0], True),
        ("1.0", affected({"introduced": "0"}, {"last_affected": "1.0"}), True),
        ("1.0.post1", affected({"introduced": "0"}, {"last_affected": "1.0"}), False),
        ("2.0", affected({"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "2.0"}, {"fixed": "2.1"}), True),
        ("1.5", affected({"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "2.0"}, {"fixed": "2.1"}), False),
        ("1.10", affected({"introduced": "1.9"}), True),
        ("1.0.0", affected(versions=["1.0", "no version"]), True),
        ("1.1", {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, False),
    ],
)
def test_which_versions_an_advisory_means(version, entry, answer):
    assert auditing.is_affected(version, entry) is answer


@given(st.lists(st.integers(1, 40), min_size=2, max_size=8, unique=True), st.integers(0, 41), st.randoms())
def test_order_of_events_does_not_matter(bounds, number, random):
    bounds = sorted(bounds)
    events = [{("introduced", "fixed")[place % 2]: f"{bound}.0"} for place, bound in enumerate(bounds)]
    expected = sum(bound <= number for bound in bounds) % 2 == 1
    random.shuffle(events)
    assert auditing.is_affected(f"{number}.0", affected(*events)) is expected


@pytest.fixture
def database(tmp_path):
    """An archive as the OSV project exports it: one file an advisory."""
    path = tmp_path / "all.zip"
    older = PYYAML | {"id": "GHSA-withdrawn", "withdrawn": "2021-01-01T00:00:00Z"}
    other = {"id": "GHSA-other", "affected": [{"package": {"ecosystem": "npm", "name": "pyyaml"}, "versions": ["5.3"]}]}
    with zipfile.ZipFile(path, "w") as archive:
        for one in (PYYAML, older, other):
            archive.writestr(f"{one['id']}.json", json.dumps(one))
    return path


def write_lock(tmp_path, version):
    path = tmp_path / "lock.txt"
    path.write_text(f"pyyaml=={version} \\\n    --hash=sha256:{'0' * 64}\n")
    return str(path)


def test_audit_finds_what_is_known(tmp_path, database, capsys):
    arguments = ["--database", str(database), "--lock", write_lock(tmp_path, "5.3.1")]
    assert auditing.main([*arguments, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["package"], found["identifier"], found["fixed"]) == ("pyyaml", "GHSA-8q59-q68h-6hv4", ["5.4"])
    assert auditing.main(arguments) == 1 and "fixed in 5.4" in capsys.readouterr().out
    assert auditing.main([*arguments, "--ignore", "CVE-2020-14343"]) == 0
    assert "1 ignored" in capsys.readouterr().out
    with zipfile.ZipFile(database) as archive:
        archive.extractall(tmp_path / "folder")
    assert auditing.main(["--database", str(tmp_path / "folder"), *arguments[2:]]) == 1


def test_audit_of_the_locks(database, capsys):
    assert auditing.main(["--database", str(database)]) == 0
    assert "0 findings" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]"])
def test_a_database_that_is_none_is_an_error(tmp_path, capsys, content):
    path = tmp_path / "database.json"
    path.write_bytes(content)
    assert auditing.main(["--database", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
    shutil.rmtree(tmp_path)
    assert auditing.main(["--database", str(path)]) == 2


def test_an_empty_lock_is_an_error(tmp_path, database, capsys):
    assert auditing.main(["--database", str(database), "--lock", str(tmp_path / "none.txt")]) == 2
    assert "none.txt" in capsys.readouterr().err
