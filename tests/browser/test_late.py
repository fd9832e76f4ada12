"""The studio over a slow line."""

import asyncio

import pytest
from starlette.middleware import Middleware

from studio.engine.engine import Engine
from studio.models.library import Library
from studio.ui.access.policy import ServingPolicy
from studio.ui.app import build
from studio.ui.static import page_head
from tests.browser.test_studio import changes

pytestmark = pytest.mark.browser


class LateHangUp:
    """What tells a page to hang up travels a second longer than all else."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def late(message):
            if b"close_stream" in message.get("body", b""):
                await asyncio.sleep(1)
            await send(message)

        await self.app(scope, receive, late)


def test_an_answer_asked_for_while_the_line_is_hung_up_still_comes(browser, home):
    with Engine(Library([home / "models"]), device="cpu") as engine:
        app = build(engine, None, ServingPolicy(training=False, tabs=("explore",)))
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, head=page_head(), app_kwargs={"middleware": [Middleware(LateHangUp)]})
        page = browser.new_page()
        page.set_default_timeout(180_000)  # of failing only; a machine may be slow
        page.goto(url)
        page.wait_for_selector("#explore-stage img")
        for _ in range(4):
            changes(page, lambda: page.click("#dice"))
        page.close()
        app.close()
