"""Pictures that hold a pair side by side, input left and target right, as pix2pix's data sets do: recognised, and split into two sets."""

import tempfile
from pathlib import Path

from PIL import Image

from studio.common.progress import Cancel, ItemProgress
from studio.datasets.full_size import picture_sizes
from studio.datasets.prepare_picture import png_bytes
from studio.datasets.sources import Limits, UploadedFile
from studio.datasets.store import DataSet, DataSetStore
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.imaging.decode import open_picture, upright

_LOOKED_AT = 200  # pictures, spread over the set


def looks_side_by_side(stored: DataSet) -> bool:
    """Whether nearly all pictures of a set are twice as wide as high, as two squares side by side are."""
    names = stored.names()
    some = names[:: max(1, len(names) // _LOOKED_AT)]
    sizes = picture_sizes(stored.picture(name) for name in some)
    return bool(len(sizes)) and ((abs(sizes[:, 1] - 2 * sizes[:, 0]) <= 2) & (sizes[:, 0] > 0)).mean() >= 0.95


def split_side_by_side(
    store: DataSetStore, id: str, progress: ItemProgress | None = None, cancel: Cancel | None = None
) -> tuple[DataSet, DataSet]:
    """Two new sets of the left and the right halves of a set's pictures, under the same names; the set itself stays as it is.

    Raises StudioError if the pictures are not all at least two pixels wide, and as `DataSetStore.ingest` and `add`; CancelledError.
    """
    stored = store.get(id)
    names, sides = stored.names(), []
    with tempfile.TemporaryDirectory(prefix="studio-split-") as scratch:
        for side, letter in enumerate("AB"):
            files = []
            for number, name in enumerate(names):
                path = Path(scratch) / f"{side}-{number}.png"
                path.write_bytes(_half(stored.picture(name), side))
                # A folder above all, as a folder that is added has one.
                files.append(UploadedFile(path, f"{letter}/{name}"))
            report = store.ingest(
                files,
                owned=stored.owned,
                consent=stored.consent,
                title=f"{stored.title} {letter}",
                ground=parse_colour(stored.card.get("ground", "#ffffff")),
                keep_equal=True,
                limits=Limits(min_side=1),
                progress=progress,
                cancel=cancel,
            )
            try:
                sides.append(store.add(report, crop=stored.card.get("crop", "centre")))
            finally:
                report.discard()
            for file in files:
                file.path.unlink()
    return sides[0], sides[1]


def _half(path: Path, side: int) -> bytes:
    """The left (0) or right (1) half of a picture as a PNG file; of an odd width the middle column is in neither."""
    with open_picture(path) as opened:
        picture: Image.Image = upright(opened)
    width = picture.width // 2
    if not width:
        raise StudioError(f"'{path.name}' is only one pixel wide.", "Remove it from the set.")
    left = 0 if side == 0 else picture.width - width
    return png_bytes(picture.crop((left, 0, left + width, picture.height)))
