"""`studio dataset`: training sets on the command line."""

import argparse
import sys
from pathlib import Path

from studio.cli.helpers import AddVerb
from studio.common.progress import ItemProgress
from studio.errors import StudioError


def add_verb(verb: AddVerb) -> None:
    """Add the verb 'dataset' to the command line."""
    p = verb("dataset", "Add, list, show and remove training sets.", "studio dataset add photos.zip sketches/ --title Cats --mine")
    actions = p.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, description=text)

    a = action("add", "Add pictures and videos: files, folders and zips. Sub-folders, or the labels of a dataset.json, become classes.")
    a.add_argument("paths", type=Path, nargs="+", help="files, folders, zips")
    a.add_argument("--title", default="", help="name of the set (default: from the first path)")
    rights = a.add_argument_group("whose the pictures are (kept with the set, and in the card of each model trained on it)")
    rights.add_argument("--mine", action="store_true", help="they are your own work")
    rights.add_argument("--licence", default="", help="or you have this permission or licence, such as 'CC BY 4.0'")
    rights.add_argument("--not-mine", action="store_true", help="neither, or you do not know; models trained on them stay private")
    rights.add_argument("--attribution", default="", help="whom to credit")
    rights.add_argument("--source", default="", help="where they come from")
    a.add_argument("--crop", default="centre", help="how pictures are made square for training: centre, smart or fit (default: centre)")
    a.add_argument("--ground", default="#ffffff", help="colour behind transparent parts, and beside fitted pictures (default: #ffffff)")
    a.add_argument("--flat", action="store_true", help="no classes from sub-folders or a dataset.json")
    a.add_argument("--keep-equal", action="store_true", help="keep each of several identical files, as halves of pairs may be")
    a.add_argument("--min-side", type=int, help="leave out pictures with a shorter side below this (default: 32 pixels)")
    a.add_argument("--every", type=float, help="seconds between two frames of a video (default: evenly over its length)")
    a.add_argument("--frames", type=int, help="maximum number of frames of a video or an animation (default: 200)")
    a.add_argument(
        "--first-frame", action="store_true", help="of animations and files of several pages take the first picture alone (default: each)"
    )

    a = action("split", "Split pictures that hold a pair side by side into two training sets: A, the left halves, and B, the right.")
    a.add_argument("id", help="the first letters of its id, or its title")

    a = action("pairs", "List the pairs of two training sets, as studio.pairs() gives them.")
    for side in ("a", "b"):
        a.add_argument(side, help="the first letters of its id, or its title; or a folder or zip of pictures")
    a.add_argument("--by", choices=("name", "order"), default="name", help="how partners are found (default: by name)")

    action("list", "List the training sets.")

    a = action("show", "Show one training set: its facts, and each picture with its class, as studio.dataset() gives them.")
    a.add_argument("id", help="the first letters of its id, or its title; or a folder or zip of pictures")
    a.add_argument("--brief", action="store_true", help="do not list the pictures")
    a.add_argument("--sheet", type=Path, help="also write its first pictures, as training sees them, onto one sheet")

    a = action("remove", "Delete a training set, after listing what depends on it.")
    a.add_argument("id", help="the first letters of its id, or its title")
    a.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> None:
    """Run the parsed action. Raises StudioError."""
    {"add": _add, "list": _list, "show": _show, "pairs": _pairs, "split": _split, "remove": _remove}[args.action](args)


def _add(args) -> None:
    from studio.datasets.rights import LICENSED, NONE, OWN, UNKNOWN, Consent
    from studio.datasets.sources import Limits
    from studio.datasets.store import DataSetStore
    from studio.imaging.colour import parse_colour
    from studio.imaging.crop import check_mode

    check_mode(args.crop)
    if sum(map(bool, (args.mine, args.licence, args.not_mine))) > 1:
        raise StudioError("--mine, --licence and --not-mine are mutually exclusive.", "Give only one of them.")
    answer = OWN if args.mine else LICENSED if args.licence else NONE if args.not_mine else UNKNOWN
    consent = Consent(answer, args.source, args.licence, args.attribution)
    ground = parse_colour(args.ground)
    given = {"min_side": args.min_side, "every": args.every, "frames": args.frames}
    for name, value in given.items():
        if value is not None and value <= 0:
            raise StudioError(f"--{name.replace('_', '-')} is {value}.", "It must be above 0.")
    limits = Limits(**{k: v for k, v in given.items() if v is not None})
    store = DataSetStore()
    report = store.ingest(
        args.paths,
        owned=bool(args.mine or args.licence),
        consent=consent,
        title=args.title,
        ground=ground,
        classes=not args.flat,
        keep_equal=args.keep_equal,
        every_frame=not args.first_frame,
        limits=limits,
        progress=_progress(),
    )
    try:
        for name, why in (*report.rejected, *report.label_remarks):
            print(f"{'left out: ' if (name, why) in report.rejected else ''}{name}: {why}", file=sys.stderr)
        for name, same in report.duplicates:
            print(f"left out: {name}: the same file as {same}", file=sys.stderr)
        stored = store.add(report, crop=args.crop)
    finally:
        report.discard()
    for line in report.lines():
        print(line)
    if stored.already:
        print(stored.already)
    if not stored.answered:
        print("It is not stated whose these pictures are; give --mine, --licence LICENCE or --not-mine.")
    print(f"{stored.id[:12]}  {stored.title}  {stored.path}")
    print(
        f'To train on it, write under [data] in the plan: path = "{stored.path.as_posix()}", hash = "{stored.id}"'
        f', crop = "{args.crop}", ground = "{args.ground}"'
    )


