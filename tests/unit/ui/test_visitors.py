"""Folders of visitors: who may read them, and when they are deleted."""

import asyncio
import os
import time

import pytest

from studio.ui.access.client_address import address_of
from studio.ui.access.middleware import VisitorMiddleware
from studio.ui.access.visitors import DAY, MOST_OF_ADDRESS, MOST_UPLOADED, Visitors

A, B, NOBODY = (Visitors.browser_of(c) for c in ("a" * 43, "b" * 43, None))


@pytest.fixture
def clock():
    return [time.time()]


@pytest.fixture
def visitors(tmp_path, clock):
    v = Visitors(tmp_path / "visitors", clock=lambda: clock[0])
    yield v
    v.close()


def hand_in(visitors, browser: str, name: str) -> str:
    """As Gradio keeps a file: in a folder called after its content."""
    path = visitors.folder / name / "picture.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    visitors.uploaded(browser, [str(path)])
    return str(path)


def test_a_cookie_names_a_folder_and_cannot_be_found_from_it():
    assert A != B
    assert A.startswith("of-")
    assert "aaa" not in A
    assert {Visitors.browser_of(c) for c in ("", "short", "x" * 65, "../" + "x" * 40, "x" * 40 + "\n")} == {NOBODY}
    assert Visitors.browser_of(Visitors.new_cookie()) not in (NOBODY, Visitors.browser_of(Visitors.new_cookie()))


def test_each_has_what_is_theirs(visitors):
    workspace = visitors.workspace(A, "session")
    path = workspace.output("explore", "a.png")
    path.write_bytes(b"x")
    given = hand_in(visitors, A, "1234")
    for mine in (str(path), given):
        assert visitors.may_read(A, mine)
        assert not visitors.may_read(B, mine)
        assert not visitors.may_read(NOBODY, mine)
    assert not visitors.may_read(A, str(visitors.folder))
    assert not visitors.may_read(A, "/etc/passwd")
    assert not visitors.may_read(A, "")
    assert not visitors.may_read(A, f"{workspace.folder}/../../../secret")
    assert not visitors.may_read(A, str(visitors.folder / "unknown" / "x.png"))
    (workspace.folder / "link").symlink_to(visitors.folder.parent)
    assert not visitors.may_read(A, str(workspace.folder / "link" / "secret")), "what a link leads to counts"


def test_without_a_cookie_the_name_is_the_key(visitors):
    path = visitors.workspace(NOBODY, "session").output("explore", "a.png")
    assert visitors.may_read(NOBODY, str(path))
    assert visitors.may_read(B, hand_in(visitors, NOBODY, "1234"))


def test_who_leaves_takes_everything_along(visitors):
    first, second, other = visitors.workspace(A, "first"), visitors.workspace(A, "second"), visitors.workspace(B, "third")
    mine, both = hand_in(visitors, A, "1234"), hand_in(visitors, A, "5678")
    hand_in(visitors, B, "5678")
    visitors.end(first)
    assert not first.folder.exists()
    assert second.folder.exists()
    assert os.path.exists(mine), "another page of the same browser is open"
    visitors.end(second)
    assert not second.folder.parent.exists()
    assert not os.path.exists(mine)
    assert other.folder.exists()
    assert os.path.exists(both)
    assert visitors.may_read(B, both)
    assert not visitors.may_read(A, both)
    visitors.end(second)  # once more does no harm


def test_what_nobody_used_for_a_day_goes(visitors, clock):
    old, new = visitors.workspace(A, "old"), visitors.workspace(B, "new")
    given, drawn = hand_in(visitors, A, "1234"), visitors.render_folder()
    clock[0] += DAY + 60
    saved = new.output("explore", "a.png")
    saved.write_bytes(b"x")
    os.utime(saved, (clock[0], clock[0]))
    visitors.workspace(B, "newer")
    assert not old.folder.exists()
    assert not os.path.exists(given)
    assert not drawn.exists()
    assert saved.exists(), "it was used meanwhile"


def test_the_folder_is_emptied_at_first_unless_another_studio_is_at_work(visitors, tmp_path):
    workspace = visitors.workspace(A, "session")
    other = Visitors(tmp_path / "visitors")
    assert workspace.folder.exists()
    other.close()
    assert workspace.folder.exists()
    visitors.close()
    assert not workspace.folder.exists()
    (tmp_path / "visitors" / "of-crashed" / "session").mkdir(parents=True)
    Visitors(tmp_path / "visitors").close()
    assert not (tmp_path / "visitors" / "of-crashed").exists()


def test_a_session_belongs_to_whoever_named_it_first(visitors):
    assert visitors.owns(A, "x")
    assert not visitors.owns(B, "x")
    assert visitors.owns(A, "x")
    assert visitors.owns(B, "y")


