"""Delay of logins after wrong passwords, so that nobody can try many of them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from studio.ui.access.client_address import address_of
from studio.ui.access.refusal import Receive, Refused, Send, send_refusal

FREE = 3  # tries of an address without a delay
LONGEST = 60.0  # seconds
_WAITING = 4  # tries of an address that wait at the same time
_FORGOTTEN = 3600.0  # seconds after which an address begins anew
_ADDRESSES = 10_000


def delay_after(failures: int) -> float:
    """Seconds that a try waits after so many wrong passwords: 0, 0, 0, 1, 2, 4, ... up to LONGEST."""
    return 0.0 if failures < FREE else min(LONGEST, 2.0 ** min(failures - FREE, 30))


class LoginDelayMiddleware:
    """ASGI middleware that lets a login wait the longer, the more passwords from its address were wrong. A right one ends that.

    A try counts as wrong until it is found to be right, so that many at once are no way round. What runs for others never waits.
    sleep: waits so many seconds.  clock: seconds.
    """

    def __init__(
        self, app: Callable, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, clock: Callable[[], float] = time.monotonic
    ):
        self.app, self._sleep, self._clock = app, sleep, clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # address -> how many, when the last one was
        self._waiting: dict[str, int] = {}

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].rstrip("/") != "/login":
            return await self.app(scope, receive, send)
        address = address_of(scope)
        if self._waiting.get(address, 0) >= _WAITING:
            return await send_refusal(scope, send, Refused(429, "Too many wrong passwords. Wait a minute, then try again."))
        failures, last = self._failures.pop(address, (0, 0.0))
        if self._clock() - last > _FORGOTTEN:
            failures = 0
        self._failures[address] = failures + 1, self._clock()
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)
        if delay := delay_after(failures):
            self._waiting[address] = self._waiting.get(address, 0) + 1
            try:
                await self._sleep(delay)
            finally:
                self._waiting[address] -= 1
                if not self._waiting[address]:
                    del self._waiting[address]

        async def noting(message: dict) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._failures.pop(address, None)
            await send(message)

        await self.app(scope, receive, noting)
