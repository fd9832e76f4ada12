"""`studio marks`: what files tell of how they were made, and what they shall tell."""

import argparse
from collections.abc import Callable
from pathlib import Path

from studio.errors import StudioError


def add_verb(verb: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Tell the command line of the verb 'marks'.  verb: (name, sentence, example) -> its parser."""
    text = "Say what pictures and videos tell of how they were made; or choose what files saved from now on tell."
    p = verb("marks", text, "studio marks picture.png")
    p.add_argument("files", type=Path, nargs="*", help="PNG, WebP, JPEG, MP4 or MOV")
    p.add_argument("--tell", choices=("everything", "mark"), help="from now on: recipe and mark of AI, or the mark alone")
    p.add_argument("--sign", metavar="NAME", help="from now on: sign files (Content Credentials) by this name; a certificate is made here")
    p.add_argument("--certificate", type=Path, help="with --key: sign with your own certificate (PEM, that of its issuer behind it)")
    p.add_argument("--key", type=Path, help="private key of the certificate (PEM, without a password)")
    p.add_argument("--no-sign", action="store_true", help="from now on: sign no files")


def run(args: argparse.Namespace) -> None:
    """Do what was parsed. Raises StudioError."""
    from studio.provenance.inspect import inspect_file, sign_with
    from studio.provenance.policy import policy_trouble, provenance_policy, save_policy

    signing = bool(args.sign or args.certificate or args.key)
    if signing and args.no_sign:
        raise StudioError("--no-sign cannot stand beside --sign, --certificate or --key.", "Leave one of them out.")
    chosen = bool(args.tell or signing or args.no_sign)
    if not (args.files or chosen):
        now = provenance_policy()
        print(policy_trouble() or f"Files tell {_WORDS[now.tells]}, and are {'signed' if now.credentials else 'not signed'}.")
        return
    if args.tell:
        save_policy(provenance_policy().replace(tells=args.tell))
        print(f"Files saved from now on tell {_WORDS[args.tell]}.")
    if args.no_sign:
        save_policy(provenance_policy().replace(credentials=False))
        print("Files saved from now on are not signed.")
    if signing:
        given = dict(certificate=args.certificate, key=args.key)
        paths = {name: str(path.expanduser().absolute()) if path else "" for name, path in given.items()}
        signer = sign_with(provenance_policy().replace(artist=args.sign or provenance_policy().artist, **paths))
        print(f"Files saved from now on are signed by '{signer}'.")
    for i, path in enumerate(args.files):
        tale = inspect_file(path)
        print(f"{chr(10) * bool(i)}{tale.name}")
        for heading, sentence in tale.lines():
            print(f"  {heading}: {sentence}")


_WORDS = {"everything": "the recipe and that AI made them", "mark": "only that AI made them"}
