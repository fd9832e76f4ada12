"""Which licence a model may have, by the licence of what it learned from."""

import pytest

from studio.common.text import some_of
from studio.models.licences import why_not

ALLOWED = [
    ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
    ("cc by sa 3.0", "CC-BY-SA-4.0"),
    ("CC-BY-SA-4.0", "GPL-3.0"),
    ("Creative Commons Attribution-ShareAlike 4.0 International", "cc-by-sa-4.0"),
    ("CC-BY-SA-3.0 OR GPL-3.0", "CC-BY-SA-3.0 OR GPL-3.0"),
    ("CC-BY-SA-3.0 OR GPL-3.0", "GPL-3.0"),
    ("CC-BY-SA 3.0 / GPL 3.0", "gpl-3.0"),
    ("CC-BY-SA-4.0", "CC-BY-SA-3.0 OR GPL-3.0 and CC-BY-SA-4.0"),
    ("GPL 2 or later", "GPL-3.0"),
    ("GPL-2.0+", "gpl-2.0"),
    ("LGPL-3.0", "GPL-3.0"),
    ("CC-BY-4.0", "CC-BY-NC-4.0"),
    ("CC-BY-4.0", "my own terms"),
    ("CC BY 3.0", "MIT"),
    ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"),
    ("MIT", "CC-BY-NC-4.0"),
    ("Apache License 2.0", "GPL-3.0"),
    ("CC0-1.0", "anything"),
    ("public domain", "CC0-1.0"),
    ("CreativeML-OpenRAIL", "openrail"),
    ("by e-mail from Anna, May 2026", "CC-BY-NC-4.0"),
    ("", "MIT"),
    ("CC-BY-4.0; by letter", "MIT"),
]
REFUSED = [
    ("CC-BY-SA-4.0", "CC-BY-NC-4.0", "only CC-BY-SA-4.0 or GPL 3.0"),
    ("CC-BY-SA-4.0", "CC-BY-4.0", "only CC-BY-SA-4.0"),
    ("CC-BY-SA-4.0", "CC-BY-SA-3.0", "only CC-BY-SA-4.0"),
    ("CC-BY-SA-3.0", "GPL-3.0", "only CC-BY-SA-3.0"),
    ("CC-BY-SA-4.0", "GPL-2.0", "GPL 3.0"),
    ("CC-BY-SA-4.0", "my own terms", "only CC-BY-SA-4.0"),
    ("CC-BY-SA-3.0 OR GPL-3.0", "CC-BY-NC-4.0", "under CC-BY-SA-3.0 or GPL 3.0, which allows only"),
    ("CC-BY-SA-3.0 OR GPL-3.0", "GPL-3.0 or MIT", "only"),
    ("GPL-3.0", "MIT", "only GPL 3.0"),
    ("GPL-3.0", "GPL-2.0", "only GPL 3.0"),
    ("GPL-2.0", "GPL-3.0", "only GPL 2.0"),
    ("AGPL-3.0", "GPL-3.0", "only AGPL 3.0"),
    ("CC-BY-4.0", "CC0-1.0", "names its authors"),
    ("CC-BY-NC-4.0", "CC-BY-4.0", "only CC-BY-NC-4.0 or CC-BY-NC-SA-4.0"),
    ("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0", "only CC-BY-NC-SA-4.0"),
    ("CC-BY-ND-4.0", "CC-BY-ND-4.0", "nothing made from it"),
    ("MIT; CC-BY-SA-4.0", "MIT", "CC-BY-SA-4.0"),
    ("CC BY-SA 4.0 and GPL-2.0", "CC-BY-SA-4.0", "GPL 2.0"),
    ("openrail", "MIT", "only OPENRAIL"),
]


@pytest.mark.parametrize(("theirs", "offered"), ALLOWED)
def test_it_may(theirs, offered):
    assert why_not(theirs, offered) == ""


@pytest.mark.parametrize(("theirs", "offered", "words"), REFUSED)
def test_it_may_not_and_it_is_said_what_may(theirs, offered, words):
    assert words in why_not(theirs, offered)


def test_no_name_of_a_list_is_dropped_without_a_word():
    assert some_of(["a", "b"]) == "a, b"
    assert some_of("abcdefg") == "a, b, c, d, e and 2 more"
