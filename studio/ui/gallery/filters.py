"""Search box and filters of the Gallery."""

from typing import Any

import gradio as gr

from studio.gallery.items import Query
from studio.ui.components.handlers import Outputs
from studio.ui.gallery.state import GalleryState
from studio.ui.gallery.view import FILE_TYPES, parse_day, tab_title

_ANY = {"tab": "Any tab", "model": "Any model", "kind": "Pictures and clips", "tag": "Any tag"}


class Filters:
    """Filters, built inside the current Blocks."""

    def __init__(self) -> None:
        with gr.Row(elem_id="gallery-filters", equal_height=True):
            self.text = gr.Textbox(
                label="Search",
                placeholder="Part of a name, a tag, a model, seed 42 ...",
                elem_id="gallery-text",
                scale=3,
                min_width=220,
            )
            self.favourite = gr.Checkbox(False, label="★ Favourites only", elem_id="gallery-favourite", min_width=150)
        with gr.Accordion("More filters", open=False, elem_id="gallery-more"):
            with gr.Row(equal_height=True):
                self.tab = _choice("tab", "Saved in")
                self.model = _choice("model", "Model")
                self.type = _choice("kind", "Type")
                self.tag = _choice("tag", "Tag")
            with gr.Row(equal_height=True):
                self.since = gr.DateTime(label="From date", include_time=False, type="string", elem_id="gallery-since", min_width=150)
                self.until = gr.DateTime(label="To date", include_time=False, type="string", elem_id="gallery-until", min_width=150)

    @property
    def inputs(self) -> list[Any]:
        """Their values make a query, in this order."""
        return [self.text, self.favourite, self.tab, self.model, self.type, self.tag, self.since, self.until]

    @property
    def triggers(self) -> list[Any]:
        """Events after which the query may have changed."""
        written = [part.change for part in (self.text, self.favourite, self.since, self.until)]
        return written + [part.input for part in (self.tab, self.model, self.type, self.tag)]

    @staticmethod
    def query(text: str, favourite: bool, tab: str, model: str, type_: str, tag: str, since: str | None, until: str | None) -> Query:
        """The query of these values. Raises StudioError for a date that cannot be read."""
        first, last = parse_day(since, "From date"), parse_day(until, "To date")
        return Query(text or "", model or "", tab or "", first, last, bool(favourite), tag or "", type_ or "")

    @property
    def outputs(self) -> list[Any]:
        """Components that `show_choices` changes."""
        return [self.tab, self.model, self.type, self.tag]

    def show_choices(self, state: GalleryState) -> Outputs:
        """What the visitor's saved files can be filtered by."""
        found, query = state.gallery.choices(), state.query
        return {
            self.tab: _choices("tab", [(tab_title(t), t) for t in found.tabs], query.tab),
            self.model: _choices("model", [(m, m) for m in found.models], query.model),
            self.type: _choices("kind", [(FILE_TYPES[k], k) for k in found.kinds], query.kind),
            self.tag: _choices("tag", [(t, t) for t in found.tags], query.tag),
        }


def _choice(name: str, label: str) -> gr.Dropdown:
    return gr.Dropdown([(_ANY[name], "")], value="", label=label, elem_id=f"gallery-{name}", min_width=140)


def _choices(name: str, choices: list[tuple[str, str]], chosen: str) -> dict[str, Any]:
    """What is chosen stays in the list, even when the last picture of it is gone."""
    gone = [(chosen, chosen)] if chosen and chosen not in [value for _, value in choices] else []
    return gr.update(choices=[(_ANY[name], ""), *choices, *gone], value=chosen)
