"""A real Mosquitto on a free loopback port, for tests."""

from __future__ import annotations

import getpass
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.services.processes import (
    ServiceError,
    ServiceProcess,
    accepts_connections,
    find_free_port,
    find_program,
)

# Room for everything that a test publishes while the subscriber is away.
MAX_QUEUED_MESSAGES = 1_000_000


class MosquittoBroker:
    """One Mosquitto with persistence; its port stays the same over restarts.

    Args:
        folder: a folder of its own, for configuration, persistence and log; made if missing.
        accounts: user -> password; without accounts anybody may connect.
        acl: text of an ACL file, as `greendc broker acl` prints it.
        extra_config: further lines of configuration.
        config: a whole configuration instead of the default one; it must listen on `port` of
            127.0.0.1, so make the object first and write its configuration then.
        persistence: whether sessions and queues survive a restart.
        port: a free one where not given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        accounts: Mapping[str, str] | None = None,
        acl: str | None = None,
        extra_config: str = "",
        config: str | None = None,
        persistence: bool = True,
        port: int | None = None,
    ) -> None:
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = port if port is not None else find_free_port()
        self.accounts = dict(accounts or {})
        self.acl = acl
        self.extra_config = extra_config
        self.config = config
        self.persistence = persistence
        self._process = ServiceProcess("mosquitto", folder / "mosquitto.log")

    @staticmethod
    def missing() -> str | None:
        """What is missing to start a broker, or None."""
        if find_program("mosquitto") is None:
            return "Mosquitto is not installed: apt-get install mosquitto"
        return None

    @property
    def url(self) -> str:
        """The broker's address as greendc takes it in GREENDC_MQTT__URL."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the broker's process lives."""
        return self._process.is_running

    @property
    def log_path(self) -> Path:
        """Where the broker logs."""
        return self._process.log_path

    def default_config(self) -> str:
        """The configuration that is written when none is given."""
        lines = [
            # As root Mosquitto would change to an account that may not write to our folder.
            f"user {getpass.getuser()}",
            f"listener {self.port} {self.host}",
            f"max_queued_messages {MAX_QUEUED_MESSAGES}",
            "max_queued_bytes 0",
            "set_tcp_nodelay true",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "log_dest stderr",
            f"allow_anonymous {'false' if self.accounts else 'true'}",
        ]
        if self.persistence:
            lines += ["persistence true", f"persistence_location {self.folder}/"]
        if self.accounts:
            lines.append(f"password_file {self.folder / 'passwords'}")
        if self.acl is not None:
            lines.append(f"acl_file {self.folder / 'acl'}")
        return "\n".join([*lines, self.extra_config, ""])

    def start(self) -> MosquittoBroker:
        """Writes the configuration, starts the broker and waits until it accepts connections."""
        program = find_program("mosquitto")
        if program is None:
            raise ServiceError(str(self.missing()))
        if accepts_connections(self.port):
            raise ServiceError(f"port {self.port} is taken by another process")
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.accounts:
            self._write_passwords()
        if self.acl is not None:
            self._write_private("acl", self.acl)
        path = self.folder / "mosquitto.conf"
        path.write_text(self.config if self.config is not None else self.default_config())
        self._process.launch([program, "-c", str(path)])
        self._process.wait_ready(lambda: accepts_connections(self.port), seconds=15.0)
        return self

    def stop(self) -> None:
        """Ends the broker in good order: queues and sessions are saved first."""
        self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the broker at once, as a power cut would: what it had not saved is lost."""
        self._process.end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops and starts on the same port."""
        self.stop()
        self.start()

    def _write_passwords(self) -> None:
        program = find_program("mosquitto_passwd")
        if program is None:
            raise ServiceError("mosquitto_passwd is not installed: apt-get install mosquitto")
        path = self._write_private("passwords", "")
        for user, password in self.accounts.items():
            subprocess.run(
                [program, "-b", str(path), user, password], check=True, capture_output=True
            )

    def _write_private(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path
