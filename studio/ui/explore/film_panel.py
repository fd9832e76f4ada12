"""Film in Explore: the pins, a noise loop, a sound or what was played, rendered into a video file."""

import html
import shutil
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.engine.recipe import Recipe
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.imaging.sound import check_sound
from studio.motion.features import AudioFeatures, analyse
from studio.motion.film import render_film
from studio.motion.motion import Motion
from studio.motion.paths import KeyFrame, KeyFrames
from studio.motion.presets import following_sound, noise_loop
from studio.motion.timing import Duration
from studio.outputs.film_format import film_format
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.output_names import time_stamp
from studio.ui.components.work_progress import WorkProgress
from studio.ui.explore.recording import Recording
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

PINS, LOOP, SOUND, PLAYED = "pins", "loop", "sound", "played"
_WHAT = [
    ("From pin to pin (key frames)", PINS),
    ("A loop that never stands still (noise loop)", LOOP),
    ("To a sound", SOUND),
    ("What I played (recording)", PLAYED),
]
_WAYS = [("A curve (spline)", "spline"), ("Straight lines (linear)", "linear"), ("Great circle (slerp)", "slerp")]
_EASINGS = [
    ("Even (linear)", "linear"),
    ("Slow, fast, slow (ease)", "ease"),
    ("Bounce", "bounce"),
    ("Circular", "circular"),
    ("Hold, then cut", "hold"),
]
_TYPES = [
    ("MP4 (H.264): plays everywhere", ".mp4 h264"),
    ("MP4 (H.265): half the size", ".mp4 h265"),
    ("WebM (VP9): for the web", ".webm vp9"),
    ("MOV (ProRes): for editing", ".mov prores"),
    ("WebP: a picture that moves", ".webp "),
    ("GIF: 256 colours", ".gif "),
    ("PNG pictures in a zip", ".zip "),
]
# Most of a film by a visitor on a shared studio; the bytes are of pictures that are kept whole.
_GUEST_SECONDS, _GUEST_FPS, _GUEST_SIDE, _GUEST_BYTES = 60.0, 60, 1024, 300 << 20
_HELP = (
    "<b>Film.</b> Rendered picture by picture at full quality; after an interruption it goes on where it stopped. <b>Record</b> keeps what "
    "you move and play, to be rendered later."
)


