"""Training sets as training sees them, for notebooks and checks: `studio.dataset` and `studio.pairs`."""

import functools
import operator
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import SupportsIndex

import numpy as np

from studio.datasets.full_size import FullSizeImages
from studio.datasets.image_set import ImageSet
from studio.datasets.labels import label_pictures
from studio.datasets.pairs import BY_NAME, PairNames, pair_sets
from studio.datasets.set_card import is_stored_set, read_card
from studio.datasets.store import DataSetStore
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.imaging.decode import decode
from studio.settings import get_settings


class TrainingPictures:
    """The pictures of a set, in the order of training: `len`, iteration, and by index or name uint8 (H, W, 3) in sRGB.

    Made by `dataset`. Of a stored set pictures are decoded when they are asked for.
    """

    def __init__(self, path: Path, resolution: int | None):
        self.path, self.resolution = path, resolution
        card = read_card(path) if is_stored_set(path) else None
        about = card.raw if card else {}
        self._crop, self._ground = str(about.get("crop", "centre")), parse_colour(str(about.get("ground", "#ffffff")))
        if card is not None:
            stored, labels, self._origins = [name for name, _ in card.pictures], card.labels, card.origins
            self.skipped: list[tuple[str, str]] = [(str(name), str(why)) for name, why in about.get("rejected", [])]
        else:
            found = self._full_size
            stored, labels, self._origins = list(found.names), found.file_labels, found.origins
            self.skipped = list(found.skipped)
        self._stored: list[str] = stored
        self.names: list[str] = self._origins.shown(stored)
        """Of the pictures, with forward slashes: the names they came under where those are unique."""
        classes, self.labels = label_pictures(stored, labels)
        """The class of each picture: its index in `classes`, or None."""
        self.classes: list[str] = list(classes)
        """Names of the classes; empty if there are none."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, which: SupportsIndex | str) -> np.ndarray:
        """Picture by index, or by a name in `names` or of `pairs`: uint8 (H, W, 3) in sRGB, square with a resolution.

        Raises IndexError, and StudioError for a name that is not there.
        """
        if isinstance(which, str):
            row = self._rows.get(which)
            if row is None:
                raise StudioError(f"The set has no picture '{which}'.", "'names' lists those that are there.")
        else:
            row = range(len(self))[operator.index(which)]
        if self.resolution is not None:
            return np.array(self._squares.array[row])
        if is_stored_set(self.path):
            return np.array(decode(self.path / "pictures" / self._stored[row], self._ground))
        return np.array(self._full_size[row])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"<{len(self):,} training pictures{classes} of {self.path}>"

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each class."""
        counts = Counter(self.labels)
        return {name: counts[i] for i, name in enumerate(self.classes)}

    @property
    def pair_names(self) -> PairNames:
        """The names by which the pictures find partners in another set."""
        return PairNames.of(self._stored, self._origins)

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        found = self.pair_names
        return {**dict(zip(found.names, found.rows, strict=True)), **{name: i for i, name in enumerate(self.names)}}

    @functools.cached_property
    def _full_size(self) -> FullSizeImages:
        return FullSizeImages.open(self.path, get_settings().cache, ground=self._ground)

    @functools.cached_property
    def _squares(self) -> ImageSet:
        assert self.resolution is not None
        return ImageSet.open(self.path, self.resolution, get_settings().cache, ground=self._ground, crop=self._crop)


def dataset(name_or_path: str | Path, resolution: int | None = None) -> TrainingPictures:
    """A training set by its title, the first letters of its id, or the path of a folder or zip, as training sees it.

    resolution: pixels a side of squares, cropped as the set's card says; None = the pictures at their own size.
    Raises StudioError if there is no such set, or nothing in it can be used.
    """
    if resolution is not None and not 1 <= resolution <= 8192:
        raise StudioError(f"The resolution is {resolution}.", "Give pixels a side, 1 to 8192, or None.")
    return TrainingPictures(_path_of(name_or_path), resolution)


def pairs(a: str | Path | TrainingPictures, b: str | Path | TrainingPictures, by: str = BY_NAME) -> list[tuple[str, str]]:
    """(name in A, name in B) of the pictures that belong together in two sets, as pix2pix learns from them.

    a, b: as of `dataset`, or what it gave.  by: 'name' or 'order'.  Equal pictures under several names are in several pairs.
    Raises StudioError if there is no pair.
    """
    sides = [side if isinstance(side, TrainingPictures) else dataset(side) for side in (a, b)]
    return list(pair_sets(sides[0].pair_names, sides[1].pair_names, by).names)


def _path_of(name_or_path: str | Path) -> Path:
    path, store = Path(name_or_path).expanduser(), DataSetStore()
    if isinstance(name_or_path, Path) or "/" in name_or_path or os.sep in name_or_path:
        return path
    # A title comes before a folder of that name in the current folder, and that before the first letters of an id.
    if not any(name_or_path in (s.title, s.id) for s in store.list()) and path.exists():
        return path
    return store.get(name_or_path).path
