"""Saving in Explore: the picture as a file, a link to it, and a saved picture dropped back in."""

from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from studio.engine.recipe import Recipe
from studio.provenance.metadata import read_recipe, save_picture
from studio.provenance.policy import file_stem, provenance_policy
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.output_names import metadata_words, time_stamp
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.explore.tab import ExploreTab

_DROP = "<b>Return to a saved picture.</b> Its recipe is inside."
_FULL_LINK_JS = "(t) => t ? location.origin + location.pathname + t : t"


class Saving:
    """The ways to keep a picture and to come back to it."""

    def __init__(self, tab: "ExploreTab"):
        self.tab = tab

    def build(self) -> None:
        """What saving and linking show, hidden until then."""
        self.saved = gr.HTML("", visible=False, padding=False)
        self.download = gr.DownloadButton("Download it", visible=False, elem_id="download")
        self.link_text = gr.Textbox(
            label="Link that reopens exactly this picture", visible=False, buttons=["copy"], interactive=False, elem_id="link-text"
        )

    def build_drop(self) -> None:
        """The area where saved pictures are dropped."""
        gr.HTML(note(_DROP), padding=False)
        self.drop = gr.File(
            label="Drop a picture that was saved here",
            file_types=[".png", ".webp", ".jpg"],
            height=140,
            elem_id="drop",
            elem_classes="gs-drop",
        )

    def wire(self, save: gr.Button, link: gr.Button) -> None:
        """save, link: the buttons that ask for a file and for a link."""
        session, text = self.tab.session, self.link_text
        save.click(friendly(self._save), session, [self.saved, self.download], **QUIET)
        linked = link.click(friendly(self._link), session, [text], **QUIET)
        linked.then(None, text, text, js=_FULL_LINK_JS, api_visibility="private")
        self.tab.jump(self.drop.upload, self._drop, [self.drop])

    def _save(self, session: Session) -> Outputs:
        engine = self.tab.engine
        recipe = engine.stamped(session.open())
        picture = engine.render(recipe)
        path = session.workspace.output("explore", f"{time_stamp()}-{file_stem(f'{recipe.model}-seed{recipe.seed}')}.png")
        save_picture(picture, recipe, path)
        inside = metadata_words() + (": drop it back in to return here" if provenance_policy().includes_recipe else "")
        text = note(session.workspace.saved_note(path, inside))
        return {self.saved: gr.update(value=text, visible=True), self.download: gr.update(value=str(path), visible=True)}

    def _link(self, session: Session) -> Outputs:
        link = self.tab.engine.stamped(session.open()).to_link()
        return {self.link_text: gr.update(value=f"?recipe={link}", visible=True)}

    def _drop(self, session: Session, layers_choice: str, file: str) -> Outputs:
        recipe = read_recipe(Path(file), Recipe)
        self.tab.engine.library.get(recipe.model)
        return self.tab.go(session, layers_choice, recipe)
