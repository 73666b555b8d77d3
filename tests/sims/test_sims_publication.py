"""Simulated sites and replays through a real broker: everything arrives, acknowledged, once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from core.clock import FakeClock, SystemClock
from core.connections import MqttConnection
from core.errors import BrokerUnavailableError, ConfigurationError
from core.periods import to_ms
from core.site_files import build_registry
from core.sites import SiteRegistry
from sims.backfill import run_backfill
from sims.demo_sites import render_demo_site
from sims.faults import parse_faults
from sims.live import run_live
from sims.publisher import PublishCount, Publisher
from sims.replay import run_replay
from sims.wire import Message
from tests.services.mosquitto import MosquittoBroker
from tests.services.processes import find_free_port
from tests.sims.wire_checker import check_message

SITE = "naver-gak-sejong"
BOTH = ("kakao-ansan", SITE)
NOW = datetime(2026, 1, 20, tzinfo=UTC)


class Listener:
    """Collects everything under the native prefix."""

    def __init__(self, broker: MosquittoBroker) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._take
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe("greendc/v1/#", qos=1)
        assert ready.wait(10)

    def _take(self, client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.messages.append((message.topic, message.payload))

    def readings(self, registry: SiteRegistry) -> Counter[tuple[str, str, int]]:
        found: Counter[tuple[str, str, int]] = Counter()
        for topic, payload in list(self.messages):
            site = registry.site(topic.split("/")[2])
            for device, time_ms, _ in check_message(topic, payload, site):
                found[site.id, device, time_ms] += 1
        return found

    def wait_for(self, readings: int, registry: SiteRegistry) -> Counter[tuple[str, str, int]]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.readings(registry)
            if found.total() >= readings:
                return found
            threading.Event().wait(0.05)
        raise AssertionError(f"{self.readings(registry).total()} of {readings} readings came")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(broker: MosquittoBroker) -> Iterator[Listener]:
    listener = Listener(broker)
    try:
        yield listener
    finally:
        listener.close()


def connection_to(
    broker: MosquittoBroker, version: Literal[3, 5] = 5
) -> Callable[[str], MqttConnection]:
    return lambda site: MqttConnection(broker.host, broker.port, version)


@pytest.fixture(scope="module")
def demo(site_files: dict[str, str]) -> SiteRegistry:
    """Sites whose live readings begin at NOW."""
    return build_registry(
        {
            name: render_demo_site(
                text, history_cadence_s=300.0, demo_start=NOW, live_cadence_s=10.0
            )
            for name, text in site_files.items()
        }
    )


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.05)


def silent(share: float, text: str) -> None:
    """No progress wanted."""


@pytest.mark.parametrize("version", [5, 3])
def test_history_arrives_once_and_acknowledged(
    mosquitto: MosquittoBroker, demo: SiteRegistry, version: Literal[3, 5]
) -> None:
    shares: list[float] = []
    with listening(mosquitto) as listener:
        count = run_backfill(
            demo,
            BOTH,
            connection_to(mosquitto, version),
            seed=7,
            days=0.25,
            cadence_s=300.0,
            now=NOW,
            stop=threading.Event(),
            progress=lambda share, text: shares.append(share),
        )
        devices = sum(len(demo.site(site_id).devices) for site_id in BOTH)
        assert count == PublishCount(73 * devices, 73 * devices)
        found = listener.wait_for(count.published, demo)
    assert set(found.values()) == {1}
    times = {time_ms for _, _, time_ms in found}
    assert min(times) == to_ms(NOW - timedelta(hours=6))
    assert max(times) == to_ms(NOW)
    assert shares[-1] == 1.0


def test_live_readings_go_on_where_history_ends(
    mosquitto: MosquittoBroker, demo: SiteRegistry, tmp_path: Path
) -> None:
    # Three minutes after the demo began, as its files say.
    clock = FakeClock(NOW + timedelta(minutes=3))
    with listening(mosquitto) as listener:
        count = run_live(
            demo,
            [SITE],
            connection_to(mosquitto),
            seed=7,
            speed=1.0,
            clock=clock,
            stop=threading.Event(),
            until=NOW + timedelta(minutes=3),
        )
        found = listener.wait_for(count.published, demo)
    assert count.published == count.acknowledged == 18 * len(demo.site(SITE).devices)
    times = sorted({time_ms for _, _, time_ms in found})
    # History holds the demo's first instant itself.
    assert times == [to_ms(NOW) + 10_000 * n for n in range(1, 19)]


@contextmanager
def running(target: Callable[[threading.Event], PublishCount]) -> Iterator[list[PublishCount]]:
    """Runs in a thread; at the end it is told to stop and its answer lies in the list."""
    stop = threading.Event()
    answers: list[PublishCount] = []
    thread = threading.Thread(target=lambda: answers.append(target(stop)))
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join(15)
        assert not thread.is_alive()


def test_live_follows_the_clock_and_never_overtakes_it(
    mosquitto: MosquittoBroker, demo: SiteRegistry
) -> None:
    begin = NOW + timedelta(days=1)
    clock = FakeClock(begin)
    devices = len(demo.site(SITE).devices)

    def publish(stop: threading.Event) -> PublishCount:
        return run_live(
            demo,
            [SITE],
            connection_to(mosquitto),
            seed=7,
            speed=float("inf"),
            clock=clock,
            stop=stop,
            start=begin,
        )

    with listening(mosquitto) as listener, running(publish) as answers:
        for instants in (1, 2, 3):
            found = listener.wait_for(instants * devices, demo)
            assert max(time_ms for _, _, time_ms in found) <= clock.now_ms()
            clock.advance(timedelta(seconds=10))
        listener.wait_for(4 * devices, demo)
    assert answers == [PublishCount(4 * devices, 4 * devices)]


def test_accelerated_time_stops_at_the_present(
    mosquitto: MosquittoBroker, demo: SiteRegistry
) -> None:
    clock = FakeClock(NOW + timedelta(minutes=5))
    with listening(mosquitto) as listener:
        count = run_live(
            demo,
            [SITE],
            connection_to(mosquitto),
            seed=7,
            speed=float("inf"),
            clock=clock,
            stop=threading.Event(),
            start=NOW + timedelta(seconds=1),
            until=NOW + timedelta(minutes=5),
        )
        found = listener.wait_for(count.published, demo)
    assert len({time_ms for _, _, time_ms in found}) == 30


def test_a_broker_that_restarts_loses_nothing(
    new_mosquitto: Callable[..., MosquittoBroker], demo: SiteRegistry
) -> None:
    broker = new_mosquitto()
    broker.start()
    begin = NOW + timedelta(days=1)
    clock = FakeClock(begin)
    site = demo.site(SITE)
    # A session that outlives the restart and gets what was published meanwhile.
    taken: list[tuple[str, bytes]] = []
    subscribed = threading.Event()
    keeper = mqtt.Client(
        CallbackAPIVersion.VERSION2, "keeper", clean_session=False, protocol=mqtt.MQTTv311
    )
    keeper.on_message = lambda client, userdata, message: taken.append(
        (message.topic, message.payload)
    )
    keeper.on_subscribe = lambda *_: subscribed.set()
    keeper.connect(broker.host, broker.port)
    keeper.loop_start()
    keeper.subscribe("greendc/v1/#", qos=1)
    assert subscribed.wait(10)

    def publish(stop: threading.Event) -> PublishCount:
        return run_live(
            demo,
            [SITE],
            connection_to(broker),
            seed=7,
            speed=float("inf"),
            clock=clock,
            stop=stop,
            start=begin,
            until=begin + timedelta(seconds=60),
        )

    def instants() -> set[tuple[str, int]]:
        return {
            (device, time_ms)
            for topic, payload in list(taken)
            for device, time_ms, _ in check_message(topic, payload, site)
        }

    with running(publish) as answers:
        wait_until(lambda: len(instants()) == len(site.devices))
        broker.stop()
        clock.advance(timedelta(seconds=30))
        broker.start()
        clock.advance(timedelta(seconds=30))
        wait_until(lambda: bool(answers))
    count = answers[0]
    assert count.published == count.acknowledged == 7 * len(site.devices)
    wait_until(lambda: len(instants()) == count.published)
    keeper.disconnect()
    keeper.loop_stop()


def test_stopping_is_quick_while_the_broker_is_away(
    new_mosquitto: Callable[..., MosquittoBroker], demo: SiteRegistry
) -> None:
    broker = new_mosquitto()
    broker.start()
    begin = NOW + timedelta(days=1)
    clock = FakeClock(begin)

    def publish(stop: threading.Event) -> PublishCount:
        return run_live(
            demo,
            BOTH,
            connection_to(broker),
            seed=7,
            speed=float("inf"),
            clock=clock,
            stop=stop,
            start=begin,
        )

    with listening(broker) as listener:
        with running(publish) as answers:
            listener.wait_for(sum(len(demo.site(site_id).devices) for site_id in BOTH), demo)
            broker.stop()
            clock.advance(timedelta(hours=1))
            begun = time.monotonic()
        assert time.monotonic() - begun < 9
    assert answers[0].acknowledged <= answers[0].published


def test_a_refused_account_is_a_configuration_error(
    new_mosquitto: Callable[..., MosquittoBroker], demo: SiteRegistry
) -> None:
    broker = new_mosquitto(accounts={SITE: "right"})
    broker.start()
    wrong = MqttConnection(broker.host, broker.port, 5, username=SITE, password="wrong")
    with pytest.raises(ConfigurationError, match="refuses the account") as caught:
        run_backfill(
            demo,
            [SITE],
            lambda site: wrong,
            seed=7,
            days=0.01,
            cadence_s=300.0,
            now=NOW,
            stop=threading.Event(),
            progress=silent,
        )
    assert "wrong" not in str(caught.value)


def test_a_site_writes_under_its_own_account(
    new_mosquitto: Callable[..., MosquittoBroker], demo: SiteRegistry
) -> None:
    accounts = {"kakao-ansan": "a", SITE: "b"}
    acl = "pattern write greendc/v1/%u/#\n"
    broker = new_mosquitto(accounts=accounts, acl=acl)
    broker.start()

    def backfill(account_of: dict[str, str]) -> PublishCount:
        return run_backfill(
            demo,
            [SITE],
            lambda site: MqttConnection(
                broker.host,
                broker.port,
                5,
                username=account_of[site],
                password=accounts[account_of[site]],
            ),
            seed=7,
            days=0.01,
            cadence_s=300.0,
            now=NOW,
            stop=threading.Event(),
            progress=silent,
        )

    own = backfill({SITE: SITE})
    assert own.acknowledged == own.published > 0
    # Another site's account: the broker says no, and it is not counted as acknowledged.
    foreign = backfill({SITE: "kakao-ansan"})
    assert foreign.published == own.published
    assert foreign.acknowledged == 0


def test_no_broker_is_said_so(demo: SiteRegistry) -> None:
    nowhere = MqttConnection("127.0.0.1", find_free_port())
    publisher = Publisher(nowhere, "x", threading.Event())
    with pytest.raises(BrokerUnavailableError, match="does not answer"):
        publisher.open(wait_s=0.2)


def test_told_to_stop_while_no_broker_answers_is_no_error(demo: SiteRegistry) -> None:
    stop = threading.Event()
    stop.set()
    nowhere = MqttConnection("127.0.0.1", find_free_port())
    count = run_live(
        demo,
        [SITE],
        lambda site: nowhere,
        seed=7,
        speed=1.0,
        clock=FakeClock(NOW),
        stop=stop,
    )
    assert count == PublishCount()


def test_a_full_window_waits_and_stop_ends_the_wait(mosquitto: MosquittoBroker) -> None:
    stop = threading.Event()
    publisher = Publisher(MqttConnection(mosquitto.host, mosquitto.port), "x", stop, window=2)
    publisher.open()
    try:
        for number in range(50):
            assert publisher.publish(Message("greendc/v1/x/energy", b"[]", number))
        assert publisher.drain()
        assert publisher.count == PublishCount(1225, 1225)
    finally:
        publisher.close()
    stop.set()
    publisher.publish(Message("greendc/v1/x/energy", b"[]", 1))
    publisher.publish(Message("greendc/v1/x/energy", b"[]", 1))
    assert not publisher.publish(Message("greendc/v1/x/energy", b"[]", 1))


def test_history_older_than_the_late_window_is_refused(registry: SiteRegistry) -> None:
    with pytest.raises(ConfigurationError, match="late window of 35 days") as caught:
        run_backfill(
            registry,
            [SITE],
            lambda site: MqttConnection("127.0.0.1", 1),
            seed=7,
            days=60,
            cadence_s=300.0,
            now=NOW,
            stop=threading.Event(),
            progress=silent,
        )
    assert "late_window_days = 62" in caught.value.problems[0].hint


def test_faults_are_published_and_the_truth_is_not_touched(
    mosquitto: MosquittoBroker, demo: SiteRegistry, tmp_path: Path
) -> None:
    faults = parse_faults(
        f"""
