"""The Models tab in a real browser: models are added, looked at, changed, moved to the trash and restored."""

import dataclasses
import json
import threading
import zipfile

import numpy as np
import pytest
import torch

from studio.engine.recipe import Recipe
from studio.models import trash
from studio.models.acquire import add
from studio.models.acquire.bundled import installed_bundled_models
from studio.models.acquire.catalogue import CatalogueModel
from studio.models.folder import open_folder, save_folder
from studio.networks import Task, get_family
from tests.browser.test_studio import pixels
from tests.browser.test_translate import download
from tests.conftest import save_tiny, tiny_generator
from tests.unit.importers.nvidia_pickler import dumps, persist
from tests.unit.networks.test_super_resolution import make
from tests.unit.ui.test_models_view import ATTACK, HOSTILE
from tests.web_server import Page, web_server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One that generates, one that upscales, one whose every word is hostile, and a broken folder."""
    folder = tmp_path_factory.mktemp("home")
    mine = folder / "models"
    save_tiny(mine, "anna")
    network = make("srvgg")
    save_folder(mine / "sharp", "srvgg", dataclasses.asdict(network.config), network.state_dict(), title="Sharp", licence="MIT")
    evil = save_tiny(mine, "evil", seed=2, c_dim=2).path
    config = json.loads((evil / "config.json").read_text())
    (evil / "config.json").write_text(json.dumps({**config, "title": f"Evil {ATTACK}", "licence": ATTACK, "classes": [ATTACK, "b"]}))
    (evil / "README.md").write_text(HOSTILE)
    (mine / "broken").mkdir()
    (mine / "broken" / "config.json").write_text("{")
    return folder


def open_models(page):
    page.get_by_role("tab", name="Models").click()
    page.wait_for_selector("#models-cards [data-i]")


def card(page, title):
    return page.locator("#models-cards [data-i]", has_text=title)


def press(page, title):
    card(page, title).click()
    page.wait_for_selector(f"#models-about h3:text-is('{title}')")


def titles(page):
    return page.locator("#models-cards b").all_inner_texts()


def open_adding(page, way):
    if not page.locator("#models-way").is_visible():
        page.get_by_role("button", name="Add a model").click()
    page.click(f"#models-way label:has-text('{way}')")


def open_trash(page):
    page.wait_for_selector("#models-bin-box:visible")
    if not page.locator("#models-empty").is_visible():
        page.get_by_role("button", name="Trash: 1").click()
        page.wait_for_selector("#models-empty:visible")


def network_pickle(path):
    """A StyleGAN2 as NVIDIA's code saves it."""
    path.write_bytes(dumps({"G_ema": persist(tiny_generator(7))}))
    return path


def test_the_list_is_filtered_and_says_what_is_broken(page):
    open_models(page)
    assert {"Tiny anna", "Sharp", "LPC characters", "Ink and colour"} < set(titles(page))
    assert "came with the studio" in card(page, "Ink and colour").inner_text()
    assert card(page, "Sharp").locator("img").get_attribute("src").startswith("data:image/svg+xml")
    page.click("#models-what label:has-text('Upscale')")
    card(page, "Ink and colour").wait_for(state="detached")
    upscalers = [model.title for model in installed_bundled_models() if get_family(model.family).task is Task.UPSCALE]
    assert set(titles(page)) == {"Sharp", "Drawings x4", *upscalers}
    page.fill("#models-find input, #models-find textarea", "nobody")
    page.wait_for_selector("text=No model matches.")
    page.click("#models-what label:has-text('Everything')")
    page.fill("#models-find input, #models-find textarea", "ink cyc")
    page.wait_for_function("document.querySelector('#models-cards b')?.innerText === 'Ink and colour'")
    assert titles(page) == ["Ink and colour"]
    page.click("#models-broken summary")
    assert "'broken' has a config.json that cannot be read" in page.locator("#models-broken").inner_text()


