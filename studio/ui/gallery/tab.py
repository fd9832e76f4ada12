"""Gallery: everything that was saved, to be found, looked at, gone on with, and given away."""

import contextlib
import dataclasses
import functools
import html
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.gallery.export import contact_sheet, to_zip
from studio.gallery.gallery import BIN_DAYS, CLIP, Gallery, Item, Query
from studio.ui.components.handlers import LIVE, QUIET, WORK, Outputs, friendly, streaming
from studio.ui.components.notes import empty_html, note
from studio.ui.components.progress import WorkProgress
from studio.ui.components.tab import Page, Tab, TabState
from studio.ui.components.targets import Target
from studio.ui.gallery.view import KINDS, day, facts_html, gallery_grid, grid_html, stage_html, tab_name
from studio.ui.session import Session
from studio.ui.tabs import TABS

PAGE = 60
_PATIENCE = 0.25  # seconds that a page waits for small views before it shows without the rest
_TELL = 0.8  # seconds between two views of a page that fills
_HANDS = 3  # small views that are made at the same time
_VERBS = {entry.verb: id for id, entry in TABS.items() if entry.verb}  # verb of a recipe -> the tab where it is opened
_MANY = {**QUIET, "trigger_mode": "multiple"}  # no press is lost when one follows another quickly
_ANY = {"tab": "Any tab", "model": "Any model", "kind": "Pictures and clips", "tag": "Any tag"}
_EMPTY = "<b>Nothing is kept here yet.</b><br>Whatever you save in Explore, Classes, Translate or Upscale appears here, the newest first."
_NONE = "<b>No picture is like that.</b><br>Take away a word or a filter."
_KEYS = '<div class="gs-note keys">Keys: ← → the pictures beside · Esc all pictures</div>'


@dataclass
class GalleryVisit(TabState):
    """What one visitor does here.

    guest: a stranger, to whom paths of this machine are not told.  page: counted from 0.  turn: counts what was drawn, so that
    what is late is not shown.  items: on the page, by key.  chosen: by path, while several are chosen.  item: the one that is seen
    large.  left: the one that was, for a mark that was set at the last moment.  deleted: what 'Undo' brings back, newest last.
    made: folder of the last zip or sheet.
    """

    gallery: Gallery
    guest: bool = False
    query: Query = Query()
    page: int = 0
    turn: int = 0
    items: dict[str, Item] = field(default_factory=dict)
    choosing: bool = False
    chosen: dict[str, Item] = field(default_factory=dict)
    item: Item | None = None
    left: Item | None = None
    deleted: list[str] = field(default_factory=list)
    made: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        self.stop.set()
        self.gallery.close()
        _clear(self)

    def seen(self) -> Item:
        """The one that is seen large. Raises StudioError when there is none."""
        if self.item is None:
            raise StudioError("No picture is open.", "Press one first.")
        return self.item

    def marked(self) -> Item:
        """The one that a mark is meant for. Raises StudioError when there is none."""
        return self.left if self.item is None and self.left is not None else self.seen()

    def read_again(self, item: Item) -> Item:
        """An item with the marks that it has now, also where it is seen large."""
        item = self.gallery.item(item.path) or item
        if self.item is not None and self.item.path == item.path:
            self.item = item
        return item

    def taken(self) -> list[Item]:
        """Those that are chosen, the newest first. Raises StudioError when there are none."""
        if not self.chosen:
            raise StudioError("No picture is chosen.", "Press some first.")
        return sorted(self.chosen.values(), key=lambda i: (i.made, i.path), reverse=True)


