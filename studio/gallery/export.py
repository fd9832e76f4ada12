"""Export of gallery files: a zip, or a contact sheet to print or send."""

import contextlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from studio.common.files import atomic_path, ensure_room
from studio.common.progress import Cancel, Progress, raise_if_cancelled, report
from studio.common.text import printable
from studio.errors import StudioError
from studio.gallery.gallery import Gallery
from studio.gallery.items import Item
from studio.gallery.thumbnails import CRISP, small_view
from studio.imaging.xmp import AI_LABEL, PNG_XMP_KEY, DigitalSourceType, xmp_packet
from studio.provenance.signing import sign_in_place

MOST_COLUMNS = 12
MOST_ON_PNG = 400
_DPI = 200
_A4 = (round(21.0 / 2.54 * _DPI), round(29.7 / 2.54 * _DPI))  # px
_PNG_CELL = 320  # px
_PAGES_AT_ONCE = 4  # in memory; a page takes 12 MB


def to_zip(
    gallery: Gallery,
    items: Sequence[Item],
    out: Path,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> int:
    """Write the files unchanged into a zip, in folders by tab -> how many; missing ones are left out. The zip appears whole or not
    at all.

    Raises CancelledError when `cancel` is true, and StudioError when there is nothing to pack or the disk is full.
    """
    packed = 0
    try:
        with atomic_path(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for i, item in enumerate(items):
                raise_if_cancelled(cancel)
                with contextlib.suppress(FileNotFoundError):
                    ensure_room(out.parent, gallery.file(item).stat().st_size)
                    archive.write(gallery.file(item), item.path)
                    packed += 1
                report(progress, i + 1, len(items))
            if not packed:
                raise StudioError("There is nothing to pack.", "Choose pictures that still exist.")
            archive.writestr("README.txt", f"{AI_LABEL}: {packed} files. The recipe of a picture is inside its file.\n")
    except OSError as e:
        raise StudioError(f"The zip could not be made: {e}.", "Free some space.") from None
    return packed


@dataclass(frozen=True)
class _Grid:
    """Layout of the cells of a page; all lengths in pixels."""

    columns: int
    rows: int
    cell: int
    words: int  # height of the label below each cell, 0 = none
    gap: int
    edge: int

    def corner(self, i: int) -> tuple[int, int]:
        row, column = divmod(i, self.columns)
        return self.edge + column * (self.cell + self.gap), self.edge + row * (self.cell + self.words + self.gap)

    @property
    def size(self) -> tuple[int, int]:
        x, y = self.corner(self.rows * self.columns - 1)
        return x + self.cell + self.edge, y + self.cell + self.words + self.edge


def save_contact_sheet(
    gallery: Gallery,
    items: Sequence[Item],
    out: Path,
    columns: int = 5,
    labels: bool = True,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> int:
    """Write thumbnails in rows onto a sheet -> number of pages.

    out: a .png, one sheet of up to 400 pictures on a dark background, or a .pdf, white A4 pages at 200 dpi.  labels: model and seed,
    or the file's name, below each.  A file that cannot be shown leaves its cell empty except for the label.
    Both carry the AI label: the PNG in its XMP, the PDF in its subject.
    Raises CancelledError when `cancel` is true, and StudioError for no pictures, too many of them, or a full disk.
    """
    if not items:
        raise StudioError("There are no pictures for the sheet.", "Choose one or more.")
    if type(columns) is not int or not 1 <= columns <= MOST_COLUMNS:
        raise StudioError(f"A sheet cannot have {columns!r:.20} columns.", f"It can have 1 to {MOST_COLUMNS}.")
    if out.suffix not in (".png", ".pdf"):
        raise StudioError(f"A sheet cannot be saved as '{out.suffix:.20}'.", "Choose .png or .pdf.")
    png = out.suffix == ".png"
    if png and len(items) > MOST_ON_PNG:
        raise StudioError(
            f"A PNG sheet has room for {MOST_ON_PNG} pictures; these are {len(items):,}.", "Choose PDF, which can have several pages."
        )
    grid = _png_grid(len(items), columns, labels) if png else _pdf_grid(columns, labels)
    a_page = grid.columns * grid.rows
    pages = -(-len(items) // a_page)

    def drawn(number: int) -> Image.Image:
        page = Image.new("RGB", grid.size if png else _A4, (20, 20, 23) if png else "white")
        for i, item in enumerate(items[number * a_page : (number + 1) * a_page]):
            raise_if_cancelled(cancel)
            _draw(page, grid, i, gallery, item, (200, 200, 205) if png else (60, 60, 60))
            report(progress, number * a_page + i + 1, len(items))
        return page

    try:
        with atomic_path(out) as part:
            ensure_room(out.parent, pages * 2_000_000)
            if png:
                info = PngImagePlugin.PngInfo()
                info.add_itxt("parameters", AI_LABEL)
                info.add_itxt(PNG_XMP_KEY, xmp_packet(DigitalSourceType.GENERATED))
                drawn(0).save(part, "PNG", pnginfo=info)
                sign_in_place(part, "png", DigitalSourceType.GENERATED)
            else:
                for start in range(0, pages, _PAGES_AT_ONCE):
                    first, *others = (drawn(n) for n in range(start, min(start + _PAGES_AT_ONCE, pages)))
                    first.save(
                        part,
                        "PDF",
                        save_all=True,
                        append_images=others,
                        append=start > 0,
                        resolution=_DPI,
                        quality=90,
                        title="Contact sheet",
                        subject=AI_LABEL,
                        creator="GAN Studio",
                    )
    except OSError as e:
        raise StudioError(f"The sheet could not be saved: {e}.", "Free some space.") from None
    return pages


def _png_grid(count: int, columns: int, labels: bool) -> _Grid:
    columns = min(columns, count)
    return _Grid(columns, -(-count // columns), _PNG_CELL, 26 if labels else 0, 10, 14)


def _pdf_grid(columns: int, labels: bool) -> _Grid:
    edge, gap, words = _DPI // 2, _DPI // 16, _DPI // 7 if labels else 0
    cell = (_A4[0] - 2 * edge - (columns - 1) * gap) // columns
    return _Grid(columns, (_A4[1] - 2 * edge + gap) // (cell + words + gap), cell, words, gap, edge)


def _draw(page: Image.Image, grid: _Grid, i: int, gallery: Gallery, item: Item, ink: tuple[int, int, int]) -> None:
    x, y = grid.corner(i)
    with contextlib.suppress(StudioError):
        view = small_view(gallery.file(item), grid.cell)
        if max(view.size) <= CRISP:  # scaled by a whole number, so that pixels stay square
            times = max(1, grid.cell // max(view.size))
            view = view.resize([s * times for s in view.size], Image.Resampling.NEAREST)
        place = (x + (grid.cell - view.width) // 2, y + (grid.cell - view.height) // 2)
        page.paste(view, place, view if view.mode == "RGBA" else None)
    if grid.words:
        size = max(9, min(round(grid.words * 0.6), grid.cell // 10))
        font = ImageFont.load_default(size)
        draw, text = ImageDraw.Draw(page), _label(item)
        while len(text) > 1 and draw.textlength(text, font) > grid.cell:
            text = text[: -2 if text.endswith(".") else -1].rstrip(".") + "."
        draw.text((x, y + grid.cell + (grid.words - size) // 3), text, fill=ink, font=font)


def _label(item: Item) -> str:
    if not item.model:
        return printable(Path(item.path).stem)
    return printable(item.model if item.seed is None else f"{item.model}, seed {item.seed}")
