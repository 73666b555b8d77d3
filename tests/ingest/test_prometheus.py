"""Prometheus and OpenMetrics text: syntax, round trips, bad lines alone, and times."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from core.errors import RefusedReadingError
from core.periods import parse_rfc3339, to_ms
from core.site_files import build_registry
from ingest import assignments
from ingest.decode import parse_topic
from ingest.intake import Intake
from ingest.limits import IngestLimits
from ingest.line_protocol import decode_text
from ingest.mapping_files import build_mappings
from ingest.messages import Decoded, RawMessage
from ingest.prometheus_decoder import PrometheusDecoder
from ingest.prometheus_text import BadSample, Sample, parse_samples, parse_series
from tests.ingest.registry import PROMETHEUS_MAPPING, REGISTRY_FILE
from tests.ingest.test_golden_decode import readings_of

NOW_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
TOPIC = "prometheus/test-dc/gw-1"
HEADER = f"# greendc-time {NOW_MS}\n"
TOTAL = '{feed="a",phase="total"}'


def samples(text: str) -> list[tuple[str, dict[str, str], float, int | None]]:
    found = list(parse_samples(text))
    assert [bad for bad in found if isinstance(bad, BadSample)] == []
    return [(*parse_series(s.series), s.value, s.time_ms) for s in found if isinstance(s, Sample)]


def bad_rows(text: str) -> dict[int, str]:
    """Rows that are refused, those whose labels cannot be read among them."""
    rows = {}
    for found in parse_samples(text):
        if isinstance(found, BadSample):
            rows[found.row] = found.error.reason
            continue
        try:
            parse_series(found.series)
        except RefusedReadingError as error:
            rows[found.row] = error.reason
    return rows


# ---------------------------------------------------------------- syntax


def test_the_example_of_the_exposition_format() -> None:
    # From the documentation of the format, with its weird metric and its escapes.
    text = r"""# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