def test_setting_the_clock_deletes_nothing(tmp_path):
    clock = [50.0]  # of a machine that was started a minute ago
    visitors = Visitors(tmp_path / "visitors", clock=lambda: clock[0])
    path = visitors.workspace(A, "session").output("explore", "a.png")
    path.write_bytes(b"x")
    for when in (0, 4e9):  # files of 1970 and of 2096
        os.utime(path, (when, when))
        visitors.sweep()
        assert path.exists()
    clock[0] += DAY - 1
    visitors.sweep()
    assert path.exists()
    clock[0] += 2
    visitors.sweep()
    assert not path.exists()
    visitors.close()


def test_what_is_left_of_uploads_that_were_broken_off_goes(visitors, clock):
    half = visitors.folder / "tmp1234"
    half.write_bytes(b"x")
    visitors.sweep()
    clock[0] += 3000
    half.write_bytes(b"xx")
    os.utime(half, (1, 1))
    visitors.sweep()
    clock[0] += 3000
    visitors.sweep()
    assert half.exists(), "it grew meanwhile"
    clock[0] += 3000
    visitors.sweep()
    assert not half.exists()


def test_a_quota_of_uploads(visitors, clock):
    for _ in range(4):
        assert visitors.receive(A, "1.2.3.4", MOST_UPLOADED // 4)
    assert not visitors.receive(A, "1.2.3.4", 1)
    assert not visitors.receive(A, "5.6.7.8", 1), "nor from elsewhere"
    assert visitors.receive(B, "1.2.3.4", MOST_UPLOADED)
    visitors.end(visitors.workspace(A, "session"))
    assert visitors.receive(A, "1.2.3.4", 1), "who left and comes back begins anew"
    clock[0] += DAY
    assert visitors.receive(B, "1.2.3.4", 1), "and so does everybody after a day"


def test_dropping_the_cookie_brings_no_other_quota(visitors):
    assert visitors.receive(NOBODY, "1.2.3.4", MOST_UPLOADED)
    assert not visitors.receive(NOBODY, "1.2.3.4", 1)
    assert visitors.receive(NOBODY, "5.6.7.8", MOST_UPLOADED), "others without a cookie are not concerned"


def test_a_new_cookie_for_each_upload_brings_no_other_quota(visitors):
    taken = [visitors.receive(Visitors.browser_of(Visitors.new_cookie()), "1.2.3.4", MOST_UPLOADED) for _ in range(12)]
    assert sum(taken) * MOST_UPLOADED == MOST_OF_ADDRESS
    assert visitors.receive(B, "5.6.7.8", 1)


def test_what_a_visitor_who_left_had_uploaded_counts_no_more_for_the_address(visitors):
    for i in range(3 * MOST_OF_ADDRESS // MOST_UPLOADED):
        browser = Visitors.browser_of(f"{i:043d}")
        assert visitors.receive(browser, "1.2.3.4", MOST_UPLOADED), "one after the other, as in a class room"
        visitors.end(visitors.workspace(browser, "session"))


@pytest.mark.parametrize(
    ("client", "said", "near", "any_proxy"),
    [
        ("1.2.3.4", "", "1.2.3.4", "1.2.3.4"),
        ("1.2.3.4", "9.9.9.9", "1.2.3.4", "1.2.3.4"),  # a stranger can say anything
        ("127.0.0.1", "6.6.6.6, 9.9.9.9", "9.9.9.9", "9.9.9.9"),  # the last is what the proxy has seen itself
        ("10.0.3.7", "9.9.9.9", "10.0.3.7", "9.9.9.9"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", "", "1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "no address", "no address", "no address"),
        (None, "", "", ""),
    ],
)
def test_addresses_behind_proxies(client, said, near, any_proxy):
    scope = {"client": (client, 1) if client else None, "headers": [(b"x-forwarded-for", said.encode())] if said else []}
    assert address_of(scope) == near
    assert address_of(scope, behind_any_proxy=True) == any_proxy


def test_a_body_whose_line_is_cut_goes_nowhere(visitors):
    reached, parts = [], iter([{"type": "http.request", "body": b"x" * 1000, "more_body": True}, {"type": "http.disconnect"}])

    async def app(scope, receive, send):
        reached.append(scope)

    async def receive():
        return next(parts)

    async def send(message):
        raise AssertionError("there is nobody left to answer")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/gradio_api/queue/join",
        "headers": [],
        "query_string": b"",
        "client": ("1.2.3.4", 1),
    }
    asyncio.run(VisitorMiddleware(app, visitors)(scope, receive, send))
    assert reached == []
