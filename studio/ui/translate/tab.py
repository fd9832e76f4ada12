"""Translate: one's own pictures and videos through a model that turns one kind of picture into another."""

import html
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from PIL import Image

from studio.common.progress import Cancel
from studio.common.text import safe_filename
from studio.engine.image_recipe import MAX_REPEATS, ImageRecipe
from studio.errors import StudioError
from studio.imaging.blending import blend
from studio.imaging.xmp import DigitalSourceType
from studio.models.folder import ModelInfo
from studio.networks import Task
from studio.outputs.batches import SourcePicture, open_source, reduced
from studio.outputs.video_translation import first_frame
from studio.provenance.metadata import encode_signed, save_picture
from studio.provenance.policy import file_stem
from studio.provenance.source_pictures import keep_source
from studio.ui.components.compare import alone_html, compare, compare_html, figures_html, pairs_html, view
from studio.ui.components.handlers import LIVE, QUIET, WORK, friendly
from studio.ui.components.image_tab import TILES, ImageTab, ImageVisit, inside, known_tile, need_video, percent
from studio.ui.components.notes import empty_html, note, refusal_html
from studio.ui.components.press_grid import press_grid
from studio.ui.components.progress import WorkProgress, time_left, time_spent
from studio.ui.components.tab import Page
from studio.ui.session import Session
from studio.ui.translate.view import LOUDER, from_training, lost_in_words, what_was_lost

DIRECTIONS = {"AtoB": "A to B", "BtoA": "B to A"}
_EXAMPLE = 192  # px of an example on the strip
_QUICK = 768  # px: enough to see what was lost on the way back, and what a video will look like
_KEPT_BYTES = 1 << 30  # of pictures that all visitors together have open
_NOTHING = (
    "<b>No model here turns a picture into another.</b><br>Train one in the Train tab from two heaps of pictures, or import a CycleGAN "
    "or pix2pix checkpoint with <code>studio import FILE</code>; it then appears here."
)
_BEGIN = "<b>Give it a picture.</b><br>Drop one, paste it or take one with the camera. The result appears here at the picture's own size."


@dataclass
class TranslateVisit(ImageVisit):
    """What one visitor does here.

    source: the picture that was given, opened.  done: its result is on the page.
    raws: how often in a row -> what the network made of the picture, before strength and colour.  key: what else they hang on.
    views: source and raw as large as they are shown.  recoloured: the latter in the colours of the former.
    All but the path may be let go to save memory, and is made again when it is wanted.
    """

    source: SourcePicture | None = None
    done: bool = False
    raws: dict[int, Image.Image] = field(default_factory=dict)
    key: tuple = ()
    views: tuple[Image.Image, Image.Image] | None = None
    recoloured: Image.Image | None = None

    def let_go(self) -> None:
        """Forget what takes memory."""
        self.source, self.raws, self.key, self.views, self.recoloured = None, {}, (), None, None

    def opened(self) -> SourcePicture:
        """The picture that was given. Raises StudioError when there is none."""
        if self.path is None:
            raise StudioError("There is no picture yet.", "Give it one first.")
        self.source = self.source or open_source(self.path)
        return self.source


