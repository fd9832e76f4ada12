"""Taking pictures in: each file checked and prepared beside the store, and a report that names what was left out and why."""

import contextlib
import hashlib
import io
import os
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from studio.common.files import fsync_path
from studio.common.progress import Cancel, ItemProgress, raise_if_cancelled, report
from studio.common.text import UniqueNames, printable, safe_filename
from studio.datasets.image_set import class_names
from studio.datasets.rights import Consent
from studio.datasets.sources import Entry, Limits, copy_to, head_of, kind_of, opened, read_all
from studio.errors import StudioError
from studio.imaging.colour import Colour
from studio.imaging.decode import UnusablePicture, open_picture, over_ground, reason, upright
from studio.imaging.location import strip_location
from studio.imaging.perceptual_hash import PerceptualHash, groups, perceptual_hash
from studio.imaging.video import CONTAINERS, frames
from studio.settings import get_settings

OWNED = "These pictures are mine or I may use them."  # the words beside the tick box, kept in the card
PREVIEW = 256  # pixels of the shorter side of the small copies that sheets are made from
_AS_THEY_ARE = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_LARGE = 24_000_000  # pixels; of larger pictures one is decoded at a time
_KINDS = {"zip": "a zip inside; give it by itself", "raw": "a camera raw file; export it as JPEG or PNG"}


@dataclass(frozen=True)
class Accepted:
    """A picture that will be in the set.

    name: in the set, 'cats/tom.png'.  source: where it came from, 'pets.zip/cats/tom.gif'.  sha: SHA-256 of the
    stored file (hexadecimal).  size: (width, height) as it came.  note: what was changed, '' = stored as it was.
    """

    name: str
    source: str
    sha: str
    size: tuple[int, int]
    note: str = ""


@dataclass
class IngestReport:
    """What an intake found. `DataSets.add(report)` makes the set of it; `discard()` throws it away.

    rejected: (file, reason).  duplicates: (file, name of the same file in the set), left out.  near: groups of names
    that look nearly the same, kept.  videos: (file, frames taken).  places_removed: photographs whose GPS place was
    taken out.  ignored: files that systems leave everywhere, passed over.  staged: where the pictures wait.
    """

    title: str
    owned: bool
    ground: Colour
    staged: Path
    consent: Consent = Consent()
    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    near: list[tuple[str, ...]] = field(default_factory=list)
    videos: list[tuple[str, int]] = field(default_factory=list)
    places_removed: int = 0
    ignored: int = 0

    def __len__(self) -> int:
        return len(self.accepted)

    @property
    def classes(self) -> dict[str, int]:
        """Pictures a class, as training will name them; empty when there is one class."""
        return count_classes(a.name for a in self.accepted)

    def lines(self) -> list[str]:
        """The report in plain sentences; the lists themselves are the fields."""
        out = [f"{_many(len(self), 'picture')} taken in" + (f", in {len(self.classes)} classes." if self.classes else ".")]
        out += [f"{_many(count, 'frame')} of the video {name}." for name, count in self.videos]
        if self.rejected:
            out.append(f"{_many(len(self.rejected), 'file')} left out: see the list with the reasons.")
        if self.duplicates:
            out.append(f"{_many(len(self.duplicates), 'file')} left out because the same file was there already.")
        if self.near:
            alike = sum(map(len, self.near))
            out.append(f"{alike:,} pictures look nearly like another, in {_many(len(self.near), 'group')}; they are kept.")
        if self.places_removed:
            out.append(f"The place (GPS) was taken out of {_many(self.places_removed, 'photograph')}.")
        return out

    def discard(self) -> None:
        """Throw the waiting pictures away. Once the set is made this does nothing."""
        shutil.rmtree(self.staged, ignore_errors=True)


