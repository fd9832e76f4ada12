"""Training from one's own pictures to a model in Explore, as an artist would."""

import re

import numpy as np
import psutil
import pytest
from PIL import Image

from studio.datasets.store import DataSetStore
from studio.jobs.queue import JobStore
from studio.models.library import default_library
from studio.training.methods import GOALS, METHODS
from tests.browser.test_studio import slide

pytestmark = pytest.mark.browser


@pytest.fixture
def files(tmp_path):
    """Twelve pictures, one of them broken, and a text."""
    rng = np.random.default_rng(0)
    for i in range(11):
        picture = np.full((40, 60, 3), rng.integers(0, 255, 3), np.uint8)
        picture[10:30, 5 * i : 5 * i + 9] = rng.integers(0, 255, 3)
        Image.fromarray(picture).save(tmp_path / f"picture {i:02d}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not a picture")
    return sorted(str(p) for p in tmp_path.iterdir() if p.is_file())


METHODS_SHOWN = "(names) => [...document.querySelectorAll('#train-family input')].map((e) => e.value).join() === names.join()"


def add_set(page, zone, files, title):
    """Create a training set in one of the two upload zones."""
    page.set_input_files(f"#{zone}-files input[type=file]", files)
    page.wait_for_selector(f"#{zone}-files tr.file >> nth={len(files) - 1}")
    page.fill(f"#{zone}-title input, #{zone}-title textarea", title)
    page.check(f"#{zone}-owned input")
    page.click(f"#{zone}-take")
    page.wait_for_selector(f"#{zone}-report >> text=pictures added")


def squares(folder, colour, names):
    """Squares of one colour at random places; places of equal names are alike."""
    folder.mkdir()
    for name in names:
        rng = np.random.default_rng(name)
        picture = np.full((72, 72, 3), (50, 50, 80), np.uint8)
        top, left = rng.integers(2, 40, 2)
        picture[top : top + 30, left : left + 30] = colour
        Image.fromarray(picture).save(folder / f"{name}.png")
    return sorted(str(p) for p in folder.iterdir())


def open_train(page):
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-take")


def advanced(page):
    if not page.locator("#train-kimg input").is_visible():
        page.get_by_role("button", name="Advanced").click()
        page.wait_for_selector("#train-kimg input")


