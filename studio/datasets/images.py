"""Image sets for training: a zip or a folder of pictures -> one array of equal squares, cached on disk."""

import contextlib
import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from studio.errors import StudioError
from studio.settings import atomic_folder

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # whatever its name: EPS, say, would start another program
_MAX_FILE_BYTES = 256 << 20
_MAX_FILES = 2_000_000
_CACHE_VERSION = 1  # part of the hash of a set; a change makes every plan of old a plan for other pictures
_LAYOUT = 2  # of the cached folder


@dataclass(frozen=True)
class ImageSet:
    """Pictures ready for training.

    array: (N, H, W, 3) uint8, memory-mapped.  labels: (N,) int64, or None when there is one class.
    classes: names of the classes.  hash: SHA-256 of names and contents (and of `ground`).  skipped: (file, reason) of what was left out.
    """

    array: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    hash: str
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.array)

    @classmethod
    def open(
        cls,
        path: str | Path,
        resolution: int,
        cache: Path,
        progress: Callable[[int, int], None] | None = None,
        ground: tuple[int, int, int] = (255, 255, 255),
    ) -> "ImageSet":
        """Read a zip or a folder.

        Classes are the sub-folders that hold the pictures, when there is more than one, named by their path below
        the folder that all have in common. Pictures are turned upright (EXIF), laid over `ground` where transparent,
        cut to the centre square and resized (Lanczos, pixel art included) unless they have the wanted size already.
        Files that cannot be read or decoded are left out and told in `skipped`. Sorted by name, so that the same
        files always give the same set, from a zip or a folder.
        cache: the decoded set is kept below it.  progress: called with (done, all).
        Raises StudioError when the path cannot be read or holds no usable picture.
        """
        path = Path(path).expanduser()
        digest = hashlib.sha256(f"{_CACHE_VERSION} {ground}".encode())
        files: list[_File] = []
        with _source(path) as (found, skipped):
            for name, read in found:
                try:
                    sha = hashlib.sha256(read()).digest()
                except Exception as e:  # a damaged archive fails in many ways, each of them for one file only
                    skipped.append((name, _reason(e)))
                    continue
                # On Linux a file name need not be text.
                digest.update(name.encode(errors="surrogateescape") + b"\0" + sha)
                files.append(_File(name, read, sha))
            key = digest.hexdigest()
            folder = Path(cache) / "images" / f"{key[:32]}-{resolution}-v{_LAYOUT}"
            kept = _from_cache(folder)
            if kept is None:
                _decode(files, resolution, ground, folder, progress, path, skipped)
                kept = _from_cache(folder)
        array, labels, classes, undecoded = kept
        return cls(
            array=array,
            labels=labels if len(classes) > 1 else None,
            classes=classes if len(classes) > 1 else (),
            hash=key,
            skipped=tuple(sorted([*skipped, *undecoded])),
        )


class _File(NamedTuple):
    name: str  # with forward slashes
    read: Callable[[], bytes]
    sha: bytes


@contextlib.contextmanager
def _source(path: Path) -> Iterator[tuple[list[tuple[str, Callable[[], bytes]]], list[tuple[str, str]]]]:
    """A folder or a zip, open: [(name, function that reads it)] of every picture file, sorted by name, and
    [(name, why not)] of those that are not even looked at."""
    if path.is_dir():
        files = [p for p in path.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file()]
        names = sorted((p.relative_to(path).as_posix(), p) for p in files)
        yield _sift((name, p.stat().st_size, p.read_bytes) for name, p in names)
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise StudioError(f"There is nothing at {path}.", "Give a folder or a zip of pictures.") from None
    except (OSError, ValueError, zipfile.BadZipFile) as e:
        raise StudioError(f"{path} is not a zip that can be read: {e}.", "Give a folder or a zip of pictures.") from None
    with archive:
        members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
        # Nothing is written under the member's name, so an odd path in the archive harms nobody; and no more is
        # unpacked of a member than the size it states.
        yield _sift((m.filename, m.file_size, functools.partial(archive.read, m)) for m in members)


