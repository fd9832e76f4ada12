"""A player: the recipe of a motion at any time, and on any frame. It depends on nothing that came before."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from studio.engine.canvas import Canvas
from studio.engine.engine import Engine
from studio.engine.recipe import ClassWeight, Edit, Noise, Recipe, SeedWeight, Transform, pack_latent
from studio.errors import StudioError
from studio.latents.interpolation import lerp, slerp, spline
from studio.latents.noise import z_on_loop
from studio.latents.seeds import z_from_seed
from studio.motion.features import AudioFeatures
from studio.motion.paths import Circle, KeyFrames, NoiseLoop, part_of_round
from studio.motion.sources import Scene
from studio.motion.tracks import Moved

if TYPE_CHECKING:
    from studio.motion.motion import Motion


class Player:
    """Recipes of a motion.

    engine: gives latents, and knows what the model can do.  features: of the sound, if tracks follow it.
    Raises StudioError if the model is missing, or cannot do what the motion asks for.
    """

    def __init__(self, motion: "Motion", engine: Engine, features: AudioFeatures | None = None):
        self.motion, self.clock, self._engine = motion, motion.clock(), engine
        if motion.follows_sound and features is None:
            raise StudioError("This motion follows a sound, and there is none.", "Name a sound file.")
        self._scene = Scene(self.clock, features)
        facts = engine.facts(motion.base.model)
        z_dim = engine.model(motion.base.model).z_dim
        assert z_dim is not None, "a model with facts has latents"
        self._z_dim = z_dim
        self._keys = _key_recipes(motion)
        self._latents = _Latents(self)
        self._moved = [Moved(track, facts, self._keys[0] if self._keys else motion.base) for track in motion.tracks]
        addresses = [track.parameter for track in motion.tracks]
        self._moves_class = any(address == "class" or address.startswith("class.") for address in addresses)
        if motion.path is not None and any(address == "seed" or address.startswith("seed.") for address in addresses):
            raise StudioError("A track moves the seed, which the path moves already.", "Take out the track, or the path.")
        if self._slerps and any(len(k.seeds) > 1 or k.latent is not None or k.mixes != self._keys[0].mixes for k in self._keys):
            raise StudioError("The great circle in z needs key frames of one seed each.", "Choose linear or spline, which go through w.")
        # Mixes and classes of all key frames alike stay settings of the recipe, so that tracks can move them.
        self._alike = len({(k.mixes, k.classes) for k in self._keys}) <= 1

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.clock.frames

    def of_frame(self, frame: int) -> Recipe:
        """The recipe of a frame, counted from 0."""
        return self.recipe_at(self.clock.time(frame))

    def canvases(self) -> Iterator[Canvas]:
        """The canvas of every key frame or, if tracks give it another shape, that of every frame; no latents are computed for them."""
        recipes = self._keys or [self.motion.base]
        moved = [m for m in self._moved if any(map(m.changes_grid, recipes))]
        if not moved:
            yield from (recipe.canvas for recipe in recipes)
            return
        path = self.motion.path
        for time in map(self.clock.time, range(self.frames)):
            recipe = recipes[path.locate(time, self.clock)[0] if isinstance(path, KeyFrames) else 0]
            for m in moved:
                recipe = m.apply(recipe, time, self._scene)
            yield recipe.canvas

    def recipe_at(self, seconds: float) -> Recipe:
        """The recipe at a time. In a loop that at the end is that at the beginning; otherwise the end stays. Raises StudioError."""
        time = self.clock.wrapped(seconds)
        path = self.motion.path
        k, part = path.locate(time, self.clock) if isinstance(path, KeyFrames) else (0, 0.0)
        recipe = self._settings(k, part)
        for moved in self._moved:
            recipe = moved.apply(recipe, time, self._scene)
        if path is None:
            return recipe
        if isinstance(path, KeyFrames) and not self._slerps:
            ws = self._in_w(k, part, recipe)
        else:
            ws = self._engine.w_of_z(self._z(k, part, time), recipe)
        return recipe.replace(latent=pack_latent(ws.numpy()))

    @property
    def _slerps(self) -> bool:
        return isinstance(self.motion.path, KeyFrames) and self.motion.path.interpolation == "slerp"

    def _settings(self, k: int, part: float) -> Recipe:
        """Everything but the latent, between two key frames."""
        base = self.motion.base
        if not self._keys:
            return base
        recipe = self._keys[k]
        if part:
            recipe = settings_between(recipe, self._keys[(k + 1) % len(self._keys)], part, classes=self._slerps)
        # The seed of the base stays: the directions of the pad are named after it.
        recipe = recipe.replace(seeds=base.seeds, latent=None)
        return recipe if self._alike or self._slerps else recipe.replace(mixes=(), classes=())

    def _z(self, k: int, part: float, time: float) -> np.ndarray:
        path = self.motion.path
        if isinstance(path, NoiseLoop):
            return z_on_loop(path.seed, self._z_dim, part_of_round(path, time, self.clock), path.diameter)
        if isinstance(path, Circle):
            return z_on_circle(*path.seeds, self._z_dim, part_of_round(path, time, self.clock))
        a, b = (z_from_seed(self._keys[i % len(self._keys)].seed, self._z_dim)[0] for i in (k, k + 1))
        return slerp(torch.from_numpy(a), torch.from_numpy(b), part).numpy()

    def _in_w(self, k: int, part: float, recipe: Recipe) -> torch.Tensor:
        """w+ (num_ws, w_dim) between key frames, without truncation and edits."""
        latents = _Latents(self, recipe) if self._moves_class else self._latents
        assert isinstance(self.motion.path, KeyFrames)
        if part == 0:
            return latents[k]
        if self.motion.path.interpolation == "spline":
            return spline(latents, k + part, self.clock.loop)
        return lerp(latents[k], latents[(k + 1) % len(latents)], part) if part != 1 else latents[(k + 1) % len(latents)]

    def latent_of(self, k: int, moved: Recipe | None) -> torch.Tensor:
        """w+ (num_ws, w_dim) of a key frame, without what is left to the recipe.  moved: whose classes it takes; None = its own."""
        key = self._keys[k].replace(psi=1.0, cutoff=None, edits=())
        if moved is not None:
            key = key.replace(classes=moved.classes)
        return self._engine.ws(key.replace(mixes=()) if self._alike else key)


class _Latents(Sequence[torch.Tensor]):
    """Latents of the key frames, each computed when it is first needed.  moved: see `Player.latent_of`."""

    def __init__(self, player: Player, moved: Recipe | None = None):
        self._player, self._moved = player, moved
        self._found: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._player._keys)

    def __getitem__(self, k):
        if k < 0:
            k += len(self)
        if k not in self._found:
            self._found[k] = self._player.latent_of(k, self._moved)
        return self._found[k]


def _key_recipes(motion: "Motion") -> list[Recipe]:
    if not isinstance(motion.path, KeyFrames):
        return []
    base = motion.base.replace(latent=None)
    return [f.recipe or base.replace(seeds=(SeedWeight(f.seed or 0),)) for f in motion.path.frames]


def settings_between(a: Recipe, b: Recipe, part: float, classes: bool) -> Recipe:
    """Recipe a with its numbers on the way to those of b: psi, strengths of edits and grain, transform, amounts of bends that both have,
    colours, turn of the kaleidoscope; with `classes` their shares.

    part: in [0, 1].  What has nothing in between, such as the layers of truncation, stays as in a.
    """

    def way(x: float, y: float) -> float:
        return (1 - part) * x + part * y

    strengths = [{(e.direction, e.layers): e.strength for e in recipe.edits} for recipe in (a, b)]
    edits = tuple(Edit(*_edit(place, way(*(s.get(place, 0.0) for s in strengths)))) for place in {**strengths[0], **strengths[1]})
    place = Transform(*(way(getattr(a.transform, name), getattr(b.transform, name)) for name in ("x", "y", "rotate")))
    grain = Noise(a.noise.mode, a.noise.seed, way(a.noise.strength, b.noise.strength))
    there = {bend.key: bend.amount for bend in b.bends}
    bends = tuple(dataclasses.replace(x, amount=way(x.amount, there.get(x.key, x.amount))) for x in a.bends)
    tones = ("exposure", "contrast", "saturation", "palette_strength")
    colour = dataclasses.replace(a.colour, **{name: way(getattr(a.colour, name), getattr(b.colour, name)) for name in tones})
    canvas = dataclasses.replace(a.canvas, turn=way(a.canvas.turn, b.canvas.turn))
    out = a.replace(psi=way(a.psi, b.psi), edits=edits, transform=place, noise=grain, bends=bends, colour=colour, canvas=canvas)
    if classes and a.classes != b.classes:
        shares = [_shares(a), _shares(b)]
        weights = {i: way(*(s.get(i, 0.0) for s in shares)) for i in {**shares[0], **shares[1]}}
        out = out.replace(classes=tuple(ClassWeight(i, w) for i, w in weights.items() if w))
    return out


def _edit(place: tuple[str, tuple[int, int] | None], strength: float) -> tuple:
    return place[0], strength, place[1]


def _shares(recipe: Recipe) -> dict[int, float]:
    """Share of each class, which add up to 1."""
    classes = recipe.classes or (ClassWeight(0),)
    total, out = sum(c.weight for c in classes), {}
    for c in classes:
        out[c.index] = out.get(c.index, 0.0) + c.weight / total
    return out


def z_on_circle(first: int, second: int, z_dim: int, part: float) -> np.ndarray:
    """z (z_dim,) float32 at a part of the round, in [0, 1], on the great circle through the z of two seeds: of the first at 0.

    z = z1 cos a + v sin a, where v is what of z2 stands at right angles to z1, as long as z1.
    """
    z1, z2 = (z_from_seed(seed, z_dim)[0].astype(np.float64) for seed in (first, second))
    v = z2 - z1 * (z1 @ z2) / (z1 @ z1)
    v *= np.linalg.norm(z1) / max(float(np.linalg.norm(v)), 1e-12)
    angle = 2 * math.pi * (part % 1.0)
    return (z1 * math.cos(angle) + v * math.sin(angle)).astype(np.float32)
