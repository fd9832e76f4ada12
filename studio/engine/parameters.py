"""Parameters: everything that can be changed in a Recipe, by address.

Sliders, links, `--set` on the command line, and later MIDI knobs, OSC messages and key frames all change parameters; each of
them finds the range, the step and the labels here, and reads and writes a recipe through `get` and `set`.

    psi                      truncation
    seed                     the first seed; `seed.1.weight` the share of another one in a blend
    class, class.3           the one class; the weight of a class
    edit.model:smile         the strength of a direction; `edit.model:smile@coarse` or `@0-3` in some layers alone
    pad.x, pad.y             the dot of the pad, from the middle (0) to an edge (-1, 1)
    mix.0.weight             the weight of a style mix
    noise.mode, noise.seed, noise.strength
    bend.b32.conv1.rotate    the amount of a bend; `...rotate@0-7`, `@random:30:5`, `@cluster:2:8` in some channels alone
    transform.x, transform.y, transform.rotate
    area.0.at                where the first area with another seed begins; also softness, angle, weight, seed
    canvas.width, canvas.tileable, canvas.kaleidoscope ...; colour.exposure, colour.saturation ...
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from studio.common.text import short_repr
from studio.engine.area_parameters import AREA_NAMES, area_addresses, area_parameter
from studio.engine.bend_parameters import bend_address, bend_parameter
from studio.engine.canvas import Canvas
from studio.engine.colour_grade import ColourGrade
from studio.engine.model_facts import ModelFacts
from studio.engine.parameter_type import Parameter
from studio.engine.picture_parameters import CANVAS_PARAMETERS, COLOUR_PARAMETERS
from studio.engine.recipe import ClassWeight, Edit, Noise, Recipe, SeedWeight, Transform
from studio.engine.recipe_checks import number
from studio.errors import StudioError
from studio.latents.layer_ranges import LAYER_RANGE_NAMES, layer_ranges
from studio.latents.seeds import MAX_SEED, check_seed

PAD_REACH = 2.0  # standard deviations from the middle of the pad to its edge
_PAD_FURTHEST = 50.0  # the dot in a recipe; the slider of an edit reaches twice as far
LAYER_CHOICES = ("Everything", "Coarse: pose, shape", "Middle: features", "Fine: colour, texture")
NOISE_MODES = (("As learned", "const"), ("Random", "random"), ("Off", "none"))  # (label, value)

Layers = tuple[int, int] | None  # half-open range of rows of w+; None = all

_RANDOM_DIRECTION = re.compile(r"random:\d{1,10}:\d{1,3}|pad:\d{1,10}:[xy]")  # every model has these; see `LatentSpace.direction`
_LAYERS = re.compile(rf"all|{'|'.join(LAYER_RANGE_NAMES)}|(\d{{1,3}})-(\d{{1,3}})")


# -- edits: directions, and the pad, which moves along two of them ---------------------------------------------------


def edit_strength(recipe: Recipe, direction: str, layers: Layers = None) -> float:
    """How far the recipe goes along a direction in these layers, in standard deviations."""
    return sum((e.strength for e in recipe.edits if e.direction == direction and e.layers == layers), 0.0)


def with_edit(recipe: Recipe, direction: str, layers: Layers, strength: Any) -> Recipe:
    """The recipe with its strength along a direction set in these layers; 0 removes the edit. Raises StudioError."""
    rest = tuple(e for e in recipe.edits if (e.direction, e.layers) != (direction, layers))
    new = Edit(direction, strength, layers)  # checks the strength
    return recipe.replace(edits=(*rest, new) if new.strength else rest)


def edit_address(direction: str, layers: Layers = None) -> str:
    """The address of a direction in these layers."""
    return f"edit.{direction}" + (f"@{layers[0]}-{layers[1] - 1}" if layers else "@all" if _has_layers(direction) else "")


def chosen_layers(choice: str, num_ws: int) -> Layers:
    """The rows that one of LAYER_CHOICES stands for; None = all."""
    layers = layer_ranges(num_ws).get(choice.split(":")[0].strip().lower())
    return None if layers == (0, num_ws) else layers


def pad_position(recipe: Recipe) -> tuple[float, float]:
    """Position of the dot of the pad, x and y in [-1, 1]."""
    x, y = (edit_strength(recipe, f"pad:{recipe.seed}:{axis}") / PAD_REACH for axis in "xy")
    return max(-1.0, min(1.0, x)), max(-1.0, min(1.0, y))


def _has_layers(direction: str) -> bool:
    """Whether a direction's name itself ends like an address with layers."""
    return "@" in direction and bool(_LAYERS.fullmatch(direction.rpartition("@")[2]))


def _layers(text: str, facts: ModelFacts | None, address: str) -> Layers:
    found = _LAYERS.fullmatch(text)
    if text == "all" or found is None:
        return None
    if found[1]:
        return int(found[1]), int(found[2]) + 1
    if facts is None:
        raise StudioError(f"Which layers '{address}' moves depends on the model.", "Give them as numbers, such as @0-3.")
    return layer_ranges(facts.num_ws)[text]


