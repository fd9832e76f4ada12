"""Report of an ingestion: which pictures were accepted, and what was left out and why."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from studio.datasets.labels import NO_LABELS, Labels, pictures_per_class
from studio.datasets.origins import NO_ORIGINS, Origins
from studio.datasets.rights import Consent
from studio.imaging.colour import Colour

OWNERSHIP = "These pictures are mine or I may use them."  # the statement beside the tick box, kept in the set's card
COLOURS = "sRGB"  # on a set's card: profiles were applied to what was converted
EARLIER_COLOURS = (
    "It was made before colour profiles were applied here: TIFF, HEIC, AVIF and CMYK pictures of wide gamuts may be pale. "
    "Add its pictures again to have their colours right."
)


@dataclass(frozen=True)
class AcceptedPicture:
    """A picture that will be in the set."""

    name: str
    """Name in the set, 'cats/tom.png'."""
    source: str
    """Where it came from, 'pets.zip/cats/tom.gif'."""
    sha: str
    """SHA-256 of the stored file, hexadecimal."""
    size: tuple[int, int]
    """Width and height as it came."""
    note: str = ""
    """What was changed; '' = stored as it was."""


@dataclass
class IngestReport:
    """Result of an ingestion. `DataSetStore.add(report)` makes the set; `discard()` deletes the staged pictures."""

    title: str
    owned: bool
    """The answer to `OWNERSHIP`."""
    ground: Colour
    staged: Path
    """Folder where the pictures wait."""
    consent: Consent = Consent()
    accepted: list[AcceptedPicture] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """(file, reason)."""
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    """(file, name of the identical file in the set): left out."""
    near: list[tuple[str, ...]] = field(default_factory=list)
    """Groups of names of pictures that look nearly the same: kept."""
    videos: list[tuple[str, int]] = field(default_factory=list)
    """(file, frames taken)."""
    several: list[tuple[str, str]] = field(default_factory=list)
    """(file, how many of its frames or pages were taken) of animations and files of several pages."""
    labels: Labels = NO_LABELS
    """Of a label file (dataset.json); empty where the sub-folders are the classes."""
    origins: Origins = NO_ORIGINS
    """Under which names the pictures came."""
    label_remarks: list[tuple[str, str]] = field(default_factory=list)
    """(label file, a sentence on what of it could not be used)."""
    locations_removed: int = 0
    """Photographs whose GPS location was removed."""
    ignored: int = 0
    """Files that operating systems leave everywhere, ignored."""

    def __len__(self) -> int:
        return len(self.accepted)

    @property
    def classes(self) -> dict[str, int]:
        """Pictures per class, named as training names them; empty if there is one class."""
        return pictures_per_class((a.name for a in self.accepted), self.labels)

    def lines(self) -> list[str]:
        """The report in plain sentences; the lists themselves are the fields."""
        out = [f"{_count(len(self), 'picture')} added" + (f", in {len(self.classes)} classes." if self.classes else ".")]
        out += [f"{_count(count, 'frame')} of the video {name}." for name, count in self.videos]
        out += [f"{taken} of {name}." for name, taken in self.several]
        if self.labels:
            without = len(self) - len(self.labels.of)
            rest = f"; {_count(without, 'picture')} without one." if without else "."
            out.append(f"The labels of dataset.json are the classes{rest}")
        out += [f"{name}: {remark}." for name, remark in self.label_remarks]
        if self.rejected:
            out.append(f"{_count(len(self.rejected), 'file')} left out: see the list with the reasons.")
        if self.duplicates:
            out.append(f"{_count(len(self.duplicates), 'picture')} left out as exact duplicates; in pairs they still count.")
        if self.near:
            similar = sum(map(len, self.near))
            out.append(f"{similar:,} pictures look nearly the same as another, in {_count(len(self.near), 'group')}; they are kept.")
        if self.locations_removed:
            out.append(f"The GPS location was removed from {_count(self.locations_removed, 'photograph')}.")
        return out

    def discard(self) -> None:
        """Delete the staged pictures. Once the set is made this does nothing."""
        shutil.rmtree(self.staged, ignore_errors=True)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def taken_words(taken: int, count: int, noun: str) -> str:
    """How many of the frames or pages of a file were taken: '3 pages', '200 of 1,000 frames'."""
    return _count(count, noun) if taken == count else f"{taken:,} of {_count(count, noun)}"
