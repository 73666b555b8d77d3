"""A process that only writes and reads samples does not pay for pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

INFLUX = """
import numpy as np
from core.intervals import FLOAT_COLUMNS, IntervalBlock
from core.samples import ReadingBlock, SeriesKey
from storage.influx.flux import parse_answer
from storage.influx.line_protocol import encode_intervals, encode_readings, gzip_bodies
from storage.influx.store import InfluxStore
block = ReadingBlock(
    "s", "energy", ("a",), np.zeros(2, np.int32), np.arange(2), np.arange(2, dtype=np.int8),
    {"p": np.array([1.0, 2.0]), "q": np.array([np.nan, 2.0])},
)
columns = {name: np.ones(1) for name in FLOAT_COLUMNS}
interval = IntervalBlock(
    SeriesKey("s", "energy", "a", "p"), np.zeros(1, np.int64), np.ones(1, np.int32), **columns
)
assert list(gzip_bodies([encode_readings(block, {("a", "p")}), encode_intervals([interval])]))
answer = b",result,table,_time,_value,_field,device\\r\\n"
answer += b",_result,0,2026-11-20T00:00:00Z,1,p,a\\r\\n\\r\\n"
(found,) = parse_answer(answer, ("device", "_field"))
assert found.values().tolist() == [1.0]
assert list(found.series())[0][0] == {"device": "a", "_field": "p"}
"""
EMBEDDED = """
import pathlib, tempfile
from storage.embedded.store import EmbeddedStore
EmbeddedStore(pathlib.Path(tempfile.mkdtemp()), 0, role="all").close()
"""
RECORDS = """
import pathlib, tempfile
from storage.records.store import Records
Records(f"sqlite:///{tempfile.mkdtemp()}/records.sqlite").close()
"""


@pytest.mark.parametrize(
    ("script", "unwanted"),
    [
        (INFLUX, ["pandas", "sqlalchemy"]),
        (EMBEDDED, ["pandas", "pyarrow", "influxdb_client", "sqlalchemy"]),
        (RECORDS, ["pandas", "pyarrow", "influxdb_client", "alembic", "numpy.testing"]),
    ],
    ids=["influx", "embedded", "records"],
)
def test_only_what_is_needed_is_imported(
    repository: Path, script: str, unwanted: list[str]
) -> None:
    ending = f"\nimport sys\nprint([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script + ending],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
