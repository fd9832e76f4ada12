"""HTML and labels for a training set: its facts, its rights, and the report of an upload."""

import html

from studio.datasets.ingest_report import IngestReport
from studio.datasets.rights import LICENSED, NONE, OWN, UNKNOWN, Consent
from studio.datasets.store import DataSet
from studio.imaging.crop import MODES
from studio.ui.components.notes import note

FULL_SIZE = "full-size"  # beside the crops of `studio.imaging.crop`: patches are cut from the pictures as they are
_FULL_SIZE_SENTENCE = "Nothing is cropped or scaled down beforehand: patches are cut from the full-size pictures."
_MAX_LISTED = 200


def square_crop(crop: str) -> str:
    """The crop that makes a square for the sheet; full-size pictures are shown complete."""
    return "fit" if crop == FULL_SIZE else crop


def hex_colour(colour: str) -> str:
    """The value of a colour picker ('#aabbcc' or 'rgba(1, 2, 3, 1)') as '#aabbcc'; white when it is empty."""
    if colour and colour.startswith("rgb"):
        channels = colour[colour.index("(") + 1 : colour.rindex(")")].split(",")[:3]
        return "#" + "".join(f"{max(0, min(255, round(float(c)))):02x}" for c in channels)
    return colour or "#ffffff"


def stated_consent(answer: str | None, licence: str, attribution: str, source: str) -> Consent:
    """The rights stated in the form; fields hidden by the answer are ignored.

    Raises StudioError when a licence is claimed but not named.
    """
    if answer == LICENSED:
        return Consent(LICENSED, source, licence, attribution)
    return Consent(answer or UNKNOWN, source if answer == NONE else "")


def set_label(stored: DataSet) -> str:
    """One line for a list of sets: title, number of pictures, day."""
    return f"{stored.title} · {stored.count:,} pictures · {stored.created[:10]}"


def facts_html(stored: DataSet, crop: str, page: int, pages: int) -> str:
    """Facts above the sheet of a set.  page: from 0.  crop: one of `MODES` or FULL_SIZE."""
    classes = f" in {len(stored.classes)} classes" if stored.classes else ""
    cropping = _FULL_SIZE_SENTENCE if crop == FULL_SIZE else f"Crop: {html.escape(MODES[crop][0].lower() + MODES[crop][1:])}"
    remark = f"<br>{html.escape(stored.remark)}" if stored.remark else ""
    place = f" Page {page + 1} of {pages}." if pages > 1 else ""
    return note(
        f"<b>{stored.count:,} pictures{classes}.</b> {_rights_html(stored)} This is what the model will learn from; press a picture "
        f"to mark it for removal. {cropping}{place}{remark}"
    )


def _rights_html(stored: DataSet) -> str:
    consent = stored.consent
    if consent.answer == OWN:
        return "Your own work."
    if consent.answer == LICENSED:
        return f"Used by permission or licence: {html.escape(consent.licence)}."
    if consent.answer == NONE:
        return "By others, without a licence, or of unknown origin: models trained on them stay private."
    return "Their rights have not been stated: to share a model trained on them, add them again and answer the question."


def report_html(report: IngestReport, already: str = "") -> str:
    """What became of an upload: a summary, then lists of rejected, duplicate and nearly identical files.

    already: what to know when the set was there before, see `DataSet.already`.
    """
    parts = [note("<br>".join(html.escape(line) for line in (*report.lines(), *([already] if already else []))))]
    rejected = [f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in report.rejected]
    duplicates = [f"<li>{html.escape(name)}: the same as {html.escape(other)}</li>" for name, other in report.duplicates]
    near = [f"<li>{html.escape(', '.join(group))}</li>" for group in report.near]
    for label, items in (("Left out", rejected), ("Duplicates", duplicates), ("Nearly identical, kept", near)):
        if items:
            more = f"<li>and {len(items) - _MAX_LISTED:,} more</li>" if len(items) > _MAX_LISTED else ""
            is_open = " open" if label == "Left out" else ""
            parts.append(
                f'<details class="gs-note"{is_open}><summary>{label} ({len(items):,})</summary>'
                f"<ul>{''.join(items[:_MAX_LISTED])}{more}</ul></details>"
            )
    return "".join(parts)
