"""Ingestion: every picture and video of files, folders and zips is checked, prepared and staged beside the store, with a report."""

import contextlib
import functools
import hashlib
import os
import secrets
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from studio.common.files import fsync_path
from studio.common.progress import Cancel, ItemProgress, raise_if_cancelled, report
from studio.common.text import SafeFolders, UniqueNames, printable, safe_filename
from studio.datasets.ingest_report import AcceptedPicture, IngestReport
from studio.datasets.label_file import MAX_LABEL_FILE, is_label_file, read_label_files, to_labels
from studio.datasets.labels import class_folders, common_folder
from studio.datasets.origins import Origins
from studio.datasets.prepare_picture import PreparedPicture, check_side, png_bytes, prepare_picture, prepare_several, preview_bytes
from studio.datasets.rights import Consent
from studio.datasets.sources import Limits, SourceFile, UploadedFile, copy_file, file_format, open_sources, read_file, read_head
from studio.datasets.staged_pictures import StagedFrames, StagedPicture, stage, stage_frames
from studio.errors import StudioError
from studio.imaging.colour import Colour
from studio.imaging.decode import UnusablePicture, count_pictures, open_picture, reason
from studio.imaging.perceptual_hash import similar_groups
from studio.imaging.video import CONTAINERS, frames, read_video_metadata
from studio.settings import get_settings

_LARGE = 24_000_000  # pixels; of larger pictures one is decoded at a time
_WHY_NOT = {"zip": "a zip inside; give it by itself", "raw": "a camera raw file; export it as JPEG or PNG"}


def ingest(
    paths: Iterable[str | Path | UploadedFile],
    *,
    owned: bool,
    consent: Consent = Consent(),
    title: str = "",
    ground: Colour = (255, 255, 255),
    classes: bool = True,
    keep_equal: bool = False,
    every_frame: bool = True,
    limits: Limits = Limits(),
    home: Path | None = None,
    progress: ItemProgress | None = None,
    cancel: Cancel | None = None,
    workers: int = 2,
) -> IngestReport:
    """Check, prepare and stage every picture and video among files, folders and zips.

    JPEG, PNG and WebP files are stored byte for byte, except that a GPS location is removed from their metadata; the rest of the
    metadata stays. GIF, BMP, TIFF, HEIC, AVIF and frames become PNG. Of identical pictures one is stored, unless `keep_equal`; pictures
    that look nearly the same are reported and kept.

    owned: the answer to `ingest_report.OWNERSHIP`.  consent: whose pictures they are.
    ground: colour under transparent parts when pictures are compared (stored pictures keep their transparency).
    classes: the labels of a dataset.json or, without one, sub-folders become classes; of several folders or zips each is one.
    keep_equal: keep each of several identical files, as half of a pair.
    every_frame: of animations and files of several pages each frame or page becomes a picture, as many as of a video; otherwise the
    first.
    home: the store, where the pictures are staged (default: the studio's).
    progress: called with (files done, all files, name).  cancel: asked before each file and within videos.
    workers: pictures prepared at the same time; memory is that of as many files and of one large decoded picture, whatever
    the number of files.
    Raises CancelledError, and StudioError if a path does not exist, there are too many files, or the disk is full; nothing is
    left behind then.
    """
    paths = [p if isinstance(p, UploadedFile) else Path(p) for p in paths]
    home = Path(home) if home is not None else get_settings().datasets
    found = IngestReport(title.strip() or _title_of(paths), owned, ground, home / f".intake-{secrets.token_hex(6)}.part", consent)
    try:
        (found.staged / "incoming").mkdir(parents=True)
        (found.staged / "previews").mkdir()
        with open_sources(paths, limits) as sources:
            found.rejected += sources.refused
            found.ignored = sources.ignored
            _Ingestion(found, limits, classes, keep_equal, every_frame, progress, cancel, workers).run(sources.files)
    except OSError as e:
        found.discard()
        raise StudioError(f"The pictures cannot be stored: {e.strerror or e}.", f"Is there room on the disk of {home}?") from e
    except BaseException:
        found.discard()
        raise
    return found


