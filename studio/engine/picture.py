"""Pictures on disk with their Recipe or ImageRecipe inside.

XMP holds it in PNG and in WebP, and most tools keep that. A PNG has it a second time as plain JSON, beside a line of
words ("parameters") that other tools show to people.
"""

import io
import re
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, PngImagePlugin

from studio.engine.image_recipe import ImageRecipe, recipe_from
from studio.engine.recipe import Recipe, Transform, parsed, unpacked
from studio.errors import StudioError
from studio.settings import atomic_write

_XMP_KEY = "XML:com.adobe.xmp"
_JSON_KEY = "gan-studio-recipe"
_WORDS_KEY = "parameters"
_MAX_XMP = 4 << 20
_MAX_WEBP_SIDE = 16383
_MAX_FILE = 512 << 20
# https://cv.iptc.org/newscodes/digitalsourcetype: pictures made by a trained algorithm, and pictures changed by one
_AI_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_AI_CHANGED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def _xmp(recipe: Recipe | ImageRecipe) -> str:
    source = _AI_CHANGED if isinstance(recipe, ImageRecipe) else _AI_SOURCE
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:gs="urn:gan-studio:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        "<xmp:CreatorTool>GAN Studio</xmp:CreatorTool>"
        f"<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>"
        f"<gs:model>{escape(recipe.model)}</gs:model>"
        f"<gs:recipe>{recipe.to_link()}</gs:recipe>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def _words(recipe: Recipe | ImageRecipe) -> str:
    parts = _words_of_change(recipe) if isinstance(recipe, ImageRecipe) else _words_of_drawing(recipe)
    return "\n".join([*parts, "Made with GAN Studio"])


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


def texts_of(recipe: Recipe | ImageRecipe) -> list[tuple[str, str]]:
    """What a PNG says of a recipe, as (key, text)."""
    return [(_JSON_KEY, recipe.to_json()), (_WORDS_KEY, _words(recipe)), (_XMP_KEY, _xmp(recipe))]


def encode(
    picture: np.ndarray | Image.Image, recipe: Recipe | ImageRecipe | None, kind: str = "png", quality: int | None = None
) -> bytes:
    """uint8 (H, W, 3), or an image with its transparency and colour profile -> bytes of a PNG or WebP with the recipe inside.

    kind: 'png' or 'webp'.  quality: of WebP, 1..100; None = lossless.
    Raises StudioError for another kind, or a WebP of more than 16383 px a side.
    """
    image, buffer = picture if isinstance(picture, Image.Image) else Image.fromarray(picture), io.BytesIO()
    profile = image.info.get("icc_profile")
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        for key, text in texts_of(recipe) if recipe is not None else ():
            info.add_itxt(key, text)
        image.save(buffer, "PNG", pnginfo=info, icc_profile=profile)
    elif kind == "webp":
        if max(image.size) > _MAX_WEBP_SIDE:
            raise StudioError(f"A WebP cannot be larger than {_MAX_WEBP_SIDE} px a side.", "Choose png.")
        options = {"lossless": True, "exact": True} if quality is None else {"quality": quality}
        image.save(buffer, "WEBP", xmp=_xmp(recipe).encode() if recipe is not None else b"", icc_profile=profile, **options)
    else:
        raise StudioError(f"Pictures cannot be saved as '{kind}'.", "Choose png or webp.")
    return buffer.getvalue()


def save_picture(picture: np.ndarray | Image.Image, recipe: Recipe | ImageRecipe | None, path: str | Path) -> Path:
    """Write a .png or .webp; it appears whole or not at all. Raises StudioError for another ending or a full disk."""
    path = Path(path).expanduser()
    data = encode(picture, recipe, path.suffix.lower().lstrip("."))
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


def read_recipe(source: str | Path | bytes | Image.Image, kind: type | None = None) -> Recipe | ImageRecipe:
    """The recipe inside a saved picture (path, bytes, or opened by Pillow).

    kind: Recipe or ImageRecipe, when only that one is of use.  Raises StudioError when there is none, or one of the other kind.
    """
    try:
        texts = _texts(source)
    except StudioError:
        raise
    except Exception:  # a file from anywhere: Pillow's parsers raise whatever its bytes lead them to
        raise StudioError("This file is not a picture that can be read.", "Drop a PNG or WebP that the studio saved.") from None
    recipe = recipe_from(parsed(_recipe_text(texts)))
    if kind is Recipe and isinstance(recipe, ImageRecipe):
        raise StudioError("This picture was made from another one, not from a seed.", f"It belongs to the verb '{recipe.verb}'.")
    if kind is ImageRecipe and isinstance(recipe, Recipe):
        raise StudioError("This picture was drawn from a seed, not made from another one.", "It belongs to Explore.")
    return recipe


def _recipe_text(texts: dict) -> str | bytes:
    """JSON, from the texts of a picture."""
    if isinstance(texts.get(_JSON_KEY), str):
        return texts[_JSON_KEY]
    xmp = texts.get("xmp") or texts.get(_XMP_KEY) or ""
    if isinstance(xmp, bytes):
        xmp = xmp.decode("utf-8", "replace")
    # Searched as text: an XML parser is more than is needed for a file from anywhere.
    found = re.search(r"<gs:recipe>([A-Za-z0-9_-]+)</gs:recipe>", xmp) if len(xmp) <= _MAX_XMP else None
    if not found:
        raise StudioError("This picture has no recipe inside.", "Drop a picture that was saved by the studio, not a copy that lost it.")
    return unpacked(found[1])
