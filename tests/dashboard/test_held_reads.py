"""Reads that are held: for their time, once at a time, few enough."""

from __future__ import annotations

import threading

import pytest

from dashboard.held_reads import HeldReads


def test_a_value_is_held_for_its_time() -> None:
    moment = [0.0]
    held = HeldReads(lambda: moment[0])
    reads = iter(range(10))
    assert held.get("a", 5.0, lambda: next(reads)) == 0
    moment[0] = 4.9
    assert held.get("a", 5.0, lambda: next(reads)) == 0
    assert held.get("a", 1.0, lambda: next(reads)) == 1
    moment[0] = 9.9
    assert held.get("a", 5.0, lambda: next(reads)) == 2
    assert held.get("b", 5.0, lambda: next(reads)) == 3


def test_of_several_at_once_one_reads() -> None:
    held = HeldReads()
    reads: list[int] = []
    gate = threading.Event()

    def read() -> int:
        gate.wait(5.0)
        reads.append(1)
        return 7

    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(held.get("a", 60.0, read))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(5.0)
    assert answers == [7] * 4
    assert reads == [1]


def test_a_read_that_fails_holds_nothing() -> None:
    held = HeldReads()

    def fail() -> int:
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        held.get("a", 60.0, fail)
    assert held.get("a", 60.0, lambda: 3) == 3


def test_what_was_asked_long_ago_is_forgotten() -> None:
    held = HeldReads()
    for key in range(600):
        held.get(key, 60.0, lambda: 1)
    assert held.get(0, 60.0, lambda: 2) == 2
    assert held.get(599, 60.0, lambda: 2) == 1
