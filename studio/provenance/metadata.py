"""Metadata of saved pictures: the AI label, and their Recipe or ImageRecipe if the policy includes recipes.

XMP holds both in PNG, WebP, JPEG and GIF, and most tools keep it. A PNG also holds the recipe as plain JSON, and as readable text
("parameters") that other tools display.
"""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from PIL import Image, PngImagePlugin

from studio.common.files import atomic_write
from studio.engine.image_recipe import ImageRecipe, recipe_from
from studio.engine.recipe import Recipe, Transform, parse_json, unpack_link
from studio.errors import StudioError
from studio.imaging.colour import eight_bits
from studio.imaging.decode import over_ground
from studio.imaging.source_metadata import NO_METADATA, SourceMetadata, read_source_metadata
from studio.imaging.xmp import AI_LABEL, PNG_XMP_KEY, DigitalSourceType, gif_xmp, xmp_packet
from studio.provenance.made_by import MadeBy, digital_source_type, source_file
from studio.provenance.policy import provenance_policy
from studio.provenance.signing import signed

R = TypeVar("R", Recipe, ImageRecipe)
PictureFile = str | Path | bytes | Image.Image

_JSON_KEY = "gan-studio-recipe"
_TEXT_KEY = "parameters"
_MAX_XMP = 4 << 20
MAX_WEBP_SIDE, _MAX_JPEG_SIDE = 16383, 65500
_MAX_JPEG_XMP = 65_500
_MAX_JPEG_TEXT = 50_000  # bytes of the source's texts; the recipe needs its room, too
JPEG_QUALITY = 92  # where none is chosen
_MAX_FILE = 512 << 20


def kept_metadata(source: str | Path | None) -> SourceMetadata:
    """What a result keeps of the metadata of its source file, as the policy says: author, rights, content, size in print."""
    return read_source_metadata(Path(source)) if source is not None and provenance_policy().source_metadata else NO_METADATA


def xmp_for(made_by: MadeBy | None, kept: SourceMetadata = NO_METADATA) -> str:
    """XMP packet for a file; '' if no network made it. It holds the recipe if the policy includes recipes.  kept: of its source."""
    if made_by is None:
        return ""
    if isinstance(made_by, DigitalSourceType) or not provenance_policy().includes_recipe:
        return xmp_packet(digital_source_type(made_by), kept=kept.xmp)
    return xmp_packet(digital_source_type(made_by), made_by.model, made_by.to_link(), kept.xmp)


def _readable_text(recipe: Recipe | ImageRecipe) -> str:
    lines = _image_recipe_lines(recipe) if isinstance(recipe, ImageRecipe) else _recipe_lines(recipe)
    return "\n".join([*lines, AI_LABEL])


def _image_recipe_lines(recipe: ImageRecipe) -> list[str]:
    parts = [f"model: {recipe.model}"]
    upscaled = f"upscaled: {recipe.scale:g} times" if recipe.scale else "upscaled"
    parts.append(f"translated: {recipe.direction}" if recipe.verb == "translate" else upscaled)
    parts.append(f"strength: {recipe.strength:g}")
    parts += ["colours of the source"] * recipe.keep_colour
    parts += [f"repeated: {recipe.repeat} times"] * (recipe.repeat > 1)
    parts += ["seamless"] * recipe.seamless
    parts += [f"source: SHA-256 {recipe.source}"] * bool(recipe.source)
    return parts


def _recipe_lines(recipe: Recipe) -> list[str]:
    parts = [f"model: {recipe.model}"]
    if recipe.latent is None:
        parts.append("seed: " + ", ".join(f"{s.seed} x {s.weight:g}" if len(recipe.seeds) > 1 else str(s.seed) for s in recipe.seeds))
    parts.append(f"truncation psi: {recipe.psi:g}")
    parts += [f"class: {c.index} x {c.weight:g}" for c in recipe.classes]
    parts += [f"mix: seed {m.seed} in layers {m.layers[0]}-{m.layers[1] - 1} x {m.weight:g}" for m in recipe.mixes]
    parts += [f"edit: {e.direction} x {e.strength:g}" for e in recipe.edits]
    parts.append(f"noise: {recipe.noise.mode}")
    parts += [f"bend: {b.layer} {b.operation} {b.amount:g}, channels {b.channels}" for b in recipe.bends if b.active]
    parts += [f"area: seed {a.seed}, {a.shape} x {a.weight:g}" for a in recipe.areas]
    parts += [f"{name}: {getattr(recipe.canvas, name)}" for name in _changed_fields(recipe.canvas)]
    parts += [f"{name.replace('_', ' ')}: {getattr(recipe.colour, name)}" for name in _changed_fields(recipe.colour)]
    place = recipe.transform
    if place != Transform():
        parts.append(f"moved: {place.x:g} right, {place.y:g} down, turned: {place.rotate:g} degrees")
    return parts


