"""Sparkplug from the messages to what is stored, over restarts, replays, mended mappings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.clock import FakeClock
from core.errors import ConfigurationError
from core.ledger import QuarantineEntry
from core.periods import parse_rfc3339, to_ms
from core.site_files import build_registry
from greendc.sparkplug_access import sparkplug_access
from ingest.commits import Commit, pack_commit, unpack_commit
from ingest.decode import parse_topic, subscription_filters
from ingest.intake import Intake
from ingest.limits import IngestLimits
from ingest.mapping_files import build_mappings, check_against_sites
from ingest.mapping_trial import try_mapping
from ingest.messages import RawMessage
from ingest.rebirths import RebirthRequests
from ingest.sparkplug_births import BirthChange, SparkplugNews, birth_of
from ingest.sparkplug_wire import parse_payload
from ingest.spool import Spool
from tests.ingest.registry import REGISTRY_FILE, SPARKPLUG_FILE
from tests.ingest.sparkplug_encoder import encode_payload, payload
from tests.ingest.test_golden_decode import readings_of

NOW = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
T = NOW - 60_000
NBIRTH = "spBv1.0/Test Plant/NBIRTH/edge-1"
DBIRTH = "spBv1.0/Test Plant/DBIRTH/edge-1/PLC"
DDATA = "spBv1.0/Test Plant/DDATA/edge-1/PLC"
REGISTRY = build_registry({"test": REGISTRY_FILE})
POWER_OF_A, POWER_OF_B = "Meters/a/Active Power", "Meters/b/Active Power"


def node_birth(time_ms: int = T) -> bytes:
    return payload(0, time_ms, bd_seq=1)


def plc_birth(first: str, second: str, time_ms: int = T, seq: int = 1) -> bytes:
    return payload(
        seq,
        time_ms,
        {"name": first, "alias": 1, "dataType": "Double", "value": 1000.0},
        {"name": second, "alias": 2, "dataType": "Double", "value": 2000.0},
    )


def plc_data(seq: int, time_ms: int, *values: float) -> bytes:
    return payload(
        seq, time_ms, *({"alias": alias, "value": value} for alias, value in enumerate(values, 1))
    )


class Bench:
    """An intake and its spool, restarted at will; commits go into the spool as they are made."""

    def __init__(self, folder: Path, mapping: str = SPARKPLUG_FILE) -> None:
        self.folder, self.mapping = folder, mapping
        self.spool = Spool(folder, 0)
        self.intake = self.new_intake()
        self.at_ms = NOW

    def new_intake(self) -> Intake:
        return Intake(
            REGISTRY,
            site_readings_per_s=1000,
            mappings=build_mappings({"test": self.mapping}),
            edges=self.spool.edges(),
            past_births=self.spool.past_births,
        )

    def restart(self) -> None:
        self.spool.close()
        self.spool = Spool(self.folder, 0)
        self.intake = self.new_intake()

    def take(self, *messages: tuple[str, bytes]) -> Commit:
        raw = []
        for topic, data in messages:
            self.at_ms += 10
            raw.append(RawMessage(topic, data, self.at_ms))
        commit = self.intake.take(raw)
        self.spool.append(commit, self.at_ms)
        return commit

    def replay(self, entry: QuarantineEntry) -> tuple[Commit, list[str]]:
        commit, refusals = self.intake.take_again(entry, correction=False)
        return commit, [refusal.reason for refusal in refusals]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "spool")
    yield made
    made.spool.close()


def values(commit: Commit) -> list[tuple[str, float]]:
    return [(reading[0], value) for reading in readings_of(commit) for value in reading[3].values()]


def test_births_survive_a_restart_and_the_sequence_goes_on(bench: Bench) -> None:
    bench.take((NBIRTH, node_birth()), (DBIRTH, plc_birth(POWER_OF_A, POWER_OF_B)))
    bench.restart()
    commit = bench.take((DDATA, plc_data(2, T + 1000, 5000.0, 6000.0)))
    assert values(commit) == [("grid-a", 5.0), ("grid-b", 6.0)]
    assert not commit.sparkplug.unborn
    bench.restart()
    commit = bench.take((DDATA, plc_data(4, T + 2000, 5000.0)))
    assert commit.sparkplug.unborn == {"Test Plant/edge-1": "a message of it is missing"}


def test_a_replay_is_read_by_the_birth_of_its_time_and_not_by_a_later_one(bench: Bench) -> None:
    bench.mapping = SPARKPLUG_FILE.replace('"Active Power"', '"Apparent Power"')
    bench.restart()
    bench.take((NBIRTH, node_birth()), (DBIRTH, plc_birth(POWER_OF_A, POWER_OF_B)))
    early = bench.take((DDATA, plc_data(2, T + 500, 5000.0)))
    # Born again with the two aliases exchanged.
    exchanged = plc_birth(POWER_OF_B, POWER_OF_A, T + 1000)
    bench.take((NBIRTH, node_birth(T + 1000)), (DBIRTH, exchanged))
    late = bench.take((DDATA, plc_data(2, T + 1500, 5000.0)))
    (first,), (second,) = early.quarantined, late.quarantined
    assert (first.reason, second.reason) == ("unknown_metric", "unknown_metric")
    bench.mapping = SPARKPLUG_FILE
    bench.restart()
    for entry, device in ((first, "grid-a"), (second, "grid-b")):
        commit, reasons = bench.replay(entry)
        assert (values(commit), reasons) == ([(device, 5.0)], [])


def test_an_alias_without_a_birth_is_never_read_by_one_that_comes_later(bench: Bench) -> None:
    commit = bench.take((DDATA, plc_data(7, T, 5000.0, 6000.0)))
    (entry,) = commit.quarantined
    assert (entry.reason, entry.count, entry.rows) == ("no_birth", 1, ())
    assert commit.sparkplug.unborn
    bench.take((NBIRTH, node_birth(T + 1)), (DBIRTH, plc_birth(POWER_OF_A, POWER_OF_B, T + 1)))
    again, reasons = bench.replay(entry)
    assert not again.blocks
    assert reasons == ["no_birth"]


def test_what_came_in_doubt_is_stored_when_somebody_declares_the_aliases_fixed(
    bench: Bench,
) -> None:
    birth = plc_birth(POWER_OF_A, POWER_OF_B)
    bench.take((NBIRTH, node_birth()), (DBIRTH, birth))
    commit = bench.take((DDATA, plc_data(3, T + 1000, 5000.0, 6000.0)))
    (entry,) = commit.quarantined
    again = plc_birth(POWER_OF_A, POWER_OF_B, T + 2000)
    bench.take((NBIRTH, node_birth(T + 2000)), (DBIRTH, again))
    assert bench.replay(entry)[1] == ["no_birth"]
    bench.mapping = SPARKPLUG_FILE.replace("[[rules]]", "fixed_aliases = true\n[[rules]]", 1)
    bench.restart()
    replayed, reasons = bench.replay(entry)
    assert (values(replayed), reasons) == ([("grid-a", 5.0), ("grid-b", 6.0)], [])


def test_a_mended_mapping_reads_what_was_refused_by_the_birth_of_its_time(bench: Bench) -> None:
    factor = "Meters/a/Power Factor"
    bench.take((NBIRTH, node_birth()), (DBIRTH, plc_birth(POWER_OF_A, factor)))
    commit = bench.take((DDATA, plc_data(2, T + 1000, 5000.0, 7000.0)))
    (entry,) = commit.quarantined
    assert (entry.reason, entry.rows) == ("unknown_metric", (1,))
    assert values(commit) == [("grid-a", 5.0)]
    energy = '"Energy" = { metric = "active_energy_kwh", unit = "kWh", scale = 0.1 }'
    assert energy in SPARKPLUG_FILE
    mended = '"Power Factor" = { metric = "active_energy_kwh", unit = "kWh" }'
    bench.mapping = SPARKPLUG_FILE.replace(energy, mended)
    bench.restart()
    again, reasons = bench.replay(entry)
    assert reasons == []
    # The reading is replayed whole; what is held of it already is equal and stays.
    assert values(again) == [("grid-a", 7000.0), ("grid-a", 5.0)]


def test_a_batch_that_fails_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.take((NBIRTH, node_birth()), (DBIRTH, plc_birth(POWER_OF_A, POWER_OF_B)))
    message = (DDATA, plc_data(2, T + 1000, 5000.0))
    with monkeypatch.context() as patch:

        def fail(*arguments: object) -> None:
            raise RuntimeError("a fault of ours")

        patch.setattr(bench.intake, "_collect", fail)
        with pytest.raises(RuntimeError):
            bench.take(message)
    # Taken again, as a partition does: the same sequence number is no gap.
    assert values(bench.take(message)) == [("grid-a", 5.0)]


def test_deaths_are_packed_with_the_commit(bench: Bench) -> None:
    death = ("spBv1.0/Test Plant/NDEATH/edge-1", payload(None, T, bd_seq=1))
    commit = bench.take((NBIRTH, node_birth()), (DBIRTH, plc_birth(POWER_OF_A, POWER_OF_B)), death)
    assert commit.silent == {("test-dc", "grid-a"): NOW + 30, ("test-dc", "grid-b"): NOW + 30}
    assert unpack_commit(pack_commit(commit), []).silent == commit.silent
    kept = bench.spool.pending(readings=100)
    assert kept[-1].commit.silent == commit.silent


def test_more_readings_than_allowed_are_refused_and_the_birth_counts(tmp_path: Path) -> None:
    intake = Intake(
        REGISTRY,
        site_readings_per_s=1000,
        limits=IngestLimits(readings=1),
        mappings=build_mappings({"test": SPARKPLUG_FILE}),
    )
    first = intake.take(
        [
            RawMessage(NBIRTH, node_birth(), NOW),
            RawMessage(DBIRTH, plc_birth(POWER_OF_A, POWER_OF_B), NOW),
        ]
    )
    assert [entry.reason for entry in first.quarantined] == ["too_many_readings"]
    assert values(intake.take([RawMessage(DDATA, plc_data(2, T + 1, 5000.0), NOW)])) == [
        ("grid-a", 5.0)
    ]


# ---------------------------------------------------------------- asking to be born again


def news_of(*unborn: str, born: str = "") -> SparkplugNews:
    news = SparkplugNews(unborn=dict.fromkeys(unborn, "a message of it is missing"))
    if born:
        birth = birth_of("", parse_payload(node_birth()))
        news.changes.append(BirthChange(born, "", NOW, "born", birth))
    return news


def test_an_edge_node_is_asked_ever_less_often_until_it_answers() -> None:
    clock = FakeClock(parse_rfc3339("2026-11-20T00:15:10Z"))
    requests = RebirthRequests(clock)
    asked: list[float] = []
    topics: set[str] = set()

    def publish(topic: str, payload: bytes) -> bool:
        asked.append(clock.now_ms() - NOW)
        topics.add(topic)
        return True

    for _ in range(70):
        requests.ask(news_of("G/edge"), publish)
        clock.advance(timedelta(seconds=1))
    assert asked == [0, 5_000, 15_000, 35_000]
    assert topics == {"spBv1.0/G/NCMD/edge"}
    requests.ask(news_of(born="G/edge"), publish)
    asked.clear()
    for _ in range(6):
        requests.ask(news_of("G/edge"), publish)
        clock.advance(timedelta(seconds=1))
    # It answered: a new occasion, a new request at once, and then a pause again.
    assert len(asked) == 1
    assert requests.sent == 5


def test_a_request_that_does_not_leave_is_made_again() -> None:
    requests = RebirthRequests(FakeClock(parse_rfc3339("2026-11-20T00:15:10Z")))
    requests.ask(news_of("G/edge"), lambda topic, payload: False)
    left: list[str] = []
    requests.ask(news_of("G/edge"), lambda topic, payload: left.append(topic) is None)
    assert left == ["spBv1.0/G/NCMD/edge"]


# ---------------------------------------------------------------- mapping files


@pytest.mark.parametrize(
    ("change", "key", "word"),
    [
        (('"spBv1.0/Test Plant/+/edge-1/#"', '"spBv1.0/Test Plant/#"'), "topic", "whole edge"),
        (('"spBv1.0/Test Plant/+/edge-1/#"', '"telegraf/+/x/edge-1/#"'), "topic", "whole edge"),
        (('site = "test-dc"', 'site = "Test DC"'), "site", "no site id"),
        (('site = "test-dc"', 'site = "test-dc"\naccount = "other"'), "account", "no account of"),
        (('folder = "Meters/{meter}"', 'folder = "Meters/{device}"'), "rules.0.folder", "topic"),
        (('device = "grid-{meter}"', 'device = "grid-{name}"'), "rules.0", "neither group"),
        (('tag = "device"', 'tag = "plc"'), "rules.1", "neither group"),
        (('unit = "m3"', 'unit = "kWh"'), "rules.1.fields.Total.unit", ""),
        (('metric = "volume_m3"', 'metric = "volume"'), "rules.1.fields.Total.metric", "unknown"),
        (('ignore = ["Properties/*"]', 'ignored = ["Properties/*"]'), "ignored", ""),
        (('site = "test-dc"', 'site = "test-dc"\nwithout_time = "now"'), "without_time", ""),
    ],
)
def test_a_mapping_file_with_a_fault_is_refused_by_its_key(
    change: tuple[str, str], key: str, word: str
) -> None:
    assert change[0] in SPARKPLUG_FILE
    with pytest.raises(ConfigurationError) as caught:
        build_mappings({"test": SPARKPLUG_FILE.replace(*change)})
    assert key in {problem.key for problem in caught.value.problems}
    assert word in str(caught.value)


def test_an_edge_node_is_of_one_site() -> None:
    other = SPARKPLUG_FILE.replace("edge-1/#", "+/#").replace('"test-dc"', '"other"')
    with pytest.raises(ConfigurationError, match="one edge node is of one site"):
        build_mappings({"a": SPARKPLUG_FILE, "b": other})


def test_a_mapping_is_checked_against_the_site_file() -> None:
    wrong = SPARKPLUG_FILE.replace('"Pump" = "mains"', '"Pump" = "mians"')
    (problem,) = check_against_sites(build_mappings({"test": wrong}), REGISTRY)
    assert "mians" in problem.problem
    assert not check_against_sites(build_mappings({"test": SPARKPLUG_FILE}), REGISTRY)
    gateway = SPARKPLUG_FILE.replace("[[rules]]", 'account = "test-dc.plc"\n[[rules]]', 1)
    (problem,) = check_against_sites(build_mappings({"test": gateway}), REGISTRY)
    assert (problem.key, "test-dc.plc" in problem.problem) == ("account", True)
    known = build_registry(
        {"test": REGISTRY_FILE.replace("schema = 1", 'schema = 1\ngateways = ["plc"]', 1)}
    )
    assert not check_against_sites(build_mappings({"test": gateway}), known)


def test_a_partition_takes_whole_edge_nodes_of_its_sites() -> None:
    group = SPARKPLUG_FILE.replace("Test Plant/+/edge-1/#", "Hall/+/+/#")
    mappings = build_mappings({"one": SPARKPLUG_FILE, "group": group})
    wanted = {
        "spBv1.0/test-dc/+/+/#",
        "spBv1.0/Test Plant/+/edge-1/#",
        "spBv1.0/Hall/+/+/#",
    }
    filters = [text for text in subscription_filters(["test-dc"], mappings) if "spB" in text]
    assert set(filters) == wanted
    assert len(filters) == 3
    more = SPARKPLUG_FILE.replace("Test Plant/+/edge-1/#", "Hall/+/edge-7/#")
    more_mappings = build_mappings({"one": SPARKPLUG_FILE, "group": group, "more": more})
    # Inside another filter it would be delivered twice.
    assert set(wanted) == {
        text for text in subscription_filters(["test-dc"], more_mappings) if "spB" in text
    }
    others = [text for text in subscription_filters(["other"], mappings) if "spB" in text]
    assert others == ["spBv1.0/other/+/+/#"]


def test_the_site_is_the_mapping_s_and_else_the_group_s_name() -> None:
    mappings = build_mappings({"test": SPARKPLUG_FILE})
    assert parse_topic(NBIRTH, mappings).site == "test-dc"
    assert parse_topic("spBv1.0/test-dc/NDATA/x", mappings).site == "test-dc"
    assert parse_topic("spBv1.0/Test Plant/NDATA/edge-2", mappings).site == ""


def test_a_payload_is_tried_after_the_births_before_it() -> None:
    mappings = build_mappings({"test": SPARKPLUG_FILE})
    data = plc_data(2, T, 5000.0)
    readings, refusals = try_mapping(mappings, REGISTRY, DDATA, data, now_ms=NOW)
    assert not readings
    assert [refusal.reason for refusal in refusals] == ["no_birth"]
    readings, refusals = try_mapping(
        mappings,
        REGISTRY,
        DDATA,
        data,
        now_ms=NOW,
        before=[(NBIRTH, node_birth()), (DBIRTH, plc_birth(POWER_OF_A, POWER_OF_B))],
    )
    assert not refusals
    assert [(r.device, r.values) for r in readings] == [("grid-a", {"active_power_kw": 5.0})]


def test_the_payload_s_time_is_taken_where_the_mapping_says_so() -> None:
    metric = {"name": POWER_OF_A, "dataType": "Double", "value": 5000.0}
    data = encode_payload({"timestamp": T, "metrics": [metric], "seq": 2})
    taking = SPARKPLUG_FILE.replace("[[rules]]", 'without_time = "payload"\n[[rules]]', 1)
    _, refusals = try_mapping(
        build_mappings({"test": SPARKPLUG_FILE}), REGISTRY, DDATA, data, now_ms=NOW
    )
    assert [refusal.reason for refusal in refusals] == ["missing_time"]
    readings, _ = try_mapping(build_mappings({"test": taking}), REGISTRY, DDATA, data, now_ms=NOW)
    assert [reading.time_ms for reading in readings] == [T]


def test_the_example_is_right_for_the_site_that_it_names() -> None:
    root = Path(__file__).parents[2] / "config"
    text = (root / "mappings" / "examples" / "sparkplug-edge-node.toml").read_text("utf-8")
    mappings = build_mappings({"example": text})
    site = (root / "sites" / "kakao-ansan.toml").read_text("utf-8")
    registry = build_registry({"site": site})
    assert check_against_sites(mappings, registry) == []
    assert tomllib.loads(text)["site"] == "kakao-ansan"
    group = "spBv1.0/Ansan Power"
    power = {"name": "Meters/grid-a/Active Power", "dataType": "Int32", "value": 812_400}
    air = {"name": "Weather/Outside Air", "dataType": "Float", "value": 50.0}
    cooling = [
        {"name": "Chillers/2/Power", "dataType": "Float", "value": 310.5},
        {"name": "Make-up/Total", "dataType": "Double", "value": 90210.25},
        {"name": "Alarms/High", "dataType": "Boolean", "value": False},
    ]
    tried = [
        ("DDATA/substation-1/Feeders", [power], [("grid-a", {"active_power_kw": 812.4})]),
        ("NDATA/substation-1", [air], [("weather-1", {"temperature_c": pytest.approx(10.0)})]),
        (
            "DDATA/substation-1/Cooling",
            cooling,
            [("chiller-2", {"active_power_kw": 310.5}), ("mains-1", {"volume_m3": 90210.25})],
        ),
    ]
    for topic, metrics, wanted in tried:
        data = payload(3, T, *metrics)
        readings, refusals = try_mapping(mappings, registry, f"{group}/{topic}", data, now_ms=NOW)
        assert refusals == []
        assert [(reading.device, reading.values) for reading in readings] == wanted


def test_an_edge_node_s_account_writes_as_itself_and_nothing_else() -> None:
    gateway = SPARKPLUG_FILE.replace(
        'site = "test-dc"', 'site = "test-dc"\naccount = "test-dc.plc"', 1
    )
    lines = sparkplug_access(build_mappings({"test": gateway}), host="greendc-ingest")
    assert lines[1:] == [
        "user test-dc.plc",
        "topic write spBv1.0/Test Plant/NBIRTH/edge-1",
        "topic write spBv1.0/Test Plant/NDATA/edge-1",
        "topic write spBv1.0/Test Plant/NDEATH/edge-1",
        "topic write spBv1.0/Test Plant/DBIRTH/edge-1/+",
        "topic write spBv1.0/Test Plant/DDATA/edge-1/+",
        "topic write spBv1.0/Test Plant/DDEATH/edge-1/+",
        "topic read spBv1.0/Test Plant/NCMD/edge-1",
        "topic read spBv1.0/Test Plant/DCMD/edge-1/+",
        "topic read spBv1.0/STATE/greendc-ingest",
        "",
    ]
    assert sparkplug_access(build_mappings({}), host="greendc-ingest") == []
