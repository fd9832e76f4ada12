"""Small pictures and files that several tests use."""

import io

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(left=(200, 30, 90), right=(10, 180, 60), size=(64, 32)) -> Image.Image:
    image = Image.new("RGB", size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    return image


def scene(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8).astype(np.uint8)
    return Image.fromarray(noise).resize((160, 120), Image.BICUBIC)