def _changed_fields(settings: Any) -> list[str]:
    """Names of the fields of a dataclass that do not have their default."""
    return [f.name for f in dataclasses.fields(settings) if getattr(settings, f.name) != f.default]


def png_texts(made_by: MadeBy, kept: SourceMetadata = NO_METADATA) -> list[tuple[str, str]]:
    """Text chunks of a PNG for its provenance, as (key, text); with the recipe if the policy includes recipes.  kept: of its source."""
    if isinstance(made_by, DigitalSourceType) or not provenance_policy().includes_recipe:
        return [(_TEXT_KEY, AI_LABEL), (PNG_XMP_KEY, xmp_for(made_by, kept))]
    return [(_JSON_KEY, made_by.to_json()), (_TEXT_KEY, _readable_text(made_by)), (PNG_XMP_KEY, xmp_for(made_by, kept))]


def encode(
    picture: np.ndarray | Image.Image,
    made_by: MadeBy | None,
    format: str = "png",
    quality: int | None = None,
    kept: SourceMetadata = NO_METADATA,
) -> bytes:
    """Encode uint8 (H, W, 3), or an image with its transparency and colour profile, as a PNG, WebP or JPEG with its metadata.

    made_by: the recipe; a DigitalSourceType for the AI label alone; None for a picture that no network made.
    format: 'png', 'webp' or 'jpeg' ('jpg'), which has no transparency: white is behind it.
    quality: of WebP and JPEG, 1..100; None = a lossless WebP, a JPEG of 92.  kept: what is kept of the source's metadata.
    Raises StudioError for another format, a WebP of more than 16383 px a side, or a JPEG of more than 65500.
    """
    image, buffer = picture if isinstance(picture, Image.Image) else Image.fromarray(picture), io.BytesIO()
    profile = image.info.get("icc_profile")
    if format == "png":
        info = PngImagePlugin.PngInfo()
        for key, text in png_texts(made_by, kept) if made_by is not None else ():
            info.add_itxt(key, text)
        image.save(buffer, "PNG", pnginfo=info, icc_profile=profile, exif=kept.exif, dpi=(kept.dpi, kept.dpi) if kept.dpi else None)
    elif format == "webp":
        if max(image.size) > MAX_WEBP_SIDE:
            raise StudioError(f"A WebP cannot be larger than {MAX_WEBP_SIDE} px a side.", "Choose png.")
        image = eight_bits(image) if image.mode.startswith("I") else image
        image.save(buffer, "WEBP", xmp=xmp_for(made_by, kept).encode(), exif=kept.exif, icc_profile=profile, **webp_options(quality))
    elif format in ("jpeg", "jpg"):
        if max(image.size) > _MAX_JPEG_SIDE:
            raise StudioError(f"A JPEG cannot be larger than {_MAX_JPEG_SIDE} px a side.", "Choose png.")
        kept, dpi = _kept_by_jpeg(kept), (round(kept.dpi), round(kept.dpi)) if kept.dpi else (0, 0)
        packet = xmp_for(made_by, kept).encode()
        if len(packet) > _MAX_JPEG_XMP:
            raise StudioError("The recipe is too long for a JPEG.", "Choose png or webp.")
        # Every pixel keeps its own colour: halved chroma would soften what was drawn.
        options = {"quality": quality or JPEG_QUALITY, "subsampling": 0, "dpi": dpi}
        _for_jpeg(image).save(buffer, "JPEG", xmp=packet, exif=kept.exif, icc_profile=profile, **options)
    else:
        raise StudioError(f"Pictures cannot be saved as '{format}'.", "Choose png, webp or jpeg.")
    return buffer.getvalue()


def webp_options(quality: int | None) -> dict[str, Any]:
    """Options of Pillow's WebP writer.  quality: 1 to 100; None = lossless, to the colour of what is transparent."""
    return {"lossless": True, "exact": True} if quality is None else {"quality": quality}


def _for_jpeg(image: Image.Image) -> Image.Image:
    """The picture in 8 bits without transparency: RGB or L."""
    image = eight_bits(image) if image.mode.startswith("I") else image
    if image.mode == "LA":  # its profile may be one for grey alone
        return Image.composite(image.getchannel("L"), Image.new("L", image.size, 255), image.getchannel("A"))
    return image if image.mode == "L" else over_ground(image, (255, 255, 255))


def _kept_by_jpeg(kept: SourceMetadata) -> SourceMetadata:
    """What a JPEG has room for, in segments of 64 kB: without the longest texts."""
    texts = {f.name: value for f in dataclasses.fields(kept) if isinstance(value := getattr(kept, f.name), str)}
    while texts and max(len(kept.xmp.encode()), len(kept.exif)) > _MAX_JPEG_TEXT:
        longest = max(texts, key=lambda name: len(texts[name]))
        del texts[longest]
        kept = dataclasses.replace(kept, **{longest: ""})
    return kept


