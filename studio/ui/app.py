"""The studio in the browser: tabs joined over one engine."""

import contextlib
import dataclasses
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from studio.common.files import can_write
from studio.common.log import show_warnings, start_log
from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.engine.zero_gpu import make_engine
from studio.gallery.gallery import Gallery
from studio.jobs.launchers.choose import choose_launcher
from studio.jobs.supervisor import Supervisor
from studio.jobs.throttle import Throttle
from studio.models.trash import empty_trash
from studio.provenance import signing
from studio.provenance.metadata import save_picture
from studio.settings import get_settings, scratch
from studio.ui.access.login import Login, read_accounts
from studio.ui.access.middleware import VisitorMiddleware
from studio.ui.access.new_visitor import open_session
from studio.ui.access.policy import ServingPolicy, is_open_to_strangers, is_reachable
from studio.ui.access.visitors import DAY, MOST_BYTES, Visitors
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.tab import Page, Tab
from studio.ui.components.targets import Opening
from studio.ui.connections import connect, entrances
from studio.ui.session import Session
from studio.ui.static import page_head, style_sheet
from studio.ui.tabs import TABS
from studio.ui.theme import make_theme

log = logging.getLogger(__name__)

_THEME_TOGGLE_JS = "studioPlace.dark(!document.body.classList.contains('dark'))"
_MASTHEAD = f"""
<div id="masthead"><span class="mark" aria-hidden="true"></span><b>GAN Studio</b><span class="grow"></span>
<button type="button" onclick="{_THEME_TOGGLE_JS}" aria-label="Dark or light">◐ Dark / light</button></div>
"""
_WELCOME = (
    "You share this studio with others, who see nothing of yours. What you hand in and make is deleted here when you have left, "
    f"or after a day: download what you want to keep. A file may have {MOST_BYTES >> 20} MB."
)


def build(
    engine: Engine, supervisor: Supervisor | None, policy: ServingPolicy = ServingPolicy(), visitors: Visitors | None = None
) -> gr.Blocks:
    """The app over an engine and the queue of trainings (which may be None without the Train tab).

    Of the engine's library only the models of `serving` are left. The public API has one verb, `render`: a recipe (JSON) -> a PNG
    with the recipe inside. visitors: where strangers have their files; None = all who come share the home.
    Raises StudioError for a model of `serving` that is not here, ValueError for strangers without a place.
    """
    if policy.visitors and visitors is None:
        raise ValueError("strangers need files of their own: open the studio by `launch`")
    engine.library = policy.library(engine.library)
    built: dict[str, Any] = {}  # id -> the tab; one that is not wanted is not there, and nobody sends anything to it

    def forget(session: Session | None) -> None:
        """An hour after a page was closed."""
        if session is None:
            return
        try:
            for tab in built.values():
                if hasattr(tab, "forget"):
                    tab.forget(session)
            if visitors is not None:
                visitors.end(session.workspace)
        except Exception:  # Gradio's loop, which calls this, would end
            log.exception("a visitor could not be forgotten")

    saved = Gallery.at(get_settings().home)

    def gallery_of(session: Session) -> Gallery:
        return Gallery.at(session.workspace.folder) if session.workspace.guest else saved

    cache = (3600, DAY) if visitors is not None else None
    with gr.Blocks(title="GAN Studio", fill_width=True, analytics_enabled=False, delete_cache=cache) as app:
        gr.HTML(_MASTHEAD, padding=False)
        if visitors is not None:
            gr.HTML(note(_WELCOME), padding=False, elem_id="welcome")
        session = gr.State(delete_callback=forget)
        with gr.Tabs(selected=policy.shown[0], overflow_behavior="wrap") as tabs:
            datasets = None if policy.visitors else DataSetStore()
            page = Page(engine, session, tabs, policy, supervisor, datasets, gallery_of, built)
            tab_labels = {}
            for id in policy.shown:
                with gr.Tab(TABS[id].title, id=id) as tab_labels[id]:
                    built[id] = _make_tab(id, page)
            connect(page)
        status = gr.HTML(note("Starting ..."), elem_id="status", padding=False)

        def describe() -> str:
            now = engine.status()
            parts = [f"model <b>{now['model'] or 'none'}</b>", f"device <b>{now['device']}</b> ({now['precision']})"]
            if now["last_ms"]:
                parts.append(f"<b>{now['last_ms']:.0f} ms</b> a picture")
            if now["steps_all"] and now["steps_run"] < now["steps_all"]:
                parts.append(f"{now['steps_run']} of {now['steps_all']} layers computed")
            return note(" · ".join(parts))

        for id, tab in built.items():
            if TABS[id].uses is not None:
                tab.stage.change(describe, None, status, **QUIET)
        explore = built.get("explore")

        def begin(request: gr.Request) -> Outputs:
            new = open_session(engine, visitors, request)
            return {session: new, **(explore.begin(new) if explore else {})}

        arrived = app.load(friendly(begin), None, [session, *(explore.outputs if explore else [])], **QUIET)
        arrived = arrived.then(describe, None, status, **QUIET)
        enter = entrances(page)
        if policy.shown[0] in enter:  # the first tab is open without having been chosen
            arrived = enter[policy.shown[0]](arrived.then)
        arrived.then(None, None, None, js="() => studioPlace.openTab()", **QUIET)
        app.load(None, None, None, js="() => studioPlace.theme()", **QUIET)
        # The page presses it by itself, see static/page.js.
        gr.Button(visible="hidden", elem_id="still-there").click(lambda: None, None, None, **QUIET, trigger_mode="multiple")
        for id, entered in enter.items():
            entered(tab_labels[id].select)

        with gr.Row(visible=False):
            api_recipe = gr.JSON()
            api_picture = gr.Image(type="filepath", format="png")
            api_button = gr.Button()

        def render(recipe: dict | str) -> str:
            """A recipe -> PNG with the recipe inside."""
            wanted = engine.stamped(Recipe.from_json(recipe if isinstance(recipe, str) else json.dumps(recipe)))
            folder = visitors.render_folder() if visitors is not None else Path(tempfile.mkdtemp(prefix="studio-render-"))
            return str(save_picture(engine.render(wanted), wanted, folder / f"{wanted.key()}.png"))

        api_button.click(friendly(render), api_recipe, api_picture, api_name="render", concurrency_id="work", concurrency_limit="default")
    return app


