"""`studio translate` and `studio upscale` with the models that come along, and making such pictures again."""

import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from studio.cli.main import main
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.provenance.metadata import read_recipe
from tests.unit.outputs import test_animations as animation
from tests.unit.outputs.test_video_translation import write


@pytest.fixture
def work(studio_home, tmp_path, monkeypatch):
    """The working directory: three pictures in a tree, one broken file."""
    folder = tmp_path / "work"
    rng = np.random.default_rng(0)
    for name in ("in/a.png", "in/deep/a.jpg", "in/deep/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (24, 36, 3), np.uint8)).save(folder / name)
    (folder / "in/broken.png").write_text("no picture")
    monkeypatch.chdir(folder)
    return folder


def tree(folder) -> list[str]:
    return sorted(str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file())


def test_one_picture_is_upscaled_and_made_again_from_its_recipe(work, capsys):
    assert main(["upscale", "in/a.png", "-o", "big.png", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == "big.png\n"
    assert Image.open("big.png").size == (144, 96)
    recipe = read_recipe("big.png", ImageRecipe)
    assert (recipe.model, recipe.verb) == ("drawings-x4", "upscale")
    (work / "in/a.png").unlink()  # its source is kept
    assert main(["render", "big.png", "-o", "again.png", "--device", "cpu"]) == 0
    assert (work / "again.png").read_bytes() == (work / "big.png").read_bytes()


def test_a_folder_keeps_its_tree_and_a_broken_file_stops_nothing(work, capsys):
    assert main(["upscale", "in", "--size", "72", "-o", "out", "--device", "cpu"]) == 2
    assert tree(work / "out") == ["a.png", "deep/a.png", "deep/b.png"]
    assert {Image.open(p).size for p in (work / "out").rglob("*.png")} == {(72, 48)}
    error = capsys.readouterr().err
    assert "in/broken.png: " in error
    assert "1 of the files could not be used" in error


def test_long_folders_that_begin_alike_stay_apart(work):
    for end in "ab":
        folder = work / "long" / ("x" * 100 + end)
        folder.mkdir(parents=True)
        (work / "in/a.png").rename(folder / "a.png") if end == "a" else (work / "in/deep/b.png").rename(folder / "a.png")
    assert main(["upscale", "long", "--size", "72", "-o", "out", "--device", "cpu"]) == 0
    assert tree(work / "out") == [f"{'x' * 80}-2/a.png", f"{'x' * 80}/a.png"]


def test_a_batch_has_names_by_a_pattern_a_type_and_a_quality(work, capsys):
    (work / "in/broken.png").unlink()
    command = ["upscale", "in", "--seamless", "--type", "webp", "--pattern", "{number}_{name}_x{scale}", "--device", "cpu"]
    sizes = []
    for out, quality in (("out", ["--quality", "30"]), ("fine", [])):
        assert main([*command, "-o", out, *quality]) == 0
        assert tree(work / out) == ["0001_a_x4.webp", "deep/0002_a_x4.webp", "deep/0003_b_x4.webp"]
        sizes.append((work / out / "0001_a_x4.webp").stat().st_size)
    assert sizes[0] < sizes[1] / 2
    assert read_recipe(work / "out/0001_a_x4.webp", ImageRecipe).seamless
    assert main([*command, "--pattern", "same"]) == 2
    assert "one name" in capsys.readouterr().err


def test_a_zip_in_is_a_zip_out(work, capsys):
    with zipfile.ZipFile("set.zip", "w") as archive:
        archive.write("in/a.png", "one/a.png")
        archive.write("in/deep/a.jpg", "a.jpg")
    assert main(["translate", "set.zip", "--direction", "BtoA", "--device", "cpu"]) == 0
    with zipfile.ZipFile("set-ink-colour.zip") as archive:
        assert sorted(archive.namelist()) == ["a.png", "one/a.png"]
    with zipfile.ZipFile("bad.zip", "w") as archive:
        archive.write("in/broken.png")
    assert main(["translate", "bad.zip", "--device", "cpu"]) == 2
    assert "bad-ink-colour.zip" not in os.listdir()


def test_a_translation_as_webp_is_made_again_only_with_its_source(work, studio_home, capsys):
    assert main(["translate", "in/a.png", "-o", "t.webp", "--strength", "0.5", "--keep-colour", "--device", "cpu"]) == 0
    recipe = read_recipe("t.webp", ImageRecipe)
    assert (recipe.strength, recipe.keep_colour, recipe.direction) == (0.5, True, "AtoB")
    for file in (studio_home / "sources").iterdir():
        file.unlink()
    assert main(["render", "t.webp", "-o", "again.webp", "--device", "cpu"]) == 2
    assert "--source" in capsys.readouterr().err
    assert main(["render", "t.webp", "-o", "again.webp", "--source", "in/a.png", "--device", "cpu"]) == 0
    assert np.array_equal(np.asarray(Image.open("again.webp")), np.asarray(Image.open("t.webp")))


def test_sources_are_never_overwritten(work, capsys):
    before = {p: p.read_bytes() for p in (work / "in").rglob("*") if p.is_file()}
    assert main(["translate", "in", "-o", "in", "--device", "cpu"]) == 2
    assert "would overwrite a source" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in before} == before
    (work / "in/broken.png").unlink()
    for name in ("in/a.png", "in/deep/a.jpg"):
        os.rename(name, f"{name}.jpeg")
    for name in ("in/deep/a.png", "in/deep/b.png"):
        os.remove(name)
    assert main(["translate", "in", "-o", "in", "--device", "cpu"]) == 0
    assert tree(work / "in") == ["a.png.jpeg", "a.png.png", "deep/a.jpg.jpeg", "deep/a.jpg.png"]


def test_results_of_an_earlier_run_are_not_converted_again(work, capsys):
    (work / "in/broken.png").unlink()
    for _ in range(2):
        assert main(["translate", "in", "-o", "in/inked", "--device", "cpu"]) == 0
        assert tree(work / "in/inked") == ["a.png", "deep/a.png", "deep/b.png"]
        assert main(["translate", "in/a.png", "in/deep", "-o", "in/inked/all.zip", "--device", "cpu"]) == 0
        (work / "in/inked/all.zip").unlink()
    assert main(["translate", "in/a.png", "-o", "in/inked", "--device", "cpu"]) == 0, "one file into a folder that is there"


def test_a_folder_with_a_dot_in_its_name_is_a_folder(work, capsys):
    (work / "v1.2").mkdir()
    assert main(["translate", "in/a.png", "-o", "v1.2", "--device", "cpu"]) == 0
    assert tree(work / "v1.2") == ["a.png"]


def test_another_source_is_noticed(work, capsys):
    assert main(["translate", "in/a.png", "-o", "t.png", "--device", "cpu"]) == 0
    assert main(["render", "t.png", "-o", "other.png", "--source", "in/deep/b.png", "--device", "cpu"]) == 0
    assert "b.png is not the original source of this picture" in capsys.readouterr().err


def test_a_full_disk_is_said_and_leaves_no_zip(work, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = tree(work)
    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    assert main(["translate", "in/a.png", "-o", "out.zip", "--device", "cpu"]) == 2
    assert "The zip could not be saved: No space left on device" in capsys.readouterr().err
    assert tree(work) == before


@pytest.mark.parametrize("out", ["out", "out.zip"])
def test_ctrl_c_ends_it_cleanly(work, capsys, monkeypatch, out):
    import studio.outputs.convert_files as convert_files

    made = []

    def interrupted(*args, **options):
        if made:
            raise KeyboardInterrupt
        made.append(convert_file(*args, **options))
        return made[0]

    convert_file = convert_files.convert_file
    (work / "in/broken.png").unlink()
    before = tree(work)
    monkeypatch.setattr(convert_files, "convert_file", interrupted)
    assert main(["translate", "in", "-o", out, "--device", "cpu"]) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert tree(work) == (before if out == "out.zip" else sorted([*before, "out/a.png"])), "what is done is kept, and no part of a file"


def test_a_video_stays_a_video(work):
    write(work / "clip.mp4")
    assert main(["translate", "clip.mp4", "-o", "inked.mp4", "--smoothing", "light", "--device", "cpu"]) == 0
    assert (work / "inked.mp4").stat().st_size > 1000


@pytest.mark.parametrize("verb", ["upscale", "translate"])
def test_an_animation_stays_one(work, capsys, verb):
    source = animation.write(work / "in/run.gif", animation.frames("RGBA"))
    pages = [Image.new("RGB", (24, 24), shade) for shade in ("red", "blue", "green")]
    pages[0].save(work / "in/pages.tif", save_all=True, append_images=pages[1:])
    (work / "in/broken.png").unlink()
    scale = 4 if verb == "upscale" else 1
    assert main([verb, "in", "-o", "out", "--device", "cpu"]) == 0
    said = capsys.readouterr().err
    assert "run.gif: A GIF holds 256 colours a frame; choose WebP to keep them all." in said
    assert "pages.tif: It has 3 pages: only its first picture was taken." in said
    assert tree(work / "out") == ["a.png", "deep/a.png", "deep/b.png", "pages.png", "run.gif"]
    shown, times, loop = animation.read(work / "out/run.gif")
    assert (len(shown), times, loop) == (4, animation.DURATIONS, 0)
    assert shown[0].shape == (24 * scale, 40 * scale, 4)
    assert shown[0][..., 3].min() == 0
    assert read_recipe(work / "out/run.gif", ImageRecipe).verb == verb
    assert main([verb, "in/run.gif", "-o", "run.webp", "--quality", "80", "--device", "cpu"]) == 0
    assert animation.read(work / "run.webp")[1] == animation.DURATIONS
    assert main(["render", "run.webp", "-o", "again.webp", "--device", "cpu"]) == 0
    assert animation.read(work / "again.webp")[1] == animation.DURATIONS
    assert main([verb, str(source), "-o", "run.png", "--first-frame", "--device", "cpu"]) == 0
    assert "animation of 4 frames: only its first picture was taken" in capsys.readouterr().err
    assert main(["render", "run.png", "-o", "again.png", "--device", "cpu"]) == 0
    for name in ("run.png", "again.png"):
        with Image.open(work / name) as still:
            assert not getattr(still, "is_animated", False)


def test_a_jpeg_with_its_recipe(work):
    Image.new("RGBA", (24, 24), (200, 0, 0, 0)).save(work / "clear.png", dpi=(300, 300))
    assert main(["upscale", "clear.png", "-o", "large.jpg", "--quality", "95", "--device", "cpu"]) == 0
    with Image.open(work / "large.jpg") as made:
        assert made.format == "JPEG"
        assert made.size == (96, 96)
        assert made.info["dpi"] == (300, 300)
        assert min(made.convert("RGB").getextrema(), key=min)[0] >= 254, "white behind what is transparent"
    assert read_recipe(work / "large.jpg", ImageRecipe).verb == "upscale"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["upscale", "nothing.png"], "There is nothing at nothing.png"),
        (["upscale", "in/broken.png"], "cannot be read"),
        (["upscale", "in/a.png", "--size", "10"], "1 to 16 times"),
        (["upscale", "in/a.png", "--model", "ink-colour"], "ink-colour"),
        (["translate", "in/a.png", "--model", "nobody"], "nobody"),
        (["upscale", "in/a.png", "-o", "in/a.png"], "would overwrite a source"),
        (["upscale", "in/a.png", "-o", "a.bmp"], "cannot be saved as a.bmp"),
        (["upscale", "in/a.png", "-o", "a.gif"], "cannot be saved as a.gif"),
        (["upscale", "in/a.png", "--type", "gif"], "does not move"),
        (["upscale", "in/a.png", "-o", "a.mp4"], "cannot be saved as a.mp4"),
        (["upscale", "in/a.png", "--type", "webp", "-o", "a.png"], "must end in .webp"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(work, capsys, words, said):
    before = tree(work)
    assert main([*words, "--device", "cpu"]) == 2
    assert said in capsys.readouterr().err
    assert tree(work) == before


def test_parameters_are_set_by_their_address(work, studio_home):
    assert main(["seeds", "3", "--model", "lpc-characters", "--set", "psi=0.2", "--outdir", "p", "--device", "cpu"]) == 0
    assert read_recipe("p/seed0003.png", Recipe).psi == 0.2
    assert main(["render", "p/seed0003.png", "--set", "psi=1", "-o", "bold.png", "--device", "cpu"]) == 0
    assert not np.array_equal(np.asarray(Image.open("bold.png")), np.asarray(Image.open("p/seed0003.png")))
