"""The studio over a slow line."""

import asyncio

import pytest
from starlette.middleware import Middleware

from studio.engine.engine import Engine
from studio.models.library import Library
from studio.ui.access.serving import ServingPolicy
from studio.ui.app import build
from studio.ui.static import page_head
from tests.browser.test_studio import changes

pytestmark = pytest.mark.browser
TABS = ("explore",)


# The browser may say of several answers at once that they have come; this page hears of all in 300 ms together.
HEARD_TOGETHER = """
const Observer = window.PerformanceObserver;
window.PerformanceObserver = function (callback) {
  let heard = [], timer = null;
  return new Observer((list) => {
    heard.push(...list.getEntries());
    timer ??= setTimeout(() => { const all = heard; heard = []; timer = null; callback({ getEntries: () => all }); }, 300);
  });
};
"""


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


@pytest.fixture
def late_page(browser, home):
    """A page of a studio that hangs up late, once its first picture has appeared."""
    with Engine(Library([home / "models"]), device="cpu") as engine:
        app = build(engine, None, ServingPolicy(training=False, tabs=("explore",)))
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, head=page_head(), app_kwargs={"middleware": [Middleware(LateHangUp)]})
        page = browser.new_page()
        page.add_init_script(HEARD_TOGETHER)
        page.set_default_timeout(60_000)  # of failing only; a machine may be slow
        page.goto(url)
        page.wait_for_selector("#explore-stage img")
        yield page
        page.close()
        app.close()


def test_an_answer_asked_for_while_the_line_is_hung_up_still_comes(late_page):
    for _ in range(4):
        changes(late_page, lambda: late_page.click("#dice"))


def test_an_answer_asked_for_together_with_the_question_for_nothing_still_comes(late_page):
    late_page.evaluate("""() => {
        window.rolls = 0;
        document.getElementById("still-there").addEventListener("click", () => {
            if (window.rolls < 4) { window.rolls++; document.getElementById("dice").click(); }
        });
    }""")
    for rolls in range(1, 5):  # each answer that came makes the page ask for nothing once more
        late_page.wait_for_function("(rolls) => window.rolls >= rolls", arg=rolls)
    changes(late_page, lambda: late_page.click("#dice"))
