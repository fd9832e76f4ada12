"""The Share tab in a real browser, against a Hub on this machine; and a Space that it made."""

import io
import urllib.error
import urllib.request
import zipfile

import pytest

from studio.settings import get_settings
from tests.browser.test_translate import download
from tests.hub_server import TOKEN, HubServer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def server():
    """A Hub, and a computer that is not logged in."""
    server, patch = HubServer(), pytest.MonkeyPatch()
    patch.setenv("HF_ENDPOINT", server.url)
    patch.delenv("HF_TOKEN", raising=False)
    patch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nonexistent/token")
    yield server
    patch.undo()
    server.close()


KEPT_IN_THE_BROWSER = """async () => {
  const of = (request) => new Promise((resolve, reject) => { request.onsuccess = () => resolve(request.result);
    request.onerror = reject; });
  const found = [{ ...localStorage }, { ...sessionStorage }];
  for (const { name } of await indexedDB.databases()) {
    const db = await of(indexedDB.open(name));
    for (const store of db.objectStoreNames) found.push(await of(db.transaction(store).objectStore(store).getAll()));
  }
  return JSON.stringify(found);
}"""


def open_share(page):
    page.get_by_role("tab", name="Share").click()
    page.wait_for_selector("#share-chosen button.on")


def choose(page, grid, title):
    cell = f"#{grid} button[title='Model {title}']"
    page.click(cell)
    page.wait_for_selector(f"{cell}.on")


def test_a_model_goes_to_the_hub(page, server, home):
    open_share(page)
    choose(page, "share-chosen", "Tiny berta")
    page.wait_for_function("document.querySelector('#share-name input, #share-name textarea').value === 'berta'")
    page.fill("#share-licence input", "CC-BY-4.0")
    page.keyboard.press("Enter")
    page.fill("#share-token input", TOKEN)
    page.click("#share-push")
    page.wait_for_selector(f"#share-told a[href='{server.url}/anna/berta']")
    repo = server.repos["anna/berta"]
    assert repo.private
    assert repo.card["license"] == "cc-by-4.0"
    assert repo.files["model.safetensors"] == (home / "models" / "berta" / "model.safetensors").read_bytes()
    page.wait_for_selector("#share-as:has-text('You are anna')")
    page.wait_for_function("document.querySelector('#share-token input').value === ''")
    assert not any(TOKEN.encode() in f.read_bytes() for f in home.rglob("*") if f.is_file())
    assert TOKEN not in page.evaluate(KEPT_IN_THE_BROWSER), "nor does the browser keep it"

    # the token was typed once
    page.fill("#share-name input, #share-name textarea", "again")
    page.click("#share-push")
    page.wait_for_selector(f"#share-told a[href='{server.url}/anna/again']")
    page.click("#share-forget")
    page.wait_for_selector("#share-as:has-text('Access Tokens')")
    page.click("#share-push")
    page.wait_for_selector("text=no token is known here")


def test_a_wrong_token_is_told_and_its_box_emptied(page, server, home):
    open_share(page)
    page.fill("#share-token input", "hf_notTheRightOneAtAll")
    page.click("#share-use")
    page.wait_for_selector("text=does not accept this token")
    page.wait_for_function("document.querySelector('#share-token input').value === ''")


def test_the_card_follows_what_is_written(page, server):
    open_share(page)
    page.click("#share-card-part button")
    page.fill("#share-name input, #share-name textarea", "anna/portraits")
    page.wait_for_selector("#share-card:has-text('studio import anna/portraits')")


def test_a_space_is_looked_at_kept_and_pushed(page, browser, server, tmp_path):
    open_share(page)
    page.click("#share-space > button")
    choose(page, "space-chosen", "Tiny clara")
    page.wait_for_selector("#space-tabs label:has-text('Classes') input:checked")
    page.get_by_label("Mix").uncheck()
    page.fill("#space-title input, #space-title textarea", "Annas <b>studio</b>")
    page.fill("#space-licence input", "CC-BY-4.0")
    page.keyboard.press("Enter")

    page.click("#space-look")
    page.wait_for_selector("#space-seen a", timeout=600_000)  # of failing only; a whole studio starts
    url = page.get_attribute("#space-seen a", "href")
    visitor = browser.new_page()
    visitor.goto(url)
    visitor.wait_for_selector("#explore-stage img")
    assert visitor.get_by_role("tab").all_inner_texts() == ["Explore", "Classes"]
    assert visitor.locator("#models button").evaluate_all("all => all.map((b) => b.title)") == ["Model Tiny anna", "Model Tiny clara"]
    folder = get_settings().cache / "spaces" / "annas-b-studio-b"
    for path in (folder / "app.py", folder / "checkpoints" / "anna" / "config.json", "/etc/hostname"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}gradio_api/file={path}")
        assert refused.value.code in (403, 404)
    visitor.close()
    page.click("#space-close")
    page.wait_for_selector("#space-seen a", state="detached")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)

    page.click("#space-zip")
    page.wait_for_selector("#space-download:visible")
    with zipfile.ZipFile(io.BytesIO(download(page, "#space-download", tmp_path).read_bytes())) as pack:
        names = set(pack.namelist())
        assert {f"annas-b-studio-b/{n}" for n in ("app.py", "README.md", "requirements.txt", "studio/space_app.py")} <= names
        assert {n.split("/")[2] for n in names if "/checkpoints/" in n} == {"anna", "clara"}

    page.fill("#share-token input", TOKEN)
    page.fill("#space-name input, #space-name textarea", "atelier/play")
    page.click("#space-push")
    page.wait_for_selector(f"#space-told a[href='{server.url}/spaces/atelier/play']")
    repo = server.repos["atelier/play"]
    assert repo.private
    assert repo.kind == "space"
    assert repo.card["title"] == "Annas <b>studio</b>"
    assert "app.py" in repo.files


def test_it_fits_a_narrow_screen(phone):
    open_share(phone)
    phone.click("#share-space > button")
    phone.wait_for_selector("#space-chosen button.on")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
