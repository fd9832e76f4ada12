"""Parameters of bends: `bend.LAYER.OPERATION`, and behind an @ the channels where they are not all."""

import dataclasses
from typing import Any

from studio.common.text import short_repr
from studio.engine.bend import Bend
from studio.engine.model_facts import ModelFacts
from studio.engine.parameter_type import Parameter
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.latents.bending import OPERATIONS
from studio.latents.channels import ALL, check_channels


def bend_address(bend: Bend) -> str:
    """The address of a bend's amount."""
    return f"bend.{bend.layer}.{bend.operation}" + (f"@{bend.channels}" if bend.channels != ALL else "")


def with_bend(recipe: Recipe, key: tuple[str, str, str], amount: Any) -> Recipe:
    """The recipe with the amount of one bend set; its place in the order stays, a new one comes last.

    One that is there stays there, whatever its amount; a new one that would change nothing is left out.
    key: of Bend.  Raises StudioError for an amount that cannot be used.
    """
    new = Bend(key[0], key[1], amount, key[2])
    if any(bend.key == key for bend in recipe.bends):
        return recipe.replace(bends=tuple(dataclasses.replace(b, amount=new.amount) if b.key == key else b for b in recipe.bends))
    return recipe.replace(bends=(*recipe.bends, new)) if new.active else recipe


def bend_parameter(address: str, facts: ModelFacts | None) -> Parameter:
    """The parameter at an address that begins with 'bend.'. Raises StudioError when no bend is meant by it."""
    place, at, channels = address.removeprefix("bend.").partition("@")
    layer, _, name = place.rpartition(".")
    operation = OPERATIONS.get(name)
    if operation is None or not layer:
        hint = f"Write bend.LAYER.OPERATION, such as bend.b32.conv1.rotate; operations: {', '.join(OPERATIONS)}."
        raise StudioError(f"There is no parameter {short_repr(address)}.", hint)
    key = (layer, name, check_channels(channels) if at else ALL)
    start = operation.start if operation.neutral is None else operation.neutral
    return Parameter(
        address,
        f"{operation.label} in {layer}" + (f", channels {channels}" if at else ""),
        operation.explanation,
        "number",
        *(operation.low, operation.high, operation.step, start),
        read=lambda recipe: next((bend.amount for bend in recipe.bends if bend.key == key), start),
        write=lambda recipe, value: with_bend(recipe, key, value),
        needs=lambda model: any(layer == found.name for found in model.layers),
    )
