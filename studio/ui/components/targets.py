"""Targets: where tabs send pictures and open models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from studio.models.folder import ModelInfo
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.tabs import TABS


@dataclass(frozen=True)
class Target:
    """A tab as other tabs see it: somewhere a model, a recipe or a picture can be opened.

    id: of the tab; also the end of the button's elem_id.  label: of the button.
    open: (session, what is sent, *values of `inputs`) -> {component of `outputs`: value}. What is sent: a ModelInfo, a Recipe, the
    path of a picture, or for a saved picture two things, its recipe and its path.
    """

    id: str
    label: str
    open: Callable[..., Outputs]
    outputs: list[Any]
    inputs: list[Any] = field(default_factory=list)

    def suits(self, model: ModelInfo) -> bool:
        """Whether the tab can do something with the model."""
        uses = TABS[self.id].uses
        return uses is not None and uses(model)

    def open_there(self, tabs: gr.Tabs | None) -> Callable[..., Outputs]:
        """`open`, and the page changes to the tab. Its outputs are `outputs_with(tabs)`."""

        def opened(session: Any, *values: Any) -> Outputs:
            selected: Outputs = {} if tabs is None else {tabs: gr.update(selected=self.id)}
            return {**selected, **self.open(session, *values)}

        return opened

    def outputs_with(self, tabs: gr.Tabs | None) -> list[Any]:
        """Outputs of `open_there`."""
        return self.outputs if tabs is None else [tabs, *self.outputs]


def target_buttons(
    targets: list[Target], prefix: str, tabs: gr.Tabs | None, session: gr.State, chosen: Callable[..., Any], given: Sequence[Any] = ()
) -> None:
    """Buttons that send a picture to other tabs.

    prefix: beginning of their elem_ids.  tabs: the row of tabs.  chosen: (session, *values of `given`) -> what is sent.
    """

    def sender(target: Target) -> Callable[..., Outputs]:
        count = len(given)
        return lambda session, *values: target.open_there(tabs)(session, chosen(session, *values[:count]), *values[count:])

    for target in targets:
        button = gr.Button(target.label, elem_id=f"{prefix}-{target.id}")
        button.click(friendly(sender(target)), [session, *given, *target.inputs], target.outputs_with(tabs), **QUIET)
