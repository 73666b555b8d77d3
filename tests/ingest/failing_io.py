"""Run with the shim preloaded: a spool whose Nth call of the disk fails, for every N.

Prints one JSON document: what was tried, and every promise that was broken.
"""

from __future__ import annotations

import ctypes
import errno
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError, SpoolFullError
from core.periods import to_ms
from ingest.spool import Spool
from ingest.spool_files import spool_path
from tests.ingest.test_forward import NOW, reading
from tests.ingest.test_spool import commit_of

COMMITS = [commit_of(*[reading(900 - 20 * n - k, float(n)) for k in range(5)]) for n in range(12)]
SHIM: Any = ctypes.CDLL(None)


def live(spool: Spool, kept: dict[int, float], doubtful: set[int]) -> None:
    """Commits, verdicts, removals; a failed one is given up, as if the process were told to end."""
    for n, commit in enumerate(COMMITS):
        try:
            kept[spool.append(commit, to_ms(NOW))] = float(n)
        except SpoolFullError:
            continue
        if n % 4 == 3:
            oldest = min(kept)
            doubtful.add(oldest)
            del kept[oldest]
            try:
                spool.classify({number: [bytes(5)] for number in kept}, {("test-dc", "a"): n})
                spool.remove([oldest])
            except SpoolFullError:
                continue


def broken_promises(folder: Path, nth: int, code: int, *, stays: bool) -> tuple[list[str], int]:
    """What a failure of this call breaks; and how many calls there were."""
    kept: dict[int, float] = {}
    doubtful: set[int] = set()
    SHIM.fail_call(nth, code, int(stays))
    try:
        spool = Spool(folder, 0, reserve_bytes=0)
    except (ConfigurationError, SpoolFullError):
        spool = None
    try:
        if spool is not None:
            live(spool, kept, doubtful)
    finally:
        if spool is not None:
            spool.close()
        calls = SHIM.calls_seen()
        SHIM.fail_call(0, 0, 0)
    problems = []
    spool = Spool(folder, 0)
    found = {
        waiting.number: float(waiting.commit.blocks[0].block.values["active_power_kw"][0])
        for waiting in spool.pending(readings=10**6)
    }
    for number, value in kept.items():
        if found.get(number) != value:
            problems.append(f"{nth}: commit {number} is lost or another")
    # A commit whose failure was reported may be there nevertheless; but it is one of ours, whole.
    if not set(found.values()) <= {float(n) for n in range(len(COMMITS))}:
        problems.append(f"{nth}: an invented value")
    if spool.set_aside():
        problems.append(f"{nth}: {spool.set_aside()}")
    spool.append(COMMITS[0], to_ms(NOW))
    spool.close()
    connection = sqlite3.connect(spool_path(folder, 0))
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    if answer != "ok":
        problems.append(f"{nth}: {answer}")
    return problems, calls


def hide_failures() -> None:
    """The mutant: a transaction that failed passes for one that held."""
    original = Spool._transaction

    @contextmanager
    def swallow(self: Spool) -> Iterator[None]:
        with suppress(SpoolFullError), original(self):
            yield

    Spool._transaction = swallow  # type: ignore[method-assign]


def main() -> None:
    """Every N in order, once and lasting, as an I/O error and as a full disk."""
    if sys.argv[5:] == ["mutant"]:
        hide_failures()
    folder, first, last, step = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    problems: list[str] = []
    tried = 0
    for code in (errno.EIO, errno.ENOSPC):
        for stays in (False, True):
            for nth in range(first, last, step):
                place = folder / f"{code}-{int(stays)}-{nth}"
                found, calls = broken_promises(place, nth, code, stays=stays)
                problems += found
                tried += 1
                if calls < nth:
                    break
    print(json.dumps({"tried": tried, "problems": problems}))


if __name__ == "__main__":
    main()
