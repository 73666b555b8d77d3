"""`/healthz`, `/readyz` and `/metrics` of a process without the board, and what ready means."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path

from core.errors import ConfigurationError, GreendcError, Problem
from core.ledger import Imbalance
from ingest.observing import HistogramCounts

_LOG = logging.getLogger(__name__)
LEAST_FREE_BYTES = 256 * 1024**2
_IMBALANCES_NAMED = 10


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be true, and what to do when it is not.

    Attributes:
        is_needed: Whether the process is of no use without it: what is not needed is shown by
            `/readyz` and turns nothing away.
    """

    name: str
    ok: bool
    detail: str
    hint: str = ""
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One Prometheus metric: base unit in the name, counters end in `_total`.

    Attributes:
        histograms: In place of samples where the kind is `histogram`.
    """

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[dict[str, str], float]]
    histograms: Sequence[tuple[dict[str, str], HistogramCounts]] = ()


def render_metrics(families: Sequence[MetricFamily]) -> str:
    """Prometheus text exposition of the families."""
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += [_sample(family.name, labels, value) for labels, value in family.samples]
        for labels, counts in family.histograms:
            lines += _histogram(family.name, labels, counts)
    return "\n".join(lines) + "\n"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}"


def _histogram(name: str, labels: Mapping[str, str], counts: HistogramCounts) -> list[str]:
    ends = [*(repr(bound) for bound in counts.bounds), "+Inf"]
    below = list(accumulate(counts.counts))
    lines = [
        _sample(f"{name}_bucket", {**labels, "le": end}, float(count))
        for end, count in zip(ends, below, strict=True)
    ]
    lines.append(_sample(f"{name}_sum", labels, counts.total))
    lines.append(_sample(f"{name}_count", labels, float(below[-1])))
    return lines


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def check_data_dir(folder: Path) -> Check:
    """Whether the data folder can be written and has room."""
    try:
        free = shutil.disk_usage(folder).free
        probe = folder / ".ready-probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Check("data_dir", False, f"{folder}: {error.strerror or error}", "make it writable")
    if free < LEAST_FREE_BYTES:
        detail = f"{folder} has {free // 1024**2} MiB left"
        return Check("data_dir", False, detail, "free some space")
    return Check("data_dir", True, f"{folder}, {free // 1024**2} MiB free")


def check_call(name: str, call: Callable[[], str], hint: str) -> Check:
    """A check from a call that answers with words or raises one of our errors."""
    try:
        return Check(name, True, call())
    except GreendcError as error:
        return Check(name, False, str(error), hint)


def ledger_check(imbalances: Sequence[Imbalance]) -> Check:
    """Whether the ledger balances; with site and hour where it does not."""
    detail = "; ".join(str(one) for one in imbalances[:_IMBALANCES_NAMED])
    if len(imbalances) > _IMBALANCES_NAMED:
        detail += f"; and {len(imbalances) - _IMBALANCES_NAMED} more"
    hint = "docs/intake.md: when the ledger does not balance"
    return Check("ledger", not imbalances, detail or "every hour adds up", hint, is_needed=False)


class HealthServer:
    """A small listener on its own thread.

    `/healthz` answers 200 while the process lives and `faults` finds nothing, else 503 with them.
    `/readyz` answers 200 with every needed check true, else 503; both with the list. The checks run
    when asked.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ready: Callable[[], Sequence[Check]],
        metrics: Callable[[], Sequence[MetricFamily]],
        faults: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Bind the listener.

        Args:
            faults: What makes the process of no use until it is started again.

        Raises:
            ConfigurationError: The port is taken or the address is not this machine's.
        """

        class Handler(BaseHTTPRequestHandler):
            server_version = "greendc"
            sys_version = ""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/healthz":
                    found = list(faults())
                    text = "".join(f"{fault}\n" for fault in found) or "ok\n"
                    self._answer(503 if found else 200, "text/plain", text)
                elif path == "/readyz":
                    checks = list(ready())
                    status = 200 if all(c.ok or not c.is_needed for c in checks) else 503
                    body = [{"check": c.name, "ok": c.ok, "detail": c.detail} for c in checks]
                    self._answer(status, "application/json", json.dumps(body) + "\n")
                elif path == "/metrics":
                    self._answer(200, "text/plain; version=0.0.4", render_metrics(metrics()))
                else:
                    self._answer(404, "text/plain", "not found\n")

            def _answer(self, status: int, content_type: str, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", f"{content_type}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                _LOG.debug(format, *args)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            problem = f"cannot listen on {host}:{port}: {error.strerror or error}"
            hint = "stop what holds the port, or choose another with GREENDC_HEALTH__PORT (0: any)"
            raise ConfigurationError([Problem("settings", "health.port", problem, hint)]) from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.2},
            name="health",
            daemon=True,
        )

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End the listener."""
        self._server.shutdown()
        self._server.server_close()