def _edit(address: str, facts: ModelFacts | None) -> Parameter:
    direction, layers = address.removeprefix("edit."), None
    if _has_layers(direction):
        direction, _, text = direction.rpartition("@")
        layers = _layers(text, facts, address)
    return Parameter(
        address,
        facts.directions.get(direction, direction) if facts else direction,
        "How far the picture is pulled this way, in standard deviations.",
        "number",
        *(-3, 3, 0.05, 0.0),
        read=lambda recipe: edit_strength(recipe, direction, layers),
        write=lambda recipe, value: with_edit(recipe, direction, layers, value),
        needs=lambda model: direction in model.directions or bool(_RANDOM_DIRECTION.fullmatch(direction)),
    )


def _pad(axis: Literal["x", "y"], label: str) -> Parameter:
    def write(recipe: Recipe, value: Any) -> Recipe:
        # Checked before it is multiplied: a whole number of thousands of digits has no product with a float.
        place = number(value, -_PAD_FURTHEST, _PAD_FURTHEST, f"The place on the pad, {axis},")
        return with_edit(recipe, f"pad:{recipe.seed}:{axis}", None, place * PAD_REACH)

    return Parameter(
        f"pad.{axis}",
        label,
        "The middle is this seed, the edges are its neighbours.",
        "number",
        *(-1, 1, 0.01, 0.0),
        read=lambda recipe: pad_position(recipe)["xy".index(axis)],
        write=write,
    )


# -- seeds, classes, mixes -------------------------------------------------------------------------------------------


def _with_seed(recipe: Recipe, value: Any) -> Recipe:
    # A latent, a mix and a position on the pad belonged to the old seed.
    edits = tuple(e for e in recipe.edits if not e.direction.startswith("pad:"))
    return recipe.replace(seeds=(SeedWeight(check_seed(value)),), latent=None, mixes=(), edits=edits)


def _entry(recipe: Recipe, field: Literal["seeds", "mixes"], index: int) -> Any:
    entries = getattr(recipe, field)
    if index >= len(entries):
        raise StudioError(f"The recipe has {len(entries)} {field}, counted from 0.", f"There is no number {index}.")
    return entries[index]


def _weight(address: str, field: Literal["seeds", "mixes"], label: str, high: float) -> Parameter:
    """Parameter for the weight of an existing entry of a list."""
    index = int(address.split(".")[1])

    def write(recipe: Recipe, value: Any) -> Recipe:
        entries, new = list(getattr(recipe, field)), dataclasses.replace(_entry(recipe, field, index), weight=value)
        entries[index] = new
        return recipe.replace(**{field: tuple(entries)})

    return Parameter(
        address,
        f"{label} {index + 1}",
        "",
        "number",
        *(0, high, 0.01, 1.0),
        read=lambda recipe: _entry(recipe, field, index).weight,
        write=write,
    )


def _class_weights(recipe: Recipe) -> dict[int, float]:
    """Weight of each class in the recipe; a recipe without classes means the first one."""
    weights: dict[int, float] = {}
    for c in recipe.classes or (ClassWeight(0),):
        weights[c.index] = weights.get(c.index, 0.0) + c.weight
    return weights


def _class_weight(address: str, facts: ModelFacts | None) -> Parameter:
    index = int(address.removeprefix("class."))

    def write(recipe: Recipe, value: Any) -> Recipe:
        weights = {**_class_weights(recipe), index: ClassWeight(index, value).weight}
        kept = {i: w for i, w in weights.items() if w} or weights  # all 0: the recipe's own check raises
        return recipe.replace(classes=tuple(ClassWeight(i, w) for i, w in kept.items()))

    return Parameter(
        address,
        facts.classes[index] if facts and index < len(facts.classes) else f"Class {index}",
        "The share of this class in the picture.",
        "number",
        *(0, 1, 0.01, 0.0),
        read=lambda recipe: _class_weights(recipe).get(index, 0.0),
        write=write,
        needs=lambda model: index < len(model.classes),
    )


# -- the table -------------------------------------------------------------------------------------------------------


def _noise(name: str, label: str, explanation: str, type: Literal["number", "whole", "choice"], *numbers, choices=()) -> Parameter:
    def write(recipe: Recipe, value: Any) -> Recipe:
        value = check_seed(value) if name == "seed" else value
        return recipe.replace(noise=Noise(**{**dataclasses.asdict(recipe.noise), name: value}))

    return Parameter(
        f"noise.{name}",
        label,
        explanation,
        type,
        *numbers,
        choices=choices,
        read=lambda recipe: getattr(recipe.noise, name),
        write=write,
        needs=lambda model: model.has_noise,
    )


def _transform(name: str, label: str, most: float, step: float) -> Parameter:
    return Parameter(
        f"transform.{name}",
        label,
        "",
        "number",
        *(-most, most, step, 0.0),
        read=lambda recipe: getattr(recipe.transform, name),
        write=lambda recipe, value: recipe.replace(transform=dataclasses.replace(recipe.transform, **{name: value})),
        needs=lambda model: model.transformable,
    )