"""  # noqa: E501
    found = samples(text)
    assert [name for name, *_ in found] == [
        "http_requests_total",
        "http_requests_total",
        "msdos_file_access_time_seconds",
        "metric_without_timestamp_and_labels",
        "something_weird",
        "http_request_duration_seconds_bucket",
        "http_request_duration_seconds_sum",
    ]
    assert found[0][1:] == ({"method": "post", "code": "200"}, 1027.0, 1395066363000)
    assert found[2][1] == {"path": "C:\\DIR\\FILE.TXT", "error": 'Cannot find file:\n"FILE.TXT"'}
    assert found[3][1:] == ({}, 12.47, None)
    assert not math.isfinite(found[4][2])
    assert found[4][3] == -3982045


def test_open_metrics_has_seconds_exemplars_and_an_end() -> None:
    text = (
        "# TYPE foo histogram\n# UNIT foo seconds\n"
        'foo_bucket{le="0.1"} 8 # {} 0.054\n'
        'foo_bucket{le="1"} 11 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67\n'
        'foo_bucket{le="10"} 17 1.520879607789e9 # {trace_id="oHg5SJYRHA0"} 9.8 1520879607.789\n'
        "# EOF"
    )
    assert [(value, time_ms) for _, _, value, time_ms in samples(text)] == [
        (8.0, None),
        (11.0, 1520879607789),
        (17.0, 1520879607789),
    ]
    # The same without its end is the exposition format, and none of that is valid there.
    assert bad_rows(text.replace("# EOF", "")) == dict.fromkeys([2, 3, 4], "malformed_line")
    assert bad_rows("a 1\n# EOF\na 2\n# EOF\n") == {1: "malformed_line"}


@pytest.mark.parametrize("form", ["exposition", "openmetrics"])
def test_what_another_implementation_writes_is_read(form: str) -> None:
    registry = CollectorRegistry()
    power = Gauge("power_watts", 'The "power"\nof a meter', ["feed", "note"], registry=registry)
    power.labels("a", 'C:\\x "y"\n판교').set(812.4)
    power.labels("b", "").set(float("nan"))
    energy = Counter("energy_joules", "Energy", ["feed"], registry=registry)
    energy.labels("a").inc(7.2e6, {"trace": "1"} if form == "openmetrics" else None)
    Histogram("delay_seconds", "Delay", registry=registry).observe(0.3)
    Info("build", "Build", registry=registry).info({"version": "1.0"})
    write = openmetrics.generate_latest if form == "openmetrics" else exposition.generate_latest
    text = write(registry).decode()
    wanted = [
        (sample.name, sample.labels, sample.value)
        for family in registry.collect()
        for sample in family.samples
    ]
    found = [(name, labels, value) for name, labels, value, _ in samples(text)]
    if form == "exposition":
        # There the instants at which counters were made are families of their own.
        wanted.sort(key=repr)
        found.sort(key=repr)
    assert len(found) == len(wanted) > 20
    assert repr(found) == repr(wanted)


def test_names_of_any_characters_stand_in_quotes() -> None:
    text = '{"outdoor.temperature","판교.동"="가",b="1",} 21.5\n{ "a b" } 1\n'
    assert samples(text) == [
        ("outdoor.temperature", {"판교.동": "가", "b": "1"}, 21.5, None),
        ("a b", {}, 1.0, None),
    ]


@pytest.mark.parametrize(
    "line",
    [
        *("a", "a ", "1a 2", "a-b 1", "a 1 2 3", "a x", "a 0x1p3", "a 1_000", "a 1 1.5"),
        *("a 1 99999999999999999999", 'a{b="c" 1', "a{b=c} 1", 'a{b="c"d="e"} 1', "a{,} 1"),
        *('a{b="c",,} 1', 'a{"b"} 1', "{} 1", '{b="c"} 1', 'a{b="\\x"} 1', 'a{1b="c"} 1'),
        *('a{b="c"} ', 'a{b="c} 1', 'a{b="c"}} 1', "a 1 # {} 1", "a 1\r1", "{", "}"),
        'a{b="c"}1{',
    ],
)
def test_a_line_that_is_no_sample_is_refused_alone(line: str) -> None:
    assert bad_rows(f"before 1\n{line}\nafter 2\n") == {1: "malformed_line"}


def test_a_label_twice_and_bytes_that_are_no_utf8() -> None:
    assert bad_rows('a{b="1",b="2"} 1\n') == {0: "duplicate_key"}
    assert bad_rows(decode_text(b'a{b="\xff"} 1\nc 1\n')) == {0: "not_utf8"}


def test_the_last_line_may_have_been_cut_off() -> None:
    assert bad_rows("a 1\nb 113.6") == {1: "malformed_line"}
    assert bad_rows("a 1\nb 113.6\n# and a comment") == {}
    assert bad_rows("a 1\r\nb 113.6\r\n") == {}
    assert bad_rows("a 1\nb 113.6\n  \n\t") == {}
    assert bad_rows("a 1\n# EOF") == {}


LABEL_NAMES = st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_]{0,8}\Z")
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SAMPLES = st.tuples(
    st.one_of(st.from_regex(r"\A[a-zA-Z_:][a-zA-Z0-9_:]{0,12}\Z"), ANY_TEXT.filter(bool)),
    st.dictionaries(st.one_of(LABEL_NAMES, ANY_TEXT.filter(bool)), ANY_TEXT, max_size=3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.one_of(st.none(), st.integers(-(10**15), 10**15)),
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def is_plain(name: str, colon: str = "") -> bool:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_" + colon
    return name[:1] in letters and all(c in letters + "0123456789" for c in name)


def render(sample: Any, is_open_metrics: bool) -> str:
    """A line as another program would write it."""
    name, labels, value, time_ms = sample
    pairs = [f"{k if is_plain(k) else quoted(k)}={quoted(v)}" for k, v in labels.items()]
    plain = is_plain(name, ":")
    if not plain:
        pairs.insert(0, quoted(name))
    head = (name if plain else "") + (f"{{{','.join(pairs)}}}" if pairs else "")
    stamp = ""
    if time_ms is not None:
        sign, ms = ("-" if time_ms < 0 else ""), abs(time_ms)
        stamp = f" {sign}{ms // 1000}.{ms % 1000:03}" if is_open_metrics else f" {time_ms}"
    return f"{head} {value!r}{stamp}"


@settings(max_examples=60)
@given(st.lists(SAMPLES, min_size=1, max_size=4), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read(written: list[Any], is_open_metrics: bool, end: str) -> None:
    lines = [render(sample, is_open_metrics) for sample in written]
    text = end.join(["# TYPE x gauge", *lines, *(["# EOF"] if is_open_metrics else []), ""])
    assert samples(text) == written


@given(
    SAMPLES, SAMPLES, st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)))
)
@settings(max_examples=60)
def test_a_bad_line_takes_no_other_with_it(before: Any, after: Any, bad: str) -> None:
    found = list(parse_samples(f"{render(before, False)}\n{bad}\n{render(after, False)}\n"))
    good = [s for s in found if isinstance(s, Sample)]
    assert (good[0].value, good[-1].value) == (before[2], after[2])
    assert parse_series(good[-1].series) == after[:2]


@given(st.binary(max_size=120))
def test_no_bytes_do_anything_but_be_read_or_refused(payload: bytes) -> None:
    for end in (b"", b"\n", b"\n# EOF\n"):
        try:
            reasons = set(bad_rows(decode_text(payload + end)).values())
        except RefusedReadingError as error:
            reasons = {error.reason}
        assert reasons <= {
            *("malformed_line", "not_utf8", "duplicate_key"),
            *("malformed_time", "time_without_offset"),
        }


def test_long_and_hostile_lines_are_refused_quickly() -> None:
    for line in (
        *("a" * 200_000, "a{" * 80_000, 'a{b="' + "\\" * 200_000, "a " + "9" * 200_000),
        *("a{" + 'b="c",' * 30_000, "{" + '"' * 100_001, "a 1 " + " " * 200_000 + "x"),
    ):
        assert set(bad_rows(f"{line}\n").values()) <= {"malformed_line", "duplicate_key"}


# ---------------------------------------------------------------- through the mapping


def intake(mapping: str = PROMETHEUS_MAPPING) -> Intake:
    return Intake(
        build_registry({"test": REGISTRY_FILE}),
        site_readings_per_s=10_000,
        mappings=build_mappings({"prometheus": mapping}),
    )


def taken(text: str, mapping: str = PROMETHEUS_MAPPING, *, repeated: bool = False) -> Any:
    taker = intake(mapping)
    message = RawMessage(TOPIC, text.encode(), NOW_MS, repeated=repeated)
    commit = taker.take([message])
    counts = sum((hour.counts for hour in commit.hours[1:]), commit.hours[0].counts)
    assert counts.balanced
    # Remembered, the names come to the same.
    again = taker.take([message])
    assert (readings_of(again), again.quarantined, again.ignored) == (
        readings_of(commit),
        commit.quarantined,
        commit.ignored,
    )
    return commit


def reasons(commit: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(entry.reason, entry.rows) for entry in commit.quarantined]


def test_samples_of_one_device_and_instant_are_one_reading() -> None:
    commit = taken(
        HEADER + f"meter_power_watts{TOTAL} 812400\n"
        f"meter_energy_wh_total{TOTAL} 1e3\n"
        'meter_power_watts{feed="b",phase="total"} 790100\n'
        'meter_power_watts{feed="b",phase="l1"} 263000\n'
        f"meter_voltage_volts{TOTAL} 229.8\n"
        "up 1\ngo_goroutines 7\n"
        '{"outdoor.temperature",sensor="1"} 20\n{"outdoor.temperature",sensor="2"} 22\n'
    )
    assert reasons(commit) == []
    at = "2026-11-20T00:15:10.000Z"
    assert sorted(readings_of(commit)) == [
        ["grid-a", at, "good", {"active_energy_kwh": 1.0, "active_power_kw": 812.4}],
        ["grid-b", at, "good", {"active_power_kw": 790.1}],
        ["roof", at, "good", {"temperature_c": 21.0}],
    ]
    assert commit.ignored == {
        "prometheus: meter_power_watts": 1,
        "prometheus: meter_voltage_volts": 1,
        "prometheus: up": 1,
        "prometheus: go_goroutines": 1,
    }


def test_every_refused_sample_is_refused_alone() -> None:
    commit = taken(
        HEADER + f"meter_power_watts{TOTAL} 812400\n"
        "meter_power_watts 1\n"
        'meter_power_watts{phase="total"} 1\n'
        'meter_power_watts{feed="B 1",phase="total"} 1\n'
        'meter_power_watts{feed="z",phase="total"} 1\n'
        "another_metric 1\n"
        'meter_power_watts{feed="b",phase="total"} NaN\n'
        "meter_power_watts{feed=b} 1\n"
        "meter_voltage_volts NaN\n"
    )
    assert len(readings_of(commit)) == 1
    assert sorted(reasons(commit)) == [
        ("malformed_line", (8,)),
        ("missing_device", (3,)),
        ("not_a_number", (7,)),
        ("unknown_device", (2, 4, 5)),
        ("unknown_metric", (6, 9)),
    ]


def test_a_sample_s_own_time_goes_before_the_text_s() -> None:
    own = NOW_MS - 5000
    commit = taken(
        f"{HEADER}meter_power_watts{TOTAL} 1000 {own}\n"
        "# greendc-time 2026-11-20T09:15:00+09:00\n"
        'meter_power_watts{feed="b",phase="total"} 1000\n'
    )
    assert [reading[:2] for reading in readings_of(commit)] == [
        ["grid-a", "2026-11-20T00:15:05.000Z"],
        ["grid-b", "2026-11-20T00:15:00.000Z"],
    ]


def test_without_any_time_the_mapping_must_mean_the_time_of_receipt() -> None:
    text = f"meter_power_watts{TOTAL} 1000\n"
    assert reasons(taken(text)) == [("missing_time", (0,))]
    receipt = PROMETHEUS_MAPPING.replace("schema = 1", 'schema = 1\ntime = "receipt"')
    (reading,) = readings_of(taken(text, receipt))
    assert reading[1] == "2026-11-20T00:15:10.000Z"
    assert reasons(taken(text, receipt, repeated=True)) == [("missing_time", (0,))]
    assert reasons(taken(HEADER + text, receipt, repeated=True)) == []


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("# greendc-time 2026-11-20T09:15:00", "time_without_offset"),
        ("# greendc-time yesterday", "malformed_time"),
        ("# greendc-time", "malformed_time"),
        ("#greendc-time: 2026-11-20T09:15:00+09:00", "malformed_time"),
        ("# greendc-time 1795133700.5", "malformed_time"),
    ],
)
def test_a_time_of_scraping_that_cannot_be_read_refuses_the_text(header: str, reason: str) -> None:
    assert reasons(taken(f"{header}\nmeter_power_watts{TOTAL} 1000\n")) == [(reason, ())]


def test_a_text_of_comments_only_is_empty() -> None:
    assert reasons(taken("# HELP a b\n\n# EOF\n")) == [("empty_message", ())]


def test_seconds_taken_for_milliseconds_are_too_old() -> None:
    text = f"meter_power_watts{TOTAL} 1000 {NOW_MS // 1000}\n"
    assert reasons(taken(text)) == [("time_too_old", (0,))]
    (reading,) = readings_of(taken(f"{text}# EOF\n"))
    assert reading[1] == "2026-11-20T00:15:10.000Z"


def test_a_mended_sample_of_a_joined_reading_brings_its_metric() -> None:
    text = f"{HEADER}meter_power_watts{TOTAL} 1000\nmeter_wh{TOTAL} 1000\n"
    (refused,) = taken(text).quarantined
    assert refused.reason == "unknown_metric"
    mended = PROMETHEUS_MAPPING.replace("meter_energy_wh_total", "meter_wh")
    again, refusals = intake(mended).take_again(refused, correction=False)
    assert refusals == []
    assert [reading[3] for reading in readings_of(again)] == [
        {"active_energy_kwh": 1.0, "active_power_kw": 1.0}
    ]


def test_random_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignments, "_MOST_NAMES", 50)
    decoder = PrometheusDecoder(IngestLimits(), build_mappings({"prometheus": PROMETHEUS_MAPPING}))
    topic = parse_topic(TOPIC)
    for number in range(200):
        payload = f'meter_power_watts{{phase="{number}"}} 1\nnoise_{number} 1\n'.encode()
        message = RawMessage(TOPIC, payload, NOW_MS)
        decoder.decode([(0, topic, payload)], Decoded(messages=[message]))
    assert decoder._memory._size <= 51
    assert sum(len(known.found) for known in decoder._memory._known.values()) <= 51
