"""Recipe: everything needed to make one picture again."""

import base64
import binascii
import dataclasses
import hashlib
import json
import typing
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from studio.common.schema import SchemaError, from_plain
from studio.common.text import printable, short_repr
from studio.engine.area import Area
from studio.engine.bend import Bend
from studio.engine.canvas import Canvas
from studio.engine.colour_grade import ColourGrade
from studio.engine.recipe_checks import Seed, checked_hash, checked_json, checked_name, number
from studio.errors import StudioError
from studio.latents.seeds import check_seed

VERSION = 1
_MAX_JSON = 8 << 20


def _layers(value: Any, what: str) -> tuple[int, int]:
    ok = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(v) is int for v in value)
    if not ok or not 0 <= value[0] < value[1] <= 64:
        raise StudioError(f"{what} names the layers {short_repr(value)}.", "They are two numbers (first, end), first below end.")
    return value[0], value[1]


@dataclass(frozen=True)
class SeedWeight:
    """A seed and its share in the blend of w."""

    seed: Seed
    weight: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "weight", number(self.weight, 0, 1e6, "The weight of a seed"))


@dataclass(frozen=True)
class ClassWeight:
    """A class (counted from 0) and its share."""

    index: int
    weight: float = 1.0

    def __post_init__(self):
        if type(self.index) is not int or not 0 <= self.index < 2**31:
            raise StudioError(f"The class is {short_repr(self.index)}.", "Classes are counted 0, 1, 2, ...")
        object.__setattr__(self, "weight", number(self.weight, 0, 1e6, "The weight of a class"))


@dataclass(frozen=True)
class Edit:
    """A step of `strength` (in standard deviations) along a named direction, in all layers or in rows [lo, hi)."""

    direction: str
    strength: float
    layers: tuple[int, int] | None = None

    def __post_init__(self):
        checked_name(self.direction, "The direction", "It must be the name of a direction.")
        object.__setattr__(self, "strength", number(self.strength, -100, 100, f"The slider '{self.direction}'"))
        if self.layers is not None:
            object.__setattr__(self, "layers", _layers(self.layers, f"The slider '{self.direction}'"))


@dataclass(frozen=True)
class Mix:
    """Rows [lo, hi) taken from another seed, with a weight from 0 (not at all) to 1 (wholly)."""

    seed: Seed
    layers: tuple[int, int]
    weight: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "layers", _layers(self.layers, "The mix"))
        object.__setattr__(self, "weight", number(self.weight, 0, 1, "The weight of a mix"))


@dataclass(frozen=True)
class Noise:
    """The fine grain. mode: 'const' (the model's own), 'random' (drawn from `seed`), 'none'; strength 1 = as learned."""

    mode: str = "const"
    seed: Seed = 0
    strength: float = 1.0

    def __post_init__(self):
        if self.mode not in ("const", "random", "none"):
            raise StudioError(f"The noise is {short_repr(self.mode)}.", "It must be const, random or none.")
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "strength", number(self.strength, 0, 10, "The strength of the noise"))


@dataclass(frozen=True)
class Transform:
    """Placement of the picture, for models that allow it: rotated about its middle, then moved.

    x, y: to the right and down, in units of the picture's side.  rotate: degrees, counterclockwise.
    """

    x: float = 0.0
    y: float = 0.0
    rotate: float = 0.0

    def __post_init__(self):
        for name, most, what in (("x", 10, "The shift to the right"), ("y", 10, "The shift down"), ("rotate", 360, "The turn")):
            object.__setattr__(self, name, number(getattr(self, name), -most, most, what))


R = typing.TypeVar("R", bound="SerializableRecipe")


