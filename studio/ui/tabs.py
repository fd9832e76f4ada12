"""How tabs are joined: what one sends to another, and what happens when one comes into sight."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.networks import Task
from studio.ui.access.serving import TABS
from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.targets import Opening, Target


def openings(built: dict[str, Any]) -> list[Opening]:
    """Tabs where a model can be opened."""
    explored = [built["explore"].opening] if "explore" in built else []
    known = [("translate", lambda model: model.task is Task.TRANSLATE), ("upscale", lambda model: model.task is Task.UPSCALE)]
    return explored + [Opening(id, TABS[id], suits, built[id].open_model, built[id].enter_outputs) for id, suits in known if id in built]


def join(built: dict[str, Any], tabs: gr.Tabs) -> None:
    """Buttons that send what one tab has made to another, where both are there."""
    explore, mix, upscale, train = (built.get(id) for id in ("explore", "mix", "upscale", "train"))

    def open_in_train(session, path: Path, files: list[str] | None) -> list:
        return [gr.update(selected="train"), gr.update(selected="pictures"), [*(files or []), str(path)]]

    drawn = {}  # for what is drawn from noise
    if explore:
        drawn["explore"] = Target("explore", "Open in Explore", explore.open_recipe, [], [tabs, *explore.outputs])
    if mix:
        drawn["mix"] = mix.target
    if upscale:
        drawn["upscale"] = upscale.target(tabs)
    pictures = {id: built[id].image_target(tabs) for id in ("translate", "upscale") if id in built}  # for what is made from pictures
    if train:
        pictures["train"] = Target("train", "Use for training", open_in_train, [train.a.files], [tabs, train.steps, train.a.files])
    sent = {
        "explore": (drawn, ("upscale",)),
        "mix": (drawn, ("upscale",)),
        "classes": (drawn, ("explore", "mix", "upscale")),
        "translate": (pictures, ("upscale", "train")),
        "upscale": (pictures, ("translate", "train")),
        "gallery": (pictures, ("translate", "upscale", "train")),
    }
    for id, (targets, wanted) in sent.items():
        if id in built:
            built[id].add_targets([targets[name] for name in wanted if name in targets])
    if gallery := built.get("gallery"):
        gallery.add_openings(tabs, explore, [built[id] for id in ("translate", "upscale") if id in built])


def entrances(built: dict[str, Any], session: gr.State) -> dict[str, Callable]:
    """Id of a tab -> what is wired to the event after which it is in sight (`gr.Tab.select`, or `then` of another)."""

    def entrance(tab: Any, **options) -> Callable:
        return lambda on: on(friendly(tab.enter), [session, *tab.enter_inputs], tab.enter_outputs, **QUIET, **options)

    def followed(tab: Any) -> Callable:
        def enter_and_follow(on: Callable):
            entered = entrance(tab)(on)
            tab.opened(entered)
            return entered

        return enter_and_follow

    enter = {id: entrance(built[id]) for id in ("mix", "upscale") if id in built}
    enter |= {id: followed(built[id]) for id in ("translate", "gallery") if id in built}
    if explore := built.get("explore"):
        enter["explore"] = lambda on: on(friendly(explore.enter), session, explore.models, **QUIET)
    if models := built.get("models"):
        enter["models"] = lambda on: on(friendly(models.enter), [session, *models.enter_inputs], models.outputs, **QUIET)
    if share := built.get("share"):

        def enter_share(on: Callable):
            on(friendly(share.marks.enter), None, share.marks.enter_outputs, **QUIET)
            return entrance(share)(on)

        enter["share"] = enter_share
    if classes := built.get("classes"):
        enter["classes"] = lambda on: entrance(classes)(on).then(
            friendly(classes.draw_chips), [session, classes.find], classes.chips, **QUIET
        )
    if train := built.get("train"):
        enter["train"] = lambda on: entrance(train, js=train.enter_js)(on).then(
            None, None, None, js="() => studioPlace.openStep()", **QUIET
        )
    return enter
