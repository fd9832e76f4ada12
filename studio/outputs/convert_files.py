"""Conversion of files by a model that translates or upscales: pictures, animations and videos, single, in folders with their tree, or in
zips."""

import contextlib
import functools
import re
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from studio.common.files import atomic_path, can_write
from studio.common.progress import Cancel, Progress, raise_if_cancelled
from studio.common.text import SafeFolders, UniqueNames, printable, safe_filename
from studio.datasets.sources import Limits, SourceFile, copy_file, file_format, open_sources, read_head
from studio.engine.engine import Engine
from studio.engine.image_recipe import MAX_SCALE, ImageRecipe
from studio.errors import StudioError
from studio.outputs.animations import AnimationInfo, animation_info, convert_animation
from studio.outputs.batches import open_source
from studio.outputs.upscaled_file import upscale_file
from studio.outputs.upscaled_picture import open_upscale_source
from studio.outputs.video_translation import convert_video, first_frame
from studio.provenance.metadata import save_picture
from studio.provenance.source_pictures import keep_source
from studio.settings import get_settings

FILE_TYPES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}  # of pictures, and their endings
MOVING_TYPES = ("gif", "webp", "png")
FEW_COLOURS = "A GIF holds 256 colours a frame; choose WebP to keep them all."
_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("name", "number", "model", "scale")  # of a pattern
_LIMITS = Limits()


@dataclass(frozen=True)
class Conversion:
    """Settings of a conversion, the same for each file.

    recipe: model and settings; its source hash is filled in for each picture.  file_type: of pictures, one of FILE_TYPES, or 'gif' for
    animations alone; '' = PNG, and for animations what they are.
    smoothing: of videos, one of `video_translation.SMOOTHING`.  longer_side: of upscaled pictures, in pixels; 0 = recipe.scale.
    quality: of WebP and JPEG, 1 to 100; None = a lossless WebP, a JPEG of 92.  pattern: of the results' names, with {name} of the source,
    {number} from 1, {model} and {scale}.  every_frame: animations stay animations; otherwise only their first frame is taken.
    """

    recipe: ImageRecipe
    file_type: str = ""
    smoothing: str = "none"
    longer_side: int = 0
    quality: int | None = None
    pattern: str = "{name}"
    every_frame: bool = True

    def __post_init__(self):
        unknown = [field for field in _FIELD.findall(self.pattern) if field not in _FIELDS]
        if unknown or not {"name", "number"} & set(_FIELD.findall(self.pattern)):
            problem = f"has '{{{unknown[0]}}}'" if unknown else "gives all results one name"
            raise StudioError(
                f"The pattern '{printable(self.pattern, 60)}' {problem}.",
                f"Use {', '.join(f'{{{field}}}' for field in _FIELDS)}, {{name}} or {{number}} among them.",
            )
        if self.quality is not None and (self.file_type not in ("webp", "jpeg") or not 1 <= self.quality <= 100):
            raise StudioError(f"The quality is {self.quality}.", "It is for WebP and JPEG, from 1 to 100; PNG is always lossless.")
        if self.file_type and self.file_type not in (*FILE_TYPES, *MOVING_TYPES):
            raise StudioError(f"Pictures cannot be saved as '{printable(self.file_type, 20)}'.", f"Choose {', '.join(FILE_TYPES)}.")

    @property
    def ending(self) -> str:
        """Of the result of a picture. Raises StudioError where it can only be an animation."""
        if self.file_type == "gif":
            raise StudioError("It does not move, and a GIF holds 256 colours.", f"Choose {', '.join(FILE_TYPES)}.")
        return FILE_TYPES[self.file_type or "png"]

    def moving_type(self, animation: AnimationInfo) -> str:
        """File type of an animation's result: the one chosen, where that can move, else what it is."""
        return self.file_type if self.file_type in MOVING_TYPES else animation.file_type

    def stem(self, name: str, number: int, own_scale: int) -> str:
        """Name of a result without its ending, safe to be written.

        name: of the source, without its ending.  number: of the file, from 1.  own_scale: the model's.
        """
        scale = f"{self.longer_side}px" if self.longer_side else f"{self.recipe.scale or own_scale:g}"
        values = {"name": name, "number": f"{number:04d}", "model": self.recipe.model, "scale": scale}
        return safe_filename(_FIELD.sub(lambda match: values[match[1]], self.pattern))

    def sized(self, width: int, height: int) -> ImageRecipe:
        """The recipe for a picture of this size. Raises StudioError for a size that cannot be made."""
        if not self.longer_side:
            return self.recipe
        scale = self.longer_side / max(width, height)
        if not 1 <= scale <= MAX_SCALE:
            raise StudioError(
                f"The picture has {width:,} x {height:,} px; {self.longer_side:,} px would be {scale:.3g} times its size.",
                f"A picture can be made 1 to {MAX_SCALE} times as large.",
            )
        return self.recipe.replace(scale=scale)


