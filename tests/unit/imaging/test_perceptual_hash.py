import io

import numpy as np
from PIL import Image, ImageFilter

from studio.imaging.perceptual_hash import PerceptualHash, is_similar, perceptual_hash, similar_groups
from tests.unit.imaging.pictures import encoded, scene


def test_the_hash_bit_by_bit():
    # Nine rising columns, then a fall in the last row only.
    steps = np.tile(np.arange(9) * 20, (8, 1))
    steps[7] = steps[7][::-1]
    assert perceptual_hash(np.kron(np.stack([steps] * 3, -1), np.ones((4, 4, 1))).astype(np.uint8)).hash == 0xFFFFFFFFFFFFFF00


def test_near_duplicates_are_found_and_others_not():
    a = scene(1)
    again = Image.open(io.BytesIO(encoded(a.resize((120, 90)), "JPEG", quality=70)))
    blurred = a.filter(ImageFilter.GaussianBlur(1))
    other = [scene(i) for i in range(2, 40)]
    red = Image.merge("RGB", [a.getchannel(c) for c in "GRB"])  # the same drawing in other colours
    assert similar_groups([perceptual_hash(p) for p in [other[0], a, *other[1:], again, red, blurred]]) == [[1, 39, 41]]
    assert is_similar(perceptual_hash(a), perceptual_hash(again))
    assert not is_similar(perceptual_hash(a), perceptual_hash(scene(2)))
    assert similar_groups([]) == []


def test_groups_agree_with_comparing_each_with_each():
    rng = np.random.default_rng(0)
    found = [PerceptualHash(int(rng.integers(0, 2**10)) << 20, np.full(48, rng.integers(0, 40), np.uint8)) for _ in range(300)]
    free, expected = set(range(300)), []
    for i in range(300):
        if i in free:
            group = [i, *(j for j in range(i + 1, 300) if j in free and is_similar(found[i], found[j], 2, 5))]
            if len(group) > 1:
                free -= set(group)
                expected.append(group)
    assert similar_groups(found, 2, 5) == expected
    assert expected


def test_twenty_thousand_pictures_are_compared_at_once():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 20_000)
    hashes[-1] = hashes[0] ^ 0b101
    flat = np.zeros(48, np.uint8)
    assert similar_groups([PerceptualHash(int(h), flat) for h in hashes]) == [[0, 19_999]]
