"""A zone of the Train tab for one set of pictures: drop them, take them in, look at a set, leave some out, delete one."""

import html
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from studio.datasets.ingest_report import IngestReport
from studio.datasets.rights import ANSWERS, LICENSED, NONE, OWN, UNKNOWN, Consent
from studio.datasets.store import DataSet, DataSetStore
from studio.errors import StudioError
from studio.imaging.colour import parse_colour
from studio.imaging.crop import MODES
from studio.jobs.supervisor import Supervisor
from studio.training.plan import Plan
from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.notes import empty_html, note
from studio.ui.components.pictures import data_url
from studio.ui.components.press_grid import cells_html, press_grid
from studio.ui.session import Session

LIVE_STATES = ("queued", "running", "paused", "stopping")
WHOLE = "whole"  # in place of a crop: pieces are cut from the pictures at full size
_PAGE = 48  # pictures a page of the sheet
_WHOLE_WORDS = "Nothing is cut off or made smaller beforehand: pieces are cut from the pictures at full size."
_NO_SET = "No pictures yet. Drop some into the box: files, a whole folder, a zip, or a video."


@dataclass
class _Look:
    """What one visitor looks at here."""

    page: int = 0
    marked: set[str] = field(default_factory=set)  # names of pictures to leave out
    shown: list[str] = field(default_factory=list)  # names on the sheet
    taken: str = ""  # id of the set that was taken in last
    stop: threading.Event = field(default_factory=threading.Event)


