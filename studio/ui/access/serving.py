"""Serving policy: what the studio offers, and to whom."""

import ipaddress
import os
from collections.abc import Collection
from dataclasses import dataclass

from studio.errors import StudioError
from studio.models.library import Library, models_there
from studio.ui.tabs import TABS

# For visitors: how many long jobs may wait, and how many run at once.
_QUEUE_SIZE, _CONCURRENCY = 64, 2


@dataclass(frozen=True)
class ServingPolicy:
    """What a studio offers to those who open it.

    models: ids of the models that can be used; None = all. With such a list, training and editing are off.
    tabs: ids of the tabs to show; None = all.  training: whether models can be trained.
    visitors: strangers may open it: each has files of their own and sees nothing of the host's pictures, image sets and trainings;
    training and editing are off.
    editable: whether models and pictures of the host can be added, renamed and deleted.
    queue_size: how many long jobs (videos, zips, walks) may wait.  concurrency: how many run at once. None = no limit, or for
    visitors a default one.
    Raises StudioError for an unknown tab, one that is not for visitors, no tab at all, and a number below 1.
    """

    models: tuple[str, ...] | None = None
    tabs: tuple[str, ...] | None = None
    training: bool = True
    visitors: bool = False
    editable: bool = True
    queue_size: int | None = None
    concurrency: int | None = None

    def __post_init__(self):
        wanted = None if self.tabs is None else tuple(self.tabs)
        for name in wanted or ():
            if name not in TABS:
                raise StudioError(f"There is no tab '{name:.40}'.", f"The tabs are: {', '.join(TABS)}.")
        for name, value in (("queue size", self.queue_size), ("concurrency", self.concurrency)):
            if value is not None and (type(value) is not int or value < 1):
                raise StudioError(f"The {name} is {value!r:.40}.", "It must be a whole number, 1 or more.")
        fixed = self.visitors or self.models is not None
        changes = {
            "models": None if self.models is None else tuple(self.models),
            "tabs": wanted,
            "training": self.training and not fixed,
            "editable": self.editable and not fixed,
            "queue_size": self.queue_size or (_QUEUE_SIZE if self.visitors else None),
            "concurrency": self.concurrency or (_CONCURRENCY if self.visitors else None),
        }
        for name, value in changes.items():
            object.__setattr__(self, name, value)
        if "train" in (wanted or ()) and not self.training:
            raise StudioError("The tab 'train' is listed, but training is off.", "Drop one of the two.")
        if not self.shown:
            raise StudioError("No tab is left to show.", f"The tabs are: {', '.join(TABS)}.")

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids of the tabs to show, in their order."""
        off = (*(() if self.training else ("train",)), *(() if self.editable else ("share",)))
        return tuple(t for t in TABS if t not in off and (self.tabs is None or t in self.tabs))

    def library(self, library: Library) -> Library:
        """The library limited to the chosen models. Raises StudioError for one that is not in it."""
        if self.models is None:
            return library
        here = [m.id for m in library.scan()[0]]
        for id in self.models:
            if id not in here:
                raise StudioError(f"The model '{id:.100}' is not in this studio.", models_there(str(id), here) or "It has none.")
        return library.limited(self.models)


def comma_separated(text: str | None) -> tuple[str, ...] | None:
    """'a, b' -> ('a', 'b'); None stays None."""
    return None if text is None else tuple(part for part in (p.strip() for p in text.split(",")) if part)


def is_loopback(host: str | None) -> bool:
    """Whether the address can be reached from this machine only."""
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback  # '127.example' is a name like any other
    except ValueError:
        return False


def is_reachable(host: str | None, share: bool) -> bool:
    """Whether the studio can be opened from other machines: by a public link, or at an address that others reach.

    Without a host, the one that Gradio would take from the environment counts; a Hugging Face Space is always reachable.
    """
    return share or bool(os.environ.get("SPACE_ID")) or not is_loopback(host or os.environ.get("GRADIO_SERVER_NAME"))


def is_open_to_strangers(host: str | None, share: bool, auth: Collection[str]) -> bool:
    """Whether anybody can open the studio: from other machines, and without a login."""
    return is_reachable(host, share) and not auth
