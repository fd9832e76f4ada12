"""A Space on a machine that has nothing but Python: its requirements are installed anew, then it is used in a browser."""

import subprocess
import sys

import pytest

from studio.models.folder import open_folder
from studio.sharing.preview import preview
from studio.sharing.space import make_space
from tests.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_space_runs_with_its_requirements_alone(browser, tmp_path):
    shipped = [open_folder(ROOT / "checkpoints" / name) for name in ("lpc-characters", "ink-colour")]
    folder = make_space(shipped, tmp_path / "space", title="Fresh", licence="CC-BY-SA-4.0")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", folder / "requirements.txt"], check=True)
    with preview(folder, python) as running:
        page = browser.new_page()
        page.set_default_timeout(300_000)
        errors = []
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(running.url)
        page.wait_for_selector("#explore-stage img")
        assert page.get_by_role("tab").all_inner_texts() == ["Explore", "Mix", "Translate"]
        now = page.get_attribute("#explore-stage img", "src")
        page.click("#dice")
        page.wait_for_function("old => document.querySelector('#explore-stage img').src !== old", arg=now)
        page.get_by_role("tab", name="Translate").click()
        page.set_input_files("#translate-picture input[type=file]", str(shipped[1].examples("A")[0]))
        page.wait_for_selector("#translate-stage .after")
        assert not errors, errors
        page.close()
