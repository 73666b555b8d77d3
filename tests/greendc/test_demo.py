"""`greendc demo`: where its history begins, what it remembers, in which order its sites send."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.clock import FakeClock
from core.errors import BrokerUnavailableError
from core.periods import parse_rfc3339
from core.site_files import build_registry
from core.sites import SiteRegistry
from greendc import demo_world
from greendc.commands import demo
from greendc.demo_world import DemoWorld
from greendc.settings import Settings, load_settings
from sims.world import SimulatedSite

NOW = datetime(2026, 11, 26, 3, 7, 12, tzinfo=UTC)
SITE = """
schema = 1
id = "{id}"
name = {{ ko = "시험", en = "Test" }}
operator = "Nobody"
status = "{status}"
data = "simulated"
zone = "Asia/Seoul"
location = {{ latitude = 37.3, longitude = 126.8 }}
pue_category = 2
"""
GRID = """
[[devices]]
id = "grid-a"
family = "energy"
role = "grid_feed"
metrics = ["active_power_kw", "active_energy_kwh"]
cadence_s = 10
valid_from = 2026-01-01
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    sites = tmp_path / "sites"
    sites.mkdir()
    for site_id, status, devices in (
        ("east", "operating", GRID),
        ("west", "operating", GRID),
        ("later", "planned", ""),
    ):
        text = SITE.format(id=site_id, status=status) + devices
        (sites / f"{site_id}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(demo, "SystemClock", lambda: FakeClock(NOW))
    return load_settings(None, {"GREENDC_SITES_DIR": str(sites)}).settings


def test_the_whole_of_last_month_is_in_its_history(settings: Settings, tmp_path: Path) -> None:
    begin = demo._begin(settings, tmp_path, None)
    assert begin.moment == datetime(2026, 11, 26, 3, 5, tzinfo=UTC)
    assert begin.moment - timedelta(days=begin.days) < datetime(2026, 9, 30, 15, tzinfo=UTC)
    assert begin.days >= 60
    assert not begin.complete


def test_what_was_begun_goes_on_whatever_is_asked_for_later(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = demo._begin(settings, tmp_path, 2.0)
    assert begin.days == 2.0
    monkeypatch.setattr(demo, "SystemClock", lambda: FakeClock(NOW + timedelta(days=9)))
    assert demo._begin(settings, tmp_path, None) == begin


def test_a_folder_of_the_first_version_goes_on(settings: Settings, tmp_path: Path) -> None:
    state = {"begun": "2026-11-20T00:00:00.000Z", "history_complete": True}
    (tmp_path / "demo.json").write_text(json.dumps(state))
    begin = demo._begin(settings, tmp_path, None)
    assert (begin.days, begin.complete) == (60.0, True)
    assert begin.moment == parse_rfc3339(state["begun"])


def test_reports_are_built_of_months_that_are_held_and_of_no_others(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {p.name: p.read_text(encoding="utf-8") for p in settings.sites_dir.glob("*.toml")}
    registry, stop = build_registry(files), threading.Event()
    built: list[tuple[str, str]] = []
    monkeypatch.setattr(
        demo, "_build_report_once", lambda _settings, site, month: built.append((site, month))
    )
    begin = demo._begin(settings, tmp_path, None)
    demo._on_history_complete(settings, registry, begin, stop)
    assert sorted(built) == [("east", "2026-10"), ("west", "2026-10")]
    (tmp_path / "demo.json").unlink()
    short = demo._begin(settings, tmp_path, 3.0)
    demo._on_history_complete(settings, registry, short, stop)
    stop.set()
    demo._on_history_complete(settings, registry, begin, stop)
    assert len(built) == 2


def test_a_report_that_cannot_be_built_ends_no_demo(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = settings.model_copy(update={"data_dir": tmp_path / "data"})
    demo._build_report_once(empty, "east", "2026-10")
    assert "report    east 2026-10: " in capsys.readouterr().out


class Sent:
    """Stands for the broker: notes who sent what, and from which world."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.worlds: dict[str, set[int]] = {}
        self.starts: dict[str, list[datetime | None]] = {}
        self.refusals = 0
        self.lock = threading.Lock()

    def backfill(self, registry: SiteRegistry, site_ids: list[str], *_: Any, **more: Any) -> None:
        (site_id,) = site_ids
        assert more["cadence_s"] is None
        self._note(site_id, "history", more["worlds"][site_id])
        more["progress"](1.0, "all")

    def live(self, registry: SiteRegistry, site_ids: list[str], *_: Any, **more: Any) -> None:
        (site_id,) = site_ids
        self._note(site_id, "live", more["worlds"][site_id])
        self.starts.setdefault(site_id, []).append(more["start"])
        with self.lock:
            self.refusals -= 1
            refuse = self.refusals >= 0
        if refuse:
            raise BrokerUnavailableError("no answer")
        more["stop"].wait(30)

    def _note(self, site_id: str, what: str, world: SimulatedSite) -> None:
        with self.lock:
            self.events.append((site_id, what))
            self.worlds.setdefault(site_id, set()).add(id(world))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found = Sent()
    monkeypatch.setattr(demo_world, "run_backfill", found.backfill)
    monkeypatch.setattr(demo_world, "run_live", found.live)
    monkeypatch.setattr(demo_world, "_RETRY_S", 0.01)
    # What is simulated is no part of this; each site's world is an object of its own.
    monkeypatch.setattr(
        demo_world, "SimulatedSite", lambda site, seed: SimpleNamespace(site=site, seed=seed)
    )
    return found


def run_world(settings: Settings, stop: threading.Event, *, with_history: bool) -> DemoWorld:
    files = {p.name: p.read_text(encoding="utf-8") for p in settings.sites_dir.glob("*.toml")}
    world = DemoWorld(
        settings,
        build_registry(files),
        ["east", "west"],
        stop,
        seed=1,
        begun=NOW,
        days=60.0,
        with_history=with_history,
    )
    world.start()
    return world


def settled(sent: Sent, lives: int) -> None:
    for _ in range(3000):
        with sent.lock:
            if sum(what == "live" for _, what in sent.events) >= lives:
                return
        threading.Event().wait(0.01)
    raise AssertionError(sent.events)


def test_each_site_sends_its_history_before_it_goes_live(settings: Settings, sent: Sent) -> None:
    stop = threading.Event()
    world = run_world(settings, stop, with_history=True)
    settled(sent, 2)
    assert world.has_ended
    assert world.published == 1.0
    stop.set()
    world.join()
    for site_id in ("east", "west"):
        assert [what for site, what in sent.events if site == site_id] == ["history", "live"]
        # One world for both, and live readings begin where the history ended.
        assert len(sent.worlds[site_id]) == 1
        assert sent.starts[site_id] == [NOW + timedelta(milliseconds=1)]
    assert sent.events.index(("east", "history")) < sent.events.index(("west", "history"))


def test_a_later_start_is_live_at_once_from_now_on(settings: Settings, sent: Sent) -> None:
    stop = threading.Event()
    world = run_world(settings, stop, with_history=False)
    settled(sent, 2)
    stop.set()
    world.join()
    assert sorted(sent.events) == [("east", "live"), ("west", "live")]
    assert sent.starts == {"east": [None], "west": [None]}


def test_a_site_that_lost_the_broker_goes_live_again(settings: Settings, sent: Sent) -> None:
    sent.refusals = 1
    stop = threading.Event()
    world = run_world(settings, stop, with_history=False)
    settled(sent, 3)
    stop.set()
    world.join()
    assert len([what for _, what in sent.events if what == "live"]) == 3
