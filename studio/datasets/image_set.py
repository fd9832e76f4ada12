"""Image sets for training: the pictures of a zip or folder as one array of equal squares, cached on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import filelock
import numpy as np

from studio.common.files import atomic_folder
from studio.common.progress import Progress, report
from studio.datasets.labels import label_pictures
from studio.datasets.origins import NO_ORIGINS, Origins
from studio.datasets.picture_files import FoundPictures, picture_files, read_again
from studio.errors import StudioError
from studio.imaging.colour import Colour, colour_text
from studio.imaging.crop import check_mode
from studio.imaging.crop import crop as crop_square
from studio.imaging.decode import decode, reason

T = TypeVar("T")
_LAYOUT = 4  # of the cached folder, and of how pictures are decoded


@dataclass(frozen=True)
class ImageSet:
    """Pictures ready for training."""

    array: np.ndarray
    """(N, H, W, 3) uint8, memory-mapped."""
    labels: np.ndarray | None
    """(N,) int64 class numbers, -1 = a picture without a class; None if there is one class."""
    classes: tuple[str, ...]
    """Names of the classes; empty if there is one."""
    hash: str
    """SHA-256 of names and contents (`content_hash`)."""
    skipped: tuple[tuple[str, str], ...]
    """(file, reason) of what was left out."""
    names: tuple[str, ...] = ()
    """Of the files, in the order of the array, with forward slashes."""
    origins: Origins = NO_ORIGINS
    """Under which names the pictures came."""

    def __len__(self) -> int:
        return len(self.array)

    @classmethod
    def open(
        cls,
        path: str | Path,
        resolution: int,
        cache: Path,
        progress: Progress | None = None,
        ground: Colour = (255, 255, 255),
        crop: str = "centre",
    ) -> "ImageSet":
        """Read a zip, a folder of pictures, or the folder of a stored set (`store.DataSet.path`).

        Classes are those of a dataset.json, as the tools of StyleGAN2 write it, or else the sub-folders that hold the pictures, if
        there is more than one, named by their path below the folder that all have in common. Pictures are turned upright (EXIF),
        laid over `ground` where transparent, cropped to squares (`crop`: 'centre', 'smart' or 'fit', see `imaging.crop`) and resized
        to `resolution` (Lanczos, pixel art included) unless they have that size already. Neither `ground` nor `crop` is part of the
        hash. Files that cannot be read or decoded are left out and listed in `skipped`. Pictures are sorted by name, so that the
        same files always give the same set, from a zip or a folder.

        resolution: pixels per side.  cache: the decoded set is kept below it.  progress: called with (done, all).
        Raises StudioError if the path cannot be read or holds no usable picture.
        """
        path = Path(path).expanduser()
        check_mode(crop)
        with picture_files(path) as found:
            way = "" if (crop, ground) == ("centre", (255, 255, 255)) else f"-{crop}-{colour_text(ground)[1:]}"
            folder = Path(cache) / "images" / f"{found.hash[:32]}-{resolution}{way}-v{_LAYOUT}"

            def make() -> None:
                _decode(found, lambda data: _square(data, resolution, ground, crop), resolution, folder, progress, path)

            array, labels, classes, undecoded = read_or_make(folder, path, _from_cache, make)
        left_out = {name for name, _ in undecoded}
        return cls(
            array=array,
            labels=labels if len(classes) > 1 else None,
            classes=classes if len(classes) > 1 else (),
            hash=found.hash,
            skipped=tuple(sorted([*found.skipped, *undecoded])),
            names=tuple(f.name for f in found.files if f.name not in left_out),
            origins=found.origins,
        )


def _from_cache(folder: Path):
    """(array, labels, classes, skipped) of an earlier call; None if it is missing or incomplete."""
    try:
        meta = json.loads((folder / "set.json").read_text(encoding="utf-8"))
        array = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        return array, labels, tuple(meta["classes"]), [(name, reason) for name, reason in meta["skipped"]]
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def read_or_make(folder: Path, source: Path, read: Callable[[Path], T | None], make: Callable[[], None]) -> T:
    """Contents of a folder in the cache, which is made first if it is missing.

    Other processes may call it at the same time: those of one training all start together.
    folder: in the cache.  source: what it is made from, for the message.  read: its contents, or None if it is missing.
    make: writes it.  Raises StudioError if it cannot be written.
    """
    cached = read(folder)
    if cached is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f"{folder}.lock"):
                if read(folder) is None:
                    make()
        except OSError as e:
            raise StudioError(
                f"The pictures of {source} cannot be prepared: {e.strerror or e}.", f"Is there room on the disk of {folder.parent}?"
            ) from e
        cached = read(folder)
        if cached is None:
            raise StudioError(f"The pictures of {source} cannot be read back from {folder}.", "Try again.")
    return cached


def _decode(found: FoundPictures, square_of, resolution, folder, progress, source) -> None:
    """Write the cached folder."""
    names, skipped = [], []
    with atomic_folder(folder) as part:
        # Pictures are written as they are read: memory stays the same for a hundred or a million.
        with open(part / "pixels", "wb") as pixels:
            for i, file in enumerate(found.files):
                data = read_again(file, source)
                try:
                    square = square_of(data)
                except Exception as e:  # Pillow's decoders raise nearly anything for a damaged file
                    skipped.append((file.name, reason(e)))
                else:
                    # Outside the try: a full disk is not the picture's fault.
                    pixels.write(square.tobytes())
                    names.append(file.name)
                report(progress, i + 1, len(found.files))
        if not names:
            why = "".join(f" {name}: {reason}." for name, reason in [*found.skipped, *skipped][:1])
            raise StudioError(f"{source} holds no picture that can be read.{why}", "Give PNG, JPEG, WebP, GIF, BMP or TIFF files.")
        classes, labels = label_pictures(names, found.labels)
        _with_header(part / "pixels", part / "images.npy", (len(names), resolution, resolution, 3))
        np.save(part / "labels.npy", np.array([-1 if i is None else i for i in labels], dtype=np.int64))
        meta = {"classes": classes, "skipped": skipped}
        (part / "set.json").write_text(json.dumps(meta), encoding="utf-8")


def _with_header(raw: Path, npy: Path, shape: tuple[int, ...]) -> None:
    array = np.memmap(raw, dtype=np.uint8, mode="r", shape=shape)
    np.save(npy, array)
    del array
    raw.unlink()


def _square(data: bytes, resolution: int, ground: Colour, crop: str) -> np.ndarray:
    """Square of one picture file, (resolution, resolution, 3) uint8."""
    return crop_square(decode(data, ground), resolution, crop, ground)
