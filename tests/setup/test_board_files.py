"""Browser files of others: compressed once, listed with hash and licence, all or none."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import brotli
import pytest

PACKAGES = (
    "plotly.js-cartesian-dist-min",
    "plotly.js-locales",
    "axe-core",
    "pretendard",
    "world-atlas",
)


def world() -> dict[str, object]:
    """A TopoJSON of two countries: 410 has a mainland of two arcs, an islet and one far east.

    Quantised by 0.1 degrees from (120, 30).
    """
    return {
        "type": "Topology",
        "transform": {"scale": [0.1, 0.1], "translate": [120.0, 30.0]},
        "objects": {
            "countries": {
                "type": "GeometryCollection",
                "geometries": [
                    {"type": "Polygon", "id": "392", "arcs": [[2]]},
                    {
                        "type": "MultiPolygon",
                        "id": "410",
                        # ~1 is arc 1 walked backwards.
                        "arcs": [[[0, -2]], [[2]], [[3]], [[4]]],
                    },
                ],
            }
        },
        "arcs": [
            [[60, 40], [0, 1], [0, 29], [30, 0]],
            [[60, 40], [15, 0], [15, 0], [0, 30]],
            [[10, 10], [5, 0], [0, 5], [-5, -5]],
            [[40, 40], [0, 0], [0, 0], [0, 0]],
            [[108, 75], [0, 0], [0, 0], [1, 0], [0, 1], [-1, -1]],
        ],
    }


@pytest.fixture(scope="module")
def board_files(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "greendc_board_files", repository / "deploy" / "setup" / "board_files.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Installed packages as npm leaves them, with one slice of the font."""
    folder = tmp_path / "node_modules"
    contents = {
        "plotly.js-cartesian-dist-min/plotly-cartesian.min.js": "window.Plotly = {};" * 50,
        "plotly.js-locales/ko.js": "module.exports = {moduleType: 'locale', name: 'ko'};",
        "axe-core/axe.min.js": "window.axe = {};",
        "pretendard/dist/web/variable/pretendardvariable-dynamic-subset.css": "@font-face {}" * 9,
        "pretendard/dist/web/variable/woff2-dynamic-subset/P.subset.0.woff2": "font",
        "pretendard/dist/public/static/Pretendard-Regular.otf": "font",
        "pretendard/dist/public/static/Pretendard-SemiBold.otf": "font",
        "pretendard/dist/public/static/Pretendard-Bold.otf": "font",
        "pretendard/dist/LICENSE.txt": "SIL Open Font License",
        "plotly.js-cartesian-dist-min/LICENSE": "MIT",
        "plotly.js-locales/LICENSE": "MIT",
        "axe-core/LICENSE": "MPL",
        "world-atlas/LICENSE": "ISC",
        "world-atlas/countries-10m.json": json.dumps(world()),
    }
    for name in PACKAGES:
        contents[f"{name}/package.json"] = json.dumps({"version": "1.2.3", "license": "L"})
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_manifest_tells_the_truth_about_every_file(
    board_files: ModuleType, modules: Path, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    entries = board_files.build_files(modules, build)
    listed = {entry["path"]: entry for entry in entries}
    on_disk = {p.relative_to(build).as_posix() for p in build.rglob("*") if p.is_file()}
    assert on_disk == set(listed) | {f"licences/{name}.txt" for name in PACKAGES}
    for path, entry in listed.items():
        content = (build / path).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
        assert (entry["version"], entry["licence"]) == ("1.2.3", "L")


def test_compressed_files_hold_the_same_bytes_and_are_the_same_each_time(
    board_files: ModuleType, modules: Path, tmp_path: Path
) -> None:
    builds = [tmp_path / "one", tmp_path / "two"]
    first, second = (board_files.build_files(modules, build) for build in builds)
    assert first == second
    script = builds[0] / "plotly" / "plotly-cartesian.min.js"
    plain = script.read_bytes()
    assert gzip.decompress(Path(f"{script}.gz").read_bytes()) == plain
    assert brotli.decompress(Path(f"{script}.br").read_bytes()) == plain
    assert not list((builds[0] / "pretendard").rglob("*.woff2.*"))


def test_the_locale_registers_itself(board_files: ModuleType) -> None:
    script = board_files.register_locale("module.exports = {name: 'ko'};")
    assert script.index("module.exports") < script.index("Plotly.register(module.exports)")


def test_a_package_without_font_slices_or_licence_is_refused(
    board_files: ModuleType, modules: Path, tmp_path: Path
) -> None:
    (modules / "pretendard" / "dist" / "LICENSE.txt").unlink()
    with pytest.raises(board_files.BoardFilesError, match="pretendard carries no licence"):
        board_files.build_files(modules, tmp_path / "build")
    for path in modules.rglob("*.woff2"):
        path.unlink()
    with pytest.raises(board_files.BoardFilesError, match="no font slices"):
        board_files.list_board_files(modules)


def test_a_build_is_current_only_with_its_lock_and_all_its_files(
    board_files: ModuleType, modules: Path, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    assert not board_files.is_current(build, "f")
    entries = board_files.build_files(modules, build)
    manifest = build / "manifest.json"
    manifest.write_text(json.dumps({"fingerprint": "f", "files": entries}))
    assert board_files.is_current(build, "f")
    assert not board_files.is_current(build, "another lock")
    (build / "axe" / "axe.min.js").unlink()
    assert not board_files.is_current(build, "f")
    manifest.write_text("{")
    assert not board_files.is_current(build, "f")


def test_the_outline_is_the_countrys_rings_largest_first(board_files: ModuleType) -> None:
    mainland, triangle, *rest = board_files.decode_rings(world(), "410")
    assert [tuple(round(x, 3) for x in point) for point in mainland] == [
        (126.0, 34.0),
        (126.0, 34.1),
        (126.0, 37.0),
        (129.0, 37.0),
        (129.0, 34.0),
        (127.5, 34.0),
        (126.0, 34.0),
    ]
    assert len(triangle) == 4
    assert len(rest) == 2
    with pytest.raises(board_files.BoardFilesError, match="no country 999"):
        board_files.decode_rings(world(), "999")


def test_what_is_read_by_the_board_has_no_needless_points_and_no_islets(
    board_files: ModuleType,
) -> None:
    outline = json.loads(board_files.extract_outline(json.dumps(world())))
    assert outline["source"] == "Natural Earth"
    # The islet of one point is gone, the small island of the East Sea stays.
    assert [ring[0] for ring in outline["rings"]] == [[126.0, 34.0], [121.0, 31.0], [130.8, 37.5]]
    assert outline["rings"][0] == [
        [126.0, 34.0],
        [126.0, 37.0],
        [129.0, 37.0],
        [129.0, 34.0],
        [126.0, 34.0],
    ]


def test_a_line_keeps_every_point_that_is_farther_than_the_tolerance(
    board_files: ModuleType,
) -> None:
    line = [(0.0, 0.0), (1.0, 0.005), (2.0, -0.4), (3.0, 0.0), (4.0, 0.0)]
    kept = board_files.simplify_line(line, 0.01)
    assert kept == [(0.0, 0.0), (1.0, 0.005), (2.0, -0.4), (3.0, 0.0), (4.0, 0.0)]
    assert board_files.simplify_line(line, 0.5) == [(0.0, 0.0), (4.0, 0.0)]
