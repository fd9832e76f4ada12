"""The studio in the browser: tabs joined over one engine."""

import contextlib
import dataclasses
import io
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gradio as gr
from gradio.events import Dependency
from gradio.route_utils import FnIndexInferError
from starlette.middleware import Middleware

from studio.common.files import can_write
from studio.common.log import show_warnings, start_log
from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.engine.zero_gpu import ZeroEngine, make_engine
from studio.errors import StudioError
from studio.gallery.gallery import Gallery
from studio.jobs.launchers.choose import choose_launcher
from studio.jobs.supervisor import Supervisor
from studio.jobs.throttle import Throttle
from studio.models.trash import empty_trash
from studio.provenance import signing
from studio.provenance.metadata import save_picture
from studio.settings import get_settings, scratch
from studio.ui.access.app_blocks import AppBlocks
from studio.ui.access.local_only import LocalOnlyMiddleware, allowed_hosts
from studio.ui.access.login import Login, read_accounts
from studio.ui.access.login_delay import LoginDelayMiddleware
from studio.ui.access.middleware import VisitorMiddleware, sender_of
from studio.ui.access.new_visitor import open_session
from studio.ui.access.serving import ServingPolicy, is_open_to_strangers, is_reachable
from studio.ui.access.unknown_names import no_such_function
from studio.ui.access.visitors import DAY, MAX_UPLOAD_BYTES, Visitors
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.status import status_html
from studio.ui.components.tab import Page, Tab
from studio.ui.connections import connect, entrances
from studio.ui.live.endpoint import LiveEndpoint, token_html
from studio.ui.session import Session
from studio.ui.static import page_head, style_sheet
from studio.ui.tabs import TABS

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab
from studio.ui.theme import make_theme

log = logging.getLogger(__name__)

_THEME_TOGGLE_JS = "studioPlace.dark(!document.body.classList.contains('dark'))"
_MASTHEAD = f"""
<div id="masthead"><span class="mark" aria-hidden="true"></span><b>GAN Studio</b><span class="grow"></span>
<button type="button" onclick="{_THEME_TOGGLE_JS}" aria-label="Dark or light">◐ Dark / light</button></div>
"""
_WELCOME = (
    "Other visitors use this studio too, but they cannot see your work. What you upload and make here is deleted when you leave, or "
    f"after a day: download what you want to keep. Each file can be up to {MAX_UPLOAD_BYTES >> 20} MB."
)


def build(
    engine: Engine, supervisor: Supervisor | None, policy: ServingPolicy = ServingPolicy(), visitors: Visitors | None = None
) -> AppBlocks:
    """The app for an engine and a queue of trainings (None without the Train tab).

    Of the engine's library only the models in `policy` are offered. The public API has one endpoint, `render`: a recipe (JSON) -> a PNG
    with the recipe inside.  visitors: keeps the strangers' files; None = everybody shares the home folder.
    Raises StudioError for a model of `policy` that is not in the library, ValueError for visitors without a folder.
    """
    if policy.visitors and visitors is None:
        raise ValueError("visitors need files of their own: open the studio by `launch`")
    engine.library = policy.library(engine.library)
    built: dict[str, Tab[Any]] = {}  # by id; only the tabs that are shown

    def forget(session: Session | None) -> None:
        """Free what a visitor used; Gradio calls it an hour after the page was closed."""
        if session is None:
            return
        try:
            for tab in built.values():
                tab.forget(session)
            if visitors is not None:
                visitors.end(session.workspace)
            if app.live is not None:
                app.live.forget(session)
        except Exception:  # an error would end the Gradio loop that calls this
            log.exception("what a visitor used could not be freed")

    saved = Gallery.at(get_settings().home)

    def gallery_of(session: Session) -> Gallery:
        return Gallery.at(session.workspace.folder) if session.workspace.guest else saved

    # Gradio deletes its files when it closes; before that `Visitors` does it, whatever the time of day is set to.
    cache = (DAY, 10_000 * DAY) if visitors is not None else None
    app = AppBlocks(title="GAN Studio", fill_width=True, analytics_enabled=False, delete_cache=cache)
    with app:
        app.strangers = policy.visitors
        gr.HTML(_MASTHEAD, padding=False)
        if visitors is not None:
            gr.HTML(note(_WELCOME), padding=False, elem_id="welcome")
        session = gr.State(delete_callback=forget)
        with gr.Tabs(selected=policy.shown[0], overflow_behavior="wrap") as tabs:
            datasets = None if policy.visitors else DataSetStore()
            page = Page(engine, session, tabs, policy, supervisor, datasets, gallery_of, built)
            labels = {}
            for id in policy.shown:
                with gr.Tab(TABS[id].title, id=id) as labels[id]:
                    built[id] = TABS[id].load()(page)
            connect(page)
        channel = page.live.build() if page.live.controls else None
        if channel is not None and not isinstance(engine, ZeroEngine):  # which is lent a GPU for one event at a time
            app.live = LiveEndpoint(page.live, visitors.browser_of if visitors is not None else None)
        _wire_opening(app, page, labels, visitors, _build_status(page), channel)
        _build_api(engine, visitors)
    return app


