"""One page's socket: moves are applied as they come, and the newest state is drawn as fast as engine and connection allow."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Protocol

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.ui.components.handlers import UNEXPECTED
from studio.ui.live.frames import Fineness, frame, still
from studio.ui.session import Session

log = logging.getLogger(__name__)

MAX_MESSAGE = 16 << 10  # characters
_MOST_INVALID = 20  # messages, after which the channel is closed
_IN_FLIGHT = 2  # frames not yet acknowledged: the next one is drawn while the last one travels
_LOST = 5.0  # seconds after which a frame counts as acknowledged, lest a lost one stops the channel
_PAUSE = 0.12  # seconds without a move after which the still follows
GOING_AWAY, INVALID, UNKNOWN, REPLACED = 1001, 1008, 4404, 4409  # codes with which a socket is closed


class Drawing(Protocol):
    """What a page draws: the tab that the channel belongs to."""

    def move(self, session: Session, control: str, values: list[Any], release: bool) -> bool:
        """Apply the move of a control. Returns whether there is something new to draw. Raises StudioError."""
        ...

    def picture(self, session: Session, recipe: Recipe) -> "asyncio.Future[np.ndarray]":
        """The picture of a recipe, uint8 (H, W, 3), once the engine has made it."""
        ...

    def described(self, recipe: Recipe) -> dict[str, str]:
        """Words that go with a still: 'alt' of the picture, and 'status' for the line at the bottom (HTML)."""
        ...


class Channel:
    """The server's end of a channel.  clock: seconds."""

    def __init__(self, socket: WebSocket, session: Session, drawing: Drawing, clock: Callable[[], float] = time.monotonic):
        self.socket, self.session, self.drawing, self._clock = socket, session, drawing, clock
        self._loop = asyncio.get_running_loop()
        self._moved, self._freed = asyncio.Event(), asyncio.Event()
        self._newest = 0  # number of the last move that was applied
        self._sent: dict[int, float] = {}  # frame -> when it was sent
        self._count = 0
        self._fineness = Fineness()
        self._drawn: Recipe | None = session.recipe  # the last recipe that could be drawn

    async def run(self) -> None:
        """Serve until the page leaves or the channel is closed."""
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._draw())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except WebSocketDisconnect:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self, code: int) -> None:
        """End the channel, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._close(code)))

    async def _close(self, code: int) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the page has left already
            await self.socket.close(code)

    # -- moves in ------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        invalid = 0
        while True:
            text = await self.socket.receive_text()
            try:
                message = self._parsed(text)
            except ValueError:
                invalid += 1
                if invalid > _MOST_INVALID or len(text) > MAX_MESSAGE:
                    return await self._close(INVALID)
                continue
            if "ack" in message:
                self._acknowledged(message["ack"])
                continue
            try:
                # Reading what a model can do may load it, which takes seconds.
                new = await asyncio.to_thread(
                    self.drawing.move, self.session, message["control"], message["values"], message.get("release") is True
                )
            except StudioError as e:
                await self._send_error(message["n"], str(e))
                continue
            except Exception:
                log.exception("a move on the live channel failed")
                await self._send_error(message["n"], UNEXPECTED)
                continue
            if new:
                self._newest = message["n"]
                self._moved.set()

    @staticmethod
    def _parsed(text: str) -> dict[str, Any]:
        """A message of the page. Raises ValueError."""
        if len(text) > MAX_MESSAGE:
            raise ValueError
        try:
            message = json.loads(text)
        except RecursionError:
            raise ValueError from None
        if not isinstance(message, dict):
            raise ValueError
        if "ack" in message:
            if type(message["ack"]) is not int:
                raise ValueError
        elif not (
            isinstance(message.get("control"), str)
            and isinstance(message.get("values"), list)
            and len(message["values"]) < 16
            and type(message.get("n")) is int
        ):
            raise ValueError
        return message

    def _acknowledged(self, number: int) -> None:
        sent = self._sent.pop(number, None)
        if sent is not None:
            self._fineness.took(self._clock() - sent)
            self._freed.set()

    # -- pictures out --------------------------------------------------------------------------------------------

    async def _draw(self) -> None:
        while True:
            await self._moved.wait()
            last: tuple[Recipe, np.ndarray, int] | None = None
            while True:
                if self._moved.is_set():
                    self._moved.clear()
                    last = await self._draw_newest() or last
                try:
                    await asyncio.wait_for(self._moved.wait(), _PAUSE)
                except asyncio.TimeoutError:
                    break
            if last is not None:
                await self._send_still(*last)

    async def _draw_newest(self) -> tuple[Recipe, np.ndarray, int] | None:
        recipe, number, after = self.session.recipe, self._newest, self.session.drawings
        if recipe is None:
            return None
        try:
            picture = await self.drawing.picture(self.session, recipe)
        except CancelledError:
            return None  # a newer picture took its place
        except StudioError as e:
            if self.session.recipe is recipe:
                self.session.recipe = self._drawn
            await self._send_error(number, str(e))
            return None
        self._drawn = recipe
        data = await asyncio.to_thread(self._fineness.jpeg, picture)
        await self._room()
        await self._send({"n": number, "still": False, "after": after, "size": picture.shape[1::-1]}, data)
        return recipe, picture, number

    async def _room(self) -> None:
        """Wait until fewer than _IN_FLIGHT frames travel."""
        while len(self._sent) >= _IN_FLIGHT:
            self._freed.clear()
            try:
                await asyncio.wait_for(self._freed.wait(), _LOST)
            except asyncio.TimeoutError:
                self._fineness.took(_LOST)
                self._sent.clear()

    async def _send_still(self, recipe: Recipe, picture: np.ndarray, number: int) -> None:
        data = await asyncio.to_thread(still, picture)
        if self.session.recipe is recipe and not self._moved.is_set():
            words = {**await asyncio.to_thread(self.drawing.described, recipe), "after": self.session.drawings}
            await self._send({"n": number, "still": True, "size": picture.shape[1::-1], **words}, data)

    async def _send(self, header: dict[str, Any], picture: bytes) -> None:
        self._count += 1
        self._sent[self._count] = self._clock()
        await self.socket.send_bytes(frame({**header, "frame": self._count}, picture))

    async def _send_error(self, number: int, message: str) -> None:
        await self.socket.send_text(json.dumps({"n": number, "error": message}))
