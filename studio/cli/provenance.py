"""`studio marks`: the provenance of files, and the provenance policy of files saved from now on."""

import argparse
from pathlib import Path

from studio.cli.helpers import AddVerb
from studio.errors import StudioError

_WORDS = {"everything": "the recipe and the AI label", "mark": "the AI label alone"}


def add_verb(verb: AddVerb) -> None:
    """Add the verb 'marks' to the command line."""
    text = (
        "Show the provenance of pictures and videos: how they were made (AI label, recipe, signature). "
        "Or choose the metadata of files saved from now on."
    )
    p = verb("marks", text, "studio marks picture.png")
    p.add_argument("files", type=Path, nargs="*", help="PNG, WebP, JPEG, GIF, MP4, MOV or WebM")
    p.add_argument("--metadata", choices=tuple(_WORDS), help="from now on: everything (AI label and recipe), or mark (the AI label alone)")
    p.add_argument("--tell", dest="metadata", choices=tuple(_WORDS), help=argparse.SUPPRESS)  # older spelling
    p.add_argument(
        "--source-metadata",
        choices=("keep", "drop"),
        help="from now on: keep what a source says of author, rights, content and size in print in results made from it, or drop it",
    )
    p.add_argument("--sign", metavar="NAME", help="from now on: sign files (Content Credentials) in this name; a certificate is made here")
    p.add_argument("--certificate", type=Path, help="with --key: sign with your own certificate (PEM, followed by its issuer's)")
    p.add_argument("--key", type=Path, help="private key of the certificate (PEM, without a password)")
    p.add_argument("--no-sign", action="store_true", help="from now on: sign no files")


def run(args: argparse.Namespace) -> None:
    """Show or change the policy, and show the files. Raises StudioError."""
    from studio.provenance.inspect import inspect_file
    from studio.provenance.policy import policy_problem, provenance_policy, save_policy
    from studio.provenance.signing import enable_signing

    signing = bool(args.sign or args.certificate or args.key)
    if signing and args.no_sign:
        raise StudioError("--no-sign cannot be combined with --sign, --certificate or --key.", "Leave one of them out.")
    chosen = bool(args.metadata or args.source_metadata or signing or args.no_sign)
    if not (args.files or chosen):
        now = provenance_policy()
        print(policy_problem() or f"Saved files hold {_WORDS[now.tells]}, and are {'signed' if now.credentials else 'not signed'}.")
        return
    if args.metadata:
        save_policy(provenance_policy().replace(tells=args.metadata))
        print(f"Files saved from now on hold {_WORDS[args.metadata]}.")
    if args.source_metadata:
        keep = args.source_metadata == "keep"
        save_policy(provenance_policy().replace(source_metadata=keep))
        print(f"Author, rights, description and resolution of a source are {'kept' if keep else 'dropped'} in results from now on.")
    if args.no_sign:
        save_policy(provenance_policy().replace(credentials=False))
        print("Files saved from now on are not signed.")
    if signing:
        given = dict(certificate=args.certificate, key=args.key)
        paths = {name: str(path.expanduser().absolute()) if path else "" for name, path in given.items()}
        signer = enable_signing(provenance_policy().replace(artist=args.sign or provenance_policy().artist, **paths))
        print(f"Files saved from now on are signed by '{signer}'.")
    for i, path in enumerate(args.files):
        report = inspect_file(path)
        print(f"{chr(10) * bool(i)}{report.name}")
        for heading, sentence in report.lines():
            print(f"  {heading}: {sentence}")