def _build_status(page: Page) -> Callable[[Callable[..., Dependency]], Dependency]:
    """The status line at the bottom, redrawn with every picture. Returns a function that makes another event redraw it too."""
    status = gr.HTML(note("Starting ..."), elem_id="status", padding=False)

    def describe() -> str:
        return status_html(page.engine)

    def describe_on(on: Callable[..., Dependency]) -> Dependency:
        return on(describe, None, status, **QUIET)

    for id, tab in page.built.items():
        if TABS[id].uses is not None:
            describe_on(tab.stage.change)
    return describe_on


def _wire_opening(
    app: AppBlocks,
    page: Page,
    labels: dict[str, gr.Tab],
    visitors: Visitors | None,
    describe_on: Callable[[Callable[..., Dependency]], Dependency],
    channel: gr.HTML | None,
) -> None:
    """What happens when the page or a tab is opened.  labels: of the tabs, by id.  channel: where the token of the live channel is."""
    explore = cast("ExploreTab | None", page.built.get("explore"))

    def begin(request: gr.Request) -> Outputs:
        new = open_session(page.engine, visitors, request)
        shown: Outputs = {page.session: new, **(explore.begin(new) if explore is not None else {})}
        if channel is not None and app.live is not None:
            shown[channel] = token_html(app.live.invite(new))
        return shown

    outputs = [page.session, *(explore.outputs if explore is not None else []), *([channel] if channel is not None else [])]
    opened = app.load(friendly(begin), None, outputs, **QUIET)
    opened = describe_on(opened.then)
    enter, first = entrances(page), page.policy.shown[0]
    if first in enter:  # the first tab is open without having been chosen
        opened = enter[first](opened.then)
    opened.then(None, None, None, js="() => { studioPlace.openTab(); studioLive.open(); }", **QUIET)
    app.load(None, None, None, js="() => studioPlace.theme()", **QUIET)
    # Pressed by static/page.js.
    gr.Button(visible="hidden", elem_id="still-there").click(lambda: None, None, None, **QUIET, trigger_mode="multiple")
    for id, entered in enter.items():
        entered(labels[id].select)


def _build_api(engine: Engine, visitors: Visitors | None) -> None:
    """The public endpoint `render`."""

    def render(recipe: dict | str) -> str:
        """A recipe -> a PNG with the recipe inside."""
        wanted = engine.stamped(Recipe.from_json(recipe if isinstance(recipe, str) else json.dumps(recipe)))
        folder = visitors.render_folder() if visitors is not None else Path(tempfile.mkdtemp(prefix="render-", dir=scratch()))
        return str(save_picture(engine.render(wanted), wanted, folder / f"{wanted.key()}.png"))

    with gr.Row(visible=False):
        recipe, picture, button = gr.JSON(), gr.Image(type="filepath", format="png"), gr.Button()
    button.click(friendly(render), recipe, picture, api_name="render", concurrency_id="work", concurrency_limit="default")