class TranslateTab(ImageTab):
    """Builds the tab inside the current Blocks and wires it. `add_targets` adds where results can be sent to."""

    id, verb, made, state_type = "translate", "Translate", "translated", TranslateVisit

    def __init__(self, page: Page):
        self._examples: dict[tuple, str] = {}
        super().__init__(page)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.nothing = gr.HTML(empty_html(_NOTHING), visible=False, padding=False, elem_id="translate-nothing")
        with gr.Row(equal_height=False, elem_id="translate-page") as self.body:
            with gr.Column(scale=6, min_width=320, elem_id="translate-left"):
                self._build_one()
                self._build_many("Each is translated at its own size with the settings beside.")
                stage = compare(value="", visible=False, elem_id="translate-clip-stage", render=False)
                self._build_clip(
                    "Every frame is translated; size, timing and sound stay. The first frame shows what it will look like.", stage, "light"
                )
            with gr.Column(scale=4, min_width=320, elem_id="translate-right"):
                self._build_input()
                with gr.Column(elem_id="translate-settings"):
                    self.model = gr.Dropdown([], label="Model", elem_id="translate-model")
                    self.direction = gr.Radio([], label="Which way (direction)", elem_id="translate-direction")
                    self.examples_note = gr.HTML("", padding=False, visible=False)
                    self.examples = press_grid(elem_id="translate-examples", visible=False)
                    self.strength = gr.Slider(
                        0,
                        100,
                        100,
                        step=1,
                        label="How much of it (strength, %)",
                        elem_id="translate-strength",
                        info="100 is the model's picture, 0 your own; between them both are blended.",
                    )
                    self.keep = gr.Checkbox(
                        False,
                        label="Keep my colours (luminance only)",
                        elem_id="translate-keep",
                        info="Light and dark come from the model, the colours from your picture.",
                    )
                    self.repeat = gr.Slider(
                        1,
                        MAX_REPEATS,
                        1,
                        step=1,
                        label="Times in a row (repeat)",
                        elem_id="translate-repeat",
                        info="The result goes in again: more of the same, and stranger.",
                    )
                    with gr.Accordion("Advanced", open=False):
                        self.tile = gr.Dropdown(
                            TILES,
                            value=0,
                            label="In pieces (tile size)",
                            elem_id="translate-tile",
                            info="Pictures go through the model piece by piece; the result is the same. Smaller pieces need less memory.",
                        )

    def _build_one(self) -> None:
        with gr.Column(elem_id="translate-one") as self.one:
            self.stage = compare(value=empty_html(_BEGIN), elem_id="translate-stage")
            self.told = gr.HTML("", padding=False, visible=False, elem_id="translate-told")
            with gr.Row(elem_classes="gs-tools", visible=False) as self.tools:
                self.save = gr.Button("Save picture", variant="primary", elem_id="translate-save")
                self.back = gr.Button("The way back", visible=False, elem_id="translate-back")
            self.stop = gr.Button("Stop", visible=False, elem_id="translate-stop")
            self.again = gr.Button("Go on: translate it", visible=False, elem_id="translate-again")
            self.saved = gr.HTML("", visible=False, padding=False, elem_id="translate-saved")
            self.download = gr.DownloadButton("Download it (PNG)", visible=False, elem_id="translate-download")
            self.back_view = gr.HTML("", visible=False, padding=False, elem_id="translate-back-view")

    @property
    def settings(self) -> list:
        """What is done to a picture."""
        return [self.model, self.direction, self.strength, self.keep, self.repeat, self.tile]

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s, inputs = self.session, [self.session, *self.settings]
        shown, run_after = self._shown, self._run_after
        self._wire_intake()
        run_after(self.arrived.change(friendly(self._open_arrived), s, shown, **QUIET))
        run_after(self.picture.input(friendly(self._open), [s, self.picture], [*shown, self.picture], **QUIET, trigger_mode="multiple"))
        run_after(self.examples.select(friendly(self._open_example), [s, self.model, self.direction], shown, **QUIET))
        choosing = self.model.input(friendly(self._choose_model), [s, self.model, self.direction], self.direction, **QUIET)
        for event in (choosing, self.direction.input(friendly(lambda session: None), s, None, **QUIET)):
            run_after(event)
            event.success(friendly(self._draw_examples), [self.model, self.direction], [self.examples_note, self.examples], **QUIET)
        for trigger in (self.repeat.release, self.tile.input, self.again.click):
            run_after(trigger(friendly(lambda session: None), s, None, **QUIET))
        gr.on([self.strength.change, self.keep.change], friendly(self._blend_live), inputs, [self.stage, self.saved, self.download], **LIVE)
        self.stop.click(lambda session: self._visit(session).stop.set(), s, None, **QUIET)
        self.save.click(
            friendly(self._save),
            inputs,
            [self.saved, self.download],
            show_progress="minimal",
            show_progress_on=self.saved,
            api_visibility="private",
            concurrency_limit=None,
        )
        self.back.click(friendly(self._way_back), inputs, self.back_view, show_progress_on=self.back_view, **WORK)

        look = (self.model.input, self.direction.input, self.strength.release, self.keep.input, self.repeat.release)
        gr.on(
            [self.video.change, *look],
            friendly(self._first_frame),
            [self.video, *self.settings],
            [self.clip_stage, self.clip_facts],
            **LIVE,
        )

    @property
    def _shown(self) -> list:
        """What a result changes."""
        return [self.stage, self.told, self.tools, self.back, self.saved, self.download, self.back_view, self.again]

    def after_enter(self, entered):
        """What follows on `enter`: an example as a first result, where the model has any, then all of them."""
        shown = self._shown
        self._run_after(entered.success(friendly(self._open_first), [self.session, self.model, self.direction], shown, **QUIET))
        entered.success(friendly(self._draw_examples), [self.model, self.direction], [self.examples_note, self.examples], **QUIET)
        return entered

    # -- opening -------------------------------------------------------------------------------------------------

    @property
    def enter_inputs(self) -> list:
        """Inputs of `enter` after the session."""
        return [self.direction]

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [self.nothing, self.body, self.model, self.direction]

    def enter(self, session: Session, direction: str | None) -> list:
        """When the tab is opened: the models there are now, and the one of before."""
        visit, found = self._visit(session), self._models()
        if not found:
            return [gr.update(visible=True), gr.update(visible=False), *[gr.skip()] * (len(self.enter_outputs) - 2)]
        ids = [m.id for m in found]
        visit.model = visit.model if visit.model in ids else ids[0]
        choices = gr.update(choices=[(m.title, m.id) for m in found], value=visit.model, interactive=len(found) > 1)
        return [gr.update(visible=False), gr.update(visible=True), choices, self._choose_model(session, visit.model, direction)]

    def _models(self) -> list[ModelInfo]:
        return [m for m in self.engine.library.scan()[0] if m.task is Task.TRANSLATE]

    def _choose_model(self, session: Session, model: str, direction: str | None) -> dict:
        """For the direction: the ways that the model knows."""
        visit = self._visit(session)
        visit.model = self.engine.library.get(model).id
        known = self.engine.model(visit.model).directions
        direction = direction if direction in known else known[0]
        return gr.update(choices=[(self._way(visit.model, d), d) for d in known], value=direction, interactive=len(known) > 1)

    def _way(self, model: str, direction: str) -> str:
        """A direction in words: with the names of both sides, when the model's folder says them (extra.sides)."""
        sides = self.engine.library.get(model).extra.get("sides")
        if not (isinstance(sides, list) and len(sides) == 2 and all(isinstance(x, str) for x in sides)):
            return DIRECTIONS[direction]
        there, here = sides if direction == "AtoB" else sides[::-1]
        return f"{DIRECTIONS[direction]}: {there} to {here}"

    def _draw_examples(self, model: str | None, direction: str | None) -> list:
        """For [examples_note, examples]: pictures that came with the model, before and after; made the first time."""
        if not model:
            return [gr.skip(), gr.skip()]
        info = self.engine.library.get(model)
        key = (info.hash, direction)
        if key not in self._examples:
            pairs = []
            for path in info.examples(direction[0]):
                before = reduced(open_source(path).picture, _EXAMPLE)
                pairs.append((before, self.engine.translate(ImageRecipe(model, direction=direction), before)))
            self._examples[key] = pairs_html(pairs) if pairs else ""
        strip = self._examples[key]
        text = note("<b>Before and after.</b> Press one to try it.") if strip else from_training(info, direction)
        return [gr.update(value=text, visible=bool(text)), gr.update(value=strip, visible=bool(strip))]

    def _restored_settings(self, session: Session, recipe: ImageRecipe) -> dict:
        """Component -> value: the settings of a recipe, whose model the visit has already."""
        self._visit(session).done = False
        return {
            **dict(zip(self.enter_outputs, self.enter(session, recipe.direction), strict=True)),
            self.strength: percent(recipe.strength),
            self.keep: recipe.keep_colour,
            self.repeat: recipe.repeat,
            self.tile: known_tile(recipe.tile),
        }

    # -- one picture ---------------------------------------------------------------------------------------------

    def _blank(self, stage: str) -> list:
        """The page without a result, for `_shown`."""
        off = gr.update(visible=False)
        return [stage, *[off] * (len(self._shown) - 1)]

    def _open(self, session: Session, path: str | None) -> list:
        """A picture was given, or taken away again."""
        visit = self._visit(session)
        visit.stop.set()
        visit.let_go()
        visit.path, visit.done = path and Path(path), False
        if path is None:
            return [*self._blank(empty_html(_BEGIN)), gr.skip()]
        try:
            picture = visit.opened().picture
        except StudioError as e:
            visit.path = None
            return [*self._blank(refusal_html(e)), None]
        return [*self._blank(alone_html(view(picture), "Your picture")), gr.skip()]

    def _open_example(self, session: Session, model: str, direction: str, event: gr.EventData) -> list:
        files, index = self.engine.library.get(model).examples(direction[0]), event._data.get("index")
        if not (isinstance(index, int) and 0 <= index < len(files)):
            raise StudioError("That example is no longer here.", "Press another.")
        return self._open(session, str(files[index]))[:-1]

    def _open_first(self, session: Session, model: str | None, direction: str | None) -> list:
        """The first screen shows a result already."""
        files = self.engine.library.get(model).examples(direction[0]) if model and direction else []
        if self._visit(session).path is not None or not files:
            return [gr.skip()] * len(self._shown)
        return self._open(session, str(files[0]))[:-1]

    def _open_arrived(self, session: Session) -> list:
        """Another tab has sent a picture."""
        path = self._visit(session).path
        return self._open(session, path and str(path))[:-1]

    def _run(
        self,
        session: Session,
        model: str,
        direction: str,
        strength: float,
        keep_colour: bool,
        repeat: float,
        tile: int,
        progress: gr.Progress = gr.Progress(),
    ) -> list:
        visit = self._visit(session)
        if visit.path is None or not model:
            return [gr.skip()] * len(self._shown)
        path, source, stop, began = visit.path, visit.opened(), visit.stop, time.perf_counter()
        try:
            recipe = _recipe(model, direction, strength, keep_colour, repeat, tile)
            raw = self._raw(session, visit, recipe, stop.is_set, WorkProgress(progress, "Translating"))
        except CancelledError:
            if stop is not visit.stop or visit.path is not path:
                raise  # another picture or wish came
            unchanged = [gr.skip()] * (len(self._shown) - 3)
            return [gr.skip(), gr.update(value=note("Stopped."), visible=True), *unchanged, gr.update(visible=True)]
        if visit.path is not path:
            raise CancelledError()  # another picture came at the last moment
        visit.views, visit.recoloured, visit.done = (view(source.picture), view(raw)), None, True
        return self._show(visit, recipe, time.perf_counter() - began)

    def _show(self, visit: TranslateVisit, recipe: ImageRecipe, seconds: float) -> list:
        width, height = visit.source.picture.size
        parts = [f"<b>{width:,} x {height:,} px</b>", time_spent(seconds)]
        if max(width, height) > max(visit.views[0].size):
            parts.append("shown smaller here; saved at its own size")
        if visit.source.picture.mode == "RGBA":
            parts.append("what was transparent stays so")
        if visit.source.remark:
            parts.append(html.escape(visit.source.remark))
        both = gr.update(visible=len(self.engine.model(recipe.model).directions) > 1)
        on, off = gr.update(visible=True), gr.update(visible=False)
        return [self._compared(visit, recipe), gr.update(value=note(" · ".join(parts)), visible=True), on, both, off, off, off, off]

    def _compared(self, visit: TranslateVisit, recipe: ImageRecipe) -> str:
        before, after = visit.views
        if recipe.keep_colour:
            after = visit.recoloured = visit.recoloured or blend(before, after, keep_colour=True)
        after = blend(before, after, recipe.strength)
        return compare_html(before, after, f"Your picture, translated {self._way(recipe.model, recipe.direction)}")

    def _blend_live(self, session: Session, *settings) -> list:
        """Strength and colour move: both pictures are there already, and are blended as large as they are shown."""
        visit = self._visit(session)
        if not visit.done:
            return [gr.skip()] * 3
        recipe = _recipe(*settings)
        if visit.views is None:  # let go meanwhile
            visit.views = (view(visit.opened().picture), view(self._raw(session, visit, recipe)))
        return [self._compared(visit, recipe), *[gr.update(visible=False)] * 2]

    def _raw(
        self,
        session: Session,
        visit: TranslateVisit,
        recipe: ImageRecipe,
        cancel: Cancel | None = None,
        progress: WorkProgress | None = None,
    ) -> Image.Image:
        """What the network makes of the open picture, without strength and colour; what was made before is kept for the visit."""
        source = visit.opened()
        key = (source.hash, self.engine.library.get(recipe.model).hash, recipe.direction, recipe.tile)
        if visit.key != key:
            visit.raws, visit.key = {}, key
        raws, once = visit.raws, recipe.replace(strength=1.0, keep_colour=False, repeat=1)
        first = max((n for n in raws if n <= recipe.repeat), default=0)
        picture = raws.get(first, source.picture)
        for n in range(first, recipe.repeat):
            turn = progress and progress.part(n - first, recipe.repeat - first)
            picture = raws[n + 1] = self.engine.translate(once, picture, turn, cancel)
        self._remember(session, sum(p.width * p.height * len(p.getbands()) for p in (source.picture, *raws.values())), _KEPT_BYTES)
        return picture

    def _save(self, session: Session, *settings) -> list:
        path = self._saved_file(session, *settings)
        return [gr.update(value=note(session.workspace.saved_note(path, inside())), visible=True), gr.update(value=str(path), visible=True)]

    def _saved_file(self, session: Session, *settings) -> Path:
        """The result at its own size, as a PNG. Raises StudioError when there is none."""
        visit, recipe = self._visit(session), _recipe(*settings)
        source = visit.opened()
        picture = blend(source.picture, self._raw(session, visit, recipe), recipe.strength, recipe.keep_colour)
        recipe = self.engine.stamped(recipe.replace(source=keep_source(source.path, session.workspace.sources)))
        return save_picture(picture, recipe, self._output(session, file_stem(f"{safe_filename(source.path.stem)}-{recipe.model}"), ".png"))

    # -- the way back --------------------------------------------------------------------------------------------

    def _way_back(self, session: Session, model: str, direction: str, *_, progress: gr.Progress = gr.Progress()) -> dict:
        """There and back again, beside the source, with what was lost."""
        source = reduced(self._visit(session).opened().picture, _QUICK)
        other = next(d for d in DIRECTIONS if d != direction)
        progress(0.0, desc="There")
        there = self.engine.translate(ImageRecipe(model, direction=direction), source)
        progress(0.5, desc="And back")
        back = self.engine.translate(ImageRecipe(model, direction=other), there)
        difference, lost = what_was_lost(source, back)
        words = lost_in_words(lost)
        text = note(
            f"<b>The way back (cycle).</b> {words} A colour value differs by <b>{lost * 100:.1f} %</b> on average "
            f"(mean absolute difference, {lost * 255:.1f} of 255 levels)."
        )
        figures = figures_html(
            [
                (source, "Your picture", None),
                (there, self._way(model, direction), DigitalSourceType.COMPOSITE),
                (back, self._way(model, other), DigitalSourceType.COMPOSITE),
                (difference, f"What was lost, {LOUDER} times brighter than it is", DigitalSourceType.COMPOSITE),
            ]
        )
        return gr.update(value=text + figures, visible=True)

    # -- several pictures ----------------------------------------------------------------------------------------

    def _make_many(self, session: Session, files: list[str] | None, *settings, progress: gr.Progress = gr.Progress()) -> list:
        recipe = self.engine.stamped(_recipe(*settings))

        def make(source: SourcePicture, told: Callable, stop: Callable) -> tuple[Image.Image, bytes]:
            picture = self.engine.translate(recipe, source.picture, told, stop)
            return picture, encode_signed(picture, recipe.replace(source=keep_source(source.path, session.workspace.sources)))

        about = f"Model: {self.engine.library.get(recipe.model).title}, {self._way(recipe.model, recipe.direction)}."
        return self._into_zip(session, files, make, open_source, recipe.model, about, progress)

    # -- a video -------------------------------------------------------------------------------------------------

    def _first_frame(self, video: str | None, *settings) -> list:
        """What the video will look like, and how long it will take: for [clip_stage, clip_facts]."""
        if not video:
            return [gr.update(value="", visible=False)] * 2
        try:
            frame, count = first_frame(video)
        except StudioError as e:
            return [gr.update(value=refusal_html(e), visible=True), gr.update(visible=False)]
        shown, began = reduced(frame, _QUICK), time.perf_counter()
        result = self.engine.translate(_recipe(*settings), shown)
        spent = (time.perf_counter() - began) * (frame.width * frame.height) / (shown.width * shown.height)
        facts = f"<b>{frame.width:,} x {frame.height:,} px</b>"
        facts += f" · {count:,} frames · {time_left(count * spent)} of work, by the first frame" if count else ""
        return [
            gr.update(value=compare_html(shown, result, "The first frame, translated"), visible=True),
            gr.update(value=note(facts), visible=True),
        ]

    def _make_clip(self, session: Session, video: str | None, smoothing: str, *settings, progress: gr.Progress = gr.Progress()) -> list:
        recipe = self.engine.stamped(_recipe(*settings))
        return self._into_clip(session, need_video(video), smoothing, recipe, self.engine.translate, progress)


def _recipe(model: str | None, direction: str | None, strength: float, keep_colour: bool, repeat: float, tile: int) -> ImageRecipe:
    """The settings on the page."""
    if not model or not direction:
        raise StudioError("No model is chosen.", "Choose one first.")
    return ImageRecipe(
        model, direction=direction, strength=float(strength) / 100, keep_colour=bool(keep_colour), repeat=int(repeat), tile=int(tile)
    )
