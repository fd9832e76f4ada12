"""The Models tab: a stranger's model runs nothing and contacts nobody; and the tab without editing."""

import dataclasses
import html
import json
from html.parser import HTMLParser
from types import SimpleNamespace

import gradio as gr
import pytest
import torch
from PIL import Image

from studio.jobs.queue import Job
from studio.models.acquire.bundled import PACKAGES, BundledModel
from studio.models.acquire.catalogue import CATALOGUE
from studio.models.library import Broken, Library
from studio.training.plan import Plan
from studio.ui.access.serving import ServingPolicy
from studio.ui.components.model_cells import thumbnail_url
from studio.ui.components.tab import Page
from studio.ui.models import view as page
from studio.ui.models.card_view import card_html
from studio.ui.models.tab import ModelsTab
from studio.ui.session import Session
from tests.conftest import save_tiny
from tests.unit.importers.official_translators import official

ATTACK = "<img src=x onerror='window.hacked=1'>"
HOSTILE = f"""---
model_name: "{ATTACK}"
---

# Title {ATTACK}

<script>window.hacked=1</script>
{ATTACK}
<iframe src="https://example.org"></iframe>

[a](javascript:window.hacked=1) [b](JaVaScRiPt&#58;window.hacked=1) [c](data:text/html,<script>window.hacked=1</script>)
[d](vbscript:x) [e](file:///etc/passwd) [f](/api/secret) <javascript:window.hacked=1> [g](https://example.org/"onclick="x)
![h](https://example.org/pixel.png) ![i](thumbnail.webp "t" ) ![j](../../secret.png) ![k](/etc/secret.png) ![l](x.svg)
![m" onerror="window.hacked=1](thumbnail.webp) [n](https://example.org 'x" onmouseover="window.hacked=1')

`${{window.hacked=1}}` ${{window.hacked=1}} {{{{window.hacked=1}}}} &lt;script&gt;window.hacked=1&lt;/script&gt;

| a | <b onclick=x>b</b> |
|---|---|
| ~~1~~ | 2 |
"""


