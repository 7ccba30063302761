"""Many calls on one thread: each is a greenlet that is parked while libcurl waits for its reply, or while it pauses.

So a gateway's verbs read as one step after another, and a call in flight costs no thread.
"""

from __future__ import annotations

import heapq
import itertools
import math
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import pycurl
from greenlet import getcurrent, greenlet

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_EVENTS: Final = {pycurl.POLL_IN: _READ, pycurl.POLL_OUT: _WRITE, pycurl.POLL_INOUT: _READ | _WRITE}
_SELECTED: Final = {
    _READ: pycurl.CSELECT_IN,
    _WRITE: pycurl.CSELECT_OUT,
    _READ | _WRITE: pycurl.CSELECT_IN | pycurl.CSELECT_OUT,
}
_LOCK_LOOK_SECONDS: Final = 0.01

TIMED_OUT: Final = -1
"""How a transfer ended that was overdue; else it ends with one of libcurl's codes, 0 where all went well."""


Ends = tuple[object, ...]
"""Addresses and ports of a connection, both its ends."""


class Transfer(Protocol):
    """What a loop needs to know of a transfer."""

    handle: pycurl.Curl
    expires: float
    ends: Ends


class _Call(greenlet):  # type: ignore[misc]  # it has no types
    """A call that a loop carries."""

    def __init__(self, loop: Loop, work: Callable[[], None]) -> None:
        super().__init__(work)
        self.loop = loop


class Loop:
    """Calls and their connections, kept alive from one window to the next. One thread at a time turns it."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._ear.setblocking(False)
        self._selector.register(self._ear, _READ)
        self._timer = math.inf
        self._expiry = math.inf
        self._transfers: dict[pycurl.Curl, tuple[_Call, Transfer]] = {}
        self._kept: dict[Ends, int] = {}
        self._pauses: list[tuple[float, int, _Call]] = []
        self._numbers = itertools.count()

    def keep(self, connections: int) -> None:
        """Keep so many connections alive."""
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)

    def ring(self) -> None:
        """End the present or the next wait; to be called from any thread."""
        self._bell.send(b"!")

    def spawn(self, work: Callable[[], None]) -> None:
        """Begin a call; this returns as soon as it is parked."""
        _Call(self, work).switch()

    def turn(self) -> None:
        """Wait until something happens, and let the calls go on that it concerns."""
        due = min(self._timer, self._expiry, self._pauses[0][0] if self._pauses else math.inf)
        for key, ready in self._selector.select(None if due == math.inf else max(0.0, due - time.monotonic())):
            if key.fileobj is self._ear:
                self._ear.recv(4096)
            else:
                self._multi.socket_action(key.fd, _SELECTED[ready])
        now = time.monotonic()
        if now >= self._timer:
            self._timer = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._end_finished()
        if now >= self._expiry:
            self._end_overdue(now)
        while self._pauses and self._pauses[0][0] <= now:
            heapq.heappop(self._pauses)[2].switch()

    # -- for the calls

    def perform(self, transfer: Transfer) -> tuple[int, str]:
        """Park the present call until its transfer has ended; libcurl's code and message."""
        call: _Call = getcurrent()
        self._transfers[transfer.handle] = (call, transfer)
        self._multi.add_handle(transfer.handle)
        ended: tuple[int, str] = call.parent.switch()
        return ended

    def expect(self, moment: float) -> None:
        """Look at that moment whether a transfer is overdue."""
        self._expiry = min(self._expiry, moment)

    def has_closed(self, ends: Ends) -> bool:
        """Whether this is a kept connection that the other side has closed: it can be read, though nothing was asked.

        libcurl looks itself only once a second.
        """
        if (kept := self._kept.get(ends)) is None:
            return False
        poll = select.poll()
        poll.register(kept, select.POLLIN)
        return bool(poll.poll(0))

    def pause(self, seconds: float) -> None:
        """Park the present call for so long."""
        call: _Call = getcurrent()
        heapq.heappush(self._pauses, (time.monotonic() + seconds, next(self._numbers), call))
        call.parent.switch()

    # -- transfers that have ended

    def _end_finished(self) -> None:
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read()
            for handle in good:
                self._end(handle, 0, "")
            for handle, code, message in bad:
                self._end(handle, code, message)

    def _end_overdue(self, now: float) -> None:
        for handle, (_, transfer) in list(self._transfers.items()):
            if transfer.expires <= now:
                self._end(handle, TIMED_OUT, "")
        self._expiry = min((transfer.expires for _, transfer in self._transfers.values()), default=math.inf)

    def _end(self, handle: pycurl.Curl, code: int, message: str) -> None:
        call, transfer = self._transfers.pop(handle)
        if (kept := handle.getinfo(pycurl.ACTIVESOCKET)) >= 0:
            self._kept[transfer.ends] = kept
        else:
            self._kept.pop(transfer.ends, None)
        self._multi.remove_handle(handle)
        call.switch((code, message))

    # -- what libcurl waits for

    def _watch(self, what: int, fd: int, _multi: object, _data: object) -> None:
        known = fd in self._selector.get_map()
        if what == pycurl.POLL_REMOVE:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, _EVENTS[what])
        else:
            self._selector.register(fd, _EVENTS[what])

    def _set_timer(self, milliseconds: int) -> None:
        self._timer = math.inf if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def current() -> Loop | None:
    """The loop that carries the present call; None for one that has its thread to itself."""
    call = getcurrent()
    return call.loop if isinstance(call, _Call) else None


def pause(seconds: float) -> None:
    """Wait, without holding up the other calls of a loop."""
    if loop := current():
        loop.pause(seconds)
    else:
        time.sleep(seconds)


class CallLock:
    """A lock that may be held across an exchange: a call on a loop waits for it without holding up the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        while not self._lock.acquire(blocking=current() is None):
            pause(_LOCK_LOOK_SECONDS)

    def __exit__(self, *_: Any) -> None:
        self._lock.release()
