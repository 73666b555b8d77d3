"""Births, deaths and sequences: an alias is never read by a birth that was not in force.

The machine plays an edge node that is born, sends, dies, comes back with other aliases, and whose
messages may be lost. It knows what each message meant. What is resolved has to be that, at once and
in any later replay; and without a lost message everything is resolved.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.birth_book import BIRTH_TABLES, read_edges, read_spans, write_births
from ingest.sparkplug_births import (
    SEQUENCE,
    Birth,
    Edge,
    Followed,
    SparkplugNews,
    birth_in_force,
    follow,
)
from ingest.sparkplug_wire import WirePayload, parse_payload
from tests.ingest.sparkplug_encoder import payload

KEY = "Group/edge"
DEVICES = ("", "PLC")
NAMES = ("Power", "Energy", "Temperature")
ALIASES = (1, 2, 3)


@dataclass
class Sent:
    """A data message that arrived, and what its aliases meant to the one who sent it."""

    device: str
    at_ms: int
    payload: WirePayload
    meant: dict[int, str]


def meaning(birth: Birth | None) -> dict[int, str]:
    if birth is None:
        return {}
    return {alias: metric.name for alias, metric in birth.by_alias.items() if metric is not None}


class EdgeNode(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.book = sqlite3.connect(":memory:")
        self.book.executescript(BIRTH_TABLES)
        self.edge = Edge()
        # The truth, as the edge node knows it.
        self.alive = False
        self.bd_seq = 0
        self.seq = 0
        self.aliases: dict[str, dict[int, str]] = {}
        self.clock_ms = 1_000_000
        # Whether messages since the last NBIRTH that arrived were lost.
        self.has_lost = True
        # So many were lost that the next one seemed to follow: no receiver can notice that.
        self.is_blind = False
        self.last_seq: int | None = None
        self.loses = False
        self.sent: list[Sent] = []

    # ------------------------------------------------------------ the way of a message

    def arrive(self, kind: str, device: str, data: bytes, *, is_lost: bool) -> Birth | None:
        """Follow a message, unless it is lost; the birth by which it would be read at once."""
        if is_lost:
            self.has_lost = self.loses = True
            return None
        message = parse_payload(data)
        if kind == "NBIRTH":
            self.has_lost = self.is_blind = False
        elif message.seq is not None and self.last_seq is not None and self.loses:
            self.is_blind = self.is_blind or message.seq == (self.last_seq + 1) % SEQUENCE
        if message.seq is not None:
            self.last_seq, self.loses = message.seq, False
        followed = follow(KEY, self.edge, kind, device, message, self.clock_ms)
        self.edge = followed.edge
        news = SparkplugNews()
        news.take(KEY, followed)
        with self.book:
            write_births(self.book, news)
        birth = self.edge.births.get(device)
        return None if device in self.edge.doubted else birth

    def next_seq(self) -> int:
        self.seq = (self.seq + 1) % SEQUENCE
        return self.seq

    def say_birth(self, device: str, order: list[str], *, is_lost: bool) -> None:
        self.aliases[device] = dict(zip(ALIASES, order, strict=True))
        metrics = [
            {"name": name, "alias": alias, "dataType": "Double", "value": 1.0}
            for alias, name in self.aliases[device].items()
        ]
        if device:
            self.arrive(
                *("DBIRTH", device, payload(self.next_seq(), self.clock_ms, *metrics)),
                is_lost=is_lost,
            )
            return
        self.seq = 0
        data = payload(0, self.clock_ms, *metrics, bd_seq=self.bd_seq)
        self.arrive("NBIRTH", "", data, is_lost=is_lost)

    # ------------------------------------------------------------ what may happen

    @rule(step_ms=st.sampled_from([0, 1, 1_000]))
    def time_goes_by(self, step_ms: int) -> None:
        self.clock_ms += step_ms

    @rule(
        node=st.permutations(NAMES),
        plc=st.permutations(NAMES),
        lost=st.sets(st.sampled_from(DEVICES)),
    )
    def is_born(self, node: list[str], plc: list[str], lost: set[str]) -> None:
        """A new session, or an answer to a rebirth request: births of all, with any aliases."""
        self.clock_ms += 1
        if not self.alive:
            self.bd_seq = (self.bd_seq + 1) % SEQUENCE
        self.alive = True
        self.aliases = {}
        self.say_birth("", node, is_lost="" in lost)
        self.say_birth("PLC", plc, is_lost="PLC" in lost)

    @precondition(lambda self: self.alive)
    @rule(
        device=st.sampled_from(DEVICES),
        repeat=st.sampled_from([1, 1, 1, 1, 1, 260]),
        lost=st.sampled_from([False, False, True]),
    )
    def sends_data(self, device: str, repeat: int, lost: bool) -> None:
        if device not in self.aliases:
            return
        for _ in range(repeat):
            metrics = [{"alias": alias, "value": 2.0} for alias in ALIASES]
            data = payload(self.next_seq(), self.clock_ms, *metrics)
            birth = self.arrive("NDATA" if not device else "DDATA", device, data, is_lost=lost)
            if lost or self.is_blind:
                continue
            meant = self.aliases[device]
            found = meaning(birth)
            assert not found or found == meant
            if not self.has_lost:
                assert found == meant, "nothing was lost, and it is not resolved"
            self.sent.append(Sent(device, self.clock_ms, parse_payload(data), dict(meant)))
        del self.sent[:-40]

    @precondition(lambda self: self.alive and "PLC" in self.aliases)
    @rule(lost=st.booleans())
    def its_device_dies(self, lost: bool) -> None:
        self.clock_ms += 1
        del self.aliases["PLC"]
        self.arrive("DDEATH", "PLC", payload(self.next_seq(), self.clock_ms), is_lost=lost)

    @precondition(lambda self: self.alive)
    @rule(lost=st.booleans(), number=st.sampled_from([0, 0, 0, -1]))
    def dies(self, lost: bool, number: int) -> None:
        """The broker tells its death; or, late, that of the session before."""
        data = payload(None, self.clock_ms, bd_seq=(self.bd_seq + number) % SEQUENCE)
        self.arrive("NDEATH", "", data, is_lost=lost)
        if number == 0:
            self.alive = False
            self.aliases = {}
            self.clock_ms += 1

    @rule()
    def the_ingester_starts_again(self) -> None:
        self.edge = read_edges(self.book).get(KEY, Edge())

    @precondition(lambda self: self.sent)
    @rule(choice=st.integers(0, 39))
    def something_is_replayed(self, choice: int) -> None:
        sent = self.sent[choice % len(self.sent)]
        spans = read_spans(self.book, KEY, sent.device)
        found = meaning(birth_in_force(spans, sent.at_ms, sent.payload))
        assert not found or found == sent.meant, "read by a birth that was not in force"

    @invariant()
    def what_is_kept_is_what_is_known(self) -> None:
        kept = read_edges(self.book).get(KEY, Edge())
        assert kept.seq == self.edge.seq
        assert kept.bd_seq == self.edge.bd_seq
        assert kept.doubted == self.edge.doubted
        assert {d: b.metrics for d, b in kept.births.items()} == {
            d: b.metrics for d, b in self.edge.births.items()
        }

    def teardown(self) -> None:
        self.book.close()


EdgeNode.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestEdgeNode = EdgeNode.TestCase


# ---------------------------------------------------------------- known answers


def born(seq: int, time_ms: int, name: str = "Power", *, bd_seq: int | None = None) -> WirePayload:
    metric = {"name": name, "alias": 1, "dataType": "Double", "value": 1.0}
    return parse_payload(payload(seq, time_ms, metric, bd_seq=bd_seq))


def data(seq: int, time_ms: int) -> WirePayload:
    return parse_payload(payload(seq, time_ms, {"alias": 1, "value": 2.0}))


def test_a_message_of_the_birth_s_own_millisecond_is_told_apart_by_its_sender() -> None:
    book = sqlite3.connect(":memory:")
    book.executescript(BIRTH_TABLES)
    edge = Edge()
    for time_ms, name in ((100, "Power"), (200, "Energy")):
        # Both births and what lies between them come out of one read of the socket.
        followed = follow(KEY, edge, "NBIRTH", "", born(0, time_ms, name, bd_seq=1), 5_000)
        edge, news = followed.edge, SparkplugNews()
        news.take(KEY, followed)
        write_births(book, news)
    spans = read_spans(book, KEY, "")
    book.close()
    answers = [
        (meaning(birth_in_force(spans, 5_000, data(seq, time_ms))), seq, time_ms)
        for seq, time_ms in ((1, 100), (7, 150), (1, 200), (200, 90))
    ]
    assert [found.get(1) for found, _, _ in answers] == ["Power", "Power", "Energy", None]


@pytest.mark.parametrize("name", ["Power", "Energy"])
def test_what_came_in_doubt_stays_so_whatever_is_born_later(name: str) -> None:
    book = sqlite3.connect(":memory:")
    book.executescript(BIRTH_TABLES)
    edge = Edge()
    flow = [
        ("NBIRTH", born(0, 100, bd_seq=1), 1_000),
        ("NDATA", data(5, 200), 2_000),  # four are missing, and a birth may be among them
        ("NBIRTH", born(0, 300, name, bd_seq=1), 3_000),
    ]
    for kind, message, at_ms in flow:
        followed = follow(KEY, edge, kind, "", message, at_ms)
        assert followed.lost is (kind == "NDATA")
        edge, news = followed.edge, SparkplugNews()
        news.take(KEY, followed)
        write_births(book, news)
    spans = read_spans(book, KEY, "")
    book.close()
    assert birth_in_force(spans, 2_000, data(5, 200)) is None
    # Unless somebody declares that the aliases are fixed.
    trusted = birth_in_force(spans, 2_000, data(5, 200), trusts_births=True)
    assert meaning(trusted) == {1: "Power"}
    assert meaning(birth_in_force(spans, 3_500, data(1, 400))) == {1: name}


def test_declared_fixed_aliases_are_trusted_after_a_gap() -> None:
    edge = follow(KEY, Edge(), "NBIRTH", "", born(0, 100, bd_seq=1), 1_000).edge
    trusted = follow(KEY, edge, "NDATA", "", data(9, 200), 2_000, trusts_births=True)
    assert trusted.lost
    assert not trusted.edge.doubted
    assert not trusted.changes


def test_a_retained_birth_of_long_ago_changes_nothing() -> None:
    edge = follow(KEY, Edge(), "NBIRTH", "", born(0, 500, bd_seq=4), 1_000).edge
    again = follow(KEY, edge, "NBIRTH", "", born(0, 100, "Energy", bd_seq=2), 2_000, repeated=True)
    assert again.repeated
    assert again.edge is edge


@pytest.mark.parametrize(
    ("number", "ends"), [(7, True), (8, True), (6, False), (250, False), (None, False)]
)
def test_a_death_ends_the_session_of_its_number_or_an_earlier_one(
    number: int | None, ends: bool
) -> None:
    edge = follow(KEY, Edge(), "NBIRTH", "", born(0, 100, bd_seq=7), 1_000).edge
    death = parse_payload(payload(None, 90, bd_seq=number))
    followed = follow(KEY, edge, "NDEATH", "", death, 2_000)
    assert followed.stale is not ends
    assert (not followed.edge.births) is ends


def test_a_damaged_row_is_left_out() -> None:
    book = sqlite3.connect(":memory:")
    book.executescript(BIRTH_TABLES)
    followed = follow(KEY, Edge(), "NBIRTH", "", born(0, 100, bd_seq=7), 1_000)
    news = SparkplugNews()
    news.take(KEY, followed)
    write_births(book, news)
    assert read_edges(book)[KEY].births
    packed = book.execute("SELECT packed FROM birth_metrics").fetchone()[0]
    flipped = bytes([*packed[:-1], packed[-1] ^ 1])
    book.execute("UPDATE birth_metrics SET packed = ?", (flipped,))
    assert not read_edges(book)[KEY].births
    book.execute("UPDATE birth_metrics SET packed = ?", (packed,))
    for change in ("from_ms = from_ms + 1", "device = 'PLC'", "ended = 'died'"):
        book.execute("SAVEPOINT before_damage")
        book.execute(f"UPDATE births SET {change}")
        assert not read_edges(book)[KEY].births
        book.execute("ROLLBACK TO before_damage")
    book.execute("UPDATE edges SET seq = 9")
    assert read_edges(book) == {}
    book.close()


def test_the_machine_would_see_a_birth_that_is_not_doubted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mutant: after a lost message the births stay in force."""
    original = follow

    def trusting(*arguments: Any, **named: Any) -> Followed:
        return original(*arguments, **named, trusts_births=True)

    monkeypatch.setitem(globals(), "follow", trusting)
    machine = EdgeNode()
    machine.is_born(list(NAMES), list(NAMES), set())
    machine.sends_data("", 3, False)
    machine.is_born(["Energy", "Power", "Temperature"], list(NAMES), {"", "PLC"})
    with pytest.raises(AssertionError):
        machine.sends_data("", 1, False)
    machine.teardown()
