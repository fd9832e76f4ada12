"""What files tell: the mark of AI on all that leaves the studio, the artist's choice, and signatures read back by the library."""

import csv
import dataclasses
import datetime
import io
import json
import os
import stat
import zipfile

import av
import numpy as np
import pytest
from PIL import Image

from studio.common.log import show_warnings
from studio.datasets.rights import Consent
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe, SeedWeight
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType, mp4_box, mp4_xmp, stated_source_type, xmp_packet
from studio.models.rights import to_extra
from studio.outputs.animations import convert_animation
from studio.outputs.class_sets import export_set
from studio.outputs.clips import save_clip
from studio.outputs.video_translation import convert_video
from studio.provenance import credentials, inspect
from studio.provenance.certificates import make_certificate, own_files
from studio.provenance.metadata import encode, encode_signed, read_packet, read_recipe, save_picture
from studio.provenance.policy import ProvenancePolicy, policy_problem, provenance_policy, save_policy
from studio.provenance.signing import LOG, enable_signing, signed_file
from studio.provenance.source_pictures import keep_source
from tests.conftest import save_tiny

PICTURE = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
DRAWN = Recipe(model="tiny", seeds=(SeedWeight(4711),))
PRIVATE = (b"4711", b"gs:recipe", b"gs:model", b"tiny")


@pytest.fixture
def warned(studio_home):
    """What the artist is told; signing is off until somebody chooses it."""
    told = []
    show_warnings(LOG, told.append)
    yield told
    show_warnings(LOG, None)


@pytest.fixture
def signing(warned, studio_home, models):
    """Files are signed by Anna, with a certificate made here."""
    studio_home.mkdir()
    os.symlink(models, studio_home / "models")
    assert enable_signing(ProvenancePolicy(artist="Anna Grün")) == "Anna Grün"
    yield warned
    assert warned == []


# -- the mark ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "mark"),
    [
        (DRAWN, "trainedAlgorithmicMedia"),
        (DigitalSourceType.GENERATED, "trainedAlgorithmicMedia"),
        (ImageRecipe("ink"), "compositeWithTrainedAlgorithmicMedia"),
        (ImageRecipe("x4", verb="upscale"), "compositeWithTrainedAlgorithmicMedia"),
    ],
)
@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
def test_every_picture_has_the_mark(studio_home, tmp_path, told, mark, ending):
    tale = inspect.inspect_file(save_picture(PICTURE, told, tmp_path / f"p.{ending}"))
    assert tale.source == mark
    assert tale.by_ai
    assert tale.recipe == (None if isinstance(told, DigitalSourceType) else told)
    assert stated_source_type(read_packet(encode(PICTURE, None, ending))) == ""


@pytest.mark.parametrize("ending", ["mp4", "webp"])
def test_walks_have_the_mark(studio_home, tmp_path, ending):
    path = save_clip([PICTURE, PICTURE[::-1]], tmp_path / f"walk.{ending}")
    assert inspect.inspect_file(path).source == "trainedAlgorithmicMedia"


def test_a_changed_video_has_the_mark_and_still_plays(studio_home, tmp_path):
    source = save_clip([PICTURE] * 3, tmp_path / "a.mp4")
    recipe = ImageRecipe("ink", strength=0.5)
    tale = inspect.inspect_file(convert_video(source, tmp_path / "b.mp4", lambda p: p, made_by=recipe))
    assert tale.source == "compositeWithTrainedAlgorithmicMedia"
    assert tale.recipe == recipe
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert len(list(clip.decode(video=0))) == 3
        assert "AI" in clip.metadata["comment"]


def test_boxes_of_any_length_are_passed_over(tmp_path):
    path, box = tmp_path / "a.mp4", mp4_box(xmp_packet(DigitalSourceType.GENERATED))
    free = lambda n: (8 + n).to_bytes(4, "big") + b"free" + bytes(n)  # noqa: E731
    large = (1).to_bytes(4, "big") + b"free" + (16 + 5).to_bytes(8, "big") + bytes(5)
    for data, found in (
        (free(3) + large + box + free(9), True),
        (free(3), False),
        (b"", False),
        (b"\0\0\0\0free" + box, False),
        (box[:-9], False),
        ((7).to_bytes(4, "big") + b"free" + box, False),
        (bytes(30), False),
        (large[:11], False),
    ):
        path.write_bytes(data)
        assert bool(mp4_xmp(path)) is found