def test_upload_train_pause_kill_go_on_and_open_the_result(page, studio, home, files):
    open_train(page)
    assert "No pictures yet" in page.locator("#train-sheet").inner_text()
    page.set_input_files("#train-files input[type=file]", files)
    page.wait_for_selector("#train-files tr.file >> nth=12")
    page.fill("#train-title input, #train-title textarea", "My squares")
    page.check("#train-owned input")
    page.click("#train-take")
    page.wait_for_selector("#train-sheet img")
    report = page.locator("#train-report").inner_text()
    assert "11 pictures added" in report
    assert "broken.png" in report
    assert "notes.txt: not a picture" in report

    page.wait_for_selector("text=11 pictures.")
    page.click("#train-sheet [data-i='2']")
    page.wait_for_selector("text=Remove 1 marked")
    page.click("#train-leave-out")
    page.wait_for_selector("text=10 pictures.")
    assert page.locator("#train-sheet img").count() == 10

    page.click("#train-next")
    page.wait_for_selector("#train-start")
    assert page.locator("#train-name input, #train-name textarea").first.input_value() == "My squares"
    assert page.locator("#train-family label").count() < len(METHODS)
    assert "Suits your pictures" in page.locator("#train-family label", has=page.locator("input:checked")).inner_text()
    advanced(page)
    page.check("#train-family input[value=stylegan2]")  # the quickest of them a picture on so small a size
    empty = ("gamma", "batch", "target", "freeze")
    assert [page.locator(f"#train-{name} input").input_value() for name in empty] == [""] * 4
    page.fill("#train-gamma input", "a lot")
    page.click("#train-start")
    page.wait_for_selector(".toast-body >> text=is not a number for 'Stability")
    page.fill("#train-gamma input", "")
    for name, value in (("kimg", "50"), ("batch", "8")):
        page.fill(f"#train-{name} input", value)
        page.locator(f"#train-{name} input").blur()
    page.click("#train-start")
    page.wait_for_selector("#train-samples img")
    page.wait_for_selector("#train-progress >> text=thousand pictures shown")

    store = JobStore(home / "jobs.sqlite")
    job = store.list()[0]
    page.click("#train-pause")
    page.wait_for_selector("#train-progress >> text=paused: nothing is lost")
    page.click("#train-resume")
    page.wait_for_selector("#train-progress >> text=in progress")
    page.wait_for_selector("#train-finish")
    page.wait_for_function("() => document.querySelector('#train-progress').innerText.includes('pictures per second')")
    psutil.Process(int(store.get(job.id).handle.partition(":")[0])).kill()
    page.wait_for_selector("#train-progress >> text=Its worker died")
    page.wait_for_selector("#train-progress >> text=in progress")

    # A new page knows all of it.
    page.reload()
    page.wait_for_selector("#train-samples img")
    assert page.locator("#train-steps [aria-selected=true]").inner_text() == "3 Watch"
    page.wait_for_selector("#train-timeline:visible")
    slide(page, "train-timeline", 0)
    page.wait_for_selector("#train-samples img[alt='Samples after 0 kimg']")
    page.wait_for_function("sessionStorage.getItem('studio-at') === '0'")
    page.reload()
    page.wait_for_selector("#train-samples img[alt='Samples after 0 kimg']")
    page.wait_for_selector("#train-finish:visible")
    page.click("#train-finish")
    page.wait_for_selector("#train-progress >> text=finished")
    page.get_by_role("tab", name="4 Use it").click()
    page.wait_for_selector("#train-moments img")
    page.locator("#train-moments [data-i]").last.click()
    page.wait_for_selector("#explore-stage img[alt*='My squares']")
    kept = [m for m in default_library().scan()[0] if m.title == "My squares"]
    assert len(kept) == 1
    assert kept[0].path.parent == home / "models"
    assert re.search("my.squares", kept[0].id, re.IGNORECASE)
    assert store.get(job.id).restarts == 1


def test_what_is_missing_is_said_and_deleting_asks_first(page, studio, home, files):
    open_train(page)
    page.click("#train-take")
    page.wait_for_selector(".toast-body >> text=There are no pictures yet")
    page.set_input_files("#train-files input[type=file]", files[2:6])
    page.wait_for_selector("#train-files tr.file >> nth=3")
    page.fill("#train-title input, #train-title textarea", "Strangers")
    page.click("#train-take")
    page.wait_for_selector("text=4 pictures.")
    page.click("#train-next")
    page.wait_for_selector("#train-start")
    page.click("#train-start")
    page.wait_for_selector(".toast-body >> text=Nobody has said yet")
    page.get_by_role("tab", name="1 Training set").click()
    sets = len(list((home / "datasets").glob("*/set.json")))
    page.click("#train-delete")
    page.wait_for_selector("text=Nothing depends on it.")
    assert len(list((home / "datasets").glob("*/set.json"))) == sets
    page.click("#train-delete-yes")
    page.wait_for_selector("#train-delete-yes", state="hidden")
    assert len(list((home / "datasets").glob("*/set.json"))) == sets - 1