class FilmPanel:
    """The panel, and the recording of what is played."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """The panel, closed."""
        with gr.Accordion("Film", open=False, elem_id="film-box"):
            gr.HTML(note(_HELP), padding=False)
            self.what = gr.Radio(_WHAT, value=PINS, label="What the film shows", elem_id="film-what")
            with gr.Row(equal_height=False):
                self.seconds = gr.Number(12, label="Seconds", elem_id="film-seconds", min_width=110)
                self.fps = gr.Number(30, label="Frames a second", elem_id="film-fps", min_width=110)
                self.size = gr.Number(0, label="Longer side, px (0: the model's)", precision=0, elem_id="film-size", min_width=110)
            with gr.Row(equal_height=False):
                self.way = gr.Dropdown(_WAYS, value="spline", label="Way between pins", elem_id="film-way", min_width=140)
                self.easing = gr.Dropdown(
                    _EASINGS, value="linear", label="Pace between pins (easing)", elem_id="film-easing", min_width=140
                )
            with gr.Row(equal_height=False):
                self.loop = gr.Checkbox(True, label="The end meets the beginning (loop)", elem_id="film-loop")
                self.preview = gr.Checkbox(False, label="Quick preview (at most 256 px)", elem_id="film-preview")
            self.sound = gr.File(
                label="Sound under the film (WAV, MP3, FLAC ...)", file_types=["audio"], type="filepath", height=110, elem_id="film-sound"
            )
            self.file_type = gr.Dropdown(_TYPES, value=_TYPES[0][1], label="File type", elem_id="film-type")
            with gr.Row(elem_classes="gs-tools"):
                self.start = gr.Button("Render the film", variant="primary", elem_id="film-start")
                self.stop = gr.Button("Stop", visible=False, elem_id="film-stop")
                self.record = gr.Button("Record", elem_id="film-record")
            self.recorded = gr.HTML("", visible=False, padding=False, elem_id="film-recorded")
            self.view = gr.HTML("", visible=False, padding=False, elem_id="film-view")
            self.video = gr.Video(show_label=False, visible=False, interactive=False, buttons=[], loop=True, elem_id="film-video")
            self.file = gr.DownloadButton("Download the film", visible=False, elem_id="film-file")

    def wire(self) -> None:
        """The work with its Stop, and the recording."""
        tab = self.tab
        settings = [
            self.what,
            self.seconds,
            self.fps,
            self.size,
            self.way,
            self.easing,
            self.loop,
            self.preview,
            self.sound,
            self.file_type,
        ]
        shown = [self.view, self.video, self.file]
        tab.long_work("film", self.start, self.stop, self._render, [tab.session, *settings], shown, view=self.view, hide=shown[1:])
        self.what.change(friendly(self._choose), self.what, [self.seconds, self.way, self.easing, self.loop, self.sound], **QUIET)
        self.record.click(friendly(self._record), tab.session, [self.record, self.recorded, self.what], **QUIET)

    def _choose(self, what: str) -> Outputs:
        """Only the settings that this film has."""
        pins = gr.update(visible=what == PINS)
        parts: Outputs = {self.way: pins, self.easing: pins, self.loop: pins, self.seconds: gr.update(visible=what in (PINS, LOOP))}
        return {**parts, self.sound: gr.update(label="Sound to follow" if what == SOUND else "Sound under the film (WAV, MP3, FLAC ...)")}

    # -- recording -----------------------------------------------------------------------------------------------

    def drew(self, session: Session, recipe: Recipe) -> None:
        """The large picture was drawn."""
        recording = self.tab.state_of(session).recording
        if recording is not None:
            recording.add(recipe)

    def _record(self, session: Session) -> Outputs:
        state, recipe = self.tab.state_of(session), session.open()
        going_on = state.recording is not None and state.recording.ended is None
        if not going_on:
            state.recording = Recording()
            state.recording.add(recipe)
            words = note("Recording: move or play what you like, then press <b>End the recording</b>.")
            return {self.record: gr.update(value="End the recording"), self.recorded: gr.update(value=words, visible=True)}
        assert state.recording is not None
        state.recording.end()
        words = note(state.recording.summary + (" <b>Render the film</b> makes a video of it." if state.recording.moved else ""))
        return {self.record: gr.update(value="Record"), self.recorded: gr.update(value=words, visible=True), self.what: PLAYED}

    # -- rendering -----------------------------------------------------------------------------------------------

    def _motion(
        self, session: Session, what: str, seconds: float, way: str, easing: str, loop: bool, sound: Path | None
    ) -> tuple[Motion, AudioFeatures | None]:
        recipe, state = session.open(), self.tab.state_of(session)
        if what == PLAYED:
            if state.recording is None:
                raise StudioError("Nothing was recorded yet.", "Press Record, move or play something, and press it again.")
            return state.recording.motion(), None
        if what == LOOP:
            return noise_loop(recipe, seconds, recipe.seed), None
        if what == SOUND:
            if sound is None:
                raise StudioError("There is no sound yet.", "Drop a sound file below.")
            features = analyse(sound)
            seeds = [pin.seed for pin in state.pins_of(recipe.model)]
            return following_sound(recipe, features, sound, self.tab.engine.facts(recipe.model), seeds), features
        if len(state.pins) < 2:
            raise StudioError("A film from pin to pin needs two pins or more.", "Pin pictures you like, or choose the noise loop.")
        share = Duration(seconds / (len(state.pins) if loop else len(state.pins) - 1))
        keys = KeyFrames(tuple(KeyFrame(recipe=pin, duration=share, easing=easing) for pin in state.pins), way)
        return Motion(state.pins[0], keys, duration=Duration(seconds), loop=loop), None

    def _check_guest(self, motion: Motion, side: int | None, kind: str) -> None:
        """Raises StudioError for a film that is too much for a studio that many use.  side: of the film; None = the model's."""
        clock, canvas = motion.clock(), motion.base.canvas
        side = side or round(self.tab.engine.model(motion.base.model).resolution * max(canvas.width, canvas.height))
        at_home = "Make it shorter or smaller, or install the studio at home."
        if clock.length > _GUEST_SECONDS or clock.fps > _GUEST_FPS or side > _GUEST_SIDE:
            most = f"{_GUEST_SECONDS:g} seconds, {_GUEST_FPS} frames a second and {_GUEST_SIDE} px"
            raise StudioError(f"A film has at most {most} a side here.", at_home)
        if kind != "video" and 3 * side**2 * clock.frames > _GUEST_BYTES:
            raise StudioError("Such a film keeps each picture whole, and is too large here.", f"Choose MP4. {at_home}")

    def _render(
        self,
        session: Session,
        what: str,
        seconds: Any,
        fps: Any,
        size: Any,
        way: str,
        easing: str,
        loop: bool,
        preview: bool,
        sound: str | None,
        file_type: str,
        progress: gr.Progress = gr.Progress(),
    ) -> Outputs:
        tab, shown = self.tab, WorkProgress(progress, "Rendering the film, frames")
        file = Path(sound) if sound else None
        if file is not None:
            check_sound(file)
        length = number(seconds, 0.1, 3600, "The length of the film")
        motion, features = self._motion(session, what, length, way, easing, loop, file)
        motion = motion.replace(fps=number(fps, 1, 120, "The number of frames a second"))
        ending, _, codec = file_type.partition(" ")
        side = None if size in (None, 0) else int(number(size, 16, 8192, "The size of the film"))
        if session.workspace.guest:
            self._check_guest(motion, side, film_format(Path(f"film{ending}"), codec).kind)
        remarks: list[str] = []
        kept_in = session.workspace.folder / "films" if session.workspace.guest else None
        try:
            path = render_film(
                motion,
                tab.engine,
                session.workspace.output("explore", f"{time_stamp()}-film{ending}"),
                sound=file,
                size=side,
                preview=preview,
                codec=codec,
                features=features,
                progress=shown,
                cancel=tab.stopping(session, "film"),
                remark=remarks.append,
                kept_in=kept_in,
            )
        except CancelledError:
            if kept_in is not None:  # it would lie there until the visitor leaves
                shutil.rmtree(kept_in, ignore_errors=True)
            raise
        words = " ".join([session.workspace.saved_note(path), *map(html.escape, remarks)])
        plays = ending in (".mp4", ".webm") and codec != "h265"  # what browsers play
        return {
            self.view: gr.update(value=note(words), visible=True),
            self.video: gr.update(value=str(path) if plays else None, visible=plays),
            self.file: gr.update(value=str(path), visible=True),
        }