def test_marks_of_other_programs_are_read(studio_home, tmp_path):
    for packet in (
        '<a Iptc4xmpExt:DigitalSourceType="http://x/digitalCapture"/>',
        "<q:DigitalSourceType>http://x/digitalCapture</q:DigitalSourceType>",
        '<q:DigitalSourceType rdf:resource="http://x/digitalCapture"/>',
    ):
        Image.fromarray(PICTURE).save(tmp_path / "p.jpg", xmp=packet.encode())
        tale = inspect.inspect_file(tmp_path / "p.jpg")
        assert tale.source == "digitalCapture"
        assert not tale.by_ai
        assert "photographed" in dict(tale.lines())["AI label"]


def test_what_is_no_picture_is_told(studio_home, tmp_path):
    for data in (b"", b"text", b"\x89PNG broken"):
        (tmp_path / "a.png").write_bytes(data)
        with pytest.raises(StudioError):
            inspect.inspect_file(tmp_path / "a.png")
    with pytest.raises(StudioError, match="cannot be read"):
        inspect.inspect_file(tmp_path / "gone.png")


# -- the choice --------------------------------------------------------------------------------------------------------


def test_the_mark_alone_tells_nothing_else(warned, tmp_path, engine):
    save_policy(ProvenancePolicy(tells="mark"))
    source = save_clip([PICTURE] * 2, tmp_path / "a.mp4")
    files = [
        save_picture(PICTURE, DRAWN, tmp_path / "p.png"),
        save_picture(PICTURE, DRAWN, tmp_path / "p.webp"),
        convert_video(source, tmp_path / "b.mp4", lambda p: p, made_by=ImageRecipe("tiny")),
    ]
    for path in files:
        assert inspect.inspect_file(path).by_ai
        assert inspect.inspect_file(path).recipe is None
        assert not any(word in path.read_bytes() for word in PRIVATE), path
    with zipfile.ZipFile(export_set(engine, "tiny-classes", 2, tmp_path / "set.zip", seed=4711)) as archive:
        names = archive.namelist()
        assert not any("4711" in n or "seed" in n for n in names)
        assert b"recipe" not in archive.read("README.txt")
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
        assert set(rows[0]) == {"file", "class"}
        assert set(json.loads(archive.read("manifest.json"))["pictures"][0]) == {"file", "class"}
        for name in (n for n in names if n.endswith(".png")):
            with pytest.raises(StudioError, match="no recipe"):
                read_recipe(archive.read(name))
            assert stated_source_type(read_packet(archive.read(name))) == DigitalSourceType.GENERATED.value
    save_policy(ProvenancePolicy())
    assert inspect.inspect_file(save_picture(PICTURE, DRAWN, tmp_path / "p.png")).recipe == DRAWN


@pytest.mark.parametrize(
    "text", ["[files", '[files]\ntells = "all"', "[files]\ncredentials = 1", "[files]\nodd = true", "files = 3", b"\xff\xfe"]
)
def test_bad_settings_are_told_and_reveal_nothing(studio_home, text):
    path = studio_home / "settings.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert provenance_policy() == ProvenancePolicy(tells="mark")
    assert "cannot be read" in policy_problem()
    save_policy(ProvenancePolicy(artist="Anna"))
    assert provenance_policy() == ProvenancePolicy(artist="Anna")
    assert policy_problem() == ""


def test_a_choice_leaves_other_settings_alone(studio_home):
    assert provenance_policy() == ProvenancePolicy()
    assert policy_problem() == ""
    studio_home.mkdir()
    (studio_home / "settings.toml").write_text('[other]\nx = 1\n[files]\ntells = "mark"\n')
    save_policy(provenance_policy().replace(artist='An"na'))
    assert provenance_policy() == ProvenancePolicy(tells="mark", artist='An"na')
    assert "[other]\nx = 1" in (studio_home / "settings.toml").read_text()


# -- signatures --------------------------------------------------------------------------------------------------------


def _plain(path, form):
    return (
        (np.asarray(Image.open(path).convert("RGB")),)
        if form != "mp4"
        else tuple(f.to_ndarray() for f in av.open(str(path)).decode(video=0))
    )


def _make(form, path):
    return save_clip([PICTURE] * 2, path) if form == "mp4" else save_picture(PICTURE, DRAWN, path)


