"""The Compose file as the Compose specification's own loader reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, skip_loudly

_MODULE = REPOSITORY / "deploy" / "compose_check"


@pytest.fixture(scope="session")
def compose_check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that loads a Compose file, built from its Go module."""
    go = shutil.which("go")
    if go is None:
        skip_loudly("no Go here: the Compose file is not loaded by its specification's own loader")
    program = tmp_path_factory.mktemp("compose") / "compose_check"
    environment = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    built = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=_MODULE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0 and "toolchain" in built.stderr:
        skip_loudly(f"this Go cannot build the Compose loader: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="session")
def project(compose_check: Path) -> dict[str, Any]:
    """docker-compose.yml with every profile, resolved."""
    loaded = subprocess.run(
        [compose_check, REPOSITORY / "docker-compose.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    return dict(json.loads(loaded.stdout))
