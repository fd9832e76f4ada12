"""The studio in the browser: tabs joined over one engine."""

import contextlib
import dataclasses
import io
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
from studio.common.log import start_log
from studio.datasets.store import DataSetStore
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.engine.zero_gpu import make_engine
from studio.gallery.gallery import Gallery
from studio.jobs.launchers.choose import choose_launcher
from studio.jobs.supervisor import Supervisor
from studio.jobs.throttle import Throttle
from studio.models.manage import empty_trash
from studio.provenance.inspect import start as start_marks
from studio.provenance.metadata import save_picture
from studio.settings import get_settings, scratch
from studio.ui.access.arrival import arrive
from studio.ui.access.login import Login, read_accounts
from studio.ui.access.middleware import VisitorMiddleware
from studio.ui.access.serving import TABS, Serving, others_may_come, strangers_may_come
from studio.ui.access.visitors import DAY, MOST_BYTES, Visitors
from studio.ui.classes.tab import ClassesTab
from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.notes import note
from studio.ui.explore.tab import ExploreTab, recipe_from_api
from studio.ui.gallery.tab import GalleryTab
from studio.ui.mix.tab import MixTab
from studio.ui.models.tab import ModelsTab
from studio.ui.session import Session
from studio.ui.share.tab import ShareTab
from studio.ui.tabs import entrances, join, openings
from studio.ui.theme import CSS, HEAD, THEME_TOGGLE_JS, make_theme
from studio.ui.train.tab import TrainTab
from studio.ui.translate.tab import TranslateTab
from studio.ui.upscale.tab import UpscaleTab

log = logging.getLogger(__name__)

_MASTHEAD = f"""
<div id="masthead"><span class="mark" aria-hidden="true"></span><b>GAN Studio</b><span class="grow"></span>
<button type="button" onclick="{THEME_TOGGLE_JS}" aria-label="Dark or light">◐ Dark / light</button></div>
"""
_WELCOME = (
    "You share this studio with others, who see nothing of yours. What you hand in and make is deleted here when you have left, "
    f"or after a day: download what you want to keep. A file may have {MOST_BYTES >> 20} MB."
)