@dataclass(frozen=True)
class Converted:
    """Outcome of one file.  name: of the source, with its folders.  path: of the result, or its entry in the zip; '' = none, `problem`
    says why.  remark: a sentence on what was not used or could not be kept, or ''."""

    name: str
    path: str = ""
    problem: str = ""
    remark: str = ""


def convert_file(
    engine: Engine,
    conversion: Conversion,
    source: Path,
    target: Path,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    protected: Collection[Path] = (),
) -> Converted:
    """Convert one picture, animation or video. The result is written completely or not at all.

    target: the result without its ending, which is that of the conversion's file type, or .mp4 for a video.
    progress: called with (done, total), in frames for what moves.  cancel: asked in between; when true CancelledError is raised.
    protected: resolved paths that must not be overwritten, besides that of the source.
    Raises StudioError for a file that cannot be used, a target that would overwrite a source, and a full disk.
    """
    video = is_video(source)
    animation = animation_info(source) if conversion.every_frame and not video else None
    ending = ".mp4" if video else f".{conversion.moving_type(animation)}" if animation is not None else conversion.ending
    target = target.with_name(f"{target.name}{ending}")
    if target.resolve() in (source.resolve(), *protected):
        raise StudioError(f"'{printable(target.name)}' would overwrite a source.", "Choose another folder or name for the result.")
    remark = ""
    if video:
        remark = _convert_video(engine, conversion, source, target, progress, cancel)
    elif animation is not None:
        recipe = engine.stamped(_with_source(conversion.sized(*animation.size), source))
        draw = functools.partial(engine.translate if recipe.verb == "translate" else engine.upscale, recipe, cancel=cancel)
        convert_animation(source, target, draw, progress, cancel, recipe, conversion.quality if ending == ".webp" else None)
        remark = animation_remark(animation, ending)
    elif conversion.recipe.verb == "translate":
        opened = open_source(source)
        recipe, remark = engine.stamped(_with_source(conversion.recipe, source)), opened.remark
        save_picture(engine.translate(recipe, opened.picture, progress, cancel), recipe, target, source, conversion.quality)
    else:
        opened = open_upscale_source(source)
        recipe, remark = engine.stamped(_with_source(conversion.sized(opened.width, opened.height), source)), opened.remark
        if ending == ".png":
            upscale_file(engine, recipe, source, target, progress, cancel)
        else:
            save_picture(engine.upscale(recipe, opened.raster, progress, cancel), recipe, target, source, conversion.quality)
    return Converted(printable(source.name), str(target), remark=remark)


def animation_remark(animation: AnimationInfo, ending: str) -> str:
    """What an artist should know of an animation's result; '' = nothing.  ending: of the result."""
    if ending == ".gif":
        return FEW_COLOURS
    return "An AVIF that moves becomes an animated WebP." if animation.format == "AVIF" else ""


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its first bytes. Raises StudioError for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return file_format(file.read(64), path.name) not in ("", "picture", "raw", "zip")
    except OSError as e:
        raise StudioError(f"'{printable(path.name)}' cannot be read: {e.strerror or e}.", "Check the file and its permissions.") from None


