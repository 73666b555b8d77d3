"""Simulated sites for the tests of this room; a world is made once and shared."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from core.site_files import build_registry
from core.sites import SiteRegistry
from sims.world import SimulatedSite

SEED = 7
OPERATING = (
    "kakao-ansan",
    "kisti-daejeon",
    "naver-gak-chuncheon",
    "naver-gak-sejong",
    "nhn-gwangju",
)
PLANNED = ("national-ai-haenam", "sk-aws-ulsan")


def read_folder(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.toml"))}


@pytest.fixture(scope="session")
def site_files(repository: Path) -> dict[str, str]:
    return read_folder(repository / "config" / "sites")


@pytest.fixture(scope="session")
def registry(site_files: dict[str, str]) -> SiteRegistry:
    return build_registry(site_files)


@pytest.fixture(scope="session")
def replay_registry(repository: Path) -> SiteRegistry:
    return build_registry(read_folder(repository / "config" / "replay-sites"))


@pytest.fixture(scope="session")
def world_of(registry: SiteRegistry) -> Callable[[str], SimulatedSite]:
    @lru_cache(maxsize=5)
    def make(site_id: str) -> SimulatedSite:
        return SimulatedSite(registry.site(site_id), SEED)

    return make


@pytest.fixture(scope="session", params=OPERATING)
def world(
    request: pytest.FixtureRequest, world_of: Callable[[str], SimulatedSite]
) -> SimulatedSite:
    return world_of(request.param)
