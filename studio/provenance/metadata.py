"""Pictures on disk with the mark of AI inside, and their Recipe or ImageRecipe where the artist lets files tell it.

XMP holds both in PNG and in WebP, and most tools keep that. A PNG has the recipe a second time as plain JSON, beside words
("parameters") that other tools show to people.
"""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from studio.common.files import atomic_write
from studio.engine.image_recipe import ImageRecipe, recipe_from
from studio.engine.recipe import Recipe, Transform, parse_json, unpack_link
from studio.errors import StudioError
from studio.imaging.xmp import AI_WORDS, PNG_XMP_KEY, DigitalSourceType, xmp_packet
from studio.provenance.policy import MadeBy, provenance_policy, signed
from studio.provenance.source_pictures import find_source

_JSON_KEY = "gan-studio-recipe"
_WORDS_KEY = "parameters"
_MAX_XMP = 4 << 20
_MAX_WEBP_SIDE = 16383
_MAX_FILE = 512 << 20


def origin_of(told: MadeBy) -> DigitalSourceType:
    """Whether it is drawn by a network, or changed by one."""
    return (
        told
        if isinstance(told, DigitalSourceType)
        else DigitalSourceType.COMPOSITE
        if isinstance(told, ImageRecipe)
        else DigitalSourceType.GENERATED
    )


def xmp_for(told: MadeBy | None) -> str:
    """XMP for a file; '' = no mark.  Of a recipe it has as much as the artist lets files tell."""
    if told is None:
        return ""
    if isinstance(told, DigitalSourceType) or not provenance_policy().recipe:
        return xmp_packet(origin_of(told))
    return xmp_packet(origin_of(told), told.model, told.to_link())


def _words(recipe: Recipe | ImageRecipe) -> str:
    parts = _words_of_change(recipe) if isinstance(recipe, ImageRecipe) else _words_of_drawing(recipe)
    return "\n".join([*parts, AI_WORDS])


def _words_of_change(recipe: ImageRecipe) -> list[str]:
    parts = [f"model: {recipe.model}"]
    enlarged = f"enlarged: {recipe.scale:g} times" if recipe.scale else "enlarged"
    parts.append(f"translated: {recipe.direction}" if recipe.verb == "translate" else enlarged)
    parts.append(f"strength: {recipe.strength:g}")
    parts += ["colours of the source"] * recipe.keep_colour
    parts += [f"times in a row: {recipe.repeat}"] * (recipe.repeat > 1)
    parts += [f"source: SHA-256 {recipe.source}"] * bool(recipe.source)
    return parts


def _words_of_drawing(recipe: Recipe) -> list[str]:
    parts = [f"model: {recipe.model}"]
    if recipe.latent is None:
        parts.append("seed: " + ", ".join(f"{s.seed} x {s.weight:g}" if len(recipe.seeds) > 1 else str(s.seed) for s in recipe.seeds))
    parts.append(f"truncation psi: {recipe.psi:g}")
    parts += [f"class: {c.index} x {c.weight:g}" for c in recipe.classes]
    parts += [f"mix: seed {m.seed} in layers {m.layers[0]}-{m.layers[1] - 1} x {m.weight:g}" for m in recipe.mixes]
    parts += [f"edit: {e.direction} x {e.strength:g}" for e in recipe.edits]
    parts.append(f"noise: {recipe.noise.mode}")
    place = recipe.transform
    if place != Transform():
        parts.append(f"moved: {place.x:g} right, {place.y:g} down, turned: {place.rotate:g} degrees")
    return parts


def png_texts(told: MadeBy) -> list[tuple[str, str]]:
    """What a PNG says of how it was made, as (key, text): as much as the artist lets files tell."""
    if isinstance(told, DigitalSourceType) or not provenance_policy().recipe:
        return [(_WORDS_KEY, AI_WORDS), (PNG_XMP_KEY, xmp_for(told))]
    return [(_JSON_KEY, told.to_json()), (_WORDS_KEY, _words(told)), (PNG_XMP_KEY, xmp_for(told))]


def encode(picture: np.ndarray | Image.Image, told: MadeBy | None, kind: str = "png", quality: int | None = None) -> bytes:
    """uint8 (H, W, 3), or an image with its transparency and colour profile -> bytes of a PNG or WebP with mark and recipe inside.

    told: the recipe; an DigitalSourceType for the mark alone; None for a picture that no network made.
    kind: 'png' or 'webp'.  quality: of WebP, 1..100; None = lossless.
    Raises StudioError for another kind, or a WebP of more than 16383 px a side.
    """
    image, buffer = picture if isinstance(picture, Image.Image) else Image.fromarray(picture), io.BytesIO()
    profile = image.info.get("icc_profile")
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        for key, text in png_texts(told) if told is not None else ():
            info.add_itxt(key, text)
        image.save(buffer, "PNG", pnginfo=info, icc_profile=profile)
    elif kind == "webp":
        if max(image.size) > _MAX_WEBP_SIDE:
            raise StudioError(f"A WebP cannot be larger than {_MAX_WEBP_SIDE} px a side.", "Choose png.")
        options = {"lossless": True, "exact": True} if quality is None else {"quality": quality}
        image.save(buffer, "WEBP", xmp=xmp_for(told).encode(), icc_profile=profile, **options)
    else:
        raise StudioError(f"Pictures cannot be saved as '{kind}'.", "Choose png or webp.")
    return buffer.getvalue()


