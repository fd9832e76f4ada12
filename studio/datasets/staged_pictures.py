"""Prepared pictures on the disk, before they are a training set."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from studio.common.progress import Cancel, raise_if_cancelled
from studio.datasets.ingest_report import taken_words
from studio.datasets.prepare_picture import PictureOfSeveral, PreparedPicture
from studio.imaging.decode import reason
from studio.imaging.perceptual_hash import PerceptualHash


@dataclass(frozen=True)
class StagedPicture:
    """A prepared picture on the disk: `file` in the folder incoming/. Its bytes are no longer held in memory.

    original: SHA-256 of the file as it came, or of the frame's PNG.  sha: SHA-256 of the file as stored.
    """

    file: Path
    original: bytes
    sha: bytes
    size: tuple[int, int]
    perceptual_hash: PerceptualHash
    note: str
    location_removed: bool


@dataclass
class StagedFrames:
    """The staged frames or pages of one file, with their numbers from 1.

    count: of all in the file.  noun: 'frame' or 'page'.  problem: why there are no more; '' = these are all that were wanted.
    """

    pictures: list[tuple[int, StagedPicture]] = field(default_factory=list)
    count: int = 0
    noun: str = ""
    problem: str = ""

    @property
    def taken(self) -> str:
        """How many of them are here, '3 pages' or '200 of 1,000 frames'."""
        return taken_words(len(self.pictures), self.count, self.noun)


def stage(incoming: Path, number: str, prepared: PreparedPicture, original: bytes) -> StagedPicture:
    """Write a prepared picture and its preview.  number: their name.  original: as of `StagedPicture`.  Raises OSError of the disk."""
    file = incoming / f"{number}{prepared.ending}"
    write_synced(file, prepared.stored)
    if prepared.preview:
        # No sync: a preview that is lost or torn is made again from the picture.
        file.with_name(f"{number}.preview").write_bytes(prepared.preview)
    sha = hashlib.sha256(prepared.stored).digest()
    return StagedPicture(file, original, sha, prepared.size, prepared.perceptual_hash, prepared.note, prepared.location_removed)


def stage_frames(incoming: Path, number: int, frames: Iterator[PictureOfSeveral], cancel: Cancel | None) -> StagedFrames:
    """Write the frames or pages of a file, those before a damaged one where one is damaged. Raises CancelledError, OSError of the disk."""
    out = StagedFrames()
    while True:
        raise_if_cancelled(cancel)
        try:
            frame = next(frames, None)
        except Exception as e:  # decoders raise nearly anything for a damaged file
            taken = len(out.pictures)
            out.problem = f"after {taken_words(taken, taken, out.noun)}: {reason(e)}" if taken else reason(e)
            return out
        if frame is None:
            return out
        staged = stage(incoming, f"{number}-{frame.number}", frame.prepared, hashlib.sha256(frame.prepared.stored).digest())
        out.pictures.append((frame.number, staged))
        out.count, out.noun = frame.count, frame.noun


def write_synced(path: Path, data: bytes) -> None:
    """Write a file that is not in use yet, and wait until it is on the disk."""
    with open(path, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
