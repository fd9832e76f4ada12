"""Uploaded files keep the names they had, and the folders they were chosen with."""

import json
from pathlib import Path

import pytest
from gradio.components.file import ListFiles
from gradio.data_classes import FileData

import studio
from studio.datasets.sources import UploadedFile
from studio.datasets.store import DataSetStore
from studio.ui.components.uploads import FilesInput, FolderButton
from tests.unit.datasets.pictures import encoded, scene


@pytest.fixture
def upload(tmp_path):
    """Files as Gradio keeps them: each in a folder of its own, without the braces in its name."""

    def upload(*names: str, data: dict[str, bytes] | None = None) -> ListFiles:
        out = []
        for i, name in enumerate(names):
            path = tmp_path / "uploads" / str(i) / Path(name).name.replace("{", "").replace("}", "")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((data or {}).get(name) or encoded(scene(i), "PNG"))
            out.append(FileData(path=str(path), orig_name=name))
        return ListFiles(out)

    return upload


def test_a_folder_chosen_in_the_browser_keeps_its_sub_folders(upload, studio_home):
    store = DataSetStore()
    files = FolderButton("Choose", file_count="directory").preprocess(
        upload("pets/cats/1.png", "pets/dogs/1.png", "pets/dogs/{2}.png", "pets/.hidden/3.png")
    )
    report = store.ingest(files, owned=True)
    assert report.title == "pets"
    assert report.classes == {"cats": 1, "dogs": 2}
    assert [a.name for a in report.accepted] == ["cats/1.png", "dogs/1.png", "dogs/{2}.png"]
    assert report.ignored == 1


def test_a_folder_chosen_in_the_browser_has_its_label_file(upload, studio_home):
    labels = json.dumps({"labels": [["00000/a.png", 1], ["00000/b.png", 0]]}).encode()
    names = ("faces/00000/a.png", "faces/00000/b.png", "faces/dataset.json")
    store = DataSetStore()
    report = store.ingest(
        FolderButton("Choose", file_count="directory").preprocess(upload(*names, data={"faces/dataset.json": labels})), owned=True
    )
    assert report.classes == {"0": 1, "1": 1}
    seen = studio.dataset(store.add(report).path)
    assert dict(zip(seen.names, seen.labels, strict=True)) == {"00000/a.png": 1, "00000/b.png": 0}


def test_dropped_files_keep_braces_and_pair_by_them(upload, studio_home):
    store = DataSetStore()
    files = FilesInput(file_count="multiple").preprocess(upload("{1}.png", "1.png"))
    stored = store.add(store.ingest(files, owned=True, title="A"))
    assert stored.names() == ["1.png", "{1}.png"]
    assert FilesInput(file_count="multiple").preprocess(None) is None


def test_the_page_knows_that_a_folder_is_chosen():
    assert FolderButton("Choose", file_count="directory").get_config()["file_count"] == "directory"
    assert FilesInput(file_count="multiple").get_config()["file_count"] == "multiple"


@pytest.mark.parametrize("name", ["../../etc/passwd.png", "a/../../b.png", "", "/", "x" * 300 + ".png", "a/" * 20 + "b.png", "a\n.png"])
def test_a_name_from_the_browser_leads_nowhere_else(name, upload, studio_home, tmp_path):
    path = Path(upload("fine.png").root[0].path)
    store = DataSetStore()
    report = store.ingest([UploadedFile(path, name)], owned=True)
    for accepted in report.accepted:
        assert ".." not in Path(accepted.name).parts
        assert (report.staged / "pictures" / accepted.name).resolve().is_relative_to(report.staged.resolve())
    report.discard()