def encode_to_keep(picture: np.ndarray | Image.Image, told: MadeBy, kind: str = "png") -> bytes:
    """As `encode`, for a file that leaves the studio: signed, when the artist wants that."""
    return signed(encode(picture, told, kind), kind, told, parent_of(told))


def parent_of(told: MadeBy) -> Path | None:
    """The kept file of the picture that another was made from; None when there is none."""
    return find_source(told.source) if isinstance(told, ImageRecipe) else None


def save_picture(picture: np.ndarray | Image.Image, told: MadeBy, path: str | Path) -> Path:
    """Write a .png or .webp; it appears whole or not at all. Raises StudioError for another ending or a full disk."""
    path = Path(path).expanduser()
    data = encode_to_keep(picture, told, path.suffix.lower().lstrip("."))
    try:
        atomic_write(path, data)
    except OSError as e:
        raise StudioError(f"The picture could not be saved: {e}.", "Free some space or choose another folder.") from None
    return path


def _texts(source: str | Path | bytes | Image.Image) -> dict:
    if isinstance(source, Image.Image):
        return source.info
    if (len(source) if isinstance(source, bytes) else Path(source).stat().st_size) > _MAX_FILE:
        raise StudioError("The file is larger than 512 MB.", "Drop a picture that the studio saved.")
    # Only the header is read, no pixel; and by the parsers of these formats alone.
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG", "WEBP", "JPEG")) as image:
        return image.info


def _read_texts(source: str | Path | bytes | Image.Image) -> dict:
    try:
        return _texts(source)
    except StudioError:
        raise
    except Exception:  # a file from anywhere: Pillow's parsers raise whatever its bytes lead them to
        raise StudioError("This file is not a picture that can be read.", "Drop a PNG or WebP that the studio saved.") from None


def read_recipe(source: str | Path | bytes | Image.Image, kind: type | None = None) -> Recipe | ImageRecipe:
    """The recipe inside a saved picture (path, bytes, or opened by Pillow).

    kind: Recipe or ImageRecipe, when only that one is of use.  Raises StudioError when there is none, or one of the other kind.
    """
    recipe = recipe_from(parse_json(_recipe_text(_read_texts(source))))
    if kind is Recipe and isinstance(recipe, ImageRecipe):
        raise StudioError("This picture was made from another one, not from a seed.", f"It belongs to the verb '{recipe.verb}'.")
    if kind is ImageRecipe and isinstance(recipe, Recipe):
        raise StudioError("This picture was drawn from a seed, not made from another one.", "It belongs to Explore.")
    return recipe


def read_packet(source: str | Path | bytes | Image.Image) -> str:
    """The XMP of a picture (PNG, WebP, JPEG); '' when it has none. Raises StudioError when it cannot be read."""
    return _packet_in(_read_texts(source))


def _packet_in(texts: dict) -> str:
    packet = texts.get("xmp") or texts.get(PNG_XMP_KEY) or ""
    if isinstance(packet, bytes):
        packet = packet.decode("utf-8", "replace")
    return packet if isinstance(packet, str) else ""


def _recipe_text(texts: dict) -> str | bytes:
    """JSON, from the texts of a picture."""
    if isinstance(texts.get(_JSON_KEY), str):
        return texts[_JSON_KEY]
    return _recipe_text_in(_packet_in(texts))


def recipe_in(packet: str) -> Recipe | ImageRecipe:
    """The recipe inside an XMP packet. Raises StudioError when there is none."""
    return recipe_from(parse_json(_recipe_text_in(packet)))


def _recipe_text_in(packet: str) -> str | bytes:
    # Searched as text: an XML parser is more than is needed for a file from anywhere.
    found = re.search(r"<gs:recipe>([A-Za-z0-9_-]+)</gs:recipe>", packet) if len(packet) <= _MAX_XMP else None
    if not found:
        hint = "Drop a picture that was saved by the studio, not a copy that lost it, nor one that tells the mark of AI alone."
        raise StudioError("This picture has no recipe inside.", hint)
    return unpack_link(found[1])
