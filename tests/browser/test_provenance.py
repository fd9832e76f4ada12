"""What files say about how they were made: chosen by an artist, signed, and inspected."""

import base64
from pathlib import Path

import gradio as gr
import pytest

from studio.errors import StudioError
from studio.provenance.inspect import inspect_file
from studio.provenance.metadata import read_recipe
from studio.provenance.policy import ProvenancePolicy, provenance_policy, save_policy
from studio.ui.share.provenance_section import ProvenanceSection

pytestmark = pytest.mark.browser
TABS = ("explore", "share")


_SAVED = ".gs-note:has-text('Saved as') code"


def save(page):
    """Save the picture of Explore -> its file."""
    page.get_by_role("tab", name="Explore").click()
    old = page.locator(_SAVED).inner_text() if page.locator(_SAVED).count() else ""
    page.click("#save")
    page.wait_for_function(
        "(old) => [...document.querySelectorAll('.gs-note code')].some((e) => /.explore./.test(e.innerText) && e.innerText !== old)",
        arg=old,
    )
    return Path(page.locator(_SAVED).inner_text())


def open_provenance(page):
    page.get_by_role("tab", name="Share").click()
    page.wait_for_selector("#share-marks > button:visible")
    if not page.locator("#marks-tells").is_visible():
        page.click("#share-marks > button")
    page.wait_for_selector("#marks-tells:visible")


def inspect(page, path):
    """Drop a file -> what it says."""
    open_provenance(page)
    if page.locator("#marks-file [aria-label='Clear']").count():
        page.click("#marks-file [aria-label='Clear']")
        page.wait_for_selector(".gs-provenance", state="detached")
    page.set_input_files("#marks-file input[type=file]", str(path))
    page.wait_for_selector(".gs-provenance")
    return page.locator(".gs-provenance").inner_text()


def test_an_artist_chooses_signs_and_inspects(page, tmp_path):
    words = inspect(page, save(page))
    assert "Labelled as made by AI" in words
    assert "seed 0" in words
    assert "It is not signed" in words

    page.check("#marks-signed input")
    page.click("#marks-begin")
    page.wait_for_selector(".toast-body >> text=The name for the signature is missing")
    assert provenance_policy() == ProvenancePolicy()
    page.fill("#marks-artist input, #marks-artist textarea", "Anna <b>Grün</b>")
    page.click("#marks-begin")
    page.wait_for_selector("#marks-state >> text=Files are signed as Anna <b>Grün</b>.")
    page.check("#marks-tells input[value=mark]")
    page.wait_for_function("() => document.querySelector('#marks-tells input[value=mark]').checked")
    path = save(page)
    assert "seed" not in path.name
    assert page.locator(".gs-note", has_text="labelled as made by AI").is_visible()
    words = inspect(page, path)
    assert "No recipe is inside" in words
    assert "Signed by 'Anna <b>Grün</b>', and not changed since." in words
    with pytest.raises(StudioError, match="no recipe"):
        read_recipe(path)

    data = bytearray(path.read_bytes())
    data[data.rindex(b"IDAT") + 20] ^= 1
    (tmp_path / "forged.png").write_bytes(data)
    assert "The file was changed after it was signed." in inspect(page, tmp_path / "forged.png")
    (tmp_path / "notes.txt").write_text("words")
    page.click("#marks-file [aria-label='Clear']")
    page.set_input_files("#marks-file input[type=file]", str(tmp_path / "notes.txt"))
    page.wait_for_selector(".toast-body >> text=is not a picture or video")

    # The settings are those of the studio, not of the page.
    page.reload()
    page.wait_for_selector("#marks-state >> text=Files are signed as")
    assert page.locator("#marks-tells input[value=mark]").is_checked()
    assert page.locator("#marks-signed input").is_checked()
    page.uncheck("#marks-signed input")
    page.wait_for_selector("#marks-state", state="hidden")
    assert not provenance_policy().credentials
    assert provenance_policy().tells == "mark"
    save_policy(ProvenancePolicy())


def test_what_is_shown_can_be_saved_from_the_page_with_its_label(page, tmp_path):
    url = page.locator("#explore-stage img").get_attribute("src")
    (tmp_path / "p.webp").write_bytes(base64.b64decode(url.partition(",")[2]))
    assert inspect_file(tmp_path / "p.webp").by_ai


def test_it_fits_a_phone(phone):
    open_provenance(phone)
    phone.check("#marks-signed input")
    phone.check("#marks-way input[value=given]")
    phone.wait_for_selector("#marks-key")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_visitors_of_a_shared_studio_can_only_inspect(studio):
    with gr.Blocks() as app:
        page = ProvenanceSection(editable=False)
    assert [[c.elem_id for c in fn.inputs] for fn in app.fns.values()] == [["marks-file"], []]
    assert not page.metadata.interactive
