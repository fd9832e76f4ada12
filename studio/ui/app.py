"""The studio in the browser: tabs joined over one engine."""

import tempfile
from pathlib import Path

import gradio as gr

from studio.datasets.store import DataSets
from studio.engine.engine import Engine
from studio.engine.gallery import Gallery
from studio.engine.picture import save_picture
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.jobs.courtesy import Courtesy
from studio.jobs.launchers.here import launcher_here
from studio.jobs.supervisor import Supervisor
from studio.networks import get_family
from studio.settings import get_settings, start_log
from studio.ui.classes import ClassesTab
from studio.ui.components import QUIET, Opening, Target, friendly, note
from studio.ui.explore import ExploreTab, recipe_from_api
from studio.ui.gallery import GalleryTab
from studio.ui.mix import MixTab
from studio.ui.train import TrainTab
from studio.ui.theme import CSS, HEAD, THEME_TOGGLE_JS, make_theme
from studio.ui.translate import TranslateTab
from studio.ui.upscale import UpscaleTab

_MASTHEAD = f"""
<div id="masthead"><span class="mark" aria-hidden="true"></span><b>GAN Studio</b><span class="grow"></span>
<button type="button" onclick="{THEME_TOGGLE_JS}" aria-label="Dark or light">◐ Dark / light</button></div>
"""


def build(engine: Engine, supervisor: Supervisor) -> gr.Blocks:
    """The app over an engine and the queue of trainings. Its public API has one verb, `render`: a recipe (JSON) -> a PNG with the recipe inside."""
    with gr.Blocks(title="GAN Studio", fill_width=True, analytics_enabled=False) as app:
        gr.HTML(_MASTHEAD, padding=False)
        session = gr.State()
        with gr.Tabs(selected="explore", overflow_behavior="wrap") as tabs:
            with gr.Tab("Explore", id="explore"):
                explore = ExploreTab(engine, session)
            with gr.Tab("Mix", id="mix") as mix_tab:
                mix = MixTab(engine, session, explore, tabs)

            def open_in_explore(session, recipe: Recipe) -> list:
                session.recipe = recipe
                return [gr.update(selected="explore"), *explore.show(session)]

            with gr.Tab("Classes", id="classes") as classes_tab:
                classes = ClassesTab(engine, session, DataSets())
            with gr.Tab("Translate", id="translate") as translate_tab:
                translate = TranslateTab(engine, session)
            with gr.Tab("Upscale", id="upscale") as upscale_tab:
                upscale = UpscaleTab(engine, session)
            saved = Gallery.at(get_settings().home)
            with gr.Tab("Gallery", id="gallery") as gallery_tab:
                gallery = GalleryTab(engine, session, lambda session: saved)
            with gr.Tab("Train", id="train") as train_tab:
                openings = [
                    Opening("translate", "Translate", lambda model: get_family(model.family).translate, translate.open_model, translate.enter_outputs),
                    Opening("upscale", "Upscale", lambda model: get_family(model.family).upscale, upscale.open_model, upscale.enter_outputs),
                ]
                train = TrainTab(engine, session, explore, tabs, supervisor, DataSets(), openings)

            def open_in_train(session, path: Path, files: list[str] | None) -> list:
                return [gr.update(selected="train"), gr.update(selected="pictures"), [*(files or []), str(path)]]

            to_train = Target("train", "Use for training", open_in_train, [train.a.files], [tabs, train.steps, train.a.files])
            translate.add_targets([upscale.image_target(tabs), to_train])
            upscale.add_targets([translate.image_target(tabs), to_train])
            to_explore = Target("explore", "Open in Explore", open_in_explore, [], [tabs, *explore.outputs])
            to_upscale = upscale.target(tabs)
            explore.add_targets([to_upscale])
            mix.add_targets([to_upscale])
            classes.add_targets([to_explore, mix.target, to_upscale])
            gallery.add_openings(tabs, explore, [translate, upscale])
            gallery.add_targets([translate.image_target(tabs), upscale.image_target(tabs), to_train])
        status = gr.HTML(note("Starting ..."), elem_id="status", padding=False)

        def describe() -> str:
            now = engine.status()
            parts = [f"model <b>{now['model'] or 'none'}</b>", f"device <b>{now['device']}</b> ({now['precision']})"]
            if now["last_ms"]:
                parts.append(f"<b>{now['last_ms']:.0f} ms</b> a picture")
            if now["steps_all"] and now["steps_run"] < now["steps_all"]:
                parts.append(f"{now['steps_run']} of {now['steps_all']} layers computed")
            return note(" · ".join(parts))

        for stage in (explore.stage, mix.stage, classes.stage):
            stage.change(describe, None, status, **QUIET)
        app.load(friendly(explore.begin), None, [session, *explore.outputs], **QUIET).then(describe, None, status, **QUIET).then(
            None, None, None, js="() => studioPlace.openTab()", **QUIET
        )
        app.load(None, None, None, js="() => studioPlace.theme()", **QUIET)
        mix_tab.select(friendly(mix.enter), [session, *mix.enter_inputs], mix.enter_outputs, **QUIET)
        classes_tab.select(friendly(classes.enter), [session, *classes.enter_inputs], classes.enter_outputs, **QUIET).then(
            friendly(classes.draw_chips), [session, classes.find], classes.chips, **QUIET
        )
        translate.opened(
            translate_tab.select(friendly(translate.enter), [session, translate.direction], translate.enter_outputs, **QUIET)
        )
        upscale_tab.select(friendly(upscale.enter), session, upscale.enter_outputs, **QUIET)
        gallery.opened(gallery_tab.select(friendly(gallery.enter), session, gallery.enter_outputs, **QUIET))
        train_tab.select(friendly(train.enter), [session, *train.enter_inputs], train.enter_outputs, js=train.enter_js, **QUIET).then(
            None, None, None, js="() => studioPlace.openStep()", **QUIET
        )

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
):
    """Open the studio. block=False returns (app, local URL, engine, supervisor) at once, for tests and notebooks."""
    start_log()
    engine = Engine(device=device, on_wish=Courtesy(get_settings().home).mark)
    launcher = launcher_here()
    supervisor = Supervisor(launcher=launcher, slots=launcher.slots)
    app = build(engine, supervisor)
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
        supervisor.close()
