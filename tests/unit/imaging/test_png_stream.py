import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.engine.image_recipe import ImageRecipe
from studio.imaging.png_stream import PngWriter
from studio.imaging.raster import Raster
from studio.provenance.metadata import png_texts, read_recipe

RECIPE = ImageRecipe("sharp", verb="upscale")


def encoded(pixels: np.ndarray, bands: list[int], **options) -> bytes:
    file = io.BytesIO()
    writer = PngWriter(file, pixels.shape[1], pixels.shape[0], pixels.shape[2], pixels.dtype, **options)
    for rows in np.split(pixels, bands):
        writer.write(rows)
    writer.close()
    return file.getvalue()


def picture(channels: int, dtype, height=37, width=29) -> np.ndarray:
    """Half smooth, half noise, so that each filter is used."""
    most = np.iinfo(dtype).max
    y, x = np.mgrid[:height, :width] / 40
    smooth = np.stack([(y + x) / 2, y**2, x * y, 1 - y][:channels], axis=2)
    smooth[height // 2 :] = np.random.default_rng(0).random((height - height // 2, width, channels))
    return (smooth.clip(0, 1) * most).astype(dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_programs_read_every_bit(channels, dtype, tmp_path):
    """Pillow reads the 8-bit ones, FFmpeg the 16-bit ones."""
    pixels = picture(channels, dtype)
    for bands in ([], [1, 2, 20], list(range(1, 37))):
        (tmp_path / "p.png").write_bytes(encoded(pixels, bands))
        if dtype == np.uint16 and channels == 2:
            with Image.open(tmp_path / "p.png") as image:  # Pillow takes the upper 8 bits of each
                assert np.array_equal(np.asarray(image)[:, :, [0, 3]], pixels >> 8)
        else:
            assert np.array_equal(Raster.from_file(tmp_path / "p.png").pixels, pixels)


def test_profile_and_recipe_go_along(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "p.png").write_bytes(encoded(picture(3, np.uint8), [7], profile=profile, texts=png_texts(RECIPE)))
    assert read_recipe(tmp_path / "p.png") == RECIPE
    with Image.open(tmp_path / "p.png") as image:
        assert image.info["icc_profile"] == profile
        assert "upscaled" in image.text["parameters"]


def test_files_are_as_small_as_those_of_others():
    pixels = picture(3, np.uint8, 300, 400)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert len(encoded(pixels, [100, 200])) < 1.05 * len(buffer.getvalue())


def test_much_data_is_cut_into_chunks():
    pixels = np.random.default_rng(0).integers(0, 256, (900, 800, 3), dtype=np.uint8)
    data = encoded(pixels, list(range(100, 900, 100)))
    assert data.count(b"IDAT") >= 3
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


def test_rows_are_counted():
    writer = PngWriter(io.BytesIO(), 4, 4, 3, np.uint8)
    writer.write(np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(AssertionError, match="1 rows are missing"):
        writer.close()
    for wrong in (np.zeros((2, 4, 3), np.uint8), np.zeros((1, 5, 3), np.uint8), np.zeros((1, 4, 3), np.uint16)):
        with pytest.raises(AssertionError):
            writer.write(wrong)
