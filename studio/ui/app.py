"""The studio in the browser: tabs joined over one engine."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.datasets.store import DataSets
from studio.engine.engine import Engine
from studio.engine.picture import save_picture
from studio.engine.recipe import Recipe
from studio.engine.zero import engine_here
from studio.errors import StudioError
from studio.jobs.courtesy import Courtesy
from studio.jobs.launchers.here import launcher_here
from studio.jobs.supervisor import Supervisor
from studio.networks import get_family
from studio.settings import get_settings, start_log
from studio.ui.arrival import arrive
from studio.ui.classes import ClassesTab
from studio.ui.components import QUIET, Opening, Target, friendly, note
from studio.ui.explore import ExploreTab, recipe_from_api
from studio.ui.mix import MixTab
from studio.ui.serving import TABS, Serving
from studio.ui.share import SharePage
from studio.ui.train import TrainTab
from studio.ui.theme import CSS, HEAD, THEME_TOGGLE_JS, make_theme
from studio.ui.translate import TranslateTab
from studio.ui.upscale import UpscaleTab

_MASTHEAD = f"""
<div id="masthead"><span class="mark" aria-hidden="true"></span><b>GAN Studio</b><span class="grow"></span>
<button type="button" onclick="{THEME_TOGGLE_JS}" aria-label="Dark or light">◐ Dark / light</button></div>
"""


def build(engine: Engine, supervisor: Supervisor | None, serving: Serving = Serving()) -> gr.Blocks:
    """The app over an engine and the queue of trainings (which may be None without the Train tab).

    Of the engine's library only the models of `serving` are left. The public API has one verb, `render`: a recipe (JSON) -> a PNG
    with the recipe inside. Raises StudioError for a model of `serving` that is not here.
    """
    engine.library = serving.library(engine.library)
    with gr.Blocks(title="GAN Studio", fill_width=True, analytics_enabled=False) as app:
        gr.HTML(_MASTHEAD, padding=False)
        session = gr.State()
        built: dict[str, Any] = {}  # id -> the tab; one that is not wanted is not there, and nobody sends anything to it
        with gr.Tabs(selected=serving.shown[0], overflow_behavior="wrap") as tabs:
            make = {
                "explore": lambda: ExploreTab(engine, session),
                "mix": lambda: MixTab(engine, session, built.get("explore"), tabs),
                "classes": lambda: ClassesTab(engine, session, DataSets()),
                "translate": lambda: TranslateTab(engine, session),
                "upscale": lambda: UpscaleTab(engine, session),
                "train": lambda: TrainTab(engine, session, built.get("explore"), tabs, supervisor, DataSets(), _openings(built)),
                "share": lambda: SharePage(engine, session),
            }
            pages = {}
            for id in serving.shown:
                with gr.Tab(TABS[id], id=id) as pages[id]:
                    built[id] = make[id]()
            _join(built, tabs)
        status = gr.HTML(note("Starting ..."), elem_id="status", padding=False)

        def describe() -> str:
            now = engine.status()
            parts = [f"model <b>{now['model'] or 'none'}</b>", f"device <b>{now['device']}</b> ({now['precision']})"]
            if now["last_ms"]:
                parts.append(f"<b>{now['last_ms']:.0f} ms</b> a picture")
            if now["steps_all"] and now["steps_run"] < now["steps_all"]:
                parts.append(f"{now['steps_run']} of {now['steps_all']} layers computed")
            return note(" · ".join(parts))

        for id in ("explore", "mix", "classes"):
            if id in built:
                built[id].stage.change(describe, None, status, **QUIET)
        explore = built.get("explore")

        def begin(request: gr.Request) -> list:
            new = arrive(engine, serving, request)
            return [new, *(explore.begin(new) if explore else [])]

        arrived = app.load(friendly(begin), None, [session, *(explore.outputs if explore else [])], **QUIET)
        arrived = arrived.then(describe, None, status, **QUIET)
        enter = _entrances(built, session)
        if serving.shown[0] in enter:  # the first tab is open without having been chosen
            arrived = enter[serving.shown[0]](arrived.then)
        arrived.then(None, None, None, js="() => studioPlace.openTab()", **QUIET)
        app.load(None, None, None, js="() => studioPlace.theme()", **QUIET)
        for id, entered in enter.items():
            entered(pages[id].select)

        with gr.Row(visible=False):
            api_recipe = gr.JSON()
            api_picture = gr.Image(type="filepath", format="png")
            api_button = gr.Button()

        def render(recipe: dict) -> str:
            """A recipe -> PNG with the recipe inside."""
            wanted: Recipe = engine.stamped(recipe_from_api(recipe))
            folder = Path(tempfile.mkdtemp(prefix="studio-render-"))
            return str(save_picture(engine.render(wanted), wanted, folder / f"{wanted.key()}.png"))

        api_button.click(friendly(render), api_recipe, api_picture, api_name="render", concurrency_limit=None)
    return app


def _openings(built: dict[str, Any]) -> list[Opening]:
    """Tabs where a model that was trained here can be opened, beside Explore."""
    known = [("translate", lambda model: get_family(model.family).translate), ("upscale", lambda model: get_family(model.family).upscale)]
    return [Opening(id, TABS[id], suits, built[id].open_model, built[id].enter_outputs) for id, suits in known if id in built]


def _join(built: dict[str, Any], tabs: gr.Tabs) -> None:
    """Buttons that send what one tab has made to another, where both are there."""
    explore, mix, upscale, train = (built.get(id) for id in ("explore", "mix", "upscale", "train"))

    def open_in_explore(session, recipe: Recipe) -> list:
        session.recipe = recipe
        return [gr.update(selected="explore"), *explore.show(session)]

    def open_in_train(session, path: Path, files: list[str] | None) -> list:
        return [gr.update(selected="train"), gr.update(selected="pictures"), [*(files or []), str(path)]]

    drawn = {}  # for what is drawn from noise
    if explore:
        drawn["explore"] = Target("explore", "Open in Explore", open_in_explore, [], [tabs, *explore.outputs])
    if mix:
        drawn["mix"] = mix.target
    if upscale:
        drawn["upscale"] = upscale.target(tabs)
    pictures = {id: built[id].image_target(tabs) for id in ("translate", "upscale") if id in built}  # for what is made from pictures
    if train:
        pictures["train"] = Target("train", "Use for training", open_in_train, [train.a.files], [tabs, train.steps, train.a.files])
    sent = {
        "explore": (drawn, ("upscale",)),
        "mix": (drawn, ("upscale",)),
        "classes": (drawn, ("explore", "mix", "upscale")),
        "translate": (pictures, ("upscale", "train")),
        "upscale": (pictures, ("translate", "train")),
    }
    for id, (targets, wanted) in sent.items():
        if id in built:
            built[id].add_targets([targets[name] for name in wanted if name in targets])


def _entrances(built: dict[str, Any], session: gr.State) -> dict[str, Callable]:
    """Id of a tab -> what is wired to the event after which it is in sight (`gr.Tab.select`, or `then` of another)."""

    def entrance(tab: Any, **options) -> Callable:
        return lambda on: on(friendly(tab.enter), [session, *tab.enter_inputs], tab.enter_outputs, **QUIET, **options)

    enter = {id: entrance(built[id]) for id in ("mix", "upscale", "share") if id in built}
    if classes := built.get("classes"):
        enter["classes"] = lambda on: entrance(classes)(on).then(
            friendly(classes.draw_chips), [session, classes.find], classes.chips, **QUIET
        )
    if translate := built.get("translate"):

        def enter_translate(on: Callable):
            entered = entrance(translate)(on)
            translate.opened(entered)
            return entered

        enter["translate"] = enter_translate
    if train := built.get("train"):
        enter["train"] = lambda on: entrance(train, js=train.enter_js)(on).then(
            None, None, None, js="() => studioPlace.openStep()", **QUIET
        )
    return enter


def parse_auth(auth: str | None) -> tuple[str, str] | None:
    """'user:password' -> both. Raises StudioError for another form."""
    if auth is None:
        return None
    user, colon, password = auth.partition(":")
    if not (user and colon and password):
        raise StudioError("--auth has no user and password.", "Write --auth user:password.")
    return user, password


def launch(
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    auth: str | None = None,
    inbrowser: bool = True,
    device: str | None = None,
    block: bool = True,
    serving: Serving | None = None,
):
    """Open the studio. block=False returns (app, local URL, engine, supervisor) at once, for tests and notebooks.

    serving: what is offered, None = everything.  The supervisor is None without training.
    """
    start_log()
    serving = serving or Serving()
    engine = engine_here(device, Courtesy(get_settings().home).mark)
    supervisor = None
    if serving.training:
        launcher = launcher_here()
        supervisor = Supervisor(launcher=launcher, slots=launcher.slots)
    app = build(engine, supervisor, serving)
    app.queue(default_concurrency_limit=None)
    _, url, _ = app.launch(
        server_name=host,
        server_port=port,
        share=share,
        auth=parse_auth(auth),
        inbrowser=inbrowser,
        theme=make_theme(),
        css=CSS,
        head=HEAD,
        quiet=True,
        show_error=True,
        prevent_thread_lock=True,
        allowed_paths=[str(get_settings().outputs)],
        footer_links=[],
    )
    if not block:
        return app, url, engine, supervisor
    print(f"GAN Studio is open at {url} (Ctrl-C closes it)", flush=True)
    try:
        app.block_thread()
    finally:
        engine.close()
        if supervisor is not None:
            supervisor.close()
