"""Targets: where tabs send pictures to, and open models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.models.folder import ModelInfo
from studio.ui.components.handlers import QUIET, friendly


@dataclass(frozen=True)
class Target:
    """Where a tab can send a picture to: a button there.

    id: end of the button's elem_id.  label: what it says.
    send: (session, picture, *values of `inputs`) -> values for `outputs`. The picture is a Recipe where it is drawn from noise, and
    the path of a PNG where it was made from another one.
    """

    id: str
    label: str
    send: Callable[..., list]
    inputs: list
    outputs: list


@dataclass(frozen=True)
class Opening:
    """A tab where a model that was made here can be opened.

    id, label: of the tab.  suits: whether it can do something with the model.
    open: (session, model) -> values for `outputs`.
    """

    id: str
    label: str
    suits: Callable[[ModelInfo], bool]
    open: Callable[..., list]
    outputs: list


def target_buttons(targets: list[Target], tab: str, session: gr.State, chosen: Callable[..., Any], given: Sequence = ()) -> None:
    """Buttons that send a picture elsewhere.

    tab: begins their ids.  chosen: (session, *values of `given`) -> the picture, as the targets want it.
    """

    def sender(target: Target) -> Callable:
        return lambda session, *values: target.send(session, chosen(session, *values[: len(given)]), *values[len(given) :])

    for target in targets:
        button = gr.Button(target.label, elem_id=f"{tab}-{target.id}")
        button.click(friendly(sender(target)), [session, *given, *target.inputs], target.outputs, **QUIET)
