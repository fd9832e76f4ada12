"""The Play panel in a real browser: oscillators, hands, keys, and devices that stand in for a MIDI controller and a gamepad."""

import json
import re
import wave

import numpy as np
import pytest

from studio.engine.recipe import Recipe
from tests.browser.test_live import exact, live
from tests.browser.test_studio import becomes, source

pytestmark = pytest.mark.browser
TABS = ("explore",)
# A controller with one input, and a gamepad; the test moves them.
DEVICES = """
window.input = { name: "Knobs", onmidimessage: null };
navigator.requestMIDIAccess = async () => ({ inputs: new Map([["1", input]]), onstatechange: null });
window.stick = { axes: [0, 0], buttons: [{ value: 0 }] };
navigator.getGamepads = () => [stick];
"""


@pytest.fixture
def panel(page):
    """The page with the panel open and one route: a sine moves the truncation."""
    page.add_init_script(DEVICES)
    page.evaluate("localStorage.clear()")
    page.reload()
    page.wait_for_selector("#explore-stage img")
    live(page)
    page.click("#play-box > button")
    page.click("#play [name=add]")
    page.wait_for_selector("#play [data-i='0']")
    return page


def play(page) -> None:
    page.click("#play [data-part=play]")


def shows(page, engine, psi: float) -> None:
    """Wait for the exact picture of a truncation."""
    exact(page, engine, Recipe(model="anna", psi=psi))


def knob(page, value: int, number: int = 21) -> None:
    page.evaluate("([n, v]) => input.onmidimessage({ data: [0xb0, n, v] })", [number, value])


def legend(page, i: int = 0) -> str:
    return page.locator(f"#play [data-i='{i}'] legend").inner_text()


def test_an_oscillator_moves_the_picture_and_the_movement_is_one_step(panel, studio):
    first = source(panel)
    play(panel)
    panel.wait_for_function("ganStudio.frames > 10")
    play(panel)
    panel.wait_for_selector("#explore-stage canvas", state="detached")
    panel.wait_for_function("document.querySelector('#psi input[type=number]').value !== '0.7'")
    psi = studio_psi(panel)
    assert -1 <= psi <= 1.5
    becomes(panel, lambda: panel.click("#undo"), first)


def studio_psi(page) -> float:
    return float(page.locator("#psi input[type=number]").input_value())


def test_a_midi_knob_is_learnt_in_two_actions_and_found_again_after_a_reload(panel, studio):
    panel.click("#play [data-i='0'] [name=learn]")
    panel.wait_for_function("input.onmidimessage !== null")
    knob(panel, 0)
    assert legend(panel) == "MIDI knob 21 (Knobs) moves Boldness (truncation psi)"
    play(panel)
    knob(panel, 127)
    shows(panel, studio[1], 1.5)
    panel.fill("#play [data-i='0'] [name=until]", "0.5")
    panel.keyboard.press("Tab")
    shows(panel, studio[1], 0.5)
    panel.check("#play [data-i='0'] [name=invert]")
    shows(panel, studio[1], -1)
    panel.reload()
    panel.click("#play-box > button")
    assert legend(panel) == "MIDI knob 21 (Knobs) moves Boldness (truncation psi)"


def test_notes_open_pins(panel, studio):
    panel.click("#pin")
    panel.wait_for_selector("#filmstrip [data-i='0']")
    panel.locator("#psi input[type=number]").fill("0.2")
    panel.locator("#psi input[type=number]").press("Enter")
    shows(panel, studio[1], 0.2)
    panel.click("#pin")
    panel.wait_for_selector("#filmstrip [data-i='1']")
    panel.click("#play [data-i='0'] [name=learn]")  # which opens MIDI
    panel.wait_for_function("input.onmidimessage !== null")
    panel.click("#play [data-i='0'] [name=learn]")
    panel.check("#play [data-part=notes]")
    panel.evaluate("input.onmidimessage({ data: [0x90, 60, 100] })")
    shows(panel, studio[1], 0.7)
    panel.evaluate("input.onmidimessage({ data: [0x90, 61, 100] })")
    shows(panel, studio[1], 0.2)


def test_keys_gamepads_sliders_and_the_pad(panel, studio):
    panel.click("#play [data-i='0'] [name=learn]")
    panel.keyboard.press("q")
    assert legend(panel).startswith("Key q moves")
    play(panel)
    shows(panel, studio[1], -1)
    panel.keyboard.down("q")
    shows(panel, studio[1], 1.5)
    panel.keyboard.up("q")
    shows(panel, studio[1], -1)
    panel.click("#play [data-i='0'] [name=learn]")
    panel.evaluate("stick.axes[1] = 1")
    panel.wait_for_function("document.querySelector('#play [data-i=\"0\"] legend').innerText.startsWith('Gamepad axis 1 moves')")
    shows(panel, studio[1], 1.5)
    panel.select_option("#play [data-i='0'] [name=source]", label="Slider 2")
    panel.locator("#play [data-part=slider1]").fill("0.2")
    shows(panel, studio[1], -0.5)
    panel.select_option("#play [data-i='0'] [name=source]", label="Pad, up")
    panel.focus("#play [data-part=pad]")
    for _ in range(2):
        panel.keyboard.press("ArrowUp")
    shows(panel, studio[1], 0.5)


