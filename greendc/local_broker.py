"""A broker for one machine: Mosquitto as a child process, or amqtt where there is none.

Mosquitto is durable as configured by `greendc.broker`. amqtt is not: it acknowledges before it
routes, keeps sessions in memory and speaks MQTT 3.1.1 only; it is for a first look, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from core.connections import MqttConnection
from core.errors import ConfigurationError, Problem
from core.sites import SiteRegistry
from greendc.broker import (
    INGEST_ACCOUNT,
    BrokerListener,
    broker_accounts,
    render_acl,
    render_configuration,
    render_passwords,
)

_LOG = logging.getLogger(__name__)
_START_S = 15.0


class LocalBroker(Protocol):
    """A broker on loopback that this process started.

    Attributes:
        durable: Whether a message survives the broker's restart.
        accounts: Account -> password.
    """

    durable: bool
    accounts: Mapping[str, str]

    def connection(self, account: str = INGEST_ACCOUNT) -> MqttConnection:
        """How an account reaches it."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


def find_mosquitto() -> str | None:
    """Path of the Mosquitto broker; Debian keeps it in `/usr/sbin`, off many users' search path."""
    search = os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin:/usr/local/sbin"
    return shutil.which("mosquitto", path=search)


def start_local_broker(
    registry: SiteRegistry, folder: Path, port: int = 0, *, sparkplug: Sequence[str] = ()
) -> LocalBroker:
    """Start the best broker that this machine has, on loopback.

    Args:
        folder: Made if missing; keeps Mosquitto's files over restarts.
        port: 0 for any free one.
        sparkplug: Lines of the access list for accounts of edge nodes.

    Raises:
        ConfigurationError: The port is taken, or the broker does not come up.
    """
    port = port or _free_port()
    program = find_mosquitto()
    if program is not None:
        return _Mosquitto(program, registry, folder, port, sparkplug)
    _LOG.warning(
        "no mosquitto on this machine (apt-get install mosquitto): using the built-in amqtt over "
        "MQTT 3.1.1, which is NOT durable: what it has taken and not handed on is lost with it"
    )
    return _Amqtt(port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


class _Mosquitto:
    durable = True

    def __init__(
        self,
        program: str,
        registry: SiteRegistry,
        folder: Path,
        port: int,
        sparkplug: Sequence[str],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.absolute()
        self._port = port
        if _accepts(port):
            raise ConfigurationError([_taken(port)])
        # Fresh passwords at every start: nothing but this process tree ever needs them.
        self.accounts: Mapping[str, str] = {
            name: secrets.token_urlsafe(24) for name in broker_accounts(registry)
        }
        _write_private(folder / "passwords", render_passwords(self.accounts))
        _write_private(folder / "acl", render_acl(registry, sparkplug=sparkplug))
        configuration = render_configuration(BrokerListener(folder=folder, port=port))
        if os.geteuid() == 0:
            # Started as root it would become another user that may not write this folder.
            configuration += "user root\n"
        _write_private(folder / "mosquitto.conf", configuration)
        self._log = (folder / "mosquitto.log").open("ab")
        self._process = subprocess.Popen(
            [program, "-c", str(folder / "mosquitto.conf")],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_S
        while not _accepts(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                hint = f"see {folder / 'mosquitto.log'}"
                problem = f"mosquitto did not come up on 127.0.0.1:{port}"
                raise ConfigurationError([Problem("broker", "", problem, hint)])
            time.sleep(0.05)

    def connection(self, account: str = INGEST_ACCOUNT) -> MqttConnection:
        return MqttConnection(
            host="127.0.0.1", port=self._port, username=account, password=self.accounts[account]
        )

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


def _taken(port: int) -> Problem:
    hint = "stop what holds it, or name another port"
    return Problem("broker", "port", f"127.0.0.1:{port} is taken", hint)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


class _Amqtt:
    durable = False

    def __init__(self, port: int) -> None:
        self._port = port
        self.accounts: Mapping[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="amqtt", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S) or self._error is not None:
            raise ConfigurationError([_taken(port)])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # noqa: BLE001 - reported to the starting thread
            self._error = error
            self._ready.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker

        self._stopping = asyncio.Event()
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self._port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await broker.start()
        self._ready.set()
        await self._stopping.wait()
        await broker.shutdown()

    def connection(
        self, account: Literal["greendc-ingest"] | str = INGEST_ACCOUNT
    ) -> MqttConnection:
        # A session without a user name is anonymous, and amqtt drops its queue: always name one.
        password = "loopback" if account else ""
        return MqttConnection(
            host="127.0.0.1", port=self._port, version=3, username=account, password=password
        )

    def stop(self) -> None:
        if self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout=5)