@dataclass(frozen=True)
class SerializableRecipe:
    """Base of recipes: conversion to and from plain data, JSON and links."""

    _always = ("model",)  # fields written even when they have their default

    def replace(self: R, **changes) -> R:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; fields that have their default are left out."""
        out: dict[str, Any] = {"version": VERSION}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if value != f.default or f.name in self._always:
                out[f.name] = _plain(value)
        return out

    def to_json(self) -> str:
        """JSON with a stable order of keys: `type(r).from_json(r.to_json()) == r`."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls: type[R], raw: Any) -> R:
        """From plain data. Raises StudioError when it is not a recipe that this studio can read."""
        if not isinstance(raw, dict):
            raise StudioError("This is not a recipe.", "A recipe is a table of settings, as the studio saves it.")
        version = raw.get("version", VERSION)
        if version != VERSION:
            raise StudioError(f"The recipe has version {short_repr(version)}.", f"This studio reads version {VERSION}; update it.")
        return _from_plain(cls, {k: v for k, v in raw.items() if k != "version"})

    @classmethod
    def from_json(cls: type[R], text: str | bytes) -> R:
        """From JSON. Raises StudioError."""
        return cls.from_dict(parse_json(text))

    def to_link(self) -> str:
        """Compressed form, in characters that are safe in a web address."""
        return base64.urlsafe_b64encode(zlib.compress(self.to_json().encode(), 9)).decode().rstrip("=")

    @classmethod
    def from_link(cls: type[R], text: str) -> R:
        """From the form of `to_link`. Raises StudioError."""
        return cls.from_dict(parse_json(unpack_link(text)))

    def key(self) -> str:
        """16 hex digits that identify this recipe."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


def parse_json(text: str | bytes) -> Any:
    """JSON of a recipe -> plain data. Raises StudioError."""
    return checked_json(text, _MAX_JSON, "recipe", "Use a file that the studio saved.")


def unpack_link(link: str) -> bytes:
    """The form of `to_link` -> JSON. Raises StudioError."""
    try:
        packed = base64.urlsafe_b64decode(link + "=" * (-len(link) % 4))
        return zlib.decompressobj().decompress(packed, _MAX_JSON)
    except (binascii.Error, ValueError, zlib.error):
        raise StudioError("The link does not hold a recipe.", "Copy the whole link again.") from None


@dataclass(frozen=True)
class Recipe(SerializableRecipe):
    """Everything `Engine.render` needs to make one picture, and to make it again.

    In this order: the seeds' w are blended (in each class, and over the classes by weight), or `latent` takes their
    place; rows are mixed; truncation (psi, cutoff) moves them towards the mean of w; edits are added. In the synthesis
    each layer is computed for the areas as well and blended with them, then its bends act in their order. The picture goes
    through the kaleidoscope of the canvas, then its colours are graded.

    model: id in the library.  model_hash: SHA-256 of its weights, "" = any.
    seeds: blended by weight.  latent: base64 of little-endian float32 (num_ws, w_dim), None = from the seeds.
    psi: truncation, 1 = off.  cutoff: rows that are truncated, None = all.
    transform: moves and turns the picture, where the model can.
    Raises StudioError when a value is out of range.
    """

    model: str
    model_hash: str = ""
    seeds: tuple[SeedWeight, ...] = (SeedWeight(0),)
    latent: str | None = None
    psi: float = 1.0
    cutoff: int | None = None
    classes: tuple[ClassWeight, ...] = ()
    edits: tuple[Edit, ...] = ()
    mixes: tuple[Mix, ...] = ()
    noise: Noise = Noise()
    transform: Transform = Transform()
    bends: tuple[Bend, ...] = ()
    canvas: Canvas = Canvas()
    colour: ColourGrade = ColourGrade()
    areas: tuple[Area, ...] = ()

    def __post_init__(self):
        checked_name(self.model, "The recipe's model", "Choose a model by its name.")
        checked_hash(self.model_hash, "The recipe's model hash")
        if self.latent is not None:
            _latent_bytes(self.latent)
        object.__setattr__(self, "psi", number(self.psi, -2, 2, "The truncation psi"))
        if self.cutoff is not None and (type(self.cutoff) is not int or not 0 <= self.cutoff <= 64):
            raise StudioError(f"The truncation cutoff is {short_repr(self.cutoff)}.", "It must be a number of layers, or nothing.")
        for name, entry, most in _LISTS:
            values = getattr(self, name)
            values = tuple(values) if isinstance(values, (tuple, list)) else (None,)
            if len(values) > most or not all(isinstance(v, entry) for v in values):
                raise StudioError(f"The recipe's {name} cannot be used.", f"They must be a list of at most {most} valid entries.")
            object.__setattr__(self, name, values)
        if len({bend.key for bend in self.bends}) < len(self.bends):
            raise StudioError("The recipe bends the same channels of a layer twice in the same way.", "Keep one of the two bends.")
        if not isinstance(self.transform, Transform):
            raise StudioError(f"The recipe's transform is {short_repr(self.transform)}.", "It must have x, y and rotate.")
        for name, kind in (("canvas", Canvas), ("colour", ColourGrade)):
            if not isinstance(getattr(self, name), kind):
                raise StudioError(f"The recipe's {name} is {short_repr(getattr(self, name))}.", "It must be a table of its settings.")
        if not self.seeds or sum(s.weight for s in self.seeds) <= 0:
            raise StudioError("The recipe has no seed with a weight.", "Give at least one seed a weight above 0.")
        if self.classes and sum(c.weight for c in self.classes) <= 0:
            raise StudioError("All classes have the weight 0.", "Give at least one class a weight above 0.")

    @property
    def seed(self) -> int:
        """The first seed."""
        return self.seeds[0].seed


# (field, type of its entries, how many there may be)
_LISTS = (
    *(("seeds", SeedWeight, 64), ("classes", ClassWeight, 1000), ("edits", Edit, 1000)),
    *(("mixes", Mix, 1000), ("bends", Bend, 64), ("areas", Area, 8)),
)


def pack_latent(ws: np.ndarray) -> str:
    """w+ (num_ws, w_dim) -> the text form kept in `Recipe.latent`."""
    return base64.b64encode(np.ascontiguousarray(ws, dtype="<f4").tobytes()).decode()


def unpack_latent(text: str, num_ws: int, w_dim: int) -> np.ndarray:
    """The text form -> w+ (num_ws, w_dim) float32. Raises StudioError when it does not fit the model."""
    data = _latent_bytes(text)
    if len(data) != num_ws * w_dim * 4:
        raise StudioError("The recipe's latent belongs to another model.", "Open the model it was made with.")
    return np.frombuffer(data, dtype="<f4").reshape(num_ws, w_dim).astype(np.float32)


def _latent_bytes(text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise StudioError("The recipe's latent cannot be read.", "Use a file that the studio saved.") from None
    if not np.isfinite(np.frombuffer(data, dtype="<f4", count=len(data) // 4)).all():
        raise StudioError("The recipe's latent has values that are not finite numbers.", "Use a file that the studio saved.")
    return data


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if getattr(value, f.name) is not None}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _from_plain(cls: type[R], raw: Any) -> R:
    again = "Use a file that the studio saved."
    try:
        return from_plain(cls, raw)
    except SchemaError as e:
        # The innermost name that is not a list index.
        name = next((part for part in reversed(e.where) if isinstance(part, str)), "recipe")
        if e.problem == "unknown":
            raise StudioError(
                f"The recipe has an unknown setting {short_repr(name)}.", "It was made by a newer studio; update this one."
            ) from None
        if e.problem == "missing":
            raise StudioError(f"A part of the recipe is incomplete: it has no {printable(name)}.", again) from None
        if e.problem == "list":
            raise StudioError(f"The recipe's {name} must be a list.", again) from None
        if e.expected == "str":
            raise StudioError(f"The recipe's {name} must be text.", again) from None
        if e.expected in ("int", "float"):
            raise StudioError(f"The recipe's {name} is {short_repr(e.value)}.", "It must be a number.") from None
        raise StudioError(f"A part of the recipe ({printable(name)}) is not valid.", again) from None
