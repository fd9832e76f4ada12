"""Base of the tabs that make a picture from a picture: one picture or animation, several, or a video; and what other tabs can open here."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import gradio as gr
from gradio.events import Dependency
from PIL import Image

from studio.engine.image_recipe import ImageRecipe
from studio.errors import StudioError
from studio.models.folder import ModelInfo
from studio.ui.components.animation_panel import AnimationPanel
from studio.ui.components.batch_panel import BatchJob, BatchPanel
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.image_reopen import source_of
from studio.ui.components.image_state import ImageState, PictureBudget
from studio.ui.components.notes import empty_html
from studio.ui.components.result_panel import ResultPanel
from studio.ui.components.source_input import ONE, SEVERAL, VIDEO, SourceInput
from studio.ui.components.tab import Page, Tab
from studio.ui.components.targets import Target
from studio.ui.components.video_panel import FramePreview, VideoJob, VideoPanel
from studio.ui.session import Session
from studio.ui.tabs import TABS

S = TypeVar("S", bound=ImageState)


class ImageTab(Tab[S], ABC):
    """An image tab. Subclasses declare the texts below, make the result's panel and the settings, and say what is done to pictures.

    verb, done: what happens to a picture, on buttons and in sentences.  no_model: HTML while there is no model.
    batch_words, video_words: sentences in the panels of both.  smoothing: of videos, chosen at first.
    budget_bytes: memory and disk for what all visitors have open.
    """

    verb: ClassVar[str]
    done: ClassVar[str]
    no_model: ClassVar[str]
    batch_words: ClassVar[str]
    video_words: ClassVar[str]
    smoothing: ClassVar[str] = "none"
    budget_bytes: ClassVar[int]

    result: ResultPanel[S]  # made by `_build_result`
    model: gr.Dropdown  # made by `_build_settings`

    def __init__(self, page: Page):
        self._budget = PictureBudget(self.budget_bytes)
        super().__init__(page)

    def forget(self, session: Session) -> None:
        """The visitor has left."""
        self._budget.forget(session.id)
        super().forget(session)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.arrived = gr.State("")  # changes when another tab sends a picture
        self.nothing = gr.HTML(empty_html(self.no_model), visible=False, padding=False, elem_id=f"{self.id}-nothing")
        with gr.Row(equal_height=False, elem_id=f"{self.id}-page") as self.body:
            with gr.Column(scale=6, min_width=320, elem_id=f"{self.id}-left"):
                with gr.Column(elem_id=f"{self.id}-one") as one:
                    self.result = self._build_result()
                    self.animation = AnimationPanel(self.id, self.verb)
                self.batch = BatchPanel(self.id, self.verb, self.done, self.batch_words)
                self.video = VideoPanel(self.id, self.verb, self.video_words, self.smoothing)
            with gr.Column(scale=4, min_width=320, elem_id=f"{self.id}-right"):
                panels = {ONE: one, SEVERAL: self.batch.column, VIDEO: self.video.column}
                self.source = SourceInput(self.id, self.verb, panels)
                with gr.Column(elem_id=f"{self.id}-settings"):
                    self._build_settings()

    @abstractmethod
    def _build_result(self) -> ResultPanel[S]:
        """Make the panel of one picture."""

    @abstractmethod
    def _build_settings(self) -> None:
        """Make `model` and the other settings."""

    @property
    @abstractmethod
    def settings(self) -> list[Any]:
        """Inputs that say what is done to a picture; the model first."""

    @property
    def stage(self) -> gr.HTML:
        """Where the picture is."""
        return self.result.stage

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s, source, opened = self.session, self.source, self._opened
        source.what.input(source.show, source.what, source.outputs, **QUIET)
        given = source.picture.input(friendly(self._open), [s, source.picture], opened, **QUIET, trigger_mode="multiple")
        for event in (given, self.arrived.change(friendly(self._open_arrived), s, opened, **QUIET)):
            self._after_open(event)
        self.result.wire(self, self.settings)
        self.animation.wire(self, self.settings, self._video_job)
        self.batch.wire(self, source.files, source.folder, self.settings, self._batch_job)
        self.video.wire(self, source.video, self.settings, self._video_job, self._preview_frame, self._preview_triggers)

    def _after_open(self, event: Dependency) -> None:
        """Wire what follows when another picture is open."""
        self._run_after(event)

    def _run_after(self, event: Dependency, only: Callable[[S], bool] = lambda state: True) -> Dependency:
        """Wire the conversion of the open picture to follow an event."""
        return self.result.run_after(self, event, self.settings, only)

    @property
    def _opened(self) -> list[Any]:
        """Components that `_open` may change."""
        return [*self.result.outputs, *self.animation.outputs, self.source.picture]

    def _open(self, session: Session, path: str | None) -> Outputs:
        """Another picture was given, or the open one removed (None)."""
        self.stop_work(session, "animation")
        try:
            return {**self.result.open(self.state_of(session), path), **self.animation.show(Path(path) if path else None)}
        except StudioError as e:
            return {**self.result.refuse(e), **self.animation.show(None), self.source.picture: None}

    def _open_arrived(self, session: Session) -> Outputs:
        path = self.state_of(session).path
        return self._open(session, path and str(path))

    # -- when the tab is opened ----------------------------------------------------------------------------------

    @property
    def enter_outputs(self) -> list[Any]:
        """Components that `enter` may change."""
        return [self.nothing, self.body, self.model, *self._model_outputs]

    def enter(self, session: Session, *values: Any) -> Outputs:
        """The models there are now, and the one chosen before."""
        state, found = self.state_of(session), self._models()
        if not found:
            state.model = ""
            return {self.nothing: gr.update(visible=True), self.body: gr.update(visible=False)}
        ids = [m.id for m in found]
        model = state.model if state.model in ids else ids[0]
        choices = gr.update(choices=[(m.title, m.id) for m in found], value=model, interactive=len(found) > 1)
        shown = {self.nothing: gr.update(visible=False), self.body: gr.update(visible=True), self.model: choices}
        return {**shown, **self._choose_model(session, model, *values)}

    def _models(self) -> list[ModelInfo]:
        uses = TABS[self.id].uses
        return [m for m in self.engine.library.scan()[0] if uses is not None and uses(m)]

    @property
    @abstractmethod
    def _model_outputs(self) -> list[Any]:
        """Components that another model changes."""

    @abstractmethod
    def _choose_model(self, session: Session, model: str, *values: Any) -> Outputs:
        """Choose a model, for `_model_outputs`.  values: of `enter_inputs`. Raises StudioError when it is gone."""

    # -- what is done to pictures --------------------------------------------------------------------------------

    @abstractmethod
    def _batch_job(self, session: Session, *settings: Any) -> BatchJob:
        """What is done to each of several pictures."""

    @abstractmethod
    def _video_job(self, video: str | Path, *settings: Any) -> VideoJob:
        """What is done to a video or an animation."""

    @abstractmethod
    def _preview_frame(self, frame: Image.Image, *settings: Any) -> FramePreview:
        """What a video will look like, from its first frame."""

    @property
    @abstractmethod
    def _preview_triggers(self) -> list[Callable[..., Any]]:
        """Events after which a video looks different."""

    # -- from and to other tabs ----------------------------------------------------------------------------------

    def add_targets(self, targets: list[Target]) -> None:
        """Add buttons that send the result to other tabs, as the path of a PNG."""

        def result_file(session: Session, *settings: Any) -> Path:
            return self.result.saved_file(session, self.state_of(session), *settings)

        with self.result.tools:
            self.target_buttons(targets, result_file, self.settings)

    @property
    def model_target(self) -> Target:
        """The tab with another model chosen."""

        def open_model(session: Session, model: ModelInfo) -> Outputs:
            self.state_of(session).model = model.id
            return self.enter(session, *[None] * len(self.enter_inputs))

        return Target(self.id, self.verb, open_model, self.enter_outputs)

    @property
    def picture_target(self) -> Target:
        """A picture file is opened here."""

        def open_picture(session: Session, path: Path, *values: Any) -> Outputs:
            return {**self.enter(session, *values), **self._send(session, Path(path))}

        return Target(self.id, self.verb, open_picture, self._reopened, self.enter_inputs)

    @property
    def saved_target(self) -> Target:
        """A saved result: the tab as it was, with the picture that the result was made from."""
        return Target(self.id, self.verb, self._reopen, self._reopened)

    def _reopen(self, session: Session, recipe: ImageRecipe, made: Path) -> Outputs:
        """made: file of the result. It is opened instead when the picture it was made from is no longer kept.

        Raises StudioError when the model is missing, or is now one for another task.
        """
        warning, state = self.engine.check(recipe), self.state_of(session)
        state.model = recipe.model
        shown = self._restore_settings(session, recipe)
        if state.model != recipe.model:
            raise StudioError(
                f"The model '{recipe.model:.100}' cannot {self.verb.lower()} pictures.", "Its name now belongs to another model."
            )
        if warning:
            gr.Warning(warning)
        if made.suffix.lower() == ".mp4":
            gr.Info("The settings are back. Uploaded videos are not kept: upload it again.")
            return shown
        return {**shown, **self._send(session, source_of(session, recipe, made))}

    @abstractmethod
    def _restore_settings(self, session: Session, recipe: ImageRecipe) -> Outputs:
        """The settings of a recipe whose model is the state's already; what `enter` gives when that model is not for this tab."""

    @property
    def _restored(self) -> list[Any]:
        """Components that `_restore_settings` may change."""
        return [*self.enter_outputs, *self.settings]

    @property
    def _reopened(self) -> list[Any]:
        return list(dict.fromkeys([*self._restored, self.source.what, *self.source.outputs, self.arrived]))

    def _send(self, session: Session, path: Path) -> Outputs:
        """Open a picture file on the page; `arrived` does the rest."""
        self.state_of(session).path = path
        picture = {self.source.picture: gr.update(value=str(path), visible=True)}
        return {**self.source.show(ONE), **picture, self.source.what: ONE, self.arrived: secrets.token_hex(8)}


def percent(share: float) -> float:
    """0.57 -> 57, not 56.99999999999999."""
    return round(share * 100, 6)
