"""Full-size pictures for training, decoded once and cached on disk: patches are cut from them at full sharpness."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from studio.common.files import atomic_folder, ensure_room
from studio.common.progress import Progress, report
from studio.datasets.image_set import read_or_make
from studio.datasets.labels import NO_LABELS, Labels
from studio.datasets.origins import NO_ORIGINS, Origins
from studio.datasets.picture_files import FoundPictures, picture_files, read_again
from studio.errors import StudioError
from studio.imaging.colour import Colour, colour_text
from studio.imaging.decode import FORMATS, decode, reason

_LAYOUT = 3  # of the cached folder, and of how pictures are decoded


@dataclass(frozen=True)
class FullSizeImages:
    """Pictures at their own size."""

    pixels: np.ndarray
    """All of them one after the other, uint8, memory-mapped."""
    sizes: np.ndarray
    """(N, 2) heights and widths."""
    names: tuple[str, ...]
    """Of the files, with forward slashes."""
    keys: tuple[bytes, ...]
    """SHA-256 of each file."""
    hash: str
    """SHA-256 of names and contents, as in `ImageSet`."""
    skipped: tuple[tuple[str, str], ...]
    """(file, reason) of what was left out."""
    file_labels: Labels = NO_LABELS
    """Of a label file; upscalers have no use for them."""
    origins: Origins = NO_ORIGINS
    """Under which names the pictures came."""
    labels = None  # classes are of no use here
    _starts: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        ends = np.cumsum(self.sizes.prod(axis=1, dtype=np.int64) * 3)
        object.__setattr__(self, "_starts", np.concatenate([[0], ends]))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> np.ndarray:
        """Picture `i`, (H, W, 3) uint8; read from disk only when it is used."""
        return self.pixels[self._starts[i] : self._starts[i + 1]].reshape(*self.sizes[i], 3)

    @classmethod
    def open(
        cls,
        path: str | Path,
        cache: Path,
        progress: Progress | None = None,
        ground: Colour = (255, 255, 255),
    ) -> "FullSizeImages":
        """Read a zip, a folder of pictures, or the folder of a stored set.

        Pictures are turned upright (EXIF), laid over `ground` where transparent, and sorted by name, so that the same files
        always give the same set.
        cache: the decoded pictures are kept below it.  progress: called with (done, all).
        Raises StudioError if the path cannot be read or holds no usable picture, NoRoom if the disk is too full.
        """
        path = Path(path).expanduser()
        with picture_files(path) as found:
            way = "" if ground == (255, 255, 255) else f"-{colour_text(ground)[1:]}"
            folder = Path(cache) / "whole" / f"{found.hash[:32]}{way}-v{_LAYOUT}"
            pixels, sizes, undecoded = read_or_make(folder, path, _from_cache, lambda: _prepare(found, folder, ground, progress, path))
        left_out = {name for name, _ in undecoded}
        used = [f for f in found.files if f.name not in left_out]
        names, keys = tuple(f.name for f in used), tuple(f.sha for f in used)
        skipped = tuple(sorted([*found.skipped, *undecoded]))
        return cls(pixels, sizes, names, keys, found.hash, skipped, found.labels.among(names), found.origins)


def _from_cache(folder: Path):
    """(pixels, sizes, skipped) of an earlier call; None if it is missing or incomplete."""
    try:
        skipped = json.loads((folder / "set.json").read_text(encoding="utf-8"))["skipped"]
        sizes = np.load(folder / "sizes.npy")
        pixels = np.memmap(folder / "pixels", dtype=np.uint8, mode="r")
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return (pixels, sizes, [(n, why) for n, why in skipped]) if len(pixels) == sizes.prod(axis=1, dtype=np.int64).sum() * 3 else None


def _prepare(found: FoundPictures, folder: Path, ground: Colour, progress, source: Path) -> None:
    """Write the cached folder."""
    sizes, skipped = [], []
    with atomic_folder(folder) as part:
        with open(part / "pixels", "wb") as out:
            for i, file in enumerate(found.files):
                data = read_again(file, source)
                try:
                    picture = decode(data, ground)
                except Exception as e:  # Pillow's decoders raise nearly anything for a damaged file
                    skipped.append((file.name, reason(e)))
                else:
                    # Decoded, pictures are many times as large as their files.
                    ensure_room(part, picture.nbytes)
                    out.write(picture.tobytes())
                    sizes.append(picture.shape[:2])
                report(progress, i + 1, len(found.files))
        if not sizes:
            why = "".join(f" {name}: {text}." for name, text in [*found.skipped, *skipped][:1])
            raise StudioError(f"{source} holds no picture that can be read.{why}", "Give PNG, JPEG, WebP, GIF, BMP or TIFF files.")
        np.save(part / "sizes.npy", np.array(sizes, dtype=np.int64))
        (part / "set.json").write_text(json.dumps({"skipped": skipped}), encoding="utf-8")


def picture_sizes(paths: Iterable[Path]) -> np.ndarray:
    """Sizes of picture files by their headers, without decoding: (N, 2) heights and widths; 0 for a file that cannot be read.

    EXIF orientation is ignored: it makes no difference when a size is compared with a square.
    """
    sizes = []
    for path in paths:
        try:
            with Image.open(path, formats=FORMATS) as image:
                sizes.append((image.height, image.width))
        except Exception:  # Pillow raises nearly anything for a damaged file
            sizes.append((0, 0))
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)
