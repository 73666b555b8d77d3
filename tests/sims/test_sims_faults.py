"""Each fault does to the readings what it says, and nothing to the exact figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.errors import ConfigurationError
from core.periods import Period, format_time, to_ms
from sims.faults import FAULT_KINDS, GARBAGE, FaultInjector, Faulty, parse_faults
from sims.readings import ReadingSource
from sims.truth import exact_rows
from sims.world import SimulatedSite

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
START, END = BEGIN + timedelta(minutes=10), BEGIN + timedelta(minutes=20)
LAST = BEGIN + timedelta(minutes=30)
CADENCE_S = 60
POWER, ENERGY = "active_power_kw", "active_energy_kwh"
Readings = dict[tuple[int, str], float]


@pytest.fixture(scope="module")
def source(world_of: Callable[[str], SimulatedSite]) -> ReadingSource:
    return ReadingSource(world_of("kakao-ansan"), CADENCE_S)


def inject(source: ReadingSource, kind: str, metric: str = "", **parameters: object) -> Faulty:
    lines = ["[[faults]]", f'kind = "{kind}"', 'site = "kakao-ansan"', 'device = "pdu-1a"']
    lines += [f"start = {format_time(START)}", f"end = {format_time(END)}"]
    if metric:
        lines.append(f'metric = "{metric}"')
    lines += [
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in parameters.items()
    ]
    injector = FaultInjector(parse_faults("\n".join(lines)), source)
    result = injector.apply(source.read(to_ms(BEGIN), to_ms(LAST)), to_ms(LAST))
    result.tables.extend(injector.flush())
    return result


def of_device(faulty: Faulty, device: str = "pdu-1a") -> list[tuple[int, dict[str, float]]]:
    """Every reading of a device in the order in which it is sent."""
    return [
        (int(time_ms), dict(zip(table.metrics, values.tolist(), strict=True)))
        for table in faulty.tables
        for index, time_ms, values in zip(
            table.device_index, table.time_ms, table.values, strict=True
        )
        if table.devices[index] == device
    ]


def clean(source: ReadingSource) -> list[tuple[int, dict[str, float]]]:
    tables = list(source.read(to_ms(BEGIN), to_ms(LAST)))
    return of_device(Faulty(tables, []))


def split(readings: list[tuple[int, dict[str, float]]]) -> tuple[list, list]:
    inside = [r for r in readings if to_ms(START) <= r[0] < to_ms(END)]
    return inside, [r for r in readings if r not in inside]


def test_other_devices_and_times_are_left_alone(source: ReadingSource) -> None:
    faulty = inject(source, "unit_slip")
    tables = list(source.read(to_ms(BEGIN), to_ms(LAST)))
    for device in ("pdu-1b", "grid-a", "gpu-001", "rain-tank"):
        assert of_device(faulty, device) == of_device(Faulty(tables, []), device)
    assert sorted(split(of_device(faulty))[1], key=str) == sorted(split(clean(source))[1], key=str)


def test_gap(source: ReadingSource) -> None:
    inside, outside = split(of_device(inject(source, "gap")))
    assert inside == []
    assert len(outside) == 21


def test_flatline(source: ReadingSource) -> None:
    inside, _ = split(of_device(inject(source, "flatline")))
    before, _ = split(clean(source))
    assert len(inside) == 10
    assert {tuple(values.items()) for _, values in inside} == {tuple(before[0][1].items())}


def test_flatline_of_one_metric(source: ReadingSource) -> None:
    inside, _ = split(of_device(inject(source, "flatline", ENERGY)))
    assert len({values[ENERGY] for _, values in inside}) == 1
    assert len({values[POWER] for _, values in inside}) > 1


def test_counter_reset(source: ReadingSource) -> None:
    inside, _ = split(of_device(inject(source, "counter_reset")))
    exact, _ = split(clean(source))
    assert inside[0][1][ENERGY] == 0.0
    for (_, found), (_, true) in zip(inside, exact, strict=True):
        assert found[ENERGY] == pytest.approx(true[ENERGY] - exact[0][1][ENERGY], abs=1e-4)
        assert found[POWER] == true[POWER]


def test_counter_rollover(source: ReadingSource) -> None:
    readings = sorted(of_device(inject(source, "counter_rollover", wraps_at=1000.0)))
    values = np.array([row[ENERGY] for _, row in readings])
    true = np.array([row[ENERGY] for _, row in sorted(clean(source))])
    assert (values >= 0).all()
    assert (values < 1000).all()
    fall = np.flatnonzero(np.diff(values) < 0)
    assert len(fall) == 1
    assert readings[fall[0] + 1][0] == to_ms(START)
    np.testing.assert_allclose(np.diff(values) % 1000, np.diff(true), atol=1e-3)


def test_dip(source: ReadingSource) -> None:
    inside, outside = split(of_device(inject(source, "dip", share=0.1)))
    exact, _ = split(clean(source))
    for (_, found), (_, true) in zip(inside, exact, strict=True):
        assert found[ENERGY] == pytest.approx(0.9 * true[ENERGY])
        assert found[POWER] == true[POWER]
    assert sorted(outside, key=str) == sorted(split(clean(source))[1], key=str)


def test_duplicate(source: ReadingSource) -> None:
    inside, outside = split(of_device(inject(source, "duplicate")))
    assert len(inside) == 20
    assert len({time_ms for time_ms, _ in inside}) == 10
    assert len(outside) == 21


def live(source: ReadingSource, kind: str, **parameters: object) -> list[tuple[int, int]]:
    """(time sent, time measured) of each reading, when each instant is sent by itself."""
    lines = "\n".join(f"{name} = {value}" for name, value in parameters.items())
    injector = FaultInjector(
        parse_faults(
            f'[[faults]]\nkind = "{kind}"\nsite = "kakao-ansan"\ndevice = "pdu-1a"\n'
            f"start = {format_time(START)}\nend = {format_time(END)}\n{lines}"
        ),
        source,
    )
    sent = []
    for now_ms in range(to_ms(BEGIN), to_ms(LAST) + 1, CADENCE_S * 1000):
        faulty = injector.apply(source.read(now_ms, now_ms), now_ms)
        sent += [(now_ms, time_ms) for time_ms, _ in of_device(faulty)]
    return sent


def test_late(source: ReadingSource) -> None:
    for sent_ms, time_ms in live(source, "late", delay_s=300):
        inside = to_ms(START) <= time_ms < to_ms(END)
        assert sent_ms - time_ms == (300_000 if inside else 0)


def test_out_of_order(source: ReadingSource) -> None:
    sent = live(source, "out_of_order", delay_s=60)
    times = [time_ms for _, time_ms in sent]
    assert sorted(times) == list(range(to_ms(BEGIN), to_ms(LAST) + 1, CADENCE_S * 1000))
    assert times != sorted(times)
    delays = [s - t for s, t in sent if to_ms(START) <= t < to_ms(END)]
    assert sorted(delays) == [0] * 5 + [60_000] * 5


def test_late_readings_of_history_come_behind_the_others(source: ReadingSource) -> None:
    order = [time_ms for time_ms, _ in of_device(inject(source, "late", delay_s=300))]
    assert len(order) == 31
    assert order[-10:] == [t for t in sorted(order) if to_ms(START) <= t < to_ms(END)]


def test_spike_touches_gauges_only(source: ReadingSource) -> None:
    inside, _ = split(of_device(inject(source, "spike", factor=5.0)))
    exact, _ = split(clean(source))
    for (_, found), (_, true) in zip(inside, exact, strict=True):
        assert found[POWER] == pytest.approx(5 * true[POWER])
        assert found[ENERGY] == true[ENERGY]


def test_unit_slip(source: ReadingSource) -> None:
    inside, _ = split(of_device(inject(source, "unit_slip", POWER)))
    exact, _ = split(clean(source))
    for (_, found), (_, true) in zip(inside, exact, strict=True):
        assert found[POWER] == pytest.approx(1000 * true[POWER])
        assert found[ENERGY] == true[ENERGY]


def test_clock_shift(source: ReadingSource) -> None:
    times = sorted(t for t, _ in of_device(inject(source, "clock_shift", shift_s=-7.5)))
    shifted = [t for t in times if t % 60_000]
    assert len(shifted) == 10
    assert shifted[0] == to_ms(START) - 7500


def test_garbage(source: ReadingSource) -> None:
    faulty = inject(source, "garbage")
    inside, outside = split(of_device(faulty))
    assert inside == []
    assert len(outside) == 21
    assert [m.payload for m in faulty.messages] == [GARBAGE[n % len(GARBAGE)] for n in range(10)]
    assert {m.topic for m in faulty.messages} == {"greendc/v1/kakao-ansan/energy/pdu-1a"}


def test_unknown_device(source: ReadingSource) -> None:
    faulty = inject(source, "unknown_device", name="pdu-9z")
    assert len(of_device(faulty)) == 21
    assert of_device(faulty, "pdu-9z") == split(clean(source))[0]


def test_unknown_metric(source: ReadingSource) -> None:
    faulty = inject(source, "unknown_metric", POWER, name="activepower")
    inside, _ = split(of_device(faulty))
    exact, _ = split(clean(source))
    for (_, found), (_, true) in zip(inside, exact, strict=True):
        assert found == {"activepower": true[POWER], ENERGY: true[ENERGY]}


def test_every_kind_has_a_test() -> None:
    assert {f"test_{kind}" for kind in FAULT_KINDS} - {"test_spike"} <= set(globals())


def test_faults_follow_each_other(source: ReadingSource) -> None:
    text = "\n".join(
        f'[[faults]]\nkind = "{kind}"\nsite = "kakao-ansan"\ndevice = "pdu-1a"\n'
        f"start = {format_time(START)}\nend = {format_time(END)}"
        for kind in ("unit_slip", "duplicate")
    )
    injector = FaultInjector(parse_faults(text), source)
    faulty = injector.apply(source.read(to_ms(BEGIN), to_ms(LAST)), to_ms(LAST))
    inside, _ = split(of_device(faulty))
    exact, _ = split(clean(source))
    assert len(inside) == 20
    assert inside[0][1][POWER] == pytest.approx(1000 * exact[0][1][POWER])


def test_the_exact_figures_know_no_fault(source: ReadingSource) -> None:
    world = source._world
    period = Period(BEGIN, LAST)
    before = list(exact_rows(world, period, "15m"))
    inject(source, "unit_slip")
    assert list(exact_rows(world, period, "15m")) == before


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[[faults]]\nkind = 'melt'", "kind"),
        ("[[faults]]\nkind = 'gap'\nsite = 'x'\nstart = 2026-01-01T00:00:00Z", "device"),
        (
            "[[faults]]\nkind = 'gap'\nsite = 'x'\ndevice = 'y'\nstart = 2026-01-01T00:00:00",
            "start",
        ),
        ("[[faults]]\nkind = 'gap'\nsite = 'x'\ndevice = 'y'\nstart = 2026-01-01", "start"),
        (
            "[[faults]]\nkind = 'late'\nsite = 'x'\ndevice = 'y'\nstart = 2026-01-01T00:00:00Z",
            "delay_s",
        ),
        (
            "[[faults]]\nkind = 'gap'\nsite = 'x'\ndevice = 'y'\n"
            "start = 2026-01-02T00:00:00Z\nend = 2026-01-01T00:00:00Z",
            "end",
        ),
        (
            "[[faults]]\nkind = 'gap'\nsite = 'x'\ndevice = 'y'\n"
            "start = 2026-01-02T00:00:00Z\nfaktor = 2",
            "faktor",
        ),
        ("fault = 1", "fault"),
        ("faults = 1", "faults"),
        ("[[faults", ""),
    ],
)
def test_a_wrong_file_names_the_key(text: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_faults(text)
    keys = [problem.key.rpartition(".")[2] for problem in caught.value.problems]
    assert key in keys
    assert all(problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize(("device", "metric"), [("pdu-77", ""), ("pdu-1a", "power_w")])
def test_a_fault_of_what_does_not_exist_is_refused(
    source: ReadingSource, device: str, metric: str
) -> None:
    text = (
        f'[[faults]]\nkind = "gap"\nsite = "kakao-ansan"\ndevice = "{device}"\n'
        f'metric = "{metric}"\nstart = 2026-01-01T00:00:00Z'
    )
    with pytest.raises(ConfigurationError, match=device):
        FaultInjector(parse_faults(text), source)