def ingest(
    paths: Iterable[str | Path],
    *,
    owned: bool,
    consent: Consent = Consent(),
    title: str = "",
    ground: Colour = (255, 255, 255),
    classes: bool = True,
    limits: Limits = Limits(),
    home: Path | None = None,
    progress: ItemProgress | None = None,
    cancel: Cancel | None = None,
    workers: int = 2,
) -> IngestReport:
    """Check and prepare every picture and video among files, folders and zips.

    JPEG, PNG and WebP files are stored byte for byte, but for the place (GPS) in their metadata, which is taken out;
    the rest of the metadata stays. GIF, BMP, TIFF, HEIC, AVIF and video frames become PNG. Animations give their
    first frame. Of files that are the same byte for byte one is stored; those that look alike are told and kept.
    owned: the answer to `OWNED`.  consent: whose the pictures are.  ground: colour under transparent parts when pictures
    are compared (stored pictures keep their transparency).  classes: sub-folders become classes; of several folders or zips each is one.
    home: the store, where the pictures wait (default: the studio's).  progress: called with (files done, all files,
    name).  cancel: asked before each file and within videos.  workers: pictures prepared at the same time; memory
    is that of so many files and of one large decoded picture, however many there are.
    Raises CancelledError, and StudioError when a path does not exist, there are too many files, or the disk is full;
    nothing is left behind then.
    """
    paths = [Path(p) for p in paths]
    home = Path(home) if home is not None else get_settings().datasets
    report = IngestReport(title.strip() or _title_of(paths), owned, ground, home / f".intake-{secrets.token_hex(6)}.part", consent)
    try:
        (report.staged / "incoming").mkdir(parents=True)
        (report.staged / "previews").mkdir()
        with opened(paths, limits) as found:
            report.rejected += found.refused
            report.ignored = found.ignored
            _Intake(report, limits, classes, progress, cancel, workers).run(found.entries)
    except OSError as e:
        report.discard()
        raise StudioError(f"The pictures cannot be stored: {e.strerror or e}.", f"Is there room on the disk of {home}?") from e
    except BaseException:
        report.discard()
        raise
    return report


def count_classes(names: Iterable[str]) -> dict[str, int]:
    """Names in a set -> pictures a class, in the order and with the names that training gives them."""
    counts: dict[PurePosixPath, int] = {}
    for name in names:
        folder = PurePosixPath(name).parent
        counts[folder] = counts.get(folder, 0) + 1
    order = sorted(counts)
    return dict(zip(class_names(order), (counts[f] for f in order), strict=True)) if len(order) > 1 else {}


