"""A TCP proxy on loopback: lets through, cuts, refuses, delays, holds back, and loses answers, as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from local.ports import LOOPBACK

_CHUNK: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_PATIENCE: Final = 10.0


class Loop:
    """An event loop on a thread of its own; `do` runs something there and waits for its end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it there."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def end(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()


class Proxy:
    """One address that stays, whatever becomes of the server behind it."""

    def __init__(self, loop: Loop, name: str, target: Callable[[], int]) -> None:
        """`target` says at which port of loopback the server is now."""
        self.name = name
        self._loop = loop
        self._target = target
        self._listener = _listening(0)
        self.port: int = self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._delay = 0.0
        self._to_lose = 0
        loop.do(self._open())

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs)

    # ---- what it is told

    def cut(self) -> int:
        """Reset every connection; returns how many there were."""
        were = len(self._pairs)
        self._loop.do(self._reset_all())
        return were

    def refuse(self) -> int:
        """Reset every connection and refuse new ones until `restore`; returns how many there were."""
        were = len(self._pairs)
        self._loop.do(self._close())
        return were

    def delay(self, seconds: float) -> int:
        """Let every piece wait so long until `restore`; returns how many connections there are."""
        self._delay = seconds
        return len(self._pairs)

    def hold(self) -> int:
        """Let nothing through until `restore`, without a word; returns how many connections there are."""
        self._loop.do(self._stop_flowing())
        return len(self._pairs)

    def lose(self, answers: int) -> int:
        """Reset the next connections at the moment when an answer comes back; returns how many are open."""
        self._to_lose = answers
        return len(self._pairs)

    def restore(self) -> None:
        """Be a good network again."""
        self._delay, self._to_lose = 0.0, 0
        self._loop.do(self._open())

    def end(self) -> None:
        """Close everything."""
        self._loop.do(self._close())

    # ---- on the loop

    async def _open(self) -> None:
        self._flowing.set()
        if self._server is None:
            if self._listener.fileno() < 0:
                self._listener = _listening(self.port)
            self._server = await asyncio.start_server(self._accept, sock=self._listener)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset_all()
        self._flowing.set()

    async def _stop_flowing(self) -> None:
        self._flowing.clear()

    async def _reset_all(self) -> None:
        for pair in list(self._pairs):
            _reset(pair)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset((writer,))
        finally:
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        back_reader, back_writer = await asyncio.open_connection(LOOPBACK, self._target())
        pair = (writer, back_writer)
        self._pairs.add(pair)
        forth = asyncio.ensure_future(self._pump(reader, back_writer, pair, is_answer=False))
        back = asyncio.ensure_future(self._pump(back_reader, writer, pair, is_answer=True))
        try:
            await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (forth, back):
                one.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)
            self._pairs.discard(pair)
            for side in pair:
                side.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                if is_answer and self._to_lose:
                    self._to_lose -= 1
                    _reset(pair)
                    return
                writer.write(piece)
                await writer.drain()


def _listening(port: int) -> socket.socket:
    return socket.create_server((LOOPBACK, port), backlog=256)


def _reset(writers: tuple[asyncio.StreamWriter, ...]) -> None:
    for writer in writers:
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
