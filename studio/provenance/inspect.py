"""What a file tells of how it was made, in plain words; and the artist's choice of what files shall tell."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.common.text import printable
from studio.datasets.rights import Consent
from studio.engine.image_recipe import ImageRecipe
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.imaging.xmp import DigitalSourceType, mp4_xmp, source_type
from studio.provenance import credentials
from studio.provenance.certificates import make_certificate, own_files
from studio.provenance.credentials import Credentials
from studio.provenance.metadata import read_packet, read_recipe, recipe_in
from studio.provenance.policy import ProvenancePolicy, provenance_policy, save_policy, set_signer

# First bytes -> form. A file is what its content says; endings lie.
_FORMS = ((0, b"\x89PNG", "png"), (8, b"WEBP", "webp"), (0, b"\xff\xd8\xff", "jpeg"), (4, b"ftypqt", "mov"), (4, b"ftyp", "mp4"))
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
_NO_MARK = "It carries no mark of where it came from. That proves nothing: screenshots and many web sites lose the marks of a picture."
_AI = {o.value.rpartition("/")[2] for o in DigitalSourceType} | {"algorithmicMedia", "compositeSynthetic"}


@dataclass(frozen=True)
class ProvenanceReport:
    """What one file tells.

    name: of the file, fit to be shown.  source: IPTC's digital source type (the end of its address), '' = no mark.
    recipe: inside, or None.  credentials: inside, or None.  trouble: why those could not be looked at, '' = they could.
    """

    name: str
    source: str
    recipe: Recipe | ImageRecipe | None
    credentials: Credentials | None
    trouble: str = ""

    @property
    def by_ai(self) -> bool:
        """Whether the mark, or a credential that holds, says that a machine made it or had a part in it."""
        signed = self.credentials.source_types if self.credentials and self.credentials.intact else ()
        return bool({self.source, *(s.rpartition("/")[2] for s in signed)} & _AI)

    def lines(self) -> list[tuple[str, str]]:
        """(heading, sentence) of each thing, in plain words."""
        return [("Mark", self._mark()), ("Recipe", self._recipe()), *self._credentials()]

    def _mark(self) -> str:
        if not self.source:
            return _NO_MARK
        return f"It says that it was {_SOURCES.get(self.source, self.source)}."

    def _recipe(self) -> str:
        recipe = self.recipe
        if recipe is None:
            return "No recipe is inside: it does not tell which model or seed made it."
        if isinstance(recipe, ImageRecipe):
            verb = {"translate": "translated", "upscale": "enlarged"}[recipe.verb]
            return f"{verb.capitalize()} by the model '{recipe.model}' from another picture."
        seeds = "from a point of its own" if recipe.latent is not None else "seed " + ", ".join(str(s.seed) for s in recipe.seeds)
        return f"Drawn by the model '{recipe.model}', {seeds}. Dropped into Explore, it opens again."

    def _credentials(self) -> list[tuple[str, str]]:
        if self.trouble:
            return [("Signature", self.trouble)]
        found = self.credentials
        if found is None:
            return [("Signature", "It is not signed (no Content Credentials).")]
        who = f"'{found.signer}'" if found.signer else "somebody without a name"
        if not found.intact:
            why = " ".join(found.problems)
            return [("Signature", f"It was signed by {who}, but the signature does not hold. {why} What it says cannot be relied on.")]
        when = f" on {found.time[:10]}" if found.time else ""
        trust = "" if found.trusted else " No authority known here vouches for that name."
        out = [("Signature", f"Signed by {who}{when}, and not changed since.{trust}")]
        said = [_SOURCES.get(s.rpartition("/")[2], s.rpartition("/")[2]) for s in found.source_types]
        if said or found.software:
            made = "; ".join(said) or "made"
            out.append(("Signed account", made[0].upper() + made[1:] + f", with {found.software}" * bool(found.software) + "."))
        if found.sources:
            out.append(("Made from", "; ".join(printable(s, 80) for s in found.sources) + "."))
        data = found.facts.get("training_data")
        if isinstance(found.facts.get("model"), str):
            out.append(("Model", printable(found.facts["model"], 80)))
        if isinstance(data, dict):
            consent = Consent.from_dict({"source": "", **data})
            words = [consent.sentence, f"{consent.licence}." * bool(consent.licence), consent.attribution]
            out.append(("What the model learned from", " ".join(filter(None, words))))
        return out


def inspect_file(path: str | Path) -> ProvenanceReport:
    """What a PNG, WebP, JPEG, MP4 or MOV tells. Raises StudioError when it is none of these, or cannot be read."""
    path = Path(path)
    name = printable(path.name, 80)
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as e:
        raise StudioError(f"'{name}' cannot be read: {e.strerror or e}.", "Choose it again.") from None
    form = next((form for at, first, form in _FORMS if head[at:].startswith(first)), None)
    if form is None:
        raise StudioError(f"'{name}' is not a picture or video that can be looked into.", "Choose a PNG, WebP, JPEG, MP4 or MOV.")
    moving = form in ("mp4", "mov")
    packet = mp4_xmp(path) if moving else read_packet(path)
    try:
        recipe = recipe_in(packet) if moving else read_recipe(path)
    except StudioError:
        recipe = None
    found, trouble = None, ""
    try:
        found = credentials.read_credentials(path, form)
    except StudioError as e:
        trouble = f"{e}"
    return ProvenanceReport(name, source_type(packet).rpartition("/")[2], recipe, found, trouble)


def start(warn: Callable[[str], None]) -> None:
    """Have files signed from now on, when the settings say so.  warn: is told, once, when a file had to be saved unsigned."""
    credentials.warn_with(warn)
    set_signer(credentials.seal)


def sign_with(choice: ProvenancePolicy) -> str:
    """Keep a choice that signs files, once a signature with it has held -> the name in it.

    Without paths the studio's own certificate is used; one is made for the artist's name when there is none, or one for another name.
    Raises StudioError, and keeps nothing, when it does not hold.
    """
    if bool(choice.certificate) != bool(choice.key):
        raise StudioError("A certificate and its key belong together.", "Give the paths of both, or of neither.")
    choice = choice.replace(credentials=True, artist=" ".join(choice.artist.split()))
    if not choice.certificate and not (choice.artist == provenance_policy().artist and all(p.is_file() for p in own_files())):
        make_certificate(choice.artist)
    signer = credentials.check(choice)
    save_policy(choice)
    return signer