def _sift(found: Iterable[tuple[str, int, Callable[[], bytes]]]):
    files, skipped = [], []
    for count, (name, size, read) in enumerate(found):
        if count >= _MAX_FILES:
            raise StudioError(f"There are more than {_MAX_FILES:,} files.", "Split the set.")
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).suffix.lower() not in _ENDINGS or any(p.startswith((".", "__MACOSX")) for p in parts):
            continue
        if size > _MAX_FILE_BYTES:
            skipped.append((name, f"larger than {_MAX_FILE_BYTES >> 20} MB"))
        else:
            files.append((name, read))
    return files, skipped


def _from_cache(folder: Path):
    """(array, labels, classes, skipped) of an earlier call, or None when it is not there or not whole."""
    try:
        meta = json.loads((folder / "set.json").read_text(encoding="utf-8"))
        array = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        return array, labels, tuple(meta["classes"]), [(name, reason) for name, reason in meta["skipped"]]
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _decode(files, resolution, ground, folder, progress, source, unread) -> None:
    """Write the cached folder.  unread: files that were left out before, for the message when nothing remains."""
    folders, skipped = [], []
    try:
        with atomic_folder(folder) as part:
            # Pictures are written as they are read: memory stays the same for a hundred or a million.
            with open(part / "pixels", "wb") as pixels:
                for i, file in enumerate(files):
                    data = _read_again(file, source)
                    try:
                        square = _square(data, resolution, ground)
                    except Exception as e:  # Pillow's decoders raise nearly anything for a damaged file
                        skipped.append((file.name, _reason(e)))
                    else:
                        # Outside of the try: a full disk is no fault of the picture.
                        pixels.write(square.tobytes())
                        folders.append(_folder_of(file.name))
                    if progress:
                        progress(i + 1, len(files))
            if not folders:
                why = "".join(f" {name}: {reason}." for name, reason in [*unread, *skipped][:1])
                raise StudioError(f"{source} holds no picture that can be read.{why}", "Give PNG, JPEG, WebP, GIF, BMP or TIFF files.")
            order = sorted(set(folders))
            _with_header(part / "pixels", part / "images.npy", (len(folders), resolution, resolution, 3))
            np.save(part / "labels.npy", np.array([order.index(f) for f in folders], dtype=np.int64))
            meta = {"classes": _class_names(order), "skipped": skipped}
            (part / "set.json").write_text(json.dumps(meta), encoding="utf-8")
    except OSError as e:
        raise StudioError(f"The pictures of {source} cannot be prepared: {e.strerror or e}.", f"Is there room on the disk of {folder.parent}?") from e


def _read_again(file: _File, source: Path) -> bytes:
    # The hash names what is cached, so it must be these very bytes.
    try:
        data = file.read()
    except Exception:
        data = None
    if data is None or hashlib.sha256(data).digest() != file.sha:
        raise StudioError(f"{source} changed while it was read.", "Try again when nothing writes to it.")
    return data


def _folder_of(name: str) -> PurePosixPath:
    # Some old programs write zips with the slashes of Windows.
    return PurePosixPath(name.replace("\\", "/")).parent


def _class_names(folders: list[PurePosixPath]) -> list[str]:
    """Sub-folders -> names of classes: the path below the folder that all have in common, 'elf' or 'elf/male'."""
    common = folders[0]
    while not all(f.is_relative_to(common) for f in folders):
        common = common.parent
    return [str(f.relative_to(common)) if f != common else common.name or "other" for f in folders]


def _reason(e: Exception) -> str:
    if isinstance(e, UnidentifiedImageError):  # its own words hold the address of an object
        return "not a picture, or a damaged one"
    return str(e) or type(e).__name__


def _with_header(raw: Path, npy: Path, shape: tuple[int, ...]) -> None:
    array = np.memmap(raw, dtype=np.uint8, mode="r", shape=shape)
    np.save(npy, array)
    del array
    raw.unlink()


def _square(data: bytes, resolution: int, ground: tuple[int, int, int]) -> np.ndarray:
    """One picture file -> (resolution, resolution, 3) uint8."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16") or image.mode == "I":
            image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).clip(0, 255).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            below = Image.new("RGBA", image.size, (*ground, 255))
            image = Image.alpha_composite(below, image)
        image = image.convert("RGB")
    side = min(image.size)
    if image.size != (resolution, resolution):
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((resolution, resolution), Image.LANCZOS)
    return np.asarray(image)
