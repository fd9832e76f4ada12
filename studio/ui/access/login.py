"""Login: user names and passwords of those who may open the studio."""

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from studio.errors import StudioError

_FORM = "Write user:password, one per line."


class Login:
    """Check of a user name and a password, in the form Gradio's `auth` expects. It takes the same time whichever is wrong.

    accounts: name -> password.
    """

    def __init__(self, accounts: dict[str, str]):
        self._accounts = [(_digest(name), _digest(password)) for name, password in accounts.items()]

    def __call__(self, name: str, password: str) -> bool:
        given, found = (_digest(name), _digest(password)), False
        for account in self._accounts:
            found |= hmac.compare_digest(account[0], given[0]) & hmac.compare_digest(account[1], given[1])
        return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def read_accounts(auth: Sequence[str] = (), file: Path | None = None) -> dict[str, str]:
    """Accounts from the command line -> {name: password}.

    auth: each 'user:password'.  file: one per line; empty lines and lines that begin with # are skipped.
    Raises StudioError for any other form, a duplicate name, and a file that cannot be read or has no accounts. No message contains
    a password.
    """
    accounts: dict[str, str] = {}
    for text in auth:
        _add(accounts, text, "--auth has no user and password.", "Write --auth user:password.")
    if file is not None:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as e:
            reason = e.strerror if isinstance(e, OSError) else "it is not a text file"
            raise StudioError(f"The --auth-file {file} cannot be read: {reason}.", _FORM) from None
        numbered = [(i, line.strip()) for i, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
        if not numbered:
            raise StudioError(f"The --auth-file {file} has no user and password.", _FORM)
        for i, line in numbered:
            _add(accounts, line, f"Line {i} of {file} has no user and password.", _FORM)
    return accounts


def _add(accounts: dict[str, str], text: str, wrong: str, hint: str) -> None:
    name, colon, password = text.partition(":")
    name = name.strip()  # as Gradio's page strips what is typed
    if not (name and colon and password):
        raise StudioError(wrong, hint)
    if name in accounts:
        raise StudioError(f"The user '{name:.40}' has two passwords.", "Remove one of them.")
    accounts[name] = password
