"""Names of new result files, and the words shown once they are saved."""

import datetime
import secrets
from pathlib import Path

from studio.provenance.policy import provenance_policy
from studio.ui.session import Session


def new_output(session: Session, tab: str, stem: str, ending: str) -> Path:
    """A new file for a result of a tab. Its name cannot be guessed, because anyone who knows it may download it.

    Raises StudioError when nothing can be saved.
    """
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return session.workspace.output(tab, f"{stem}-{now}-{secrets.token_hex(6)}{ending}")


def metadata_words() -> str:
    """How the sentence on a saved picture ends: what its metadata says."""
    return ", with the recipe inside" if provenance_policy().includes_recipe else ", labelled as made by AI"


def time_stamp() -> str:
    """Date and time for the beginning of a file name, to the millisecond, so that names sort by age."""
    return datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