class Tags(HTMLParser):
    """All tags with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def evil(tmp_path):
    """A model folder whose every word is hostile."""
    info = save_tiny(tmp_path / "mine", "evil", c_dim=2)
    config = json.loads((info.path / "config.json").read_text())
    config |= {
        "title": ATTACK,
        "licence": ATTACK,
        "classes": [ATTACK, "\u202eright to left"],
        "extra": {"imported_from": ATTACK, "offered_by": {"x": [ATTACK]}, "downloaded_from": f"http://[{ATTACK}"},
    }
    (info.path / "config.json").write_text(json.dumps(config))
    (info.path / "README.md").write_text(HOSTILE)
    (info.path / "x.svg").write_text("<svg onload='window.hacked=1'/>")
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    return Library([tmp_path / "mine"]), Library([tmp_path / "mine"]).get("evil")


def test_nothing_of_a_hostile_card_runs_or_calls(evil):
    tags = Tags(card_html(evil[1])).found
    assert {t for t, _ in tags} <= {"div", "p", "h1", "a", "img", "code", "table", "thead", "tbody", "tr", "th", "td", "s"}
    links = [a for t, a in tags if t == "a"]
    assert [a.get("href") for a in links if a] == ["https://example.org/%22onclick=%22x", "https://example.org"]
    assert all(set(a) <= {"href", "target", "rel", "title"} and a["rel"] == "noopener noreferrer nofollow" for a in links if a)
    pictures = [a for t, a in tags if t == "img"]
    assert len(pictures) == 2
    assert all(set(a) == {"alt", "src"} and a["src"].startswith("data:image/webp;base64,") for a in pictures)
    assert "model_name" not in card_html(evil[1])


def test_a_card_reads_well(tmp_path):
    info = save_tiny(tmp_path, "tiny")
    (info.path / "README.md").write_text("---\na: b\n---\n\n# Tiny tiny\n\nWords, **bold**.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    text = card_html(info)
    assert "<strong>bold</strong>" in text
    assert "<td>2</td>" in text
    assert "<h1>" not in text
    assert "a: b" not in text
    (info.path / "README.md").write_text("---\na: b\n---\n")
    assert card_html(info) == ""
    (info.path / "README.md").unlink()
    assert card_html(info) == ""


def test_hostile_facts_are_words(evil):
    library, info = evil
    broken = [Broken(info.path / ATTACK, ATTACK)]
    shown = page.cards_html(library, [info], "evil", ["evil"]) + page.about_html(library, info) + page.broken_html(broken)
    assert all("onerror" not in a for _, a in Tags(shown).found)
    assert html.escape(ATTACK) in shown
    assert ATTACK not in shown
    assert "\u202e" not in shown


def test_finding(tmp_path):
    from studio.models.folder import save_folder
    from tests.unit.networks.test_super_resolution import make

    network = make("srvgg")
    save_tiny(tmp_path, "anna")
    save_tiny(tmp_path, "clara", c_dim=3)
    save_folder(tmp_path / "sharp", "srvgg", dataclasses.asdict(network.config), network.state_dict(), title="Sharp", licence="MIT")
    models = Library([tmp_path]).scan()[0]

    def found(what="everything", find=""):
        return [m.id for m in page.matching(models, what, find)]

    assert found() == ["anna", "clara", "sharp"]
    assert found("generate") == ["anna", "clara"]
    assert found("upscale") == ["sharp"]
    assert found("translate") == []
    assert found(find="TINY cla") == ["clara"]
    assert found(find="kind 2") == ["clara"]
    assert found(find="mit") == ["sharp"]
    assert found("generate", "sharp") == []
    assert found(find="stylegan2 32 x") == ["anna", "clara"]
    faces = [thumbnail_url(m) for m in models]
    assert [f.partition(";")[0] for f in faces] == ["data:image/webp", "data:image/webp", "data:image/svg+xml"]


def test_where_it_is_from(tmp_path):
    save_tiny(tmp_path / "mine", "anna")
    save_tiny(tmp_path / "shipped", "clara")
    library = Library(
        [tmp_path / "mine", tmp_path / "shipped"], [BundledModel("offered", "Offered", "stylegan2", {}, tmp_path / "x.param", PACKAGES[0])]
    )
    anna, clara, offered = library.scan()[0]

    def of(**extra):
        return page.source_in_words(library, dataclasses.replace(anna, extra=extra))

    assert page.source_in_words(library, clara) == "came with the studio"
    assert page.source_in_words(library, offered).startswith("bundled with the package")
    assert of(imported_from="net.pkl") == "imported from net.pkl"
    assert of(training={}) == "trained here"
    assert of() == "added by hand"
    assert of(downloaded_from="https://example.org/a/net.pkl") == "downloaded from example.org"
    assert of(downloaded_from="hub:user/name", imported_from="x.pth") == "from the Hugging Face Hub, user/name"


def test_every_model_of_the_catalogue_has_a_row_and_those_here_have_no_button():
    text = page.catalogue_html(CATALOGUE, {CATALOGUE[0].source})
    buttons = [a["data-i"] for t, a in Tags(text).found if t == "button"]
    assert buttons == [str(i) for i in range(1, len(CATALOGUE))]
    assert text.count("in your library") == 1


def test_where_many_come_nothing_can_be_changed(engine):
    """The buttons are not hidden, they are not there; and the page works without them."""
    with gr.Blocks() as app:
        tab = ModelsTab(Page(engine, gr.State(), policy=ServingPolicy(visitors=True)))
    ids = {b.elem_id for b in app.blocks.values() if getattr(b, "elem_id", None)}
    assert "models-cards" in ids
    assert "models-export" in ids
    changing = ("add", "files", "url", "repo", "token", "known", "delete", "undo", "bin", "empty", "name", "rename", "duplicate", "forget")
    assert not {f"models-{name}" for name in changing} & ids
    visitor = Session()
    assert set(tab.enter(visitor, "everything", "")) <= set(tab.enter_outputs)
    shown = tab._press(visitor, "everything", "", gr.EventData(None, {"index": 1}))
    assert set(shown) <= set(tab.enter_outputs)
    assert "tiny-classes" in shown[tab.details.about]


@pytest.mark.parametrize(("chosen", "norm"), [("picture", "instance_affine"), ("running", "batch")])
def test_a_pix2pix_is_added_with_the_chosen_statistics(engine, tmp_path, chosen, norm):
    torch.save(official("unet_64", "batch").state_dict(), tmp_path / "facades_net_G.pth")
    engine.library = Library([tmp_path / "models"])
    with gr.Blocks():
        tab = ModelsTab(Page(engine, gr.State()))
    assert tab.adding.statistics.value == "picture"
    given = ("file", chosen, [str(tmp_path / "facades_net_G.pth")], "", "", "", "", "Facades")
    shown = tab.adding._add(Session(), "everything", "", *given)
    assert "was added" in shown[tab.adding.view]
    assert engine.library.get("facades").config["norm"] == norm


def test_a_training_that_begins_from_it_is_named_when_it_is_moved_to_the_trash(engine):
    """Whatever else waits in the queue; and it can be restored, as any other."""

    def job(state: str, plan_toml: str) -> Job:
        return Job(state, f"Set <{state}>", state, plan_toml, "", "2026")

    needs, needs_not = Plan(base="tiny").to_toml(), Plan(base="tiny-classes").to_toml()
    jobs = [job("queued", needs), job("running", needs_not), job("done", needs), job("paused", "of = 'a newer studio'")]
    with gr.Blocks():
        tab = ModelsTab(Page(engine, gr.State(), supervisor=SimpleNamespace(jobs=lambda: jobs)))
    visitor = Session()
    tab.enter(visitor, "everything", "")
    tab._press(visitor, "everything", "", gr.EventData(None, {"index": 0}))
    text = tab.trash._move_to_trash(visitor, "everything", "")[tab.trash.undo_note]
    assert "Set &lt;queued&gt;" in text
    assert text.count("starts from it") == 1
    tab.trash._undo(visitor, "everything", "")
    assert engine.library.get("tiny").title == "Tiny tiny"
