"""Pictures with a Recipe inside; tests/unit/engine/test_recipe.py has the round trips."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from studio.engine.recipe import Edit, Mix, Recipe, pack_latent
from studio.errors import StudioError
from studio.imaging.source_metadata import SourceMetadata, read_source_metadata
from studio.provenance.metadata import encode, read_recipe, save_picture

PICTURE = np.random.default_rng(0).integers(0, 255, (16, 12, 3), dtype=np.uint8)
RECIPE = Recipe(model="cats & <dogs>", psi=0.6, edits=(Edit("model:grösse", 1.5),), mixes=(Mix(7, (2, 5)),))


def test_a_png_says_it_in_words_and_in_json():
    with Image.open(io.BytesIO(encode(PICTURE, RECIPE))) as image:
        assert Recipe.from_json(image.text["gan-studio-recipe"]) == RECIPE
        words = image.text["parameters"]
    for part in ("cats & <dogs>", "seed: 0", "0.6", "model:grösse x 1.5", "seed 7 in layers 2-4"):
        assert part in words


@pytest.mark.parametrize("lost", ["gan-studio-recipe", "XML:com.adobe.xmp"])
def test_either_place_in_a_png_is_enough(lost):
    with Image.open(io.BytesIO(encode(PICTURE, RECIPE))) as image:
        info = PngImagePlugin.PngInfo()
        for key, text in image.text.items():
            if key != lost:
                info.add_itxt(key, text)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", pnginfo=info)
    assert lost.encode() not in buffer.getvalue()
    assert read_recipe(buffer.getvalue()) == RECIPE


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_an_opened_picture_is_read_too(kind):
    with Image.open(io.BytesIO(encode(PICTURE, RECIPE, kind))) as image:
        assert read_recipe(image) == RECIPE


def test_a_large_latent_fits():
    recipe = Recipe(model="m", latent=pack_latent(np.random.default_rng(1).standard_normal((18, 512))))
    for kind in ("png", "webp"):
        assert read_recipe(encode(PICTURE, recipe, kind)) == recipe


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_damaged_files_never_raise_anything_else(kind):
    data = encode(PICTURE, RECIPE, kind)
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(300):
        bad = bytearray(data)
        for at in rng.integers(0, len(bad), rng.integers(1, 6)):
            bad[at] = rng.integers(256)
        bad = bytes(bad[: rng.integers(1, len(bad) + 1)]) if rng.random() < 0.5 else bytes(bad)
        try:
            assert isinstance(read_recipe(bad), Recipe)
        except StudioError as e:
            errors.append(e)
    assert len(errors) > 50
    assert all(e.message and e.hint for e in errors)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _png(*chunks: bytes, width: int = 1, height: int = 1) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    body = _chunk(b"IDAT", zlib.compress(bytes(4)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(chunks) + body + _chunk(b"IEND", b"")


def test_bombs_do_not_go_off():
    packed = zlib.compress(b"a" * (1 << 28), 9)
    text = _chunk(b"iTXt", b"gan-studio-recipe\0\1\0\0\0" + packed)
    for data in (_png(text), _png(width=2**31 - 1, height=2**31 - 1), _png(_chunk(b"zTXt", b"x\0\0" + packed))):
        with pytest.raises(StudioError):
            read_recipe(data)
    many = _png(_chunk(b"iTXt", b"gan-studio-recipe\0\0\0\0\0" + b'{"model":' + b"[" * 200_000))
    with pytest.raises(StudioError):
        read_recipe(many)


def test_other_kinds_of_files_are_not_opened(tmp_path):
    for kind in ("tiff", "bmp"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"p.{kind}")
        with pytest.raises(StudioError, match="not a picture that can be read"):
            read_recipe(tmp_path / f"p.{kind}")
    for kind in ("jpg", "gif"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"p.{kind}")
        with pytest.raises(StudioError, match="no recipe inside"):
            read_recipe(tmp_path / f"p.{kind}")
    for path in (tmp_path, tmp_path / "missing.png"):
        with pytest.raises(StudioError):
            read_recipe(path)


def test_what_cannot_be_saved_is_told(tmp_path):
    for name in ("p.bmp", "p"):
        with pytest.raises(StudioError, match="png, webp or jpeg"):
            save_picture(PICTURE, RECIPE, tmp_path / name)
    with pytest.raises(StudioError, match="16383"):
        save_picture(np.zeros((1, 16384, 3), np.uint8), None, tmp_path / "wide.webp")
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="could not be saved"):
        save_picture(PICTURE, RECIPE, tmp_path / "file" / "p.png")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_jpeg_holds_recipe_rights_and_colours(tmp_path):
    kept = SourceMetadata(creator="Ada Müller", rights="CC BY 4.0", description="a" * 90_000, dpi=300)
    data = encode(PICTURE, RECIPE, "jpeg", 100, kept)
    assert read_recipe(data) == RECIPE
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert image.layer[0][1:3] == (1, 1), "colours at full resolution"
        assert image.info["dpi"] == (300, 300)
        said = read_source_metadata(image)
        assert (said.creator, said.rights) == ("Ada Müller", "CC BY 4.0")
        assert np.abs(np.asarray(image).astype(int) - PICTURE).mean() < 2
    assert len(encode(PICTURE, RECIPE, "jpeg", 20)) < len(encode(PICTURE, RECIPE, "jpeg")) < len(data)


@pytest.mark.parametrize(("mode", "out"), [("RGBA", "RGB"), ("LA", "L"), ("L", "L"), ("I;16", "L")])
def test_a_jpeg_has_white_behind_what_is_transparent(mode, out):
    clear = Image.new("I;16", (8, 8), 65535) if mode == "I;16" else Image.new(mode, (8, 8), 255 if mode == "L" else None)
    with Image.open(io.BytesIO(encode(clear, RECIPE, "jpeg"))) as image:
        assert image.mode == out
        assert np.asarray(image).min() >= 254
