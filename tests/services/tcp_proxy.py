"""A TCP proxy that slices, delays, resets, refuses, and lets connections die without a word."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(slots=True)
class _Link:
    """One connection through the proxy."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    is_dead: bool = False


class TcpProxy:
    """In front of a port of this machine; runs on a thread of its own.

    Attributes:
        slice_bytes: Bytes that travel at once; 0 = as they come.
        delay_s: How long each piece is held back.
        connections: Connections that were accepted.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream = upstream_port
        self.slice_bytes = 0
        self.delay_s = 0.0
        self.connections = 0
        self.port = 0
        self._links: list[_Link] = []
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self) -> None:
        """Accept connections (again), always on the same port."""
        self._do(self._listen())

    def refuse(self) -> None:
        """Accept no connections, and reset those that are open."""
        self._do(self._close_server())
        self.reset()

    def reset(self) -> None:
        """Reset every open connection."""
        self._call(lambda: [w.transport.abort() for link in self._links for w in link.writers])

    def let_die(self) -> None:
        """Move nothing more on the open connections, and tell nobody: half-open on both sides."""

        def die() -> None:
            for link in self._links:
                link.is_dead = True

        self._call(die)

    # ------------------------------------------------------------ inside

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call(self, work: Callable[[], Any]) -> None:
        async def run() -> None:
            work()

        self._do(run())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _stop(self) -> None:
        await self._close_server()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for link in self._links:
            for writer in link.writers:
                writer.transport.abort()
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = _Link((writer, up_writer))
        self._links.append(link)
        ways = [self._move(reader, up_writer, link), self._move(up_reader, writer, link)]
        await asyncio.gather(*ways, return_exceptions=True)

    async def _move(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        try:
            while data := await reader.read(65_536):
                size = self.slice_bytes or len(data)
                for start in range(0, len(data), size):
                    while link.is_dead:
                        await asyncio.sleep(0.05)
                    if self.delay_s:
                        await asyncio.sleep(self.delay_s)
                    writer.write(data[start : start + size])
                    await writer.drain()
        except OSError:
            writer.transport.abort()
        else:
            # In good order: what was said last is still delivered.
            writer.close()
