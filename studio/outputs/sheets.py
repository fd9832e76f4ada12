"""Recipes in groups - variations, style-mixing grids, walks - and the sheets they are shown on."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from studio.engine.engine import Engine
from studio.engine.recipe import Edit, Mix, Noise, Recipe, SeedWeight, pack_latent
from studio.errors import StudioError
from studio.latents.interpolation import spline
from studio.latents.interpolation import walk as latent_walk


def variations(recipe: Recipe, count: int = 9, spread: float = 1.0, seed: int = 0) -> list[Recipe]:
    """`count` recipes around one: itself in the middle, the others `spread` standard deviations away, each in a different
    direction at right angles to the rest. count: at most the model's w_dim + 1.
    """
    source = (seed * 101 + 7) % 2**32
    out = [recipe.replace(edits=(*recipe.edits, Edit(f"random:{source}:{i}", spread))) for i in range(count - 1)]
    out.insert(count // 2, recipe)
    return out


def mix_grid(
    model: str, rows: list[int], columns: list[int], layers: tuple[int, int], psi: float = 1.0, noise: Noise = Noise(), classes: tuple = ()
) -> list[list[Recipe]]:
    """Style mixing: the cell (r, c) is row seed r with its `layers` taken from column seed c."""
    return [
        [Recipe(model=model, seeds=(SeedWeight(r),), psi=psi, noise=noise, classes=classes, mixes=(Mix(c, layers),)) for c in columns]
        for r in rows
    ]


def walk_recipes(engine: Engine, keyframes: list[Recipe], frames: int, closed: bool = False, smooth: bool = True) -> list[Recipe]:
    """`frames` recipes on the path through `keyframes` (recipes of one model); see `studio.latents.interpolation.walk`.

    Noise, bends, canvas and colours are those of the first; areas are left out. Raises StudioError for several models, or no keyframes.
    """
    ws = latent_walk(_keyframe_ws(engine, keyframes), frames, closed, smooth)
    return [_with_ws(keyframes[0], w) for w in ws]


def walk_at(engine: Engine, keyframes: list[Recipe], position: float) -> Recipe:
    """One recipe of the open, smooth walk; position in [0, 1], ends included. Raises as `walk_recipes`."""
    ws = _keyframe_ws(engine, keyframes)
    return _with_ws(keyframes[0], spline(ws, max(0.0, min(1.0, position)) * (len(ws) - 1)))


def _keyframe_ws(engine: Engine, keyframes: list[Recipe]) -> list[torch.Tensor]:
    if not keyframes or len({k.model for k in keyframes}) > 1:
        raise StudioError("A walk needs pictures of one model.", "Pin pictures of the same model.")
    return [engine.ws(k) for k in keyframes]


def _with_ws(recipe: Recipe, ws: torch.Tensor) -> Recipe:
    # Without areas: their w come of the truncation, classes and edits that are already in `ws`.
    return recipe.replace(latent=pack_latent(ws.numpy()), psi=1.0, cutoff=None, classes=(), edits=(), mixes=(), areas=())


def contact_sheet(
    pictures: list[np.ndarray], columns: int, labels: list[str] | None = None, gap: int = 4, ground: tuple[int, int, int] = (20, 20, 23)
) -> np.ndarray:
    """Sheet of pictures of equal size (H, W, 3) uint8 in rows of `columns`, each with a label below when given."""
    if not pictures:
        raise StudioError("There are no pictures for the sheet.", "Ask for one or more.")
    h, w, _ = pictures[0].shape
    text = 18 if labels else 0
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (w + gap) + gap, rows * (h + gap + text) + gap), ground)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, picture in enumerate(pictures):
        x, y = gap + (i % columns) * (w + gap), gap + (i // columns) * (h + gap + text)
        sheet.paste(Image.fromarray(picture), (x, y))
        if labels:
            draw.text((x + 2, y + h + 2), labels[i], fill=(200, 200, 205), font=font)
    return np.asarray(sheet)
