"""Runs the board under uvicorn until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from core.errors import ConfigurationError, Problem

# Feeds are ended first; what is still open after this is cut.
_GRACE_S = 3
_LOOK_S = 0.2
_BACKLOG = 512


def run(
    app: FastAPI,
    host: str,
    port: int,
    stop: threading.Event,
    *,
    trusted_proxies: tuple[str, ...] = (),
) -> None:
    """Serve until `stop` is set; open live feeds end first, the rest within three seconds.

    Signals are the caller's: none is handled here.

    Args:
        trusted_proxies: Addresses whose forwarded client address is believed.

    Raises:
        ConfigurationError: The port is taken or the address is not this machine's.
    """
    listener = bind(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=30,
        ws="none",
    )
    server = _Server(config)
    try:
        asyncio.run(_serve(server, app, listener, stop))
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are captured."""
        yield


async def _serve(
    server: uvicorn.Server, app: FastAPI, listener: socket.socket, stop: threading.Event
) -> None:
    async def watch() -> None:
        while not stop.is_set() and not server.should_exit:
            await asyncio.sleep(_LOOK_S)
        app.state.live_hub.close()
        server.should_exit = True

    watcher = asyncio.create_task(watch())
    await server.serve(sockets=[listener])
    await watcher


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigurationError: The port is taken or the address is not this machine's.
    """
    listener: socket.socket | None = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Named TCP: otherwise asyncio leaves Nagle's algorithm on, and each answer waits 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            [
                Problem(
                    "settings",
                    "board.port",
                    f"the board cannot listen on {host}:{port}: {reason}",
                    "stop what holds the port, or choose another with GREENDC_BOARD__PORT "
                    "(and GREENDC_BOARD__HOST)",
                )
            ]
        ) from None
    return listener