def test_a_model_is_added_used_renamed_copied_exported_trashed_and_restored(page, studio, home, tmp_path):
    mine, library = home / "models", studio[1].library
    open_models(page)
    open_adding(page, "From a file")
    page.set_input_files("#models-files input[type=file]", str(network_pickle(tmp_path / "network-snapshot.pkl")))
    page.wait_for_selector("#models-files tr.file")
    page.fill("#models-title input, #models-title textarea", "My dragon")
    page.click("#models-add")
    page.wait_for_selector("#models-about h3:text-is('My dragon')")
    assert "was added" in page.locator("#models-add-view").inner_text()
    assert "My dragon" in titles(page)
    assert "imported from network-snapshot.pkl" in page.locator("#models-about").inner_text()
    assert "Imported from" in page.locator("#models-card").inner_text()
    info = library.get("my-dragon")

    page.click("#models-open-explore")
    page.wait_for_function("document.querySelector('#explore-stage img')?.alt.includes('My dragon')")
    assert np.array_equal(pixels(page), studio[1].render(Recipe(model="my-dragon", psi=0.7)))
    assert page.locator("#models .on").inner_text() == "My dragon"
    open_models(page)
    page.wait_for_selector("#models-forget:visible")
    page.click("#models-forget")
    page.wait_for_selector("#models-forget", state="hidden")
    assert "my-dragon" not in studio[1].status()["loaded"]

    page.fill("#models-name input, #models-name textarea", "x" * 3 + "\u202e")
    page.click("#models-rename")
    page.wait_for_selector(".toast-body >> text=cannot be the name")
    page.fill("#models-name input, #models-name textarea", "Ännchen's dragon")
    page.click("#models-rename")
    page.wait_for_selector('#models-about h3:text-is("Ännchen\'s dragon")')
    assert library.get("my-dragon").title == "Ännchen's dragon"
    assert library.get("my-dragon").hash == info.hash

    page.click("#models-export")
    page.wait_for_selector("#models-zip:visible")
    with zipfile.ZipFile(download(page, "#models-zip", tmp_path)) as z:
        z.extractall(tmp_path / "unpacked")
    assert open_folder(tmp_path / "unpacked" / "my-dragon") == dataclasses.replace(
        library.get("my-dragon"), path=tmp_path / "unpacked" / "my-dragon"
    )

    page.click("#models-duplicate")
    page.wait_for_selector('#models-about h3:text-is("Ännchen\'s dragon (copy)")')
    copy = next(m for m in library.scan()[0] if m.title.endswith("(copy)"))
    assert copy.hash == info.hash
    assert copy.id != info.id

    page.click("#models-delete")
    page.wait_for_selector("#models-undo-box:visible")
    assert not copy.path.exists()
    assert "Ännchen's dragon (copy)" not in titles(page)
    assert not page.locator("#models-details").is_visible()
    page.click("#models-undo")
    page.wait_for_selector('#models-about h3:text-is("Ännchen\'s dragon (copy)")')
    page.wait_for_selector("#models-undo-box", state="hidden")
    assert open_folder(copy.path) == copy
    assert trash.list_trash(library) == []

    page.click("#models-delete")
    page.wait_for_selector("#models-undo-box:visible")
    page.reload()  # comes back to this tab
    page.wait_for_selector("#models-cards [data-i]")
    open_models(page)
    open_trash(page)
    page.click("#models-bin [data-i='0']")
    page.wait_for_selector('#models-about h3:text-is("Ännchen\'s dragon (copy)")')
    assert open_folder(copy.path) == copy
    assert (mine / "my-dragon").is_dir()

    page.click("#models-delete")
    page.wait_for_selector("#models-undo-box:visible")
    open_trash(page)
    page.click("#models-empty")
    page.click("#models-empty-yes")
    page.wait_for_selector("#models-bin-box", state="hidden")
    assert trash.list_trash(library) == []
    assert library.get("my-dragon").hash == info.hash
    page.get_by_role("tab", name="Explore").click()
    page.wait_for_function("![...document.querySelectorAll('#models [data-i]')].some((b) => b.innerText.includes('(copy)'))")


def test_files_that_belong_together_and_files_that_are_none(page, studio, tmp_path):
    open_models(page)
    open_adding(page, "From a file")
    page.click("#models-add")
    page.wait_for_selector("#models-add-view >> text=There is no file yet.")
    (tmp_path / "page.pth").write_text("<!doctype html>")
    page.set_input_files("#models-files input[type=file]", str(tmp_path / "page.pth"))
    page.wait_for_selector("#models-files tr.file")
    page.click("#models-add")
    page.wait_for_selector("#models-add-view >> text=is a web page")
    assert {m.id for m in studio[1].library.scan()[0]} >= {"anna", "sharp"}
    assert not (studio[1].library.roots[0] / "page").exists()
    open_adding(page, "From the web")
    for path in ("/etc/passwd", "~/.ssh/id_rsa", "file:///etc/passwd"):
        page.fill("#models-url input, #models-url textarea", path)
        page.click("#models-add")
        page.wait_for_selector("#models-add-view >> text=/not a web address|cannot be opened|http/")
    open_adding(page, "From Hugging Face")
    page.fill("#models-repo input, #models-repo textarea", "../models")
    page.fill("#models-token input", "hf_secret")
    assert page.locator("#models-token input").get_attribute("type") == "password"
    page.click("#models-add")
    page.wait_for_selector("#models-add-view >> text=That is not a repository.")
    page.wait_for_function("document.querySelector('#models-token input').value === ''")


