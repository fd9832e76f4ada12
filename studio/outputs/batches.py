"""Batches of picture files for image-to-image models: opened safely, and processed many at once into a zip."""

import contextlib
import hashlib
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import Image

from studio.common.files import atomic_path, ensure_room
from studio.common.progress import Cancel, ItemProgress, raise_if_cancelled, report
from studio.common.text import SafeFolders, UniqueNames, printable, safe_filename
from studio.datasets.sources import Limits, UploadedFile, copy_file, open_sources
from studio.errors import StudioError
from studio.imaging.decode import UnusablePicture, left_out, open_picture, reason, upright
from studio.imaging.raster import MAX_NETWORK_PIXELS

_PREVIEW, _PREVIEWS = 256, 48  # px, and how many
_BATCH_LIMITS = Limits(files=10_000, zip_bytes=8 << 30)
_NOT_REACHED = "not reached: you stopped before"


class Opened(Protocol):
    """A file that could be opened.  name: safe to display.  remark: a sentence on what was not used, or ''."""

    @property
    def name(self) -> str: ...

    @property
    def remark(self) -> str: ...


@dataclass(frozen=True)
class SourcePicture:
    """A picture to be processed.

    path: its file.  name: of the file, safe to display.  hash: SHA-256 of the file's bytes, hex.
    picture: upright, in sRGB, 8 bits: mode RGBA where anything is transparent, else RGB or L.
    remark: a sentence on what was not used, or ''.
    """

    path: Path
    name: str
    hash: str
    picture: Image.Image
    remark: str = ""


def open_source(path: str | Path) -> SourcePicture:
    """Open a picture file of any format: turned upright by its EXIF orientation, converted from its colour profile to sRGB, from
    CMYK to RGB and from 16 bits to 8; of an animation the first frame.

    Raises StudioError for an empty or damaged file, for a file that is not a picture, and for more than 64 megapixels.
    """
    path = Path(path)
    name = printable(path.name, 80)
    again = "Open it in another program, and save it again."
    try:
        data = path.read_bytes()
    except OSError as e:
        raise StudioError(f"'{name}' cannot be read: {e.strerror or e}.", "Choose it again.") from None
    if not data:
        raise StudioError(f"'{name}' is empty: the file has 0 bytes.", "Copy or download it again.")
    try:
        with open_picture(data, MAX_NETWORK_PIXELS) as opened:
            remark = left_out(opened)
            picture = upright(opened)
    except UnusablePicture as e:
        raise StudioError(f"'{name}' is {e}.", "Make it smaller, then try again.") from None
    except Exception as e:  # Pillow's decoders raise nearly anything for a damaged file
        problem = reason(e)
        said = f"is {problem}" if problem.startswith("not a picture") else f"cannot be read: {problem.rstrip('.')}"
        raise StudioError(f"'{name}' {said}.", again) from None
    return SourcePicture(path, name, hashlib.sha256(data).hexdigest(), picture, remark)


@dataclass(frozen=True)
class Outcome:
    """Outcome of one file.

    name: of the file.  entry: its name in the zip, '' = it is not there and `problem` says why.  remark: what was not used.
    preview: of the result, at most 256 px; for the first 48 files only.
    """

    name: str
    entry: str = ""
    problem: str = ""
    remark: str = ""
    preview: Image.Image | None = None

    @property
    def sentence(self) -> str:
        """What went wrong, with the name of the file."""
        return self.problem if self.name in self.problem else f"{self.name}: {self.problem}"


@dataclass(frozen=True)
class Made:
    """What was made of a file.  picture: the result, possibly reduced, for its preview.  data: the result as a file: its bytes, or a file,
    which is then deleted.  ending: of that file.  remark: a sentence on what could not be kept, or ''."""

    picture: Image.Image
    data: bytes | Path
    ending: str = ".png"
    remark: str = ""


S = TypeVar("S", bound=Opened)


