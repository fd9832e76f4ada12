"""Logins after wrong passwords."""

import asyncio

import pytest

from studio.ui.access.login_delay import LONGEST, LoginDelayMiddleware, delay_after


class Door:
    """A login with one right password; sleeping is only noted."""

    def __init__(self):
        self.slept: list[float] = []
        self.now = 0.0
        self.tries = 0

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)

        async def app(scope, receive, send):
            self.tries += 1
            await send({"type": "http.response.start", "status": 200 if scope.get("right") else 400})

        self.app = LoginDelayMiddleware(app, sleep, lambda: self.now)

    async def ask(self, right: bool = False, client: str = "1.2.3.4", path: str = "/login", method: str = "POST", said: str = "") -> int:
        sent = []

        async def send(message):
            sent.append(message)

        headers = [(b"x-forwarded-for", said.encode())] if said else []
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": (client, 1), "right": right}
        await self.app(scope, None, send)
        return sent[0]["status"]

    def wrong(self, times: int, **where) -> list[float]:
        """Seconds that each of so many wrong tries waits."""
        waits = []
        for _ in range(times):
            before = len(self.slept)
            assert asyncio.run(self.ask(**where)) == 400
            waits.append(sum(self.slept[before:]))
        return waits


def test_it_grows():
    assert Door().wrong(8) == [0, 0, 0, 1, 2, 4, 8, 16]
    assert delay_after(10_000) == LONGEST


def test_a_right_password_ends_it_and_so_does_an_hour():
    door = Door()
    door.wrong(6)
    assert asyncio.run(door.ask(right=True)) == 200
    assert door.wrong(4) == [0, 0, 0, 1]
    door.now += 3601
    assert door.wrong(1) == [0]


def test_other_addresses_and_other_pages_do_not_wait():
    door = Door()
    door.wrong(6)
    assert door.wrong(3, client="5.6.7.8") == [0, 0, 0]
    for where in ({"path": "/"}, {"method": "GET"}, {"path": "/config"}):
        before = len(door.slept)
        asyncio.run(door.ask(**where))
        assert len(door.slept) == before
    assert door.wrong(1, path="/login/")[0] > 0


def test_behind_a_proxy_of_this_machine_the_address_is_what_it_says():
    door = Door()
    door.wrong(6, client="127.0.0.1", said="9.9.9.9, 1.1.1.1")
    assert door.wrong(1, client="127.0.0.1", said="9.9.9.9, 2.2.2.2") == [0]
    assert door.wrong(1, client="127.0.0.1", said="8.8.8.8, 1.1.1.1")[0] > 0, "what a client itself says does not count"


def test_many_at_once_are_no_way_round():
    door = Door()

    async def flood():
        return await asyncio.gather(*(door.ask() for _ in range(200)))

    answers = asyncio.run(flood())
    assert answers.count(429) == 200 - 3 - 4
    assert door.tries == 7


@pytest.mark.parametrize("right", [True, False])
def test_nothing_is_remembered_of_those_who_wait(right):
    door = Door()
    door.wrong(4)
    asyncio.run(door.ask(right))
    assert not door.app._waiting