def test_presets_are_kept_on_keys_crossfaded_saved_and_opened(panel, studio, tmp_path):
    panel.select_option("#play [data-i='0'] [name=source]", label="Slider 1")
    panel.locator("#play [data-part=slider0]").fill("0")
    panel.fill("#play [data-part=fade]", "0.2")
    panel.keyboard.press("Tab")
    panel.click("#play [name=store]")
    panel.click("#play [name=slot][value='0']")
    panel.locator("#play [data-part=slider0]").fill("1")
    panel.click("#play [name=store]")
    panel.keyboard.press("2")
    play(panel)
    shows(panel, studio[1], 1.5)
    panel.keyboard.press("1")
    shows(panel, studio[1], -1)
    with panel.expect_download() as download:
        panel.click("#play [name=save]")
    saved = json.loads(download.value.path().read_text())
    assert [slot["sliders"][0] for slot in saved["slots"][:2]] == [0, 1]
    saved["routes"][0]["until"] = 0.5
    saved["sliders"][0] = 1
    (tmp_path / "other.json").write_text(json.dumps(saved))
    panel.set_input_files("#play [name=open]", tmp_path / "other.json")
    shows(panel, studio[1], 0.5)
    for text, said in (
        ("{", "not JSON"),
        ("[]", "no version 1"),
        ('{"version": 1, "routes": [{"source": {"type": "eval"}, "to": "psi"}]}', "unknown source"),
        ('{"version": 1, "routes": [{"source": {"type": "constructor"}, "to": "psi"}]}', "unknown source"),
        (json.dumps({"version": 1, "routes": [{}] * 40}), "at most 32"),
    ):
        (tmp_path / "bad.json").write_text(text)
        panel.set_input_files("#play [name=open]", tmp_path / "bad.json")
        panel.wait_for_function("(said) => document.querySelector('#play [data-part=words]').innerText.includes(said)", arg=said)
    assert panel.input_value("#play [data-i='0'] [name=until]") == "0.5", "what was open stays"


def test_a_sound_file_moves_the_picture(panel, tmp_path):
    tone = (np.sin(np.arange(44100) * 2 * np.pi * 100 / 44100) * 20000).astype("<i2")
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 44100, len(tone), "NONE", ""))
        file.writeframes(tone.tobytes())
    for _ in range(2):
        panel.click("#play [name=add]")
    for i, name in enumerate(("loudness", "bass", "treble")):
        panel.select_option(f"#play [data-i='{i}'] [name=source]", label=f"Sound: {name}")
    panel.set_input_files("#play [name=sound]", tmp_path / "tone.wav")
    play(panel)
    panel.wait_for_function("document.querySelector('#play [data-i=\"0\"] meter').value > 0.7")
    panel.wait_for_function("document.querySelector('#play [data-i=\"1\"] meter').value > 0.3")
    assert panel.evaluate("document.querySelector('#play [data-i=\"2\"] meter').value") < 0.1
    panel.click("#play [name=silence]")
    panel.wait_for_function("document.querySelector('#play [data-i=\"0\"] meter').value === 0")


def test_quick_flashes_are_warned_of_and_a_model_without_the_parameter_is_said(panel):
    panel.select_option("#play [data-i='0'] [name=source]", label="Oscillator (LFO): square")
    assert panel.is_hidden("#play [data-part=warning]")
    panel.fill("#play [data-i='0'] [name=beats]", "0.5")
    panel.keyboard.press("Tab")
    panel.wait_for_selector("#play [data-part=warning]:visible")
    panel.evaluate(
        "localStorage.setItem('studio-play', JSON.stringify({ slots: [], preset: "
        "{ version: 1, routes: [{ source: { type: 'time' }, to: 'class.2' }] } }))"
    )
    panel.reload()
    panel.click("#play-box > button")
    panel.wait_for_function("document.querySelector('#play [data-i=\"0\"] legend')?.innerText === 'Time moves class.2'")
    assert "this model has none" in panel.locator("#play [data-i='0'] [name=to]").inner_text()


def test_it_fits_on_a_phone(phone):
    phone.evaluate("localStorage.clear()")
    phone.click("#play-box > button")
    phone.click("#play [name=add]")
    phone.wait_for_selector("#play [data-i='0']")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    sticking_out = phone.evaluate("""() => [...document.querySelectorAll('#play *')].filter((e) => {
      const box = e.getBoundingClientRect();
      return e.checkVisibility() && box.width && (box.left < 0 || box.right > 390);
    }).map((e) => e.outerHTML.slice(0, 80))""")
    assert sticking_out == []
    assert re.fullmatch(r"\d+", phone.input_value("#play [data-part=bpm]"))