class GalleryTab(Tab[GalleryVisit]):
    """Builds the tab inside the current Blocks and wires it.

    gallery: of a visitor; it is asked once a visit.  `add_openings` and `add_targets` add where pictures can go to.
    """

    id, state_type = "gallery", GalleryVisit

    def __init__(self, page: Page):
        self._openings: set[str] = set()  # ids of tabs
        super().__init__(page)

    def _new_state(self, session: Session) -> GalleryVisit:
        assert self.page.gallery is not None, "the page has no gallery"
        return GalleryVisit(self.page.gallery(session), session.workspace.guest)

    def _visit(self, session: Session | None) -> GalleryVisit:
        return self.state_of(session)

    # -- what is on the page -------------------------------------------------------------------------------------

    def _build(self) -> None:
        with gr.Row(visible=False, elem_id="gallery-undo-bar", elem_classes="gs-undo") as self.undo_bar:
            self.undo_words = gr.HTML("", padding=False)
            self.undo = gr.Button("Undo", elem_id="gallery-undo", min_width=90, scale=0)
        with gr.Column(elem_id="gallery-all") as self.all:
            self._build_filters()
            with gr.Row(elem_classes="gs-tools", elem_id="gallery-tools"):
                self.told = gr.HTML("", padding=False, elem_id="gallery-told")
                self.choose = gr.Button("Choose several", elem_id="gallery-choose", scale=0, min_width=150)
            self._build_several()
            self.grid = gallery_grid(value="", elem_id="gallery-grid")
            with gr.Row(visible=False, elem_classes="gs-tools", elem_id="gallery-pager") as self.pager:
                self.newer_page = gr.Button("← Newer", elem_id="gallery-newer-page")
                self.where = gr.HTML("", padding=False, elem_id="gallery-where")
                self.older_page = gr.Button("Older →", elem_id="gallery-older-page")
        with gr.Row(visible=False, equal_height=False, elem_id="gallery-one") as self.one:
            self._build_one()
        self.file = gr.DownloadButton(visible="hidden", elem_id="gallery-file")

    def _build_filters(self) -> None:
        with gr.Row(elem_id="gallery-filters", equal_height=True):
            self.text = gr.Textbox(
                label="Search",
                placeholder="A word of the name, a tag, a model, seed 42 ...",
                elem_id="gallery-text",
                scale=3,
                min_width=220,
            )
            self.favourite = gr.Checkbox(False, label="★ Favourites only", elem_id="gallery-favourite", min_width=150)
        with gr.Accordion("More filters", open=False, elem_id="gallery-more"):
            with gr.Row(equal_height=True):
                self.tab = _choice("tab", "Saved in")
                self.model = _choice("model", "Model")
                self.kind = _choice("kind", "Kind")
                self.tag = _choice("tag", "Tag")
            with gr.Row(equal_height=True):
                self.since = gr.DateTime(label="From the day", include_time=False, type="string", elem_id="gallery-since", min_width=150)
                self.until = gr.DateTime(label="To the day", include_time=False, type="string", elem_id="gallery-until", min_width=150)

    def _build_several(self) -> None:
        with gr.Column(visible=False, elem_id="gallery-several") as self.several:
            self.count = gr.HTML("", padding=False, elem_id="gallery-count")
            with gr.Row(elem_classes="gs-tools"):
                self.page_all = gr.Button("All on this page", elem_id="gallery-page-all")
                self.page_none = gr.Button("None", elem_id="gallery-none")
                self.zip = gr.Button("Make a zip", elem_id="gallery-zip")
                self.delete_many = gr.Button("Delete", elem_id="gallery-delete-many")
            with gr.Accordion("Contact sheet", open=False, elem_id="gallery-sheet-box"):
                with gr.Row(equal_height=True):
                    self.sheet_kind = gr.Radio(
                        [("PDF (A4 pages)", "pdf"), ("PNG (one picture)", "png")], value="pdf", label="As", elem_id="gallery-sheet-kind"
                    )
                    self.columns = gr.Slider(1, 10, 5, step=1, label="Pictures in a row", elem_id="gallery-columns", min_width=180)
                    self.labels = gr.Checkbox(True, label="Model and seed below each", elem_id="gallery-labels", min_width=180)
                self.sheet = gr.Button("Make the sheet", elem_id="gallery-sheet")
            self.stop = gr.Button("Stop", visible=False, elem_id="gallery-stop")
            self.making = gr.HTML("", visible=False, padding=False, elem_id="gallery-making")
            self.ready = gr.DownloadButton("Download it", variant="primary", visible=False, elem_id="gallery-ready")

    def _build_one(self) -> None:
        with gr.Column(scale=6, min_width=320, elem_id="gallery-left"):
            self.stage = gr.HTML("", padding=False, elem_id="gallery-stage")
            self.clip = gr.Video(show_label=False, visible=False, interactive=False, elem_id="gallery-clip", buttons=[])
            with gr.Row(elem_classes="gs-tools", elem_id="gallery-steps"):
                self.newer = gr.Button("← Newer", elem_id="gallery-newer")
                self.back = gr.Button("All pictures", elem_id="gallery-back")
                self.older = gr.Button("Older →", elem_id="gallery-older")
            self.place = gr.HTML("", padding=False, elem_id="gallery-place")
            gr.HTML(_KEYS, padding=False)
        with gr.Column(scale=4, min_width=320, elem_id="gallery-right"):
            with gr.Row(elem_classes="gs-tools"):
                self.opens = {
                    id: gr.Button(f"Open in {TABS[id].title}", variant="primary", visible=False, elem_id=f"gallery-open-{id}")
                    for id in _VERBS.values()
                }
                self.star = gr.Button("☆ Favourite", elem_id="gallery-star")
                self.download = gr.Button("Download", elem_id="gallery-download")
                self.delete = gr.Button("Delete", elem_id="gallery-delete")
            self.facts = gr.HTML("", padding=False, elem_id="gallery-facts")
            self.tags = gr.Dropdown(
                [], multiselect=True, allow_custom_value=True, label="Tags", elem_id="gallery-tags", info="Write a word and press Enter."
            )
            self.path = gr.Textbox(label="Its file", interactive=False, buttons=["copy"], elem_id="gallery-path")
            self.send = gr.Row(elem_classes="gs-tools", elem_id="gallery-send", visible=False)

    @property
    def _filters(self) -> list:
        return [self.text, self.favourite, self.tab, self.model, self.kind, self.tag, self.since, self.until]

    @property
    def _listing(self) -> list:
        """What `_draw` gives."""
        return [self.grid, self.told, self.pager, self.where, self.newer_page, self.older_page, self.choose]

    @property
    def _large(self) -> list:
        """What `_show` gives."""
        return [
            self.all,
            self.one,
            self.stage,
            self.clip,
            self.facts,
            self.path,
            self.star,
            self.tags,
            self.place,
            self.newer,
            self.older,
            *self.opens.values(),
            self.send,
        ]

    # -- wiring --------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        s = self.session

        def listed(trigger, fn, inputs=(), more=(), **options):
            """Something that draws the grid anew. Small views that are not there yet follow."""
            event = trigger(friendly(fn), [s, *inputs], [*self._listing, *more], **{**_MANY, **options})
            self._fill_after(event)
            return event

        changed = [part.change for part in (self.text, self.favourite, self.since, self.until)]
        chosen = [part.input for part in (self.tab, self.model, self.kind, self.tag)]
        listed(functools.partial(gr.on, [*changed, *chosen]), self._filter, self._filters, **LIVE)
        listed(self.newer_page.click, lambda session: self._turn(session, -1)).success(None, js=_TO_TOP, **QUIET)
        listed(self.older_page.click, lambda session: self._turn(session, 1)).success(None, js=_TO_TOP, **QUIET)

        several = [self.several, self.count, self.ready, self.making]
        listed(self.choose.click, self._choosing, more=several)
        listed(self.page_all.click, lambda session: self._take_page(session, True), more=several[1:])
        listed(self.page_none.click, lambda session: self._take_page(session, False), more=several[1:])
        self.grid.input(friendly(self._take), s, several[1:], **_MANY)
        self._work(self.zip, self._zip, [s])
        self._work(self.sheet, self._sheet, [s, self.sheet_kind, self.columns, self.labels])
        undo = [self.undo_bar, self.undo_words]
        listed(self.delete_many.click, self._delete_many, more=[*several[1:], *undo])
        listed(self.undo.click, self._undo, more=[*undo, self.all, self.one])

        self.grid.select(friendly(self._open), s, self._large, **_MANY).success(None, js=_TO_TOP, **QUIET)
        self.newer.click(friendly(lambda session: self._step(session, -1)), s, self._large, **_MANY)
        self.older.click(friendly(lambda session: self._step(session, 1)), s, self._large, **_MANY)
        listed(self.back.click, self._back, more=[self.all, self.one, self.clip])
        self.star.click(friendly(self._star), s, self.star, **_MANY)
        for event in (self.tags.input, self.tags.key_up):  # a word of one's own is only told of by its Enter
            event(friendly(self._tag), [s, self.tags], [self.tags, self.tag], **_MANY)
        self.download.click(friendly(lambda session: str(self._path(session))), s, self.file, **QUIET).success(None, js=_DOWNLOAD, **QUIET)
        self.delete.click(friendly(self._delete_one), s, [*self._large, *undo], **QUIET).then(
            friendly(self._redraw), s, self._listing, **QUIET
        )

    def _fill_after(self, event) -> None:
        event.success(streaming(self._fill), self.session, self.grid, **_MANY)

    def _work(self, button: gr.Button, run: Callable, inputs: list) -> None:
        """Long work on those that are chosen, with progress and a way to stop."""

        def begin(session: Session) -> list:
            visit = self._visit(session)
            visit.taken()
            visit.stop.clear()
            return [gr.update(visible=True), gr.update(value=note("Beginning ..."), visible=True), gr.update(visible=False)]

        work = button.click(friendly(begin), self.session, [self.stop, self.making, self.ready], **QUIET).success(
            friendly(run), inputs, [self.making, self.ready], show_progress_on=self.making, **WORK
        )
        work.failure(lambda: [gr.update(visible=False)] * 2, None, [self.stop, self.making], **QUIET)
        work.success(lambda: gr.update(visible=False), None, self.stop, **QUIET)
        self.stop.click(lambda session: self._visit(session).stop.set(), self.session, None, **QUIET)

    # -- where pictures go to ------------------------------------------------------------------------------------

    def add_openings(self, targets: list[Target]) -> None:
        """'Open in ...': the tab as it was when the picture was saved. Called once all tabs are built."""

        def opener(target: Target) -> Callable[[Session], Outputs]:
            return lambda session: target.open_there(self.page.tabs)(session, self._recipe(session), self._path(session))

        for target in targets:
            self.opens[target.id].click(friendly(opener(target)), self.session, target.outputs_with(self.page.tabs), **QUIET)
        self._openings = {target.id for target in targets}

    def add_targets(self, targets: list[Target]) -> None:
        """Tabs that a picture can be sent to as a plain one, whatever it was made with. Called once all tabs are built."""
        with self.send:
            self.target_buttons(
                [dataclasses.replace(t, label=f"Send to {TABS[t.id].title}" if t.id != "train" else t.label) for t in targets], self._path
            )
        self.add_openings(self.page.targets("saved"))

    def _path(self, session: Session) -> Path:
        visit = self._visit(session)
        path = visit.gallery.file(visit.seen())
        if not path.is_file():
            raise StudioError("This file is no longer here.", "Go back to all pictures.")
        return path

    def _recipe(self, session: Session) -> Any:
        visit = self._visit(session)
        recipe = visit.gallery.recipe(visit.seen())
        if recipe is None:
            raise StudioError("This picture has no recipe inside.", "Send it on as a plain picture instead.")
        return recipe

    # -- opening the tab -----------------------------------------------------------------------------------------

    @property
    def enter_outputs(self) -> list:
        """Outputs of `enter`."""
        return [*self._listing, self.tab, self.model, self.kind, self.tag]

    def enter(self, session: Session) -> list:
        """When the tab is opened: what is known already, and what was saved since when that is little."""
        visit = self._visit(session)
        steps = visit.gallery.refreshing()
        done, all_ = next(steps)
        if all_ - done <= PAGE:
            for _ in steps:
                pass
        return [*self._draw(visit, left=all_ if all_ > PAGE else 0), *self._choices(visit)]

    def after_enter(self, entered):
        """What follows on `enter`: many files that are new are read while one looks at the first of them."""
        self._fill_after(entered.success(streaming(self._catch_up), self.session, self.enter_outputs, **_MANY))
        return entered

    def _catch_up(self, session: Session) -> Iterator[list]:
        visit = self._visit(session)
        told, read = time.monotonic() - _TELL, False
        for done, all_ in visit.gallery.refreshing():
            read = read or done > 0
            if 0 < done < all_ and time.monotonic() - told > _TELL:
                told = time.monotonic()
                yield [*self._draw(visit, left=all_ - done), *self._choices(visit)]
        visit.gallery.empty_bin()
        if read:
            yield [*self._draw(visit), *self._choices(visit)]

    def _choices(self, visit: GalleryVisit) -> list:
        """For [tab, model, kind, tag]."""
        found = visit.gallery.choices()
        named = {
            "tab": [(tab_name(t), t) for t in found.tabs],
            "model": [(m, m) for m in found.models],
            "kind": [(KINDS[k], k) for k in found.kinds],
            "tag": [(t, t) for t in found.tags],
        }
        chosen = {name: getattr(visit.query, name) for name in named}
        return [gr.update(choices=[(_ANY[n], ""), *_with(named[n], chosen[n])], value=chosen[n]) for n in named]

    # -- the grid ------------------------------------------------------------------------------------------------

    def _draw(self, visit: GalleryVisit, left: int = 0) -> list:
        """The page of the grid, for `self._listing`.  left: files that are still to be read."""
        gallery, query = visit.gallery, visit.query
        count = gallery.count(query)
        pages = max(1, -(-count // PAGE))
        visit.page, visit.turn = max(0, min(visit.page, pages - 1)), visit.turn + 1
        items = gallery.page(query, visit.page * PAGE, PAGE)
        visit.items = {i.key: i for i in items}
        before = time.monotonic() + _PATIENCE
        for item in items:
            if time.monotonic() > before:
                break
            with contextlib.suppress(StudioError):
                gallery.thumbnail(item)
        if items:
            shown = self._grid(visit)
        else:
            shown = empty_html(_NONE if query != Query() else "Reading what is here ..." if left else _EMPTY)
        words = f"<b>{count:,} {'file' if count == 1 else 'files'}</b>" + (" found" if query != Query() else "")
        words += f" · {left:,} more are being read" if left else ""
        if not visit.guest:
            words += f" · in the folder <code>{html.escape(str(gallery.outputs))}</code>"
        return [
            shown,
            note(words),
            gr.update(visible=pages > 1),
            note(f"Page {visit.page + 1:,} of {pages:,}"),
            gr.update(interactive=visit.page > 0),
            gr.update(interactive=visit.page < pages - 1),
            gr.update(visible=bool(items) or visit.choosing, value="Done choosing" if visit.choosing else "Choose several"),
        ]

    def _grid(self, visit: GalleryVisit) -> str:
        cells = [(i, visit.gallery.thumbs.kept(i.key), i.path in visit.chosen) for i in visit.items.values()]
        return grid_html(cells, visit.choosing)

    def _fill(self, session: Session) -> Iterator[str]:
        """Make the small views that the page lacks, and show them as they come."""
        visit = self._visit(session)
        turn, gallery = visit.turn, visit.gallery
        missing = [i for i in visit.items.values() if gallery.thumbs.kept(i.key) is None]
        told = time.monotonic()

        def make(item: Item) -> None:
            if visit.turn == turn:
                with contextlib.suppress(StudioError):
                    gallery.thumbnail(item)

        with ThreadPoolExecutor(_HANDS) as hands:
            for _ in hands.map(make, missing):
                if visit.turn == turn and time.monotonic() - told > _TELL:
                    told = time.monotonic()
                    yield self._grid(visit)
        if missing and visit.turn == turn:
            yield self._grid(visit)

    def _redraw(self, session: Session) -> list:
        return self._draw(self._visit(session))

    def _filter(
        self, session: Session, text: str, favourite: bool, tab: str, model: str, kind: str, tag: str, since: str | None, until: str | None
    ) -> list:
        visit = self._visit(session)
        query = Query(
            text or "", model or "", tab or "", day(since, "From the day"), day(until, "To the day"), bool(favourite), tag or "", kind or ""
        )
        if query == visit.query:
            return [gr.skip()] * len(self._listing)
        visit.query, visit.page = query, 0
        return self._draw(visit)

    def _turn(self, session: Session, step: int) -> list:
        visit = self._visit(session)
        visit.page += step
        return self._draw(visit)

    # -- choosing several ----------------------------------------------------------------------------------------

    def _choosing(self, session: Session) -> list:
        visit = self._visit(session)
        visit.choosing, visit.chosen = not visit.choosing, {}
        return [*self._draw(visit), gr.update(visible=visit.choosing), *self._counted(visit)]

    def _counted(self, visit: GalleryVisit) -> list:
        """For [count, ready, making]."""
        size = sum(i.size for i in visit.chosen.values())
        words = f"<b>{len(visit.chosen):,} chosen</b>, {size / 1e6:,.1f} MB." if visit.chosen else "<b>None chosen yet.</b>"
        off = gr.update(visible=False)
        return [note(f"{words} Press pictures to take them in or leave them out; with shift, all between two."), off, off]

    def _take(self, session: Session, event: gr.EventData) -> list:
        visit = self._visit(session)
        keys, on = event._data.get("keys"), event._data.get("on")
        for key in keys if isinstance(keys, list) else ():
            item = visit.items.get(key) if isinstance(key, str) else None
            if item is not None and on is True:
                visit.chosen[item.path] = item
            elif item is not None:
                visit.chosen.pop(item.path, None)
        return self._counted(visit)

    def _take_page(self, session: Session, on: bool) -> list:
        visit = self._visit(session)
        visit.chosen = {**visit.chosen, **{i.path: i for i in visit.items.values()}} if on else {}
        return [*self._draw(visit), *self._counted(visit)]

    def _zip(self, session: Session, progress: gr.Progress = gr.Progress()) -> list:
        visit = self._visit(session)
        items = visit.taken()
        return self._made(
            session,
            f"gallery-{len(items)}-files.zip",
            lambda out: _told(
                f"{to_zip(visit.gallery, items, out, WorkProgress(progress, 'Packing'), visit.stop.is_set):,} files are in the zip"
            ),
        )

    def _sheet(self, session: Session, kind: str, columns: float, labels: bool, progress: gr.Progress = gr.Progress()) -> list:
        visit = self._visit(session)
        items, ending = visit.taken(), "png" if kind == "png" else "pdf"
        return self._made(
            session,
            f"contact-sheet-{len(items)}.{ending}",
            lambda out: _told(
                f"{len(items):,} files on the sheet",
                contact_sheet(visit.gallery, items, out, int(columns), bool(labels), WorkProgress(progress, "Drawing"), visit.stop.is_set),
            ),
        )

    def _made(self, session: Session, name: str, make: Callable[[Path], str]) -> list:
        """For [making, ready]."""
        visit = self._visit(session)
        _clear(visit)
        visit.made = session.workspace.transfer_folder()
        try:
            words = make(visit.made / name)
        except CancelledError:
            return [gr.update(value=note("Stopped; nothing was made."), visible=True), gr.update(visible=False)]
        return [gr.update(value=note(words), visible=True), gr.update(value=str(visit.made / name), label=f"Download {name}", visible=True)]

    # -- the bin -------------------------------------------------------------------------------------------------

    def _delete(self, visit: GalleryVisit, items: list[Item]) -> list:
        """For [undo_bar, undo_words]."""
        visit.deleted.append(visit.gallery.delete(items))
        what = "One file is" if len(items) == 1 else f"{len(items):,} files are"
        return [gr.update(visible=True), note(f"<b>{what} in the bin</b> for {BIN_DAYS} days.")]

    def _delete_many(self, session: Session) -> list:
        visit = self._visit(session)
        bar = self._delete(visit, visit.taken())
        visit.chosen = {}
        return [*self._draw(visit), *self._counted(visit), *bar]

    def _delete_one(self, session: Session) -> list:
        visit = self._visit(session)
        item = visit.seen()
        beside = visit.gallery.beside(visit.query, item, 1) or visit.gallery.beside(visit.query, item, -1)
        bar = self._delete(visit, [item])
        visit.chosen.pop(item.path, None)
        visit.item = beside
        return [*(self._show(visit) if beside else self._closed()), *bar]

    def _undo(self, session: Session) -> list:
        visit = self._visit(session)
        if not visit.deleted:
            raise StudioError("Nothing was deleted.", "")
        count = visit.gallery.undo_delete(visit.deleted.pop())
        bar = [
            gr.update(visible=bool(visit.deleted)),
            note(f"<b>{count:,} {'is' if count == 1 else 'are'} back.</b> More was deleted before."),
        ]
        visit.item = None
        return [*self._draw(visit), *bar, gr.update(visible=True), gr.update(visible=False)]

    # -- one picture ---------------------------------------------------------------------------------------------

    def _open(self, session: Session, event: gr.EventData) -> list:
        visit = self._visit(session)
        key = event._data.get("key")
        item = visit.items.get(key) if isinstance(key, str) else None
        if item is None:
            raise StudioError("That picture is no longer on the page.", "Press another.")
        visit.item = item
        return self._show(visit)

    def _step(self, session: Session, step: int) -> list:
        visit = self._visit(session)
        beside = visit.gallery.beside(visit.query, visit.seen(), step)
        if beside is None:
            return [gr.skip()] * len(self._large)
        visit.item = beside
        return self._show(visit)

    def _show(self, visit: GalleryVisit) -> list:
        """The open picture, for `self._large`."""
        gallery = visit.gallery
        item = visit.item = gallery.item(visit.seen().path) or visit.item
        playing = item.path.lower().endswith(".mp4") and gallery.file(item).is_file()
        recipe = gallery.recipe(item)
        clip = gr.update(value=str(gallery.file(item)), visible=True) if playing else gr.update(value=None, visible=False)
        place, count = gallery.place(visit.query, item), gallery.count(visit.query)
        tab = _VERBS.get(item.verb) if recipe is not None else None
        return [
            gr.update(visible=False),
            gr.update(visible=True),
            gr.update(value="" if playing else stage_html(gallery, item), visible=not playing),
            clip,
            facts_html(item, recipe, self._title(item.model)),
            item.path if visit.guest else str(gallery.file(item)),
            _star_button(item.favourite),
            gr.update(choices=list(gallery.choices().tags), value=list(item.tags)),
            note(f"{place + 1:,} of {count:,}"),
            gr.update(interactive=place > 0),
            gr.update(interactive=place + 1 < count),
            *(gr.update(visible=id == tab and id in self._openings) for id in self.opens),
            gr.update(visible=item.kind != CLIP),
        ]

    def _title(self, model: str) -> str:
        if not model:
            return ""
        info = next((m for m in self.engine.library.scan()[0] if m.id == model), None)
        return f"{model} (no longer here)" if info is None else info.title if info.title == model else f"{info.title} ({model})"

    def _closed(self) -> list:
        """All pictures again, for `self._large`."""
        return [gr.update(visible=True), gr.update(visible=False), *[gr.skip()] * (len(self._large) - 2)]

    def _back(self, session: Session) -> list:
        """The page where the picture is."""
        visit = self._visit(session)
        if visit.item is not None:
            visit.page = visit.gallery.place(visit.query, visit.item) // PAGE
        visit.left, visit.item = visit.item or visit.left, None
        return [*self._draw(visit), gr.update(visible=True), gr.update(visible=False), gr.update(value=None, visible=False)]

    def _star(self, session: Session) -> dict:
        visit = self._visit(session)
        item = visit.marked()
        visit.gallery.set_favourite(item, not item.favourite)
        return _star_button(visit.read_again(item).favourite)

    def _tag(self, session: Session, tags: list[str] | None) -> list:
        """For [tags, tag]."""
        visit = self._visit(session)
        item = visit.marked()
        if list(item.tags) == (tags or []):
            return [gr.skip()] * 2
        visit.gallery.set_tags(item, tags or [])
        return [gr.update(choices=list(visit.gallery.choices().tags), value=list(visit.read_again(item).tags)), self._choices(visit)[3]]


_TO_TOP = """() => {
  const panel = document.getElementById('gallery-undo').closest('[role=tabpanel]');
  if (panel.getBoundingClientRect().top < 0) panel.scrollIntoView({ block: 'start' });
}"""
# When the page has the address of the file.
_DOWNLOAD = "() => setTimeout(() => document.querySelector('button#gallery-file, #gallery-file button').click(), 60)"


def _choice(name: str, label: str) -> gr.Dropdown:
    return gr.Dropdown([(_ANY[name], "")], value="", label=label, elem_id=f"gallery-{name}", min_width=140)


def _with(choices: list[tuple[str, str]], chosen: str) -> list[tuple[str, str]]:
    """What is chosen stays in the list, even when the last picture of it is gone."""
    return choices if not chosen or chosen in [value for _, value in choices] else [*choices, (chosen, chosen)]


def _star_button(favourite: bool) -> dict:
    return gr.update(value="★ A favourite" if favourite else "☆ Favourite")


def _told(words: str, pages: int = 1) -> str:
    return f"<b>{words}</b>" + (f", {pages} pages." if pages > 1 else ".")


def _clear(visit: GalleryVisit) -> None:
    if visit.made is not None:
        shutil.rmtree(visit.made, ignore_errors=True)
    visit.made = None