class UploadZone:
    """Builds two columns inside the current Row: where pictures are dropped, and the set that is looked at.

    id: beginning of the elem_ids.  css: class of its columns.  visible: at first.
    """

    def __init__(self, datasets: DataSetStore, supervisor: Supervisor, session: gr.State, id: str, css: str, visible: bool = True):
        self.datasets, self.supervisor, self.session, self.id, self.visible = datasets, supervisor, session, id, visible
        self.css = ["gs-zone", css]
        self._looks: dict[str, _Look] = {}

    def _look(self, session: Session) -> _Look:
        if session is None:
            raise StudioError("The page is still opening.", "Try again in a moment.")
        return self._looks.setdefault(session.id, _Look())

    # -- what is on the page -------------------------------------------------------------------------------------

    def build_intake(self, intro: str, below: Callable[[], None] = lambda: None) -> None:
        """The column where pictures are dropped.  below: builds what else is in it."""
        with gr.Column(scale=4, min_width=300, visible=self.visible, elem_classes=self.css) as self.intake:
            self.intro = gr.HTML(note(intro), padding=False)
            self.files = gr.File(
                label="Drop pictures here", file_count="multiple", height=170, elem_id=f"{self.id}-files", elem_classes="gs-drop"
            )
            self.folder = gr.UploadButton("Choose a folder", file_count="directory", size="sm", elem_id=f"{self.id}-folder")
            self.title = gr.Textbox("", label="Name of the set", placeholder="My watercolours", elem_id=f"{self.id}-title")
            self.by_folder = gr.Checkbox(True, label="Sub-folders are kinds of pictures (classes)", visible=self.visible)
            answers = [(f"{words[0].upper()}{words[1:]}", answer) for answer, words in ANSWERS.items()]
            self.owned = gr.Radio(answers, value=None, label="These pictures are:", elem_id=f"{self.id}-owned")
            self.licence = gr.Textbox(
                "",
                label="Which permission or licence?",
                placeholder="CC BY 4.0, or: by e-mail from Anna, May 2026",
                visible=False,
                elem_id=f"{self.id}-data-licence",
            )
            self.attribution = gr.Textbox("", label="Who is to be named? (attribution)", visible=False, elem_id=f"{self.id}-attribution")
            self.source = gr.Textbox("", label="Where do they come from?", visible=False, elem_id=f"{self.id}-source")
            with gr.Row(elem_classes="gs-tools"):
                self.take = gr.Button("Take them in", variant="primary", elem_id=f"{self.id}-take")
                self.take_stop = gr.Button("Stop", visible=False, elem_id=f"{self.id}-take-stop")
            self.report = gr.HTML("", padding=False, elem_id=f"{self.id}-report")
            below()

    def build_shelf(self) -> None:
        """The column with the set that is looked at."""
        with gr.Column(scale=6, min_width=320, visible=self.visible, elem_classes=self.css) as self.shelf:
            self.set = gr.Dropdown([], label="Image set", elem_id=f"{self.id}-set", visible=False)
            self.sheet_note = gr.HTML(padding=False, elem_id=f"{self.id}-sheet-note")
            self.sheet = press_grid(value=empty_html(_NO_SET), elem_id=f"{self.id}-sheet", elem_classes="gs-pictures")
            with gr.Row(elem_classes="gs-tools"):
                self.page_back = gr.Button("← Page", visible=False)
                self.page_on = gr.Button("Page →", visible=False)
                self.leave_out = gr.Button("Leave out the marked", visible=False, elem_id=f"{self.id}-leave-out")
                self.delete = gr.Button("Delete this set", visible=False, elem_id=f"{self.id}-delete")
            with gr.Group(visible=False) as self.delete_box:
                self.delete_note = gr.HTML(padding=False, elem_id=f"{self.id}-delete-note")
                with gr.Row(elem_classes="gs-tools"):
                    self.delete_yes = gr.Button("Delete for good", variant="stop", elem_id=f"{self.id}-delete-yes")
                    self.delete_no = gr.Button("Keep it")

    # -- wiring --------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> list:
        """Outputs of `shown`."""
        return [self.set, self.sheet, self.sheet_note, self.page_back, self.page_on, self.leave_out, self.delete]

    def wire(self, crop: gr.Radio, ground: gr.ColorPicker, by_folder: gr.Checkbox) -> None:
        """Connect it all.  crop, ground, by_folder: what several zones share."""
        s, sheet = self.session, self.outputs[1:]
        look = [s, self.set, crop, ground]
        said = [self.owned, self.licence, self.attribution, self.source]
        self.owned.input(_ask_more, self.owned, said[1:], **QUIET)
        taking = gr.on([self.take.click], friendly(self._begin_taking), s, [self.take_stop, self.report], **QUIET).then(
            friendly(self._take_in),
            [s, self.files, self.folder, self.title, by_folder, *said, crop, ground],
            [self.report, self.title, self.files, *said],
            show_progress="full",
            show_progress_on=self.report,
            api_visibility="private",
            concurrency_limit=None,
        )
        taking.then(lambda: gr.update(visible=False), None, self.take_stop, **QUIET)
        taking.success(friendly(self._show_taken), look, self.outputs, **QUIET)
        self.take_stop.click(lambda session: self._look(session).stop.set(), s, None, **QUIET)
        self.folder.upload(
            lambda files: note(f"{len(files):,} files of the folder are ready: press <b>Take them in</b>."),
            self.folder,
            self.report,
            **QUIET,
        )
        self.set.input(friendly(self._other_set), look, sheet, **QUIET)
        for control in (crop, ground):
            control.input(friendly(self._draw_sheet), look, sheet, **QUIET)
        self.sheet.select(friendly(self._mark), look, sheet, **QUIET)
        self.page_back.click(friendly(lambda *a: self._turn(-1, *a)), look, sheet, **QUIET)
        self.page_on.click(friendly(lambda *a: self._turn(1, *a)), look, sheet, **QUIET)
        self.leave_out.click(friendly(self._leave_out), look, self.outputs, **QUIET)
        self.delete.click(friendly(self._ask_to_delete), self.set, [self.delete_box, self.delete_note], **QUIET)
        self.delete_no.click(lambda: gr.update(visible=False), None, self.delete_box, **QUIET)
        self.delete_yes.click(friendly(self._delete), look, [self.delete_box, *self.outputs], **QUIET)

    # -- what it shows -------------------------------------------------------------------------------------------

    def shown(self, session: Session, id: str | None, crop: str, ground: str) -> list:
        """The sets as they are now, and the sheet of the one called `id`; of none when that is gone."""
        sets = self.datasets.list()
        id = id if any(x.id == id for x in sets) else None
        return [
            gr.update(choices=[(_set_label(x), x.id) for x in sets], value=id, visible=bool(sets)),
            *self._draw_sheet(session, id, crop, ground),
        ]

    def _draw_sheet(self, session: Session, id: str | None, crop: str, ground: str) -> list:
        """One page of the set as training will see it."""
        look = self._look(session)
        hidden = gr.update(visible=False)
        if not id:
            return [empty_html(_NO_SET), "", hidden, hidden, hidden, hidden]
        stored = self.datasets.get(id)
        pages = -(-stored.count // _PAGE)
        look.page = min(look.page, pages - 1)
        pictures = self.datasets.sheet(id, look.page, _PAGE, _square(crop), 96, parse_colour(hex_colour(ground)))
        look.shown = [name for name, _ in pictures]
        cells = [{"src": data_url(p, None), "alt": name, "marked": name in look.marked} for name, p in pictures]
        kinds = f" in {len(stored.classes)} classes" if stored.classes else ""
        text = (
            f"<b>{stored.count:,} pictures{kinds}.</b> {_whose(stored)} This is what will be learnt from. Press those to leave out. "
            f"{_WHOLE_WORDS if crop == WHOLE else html.escape(MODES[crop])}" + (f" Page {look.page + 1} of {pages}." if pages > 1 else "")
        )
        marked = len(look.marked)
        return [
            cells_html(cells, columns=8),
            note(text),
            gr.update(visible=look.page > 0),
            gr.update(visible=look.page + 1 < pages),
            gr.update(visible=marked > 0, value=f"Leave out the {marked} marked"),
            gr.update(visible=True),
        ]

    # -- taking in -----------------------------------------------------------------------------------------------

    def _begin_taking(self, session: Session) -> list:
        self._look(session).stop.clear()
        return [gr.update(visible=True), note("Looking at the pictures ...")]

    def _take_in(
        self,
        session: Session,
        files: list[str] | None,
        folder: list[str] | None,
        title: str,
        by_folder: bool,
        answer: str | None,
        licence: str,
        attribution: str,
        source: str,
        crop: str,
        ground: str,
        progress: gr.Progress = gr.Progress(),
    ) -> list:
        paths = [Path(p) for p in [*(files or []), *(folder or [])]]
        if not paths:
            raise StudioError("There are no pictures yet.", "Drop files, a zip or a video first.")
        look, consent = self._look(session), consent_said(answer, licence, attribution, source)
        report = self.datasets.ingest(
            paths,
            owned=consent.answer in (OWN, LICENSED),
            consent=consent,
            title=title,
            ground=parse_colour(hex_colour(ground)),
            classes=by_folder,
            cancel=look.stop.is_set,
            progress=lambda done, total, name: progress((done, total), desc=name, unit="files"),
        )
        try:
            stored = self.datasets.add(report, crop=_square(crop))
        except BaseException:
            report.discard()
            raise
        look.taken = stored.id
        # Asked anew for the next ones, which may be somebody else's.
        return [_report_html(report), stored.title, None, None, *[gr.update(value="", visible=False)] * 3]

    def _fresh(self, session: Session) -> None:
        look = self._look(session)
        look.page, look.marked = 0, set()

    def _show_taken(self, session: Session, _, crop: str, ground: str) -> list:
        self._fresh(session)
        return self.shown(session, self._look(session).taken, crop, ground)

    def _other_set(self, session: Session, id: str, crop: str, ground: str) -> list:
        self._fresh(session)
        return self._draw_sheet(session, id, crop, ground)

    # -- leaving out and deleting ----------------------------------------------------------------------------------

    def _mark(self, session: Session, id: str, crop: str, ground: str, event: gr.EventData) -> list:
        look, index = self._look(session), event._data.get("index")
        if isinstance(index, int) and 0 <= index < len(look.shown):
            look.marked ^= {look.shown[index]}
        return self._draw_sheet(session, id, crop, ground)

    def _turn(self, by: int, session: Session, id: str, crop: str, ground: str) -> list:
        look = self._look(session)
        look.page = max(0, look.page + by)
        return self._draw_sheet(session, id, crop, ground)

    def _leave_out(self, session: Session, id: str, crop: str, ground: str) -> list:
        look = self._look(session)
        stored = self.datasets.without(id, look.marked)
        look.marked = set()
        return self.shown(session, stored.id, crop, ground)

    def _ask_to_delete(self, id: str) -> list:
        told = self.datasets.dependants(id, others=self._waiting(id))
        listed = "".join(f"<li>{html.escape(t)}</li>" for t in dict.fromkeys(told))
        what = f"What depends on it:<ul>{listed}</ul>" if told else "Nothing depends on it."
        return [gr.update(visible=True), note(f"<b>Delete '{html.escape(self.datasets.get(id).title)}'?</b> {what}")]

    def _waiting(self, id: str) -> list[str]:
        """Sentences on the trainings of the queue that learn from the set, as either side."""
        out = []
        for job in self.supervisor.jobs():
            data = Plan.from_toml(job.plan_toml).data
            if job.state in LIVE_STATES and id in (data.hash, data.hash_b):
                out.append(f"The training '{job.title}' learns from it and could not go on.")
        return out

    def _delete(self, session: Session, id: str, crop: str, ground: str) -> list:
        self.datasets.delete(id)
        self._fresh(session)
        sets = self.datasets.list()
        return [gr.update(visible=False), *self.shown(session, sets[0].id if sets else None, crop, ground)]


def _square(crop: str) -> str:
    """How a picture becomes a square on the sheet."""
    return "fit" if crop == WHOLE else crop


def hex_colour(colour: str) -> str:
    """What a colour picker gives ('#aabbcc' or 'rgba(1, 2, 3, 1)') as '#aabbcc'."""
    if colour and colour.startswith("rgb"):
        parts = colour[colour.index("(") + 1 : colour.rindex(")")].split(",")[:3]
        return "#" + "".join(f"{max(0, min(255, round(float(p)))):02x}" for p in parts)
    return colour or "#ffffff"


def _ask_more(answer: str) -> list:
    """For [licence, attribution, source]: what is asked beside an answer."""
    return [gr.update(visible=answer == LICENSED), gr.update(visible=answer == LICENSED), gr.update(visible=answer in (LICENSED, NONE))]


def consent_said(answer: str | None, licence: str, attribution: str, source: str) -> Consent:
    """What was said of whose the pictures are; words of questions that were not asked do not count. Raises StudioError as `Consent`."""
    if answer == LICENSED:
        return Consent(LICENSED, source, licence, attribution)
    return Consent(answer or UNKNOWN, source if answer == NONE else "")


def _whose(stored: DataSet) -> str:
    """HTML."""
    consent = stored.consent
    if consent.answer == OWN:
        return "Your own work."
    if consent.answer == LICENSED:
        return f"Used by permission or licence: {html.escape(consent.licence)}."
    if consent.answer == NONE:
        return "By others, without a licence, or of unknown origin: models that learn from them stay private."
    return "Nobody said yet whose they are: to share a model of them, take them in again and say it."


def _set_label(stored: DataSet) -> str:
    return f"{stored.title} · {stored.count:,} pictures · {stored.created[:10]}"


def _report_html(report: IngestReport) -> str:
    parts = [note("<br>".join(html.escape(line) for line in report.lines()))]
    rejected = [f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in report.rejected]
    twins = [f"<li>{html.escape(name)}: the same as {html.escape(other)}</li>" for name, other in report.duplicates]
    near = [f"<li>{html.escape(', '.join(group))}</li>" for group in report.near]
    for label, items in (("Left out", rejected), ("Doubles", twins), ("Nearly alike, kept", near)):
        if items:
            more = f"<li>and {len(items) - 200:,} more</li>" if len(items) > 200 else ""
            opened = " open" if label == "Left out" else ""
            parts.append(
                f'<details class="gs-note"{opened}><summary>{label} ({len(items):,})</summary><ul>{"".join(items[:200])}{more}</ul></details>'
            )
    return "".join(parts)