@dataclass(frozen=True)
class _KeptPicture:
    """A staged picture that is no duplicate, and what its name in the set is made of.

    stem: safe to be written.  name: of the file as it came, or of the video's frame.
    """

    staged: StagedPicture
    source: str
    file: SourceFile
    stem: str
    name: str


class _Ingestion:
    """One call of `ingest`. Results are used in the order of the files, so that names do not depend on chance."""

    def __init__(
        self,
        report: IngestReport,
        limits: Limits,
        classes: bool,
        keep_equal: bool,
        every_frame: bool,
        progress: ItemProgress | None,
        cancel: Cancel | None,
        workers: int,
    ):
        self.report, self.limits, self.classes = report, limits, classes
        self.keep_equal, self.every_frame = keep_equal, every_frame
        self.progress, self.cancel, self.workers = progress, cancel, max(1, workers)
        self.kept: list[_KeptPicture] = []
        self.first_with: dict[bytes, int] = {}  # SHA-256 of the original -> index into kept
        self.duplicates: list[tuple[str, SourceFile, str, int]] = []  # (source, file, name as of _KeptPicture, index into kept)
        self.names: list[str] = []  # in the set, of those in `kept`
        self.sources: set[str] = set()
        self.large = threading.Lock()
        self.reading = threading.Lock()  # members of one zip share its file
        self.done, self.total = 0, 0

    def run(self, files: list[SourceFile]) -> None:
        """Stage all files and fill the report. Raises CancelledError, OSError of the disk written to."""
        label_files = [f for f in files if is_label_file(f.filename)]
        files = [f for f in files if not is_label_file(f.filename)]
        self.total = len(files)
        self.sources = {f.folders[0] for f in files if f.folders}
        waiting: deque[tuple[SourceFile, Future]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="ingest") as pool:
            try:
                for number, file in enumerate(files):
                    raise_if_cancelled(self.cancel)
                    form = self._format(file)
                    if form in CONTAINERS:
                        while waiting:
                            self._use(*waiting.popleft())
                        self._take_frames(file, form, number)
                        continue
                    waiting.append((file, pool.submit(self._prepare, file, form, number)))
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
        if self.classes:
            self._read_labels(label_files)

    def _report(self, name: str, finished: bool = True) -> None:
        self.done += finished
        report(self.progress, self.done, self.total, name)

    # -- one file ------------------------------------------------------------------------------------------------

    def _format(self, file: SourceFile) -> str:
        try:
            with self.reading:
                return file_format(read_head(file), file.filename)
        except Exception:  # it will fail again where the reason is recorded
            return "picture"

    def _prepare(self, file: SourceFile, form: str, number: int) -> StagedPicture | StagedFrames | str:
        """A staged picture, those of a file of several, or the reason why not; runs in a thread. Raises OSError of the disk written to."""
        incoming, limits = self.report.staged / "incoming", self.limits
        try:
            if form != "picture":
                return _WHY_NOT.get(form, "not a picture or a video")
            if file.size > self.limits.file_bytes:
                return f"larger than {self.limits.file_bytes / 1e6:.0f} MB"
            with self.reading if file.path is None else contextlib.nullcontext():
                data = read_file(file, self.limits.file_bytes)
            with open_picture(data, self.limits.max_pixels) as image:
                pixels, several = image.width * image.height, self.every_frame and count_pictures(image) > 1
            one_by_one = self.large if pixels > _LARGE else contextlib.nullcontext()
            if not several:
                with one_by_one:
                    prepared = prepare_picture(data, self.report.ground, limits.max_pixels, limits.min_side)
        except Exception as e:  # decoders raise nearly anything for a damaged file
            return reason(e)
        if not several:
            return stage(incoming, str(number), prepared, hashlib.sha256(data).digest())
        with one_by_one:
            frames = prepare_several(data, self.report.ground, limits.max_pixels, limits.min_side, limits.frames)
            return stage_frames(incoming, number, frames, self.cancel)

    def _use(self, file: SourceFile, future: Future) -> None:
        result = future.result()
        if isinstance(result, str):
            self.report.rejected.append((file.name, result))
        elif isinstance(result, StagedFrames):
            stem = Path(file.filename).stem[:60]
            for number, staged in result.pictures:
                self._keep(staged, file, f"{stem}-{number:04d}.png", f"{file.name}, {result.noun} {number}")
            if result.pictures:
                self.report.several.append((file.name, result.taken))
            if result.problem:
                self.report.rejected.append((file.name, result.problem))
        else:
            self._keep(result, file, file.filename)
        self._report(file.name)

    def _keep(self, staged: StagedPicture, file: SourceFile, name: str, source: str = "") -> None:
        source = source or file.name
        first = len(self.kept) if self.keep_equal else self.first_with.setdefault(staged.original, len(self.kept))
        preview = staged.file.with_suffix(".preview")
        if first < len(self.kept):
            self.duplicates.append((source, file, name, first))
            staged.file.unlink()
            preview.unlink(missing_ok=True)
            return
        if preview.exists():
            os.replace(preview, self.report.staged / "previews" / f"{staged.sha.hex()}.webp")
        self.kept.append(_KeptPicture(staged, source, file, safe_filename(Path(name).stem), name))
        self.report.locations_removed += staged.location_removed

    def _folders_of(self, file: SourceFile) -> tuple[str, ...]:
        """Folders of a file by which it may belong to a class."""
        if not self.classes:
            return ()
        return file.folders if len(self.sources) > 1 else file.folders[1:]

    # -- videos --------------------------------------------------------------------------------------------------

    def _take_frames(self, file: SourceFile, container: str, number: int) -> None:
        count = 0
        copy = self.report.staged / "incoming" / f"{number}.video"
        try:
            if file.size > self.limits.video_bytes:
                raise UnusablePicture(f"larger than {self.limits.video_bytes / 1e9:.0f} GB")
            if file.path is None:
                copy_file(file, copy, self.limits.video_bytes, self.cancel)
                raise_if_cancelled(self.cancel)
            self._report(file.name, finished=False)
            stem, kept = Path(file.filename).stem, read_video_metadata(file.path or copy, container)

            def at(seconds: float, length: float) -> None:
                self._report(f"{file.name}, {seconds:.0f} s" + (f" of {length:.0f} s" if length else ""), finished=False)

            for frame in frames(
                file.path or copy,
                container,
                every=self.limits.every,
                limit=self.limits.frames,
                max_pixels=self.limits.max_pixels,
                cancel=self.cancel,
                progress=at,
            ):
                image = Image.fromarray(frame.pixels)
                check_side(image.size, self.limits.min_side)
                stored, preview = png_bytes(image, kept), preview_bytes(image, image.size)
                note = f"frame at {frame.seconds:.2f} s"
                prepared = PreparedPicture(stored, ".png", preview, image.size, frame.perceptual_hash, note)
                staged = stage(self.report.staged / "incoming", f"{number}-{count}", prepared, hashlib.sha256(stored).digest())
                self._keep(staged, file, f"{stem[:60]}-{frame.seconds * 1000:08.0f}ms.png", f"{file.name} at {frame.seconds:.2f} s")
                count += 1
        except (StudioError, CancelledError, KeyboardInterrupt):
            raise
        except Exception as e:
            if isinstance(e, OSError) and not _is_av_error(e) and e.filename is None and e.errno is not None:
                raise  # of the disk written to
            self.report.rejected.append((file.name, f"after {count} frames: {reason(e)}" if count else reason(e)))
        finally:
            copy.unlink(missing_ok=True)
        raise_if_cancelled(self.cancel)
        if count:
            self.report.videos.append((file.name, count))
        self._report(file.name)

    # -- the end -------------------------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Give every picture its name and folder in the set, now that all are known."""
        pictures = self.report.staged / "pictures"
        pictures.mkdir()
        unique = UniqueNames()
        spelled: dict[str, str] = {}
        names, origins = self.names, {}
        came_with = [self._folders_of(k.file) for k in self.kept]
        shared = common_folder(came_with) if came_with else ()
        common = len(shared)
        safe = list(map(SafeFolders(), came_with))
        for kept, folders, folder in zip(self.kept, came_with, class_folders(safe), strict=True):
            folder = spelled.setdefault(folder.casefold(), folder)  # 'Cats' and 'cats' are one folder to some systems
            staged = kept.staged
            name = unique(folder, kept.stem, staged.file.suffix)
            target = pictures / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged.file, target)
            names.append(name)
            origins[name] = "/".join((*folders[common:], kept.name))
            self.report.accepted.append(AcceptedPicture(name, kept.source, staged.sha.hex(), staged.size, staged.note))
        (self.report.staged / "incoming").rmdir()
        for folder in [pictures, *(p for p in pictures.rglob("*") if p.is_dir())]:
            fsync_path(folder)
        self.report.duplicates = [(source, names[first]) for source, _, _, first in self.duplicates]
        equal = []
        for _, file, name, first in self.duplicates:
            folders = self._folders_of(file)
            equal.append(("/".join((*(folders[common:] if folders[:common] == shared else folders), name)), names[first]))
        differ = {name: own for name, own in origins.items() if Path(own).with_suffix("") != Path(name).with_suffix("")}
        self.report.origins = Origins(differ, tuple(equal))
        self.report.near = [tuple(names[i] for i in group) for group in similar_groups([k.staged.perceptual_hash for k in self.kept])]
        self.report.accepted.sort(key=lambda a: a.name)
        self.report.rejected.sort()

    def _read_labels(self, files: list[SourceFile]) -> None:
        """The labels of the pictures by the label files of their sources."""
        labels: dict[str, int | str] = {}
        by_source: dict[str, list[SourceFile]] = {}
        for file in files:
            by_source.setdefault(_source_of(file), []).append(file)
        for source, label_files in by_source.items():
            here: dict[str, list[str]] = {}  # of a file of several pictures, all
            for kept, name in zip(self.kept, self.names, strict=True):
                if _source_of(kept.file) == source:
                    here.setdefault(_inner(kept.file), []).append(name)
            read = [(_inner(f), functools.partial(read_file, f, MAX_LABEL_FILE)) for f in label_files]
            found = read_label_files(read, here)
            self.report.label_remarks += [(printable(name), remark) for name, remark in found.remarks]
            labels |= {picture: label for name, label in found.of.items() for picture in here[name]}
        self.report.labels = to_labels(labels)


def _source_of(file: SourceFile) -> str:
    """What a file was given in: of loose files, nothing."""
    return file.folders[0] if file.folders else ""


def _inner(file: SourceFile) -> str:
    """Path of a file within its source, with forward slashes."""
    return file.inner.replace("\\", "/")


def _is_av_error(e: Exception) -> bool:
    return type(e).__module__.startswith("av.")


def _title_of(paths: list[Path | UploadedFile]) -> str:
    if not paths:
        return "Untitled"
    named = paths[0]
    if isinstance(named, UploadedFile):
        top = PurePosixPath(named.name).parts[:1]
        if len({PurePosixPath(p.name).parts[:1] if isinstance(p, UploadedFile) else () for p in paths}) == 1 and "/" in named.name:
            return printable(top[0], 60)  # a folder, chosen in the browser
    first_path = Path(named.name) if isinstance(named, UploadedFile) else named
    first = printable(first_path.stem or first_path.resolve().name or "Untitled", 60)
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"
