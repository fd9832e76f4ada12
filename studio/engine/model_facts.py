"""Model facts: what controls need to know about a model, read without a turn of the device thread."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DirectionSet:
    """Directions that are shown together.

    names: as used in `Edit.direction`.  labels: the same, for display.
    """

    id: str
    title: str
    names: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """A layer that can be bent.  name: of the step of the synthesis.  side: of its maps, in pixels."""

    name: str
    side: int


@dataclass(frozen=True)
class ModelFacts:
    """Abilities of a model that draws from noise.

    classes: names, none for a model without classes.  num_ws: rows of w+.
    has_noise: layers take noise besides w.  transformable: its picture can be moved and turned.
    direction_sets: directions for sliders, those that came with the model first.
    layers: of its synthesis, in their order.  resizable, tileable: as its family.
    """

    id: str
    title: str
    classes: tuple[str, ...]
    num_ws: int
    has_noise: bool
    transformable: bool
    direction_sets: tuple[DirectionSet, ...]
    layers: tuple[Layer, ...] = ()
    resizable: bool = False
    tileable: bool = False

    @property
    def directions(self) -> dict[str, str]:
        """Direction name -> label, in the order of `direction_sets`."""
        return {name: label for group in self.direction_sets for name, label in zip(group.names, group.labels, strict=True)}
