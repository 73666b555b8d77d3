"""Starting and ending the real services that tests talk to."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class ServiceError(RuntimeError):
    """A service of the tests could not be started; the message carries the end of its log."""


def find_program(name: str) -> str | None:
    """The path of a program; servers lie in sbin, which is not on everybody's search path."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return shutil.which(name, path=path)


def find_free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts_connections(port: int) -> bool:
    """Whether something on the loopback interface accepts a TCP connection at the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, every: float = 0.02
) -> None:
    """Polls a condition until it holds; raises ServiceError when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(f"{what}: not so within {seconds:g} s")
        time.sleep(every)


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is such a place: for thousands of commits with their fsync."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as name:
        yield Path(name)


class ServiceProcess:
    """One server process with its log in a file; it dies with the test run that started it."""

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def launch(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Starts the process; it must not be running."""
        if self.is_running:
            raise ServiceError(f"{self.name} runs already as process {self.pid}")
        setpriv = find_program("setpriv")
        # A killed test run cannot clean up: the kernel ends the server with its parent.
        guard = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
            )

    def wait_ready(self, condition: Callable[[], bool], *, seconds: float) -> None:
        """Waits for the condition; raises ServiceError with the log when the process ends."""

        def ready_or_dead() -> bool:
            return not self.is_running or condition()

        try:
            wait_until(ready_or_dead, seconds=seconds, what=f"{self.name} is ready")
        except ServiceError as error:
            self.end(signal.SIGKILL)
            raise ServiceError(f"{error}\n{self.log_tail()}") from None
        if not self.is_running:
            code = self._process.returncode if self._process is not None else None
            self._process = None
            raise ServiceError(f"{self.name} ended with {code} at its start\n{self.log_tail()}")

    def end(self, signal_number: signal.Signals, *, seconds: float = 20.0) -> None:
        """Sends the signal and waits for the end; kills what does not end in time."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal_number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)

    def log_tail(self, size: int = 3000) -> str:
        """The end of what the server logged."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[-size:].decode("utf-8", "replace")
