"""Small pictures and files that several tests use."""

import io

import numpy as np
from PIL import Image


def scene(seed: int, size=(64, 48)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8).astype(np.uint8)
    return Image.fromarray(noise).resize(size, Image.BICUBIC)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def hidden(store) -> list[str]:
    return [p.name for p in store.home.iterdir() if p.name.startswith(".")] if store.home.exists() else []