@pytest.mark.parametrize(("form", "chunk"), [("png", b"IDAT"), ("webp", b"VP8L"), ("mp4", b"mdat")])
def test_signed_files_hold_and_a_changed_pixel_does_not(signing, tmp_path, form, chunk):
    path = _make(form, tmp_path / f"p.{form}")
    save_policy(provenance_policy().replace(credentials=False))
    plain = _make(form, tmp_path / f"plain.{form}")
    assert len(path.read_bytes()) > len(plain.read_bytes())
    assert len(list(tmp_path.glob(".*"))) == 0
    for ours, theirs in zip(_plain(path, form), _plain(plain, form), strict=True):
        assert np.array_equal(ours, theirs)
    tale = inspect.inspect_file(path)
    found = tale.credentials
    assert found.intact
    assert not found.trusted
    assert found.signer == "Anna Grün"
    assert found.problems == ()
    assert tale.by_ai
    assert found.source_types == (DigitalSourceType.GENERATED.value,)
    assert found.software.startswith("GAN Studio")
    assert found.sources == ()
    assert tale.recipe == (None if form == "mp4" else DRAWN)
    assert inspect.inspect_file(plain).credentials is None
    data = bytearray(path.read_bytes())
    data[data.rindex(chunk) + 60] ^= 1
    path.write_bytes(data)
    broken = credentials.read_credentials(path, form)
    assert not broken.intact
    assert broken.problems == ("The file was changed after it was signed.",)


def test_the_account_names_model_recipe_and_consent(signing, models, tmp_path):
    config = models / "tiny" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "extra": to_extra(Consent("licensed", "x", "CC BY 4.0", "Berta"))}))
    from studio.models.library import default_library

    told = DRAWN.replace(model_hash=default_library().get("tiny").hash)
    facts = inspect.inspect_file(save_picture(PICTURE, told, tmp_path / "p.png")).credentials.facts
    assert facts["model"] == "tiny"
    assert facts["model_sha256"] == told.model_hash
    assert len(facts["recipe_sha256"]) == 64
    assert facts["training_data"] == {"consent": "licensed", "licence": "CC BY 4.0", "attribution": "Berta"}
    assert any("CC BY 4.0" in words for _, words in inspect.inspect_file(tmp_path / "p.png").lines())
    save_policy(provenance_policy().replace(tells="mark"))
    private = save_picture(PICTURE, told, tmp_path / "q.png")
    assert inspect.inspect_file(private).credentials.facts == {}
    assert not any(word in private.read_bytes() for word in PRIVATE)


@pytest.mark.parametrize("form", ["png", "webp", "jpg"])
def test_a_changed_picture_names_its_source(signing, tmp_path, form):
    source = save_picture(PICTURE, DRAWN, tmp_path / "source.png")
    told = ImageRecipe("tiny", source=keep_source(source))
    found = inspect.inspect_file(save_picture(PICTURE, told, tmp_path / f"p.{form}")).credentials
    assert found.intact
    assert found.source_types == (DigitalSourceType.COMPOSITE.value,)
    assert len(found.sources) == 1
    save_policy(provenance_policy().replace(tells="mark"))
    private = inspect.inspect_file(save_picture(PICTURE, told, tmp_path / f"q.{form}")).credentials
    assert private.intact
    assert private.sources == ()
    assert private.source_types == (DigitalSourceType.COMPOSITE.value,)


def test_a_changed_video_names_its_source(signing, tmp_path):
    source = save_clip([PICTURE] * 2, tmp_path / "a.mp4")
    tale = inspect.inspect_file(convert_video(source, tmp_path / "b.mp4", lambda p: p, made_by=ImageRecipe("tiny")))
    assert tale.credentials.intact
    assert len(tale.credentials.sources) == 1
    assert tale.source.startswith("compositeWith")


@pytest.mark.parametrize("form", ["gif", "webp", "png"])
def test_a_changed_animation_names_its_source_and_still_moves(signing, tmp_path, form):
    frames = [Image.new("RGB", (16, 16), shade) for shade in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=80)
    made = convert_animation(tmp_path / "a.gif", tmp_path / f"b.{form}", lambda f: f, made_by=ImageRecipe("tiny"))
    tale = inspect.inspect_file(made)
    assert tale.credentials.intact
    assert len(tale.credentials.sources) == 1
    assert tale.source.startswith("compositeWith")
    assert tale.recipe == ImageRecipe("tiny")
    with Image.open(made) as image:
        assert image.n_frames == 3
    save_policy(provenance_policy().replace(tells="mark"))
    private = convert_animation(tmp_path / "a.gif", tmp_path / f"c.{form}", lambda f: f, made_by=ImageRecipe("tiny"))
    assert inspect.inspect_file(private).by_ai
    assert not any(word in private.read_bytes() for word in PRIVATE)


