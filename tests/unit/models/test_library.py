"""The library: nothing that lies in it stops the rest, and `get` agrees with `scan`."""

import os

import pytest

from studio.errors import StudioError
from studio.models.library import Library, default_library
from tests.conftest import save_tiny


def test_a_broken_model_does_not_hide_a_sound_one_of_a_later_root(tmp_path):
    mine, shipped = tmp_path / "mine", tmp_path / "shipped"
    save_tiny(mine, "tiny")
    save_tiny(shipped, "tiny", seed=2)
    library = Library([mine, shipped])
    (mine / "tiny" / "model.safetensors").unlink()
    models, broken = library.scan()
    assert [m.path for m in models] == [shipped / "tiny"]
    assert [b.path for b in broken] == [mine / "tiny"]
    assert library.get("tiny") == models[0], "what is listed is what is opened"
    (shipped / "tiny" / "config.json").unlink()
    with pytest.raises(StudioError, match=r"no model.safetensors"):
        library.get("tiny")


def test_a_folder_that_comes_and_goes(tmp_path):
    library = Library([tmp_path / "later"])
    assert library.scan() == ([], [])
    with pytest.raises(StudioError, match="import or train"):
        library.get("tiny")
    save_tiny(tmp_path / "later", "tiny")
    assert [m.id for m in library.scan()[0]] == ["tiny"]
    (tmp_path / "later" / "tiny").rename(tmp_path / "later" / "renamed")
    assert [m.id for m in library.scan()[0]] == ["renamed"]


def test_what_is_no_model_folder_is_no_matter(tmp_path):
    save_tiny(tmp_path, "tiny")
    (tmp_path / ".tiny.0123.part").mkdir()
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "away").symlink_to(tmp_path / "nowhere")
    models, broken = Library([tmp_path]).scan()
    assert [m.id for m in models] == ["tiny"]
    assert broken == []


def test_a_root_that_cannot_be_listed_is_told_and_the_others_work(tmp_path):
    save_tiny(tmp_path / "good", "tiny")
    (tmp_path / "file").write_text("a file where a folder is due")
    models, broken = Library([tmp_path / "file", tmp_path / "good"]).scan()
    assert [m.id for m in models] == ["tiny"]
    assert [b.path for b in broken] == [tmp_path / "file"]
    assert "cannot be listed" in broken[0].reason


def test_a_folder_that_goes_away_while_it_is_read(tmp_path, monkeypatch):
    for name in ("a", "b"):
        save_tiny(tmp_path, name)
    from studio.models import library as module

    real = module.open_folder

    def flaky(path):
        if path.name == "a":
            raise FileNotFoundError(2, "No such file or directory")
        return real(path)

    monkeypatch.setattr(module, "open_folder", flaky)
    models, broken = Library([tmp_path]).scan()
    assert [m.id for m in models] == ["b"]
    assert "'a' cannot be read" in broken[0].reason
    with pytest.raises(StudioError, match="'a' cannot be read"):
        Library([tmp_path]).get("a")


@pytest.mark.parametrize("id", ["", ".", "..", "../mine/tiny", "tiny/.", "tiny/", "a\0b", "x" * 5000, ".tiny", "con", "tiny\n"])
def test_an_odd_name_reaches_no_file(tmp_path, id):
    save_tiny(tmp_path / "mine", "tiny")
    with pytest.raises(StudioError, match="not in this studio") as e:
        Library([tmp_path / "mine"]).get(id)
    assert len(str(e.value)) < 300
    assert "tiny" in e.value.hint


def test_near_names_are_offered_whatever_their_case(tmp_path):
    save_tiny(tmp_path, "LPC-Characters")
    save_tiny(tmp_path, "other")
    with pytest.raises(StudioError) as e:
        Library([tmp_path]).get("lpc-charakters")
    assert e.value.hint == "Available: LPC-Characters, other."


def test_free_names_stay_names(tmp_path):
    library = Library([tmp_path])
    long = "x" * 100
    (tmp_path / long).mkdir()
    name = library.free_name(long)
    assert len(name) <= 100
    assert name.endswith("-2")
    assert not (tmp_path / name).exists()
    save_tiny(tmp_path, name)
    assert library.free_name(long) not in (long, name)


def test_the_default_library_is_the_artists_own_and_then_the_shipped(studio_home):
    library = default_library()
    assert library.roots[0] == studio_home / "models"
    assert library.roots[0].is_dir()
    assert library.roots[1].name in ("checkpoints", "_checkpoints")


def test_scan_reads_no_weights_twice(tmp_path, monkeypatch):
    info = save_tiny(tmp_path, "tiny")
    hashed = []
    from studio.models import folder

    real = folder.sha256_of
    monkeypatch.setattr(folder, "sha256_of", lambda path: hashed.append(path) or real(path))
    library = Library([tmp_path])
    assert library.scan()[0][0].hash == info.hash
    assert hashed == []
    os.utime(info.path / "model.safetensors", (1, 1))
    assert library.scan()[0][0].hash == info.hash, "a file that was touched is hashed anew"
    assert len(hashed) == 1, "a file that was touched is hashed anew"


def test_models_that_are_not_named_are_counted(tmp_path):
    for i in range(7):
        save_tiny(tmp_path, f"model-{i}")
    with pytest.raises(StudioError) as e:
        Library([tmp_path]).get("elephant")
    assert e.value.hint == "Available: model-0, model-1, model-2, model-3, model-4 and 2 more."
    with pytest.raises(StudioError) as e:
        Library([tmp_path]).get("model_6")
    assert e.value.hint.startswith("Available: model-6, ")
    assert e.value.hint.endswith(" and 2 more.")
