"""A real studio on a free port and a real Chromium in front of it."""

import contextlib
import sys
import threading
import traceback

import pytest
from playwright.sync_api import sync_playwright

from studio.jobs.queue import JobStore
from tests.conftest import save_tiny
from tests.get_chromium import find

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what was on the page, how the trainings stand, and where the studio's threads are."""
    report = yield
    page, home = item.funcargs.get("page"), item.funcargs.get("home")
    if call.when == "call" and report.failed and page is not None:
        with contextlib.suppress(Exception):  # the browser itself may be what failed
            report.sections.append(("The page", page.locator("body").inner_text(timeout=5000)))
        if home is not None and (home / "jobs.sqlite").exists():
            report.sections.append(("Its trainings", "\n".join(map(str, JobStore(home / "jobs.sqlite").list()))))
        threads = {thread.ident: thread.name for thread in threading.enumerate()}
        stacks = [f"{threads.get(id)}\n{''.join(traceback.format_stack(frame)[-8:])}" for id, frame in sys._current_frames().items()]
        report.sections.append(("Its threads", "\n".join(stacks)))
    return report


@pytest.fixture(scope="session")
def browser():
    path = find()
    if path is None:
        pytest.fail("there is no Chromium; `make test` gets one")
    with sync_playwright() as p:
        instance = p.chromium.launch(executable_path=path, args=FLAGS)
        yield instance
        instance.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with models of 32 px, one of them with classes, and a broken one."""
    folder = tmp_path_factory.mktemp("home")
    save_tiny(folder / "models", "anna")
    save_tiny(folder / "models", "berta", seed=1)
    save_tiny(folder / "models", "clara", seed=2, c_dim=3)
    (folder / "models" / "broken").mkdir()
    (folder / "models" / "broken" / "config.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def studio(home, request):
    """(URL, engine) of a running studio.

    It has all tabs, or those that the module names in TABS: each page mounts every component of every tab, which takes seconds.
    """
    from studio.ui.access.serving import ServingPolicy
    from studio.ui.app import launch

    patch = pytest.MonkeyPatch()
    patch.setenv("STUDIO_HOME", str(home))
    policy = ServingPolicy(tabs=getattr(request.module, "TABS", None))
    app, url, engine, supervisor = launch(inbrowser=False, device="cpu", block=False, policy=policy)
    yield url, engine
    app.close()
    engine.close()
    if supervisor is not None:
        supervisor.close()
        for job in supervisor.jobs():  # a test that failed may have left one at work
            supervisor.launcher.kill(job)
    patch.undo()


@pytest.fixture
def page(browser, studio):
    """A new visitor on the first screen, whose picture has appeared. Errors of the page fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(90_000)  # of failing only; a machine may be slow
    errors = []
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(studio[0])
    page.wait_for_selector("#explore-stage img")
    yield page
    context.close()
    assert not errors, errors


@pytest.fixture
def phone(browser, studio):
    """A visitor with a narrow screen, whose first picture has appeared."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(90_000)  # of failing only; a machine may be slow
    page.goto(studio[0])
    page.wait_for_selector("#explore-stage img")
    yield page
    page.close()


@contextlib.contextmanager
def visit(browser, home):
    """A page of a studio that has only the models of a home, once its first picture has appeared."""
    from studio.engine.engine import Engine
    from studio.jobs.supervisor import Supervisor
    from studio.models.library import Library
    from studio.ui.app import build

    with Engine(Library([home / "models"]), device="cpu") as engine, Supervisor(home) as supervisor:
        app = build(engine, supervisor)
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
        page = browser.new_page()
        page.set_default_timeout(90_000)  # of failing only; a machine may be slow
        page.goto(url)
        page.wait_for_selector("#explore-stage img")
        yield page
        page.close()
        app.close()
