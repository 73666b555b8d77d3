"""A real InfluxDB 2.x for tests: the one that the environment names, or our own process."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.services.processes import (
    ServiceError,
    ServiceProcess,
    find_free_port,
)

INFLUXDB_VERSION = "2.9.1"


def influxd_path() -> Path:
    """Where `make influxdb` leaves the server."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "greendc" / f"influxd-{INFLUXDB_VERSION}"


def environment_server() -> tuple[str, str] | None:
    """The address and token that the environment gives, or None."""
    url = os.environ.get("GREENDC_TEST_INFLUX_URL")
    token = os.environ.get("GREENDC_TEST_INFLUX_TOKEN")
    return (url.rstrip("/"), token) if url and token else None


class InfluxdServer:
    """A running InfluxDB with an organisation and a token that may do everything.

    The one that the environment names belongs to others: it is neither started nor stopped, so
    tests use bucket names of their own and remove them. `own_process=True` refuses it.

    Args:
        folder: a folder of its own for data and log; made if missing.
        own_process: start a process even where the environment names a server, because the test
            stops it.

    Attributes:
        url: `http://127.0.0.1:port`.
        org: the organisation's name.
        token: an all-access token.
        owned: whether this object started the process and may stop it.
    """

    def __init__(self, folder: Path, *, own_process: bool = False) -> None:
        self.folder = folder
        self.org = "greendc"
        self.token = "greendc-tests-token"
        given = None if own_process else environment_server()
        self.owned = given is None
        if given is not None:
            self.url, self.token = given
        else:
            self.port = find_free_port()
            self.url = f"http://127.0.0.1:{self.port}"
        self._process = ServiceProcess("influxd", folder / "influxd.log")
        self._set_up = False

    @staticmethod
    def missing(*, own_process: bool = False) -> str | None:
        """What is missing to have a server, or None."""
        if not own_process and environment_server() is not None:
            return None
        if os.access(influxd_path(), os.X_OK):
            return None
        return f"no InfluxDB {INFLUXDB_VERSION} here: run `make influxdb`"

    @property
    def is_running(self) -> bool:
        """Whether the server answers for itself: a process of ours lives, or it is another's."""
        return not self.owned or self._process.is_running

    def start(self) -> InfluxdServer:
        """Starts the server, waits for /health and, the first time, sets it up."""
        if not self.owned:
            if not self.is_healthy():
                raise ServiceError(f"GREENDC_TEST_INFLUX_URL={self.url} does not answer /health")
            self.org = str(self.request("GET", "/api/v2/orgs?limit=1")["orgs"][0]["name"])
            return self
        if (missing := self.missing(own_process=True)) is not None:
            raise ServiceError(missing)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Settings of a server that the person at this machine runs are not ours.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("INFLUX")}
        self._process.launch(
            [
                str(influxd_path()),
                "--reporting-disabled",
                f"--http-bind-address=127.0.0.1:{self.port}",
                f"--bolt-path={self.folder / 'influxd.bolt'}",
                f"--sqlite-path={self.folder / 'influxd.sqlite'}",
                f"--engine-path={self.folder / 'engine'}",
                "--log-level=warn",
            ],
            environment,
        )
        self._process.wait_ready(self.is_healthy, seconds=60.0)
        if not self._set_up:
            body = {
                "username": "tests",
                "password": "tests-password",
                "org": self.org,
                "bucket": "setup",
                "token": self.token,
            }
            self.request("POST", "/api/v2/setup", body)
            self._set_up = True
        return self

    def stop(self) -> None:
        """Ends a process of ours in good order; another's server is left alone."""
        self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends a process of ours at once."""
        self._process.end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops and starts on the same port with the same data."""
        if not self.owned:
            raise ServiceError("a server that the environment names is not ours to restart")
        self.stop()
        self.start()

    def is_healthy(self) -> bool:
        """Whether /health says pass."""
        try:
            return bool(self.request("GET", "/health")["status"] == "pass")
        except (OSError, ValueError, KeyError):
            return False

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call of the HTTP API with the token; the JSON answer, None where it is empty.

        Raises:
            ServiceError: the server answered with an error status.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Token {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10.0) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            detail = error.read().decode("utf-8", "replace")
            raise ServiceError(f"{method} {path}: {error.code} {detail}") from error
        return json.loads(answer) if answer else None

    def remove_buckets(self, prefix: str) -> None:
        """Removes every bucket whose name begins with the prefix."""
        answer = self.request("GET", f"/api/v2/buckets?limit=100&org={self.org}")
        for bucket in answer["buckets"]:
            if bucket["type"] == "user" and bucket["name"].startswith(prefix):
                self.request("DELETE", f"/api/v2/buckets/{bucket['id']}")
