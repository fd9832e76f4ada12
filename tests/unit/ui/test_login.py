"""Who may come in."""

import pytest

from studio.errors import StudioError
from studio.ui.access.login import Login, read_accounts


def test_several_people(tmp_path):
    file = tmp_path / "people"
    file.write_text("# the class\n\nbo:pass:with:colons\n  cy : spaces stay\n", encoding="utf-8")
    accounts = read_accounts(["ada:geheim ü"], file)
    assert accounts == {"ada": "geheim ü", "bo": "pass:with:colons", "cy": " spaces stay"}
    login = Login(accounts)
    assert login("ada", "geheim ü")
    assert login("bo", "pass:with:colons")
    assert not login("ada", "pass:with:colons")
    assert not login("Ada", "geheim ü")
    assert not login("", "")
    assert not login("ada", "")
    assert not login("ada", "\ud800"), "what no text can hold is no fault of ours"
    assert "geheim" not in repr(login) + repr(vars(login))


@pytest.mark.parametrize("text", ["ada", ":secret", "ada:", " :secret", ""])
def test_a_login_that_is_none(text):
    with pytest.raises(StudioError, match="--auth has no user and password") as e:
        read_accounts([text])
    assert "secret" not in str(e.value)


def test_a_file_that_is_none(tmp_path):
    for content, words in (
        (b"", "has no user"),
        (b"# only words\n", "has no user"),
        (b"ada:x\nsecret\n", "Line 2 of"),
        (b"\xff\xfe\x00", "not a text file"),
    ):
        (tmp_path / "people").write_bytes(content)
        with pytest.raises(StudioError, match=words) as e:
            read_accounts([], tmp_path / "people")
        assert "secret" not in str(e.value)
    with pytest.raises(StudioError, match="cannot be read: No such file"):
        read_accounts([], tmp_path / "missing")
    with pytest.raises(StudioError, match="two passwords"):
        read_accounts(["ada:x", "ada:y"])
