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
        "pretendard/dist/LICENSE.txt": "SIL Open Font License",
        "plotly.js-cartesian-dist-min/LICENSE": "MIT",
        "plotly.js-locales/LICENSE": "MIT",
        "axe-core/LICENSE": "MPL",
    }
    for name in ("plotly.js-cartesian-dist-min", "plotly.js-locales", "axe-core", "pretendard"):
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
    assert on_disk == set(listed) | {
        f"licences/{name}.txt"
        for name in ("plotly.js-cartesian-dist-min", "plotly.js-locales", "axe-core", "pretendard")
    }
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