def batch_files(
    given: Sequence[str | Path | UploadedFile], scratch: Path, cancel: Cancel | None = None
) -> tuple[list[tuple[Path, str]], list[Outcome]]:
    """The files among files, folders and zips: ([(file, its name without the ending, with its folders)], what was refused).

    A folder or zip that holds everything that lies in one is left out of the names.
    scratch: folder for what is unpacked.  Raises CancelledError, and StudioError for more files than a batch may have.
    """
    out: list[tuple[Path, str]] = []
    refused: list[Outcome] = []
    with open_sources(given, _BATCH_LIMITS) as found:
        refused += [Outcome(name, problem=why) for name, why in found.refused]
        common = len({file.folders[0] for file in found.files if file.folders}) == 1
        for file in found.files:
            raise_if_cancelled(cancel)
            path = file.path
            if path is None:
                path = scratch / f"{len(out)}-{len(refused)}" / safe_filename(file.filename)
                path.parent.mkdir()
                try:
                    ensure_room(scratch, file.size)
                    copy_file(file, path, _BATCH_LIMITS.file_bytes, cancel)
                except (OSError, ValueError, zipfile.BadZipFile) as e:
                    refused.append(Outcome(file.name, problem=f"it cannot be unpacked: {e}"))
                    continue
            out.append((path, "/".join((*file.folders[common:], Path(file.filename).stem))))
    return out, refused


def process_files(
    make: Callable[[S], Made],
    files: Sequence[str | Path],
    path: str | Path,
    about: str = "",
    progress: ItemProgress | None = None,
    cancel: Cancel | None = None,
    open_file: Callable[[Path], S] = open_source,
    made: str = "translated",
    names: Sequence[str] = (),
) -> list[Outcome]:
    """Process files into a zip at `path` with one result per file, named after it. A file that fails is reported and stops no other.

    make: opened file -> what was made of it.  about: lines for the report inside the zip.  made: what was done, as a participle for
    that report.
    names: of the results without their endings, with folders; none = those of the files.
    progress: called with (done, all, name of the next).  cancel: asked before each; when true, or when `make` raises
    CancelledError, the results so far are kept.
    The zip appears whole or not at all, and not at all when no file could be used.  Raises StudioError when the disk is full.
    """
    path, unique, safe_folders, outcomes = Path(path), UniqueNames(), SafeFolders(), []
    unique("", "report", ".txt")
    try:
        with contextlib.ExitStack() as stack:
            archive = None
            for i, file in enumerate(map(Path, files)):
                report(progress, i, len(files), printable(file.name, 40))
                try:
                    raise_if_cancelled(cancel)
                    source = open_file(file)
                    done = make(source)
                except CancelledError:
                    outcomes += [Outcome(printable(Path(f).name), problem=_NOT_REACHED) for f in files[i:]]
                    break
                except StudioError as e:
                    outcomes.append(Outcome(printable(file.name), problem=e.message))
                    continue
                if archive is None:
                    archive = zipfile.ZipFile(stack.enter_context(atomic_path(path)), "w", zipfile.ZIP_STORED)
                    stack.enter_context(archive)
                *folders, stem = names[i].split("/") if names else [file.stem]
                entry = unique("/".join(safe_folders(tuple(folders))), safe_filename(stem), done.ending)
                _put(archive, entry, done.data, path.parent)
                preview = reduced(done.picture, _PREVIEW) if i < _PREVIEWS else None
                remark = " ".join(filter(None, (source.remark, done.remark)))
                outcomes.append(Outcome(source.name, entry, remark=remark, preview=preview))
            if archive is not None:
                archive.writestr("report.txt", _report(outcomes, about, made))
    except OSError as e:
        raise StudioError(f"The zip could not be saved: {e.strerror or e}.", "Free some space, then try again.") from None
    return outcomes


def reduced(picture: Image.Image, side: int) -> Image.Image:
    """The picture, downscaled if its longer side has more than `side` px."""
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    return picture.resize([max(1, round(s * scale)) for s in picture.size], Image.Resampling.LANCZOS, reducing_gap=2)


def _put(archive: zipfile.ZipFile, entry: str, data: bytes | Path, folder: Path) -> None:
    if isinstance(data, bytes):
        ensure_room(folder, len(data))
        archive.writestr(entry, data)
        return
    try:
        ensure_room(folder, data.stat().st_size)
        archive.write(data, entry)
    finally:
        data.unlink(missing_ok=True)


def _report(outcomes: Sequence[Outcome], about: str, made: str) -> str:
    lines = ["The pictures in this archive were made by AI, with GAN Studio.", *([about] if about else []), ""]
    lines += [f"{o.name} -> {o.entry}" + (f" ({o.remark})" if o.remark else "") for o in outcomes if o.entry]
    failed = [o for o in outcomes if not o.entry]
    if failed:
        lines += ["", f"Not {made}:", *(o.sentence for o in failed)]
    return "\n".join(lines) + "\n"
