"""Films: a motion rendered frame by frame into a file. What was rendered before an interruption is kept, and not rendered again."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import filelock
import numpy as np
import torch
from av.error import FFmpegError
from PIL import Image

from studio import __version__
from studio.common.files import (
    atomic_folder,
    atomic_path,
    atomic_write,
    can_write,
    ensure_room,
    is_disk_full,
    sha256_of,
    storage_errors_in_words,
)
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.engine.rendering import PREVIEW_RESOLUTION
from studio.errors import StudioError
from studio.imaging.flashes import FlashMeter, cells_of
from studio.imaging.sound import check_sound
from studio.imaging.xmp import DigitalSourceType, xmp_packet
from studio.motion.features import AudioFeatures, analyse
from studio.motion.player import Player
from studio.outputs.clips import repeats
from studio.outputs.film_file import join_segments, write_animation, write_segment, write_zip
from studio.outputs.film_format import FilmFormat, film_format
from studio.provenance.metadata import encode_signed
from studio.provenance.policy import provenance_policy
from studio.provenance.signing import sign_in_place
from studio.settings import get_settings

if TYPE_CHECKING:
    from studio.motion.motion import Motion

SEGMENT = 60  # frames; so many are rendered again at most after an interruption
MAX_SIDE = 8192
_CRISP = 128  # px; pictures up to this size are enlarged without blurring their pixels
_MAX_MOTION = 1 << 20  # characters of a motion inside its film; longer ones, with hundreds of latents, are left out
_KEPT_DAYS = 30  # of an interrupted film
_AGAIN = "render it again: it goes on where it stopped"
_SIGNED = {"h264": "mp4", "h265": "mp4", "prores": "mov", "gif": "gif", "webp": "webp"}  # name of a format -> for c2pa


def render_film(
    motion: "Motion",
    engine: Engine,
    path: "str | os.PathLike[str]",
    sound: "str | os.PathLike[str] | None" = None,
    fps: float | None = None,
    size: int | None = None,
    preview: bool = False,
    codec: str = "",
    features: AudioFeatures | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    remark: Callable[[str], object] = lambda sentence: None,
    kept_in: Path | None = None,
) -> Path:
    """Render a motion into .mp4, .webm, .mov, .gif, .webp, a .zip or a new folder of PNGs; it appears whole or not at all.

    sound: a sound file; None = that of the motion.  features: of that sound, if they are known.  fps: frames a second; None = the
    motion's.  size: pixels of the longer side; None = the model's, or 512 where that is smaller.  preview: pictures of at most 256 px.
    codec: of `film_format.CODECS`; '' = H.264 in .mp4, VP9 in .webm, ProRes in .mov.
    progress: called with (frames done, all).  cancel: asked before each frame; when true CancelledError is raised.
    remark: called with sentences on what an artist should know, such as flashes that may cause seizures.

    What is rendered waits in the folder `kept_in` (None = in the home's cache) until the film is done, so that the same call goes on
    after an interruption; the file is the same to the byte. Raises StudioError for what cannot be rendered or written, and if another
    process renders the same film.
    """
    path, motion = Path(path).expanduser(), motion.replace(fps=fps) if fps is not None else motion
    form = film_format(path, codec)
    if size is not None and (type(size) is not int or not 16 <= size <= MAX_SIDE):
        raise StudioError(f"The size of the film is {size!r:.40}.", f"It is the longer side in pixels, 16 to {MAX_SIDE}.")
    if not path.suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StudioError(f"The folder {path} is not empty.", "Name a new one.")
    if not can_write(path.parent):
        raise StudioError(f"The folder {path.parent} cannot be written.", "Name another one.")
    sound_file = Path(sound).expanduser() if sound is not None else motion.sound_file()
    if sound_file is not None:
        check_sound(sound_file)
        if motion.follows_sound and features is None:
            features = analyse(sound_file)
        if form.sound is None:
            remark("It has no sound: its file type holds pictures alone.")
    if provenance_policy().credentials and form.kind == "video" and form.name not in _SIGNED:
        remark("It is not signed: Content Credentials have no place in a WebM.")
    if warning := engine.check(motion.base):
        remark(warning)
    film = _Film(Player(motion, engine, features), engine, form, size, preview)
    with storage_errors_in_words(_AGAIN), _work_folder(kept_in or get_settings().cache / "films", film.key(sound_file)) as work:
        film.render(work, progress, cancel)
        raise_if_cancelled(cancel)
        try:
            said = film.remarks(work)
            film.assemble(work, path, sound_file)
        except (FFmpegError, FileNotFoundError, ValueError) as e:
            if is_disk_full(e):
                raise
            # What waits in the cache may have been damaged or deleted; the next time begins anew.
            shutil.rmtree(work, ignore_errors=True)
            raise StudioError(f"The film could not be put together: {e}.", "Render it again, or choose another file type.") from None
        shutil.rmtree(work, ignore_errors=True)
    for sentence in said:
        remark(sentence)
    return path


class _Film:
    """A film while it is rendered: segment after segment in the work folder."""

    def __init__(self, player: Player, engine: Engine, form: FilmFormat, size: int | None, preview: bool):
        self.player, self.engine, self.form, self.size, self.preview = player, engine, form, size, preview
        self.fps, self.frames = player.clock.fps, player.frames
        canvas, side = player.of_frame(0).canvas, engine.model(player.motion.base.model).resolution
        self.grid = canvas.grid
        if any(canvas.grid != self.grid for canvas in player.canvases()):  # an error now rather than in the middle of the film
            raise _canvas_changes()
        if preview:
            side = min(side, PREVIEW_RESOLUTION)
        height, width = self._shape(round(side * canvas.height), round(side * canvas.width))
        form.check(height, width, self.frames, float(self.fps))

    def key(self, sound: Path | None) -> str:
        """Hash of everything that the film's bytes depend on."""
        motion, engine = self.player.motion, self.engine
        told = [
            motion.to_json(),
            engine.library.get(motion.base.model).hash,
            sha256_of(sound) if sound is not None else "",
            [repr(self.form), self.size, self.preview],
            [engine.status()["device"], engine.precision],
            [dataclasses.astuple(provenance_policy())],
            [__version__, torch.__version__, av.__version__, np.__version__, platform.machine()],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]

    def render(self, work: Path, progress: Progress | None, cancel: Cancel | None) -> None:
        """Render every segment that is not in the work folder yet."""
        for begin in range(0, self.frames, SEGMENT):
            count, cells = min(SEGMENT, self.frames - begin), []
            if not self._cells_file(work, begin).is_file():

                def pictures(begin: int = begin, count: int = count, cells: list = cells) -> Iterator[tuple[int, np.ndarray, Recipe]]:
                    for i in range(begin, begin + count):
                        raise_if_cancelled(cancel)
                        recipe = self.player.of_frame(i)
                        picture = self._sized(self.engine.render(recipe, preview=self.preview))
                        if recipe.canvas.grid != self.grid:
                            raise _canvas_changes()
                        if not cells:
                            ensure_room(work, picture.nbytes * count // (2 if self.form.kind != "video" else 20))
                        cells.append(cells_of(picture))
                        yield i, picture, recipe
                        report(progress, i + 1, self.frames)

                if self.form.kind == "video":
                    write_segment(self._segment(work, begin), (picture for _, picture, _ in pictures()), self.form, self.fps)
                else:
                    for i, picture, recipe in pictures():
                        self._write_frame(self._frame(work, i), picture, recipe)
                # Written last, it says that the segment is complete.
                buffer = io.BytesIO()
                np.save(buffer, np.stack(cells))
                atomic_write(self._cells_file(work, begin), buffer.getvalue())
            report(progress, begin + count, self.frames)

    def assemble(self, work: Path, path: Path, sound: Path | None) -> None:
        """Make the file of what is in the work folder."""
        frames = [self._frame(work, i) for i in range(self.frames)]
        if not path.suffix:
            with atomic_folder(path) as folder:
                for file in frames:
                    shutil.copyfile(file, folder / file.name)
            return
        with atomic_path(path) as part:
            if self.form.kind == "video":
                segments = [(self._segment(work, i), min(SEGMENT, self.frames - i)) for i in range(0, self.frames, SEGMENT)]
                join_segments(part, segments, self.form, self.fps, self._xmp(), sound)
            elif self.form.kind == "animation":
                write_animation(part, map(_opened, frames), self.frames, self.form, self.fps, self._xmp(), work)
            else:
                write_zip(part, frames)
            if self.form.name in _SIGNED:
                sign_in_place(part, "mov" if self.form.container == "mov" else _SIGNED[self.form.name], DigitalSourceType.GENERATED)

    def _xmp(self) -> str:
        """The AI label, and the motion if the policy includes recipes."""
        motion = self.player.motion
        if not provenance_policy().includes_recipe or len(link := motion.to_link()) > _MAX_MOTION:
            return xmp_packet(DigitalSourceType.GENERATED)
        return xmp_packet(DigitalSourceType.GENERATED, motion.base.model, motion=link)

    def remarks(self, work: Path) -> list[str]:
        """What an artist should know of the film."""
        meter, frame = FlashMeter(), 0
        for begin in range(0, self.frames, SEGMENT):
            for cells in np.load(self._cells_file(work, begin), allow_pickle=False):
                meter.add(self.player.clock.time(frame), cells)
                frame += 1
        return [meter.sentence()] if meter.spans else []

    def _shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the film for pictures of a height and width."""
        if self.size is None:
            scale = 1 if self.form.kind == "pictures" else repeats(height, width)
            return height * scale, width * scale
        scale = self.size / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _sized(self, picture: np.ndarray) -> np.ndarray:
        height, width = self._shape(*picture.shape[:2])
        whole = height % picture.shape[0] == 0 and width % picture.shape[1] == 0
        method = Image.Resampling.NEAREST if whole and (self.size is None or max(picture.shape) <= _CRISP) else Image.Resampling.LANCZOS
        if (height, width) == picture.shape[:2]:
            return picture
        return np.asarray(Image.fromarray(picture).resize((width, height), method))

    def _write_frame(self, file: Path, picture: np.ndarray, recipe: Recipe) -> None:
        if self.form.kind == "pictures":
            data = encode_signed(picture, self.engine.stamped(recipe), "png")
        else:
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
            data = buffer.getvalue()
        with atomic_path(file) as part:
            part.write_bytes(data)

    def _segment(self, work: Path, begin: int) -> Path:
        return work / f"segment-{begin:06d}.{self.form.container}"

    def _cells_file(self, work: Path, begin: int) -> Path:
        return work / f"segment-{begin:06d}.npy"

    def _frame(self, work: Path, index: int) -> Path:
        return work / f"frame-{index + 1:05d}.png"


def _canvas_changes() -> StudioError:
    return StudioError("The canvas changes its size within the film.", "Keep its width, height, filling and edges the same.")


def _opened(file: Path) -> Image.Image:
    with Image.open(file, formats=("PNG",)) as image:
        return image.convert("RGB")


@contextlib.contextmanager
def _work_folder(films: Path, key: str) -> Iterator[Path]:
    """The folder where what is rendered of a film waits, for this process alone. It stays if the film does not come to its end."""
    films.mkdir(parents=True, exist_ok=True)
    sweep_films(films)
    lock = filelock.FileLock(films / f".{key}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise StudioError("This film is being rendered already.", "Wait for it, or stop it first.") from None
    try:
        work = films / key
        work.mkdir(exist_ok=True)
        os.utime(work)
        yield work
    finally:
        lock.release()


def sweep_films(films: Path, clock: Callable[[], float] = time.time) -> int:
    """Delete what is left of films that nobody went on with for 30 days. Returns how many there were."""
    gone = 0
    for lock in films.glob(".*.lock"):
        with contextlib.suppress(OSError):
            if clock() - lock.stat().st_mtime > _KEPT_DAYS * 86400:
                lock.unlink()
    for work in sorted(films.iterdir()):
        with contextlib.suppress(OSError, filelock.Timeout):
            if not work.is_dir() or clock() - work.stat().st_mtime < _KEPT_DAYS * 86400:
                continue
            with filelock.FileLock(films / f".{work.name}.lock", timeout=0):
                shutil.rmtree(work, ignore_errors=True)
                gone += 1
    return gone
