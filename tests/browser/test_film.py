"""Films in a real browser: from pins, a noise loop, a sound, and of what was played."""

import wave

import av
import numpy as np
import pytest

from studio.provenance.inspect import inspect_file
from tests.browser.test_studio import changes, slide

pytestmark = pytest.mark.browser
TABS = ("explore",)


@pytest.fixture
def panel(page):
    page.click("#film-box > button")
    page.wait_for_selector("#film-start:visible")
    return page


def fill(page, name: str, value: str) -> None:
    field = page.locator(f"#film-{name} input")
    field.fill(value)
    field.press("Tab")


def choose(page, name: str, label: str) -> None:
    page.locator(f"#film-{name}").get_by_label(label).check()


def rendered(page, home):
    """The film that a press of the button makes."""
    path = "document.querySelector('#film-view code')?.innerText ?? ''"
    before, said = set((home / "outputs").rglob("*-film.*")), page.evaluate(path)
    page.click("#film-start")
    page.wait_for_function(f"(old) => {{ const now = {path}; return now && now !== old }}", arg=said)
    page.wait_for_selector("#film-file:visible")
    page.wait_for_selector("#film-stop", state="hidden")
    (film,) = set((home / "outputs").rglob("*-film.*")) - before
    return film


def frames(path) -> list[np.ndarray]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_from_pin_to_pin_and_a_quick_one_of_another_type(panel, home):
    panel.click("#pin")
    changes(panel, lambda: panel.click("#next"))
    panel.click("#pin")
    panel.wait_for_selector("#filmstrip [data-i='1']")
    fill(panel, "seconds", "0.5")
    fill(panel, "fps", "12")
    film = rendered(panel, home)
    assert film.suffix == ".mp4"
    assert len(frames(film)) == 6
    panel.wait_for_selector("#film-video video")
    assert inspect_file(film).source == "trainedAlgorithmicMedia"
    fill(panel, "size", "64")
    panel.locator("#film-type input").click()
    panel.get_by_role("option", name="GIF: 256 colours").click()
    gif = rendered(panel, home)
    assert gif.suffix == ".gif"
    assert frames(gif)[0].shape[:2] == (64, 64)


def test_what_was_played_is_recorded_and_rendered(panel, home, studio):
    panel.click("#film-record")
    panel.wait_for_selector("#film-recorded:has-text('Recording')")
    changes(panel, lambda: slide(panel, "psi", 0.1))
    changes(panel, lambda: slide(panel, "psi", 1.2))
    panel.click("#film-record")
    panel.wait_for_selector("#film-recorded:has-text('Recorded')")
    assert panel.locator("#film-what").get_by_label("What I played (recording)").is_checked()
    fill(panel, "fps", "10")
    film = frames(rendered(panel, home))
    assert len(film) >= 2
    assert not np.array_equal(film[0], film[-1])


def test_a_film_to_a_sound_has_it(panel, home, tmp_path):
    tone = (np.sin(np.arange(22050) * 2 * np.pi * 220 / 22050) * np.tile(np.linspace(1, 0, 5512), 5)[:22050] * 20000).astype("<i2")
    with wave.open(str(tmp_path / "beats.wav"), "wb") as file:
        file.setparams((1, 2, 22050, len(tone), "NONE", ""))
        file.writeframes(tone.tobytes())
    choose(panel, "what", "To a sound")
    panel.click("#film-start")
    panel.wait_for_function("[...document.querySelectorAll('.toast-body')].some((t) => t.innerText.includes('no sound yet'))")
    panel.set_input_files("#film-sound input[type=file]", tmp_path / "beats.wav")
    panel.wait_for_selector("#film-sound .file-preview")
    fill(panel, "fps", "10")
    with av.open(str(rendered(panel, home))) as film:
        assert [stream.type for stream in film.streams] == ["video", "audio"]
        assert float(film.duration / av.time_base) == pytest.approx(1, abs=0.15)


def test_a_loop_is_stopped_and_nothing_half_done_is_left(panel, home):
    choose(panel, "what", "A loop that never stands still (noise loop)")
    fill(panel, "seconds", "3000")
    before = set((home / "outputs").rglob("*film*"))
    panel.click("#film-start")
    panel.wait_for_selector("#film-stop:visible")
    panel.wait_for_function("document.querySelector('#film-view').innerText.match(/frames: [1-9]/)")
    panel.click("#film-stop")
    panel.wait_for_selector("#film-stop", state="hidden")
    panel.wait_for_selector("#film-view:has-text('Stopped')")
    assert set((home / "outputs").rglob("*film*")) == before
    fill(panel, "seconds", "0")
    panel.click("#film-start")
    panel.wait_for_function("[...document.querySelectorAll('.toast-body')].some((t) => t.innerText.includes('length of the film'))")