[[faults]]
kind = "gap"
site = "{SITE}"
device = "grid-a"
start = 2026-01-19T23:00:00Z
end = 2026-01-19T23:30:00Z

[[faults]]
kind = "garbage"
site = "{SITE}"
device = "grid-b"
start = 2026-01-19T23:00:00Z
end = 2026-01-19T23:30:00Z
"""
    )
    truths = []
    for chosen in (None, faults):
        truths.append(tmp_path / f"truth-{len(truths)}.jsonl")
        with listening(mosquitto) as listener:
            count = run_backfill(
                demo,
                [SITE],
                connection_to(mosquitto),
                seed=7,
                days=2 / 24,
                cadence_s=300.0,
                now=NOW,
                stop=threading.Event(),
                progress=silent,
                faults=chosen,
                truth_path=truths[-1],
            )
            deadline = time.monotonic() + 10
            while len(listener.messages) < 10 and time.monotonic() < deadline:
                threading.Event().wait(0.05)
            topics = Counter(topic for topic, _ in listener.messages)
        assert count.published == count.acknowledged
        if chosen:
            assert count.published == 25 * len(demo.site(SITE).devices) - 6
            assert topics[f"greendc/v1/{SITE}/energy/grid-b"] == 6
    assert truths[0].read_bytes() == truths[1].read_bytes()
    rows = [json.loads(line) for line in truths[0].read_text().splitlines()]
    assert Counter(row["resolution"] for row in rows) == {"15m": 8, "hour": 2}


def test_a_file_is_replayed_at_its_own_pace(
    mosquitto: MosquittoBroker, replay_registry: SiteRegistry, tmp_path: Path
) -> None:
    data = tmp_path / "power.csv"
    data.write_text("t,w\n0,100\n30,110\n60,120\n")
    map_file = tmp_path / "map.toml"
    map_file.write_text(
        'schema = 1\nsite = "surf-lisa"\nfamily = "accelerator"\ndevice = "lisa-cpu-nodes"\n'
        '[time]\ncolumn = "t"\nunit = "s"\nbase = 2022-10-07T00:00:00Z\n'
        '[[metrics]]\nmetric = "power_w"\ncolumn = "w"\n'
    )
    for speed, least_s, most_s in ((None, 0.0, 5.0), (100.0, 0.55, 10.0)):
        with listening(mosquitto) as listener:
            begun = time.monotonic()
            count = run_replay(
                data,
                map_file,
                connection_to(mosquitto),
                speed=speed,
                registry=replay_registry,
                stop=threading.Event(),
                progress=silent,
            )
            took = time.monotonic() - begun
            found = listener.wait_for(3, replay_registry)
        assert count == PublishCount(3, 3)
        assert set(found.values()) == {1}
        assert least_s < took < most_s


def test_the_system_clock_is_ahead_of_every_fixture() -> None:
    # The dates above are past for every machine that runs this, so nothing waits for them.
    assert SystemClock().now() > NOW
