"""Step 1 of Train: what the model should learn, and the training sets that it learns from."""

from collections.abc import Callable

import gradio as gr

from studio.datasets.pairs import BY_NAME, BY_ORDER
from studio.datasets.side_by_side import looks_side_by_side, split_side_by_side
from studio.datasets.store import DataSetStore
from studio.imaging.colour import parse_colour
from studio.jobs.supervisor import Supervisor
from studio.training.methods import GOALS, get_goal
from studio.ui.components.handlers import QUIET, Outputs, friendly
from studio.ui.components.notes import note
from studio.ui.components.training_set_view import FULL_SIZE, hex_colour
from studio.ui.components.upload_zone import UploadZone
from studio.ui.session import Session
from studio.ui.train.translation_view import preview_html

_CROPS = [("Centre", "centre"), ("Smart: the most interesting part", "smart"), ("Fit: the complete picture, with a margin", "fit")]
_INTRO = (
    "<b>{}.</b> Files, a zip with folders, or a video, whose frames become pictures. A few dozen are enough to begin; a few "
    "hundred are better."
)


class ImagesStep:
    """The page "1 Training set".

    amount_html: id of a training set -> HTML that says whether its pictures suffice for an upscaler.
    """

    def __init__(self, datasets: DataSetStore, supervisor: Supervisor, session: gr.State, amount_html: Callable[[str], str]):
        self.datasets, self.session, self._amount_html = datasets, session, amount_html
        self.a = UploadZone(datasets, supervisor, session, "train", "gs-a")
        self.b = UploadZone(datasets, supervisor, session, "train-b", "gs-b", visible=False)

    def build(self) -> None:
        """The page, inside the current Tab."""
        self.goal = gr.Radio(
            [(f"{g.title}\n{g.sentence}", g.name) for g in GOALS],
            value=GOALS[0].name,
            label="What should it learn?",
            elem_id="train-goal",
            elem_classes="gs-cards",
        )
        # Two zones stand side by side with their sets below them; a single zone has its set beside it.
        with gr.Row(equal_height=False, elem_classes="gs-zones"):
            self.a.build_form(_INTRO.format(GOALS[0].a), self._build_crop)
            self.b.build_form(_INTRO.format("B"))
            self.a.build_viewer()
            self.b.build_viewer()
        with gr.Row(elem_classes="gs-tools"):
            self.by_order = gr.Checkbox(
                False, label="Pair by order: the first of A with the first of B", visible=False, elem_id="train-order"
            )
            self.split = gr.Button("Split into A (left half) and B (right half)", visible=False, elem_id="train-split")
        self.preview = gr.HTML(padding=False, elem_id="train-preview")
        self.next = gr.Button("Next: what to make →", visible=False, variant="primary", elem_id="train-next")

    def _build_crop(self) -> None:
        self.crop = gr.Radio(_CROPS, value="centre", label="How pictures become squares (crop)", elem_id="train-crop")
        with gr.Row():
            self.background = gr.ColorPicker("#ffffff", label="Background: behind transparent parts and in margins", elem_id="train-ground")
            self.mirror = gr.Checkbox(False, label="Also learn each picture mirrored", elem_id="train-mirror")

    @property
    def chosen(self) -> list:
        """Inputs: goal, set A, set B, crop, background, whether pairs are found by order."""
        return [self.goal, self.a.set, self.b.set, self.crop, self.background, self.by_order]

    @property
    def outputs(self) -> list:
        """Components that `shown` and `choose_goal` may change."""
        zones = [x for zone in (self.a, self.b) for x in (zone.intro, zone.form, zone.viewer, *zone.outputs)]
        return [*zones, self.a.by_folder, self.crop, self.mirror, *self._previewed]

    @property
    def _previewed(self) -> list:
        """Components that `_preview` changes."""
        return [self.by_order, self.split, self.preview, self.next]

    def wire(self) -> None:
        """Connect the events within the step."""
        s, look = self.session, [self.crop, self.background]
        for zone in (self.a, self.b):
            zone.wire(self.crop, self.background, self.a.by_folder)
        # A set that is added or deleted in one zone appears in, or disappears from, the list of the other.
        self.a.set.change(friendly(self._refresh_b), [s, self.goal, self.b.set, *look], self.b.outputs, **QUIET)
        self.b.set.change(friendly(self.a.shown), [s, self.a.set, *look], self.a.outputs, **QUIET)
        gr.on(
            [self.a.set.change, self.b.set.change, self.crop.input, self.background.input, self.by_order.input],
            friendly(self._preview),
            self.chosen,
            self._previewed,
            **QUIET,
        )
        self.split.click(
            friendly(self._split),
            [s, self.a.set, *look],
            [*self.a.outputs, *self.b.outputs],
            show_progress="full",
            show_progress_on=self.preview,
            api_visibility="private",
        )

    def shown(
        self, session: Session, goal: str, set_a: str | None, set_b: str | None, crop: str, background: str, by_order: bool = False
    ) -> Outputs:
        """The training sets as they are now."""
        return {
            **self.a.shown(session, set_a, crop, background),
            **self.b.shown(session, set_b, crop, background),
            **self._preview(goal, set_a, set_b, crop, background, by_order),
        }

    def existing_or_newest(self, id: str | None) -> str | None:
        """The training set `id` if it still exists, else the newest one; None when there are none."""
        sets = self.datasets.list()
        return id if any(x.id == id for x in sets) else sets[0].id if sets else None

    def choose_goal(
        self, session: Session, goal: str, set_a: str | None, set_b: str | None, crop: str, background: str, by_order: bool = False
    ) -> Outputs:
        """Show the zones and crops that the goal needs."""
        what = get_goal(goal)
        upscales, two = what.name == "upscale", what.image_sets != "one"
        crops = _crops_for(goal)
        new_crop = crop if crop in [value for _, value in crops] else crops[0][1]
        a, b = (f"{letter}: {words}" for letter, words in zip("AB", (what.a, what.b), strict=True)) if two else (what.a, "B")
        shown = {
            self.a.intro: note(_INTRO.format(a)),
            self.b.intro: note(_INTRO.format(b)),
            self.a.by_folder: gr.update(visible=what.name == "draw"),
            self.b.form: gr.update(visible=two),
            self.b.viewer: gr.update(visible=two),
            self.crop: gr.update(choices=crops, value=new_crop, visible=not upscales),
            self.mirror: gr.update(visible=not upscales),
            **self._preview(goal, set_a, set_b, new_crop, background, by_order),
        }
        if new_crop != crop:
            shown |= self.a.shown(session, set_a, new_crop, background)
        if two:
            shown |= self.b.shown(session, set_b, new_crop, background)
        return shown

    def titles(self, goal: str, set_a: str, set_b: str | None) -> list[str]:
        """Titles of the sets that the goal learns from, each once."""
        ids = [set_a] if get_goal(goal).image_sets == "one" or not set_b else [set_a, set_b]
        return list(dict.fromkeys(self.datasets.get(id).title for id in ids))

    def _refresh_b(self, session: Session, goal: str, set_b: str | None, crop: str, background: str) -> Outputs:
        if get_goal(goal).image_sets == "one":
            return {}
        return self.b.shown(session, set_b, crop, background)

    def _split(self, session: Session, set_a: str, crop: str, background: str, progress: gr.Progress = gr.Progress()) -> Outputs:
        """Two new sets of the halves of the pictures in set A, selected for A and B."""
        a, b = split_side_by_side(self.datasets, set_a, lambda done, total, name: progress((done, total), desc=name, unit="files"))
        return {**self.a.shown(session, a.id, crop, background), **self.b.shown(session, b.id, crop, background)}

    def _preview(self, goal: str, set_a: str | None, set_b: str | None, crop: str, background: str, by_order: bool = False) -> Outputs:
        what = get_goal(goal)
        there = {x.id for x in self.datasets.list()}
        a, b = (id if id in there else None for id in (set_a, set_b))
        ready = bool(a) and (what.image_sets == "one" or bool(b))
        if what.name == "upscale" and a:
            preview = self._amount_html(a)
        else:
            pairs = BY_ORDER if by_order else BY_NAME
            preview = preview_html(what, self.datasets, a, b, crop, parse_colour(hex_colour(background)), pairs)
        paired = what.image_sets == "paired"
        return {
            self.preview: preview,
            self.next: gr.update(visible=ready),
            self.by_order: gr.update(visible=paired and ready),
            self.split: gr.update(visible=paired and bool(a) and looks_side_by_side(self.datasets.get(str(a)))),
        }


def _crops_for(goal: str) -> list[tuple[str, str]]:
    """(label, value) of the crops that a goal allows."""
    what = get_goal(goal)
    if what.name == "upscale":
        return [("Full size", FULL_SIZE)]
    # A smart crop would cut the two pictures of a pair at different places.
    return [c for c in _CROPS if c[1] != "smart"] if what.image_sets == "paired" else _CROPS