# Parameters of every recipe. Those of directions, class weights and list entries are made from their address.
TABLE: dict[str, Parameter] = {
    p.address: p
    for p in (
        Parameter(
            "seed",
            "Seed: the number a picture grows from",
            "",
            "whole",
            *(0, MAX_SEED, 1, 0),
            read=lambda recipe: recipe.seed,
            write=_with_seed,
        ),
        Parameter(
            "psi",
            "Boldness (truncation psi)",
            "Low stays near the average picture, 1 is the model as trained, higher gets strange.",
            "number",
            *(-1, 1.5, 0.01, 0.7),
            read=lambda recipe: recipe.psi,
            write=lambda recipe, value: recipe.replace(psi=value),
        ),
        Parameter(
            "class",
            "Class: what kind of picture",
            "",
            "whole",
            *(0, 999, 1, 0),
            read=lambda recipe: recipe.classes[0].index if recipe.classes else 0,
            write=lambda recipe, value: recipe.replace(classes=(ClassWeight(value),)),
            needs=lambda model: bool(model.classes),
        ),
        _pad("x", "Nearby, across"),
        _pad("y", "Nearby, down"),
        _transform("x", "Left ↔ right", 0.5, 0.01),
        _transform("y", "Up ↔ down", 0.5, 0.01),
        _transform("rotate", "Turn (degrees)", 180, 1),
        _noise("mode", "Grain", "Fine detail that the model adds at random.", "choice", 0, 0, 0, "const", choices=NOISE_MODES),
        _noise("strength", "Strength of the grain", "", "number", 0, 3, 0.05, 1.0),
        _noise("seed", "Seed of the grain", "", "whole", 0, MAX_SEED, 1, 0),
        *COLOUR_PARAMETERS,
        *CANVAS_PARAMETERS,
    )
}

_FROM_ADDRESS: tuple[tuple[str, Callable[[str, ModelFacts | None], Parameter]], ...] = (
    (r"bend\..+", bend_parameter),
    (rf"area\.\d{{1,2}}\.({'|'.join(AREA_NAMES)})", area_parameter),
    (r"edit\..+", _edit),
    (r"class\.\d{1,9}", _class_weight),
    (r"mix\.\d{1,4}\.weight", lambda address, _: _weight(address, "mixes", "Weight of mix", 1)),
    (r"seed\.\d{1,4}\.weight", lambda address, _: _weight(address, "seeds", "Share of seed", 1)),
)


def parameter(address: str, facts: ModelFacts | None = None) -> Parameter:
    """The parameter at an address.

    facts: of the model; needed for the labels of its directions and classes, and for layers given by name ('@coarse').
    Raises StudioError when there is no such address.
    """
    if address in TABLE:
        return TABLE[address]
    for pattern, make in _FROM_ADDRESS:
        if re.fullmatch(pattern, address, re.DOTALL):
            return make(address, facts)
    made = "area.NUMBER.NAME, bend.LAYER.OPERATION, class.NUMBER, edit.DIRECTION, mix.NUMBER.weight and seed.NUMBER.weight"
    hint = f"There are {', '.join(TABLE)}, {made}."
    raise StudioError(f"There is no parameter {short_repr(address)}.", hint)


def parameters_of(facts: ModelFacts, recipe: Recipe | None = None) -> list[Parameter]:
    """All parameters of a model: the table, the weight of each class, the strength of each direction in all layers.

    recipe: also its bends and areas, the weights of its mixes and, where it blends several, of its seeds.
    """
    addresses = [*TABLE, *(f"class.{i}" for i in range(len(facts.classes))), *map(edit_address, facts.directions)]
    if recipe is not None:
        addresses += [bend_address(bend) for bend in recipe.bends]
        addresses += [address for i, area in enumerate(recipe.areas) for address in area_addresses(i, area)]
        addresses += [f"mix.{i}.weight" for i in range(len(recipe.mixes))]
        addresses += [f"seed.{i}.weight" for i in range(len(recipe.seeds)) if len(recipe.seeds) > 1]
    found = [parameter(address, facts) for address in addresses]
    return [p for p in found if p.available(facts)]


def reset(recipe: Recipe) -> Recipe:
    """The recipe with all directions, the pad and the transform reset to the middle, without bends, areas, canvas and colour grade."""
    return recipe.replace(edits=(), transform=Transform(), bends=(), areas=(), canvas=Canvas(), colour=ColourGrade())


def with_settings(recipe: Recipe, settings: Iterable[str], facts: ModelFacts | None = None) -> Recipe:
    """The recipe after applying 'ADDRESS=VALUE' settings in order. Raises StudioError for one that cannot be used."""
    for setting in settings:
        address, sign, text = setting.rpartition("=")  # from the right: a direction may have any name
        if not sign:
            raise StudioError(f"{short_repr(setting)} sets nothing.", "Write ADDRESS=VALUE, such as psi=0.5.")
        p = parameter(address.strip(), facts)
        if facts is not None and not p.available(facts):
            raise StudioError(f"The model '{facts.id}' has no parameter '{p.address}'.", "Remove it, or choose another model.")
        recipe = p.set(recipe, p.parse(text))
    return recipe
