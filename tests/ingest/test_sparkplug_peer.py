"""Payloads that another implementation builds, and our rebirth request read by it.

`tests/golden/sparkplug/payloads_of_pysparkplug.json` holds what version 0.6.1 of pysparkplug
(Apache-2.0) built; here it is installed into an environment of its own, because it needs an older
paho, and builds it anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.rebirths import render_rebirth
from tests.conftest import skip_loudly

PACKAGES = ("pysparkplug==0.6.1", "paho-mqtt==1.6.1")
GOLDEN = Path(__file__).parents[1] / "golden" / "sparkplug" / "payloads_of_pysparkplug.json"
READ = """
import sys
import pysparkplug as spb
(metric,) = spb.NCmd.decode(bytes.fromhex(sys.argv[1])).metrics
print(metric.name, metric.value, metric.timestamp)
"""


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peer") / "env"
    uv = [sys.executable, "-m", "uv"]
    python = folder / "bin" / "python"
    for command in (
        [*uv, "venv", "-q", str(folder)],
        [*uv, "pip", "install", "-q", "--python", str(python), *PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            skip_loudly(f"pysparkplug cannot be installed here: {done.stderr[-200:]}")
    return python


@pytest.mark.acceptance
def test_its_payloads_are_those_that_are_kept(peer: Path) -> None:
    script = Path(__file__).with_name("sparkplug_peer.py")
    done = subprocess.run(
        [str(peer), str(script), "1795133705000"], capture_output=True, text=True, check=True
    )
    kept = json.loads(GOLDEN.read_text("utf-8"))["messages"]
    assert [[message["topic"], message["hex"]] for message in kept] == json.loads(done.stdout)


@pytest.mark.acceptance
def test_it_reads_our_request_to_be_born_again(peer: Path) -> None:
    now_ms = 1_795_133_710_000
    done = subprocess.run(
        [str(peer), "-c", READ, render_rebirth(now_ms).hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["Node", "Control/Rebirth", "True", str(now_ms)]