def _make_tab(id: str, page: Page) -> Any:
    tab_type = TABS[id].load()
    if issubclass(tab_type, Tab):
        return tab_type(page)
    openings = [Opening.of(target) for target in page.targets("model")]
    others = {
        "train": lambda: tab_type(page.engine, page.session, page.tabs, page.supervisor, DataSetStore(), openings),
        "models": lambda: tab_type(
            page.engine, page.session, page.tabs, openings, page.supervisor.jobs if page.supervisor else list, page.policy.editable
        ),
        "share": lambda: tab_type(page.engine, page.session),
    }
    return others[id]()


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

    auth: 'user:password', or several.  auth_file: a file with one on each line.
    policy: what is offered; None = everything, or what is fit for strangers when they may come (a public link or an address for
    others, without a login).  The supervisor is None without training.
    With visitors Gradio keeps all its files in their folder (GRADIO_TEMP_DIR of this process).
    """
    start_log()
    accounts = read_accounts([auth] if isinstance(auth, str) else auth or (), auth_file)
    if policy is None:
        policy = ServingPolicy(visitors=is_open_to_strangers(host, share, accounts))
    policy = _possible(policy)
    if is_reachable(host, share):
        # Others must not look around this network through the studio, nor use its owner's login.
        os.environ.setdefault("STUDIO_PRIVATE_URLS", "0")
    show_warnings(signing.LOG, gr.Warning)
    visitors = _visitors() if policy.visitors else None
    engine = make_engine(device, Throttle(get_settings().home).activity)
    if policy.editable:
        empty_trash(engine.library)
    supervisor = None
    try:
        if policy.training:
            launcher = choose_launcher()
            supervisor = Supervisor(launcher=launcher, slots=launcher.slots)
        app = build(engine, supervisor, policy, visitors)
        app.queue(max_size=policy.queue_size, default_concurrency_limit=policy.concurrency)
        url, public = _open(
            app, visitors, share, server_name=host, server_port=port, auth=Login(accounts) if accounts else None, inbrowser=inbrowser
        )
    except BaseException:
        _close(engine, supervisor, visitors)
        raise
    if not block:
        return app, url, engine, supervisor
    print(f"GAN Studio is open at {url} (Ctrl-C closes it)", flush=True)
    _tell(share, public, visitors)
    try:
        app.block_thread()
    finally:
        _close(engine, supervisor, visitors)


def _possible(policy: ServingPolicy) -> ServingPolicy:
    """Without training where nothing can be kept."""
    home = get_settings().home
    if can_write(home):
        return policy
    print(f"studio: The folder {home} cannot be written: nothing can be saved or trained there. --home names another.", file=sys.stderr)
    tabs = policy.tabs and tuple(t for t in policy.tabs if t != "train")
    return dataclasses.replace(policy, training=False, editable=False, tabs=tabs)


def _visitors() -> Visitors:
    home = get_settings().home
    visitors = Visitors((home if can_write(home) else scratch()) / "visitors")
    os.environ["GRADIO_TEMP_DIR"] = str(visitors.folder)
    return visitors


def _open(app: gr.Blocks, visitors: Visitors | None, share: bool, **options) -> tuple[str, str | None]:
    """Start the server -> its address here, and its public one, None when there is none."""
    os.environ["GRADIO_RUN_HISTORY"] = "False"  # a browser that several people use would keep what one of them did
    guarded: dict[str, Any] = {}
    if visitors is not None:
        guarded = {"middleware": [Middleware(VisitorMiddleware, visitors=visitors)]}
    said = io.StringIO()
    with contextlib.redirect_stdout(said) if share else contextlib.nullcontext():  # Gradio's words on the link; ours follow
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
            max_file_size=MOST_BYTES if visitors is not None else None,
            app_kwargs={"openapi_url": None, **guarded},  # FastAPI would list its routes to everyone
            **options,
        )
    if said.getvalue().strip():
        log.info("%s", said.getvalue().strip())
    return url, public


def _tell(share: bool, public: str | None, visitors: Visitors | None) -> None:
    if public:
        print(f"Everyone can open it at {public}, as long as this runs and for a week at most.", flush=True)
    elif share:
        print("studio: No public link could be made. Check the internet connection; here the studio is open.", file=sys.stderr, flush=True)
    if visitors is not None:
        print(
            "Visitors keep to files of their own and cannot train. With --auth USER:PASSWORD only your own people come in, and share "
            "your folder.",
            flush=True,
        )


def _close(engine: Engine, supervisor: Supervisor | None, visitors: Visitors | None) -> None:
    engine.close()
    if supervisor is not None:
        supervisor.close()
    if visitors is not None:
        visitors.close()
