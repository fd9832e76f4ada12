"""Export of Classes: a set of pictures of chosen classes as a zip, balanced or to fill up a training set."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import StudioError
from studio.latents.seeds import check_seed
from studio.outputs.class_sets import export_set, fill_up
from studio.ui.classes.state import ClassesState
from studio.ui.classes.view import EXPORT, NO_SET, fill_up_html
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.output_names import time_stamp
from studio.ui.components.work_progress import WorkProgress
from studio.ui.session import Session

if TYPE_CHECKING:
    from studio.ui.classes.tab import ClassesTab

_EACH, _FILL = "each", "fill"
_AMOUNTS = [("The same number of each class (balanced)", _EACH), ("Fill up what one of my training sets lacks", _FILL)]


class SetExport:
    """Pictures of each class, the same number of each, or what a training set lacks."""

    def __init__(self, tab: "ClassesTab"):
        self.tab, self.datasets = tab, tab.page.datasets

    # -- what is on the page -------------------------------------------------------------------------------------

    def build(self) -> None:
        """Its settings, its buttons and the file."""
        gr.HTML(note(EXPORT), padding=False)
        self.amount = gr.Radio(_AMOUNTS, value=_EACH, label="How many", visible=self.datasets is not None, elem_id="classes-way")
        self.each = gr.Number(10, label="Pictures per class", precision=0, minimum=1, maximum=100_000, elem_id="classes-each")
        self.set = gr.Dropdown([], label="Training set to fill up", visible=False, elem_id="classes-set")
        self.advice = gr.HTML("", visible=False, padding=False, elem_id="classes-advice")
        self.only = gr.Checkbox(False, label="Only the chosen classes", elem_id="classes-only")
        self.same = gr.Checkbox(False, label="The same seeds in each class", elem_id="classes-same")
        with gr.Row(elem_classes="gs-tools"):
            self.start = gr.Button("Export", variant="primary", elem_id="classes-export")
            self.stop = gr.Button("Stop", visible=False, elem_id="classes-export-stop")
        self.view = gr.HTML("", padding=False, elem_id="classes-export-note")
        self.file = gr.DownloadButton("Download the set", visible=False, elem_id="classes-download")

    def wire(self) -> None:
        """The work with its Stop, and what filling up would make."""
        tab, s = self.tab, self.tab.session
        pictures = tab.pictures
        inputs = [s, self.amount, self.each, self.set, self.only, self.same, pictures.seed, pictures.psi]
        outputs = [self.view, self.file]
        tab.long_work("export", self.start, self.stop, self._make, inputs, outputs, view=self.view, hide=[self.file])
        self.amount.input(friendly(self._set_amount), [s, self.amount, self.set], [self.each, self.set, self.advice], **QUIET)
        self.set.input(friendly(self._choose_set), [s, self.set], [self.advice], **QUIET)

    def sets(self, amount: str, chosen: str | None) -> Outputs:
        """The training sets with classes that exist now.  chosen: id of the one selected before."""
        sets = [(s.title, s.id) for s in self.datasets.list() if s.classes] if self.datasets is not None else []
        ids = [id for _, id in sets]
        value = chosen if chosen in ids else next(iter(ids), None)
        return {self.set: gr.update(choices=sets, value=value, visible=amount == _FILL)}

    # -- filling up ----------------------------------------------------------------------------------------------

    def _set_amount(self, session: Session, amount: str, set_id: str | None) -> Outputs:
        filling = amount == _FILL
        return {
            self.each: gr.update(visible=not filling),
            self.set: gr.update(visible=filling and bool(set_id)),
            self.advice: gr.update(value=self._advice(session, set_id) if filling else "", visible=filling),
        }

    def _choose_set(self, session: Session, set_id: str | None) -> Outputs:
        return {self.advice: self._advice(session, set_id)}

    def _advice(self, session: Session, set_id: str | None) -> str:
        """What filling up would make, in a sentence or two."""
        if not set_id or self.datasets is None:
            return note(NO_SET)
        classes = self.tab.classes_of(self.tab.state_of(session))
        filling = fill_up(self.datasets.get(set_id).classes, classes)
        return fill_up_html(filling.make, filling.unmatched, classes)

    # -- the work ------------------------------------------------------------------------------------------------

    def _wanted(self, state: ClassesState, amount: str, each: Any, set_id: str | None, only: bool) -> dict[int, int]:
        """Class -> how many pictures. Raises StudioError when there are none."""
        classes = self.tab.classes_of(state)
        if amount == _FILL:
            if not set_id or self.datasets is None:
                raise StudioError("There is no training set to fill up.", "Make one from sub-folders in the Train tab.")
            wanted = fill_up(self.datasets.get(set_id).classes, classes).make
        else:
            if not isinstance(each, (int, float)) or each < 1:
                raise StudioError("The number of pictures per class is missing.", "Enter a whole number, such as 10.")
            wanted = dict.fromkeys(range(len(classes)), int(each))
        wanted = {k: n for k, n in wanted.items() if not only or k in state.chosen}
        if not wanted:
            raise StudioError(
                "There is nothing to make.",
                "The set is balanced already, or the missing classes are not in this model or not among those chosen.",
            )
        return wanted

    def _make(
        self,
        session: Session,
        amount: str,
        each: Any,
        set_id: str | None,
        only: bool,
        same: bool,
        seed: Any,
        psi: Any,
        progress: gr.Progress = gr.Progress(),
    ) -> Outputs:
        state = self.tab.state_of(session)
        wanted = self._wanted(state, amount, each, set_id, only)
        path = export_set(
            self.tab.engine,
            state.model,
            wanted,
            session.workspace.output("classes", f"{time_stamp()}-{state.model}-set.zip"),
            float(psi),
            check_seed(seed),
            same,
            WorkProgress(progress, "Pictures"),
            self.tab.stopping(session, "export"),
        )
        text = f"{sum(wanted.values()):,} pictures of {len(wanted):,} classes. {session.workspace.saved_note(path)}"
        return {self.view: gr.update(value=note(text), visible=True), self.file: gr.update(value=str(path), visible=True)}
