"""Image sets for training: a zip or a folder of pictures -> one array of equal squares, cached on disk."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps

from studio.errors import StudioError
from studio.settings import atomic_folder

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_MAX_FILE_BYTES = 256 << 20
_MAX_FILES = 2_000_000
_CACHE_VERSION = 1


@dataclass(frozen=True)
class ImageSet:
    """Pictures ready for training.

    array: (N, H, W, 3) uint8, memory-mapped.  labels: (N,) int64, or None when there is one class.
    classes: names of the classes.  hash: SHA-256 of names and contents.  skipped: (file, reason) of what was left out.
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

        Classes are the sub-folders that hold the pictures, when there is more than one. Pictures are turned upright
        (EXIF), laid over `ground` where transparent, cut to the centre square and resized (Lanczos) unless they
        have the wanted size already. Sorted by name, so that the same files always give the same set.
        progress: called with (done, all).
        Raises StudioError when the path cannot be read or holds no usable picture.
        """
        path = Path(path).expanduser()
        files = list(_files(path))
        digest = hashlib.sha256(f"{_CACHE_VERSION} {ground}".encode())
        for name, read in files:
            digest.update(name.encode() + b"\0" + hashlib.sha256(read()).digest())
        folder = Path(cache) / "images" / f"{digest.hexdigest()[:32]}-{resolution}"
        if not (folder / "set.json").is_file():
            _decode(files, resolution, ground, digest.hexdigest(), folder, progress, path)
        meta = json.loads((folder / "set.json").read_text(encoding="utf-8"))
        labels = np.load(folder / "labels.npy")
        return cls(
            array=np.load(folder / "images.npy", mmap_mode="r"),
            labels=labels if len(meta["classes"]) > 1 else None,
            classes=tuple(meta["classes"]) if len(meta["classes"]) > 1 else (),
            hash=meta["hash"],
            skipped=tuple((a, b) for a, b in meta["skipped"]),
        )


def _files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name with forward slashes, function that reads it) of every picture file, sorted by name."""
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in _ENDINGS):
            if not any(part.startswith(".") for part in file.relative_to(path).parts):
                yield file.relative_to(path).as_posix(), file.read_bytes
        return
    try:
        archive = zipfile.ZipFile(path)
        members = sorted(archive.infolist(), key=lambda m: m.filename)
    except FileNotFoundError:
        raise StudioError(f"There is nothing at {path}.", "Give a folder or a zip of pictures.") from None
    except (OSError, zipfile.BadZipFile) as e:
        raise StudioError(f"{path} is not a zip that can be read: {e}.", "Give a folder or a zip of pictures.") from None
    if len(members) > _MAX_FILES:
        raise StudioError(f"{path} holds {len(members):,} files.", f"Split it: at most {_MAX_FILES:,} are read.")
    for member in members:
        name = PurePosixPath(member.filename)
        if member.is_dir() or name.suffix.lower() not in _ENDINGS or member.file_size > _MAX_FILE_BYTES:
            continue
        if not any(part.startswith((".", "__MACOSX")) for part in name.parts):
            # Nothing is written under the member's name, so an odd path in the archive harms nobody.
            yield member.filename, lambda member=member: archive.read(member)


def _decode(files, resolution, ground, digest, folder, progress, source) -> None:
    class_names = sorted({str(PurePosixPath(name).parent) for name, _ in files})
    labels, skipped = [], []
    with atomic_folder(folder) as part:
        # Pictures are written as they are read: memory stays the same for a hundred or a million.
        with open(part / "pixels", "wb") as pixels:
            for i, (name, read) in enumerate(files):
                try:
                    pixels.write(_square(read(), resolution, ground).tobytes())
                except (OSError, ValueError, SyntaxError, zipfile.BadZipFile, Image.DecompressionBombError) as e:
                    skipped.append((name, str(e) or type(e).__name__))
                else:
                    labels.append(class_names.index(str(PurePosixPath(name).parent)))
                if progress:
                    progress(i + 1, len(files))
        if not labels:
            raise StudioError(f"{source} holds no picture that can be read.", "Give PNG, JPEG, WebP, GIF, BMP or TIFF files.")
        _with_header(part / "pixels", part / "images.npy", (len(labels), resolution, resolution, 3))
        np.save(part / "labels.npy", np.array(labels, dtype=np.int64))
        names = [PurePosixPath(c).name for c in class_names]
        meta = {"classes": names, "hash": digest, "skipped": skipped}
        (part / "set.json").write_text(json.dumps(meta), encoding="utf-8")


def _with_header(raw: Path, npy: Path, shape: tuple[int, ...]) -> None:
    array = np.memmap(raw, dtype=np.uint8, mode="r", shape=shape)
    np.save(npy, array)
    del array
    raw.unlink()


def _square(data: bytes, resolution: int, ground: tuple[int, int, int]) -> np.ndarray:
    """One picture file -> (resolution, resolution, 3) uint8."""
    with Image.open(io.BytesIO(data)) as image:
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