def convert_sources(
    engine: Engine,
    conversion: Conversion,
    sources: Sequence[str | Path],
    out: Path,
    progress: Callable[[str, int, int], object] | None = None,
    cancel: Cancel | None = None,
) -> Iterator[Converted]:
    """Convert files, folders and zips; yields the outcome of each file as soon as it is done. A file that fails stops no other.

    out: a folder, in which the tree of each source is kept, or a path that ends in .zip, which then holds the tree. Where it lies
    inside a source folder, what an earlier run left in it is skipped.
    progress: called with (name of the file, done, total).  cancel: asked in between; when true CancelledError is raised; results so
    far are kept (of a zip, nothing).  Raises StudioError when there is nothing to convert, and when the zip cannot be written.
    """
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(open_sources(sources))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="studio-convert-")))
        files = _without_results(found.files, sources, out)
        if not files and not found.refused:
            raise StudioError("There are no pictures and no videos.", "Give files, a folder or a zip.")
        archive = None
        if out.suffix.lower() == ".zip":
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(atomic_path(out)), "w", zipfile.ZIP_STORED))
        unique, safe_folders, protected = UniqueNames(), SafeFolders(), {file.path.resolve() for file in files if file.path is not None}
        yield from (Converted(name, problem=reason) for name, reason in found.refused)
        own_scale = engine.library.get(conversion.recipe.model).scale or 1
        for number, file in enumerate(files, 1):
            raise_if_cancelled(cancel)
            report = functools.partial(progress, file.name) if progress is not None else None
            folders = safe_folders(file.folders[1:] if len(sources) == 1 else file.folders)
            stem = unique("/".join(folders), conversion.stem(Path(file.filename).stem, number, own_scale), "")
            try:
                with _local_file(file, scratch) as path:
                    target = (scratch / "results" if archive is not None else out) / stem
                    made = convert_file(engine, conversion, path, target, report, cancel, protected)
            except StudioError as e:
                yield Converted(file.name, problem=e.message)
                continue
            except (OSError, ValueError, zipfile.BadZipFile) as e:
                yield Converted(file.name, problem=f"It cannot be read: {e}.")
                continue
            path = made.path if archive is None else _move_into(archive, Path(made.path), scratch / "results")
            yield Converted(file.name, path, remark=made.remark)
        if archive is not None and not archive.namelist():
            raise StudioError("No file could be used, so no zip was written.", "The reasons stand above.")


def _without_results(files: Sequence[SourceFile], sources: Sequence[str | Path], out: Path) -> list[SourceFile]:
    """The files but those in `out`, where `out` lies inside one of the source folders: they are results of an earlier run."""
    out = out.expanduser().resolve()
    folders = [Path(source).expanduser().resolve() for source in sources]
    if not any(folder in out.parents for folder in folders):
        return list(files)
    return [file for file in files if file.path is None or not file.path.resolve().is_relative_to(out)]


def _move_into(archive: zipfile.ZipFile, made: Path, root: Path) -> str:
    """Move a result into the zip. Returns the name of its entry. Raises StudioError when the disk is full."""
    entry = made.relative_to(root).as_posix()
    try:
        archive.write(made, entry)
    except OSError as e:
        raise StudioError(f"The zip could not be saved: {e.strerror or e}.", "Free some space, then try again.") from None
    finally:
        made.unlink(missing_ok=True)
    return entry


@contextlib.contextmanager
def _local_file(file: SourceFile, scratch: Path) -> Iterator[Path]:
    """A path of the file: its own, or that of a temporary copy where it lies in a zip."""
    if file.path is not None:
        yield file.path
        return
    copy = scratch / "source" / safe_filename(file.filename)
    copy.parent.mkdir(exist_ok=True)
    limit = _LIMITS.file_bytes if file_format(read_head(file), file.filename) == "picture" else _LIMITS.video_bytes
    try:
        copy_file(file, copy, limit)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _with_source(recipe: ImageRecipe, source: Path) -> ImageRecipe:
    """The recipe with the hash of its source, which is kept so that the picture can be made again; unchanged where nothing can be kept."""
    return recipe.replace(source=keep_source(source)) if can_write(get_settings().home) else recipe


def _convert_video(
    engine: Engine, conversion: Conversion, source: Path, target: Path, progress: Progress | None, cancel: Cancel | None
) -> str:
    """Convert a video; returns what an artist should know of the result, or ''."""
    frame, _ = first_frame(source)
    recipe = conversion.recipe if conversion.recipe.verb == "translate" else conversion.sized(*frame.size)

    def make(frame: Image.Image) -> Image.Image:
        draw = engine.translate if recipe.verb == "translate" else engine.upscale
        return draw(recipe, frame, cancel=cancel)

    said: list[str] = []
    convert_video(source, target, make, conversion.smoothing, progress, cancel, engine.stamped(recipe), said.append)
    return " ".join(said)