def build(engine: Engine, supervisor: Supervisor | None, serving: Serving = Serving(), visitors: Visitors | None = None) -> gr.Blocks:
    """The app over an engine and the queue of trainings (which may be None without the Train tab).

    Of the engine's library only the models of `serving` are left. The public API has one verb, `render`: a recipe (JSON) -> a PNG
    with the recipe inside. visitors: where strangers have their files; None = all who come share the home.
    Raises StudioError for a model of `serving` that is not here, ValueError for strangers without a place.
    """
    if serving.visitors and visitors is None:
        raise ValueError("strangers need files of their own: open the studio by `launch`")
    engine.library = serving.library(engine.library)
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
                visitors.end(session.place)
        except Exception:  # Gradio's loop, which calls this, would end
            log.exception("a visitor could not be forgotten")

    saved = Gallery.at(get_settings().home)

    def gallery_of(session: Session) -> Gallery:
        return Gallery.at(session.place.folder) if session.place.guest else saved

    cache = (3600, DAY) if visitors is not None else None
    with gr.Blocks(title="GAN Studio", fill_width=True, analytics_enabled=False, delete_cache=cache) as app:
        gr.HTML(_MASTHEAD, padding=False)
        if visitors is not None:
            gr.HTML(note(_WELCOME), padding=False, elem_id="welcome")
        session = gr.State(delete_callback=forget)
        with gr.Tabs(selected=serving.shown[0], overflow_behavior="wrap") as tabs:
            make = {
                "explore": lambda: ExploreTab(engine, session),
                "mix": lambda: MixTab(engine, session, built.get("explore"), tabs),
                "classes": lambda: ClassesTab(engine, session, None if serving.visitors else DataSetStore()),
                "translate": lambda: TranslateTab(engine, session),
                "upscale": lambda: UpscaleTab(engine, session),
                "gallery": lambda: GalleryTab(engine, session, gallery_of),
                "train": lambda: TrainTab(engine, session, tabs, supervisor, DataSetStore(), openings(built)),
                "models": lambda: ModelsTab(
                    engine, session, tabs, openings(built), supervisor.jobs if supervisor else list, serving.editable
                ),
                "share": lambda: ShareTab(engine, session),
            }
            pages = {}
            for id in serving.shown:
                with gr.Tab(TABS[id], id=id) as pages[id]:
                    built[id] = make[id]()
            join(built, tabs)
        status = gr.HTML(note("Starting ..."), elem_id="status", padding=False)

        def describe() -> str:
            now = engine.status()
            parts = [f"model <b>{now['model'] or 'none'}</b>", f"device <b>{now['device']}</b> ({now['precision']})"]
            if now["last_ms"]:
                parts.append(f"<b>{now['last_ms']:.0f} ms</b> a picture")
            if now["steps_all"] and now["steps_run"] < now["steps_all"]:
                parts.append(f"{now['steps_run']} of {now['steps_all']} layers computed")
            return note(" · ".join(parts))

        for id in ("explore", "mix", "classes", "translate", "upscale"):
            if id in built:
                built[id].stage.change(describe, None, status, **QUIET)
        explore = built.get("explore")

        def begin(request: gr.Request) -> list | Session:
            new = arrive(engine, visitors, request)
            return [new, *explore.begin(new)] if explore else new  # of a single output Gradio takes a list as its value

        arrived = app.load(friendly(begin), None, [session, *(explore.outputs if explore else [])], **QUIET)
        arrived = arrived.then(describe, None, status, **QUIET)
        enter = entrances(built, session)
        if serving.shown[0] in enter:  # the first tab is open without having been chosen
            arrived = enter[serving.shown[0]](arrived.then)
        arrived.then(None, None, None, js="() => studioPlace.openTab()", **QUIET)
        app.load(None, None, None, js="() => studioPlace.theme()", **QUIET)
        # The page presses it by itself, see theme.HEAD.
        gr.Button(visible="hidden", elem_id="still-there").click(lambda: None, None, None, **QUIET, trigger_mode="multiple")
        for id, entered in enter.items():
            entered(pages[id].select)

        with gr.Row(visible=False):
            api_recipe = gr.JSON()
            api_picture = gr.Image(type="filepath", format="png")
            api_button = gr.Button()

        def render(recipe: dict) -> str:
            """A recipe -> PNG with the recipe inside."""
            wanted: Recipe = engine.stamped(recipe_from_api(recipe))
            folder = visitors.render_folder() if visitors is not None else Path(tempfile.mkdtemp(prefix="studio-render-"))
            return str(save_picture(engine.render(wanted), wanted, folder / f"{wanted.key()}.png"))

        api_button.click(friendly(render), api_recipe, api_picture, api_name="render", concurrency_id="work", concurrency_limit="default")
    return app


def launch(
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    auth: str | Sequence[str] | None = None,
    inbrowser: bool = True,
    device: str | None = None,
    block: bool = True,
    serving: Serving | None = None,
    auth_file: Path | None = None,
):
    """Open the studio. block=False returns (app, local URL, engine, supervisor) at once, for tests and notebooks.

    auth: 'user:password', or several.  auth_file: a file with one on each line.
    serving: what is offered; None = everything, or what is fit for strangers when they may come (a public link or an address for
    others, without a login).  The supervisor is None without training.
    With visitors Gradio keeps all its files in their folder (GRADIO_TEMP_DIR of this process).
    """
    start_log()
    accounts = read_accounts([auth] if isinstance(auth, str) else auth or (), auth_file)
    if serving is None:
        serving = Serving(visitors=strangers_may_come(host, share, accounts))
    serving = _possible(serving)
    if others_may_come(host, share):
        # Others must not look around this network through the studio, nor use its owner's login.
        os.environ.setdefault("STUDIO_PRIVATE_URLS", "0")
    start_marks(gr.Warning)
    visitors = _visitors() if serving.visitors else None
    engine = make_engine(device, Throttle(get_settings().home).activity)
    if serving.editable:
        empty_trash(engine.library)
    supervisor = None
    try:
        if serving.training:
            launcher = choose_launcher()
            supervisor = Supervisor(launcher=launcher, slots=launcher.slots)
        app = build(engine, supervisor, serving, visitors)
        app.queue(max_size=serving.queue_size, default_concurrency_limit=serving.concurrency)
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


def _possible(serving: Serving) -> Serving:
    """Without training where nothing can be kept."""
    home = get_settings().home
    if can_write(home):
        return serving
    print(f"studio: The folder {home} cannot be written: nothing can be saved or trained there. --home names another.", file=sys.stderr)
    tabs = serving.tabs and tuple(t for t in serving.tabs if t != "train")
    return dataclasses.replace(serving, training=False, editable=False, tabs=tabs)


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
            css=CSS,
            head=HEAD,
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
