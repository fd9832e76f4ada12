"""Session: what one visitor has open, one object for each browser tab: the recipe, its history, and where files are saved.

What a visitor does in a single tab is in that tab's state (components/tab.py).
"""

import html
import secrets
import tempfile
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from studio.common.files import ensure_writable
from studio.engine.recipe import Recipe, SeedWeight
from studio.errors import StudioError
from studio.settings import get_settings, scratch

_HISTORY = 500  # steps that undo can go back


def first_recipe(model: str) -> Recipe:
    """What a model shows when it is first opened."""
    return Recipe(model=model, seeds=(SeedWeight(0),), psi=0.7)


@dataclass(frozen=True)
class Workspace:
    """Folder of a visitor's files: the studio's home or, for a guest, a folder that is deleted after the visit."""

    folder: Path
    guest: bool = False

    @property
    def outputs(self) -> Path:
        """Saved pictures and clips, a folder for each tab."""
        return self.folder / "outputs"

    @property
    def sources(self) -> Path:
        """Pictures that saved results were made from."""
        return self.folder / "sources"

    def output(self, tab: str, name: str) -> Path:
        """The path for a file to save. Raises StudioError when nothing can be saved there."""
        return ensure_writable(self.outputs / tab) / name

    def transfer_folder(self) -> Path:
        """A new folder for a file that one tab sends to another."""
        if not self.guest:
            return Path(tempfile.mkdtemp(prefix="sent-", dir=scratch()))
        folder = self.folder / "sent" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        return folder

    def saved_note(self, path: Path, more: str = "") -> str:
        """HTML: where a file was saved. Guests see no path of the host's.  more: the end of the sentence."""
        if self.guest:
            return f"Ready to download{html.escape(more)}. It is deleted here when you leave."
        return f"Saved as <code>{html.escape(str(path))}</code>{html.escape(more)}."


@dataclass
class Session:
    """What one visitor has open.

    recipe: of the picture in Explore, which Mix and Classes start from; None = none yet.
    past, future: steps for undo and redo, the nearest last.  committed: the newest step, which undo leaves.
    touched: the control moved last; all its moves until it is released count as one step.
    drawings: how often each large picture was drawn anew, other than by the live channel, by the element id of its stage.
    drawn: the last recipe of each that could be drawn, by whatever way.
    """

    recipe: Recipe | None = None
    past: list[Recipe] = field(default_factory=list)
    future: list[Recipe] = field(default_factory=list)
    committed: Recipe | None = None
    touched: str = ""
    drawings: Counter[str] = field(default_factory=Counter)
    drawn: dict[str, Recipe] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    workspace: Workspace = field(default_factory=lambda: Workspace(get_settings().home))

    def open(self) -> Recipe:
        """The recipe. Raises StudioError when there is none yet."""
        if self.recipe is None:
            raise StudioError("There is no picture yet.", "Choose a model first.")
        return self.recipe

    def touch(self, control: str) -> None:
        """Called before a control changes the recipe: what another control did before becomes a step of its own."""
        if control != self.touched:
            self.commit()
        self.touched = control

    def commit(self) -> None:
        """Make the present recipe a step of the history."""
        self.touched = ""
        if self.recipe is None or self.recipe == self.committed:
            return
        if self.committed is not None:
            self.past = [*self.past[-_HISTORY:], self.committed]
        self.future = []
        self.committed = self.recipe

    def drew(self, element: str, recipe: Recipe) -> int:
        """A large picture was drawn anew; returns the number of the drawing.  element: id of the stage."""
        self.drawings[element] += 1
        self.drawn[element] = recipe
        return self.drawings[element]

    def undo(self) -> None:
        """One step back. Raises StudioError at the beginning."""
        self.commit()
        if not self.past or self.committed is None:
            raise StudioError("This is where you began.", "There is nothing to undo.")
        self.future.append(self.committed)
        self.recipe = self.committed = self.past.pop()

    def redo(self) -> None:
        """One step forward again. Raises StudioError at the end."""
        if not self.future or self.committed is None:
            raise StudioError("This is the newest step.", "There is nothing to redo.")
        self.past.append(self.committed)
        self.recipe = self.committed = self.future.pop()
