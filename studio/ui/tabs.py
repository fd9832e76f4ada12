"""The list of tabs: what each is called, what other tabs can open in it, and where its results can be sent.

The app, `--tabs`, Spaces, the Gallery and the README follow this list. A new tab is one entry here and a room of its own.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from studio.models.folder import ModelInfo, num_classes
from studio.networks import Task

# What a tab can be given: a model to use, a Recipe to draw, the file of a picture, or a saved picture whose settings come back.
Given = Literal["model", "recipe", "picture", "saved"]


@dataclass(frozen=True)
class TabEntry:
    """One tab of the studio.

    id: name for `--tabs`, for the folder of its results and at the beginning of its element ids.  title: its label on the screen.
    factory: 'module:class' of the Tab.
    uses: ModelInfo -> whether the tab can do something with the model; None = the tab is not for working with a model.
    opens: what can be opened there from other tabs; the Tab has a target for each.
    sends: ids of the tabs its results can be sent to.  sends_as: what it sends.
    verb: `verb` of the recipes in its saved pictures, '' = it makes none of its own.
    """

    id: str
    title: str
    factory: str
    uses: Callable[[ModelInfo], bool] | None = None
    opens: tuple[Given, ...] = ()
    sends: tuple[str, ...] = ()
    sends_as: Given = "picture"
    verb: str = ""

    def load(self) -> type[Any]:
        """The class of the tab; its module is imported only now."""
        module, _, name = self.factory.partition(":")
        return getattr(importlib.import_module(module), name)


def _for_task(task: Task) -> Callable[[ModelInfo], bool]:
    return lambda info: info.task is task


def _has_classes(info: ModelInfo) -> bool:
    return bool(num_classes(info))


_ENTRIES = (
    TabEntry(
        "explore",
        "Explore",
        "studio.ui.explore.tab:ExploreTab",
        uses=_for_task(Task.GENERATE),
        opens=("model", "recipe", "saved"),
        sends=("upscale",),
        sends_as="recipe",
        verb="draw",
    ),
    TabEntry(
        "mix", "Mix", "studio.ui.mix.tab:MixTab", uses=_for_task(Task.GENERATE), opens=("recipe",), sends=("upscale",), sends_as="recipe"
    ),
    TabEntry(
        "classes",
        "Classes",
        "studio.ui.classes.tab:ClassesTab",
        uses=_has_classes,
        sends=("explore", "mix", "upscale"),
        sends_as="recipe",
    ),
    TabEntry(
        "translate",
        "Translate",
        "studio.ui.translate.tab:TranslateTab",
        uses=_for_task(Task.TRANSLATE),
        opens=("model", "picture", "saved"),
        sends=("upscale", "train"),
        verb="translate",
    ),
    TabEntry(
        "upscale",
        "Upscale",
        "studio.ui.upscale.tab:UpscaleTab",
        uses=_for_task(Task.UPSCALE),
        opens=("model", "recipe", "picture", "saved"),
        sends=("translate", "train"),
        verb="upscale",
    ),
    TabEntry("gallery", "Gallery", "studio.ui.gallery.tab:GalleryTab", sends=("translate", "upscale", "train")),
    TabEntry("train", "Train", "studio.ui.train.tab:TrainTab", opens=("picture",)),
    TabEntry("models", "Models", "studio.ui.models.tab:ModelsTab"),
    TabEntry("share", "Share", "studio.ui.share.tab:ShareTab"),
)

# id -> entry, in the order of the tabs
TABS: dict[str, TabEntry] = {entry.id: entry for entry in _ENTRIES}


def tabs_for(infos: Iterable[ModelInfo]) -> tuple[str, ...]:
    """Ids of the tabs that can do something with at least one of these models."""
    infos = list(infos)
    return tuple(id for id, entry in TABS.items() if entry.uses is not None and any(entry.uses(info) for info in infos))
