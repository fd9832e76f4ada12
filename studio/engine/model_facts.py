"""Model facts: what controls need to know of a model, read without a turn on the device thread."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DirectionSet:
    """Directions that belong together on a page.

    names: as used in `Edit.direction`.  labels: the same for people.
    """

    id: str
    title: str
    names: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class ModelFacts:
    """Abilities of a model that draws from noise.

    classes: names, none for a model without classes.  num_ws: rows of w+.
    has_noise: layers take noise beside w.  transformable: its picture can be moved and turned.
    direction_sets: what sliders can be made of, directions that came with the model first.
    """

    id: str
    title: str
    classes: tuple[str, ...]
    num_ws: int
    has_noise: bool
    transformable: bool
    direction_sets: tuple[DirectionSet, ...]

    @property
    def directions(self) -> dict[str, str]:
        """Name of each direction -> its label, in the order of `direction_sets`."""
        return {name: label for group in self.direction_sets for name, label in zip(group.names, group.labels, strict=True)}