def launch(
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    auth: str | Sequence[str] | None = None,
    inbrowser: bool = True,
    device: str | None = None,
    block: bool = True,
    policy: ServingPolicy | None = None,
    auth_file: Path | None = None,
):
    """Open the studio. block=False returns (app, local URL, engine, supervisor) at once, for tests and notebooks.

    auth: one or several 'user:password'.  auth_file: a file with one per line.
    policy: what is offered; None = everything or, where strangers can open the studio (by a public link or an address that others
    reach, without a login), what visitors may use.  The supervisor is None without training.
    With visitors Gradio keeps all its files in their folder (GRADIO_TEMP_DIR of this process).
    """
    start_log()
    accounts = read_accounts([auth] if isinstance(auth, str) else auth or (), auth_file)
    if policy is None:
        policy = ServingPolicy(visitors=is_open_to_strangers(host, share, accounts))
    policy = _limited_to_disk(policy)
    if is_reachable(host, share):
        # Others must not reach into this network through the studio, nor use its owner's login.
        os.environ.setdefault("STUDIO_PRIVATE_URLS", "0")
    show_warnings(signing.LOG, gr.Warning)
    visitors = _open_visitors() if policy.visitors else None
    engine = make_engine(device, Throttle(get_settings().home).activity)
    if policy.editable:
        empty_trash(engine.library)
    supervisor = None
    try:
        if policy.training:
            launcher = choose_launcher()
            supervisor = Supervisor(launcher=launcher, slots=launcher.slots)
        app = build(engine, supervisor, policy, visitors)
        if accounts or visitors is not None:
            app.visitor_of = sender_of
        app.queue(max_size=policy.queue_size, default_concurrency_limit=policy.concurrency)
        url, public = _open(
            app,
            visitors,
            share,
            local_only=not (is_reachable(host, share) or accounts or policy.visitors),
            server_name=host,
            server_port=port,
            auth=Login(accounts) if accounts else None,
            inbrowser=inbrowser,
        )
    except BaseException:
        _close(engine, supervisor, visitors)
        raise
    if not block:
        return app, url, engine, supervisor
    print(f"GAN Studio is open at {url} (Ctrl-C closes it)", flush=True)
    _print_audience(share, public, visitors)
    try:
        with _ended_by_signals():
            app.block_thread()
    finally:
        _close(engine, supervisor, visitors)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within it, a request to end (kill, a closed terminal, a server that shuts down) ends the studio as Ctrl-C does: in good order."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only there can signals be handled
    # What is ignored, as under nohup, stays so.
    before = {n: signal.signal(n, _interrupt) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _limited_to_disk(policy: ServingPolicy) -> ServingPolicy:
    """The policy, without training and editing where the home cannot be written."""
    home = get_settings().home
    if can_write(home):
        return policy
    print(f"studio: The folder {home} is not writable: nothing can be saved or trained. Choose another with --home.", file=sys.stderr)
    tabs = policy.tabs and tuple(t for t in policy.tabs if t != "train")
    return dataclasses.replace(policy, training=False, editable=False, tabs=tabs)


def _open_visitors() -> Visitors:
    """The folder of the visitors' files, which becomes Gradio's too."""
    home = get_settings().home
    visitors = Visitors((home if can_write(home) else scratch()) / "visitors")
    os.environ["GRADIO_TEMP_DIR"] = str(visitors.folder)
    return visitors


def _open(app: AppBlocks, visitors: Visitors | None, share: bool, local_only: bool, **options) -> tuple[str, str | None]:
    """Start the server -> its local address, and its public one or None.

    local_only: whether it answers to names of this machine alone.  options: of `Blocks.launch`.
    """
    os.environ["GRADIO_RUN_HISTORY"] = "False"  # a browser used by several people would keep what each of them did
    middleware = [Middleware(VisitorMiddleware, visitors=visitors)] if visitors is not None else []
    if options.get("auth"):
        middleware.append(Middleware(LoginDelayMiddleware))
    if local_only:
        middleware.append(Middleware(LocalOnlyMiddleware, hosts=allowed_hosts()))
    printed = io.StringIO()
    with (
        _taken_port(options.get("server_port")),
        contextlib.redirect_stdout(printed) if share else contextlib.nullcontext(),
    ):  # Gradio's lines about the link; ours follow
        _, url, public = app.launch(
            share=share,
            theme=make_theme(),
            css=style_sheet(),
            head=page_head(),
            quiet=True,
            show_error=True,
            prevent_thread_lock=True,
            allowed_paths=[] if visitors is not None else [str(get_settings().outputs)],
            footer_links=[],
            _frontend=False,  # Gradio would ask for its own page once more, and not start when a busy machine takes 3 s for that
            max_file_size=MAX_UPLOAD_BYTES if visitors is not None else None,
            app_kwargs={
                "openapi_url": None,
                "middleware": middleware,
                "exception_handlers": {FnIndexInferError: no_such_function, KeyError: no_such_function},
            },  # FastAPI would list its routes to everyone
            **options,
        )
    if app.live is not None:
        app.live.add_to(app.app)
    app.limit_sessions(visitors.visitor_of if visitors is not None else lambda session: "")
    if lines := printed.getvalue().strip():
        log.info("%s", lines)
    return url, public


@contextlib.contextmanager
def _taken_port(port: int | None) -> Iterator[None]:
    """Says in a sentence that no port is free.  port: the one that was asked for, None = any of Gradio's."""
    try:
        yield
    except OSError as e:
        if "empty port" not in str(e):
            raise
        what = f"Port {port} is taken by another program" if port else "All ports from 7860 to 7959 are taken"
        raise StudioError(f"{what}.", "Close it, or choose another port with --port.") from None


def _print_audience(share: bool, public: str | None, visitors: Visitors | None) -> None:
    """Who can open the studio, for the console."""
    if public:
        print(f"Anyone can open it at {public} while this runs, for a week at most.", flush=True)
    elif share:
        print(
            "studio: No public link could be made. Check the internet connection; the studio is still open on this machine.",
            file=sys.stderr,
            flush=True,
        )
    if visitors is not None:
        print(
            "Visitors have files of their own and cannot train. With --auth USER:PASSWORD only people with a password can open it; they "
            "share your folder.",
            flush=True,
        )


def _close(engine: Engine, supervisor: Supervisor | None, visitors: Visitors | None) -> None:
    engine.close()
    if supervisor is not None:
        supervisor.close()
    if visitors is not None:
        visitors.close()