def encode_signed(
    picture: np.ndarray | Image.Image, made_by: MadeBy, format: str = "png", quality: int | None = None, source: Path | None = None
) -> bytes:
    """As `encode`, for a file that leaves the studio: signed if the policy says so.

    source: file of the picture it was made from, whose rights are kept; None = the one that the recipe names, if it is here.
    """
    source = source or source_file(made_by)
    return signed(encode(picture, made_by, format, quality, kept_metadata(source)), format, made_by, source)


def save_picture(
    picture: np.ndarray | Image.Image, made_by: MadeBy, path: str | Path, source: Path | None = None, quality: int | None = None
) -> Path:
    """Write a .png, .webp or .jpg atomically.  source, quality: as of `encode_signed`.

    Raises StudioError for another ending or a full disk.
    """
    path = Path(path).expanduser()
    source = source or source_file(made_by)
    return write_picture(path, encode(picture, made_by, path.suffix.lower().lstrip("."), quality, kept_metadata(source)), made_by, source)


def write_picture(path: Path, data: bytes, made_by: MadeBy, source: Path | None = None) -> Path:
    """Write an encoded picture atomically, signed if the policy says so.  source: the file it was made from.

    Raises StudioError for a full disk.
    """
    try:
        atomic_write(path, signed(data, path.suffix.lower().lstrip("."), made_by, source))
    except OSError as e:
        raise StudioError(f"The picture could not be saved: {e}.", "Free some space or choose another folder.") from None
    return path


def _texts(source: str | Path | bytes | Image.Image) -> dict:
    if isinstance(source, Image.Image):
        return source.info
    if (len(source) if isinstance(source, bytes) else Path(source).stat().st_size) > _MAX_FILE:
        raise StudioError("The file is larger than 512 MB.", "Drop a picture that the studio saved.")
    data = source if isinstance(source, bytes) else _read_gif(Path(source))
    if data.startswith(b"GIF8"):
        return {"xmp": gif_xmp(data)}
    # Only the header is read, without decoding pixels, and only with the parsers of these formats.
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG", "WEBP", "JPEG")) as image:
        return image.info


def _read_gif(path: Path) -> bytes:
    """Bytes of a GIF, whose XMP Pillow does not read; only the first of another file."""
    with open(path, "rb") as file:
        head = file.read(4)
        return head + file.read() if head == b"GIF8" else head


def _read_texts(source: str | Path | bytes | Image.Image) -> dict:
    try:
        return _texts(source)
    except StudioError:
        raise
    except Exception:  # an untrusted file: Pillow's parsers may raise anything
        raise StudioError("This file is not a picture that can be read.", "Drop a PNG, WebP or JPEG that the studio saved.") from None


@overload
def read_recipe(source: PictureFile, wanted: None = None) -> Recipe | ImageRecipe: ...
@overload
def read_recipe(source: PictureFile, wanted: type[R]) -> R: ...
def read_recipe(source: PictureFile, wanted: type[Any] | None = None) -> Any:
    """The recipe inside a saved picture (path, bytes, or opened by Pillow).

    wanted: Recipe or ImageRecipe, to accept only that one.  Raises StudioError if there is none, or one of the other class.
    """
    recipe = recipe_from(parse_json(_recipe_text(_read_texts(source))))
    if wanted is Recipe and isinstance(recipe, ImageRecipe):
        raise StudioError("This picture was made from another one, not from a seed.", f"It belongs to the verb '{recipe.verb}'.")
    if wanted is ImageRecipe and isinstance(recipe, Recipe):
        raise StudioError("This picture was drawn from a seed, not made from another one.", "It belongs to Explore.")
    return recipe


def read_packet(source: str | Path | bytes | Image.Image) -> str:
    """The XMP packet of a picture (PNG, WebP, JPEG, GIF); '' if it has none. Raises StudioError if it cannot be read."""
    return _packet_in(_read_texts(source))


def _packet_in(texts: dict) -> str:
    packet = texts.get("xmp") or texts.get(PNG_XMP_KEY) or ""
    if isinstance(packet, bytes):
        packet = packet.decode("utf-8", "replace")
    return packet if isinstance(packet, str) else ""


def _recipe_text(texts: dict) -> str | bytes:
    """JSON of the recipe, from the texts of a picture."""
    if isinstance(texts.get(_JSON_KEY), str):
        return texts[_JSON_KEY]
    return _recipe_text_in(_packet_in(texts))


def recipe_in(packet: str) -> Recipe | ImageRecipe:
    """The recipe inside an XMP packet. Raises StudioError if there is none."""
    return recipe_from(parse_json(_recipe_text_in(packet)))


def _recipe_text_in(packet: str) -> str | bytes:
    # Searched as text, to keep an XML parser away from untrusted files.
    found = re.search(r"<gs:recipe>([A-Za-z0-9_-]+)</gs:recipe>", packet) if len(packet) <= _MAX_XMP else None
    if not found:
        hint = "Drop a picture that the studio saved with its recipe, not a copy that lost its metadata."
        raise StudioError("This picture has no recipe inside.", hint)
    return unpack_link(found[1])