def _progress() -> ItemProgress:
    if not sys.stderr.isatty():
        return lambda done, total, name: None

    def show(done: int, total: int, name: str) -> None:
        end = "\n" if done == total else ""
        print(f"\r\x1b[K{done:,} of {total:,}  {name[-60:]}", end=end, file=sys.stderr, flush=True)

    return show


def _list(args) -> None:
    from studio.datasets.store import DataSetStore

    sets = DataSetStore().list()
    for s in sets:
        classes = f"{len(s.classes)} classes" if s.classes else "no classes"
        print(f"{s.id[:12]}  {s.count:>7,} pictures  {classes}  {s.created[:10]}  {_WHOSE[s.consent.answer]}  {s.title}")
    if not sets:
        print("There is no training set yet. Make one with 'studio dataset add PICTURES'.")


_WHOSE = {"own": "own work", "licensed": "by licence", "none": "by others", "": "not stated"}


def _show(args) -> None:
    from studio.datasets.set_card import is_stored_set
    from studio.datasets.store import DataSetStore
    from studio.datasets.training_pictures import dataset

    pictures, store = dataset(args.id), DataSetStore()
    stored = store.get(pictures.path.name) if is_stored_set(pictures.path) and pictures.path.parent == store.home else None
    if stored is not None:
        print(f"{stored.title}\n{stored.id}\n{stored.path}\n{len(pictures):,} pictures, added {stored.created}")
        if stored.remark:
            print(stored.remark)
        said = stored.consent
        print("Whose the pictures are: " + (stored.card["statement"] if stored.owned and not said.answer else said.sentence))
        for name, words in (("Licence or permission", said.licence), ("To be credited", said.attribution), ("From", said.source)):
            if words:
                print(f"{name}: {words}")
    else:
        print(f"{pictures.path}\n{len(pictures):,} pictures")
    for name, count in pictures.counts.items():
        print(f"  {name}: {count:,}")
    if None in pictures.labels and pictures.classes:
        print(f"  without a class: {pictures.labels.count(None):,}")
    for group in stored.card.get("near", []) if stored is not None else ():
        print(f"nearly the same: {', '.join(group)}")
    for name, why in pictures.skipped:
        print(f"left out: {name}: {why}")
    for line in store.dependants(stored.id) if stored is not None else ():
        print(line)
    if not args.brief:
        for name, label in zip(pictures.names, pictures.labels, strict=True):
            print(name if label is None else f"{name}\t{pictures.classes[label]}")
    if args.sheet:
        print(_write_sheet(store, args.sheet, stored))


def _write_sheet(store, path: Path, stored) -> Path:
    """The first pictures of a stored set, as training sees them, on one picture. Raises StudioError for a folder or zip."""
    from PIL import Image

    from studio.imaging.colour import parse_colour

    if stored is None:
        raise StudioError("A sheet is made of a training set.", "Add the pictures with 'studio dataset add' first.")
    ground = stored.card["ground"]
    page = store.sheet(stored.id, 0, 64, crop=stored.card.get("crop", "centre"), resolution=128, ground=parse_colour(ground))
    sheet = Image.new("RGB", (8 * 128, -(-len(page) // 8) * 128), ground)
    for i, (_, thumb) in enumerate(page):
        sheet.paste(Image.fromarray(thumb), (i % 8 * 128, i // 8 * 128))
    sheet.save(path)
    return path


def _pairs(args) -> None:
    from studio.datasets.pairs import pair_sets
    from studio.datasets.training_pictures import dataset

    found = pair_sets(dataset(args.a).pair_names, dataset(args.b).pair_names, args.by)
    for a, b in found.names:
        print(f"{a}\t{b}")
    for side, strays in (("A", found.strays_a), ("B", found.strays_b)):
        for name in strays:
            print(f"without a partner in {side}: {name}", file=sys.stderr)


def _split(args) -> None:
    from studio.datasets.side_by_side import split_side_by_side
    from studio.datasets.store import DataSetStore

    for made in split_side_by_side(DataSetStore(), args.id, _progress()):
        print(f"{made.id[:12]}  {made.count:,} pictures  {made.title}")


def _remove(args) -> None:
    from studio.datasets.store import DataSetStore

    store = DataSetStore()
    s = store.get(args.id)
    print(f"{s.title}: {s.count:,} pictures")
    for line in store.dependants(s.id):
        print(line)
    if not args.yes:
        try:
            answer = input("Delete it for good? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise StudioError("Nothing was deleted.", "Answer y, or give --yes.")
    store.delete(s.id)
    print("Deleted.")
