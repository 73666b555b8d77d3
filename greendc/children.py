"""A tree of child processes of this program, kept running and ended together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_LOG = logging.getLogger(__name__)
_STOP_S = 10.0
_RESTART_PAUSE_S = 2.0


@dataclass(slots=True)
class _Child:
    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)


class ChildProcesses:
    """Starts `greendc …` children, restarts one that dies, and stops all.

    A child that ends with exit code 2 has a configuration that cannot work: it is not restarted,
    and `failed` becomes true.
    """

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self.failed = False

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start `greendc ARGUMENTS` with these variables beside the present ones."""
        self._children.append(_Child(name, arguments, environment, _spawn(arguments, environment)))

    def watch(self, stop: threading.Event) -> None:
        """Keep the children running until `stop` is set or one cannot work."""
        while not stop.wait(0.5):
            for child in self._children:
                code = child.process.poll()
                if code is None or stop.is_set():
                    continue
                if code == 2:
                    _LOG.error("%s cannot start with this configuration", child.name)
                    self.failed = True
                    stop.set()
                    return
                _LOG.error("%s ended with code %s: starting it again", child.name, code)
                if time.monotonic() - child.started < _RESTART_PAUSE_S:
                    stop.wait(_RESTART_PAUSE_S)
                child.process = _spawn(child.arguments, child.environment)
                child.started = time.monotonic()

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child that is running."""
        for child in self._children:
            if child.name == name and child.process.poll() is None:
                child.process.send_signal(number)

    def stop(self) -> None:
        """SIGTERM to all, in reverse order of start; SIGKILL for one that does not end in 10 s."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + _STOP_S
        for child in self._children:
            try:
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _LOG.error("%s did not end in %.0f s: killing it", child.name, _STOP_S)
                child.process.kill()
                child.process.wait()


def _spawn(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the parent alone, which then ends the children in order.
    return subprocess.Popen(
        [sys.executable, "-m", "greendc", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; call in the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def call_on_hangup(call: Callable[[], None]) -> None:
    """Call something on SIGHUP instead of ending; call in the main thread."""
    signal.signal(signal.SIGHUP, lambda *_: call())
