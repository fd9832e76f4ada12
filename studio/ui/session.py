"""What one visitor has open: the recipe, its history, pins. Kept on the server, one object a browser tab."""

import html
import secrets
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from studio.common.files import ensure_writable
from studio.engine.recipe import Edit, Recipe
from studio.errors import StudioError
from studio.latents.layer_ranges import layer_ranges
from studio.settings import get_settings

_HISTORY = 500
PAD_REACH = 2.0  # standard deviations from the middle of the pad to its edge


@dataclass(frozen=True)
class Workspace:
    """Where a visitor's files are kept: the studio's home, or, of a guest, a folder that goes with the visit.

    folder: what is in the two below.
    """

    folder: Path
    guest: bool = False

    @property
    def outputs(self) -> Path:
        """What was saved, in a folder a tab."""
        return self.folder / "outputs"

    @property
    def sources(self) -> Path:
        """The pictures that others were made from."""
        return self.folder / "sources"

    def output(self, tab: str, name: str) -> Path:
        """A file that is to be saved. Raises StudioError when nothing can be."""
        return ensure_writable(self.outputs / tab) / name

    def transfer_folder(self) -> Path:
        """A new folder for a file that one tab sends to another."""
        if not self.guest:
            return Path(tempfile.mkdtemp(prefix="studio-sent-"))
        folder = self.folder / "sent" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        return folder

    def saved_note(self, path: Path, more: str = "") -> str:
        """HTML: where something was saved. A guest gets no path of the host's.  more: how the sentence ends."""
        if self.guest:
            return f"Ready to download{html.escape(more)}. It is deleted here when you leave."
        return f"Saved as <code>{html.escape(str(path))}</code>{html.escape(more)}."


@dataclass
class Session:
    """The state of the Explore tab of one visitor."""

    recipe: Recipe | None = None
    past: list[Recipe] = field(default_factory=list)
    future: list[Recipe] = field(default_factory=list)
    committed: Recipe | None = None  # what undo goes back to
    touched: str = ""  # the control that was moved last; its moves until it is let go are one step
    listed: list[str] = field(default_factory=list)  # ids of the models that Explore shows, in its order
    pins: list[Recipe] = field(default_factory=list)
    sheet: list[Recipe] = field(default_factory=list)
    sheet_seed: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    workspace: Workspace = field(default_factory=lambda: Workspace(get_settings().home))

    def open(self) -> Recipe:
        """The recipe. Raises StudioError when there is none yet."""
        if self.recipe is None:
            raise StudioError("There is no picture yet.", "Choose a model first.")
        return self.recipe

    def touch(self, control: str) -> None:
        """A control is about to change the recipe: what another one did before is a step of its own."""
        if control != self.touched:
            self.commit()
        self.touched = control

    def commit(self) -> None:
        """Remember the present recipe as a step of the history."""
        self.touched = ""
        if self.recipe is None or self.recipe == self.committed:
            return
        if self.committed is not None:
            self.past = [*self.past[-_HISTORY:], self.committed]
        self.future = []
        self.committed = self.recipe

    def undo(self) -> None:
        """One step back. Raises StudioError at the beginning."""
        self.commit()
        if not self.past:
            raise StudioError("This is where you began.", "There is nothing to undo.")
        self.future.append(self.committed)
        self.recipe = self.committed = self.past.pop()

    def redo(self) -> None:
        """One step forward again. Raises StudioError at the end."""
        if not self.future:
            raise StudioError("This is the newest step.", "There is nothing to redo.")
        self.past.append(self.committed)
        self.recipe = self.committed = self.future.pop()


def edit_strength(recipe: Recipe, direction: str, layers: tuple[int, int] | None) -> float:
    """How far the recipe goes along a direction in these layers."""
    return sum(e.strength for e in recipe.edits if e.direction == direction and e.layers == layers)


def with_edit(recipe: Recipe, direction: str, layers: tuple[int, int] | None, strength: float) -> Recipe:
    """The recipe with the strength along one direction, in these layers, set; 0 takes the edit out."""
    rest = tuple(e for e in recipe.edits if (e.direction, e.layers) != (direction, layers))
    new = Edit(direction, strength, layers)  # also checks the number
    return recipe.replace(edits=(*rest, new) if new.strength else rest)


def pad_position(recipe: Recipe) -> tuple[float, float]:
    """Where the pad's dot is, x and y in [-1, 1]."""
    x, y = (edit_strength(recipe, f"pad:{recipe.seed}:{axis}", None) / PAD_REACH for axis in "xy")
    return max(-1.0, min(1.0, x)), max(-1.0, min(1.0, y))


LAYER_CHOICES = ("Everything", "Coarse: pose, shape", "Middle: features", "Fine: colour, texture")


def chosen_layers(choice: str, num_ws: int) -> tuple[int, int] | None:
    """The rows that a choice of the radio stands for; None = all."""
    name = choice.split(":")[0].strip().lower()
    return layer_ranges(num_ws).get(name)