def test_sets_and_streamed_files_are_signed(signing, engine, tmp_path):
    with zipfile.ZipFile(export_set(engine, "tiny-classes", 1, tmp_path / "set.zip")) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".png"))
        (tmp_path / "one.png").write_bytes(archive.read(name))
    with signed_file(tmp_path / "two.png", DRAWN) as file:
        file.write(encode(PICTURE, DRAWN))
    for name in ("one", "two"):
        assert inspect.inspect_file(tmp_path / f"{name}.png").credentials.intact

    def write_half(file):
        file.write(b"half")
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"), signed_file(tmp_path / "three.png", DRAWN) as file:
        write_half(file)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".png") == ["one.png", "two.png"]


def test_certificates_are_kept_from_others(studio_home):
    certificate, key = make_certificate("  Anna   Grün ")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert certificate.read_text().count("BEGIN CERTIFICATE") == 2
    assert b"PRIVATE" not in certificate.read_bytes()
    for name in ("", " \n", "A" * 65, "a\0b"):
        with pytest.raises(StudioError, match="name for the signature"):
            make_certificate(name)


def test_trouble_with_signing_saves_the_picture_unsigned_and_says_so_once(warned, tmp_path):
    enable_signing(ProvenancePolicy(artist="Anna"))
    own_files()[1].unlink()
    for i in range(2):
        path = save_picture(PICTURE, DRAWN, tmp_path / f"{i}.png")
        assert inspect.inspect_file(path).recipe == DRAWN
        assert inspect.inspect_file(path).credentials is None
    with signed_file(tmp_path / "s.png", DRAWN) as file:
        file.write(encode(PICTURE, DRAWN))
    assert read_recipe(tmp_path / "s.png") == DRAWN
    assert len(warned) == 1
    assert "Saved without a signature" in warned[0]
    assert "key for signing cannot be read" in warned[0]


def test_what_cannot_sign_is_refused_before_a_picture_depends_on_it(warned, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    certificate, key = make_certificate("Anna")
    secret = ec.generate_private_key(ec.SECP256R1())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    other, locked, words = (tmp_path / name for name in ("other.pem", "locked.pem", "words.pem"))
    other.write_bytes(secret.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    locked.write_bytes(secret.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"x")))
    words.write_text("no key")
    for cert, secret, why in (
        (certificate, other, None),
        (certificate, locked, "password"),
        (certificate, words, "not a private key"),
        (words, key, None),
        (certificate, tmp_path / "gone", "cannot be read"),
        (certificate, "", "belong together"),
    ):
        with pytest.raises(StudioError, match=why):
            enable_signing(ProvenancePolicy(certificate=str(cert), key=str(secret)))
        assert provenance_policy() == ProvenancePolicy()
    make_certificate("Anna", datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc))
    with pytest.raises(StudioError, match="not valid at time of signing"):
        enable_signing(ProvenancePolicy(certificate=str(own_files()[0]), key=str(own_files()[1])))
    make_certificate("Berta")
    assert enable_signing(ProvenancePolicy(certificate=str(own_files()[0]), key=str(own_files()[1]))) == "Berta"
    assert encode_signed(PICTURE, DRAWN) != encode(PICTURE, DRAWN)


def test_the_command_line_says_it_in_plain_words(warned, tmp_path, capsys):
    from studio.cli.main import main

    assert main(["marks", "--metadata", "mark", "--sign", "Anna"]) == 0
    assert provenance_policy().credentials
    assert provenance_policy().tells == "mark"
    save_picture(PICTURE, DRAWN, tmp_path / "p.png")
    assert main(["marks", str(tmp_path / "p.png")]) == 0
    out = capsys.readouterr().out
    assert "made by AI" in out
    assert "No recipe is inside" in out
    assert "Signed by 'Anna', and not changed since." in out
    assert main(["marks", "--no-sign", "--tell", "everything"]) == 0  # the older spelling
    assert not provenance_policy().credentials
    assert provenance_policy().tells == "everything"
    assert provenance_policy().artist == "Anna"
    assert main(["marks"]) == 0
    assert "not signed" in capsys.readouterr().out
    assert main(["marks", str(tmp_path / "gone.png")]) == 2
    assert main(["marks", "--sign", "A", "--no-sign"]) == 2
    assert dataclasses.replace(provenance_policy(), artist="") == ProvenancePolicy()


def test_thumbnails_have_the_mark(tmp_path):
    assert stated_source_type(read_packet(save_tiny(tmp_path, "m").thumbnail)) == DigitalSourceType.GENERATED.value