def write_synced(path: Path, data: bytes) -> None:
    """Write a file that nobody looks at yet, and wait until it is on the disk."""
    with open(path, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


@dataclass
class _Prepared:
    """A picture that lies in incoming/ under `file`, with its ending."""

    file: Path
    original: bytes  # SHA-256 of the file as it came
    sha: bytes  # of the file as stored
    size: tuple[int, int]
    perceptual_hash: PerceptualHash
    note: str = ""
    place_removed: bool = False


@dataclass
class _Kept:
    prepared: _Prepared
    source: str
    folders: tuple[str, ...]
    stem: str


class _Intake:
    """One call of `ingest`. Results are used in the order of the files, so that names do not hang on chance."""

    def __init__(self, report, limits, classes, progress, cancel, workers):
        self.report, self.limits, self.classes = report, limits, classes
        self.progress, self.cancel, self.workers = progress, cancel, max(1, workers)
        self.kept: list[_Kept] = []
        self.first_with: dict[bytes, int] = {}  # SHA-256 of the original -> index into kept
        self.same: list[tuple[str, int]] = []
        self.large = threading.Lock()
        self.reading = threading.Lock()  # members of one zip share its file
        self.done, self.total = 0, 0

    def run(self, entries: list[Entry]) -> None:
        self.total = len(entries)
        self.sources = {e.folders[0] for e in entries if e.folders}
        waiting: deque[tuple[Entry, Future]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="intake") as pool:
            try:
                for number, entry in enumerate(entries):
                    raise_if_cancelled(self.cancel)
                    kind = self._kind(entry)
                    if kind in CONTAINERS:
                        while waiting:
                            self._use(*waiting.popleft())
                        self._take_video(entry, kind, number)
                        continue
                    waiting.append((entry, pool.submit(self._prepare, entry, kind, number)))
                    if len(waiting) >= 2 * self.workers:
                        self._use(*waiting.popleft())
                while waiting:
                    raise_if_cancelled(self.cancel)
                    self._use(*waiting.popleft())
                raise_if_cancelled(self.cancel)
            except BaseException:
                for _, future in waiting:
                    future.cancel()
                raise
        self._arrange()

    def _tell(self, name: str, finished: bool = True) -> None:
        self.done += finished
        report(self.progress, self.done, self.total, name)

    # -- one file ------------------------------------------------------------------------------------------------

    def _kind(self, entry: Entry) -> str:
        try:
            with self.reading:
                return kind_of(head_of(entry), entry.filename)
        except Exception:  # it will fail again, where the reason is kept
            return "picture"

    def _prepare(self, entry: Entry, kind: str, number: int) -> _Prepared | str:
        """In a thread: a picture in incoming/, or the reason why not. Errors of the disk written to are raised."""
        try:
            if kind != "picture":
                return _KINDS.get(kind, "not a picture or a video")
            if entry.size > self.limits.file_bytes:
                return f"larger than {self.limits.file_bytes / 1e6:.0f} MB"
            with self.reading if entry.path is None else contextlib.nullcontext():
                data = read_all(entry, self.limits.file_bytes)
            with open_picture(data, self.limits.max_pixels) as image:
                pixels = image.width * image.height
            with self.large if pixels > _LARGE else contextlib.nullcontext():
                made = self._convert(data)
        except Exception as e:  # decoders raise nearly anything for a damaged file
            return reason(e)
        stored, ending, preview, facts = made
        return self._put(number, stored, ending, preview, hashlib.sha256(data).digest(), **facts)

    def _convert(self, data: bytes):
        """Bytes of a picture file -> (bytes to store, ending, preview or None, facts for _Prepared)."""
        with open_picture(data, self.limits.max_pixels) as image:
            size, form = image.size, image.format
            self._check_side(size)
            ending = _AS_THEY_ARE.get(form)
            if ending:
                image.draft(None, (2 * PREVIEW, 2 * PREVIEW))  # a JPEG is then read to its end at a fraction of the cost
            upright_image = upright(image)
        seen = perceptual_hash(over_ground(upright_image, self.report.ground))
        note, place_removed = "", False
        if ending:
            try:
                data, place_removed = strip_location(data, form)
            except ValueError:  # Pillow could read what we cannot take apart: keep the pixels alone
                ending, place_removed = None, True
                with open_picture(data, self.limits.max_pixels) as image:
                    upright_image = upright(image)
        if not ending:
            data, ending, note = _png(upright_image), ".png", f"{form} to PNG"
        facts = dict(size=size, perceptual_hash=seen, note=note, place_removed=place_removed)
        return data, ending, _preview(upright_image, size), facts

    def _check_side(self, size: tuple[int, int]) -> None:
        if min(size) < self.limits.min_side:
            raise UnusablePicture(f"too small: {size[0]} x {size[1]} pixels, the shorter side must have {self.limits.min_side}")

    def _put(self, number: int | str, stored: bytes, ending: str, preview: bytes | None, original: bytes, **facts) -> _Prepared:
        file = self.report.staged / "incoming" / f"{number}{ending}"
        write_synced(file, stored)
        sha = hashlib.sha256(stored)
        if preview:
            # No sync: a preview that is lost or torn is made again from the picture.
            file.with_name(f"{number}.preview").write_bytes(preview)
        return _Prepared(file=file, original=original, sha=sha.digest(), **facts)

    def _use(self, entry: Entry, future: Future) -> None:
        result = future.result()
        if isinstance(result, str):
            self.report.rejected.append((entry.name, result))
        else:
            self._keep(result, entry, Path(entry.filename).stem)
        self._tell(entry.name)

    def _keep(self, prepared: _Prepared, entry: Entry, stem: str, source: str = "") -> None:
        source = source or entry.name
        first = self.first_with.setdefault(prepared.original, len(self.kept))
        preview = prepared.file.with_suffix(".preview")
        if first < len(self.kept):
            self.same.append((source, first))
            prepared.file.unlink()
            preview.unlink(missing_ok=True)
            return
        if preview.exists():
            os.replace(preview, self.report.staged / "previews" / f"{prepared.sha.hex()}.webp")
        self.kept.append(_Kept(prepared, source, self._class_of(entry), safe_filename(stem)))
        self.report.places_removed += prepared.place_removed

    def _class_of(self, entry: Entry) -> tuple[str, ...]:
        if not self.classes:
            return ()
        folders = entry.folders if len(self.sources) > 1 else entry.folders[1:]
        return tuple(safe_filename(f, "folder") for f in folders)

    # -- videos --------------------------------------------------------------------------------------------------

    def _take_video(self, entry: Entry, kind: str, number: int) -> None:
        count = 0
        copy = self.report.staged / "incoming" / f"{number}.video"
        try:
            if entry.size > self.limits.video_bytes:
                raise UnusablePicture(f"larger than {self.limits.video_bytes / 1e9:.0f} GB")
            if entry.path is None:
                copy_to(entry, copy, self.limits.video_bytes, self.cancel)
                raise_if_cancelled(self.cancel)
            self._tell(entry.name, finished=False)
            stem = Path(entry.filename).stem

            def at(seconds: float, length: float) -> None:
                self._tell(f"{entry.name}, {seconds:.0f} s" + (f" of {length:.0f} s" if length else ""), finished=False)

            for frame in frames(
                entry.path or copy,
                kind,
                every=self.limits.every,
                limit=self.limits.frames,
                max_pixels=self.limits.max_pixels,
                cancel=self.cancel,
                progress=at,
            ):
                image = Image.fromarray(frame.pixels)
                self._check_side(image.size)
                stored = _png(image)
                facts = dict(size=image.size, perceptual_hash=frame.perceptual_hash, note=f"frame at {frame.seconds:.2f} s")
                original = hashlib.sha256(stored).digest()
                prepared = self._put(f"{number}-{count}", stored, ".png", _preview(image, image.size), original, **facts)
                self._keep(prepared, entry, f"{stem[:60]}-{frame.seconds * 1000:08.0f}ms", f"{entry.name} at {frame.seconds:.2f} s")
                count += 1
        except (StudioError, CancelledError, KeyboardInterrupt):
            raise
        except Exception as e:
            if isinstance(e, OSError) and not _is_av_error(e) and e.filename is None and e.errno is not None:
                raise  # of the disk written to
            self.report.rejected.append((entry.name, f"after {count} frames: {reason(e)}" if count else reason(e)))
        finally:
            copy.unlink(missing_ok=True)
        raise_if_cancelled(self.cancel)
        if count:
            self.report.videos.append((entry.name, count))
        self._tell(entry.name)

    # -- the end -------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Give every picture its name and folder in the set, now that all are known."""
        pictures = self.report.staged / "pictures"
        pictures.mkdir()
        unique = UniqueNames()
        spelled: dict[str, str] = {}
        names = []
        for kept, folder in zip(self.kept, _folders([k.folders for k in self.kept]), strict=True):
            folder = spelled.setdefault(folder.casefold(), folder)  # 'Cats' and 'cats' are one folder to some systems
            name = unique(folder, kept.stem, kept.prepared.file.suffix)
            target = pictures / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(kept.prepared.file, target)
            names.append(name)
            self.report.accepted.append(Accepted(name, kept.source, kept.prepared.sha.hex(), kept.prepared.size, kept.prepared.note))
        (self.report.staged / "incoming").rmdir()
        for folder in [pictures, *(p for p in pictures.rglob("*") if p.is_dir())]:
            fsync_path(folder)
        self.report.duplicates = [(source, names[first]) for source, first in self.same]
        self.report.near = [tuple(names[i] for i in group) for group in groups([k.prepared.perceptual_hash for k in self.kept])]
        self.report.accepted.sort(key=lambda a: a.name)
        self.report.rejected.sort()


def _folders(all_folders: list[tuple[str, ...]]) -> list[str]:
    """Folders of the pictures -> 'a/b', less what all have in common. Loose pictures beside classes get a class."""
    if not all_folders:
        return []
    common = os.path.commonprefix(all_folders)
    below = [f[len(common) :] for f in all_folders]
    if all(not b for b in below):
        return [""] * len(below)
    loose = (common[-1] if common else "other",)
    return ["/".join(b or loose) for b in below]


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4, icc_profile=image.info.get("icc_profile"))
    return file.getvalue()


def _preview(image: Image.Image, size: tuple[int, int]) -> bytes | None:
    """A small WebP of an upright picture whose file has `size`; None when the file itself is small."""
    if min(size) <= PREVIEW or max(size) > 40 * min(size):
        return None
    scale = PREVIEW / min(image.size)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.BICUBIC, reducing_gap=2.0)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=85, method=2)
    return file.getvalue()


def _is_av_error(e: Exception) -> bool:
    return type(e).__module__.startswith("av.")


def _title_of(paths: list[Path]) -> str:
    if not paths:
        return "Untitled"
    first = printable(paths[0].stem or paths[0].resolve().name or "Untitled", 60)
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
