"""The model card: README.md of a model folder, in Hugging Face's form, in words for people."""

import json
from collections.abc import Sequence
from typing import Any

from studio.networks import Task, families

# Licences that model hubs know by these words; any other is given by its own name.
KNOWN_LICENCES = {
    "apache-2.0",
    "mit",
    "cc0-1.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl-3.0",
    "agpl-3.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "openrail",
}


def front_matter(title: str, licence: str, family: str) -> str:
    """The YAML head that model hubs read."""
    from_pictures = {f.name for f in families() if f.task is not Task.GENERATE}
    lines = ["---"]
    known = licence.strip().lower().replace(" ", "-")
    if known in KNOWN_LICENCES:
        lines.append(f"license: {known}")
    elif licence:
        lines += ["license: other", f"license_name: {quoted(licence)}"]
    lines += [
        "library_name: gan-studio",
        f"pipeline_tag: {'image-to-image' if family in from_pictures else 'unconditional-image-generation'}",
        f"tags: [gan, {quoted(family)}]",
        f"model_name: {quoted(title)}",
        "---",
    ]
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Text on one line, quoted for YAML."""
    # A JSON string is a YAML string, but YAML does not join the surrogate pairs that JSON escapes emoji and the like into,
    # so such characters are not escaped.
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def model_card(title: str, family: str, licence: str = "", body: str = "") -> str:
    """README.md of a model. `body` is Markdown with the sections that are known."""
    parts = [
        front_matter(title, licence, family),
        f"# {' '.join(title.split())}",
        body.strip(),
        "## Made by AI\nEvery picture that comes out of this model is made by a machine. Say so where you show it.",
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def training_card(
    card: Any,
    training: dict[str, Any],
    pictures: int,
    data_hash: str,
    other: tuple[int, str] | None = None,
    consent: Sequence[str] = (),
    measured: Sequence[tuple[str, str]] = (),
) -> str:
    """The body for a model that was trained here.

    card: the plan's texts (description, attribution, licence).  training: numbers of the run.  other: pictures and content hash
    of the second set, for a model that translates.  consent: sentences on whose pictures they are.
    measured: rows (what, value) of the metrics.
    """
    hours = training["seconds"] / 3600
    rows = [
        ("Pictures to learn from", f"{pictures:,} (content hash `{data_hash[:16]}`)"),
        *([("Pictures of the other side", f"{other[0]:,} (content hash `{other[1][:16]}`)")] if other else []),
        ("Pictures seen in training", f"{training['images_seen']:,}" + _before(training)),
        ("Time", f"{hours:.2f} hours"),
        ("Hardware", f"{training['hardware']}, {training['precision']}"),
    ]
    if "learned_by" in training:
        rows.append(("Learned by", training["learned_by"]))
    rows += measured
    table = "\n".join(["| What | Value |", "|---|---|"] + [f"| {a} | {b} |" for a, b in rows])
    sections = [card.description]
    about = [card.attribution] * bool(card.attribution) + list(consent)
    if about:
        sections.append("## Data and attribution\n" + "\n\n".join(about))
    if card.licence:
        sections.append(f"Licence: {card.licence}")
    sections.append(f"## How it was trained\n{table}\n\nThe file `plan.toml` beside this card trains it again.")
    if "held_back" in training:
        each = [f"| {name} | {found:.2f} dB | {bicubic:.2f} dB |" for name, found, bicubic in training["held_back"]]
        table = "\n".join(["| Picture | This model | Bicubic |", "|---|---|---|", *each])
        sections.append(f"## Pictures held back\nIt never learned from these; PSNR is measured on them.\n\n{table}")
    made = (
        "What it draws between the pixels is a guess, and may be wrong."
        if "learned_by" in training
        else "Some of what it makes is malformed. Whether it repeats its training pictures was not measured."
    )
    sections.append(f"## Limits\nIt knows only the kind of pictures that it was trained on, and shares their biases. {made}")
    return "\n\n".join(s for s in sections if s)


def _before(training: dict[str, Any]) -> str:
    if "base" not in training:
        return ""
    seen = training["images_seen_before"]
    return f", starting from the model `{training['base']}`" + (f", which had seen {seen:,}" if seen else "")
