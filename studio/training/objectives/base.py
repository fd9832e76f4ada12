"""Training objective protocol: the networks that are trained, their optimisers, and one step."""

from typing import Any, Protocol

from studio.training.transfer import Transfer


class TrainingObjective(Protocol):
    """Generator and discriminator with everything that a step changes."""

    def step(self, step: int, reals: list[list[Any]], images_seen: int) -> dict[str, float]:
        """One step. Returns numbers for the curves, means over all processes.

        reals: for each turn of the discriminator the micro-batches of this process.  images_seen: real pictures shown before this step.
        Raises StudioError when a loss is no longer a finite number.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later step depends on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that `state_dict` gave."""
        ...

    def start_from(self, g_state: dict[str, Any], d_state: dict[str, Any] | None) -> dict[str, Transfer]:
        """Take over the weights of another model as far as they fit. Returns what became of each network, by name."""
        ...

    def networks(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Tensors of the averaged generator, and of the discriminator if there is one, as a model folder stores them."""
        ...
