"""One page's socket: moves are applied as they come, and the newest state is drawn as fast as engine and connection allow."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.ui.components.handlers import UNEXPECTED
from studio.ui.live.frames import Fineness, frame, still
from studio.ui.live.moves import LiveMoves, LiveStage
from studio.ui.session import Session

log = logging.getLogger(__name__)

MAX_MESSAGE = 16 << 10  # characters
_MOST_VALUES = 32  # of one move
_MOST_INVALID = 20  # messages, after which the channel is closed
_IN_FLIGHT = 2  # frames not yet acknowledged: the next one is drawn while the last one travels
_LOST = 5.0  # seconds after which a frame counts as acknowledged, lest a lost one stops the channel
_PAUSE = 0.12  # seconds without a move after which the still follows
GOING_AWAY, INVALID, UNKNOWN, REPLACED = 1001, 1008, 4404, 4409  # codes with which a socket is closed


class Channel:
    """The server's end of a channel.  clock: seconds."""

    def __init__(self, socket: WebSocket, session: Session, moves: LiveMoves, clock: Callable[[], float] = time.monotonic):
        self.socket, self.session, self.moves, self._clock = socket, session, moves, clock
        self._loop = asyncio.get_running_loop()
        self._moved, self._freed = asyncio.Event(), asyncio.Event()
        self._newest: dict[LiveStage, int] = {}  # picture that is to be drawn -> number of the last move that was applied to it
        self._sent: dict[int, float] = {}  # frame -> when it was sent
        self._count = 0
        self._fineness = Fineness()

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
            received = await self.socket.receive()
            if received["type"] != "websocket.receive":
                return
            text = received.get("text") or ""  # what is not text is invalid
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
                release = message.get("release") is True
                stage = await asyncio.to_thread(self.moves.move, self.session, message["control"], message["values"], release)
            except StudioError as e:
                await self._send_error(message["n"], str(e))
                continue
            except Exception:
                log.exception("a move on the live channel failed")
                await self._send_error(message["n"], UNEXPECTED)
                continue
            if stage is not None:
                self._newest[stage] = message["n"]
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
            and len(message["values"]) <= _MOST_VALUES
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
            last: dict[LiveStage, tuple[Recipe, np.ndarray, int]] = {}
            while True:
                while self._newest:
                    self._moved.clear()
                    stage, number = self._newest.popitem()
                    if drawn := await self._draw_newest(stage, number):
                        last[stage] = drawn
                try:
                    await asyncio.wait_for(self._moved.wait(), _PAUSE)
                except asyncio.TimeoutError:
                    break
            for stage, drawn in last.items():
                await self._send_still(stage, *drawn)

    async def _draw_newest(self, stage: LiveStage, number: int) -> tuple[Recipe, np.ndarray, int] | None:
        recipe, after = stage.recipe(self.session), self.session.drawings[stage.element]
        if recipe is None:
            return None
        try:
            picture = await asyncio.wrap_future(stage.submit(self.session, recipe, live=True))
        except CancelledError:
            return None  # a newer picture took its place
        except StudioError as e:
            if stage.recipe(self.session) is recipe:
                stage.change(self.session, self.session.drawn.get(stage.element), "")
            await self._send_error(number, str(e))
            return None
        stage.drew(self.session, recipe)
        data = await asyncio.to_thread(self._fineness.jpeg, picture)
        await self._room()
        header = {"n": number, "stage": stage.element, "still": False, "after": after, "size": picture.shape[1::-1]}
        await self._send(header, data)
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

    async def _send_still(self, stage: LiveStage, recipe: Recipe, picture: np.ndarray, number: int) -> None:
        if not await asyncio.to_thread(self.moves.engine.live_is_exact, recipe.model):
            try:
                picture = await asyncio.wrap_future(stage.submit(self.session, recipe))
            except (CancelledError, StudioError):
                return  # an event draws another one, or it can no longer be drawn
        data = await asyncio.to_thread(still, picture)
        if stage.recipe(self.session) is recipe and stage not in self._newest:
            words = await asyncio.to_thread(self.moves.described, stage, recipe)
            header = {"n": number, "stage": stage.element, "still": True, "after": self.session.drawings[stage.element]}
            await self._send({**header, "size": picture.shape[1::-1], **words}, data)

    async def _send(self, header: dict[str, Any], picture: bytes) -> None:
        self._count += 1
        self._sent[self._count] = self._clock()
        await self.socket.send_bytes(frame({**header, "frame": self._count}, picture))

    async def _send_error(self, number: int, message: str) -> None:
        await self.socket.send_text(json.dumps({"n": number, "error": message}))