def test_a_chosen_folder_keeps_its_sub_folders_as_classes(page, studio, home, tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("boats {old}", "trees"):
        for i in range(3):
            path = tmp_path / "my art" / kind / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    open_train(page)
    with page.expect_file_chooser() as chooser:
        page.click("#train-folder")
    chooser.value.set_files(tmp_path / "my art")
    page.wait_for_selector("#train-report >> text=6 files from the folder are ready")
    page.fill("#train-title input, #train-title textarea", "Folder")
    page.check("#train-owned input")
    page.click("#train-take")
    page.wait_for_selector("#train-report >> text=6 pictures added")
    (stored,) = [s for s in DataSetStore().list() if s.title == "Folder"]
    assert stored.classes == {"boats {old}": 3, "trees": 3}
    page.wait_for_selector("text=6 pictures in 2 classes.")


def test_two_sets_become_a_translator(page, studio, home, tmp_path):
    open_train(page)
    add_set(page, "train", squares(tmp_path / "orange", (230, 120, 40), range(10)), "Orange")
    page.check("#train-goal input[value=fill]")
    page.wait_for_selector("#train-preview >> text=its outlines")
    assert page.locator("#train-preview figure img").count() == 12
    page.check("#train-goal input[value=pairs]")
    page.wait_for_selector("#train-b-take")
    assert not page.locator("#train-next").is_visible(), "side B is missing yet"
    assert page.locator("#train-crop input[value=smart]").count() == 0
    add_set(page, "train-b", squares(tmp_path / "teal", (40, 190, 170), range(2, 12)), "Teal")
    page.wait_for_selector("#train-preview >> text=8 pairs found")
    assert page.locator("#train-preview details").all_inner_texts() == [
        "Without a partner in A (2)\n0.png\n1.png",
        "Without a partner in B (2)\n10.png\n11.png",
    ]
    page.check("#train-goal input[value=restyle]")
    page.wait_for_selector("#train-preview figure", state="detached")
    page.click("#train-next")
    page.wait_for_selector("#train-estimate >> text=on this machine")
    assert page.locator("#train-name input, #train-name textarea").first.input_value() == "Orange to Teal"
    assert page.locator("#train-family input").evaluate_all("(all) => all.map((e) => e.value)") == ["cyclegan", "cut"]
    page.click("#train-side input")
    page.get_by_role("option", name="64", exact=True).click()
    advanced(page)
    assert not page.locator("#train-gamma").is_visible()
    assert page.locator("#train-faith").is_visible()
    page.fill("#train-kimg input", "40")
    page.click("#train-start")
    page.wait_for_selector("#train-samples .gs-rows img")
    assert page.locator("#train-samples .gs-rows span").all_inner_texts() == ["A", "A → B", "A → B → A", "B", "B → A", "B → A → B"]
    page.wait_for_selector("#train-progress >> text=thousand pictures shown")
    assert "Side A has 10 pictures, side B 10." in page.locator("#train-progress").inner_text()
    page.wait_for_selector("text=there and back again (cycle)")

    # The set of side B is needed.
    page.get_by_role("tab", name="1 Training set").click()
    page.click("#train-b-delete")
    page.wait_for_selector("#train-b-delete-note >> text=The training 'Orange to Teal' learns from it and could not continue.")
    page.get_by_role("tab", name="3 Watch").click()
    page.click("#train-finish")
    page.wait_for_selector("#train-progress >> text=finished")
    page.click("#train-open")
    page.wait_for_function("() => document.querySelector('#translate-model input')?.value === 'Orange to Teal'")
    assert page.locator("#translate-page").is_visible()
    (kept,) = [m for m in default_library().scan()[0] if m.title == "Orange to Teal"]
    assert kept.family == "cyclegan"
    assert kept.config["directions"] == "both"
    assert kept.resolution == 64

    # It can be begun from, as any other.
    page.get_by_role("tab", name="Train", exact=True).click()
    page.get_by_role("tab", name="2 What to make").click()
    page.check("#train-family input[value=cut]")
    page.check("#train-family input[value=cyclegan]")
    page.click("#train-base input")
    page.get_by_role("option", name="Orange to Teal (64 px)").click()
    page.wait_for_function("() => document.querySelector('#train-side input').value === '64'")


def test_every_method_can_be_chosen_and_the_page_fits_a_phone(phone):
    open_train(phone)
    phone.get_by_role("tab", name="2 What to make").click()
    for goal in GOALS:
        phone.get_by_role("tab", name="1 Training set").click()
        phone.check(f"#train-goal input[value={goal.name}]")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        phone.get_by_role("tab", name="2 What to make").click()
        if goal.name == "draw":
            phone.click("#train-more")
        phone.wait_for_function(METHODS_SHOWN, arg=[k.name for k in METHODS if k.goal == goal.name])
    phone.get_by_role("button", name="Which one should I use?").click()
    phone.wait_for_selector(".gs-advice tr >> nth=1")
    assert phone.locator(".gs-advice tbody tr").count() == len(METHODS)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
