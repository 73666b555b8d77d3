"""What the repository's files may and may not hold, whoever wrote them."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

# Written in parts, so that this file passes its own test.
REGISTRY_HOSTS = [
    "pypi" + ".org",
    "python" + "hosted",
    "npm" + "js.",
    "npm" + "mirror",
    "crates" + ".io",
    "proxy." + "golang",
    "sum." + "golang",
    "deb." + "debian.org",
    "maven" + ".org",
    "docker" + ".io",
]
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:work|root|home/[a-z]\w*|Users/\w+)/\S")
REQUIREMENT = re.compile(r"^[A-Za-z0-9][\w.-]*(?:\[[\w,-]+\])?==\S+", re.MULTILINE)
LARGEST_FILE = 1_000_000


@pytest.fixture(scope="module")
def files(repository: Path) -> list[Path]:
    """Every file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = [repository / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.fixture(scope="module")
def texts(files: list[Path], repository: Path) -> dict[str, str]:
    """Path from the root -> text, of every file that is text."""
    found = {}
    for path in files:
        content = path.read_bytes()
        if b"\0" not in content:
            found[path.relative_to(repository).as_posix()] = content.decode("utf-8", "replace")
    return found


def find_lines(texts: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry(texts: dict[str, str]) -> None:
    hosts = re.compile("|".join(re.escape(host) for host in REGISTRY_HOSTS), re.IGNORECASE)
    assert find_lines(texts, hosts) == []


def test_no_file_names_a_path_of_one_machine(texts: dict[str, str]) -> None:
    assert find_lines(texts, MACHINE_PATH) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cd " + "/work" + "/main", True),
        ('"' + "/root" + '/.cache/x"', True),
        ("see " + "/home" + "/kim/x", True),
        ("$HOME/work/x", False),
        ("a/work/b", False),
        ("/api/v1/home/x", False),
    ],
)
def test_the_pattern_of_machine_paths(line: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) is found


def test_no_file_is_large(files: list[Path], repository: Path) -> None:
    large = [
        path.relative_to(repository).as_posix()
        for path in files
        if path.stat().st_size > LARGEST_FILE
    ]
    assert large == []


@pytest.mark.parametrize("name", ["bootstrap", "run", "dev", "node", "go"])
def test_every_requirement_is_pinned_with_a_hash(repository: Path, name: str) -> None:
    text = (repository / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    requirements = [block for block in blocks if not block.startswith("#")]
    assert requirements
    for block in requirements:
        assert REQUIREMENT.match(block), block
        assert "--hash=sha256:" in block, block
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links|-f)\b", text, re.MULTILINE)
    assert "make lock" in text.splitlines()[1]


@pytest.mark.parametrize("name", ["bootstrap", "run", "dev", "node", "go"])
def test_the_lock_knows_every_direct_requirement(repository: Path, name: str) -> None:
    folder = repository / "requirements"
    locked = {
        match.group(0).partition("==")[0].partition("[")[0].lower().replace("_", "-")
        for match in REQUIREMENT.finditer((folder / f"{name}.txt").read_text(encoding="utf-8"))
    }
    lines = (folder / f"{name}.in").read_text(encoding="utf-8").splitlines()
    wanted = {
        match.group(0).lower().replace("_", "-")
        for line in lines
        if (match := re.match(r"[A-Za-z0-9][\w.-]*", line))
    }
    assert wanted - locked == set(), "run `make lock`"


def test_the_sets_agree_where_they_share_a_package(repository: Path) -> None:
    # Both are installed together: two versions of one package could not be.
    versions: dict[str, set[str]] = {}
    for name in ("bootstrap", "run", "dev"):
        text = (repository / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        for line in REQUIREMENT.findall(text):
            package, _, version = line.partition("==")
            versions.setdefault(package.partition("[")[0], set()).add(f"{name}: {version}")
    for package, found in versions.items():
        by_set: dict[str, set[str]] = {}
        for entry in found:
            name, _, version = entry.partition(": ")
            by_set.setdefault(name, set()).add(version)
        assert len({frozenset(v) for v in by_set.values()}) == 1, f"{package}: {found}"


def test_the_npm_lock_has_hashes_and_no_addresses(repository: Path) -> None:
    lock = json.loads((repository / "dashboard" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_the_plotly_bundle_is_the_one_that_plotly_for_python_draws_for(repository: Path) -> None:
    from plotly.offline import get_plotlyjs_version

    package = json.loads((repository / "dashboard" / "package.json").read_text(encoding="utf-8"))
    assert package["dependencies"]["plotly.js-cartesian-dist-min"] == get_plotlyjs_version()


def test_every_room_is_packaged_checked_and_guarded(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert rooms == set(project["tool"]["importlinter"]["root_packages"])
    assert rooms == set(project["tool"]["mypy"]["packages"])
    assert rooms == set(project["tool"]["ruff"]["lint"]["isort"]["known-first-party"])
    # Every top folder that is a package is a room, but for these.
    others = {"tests", "bench", "deploy", "docs", "config"}
    found = {path.parent.name for path in repository.glob("*/__init__.py")}
    assert found - others <= rooms
