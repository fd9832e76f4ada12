"""Connections between tabs: buttons that send results from one to another, and what happens when a tab is opened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.tab import Page, Tab
from studio.ui.components.targets import Target
from studio.ui.session import Session
from studio.ui.tabs import TABS


def connect(page: Page) -> None:
    """Give each tab its buttons to the tabs it sends results to, where both are there (see TABS)."""
    train = page.built.get("train")
    for id, tab in page.built.items():
        entry = TABS[id]
        if isinstance(tab, Tab):
            targets = page.targets(entry.sends_as, entry.sends)
            if train is not None and not isinstance(train, Tab) and "train" in entry.sends:
                targets.append(_train_target(train))
            tab.add_targets(targets)


def entrances(page: Page) -> dict[str, Callable[[Callable[..., Dependency]], Dependency]]:
    """Id of a tab -> a function that wires what happens when the tab is opened to the event that says so: `gr.Tab.select`, or
    `then` of another event. It returns the last event of it."""

    def entrance(tab: Any) -> Callable[[Callable[..., Dependency]], Dependency]:
        def enter(on: Callable[..., Dependency]) -> Dependency:
            entered = on(friendly(tab.enter), [page.session, *tab.enter_inputs], tab.enter_outputs, js=tab.enter_js, **QUIET)
            return tab.after_enter(entered)

        return enter

    enter = {id: entrance(tab) for id, tab in page.built.items() if isinstance(tab, Tab) and tab.enter_outputs}
    return {**enter, **_other_entrances(page.built, page.session)}


def _other_entrances(built: dict[str, Any], session: gr.State) -> dict[str, Callable[..., Any]]:
    """Those of tabs that are not built on Tab yet."""
    enter: dict[str, Callable[..., Any]] = {}
    if (models := built.get("models")) and not isinstance(models, Tab):
        enter["models"] = lambda on: on(friendly(models.enter), [session, *models.enter_inputs], models.outputs, **QUIET)
    if (train := built.get("train")) and not isinstance(train, Tab):
        enter["train"] = lambda on: on(
            friendly(train.enter), [session, *train.enter_inputs], train.enter_outputs, **QUIET, js=train.enter_js
        ).then(None, None, None, js="() => studioPlace.openStep()", **QUIET)
    return enter


def _train_target(train: Any) -> Target:
    """For pictures of other tabs: they join those of a new training set."""
    files = (train.a if hasattr(train, "a") else train.images.a).files

    def open_in_train(session: Session, path: Path, given: list[str] | None) -> Outputs:
        return {train.steps: gr.update(selected="pictures"), files: [*(given or []), str(path)]}

    return Target("train", "Use for training", open_in_train, [train.steps, files], [files])
