"""Inspection of a file: its AI label, recipe and Content Credentials, in plain sentences."""

from dataclasses import dataclass
from pathlib import Path

from studio.common.text import printable
from studio.datasets.rights import Consent
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.imaging.video import matroska_xmp
from studio.imaging.xmp import DigitalSourceType, motion_in, mp4_xmp, stated_source_type
from studio.provenance.credentials import Credentials, read_credentials
from studio.provenance.metadata import read_packet, read_recipe, recipe_in

# (offset, bytes there, format). The format is detected by content, because endings may be wrong.
_SIGNATURES = (
    (0, b"\x89PNG", "png"),
    (8, b"WEBP", "webp"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (4, b"ftypqt", "mov"),
    (4, b"ftyp", "mp4"),
    (0, b"GIF8", "gif"),
    (0, b"\x1aE\xdf\xa3", "webm"),
)
_VIDEOS = ("mp4", "mov", "webm")
# https://cv.iptc.org/newscodes/digitalsourcetype, as other programs write it
_SOURCES = {
    "trainedAlgorithmicMedia": "made by AI (a trained network)",
    "compositeWithTrainedAlgorithmicMedia": "made from another picture by AI (a trained network)",
    "algorithmicMedia": "made by a program that did not learn from pictures",
    "compositeSynthetic": "put together, with parts that a computer made",
    "compositeCapture": "put together from photographs",
    "composite": "put together from several",
    "digitalCapture": "photographed or filmed with a digital camera",
    "computationalCapture": "photographed, with much done by the camera's program",
    "digitalCreation": "made by a person with a program",
    "digitalArt": "made by a person with a program",
    "humanEdits": "changed by a person with a program",
    "negativeFilm": "digitised from film",
    "positiveFilm": "digitised from film",
    "print": "digitised from a print",
    "screenCapture": "a capture of a screen",
}
_NO_LABEL = "It doesn't say where it came from. That proves nothing: screenshots and many web sites remove the metadata of a picture."
_AI = {o.value.rpartition("/")[2] for o in DigitalSourceType} | {"algorithmicMedia", "compositeSynthetic"}


@dataclass(frozen=True)
class ProvenanceReport:
    """Provenance of one file.

    name: of the file, safe to show.  source: IPTC's digital source type (the last part of its URL); '' = none.
    recipe: inside the file, or None.  credentials: inside the file, or None.  credentials_problem: why they could not be read; ''
    otherwise.  has_motion: whether it is a film that holds its motion.
    """

    name: str
    source: str
    recipe: Recipe | ImageRecipe | None
    credentials: Credentials | None
    credentials_problem: str = ""
    has_motion: bool = False

    @property
    def by_ai(self) -> bool:
        """Whether the label, or an intact credential, states that AI made the file or a part of it."""
        signed = self.credentials.source_types if self.credentials and self.credentials.intact else ()
        return bool({self.source, *(s.rpartition("/")[2] for s in signed)} & _AI)

    def lines(self) -> list[tuple[str, str]]:
        """(heading, plain sentence) for each part."""
        return [("AI label", self._label()), ("Recipe", self._recipe()), *self._credentials()]

    def _label(self) -> str:
        if not self.source:
            return _NO_LABEL
        return f"It says that it was {_SOURCES.get(self.source, self.source)}."

    def _recipe(self) -> str:
        recipe = self.recipe
        if self.has_motion:
            return "The motion of the film is inside: 'studio film' renders it again."
        if recipe is None:
            return "No recipe is inside: it doesn't say which model or seed made it."
        if isinstance(recipe, ImageRecipe):
            verb = {"translate": "translated", "upscale": "upscaled"}[recipe.verb]
            return f"{verb.capitalize()} by the model '{recipe.model}' from another picture."
        seeds = "from a latent of its own" if recipe.latent is not None else "seed " + ", ".join(str(s.seed) for s in recipe.seeds)
        return f"Drawn by the model '{recipe.model}', {seeds}. Dropped into Explore, it opens again."

    def _credentials(self) -> list[tuple[str, str]]:
        if self.credentials_problem:
            return [("Signature", self.credentials_problem)]
        found = self.credentials
        if found is None:
            return [("Signature", "It is not signed (no Content Credentials).")]
        who = f"'{found.signer}'" if found.signer else "somebody without a name"
        if not found.intact:
            why = " ".join(found.problems)
            return [("Signature", f"It was signed by {who}, but the signature is not valid. {why} What it says cannot be relied on.")]
        when = f" on {found.time[:10]}" if found.time else ""
        trust = "" if found.trusted else " No authority known here vouches for that name."
        out = [("Signature", f"Signed by {who}{when}, and not changed since.{trust}")]
        said = [_SOURCES.get(s.rpartition("/")[2], s.rpartition("/")[2]) for s in found.source_types]
        if said or found.software:
            made = "; ".join(said) or "made"
            out.append(("Signed statement", made[0].upper() + made[1:] + f", with {found.software}" * bool(found.software) + "."))
        if found.sources:
            out.append(("Made from", "; ".join(printable(s, 80) for s in found.sources) + "."))
        data = found.facts.get("training_data")
        if isinstance(found.facts.get("model"), str):
            out.append(("Model", printable(found.facts["model"], 80)))
        if isinstance(data, dict):
            consent = Consent.from_dict({"source": "", **data})
            words = [consent.sentence, f"{consent.licence}." * bool(consent.licence), consent.attribution]
            out.append(("Training data of the model", " ".join(filter(None, words))))
        return out


def read_xmp(path: Path) -> tuple[str, str]:
    """(format, XMP packet) of a PNG, WebP, JPEG, GIF, MP4, MOV or WebM; the packet is '' if it has none.

    Raises StudioError for other files, and unreadable ones.
    """
    name = printable(path.name, 80)
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as e:
        raise StudioError(f"'{name}' cannot be read: {e.strerror or e}.", "Choose it again.") from None
    format = next((format for at, first, format in _SIGNATURES if head[at:].startswith(first)), None)
    if format is None:
        raise StudioError(f"'{name}' is not a picture or video that can be inspected.", "Choose a PNG, WebP, JPEG, GIF, MP4, MOV or WebM.")
    if format == "webm":
        return format, matroska_xmp(path)
    return format, mp4_xmp(path) if format in _VIDEOS else read_packet(path)


def inspect_file(path: str | Path) -> ProvenanceReport:
    """Read the provenance of a PNG, WebP, JPEG, GIF, MP4, MOV or WebM. Raises StudioError for other files, and unreadable ones."""
    path = Path(path)
    format, packet = read_xmp(path)
    try:
        recipe = recipe_in(packet) if format in _VIDEOS else read_recipe(path)
    except StudioError:
        recipe = None
    found, credentials_problem = None, ""
    try:
        found = read_credentials(path, format) if format != "webm" else None  # C2PA has no place in it
    except StudioError as e:
        credentials_problem = f"{e}"
    source, name = stated_source_type(packet).rpartition("/")[2], printable(path.name, 80)
    return ProvenanceReport(name, source, recipe, found, credentials_problem, bool(motion_in(packet)))