def test_a_download_shows_how_far_it_is_can_be_cancelled_and_done_again(page, studio, tmp_path, monkeypatch):
    torch.save(make("srvgg", scale=2).state_dict(), tmp_path / "net.pth")
    data, go_on = (tmp_path / "net.pth").read_bytes(), threading.Event()

    def slow(handler) -> bool:
        """Half of it; the rest drop by drop, until the test lets it go."""
        if go_on.is_set():
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        for byte in data[len(data) // 2 : -1]:
            handler.wfile.write(bytes([byte]))
            if go_on.wait(0.05):
                break
        handler.close_connection = True
        return True

    with web_server() as web:
        web.pages["/net.pth"] = Page(data, answer=slow)
        known = CatalogueModel(
            "Well-known <net>", "srvgg", f"{web.url}/net.pth", "net", "MIT", len(data), None, "https://example.org", "It enlarges."
        )
        monkeypatch.setattr(add, "CATALOGUE", (known,))
        open_models(page)
        open_adding(page, "Well-known models")
        page.wait_for_selector("#models-known >> text=Well-known <net>")
        before = [m.id for m in studio[1].library.scan()[0]]
        page.click("#models-known [data-i='0']")
        page.wait_for_selector(f"#models-add-view >> text=/ of {len(data) / 1e3:.0f} kB/")
        page.click("#models-add-stop")
        page.wait_for_selector("#models-add-view >> text=Cancelled; nothing was added.")
        page.wait_for_selector("#models-add-stop", state="hidden")
        assert [m.id for m in studio[1].library.scan()[0]] == before
        go_on.set()
        page.click("#models-known [data-i='0']")
        page.wait_for_selector("#models-about h3:text-is('Well-known <net>')")
        assert page.locator("#models-known button").count() == 0
        assert "in your library" in page.locator("#models-known").inner_text()
        assert "downloaded from 127.0.0.1" in page.locator("#models-about").inner_text()
    page.click("#models-open-upscale")
    page.wait_for_function("document.querySelector('#upscale-model input')?.value === 'Well-known <net>'")


def test_a_hostile_model_is_only_words(page):
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    open_models(page)
    card(page, "Evil").click()
    page.wait_for_selector("#models-card >> text=window.hacked")
    page.fill("#models-name input, #models-name textarea", ATTACK + "x" * 90)
    page.click("#models-rename")
    page.wait_for_selector("#models-about h3:has-text('onerror')")
    page.click("#models-delete")
    page.wait_for_selector("#models-undo-box:visible >> text=onerror")
    page.click("#models-undo")
    page.wait_for_selector("#models-about h3:has-text('onerror')")
    for href in page.locator("#models-card a").evaluate_all("(links) => links.map((a) => a.href)"):
        assert href == "" or href.startswith("https://example.org")
    page.get_by_role("tab", name="Explore").click()
    page.wait_for_selector("#models [data-i] >> text=onerror")
    assert page.evaluate("window.hacked") is None
    assert not [url for url in asked if "example.org" in url or url.endswith("/x")]


def test_it_fits_a_phone(phone):
    open_models(phone)

    def fits():
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390

    fits()
    phone.locator("#models-cards [data-i]", has_text="Evil").or_(card(phone, "onerror")).first.click()
    phone.wait_for_selector("#models-card >> text=window.hacked")
    phone.wait_for_function("document.querySelector('#models-details').getBoundingClientRect().top < 844")
    fits()
    open_adding(phone, "From Hugging Face")
    phone.wait_for_selector("#models-repo:visible")
    fits()
    open_adding(phone, "Well-known models")
    phone.wait_for_selector("#models-known [data-i]")
    fits()
    press(phone, "Sharp")
    phone.click("#models-delete")
    phone.wait_for_selector("#models-undo-box:visible")
    open_trash(phone)
    phone.wait_for_selector("#models-bin [data-i]")
    fits()
    phone.click("#models-undo")
    phone.wait_for_selector("#models-about h3:text-is('Sharp')")
    phone.click("#models-close")
    phone.wait_for_selector("#models-details", state="hidden")
