"""A mark is believed only when nothing speaks against it, and is replaced whole."""

import errno
import json
import os
import stat

import pytest

from sersync_py import marks
from sersync_py.clock import Moment
from sersync_py.guard import Root
from sersync_py.marks import AHEAD_NS, Damaged, Mark, MarkError, Marks, key_for

SECOND = 10**9
NOW = Moment(1700000000 * SECOND, 5000 * SECOND, "boot 1")
ROOT = Root(64769, 131, 2**64 - 1)
MARK = Mark(NOW.wall_ns, ROOT)
EARLIER = Mark(NOW.wall_ns - 1, ROOT)


def test_of_a_damaged_mark_the_folder_is_still_known_unless_that_is_damaged_too(store, folder):
    """It stands by itself, and is written again only when it is another one."""
    damaged = spoil(store, folder, b"")
    assert (damaged.reason, damaged.root) == ("is not a mark, or torn", MARK.root)
    alone = file_of(folder)[:-len(b".mark")] + b".root"
    before = os.stat(alone).st_mtime_ns, os.stat(alone).st_ino
    Marks(folder).save(KEY, MARK, NOW)
    assert (os.stat(alone).st_mtime_ns, os.stat(alone).st_ino) == before
    for text in (b"", b"{}", b"[]", json.dumps({"key": "another", "root": MARK.root}).encode()):
        spoil(store, folder, b"")
        with open(alone, "wb") as file:
            file.write(text)
        assert Marks(folder).load(KEY, NOW).root is None
    Marks(folder).save(KEY, Mark(NOW.wall_ns, None), NOW)
    with open(file_of(folder), "wb"):
        assert Marks(folder).load(KEY, NOW).root is None


def later(seconds, set_back=0.0, boot=NOW.boot):
    """Return the moment so many seconds after NOW, the clock having been set back meanwhile."""
    return Moment(NOW.wall_ns + int((seconds - set_back) * SECOND), NOW.boot_ns + int(seconds * SECOND), boot)
KEY = key_for(b"/etc/confxml.xml", b"/data/www", "10.0.0.2::www")


FIELDS = dict(NOW._asdict(), key=KEY, since_ns=NOW.wall_ns, root=ROOT)


@pytest.fixture
def folder(tmp_path):
    return os.fsencode(str(tmp_path / "marks"))


@pytest.fixture
def store(folder):
    return Marks(folder)


def file_of(folder):
    (name,) = [name for name in os.listdir(folder) if name.endswith(b".mark")]
    return os.path.join(folder, name)


def spoil(store, folder, text):
    store.save(KEY, MARK, NOW)
    with open(file_of(folder), "wb") as file:
        file.write(text)
    return store.load(KEY, NOW)


def test_there_is_none_before_the_first_save(store):
    assert store.load(KEY, NOW) is None


def test_what_was_saved_comes_back(store, folder):
    for mark in (EARLIER, Mark(NOW.wall_ns - 1, None)):
        store.save(KEY, mark, NOW)
        store.save("other", MARK, NOW)
        assert store.load(KEY, NOW) == mark
        assert Marks(folder).load(KEY, NOW) == mark


def test_a_save_replaces_and_may_go_back(store, folder):
    store.save(KEY, MARK, NOW)
    store.save(KEY, EARLIER, NOW)
    assert store.load(KEY, NOW) == EARLIER
    assert sorted(name[-5:] for name in os.listdir(folder)) == [b".mark", b".root"]


def test_nobody_else_may_read_it(store, folder):
    old = os.umask(0)
    try:
        store.save(KEY, MARK, NOW)
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(file_of(folder)).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_the_rest_of_a_save_that_was_killed_is_in_nobodys_way(store, folder, tmp_path):
    store.save(KEY, EARLIER, NOW)
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    os.symlink(os.fsencode(str(target)), file_of(folder) + b".new")
    store.save(KEY, MARK, NOW)
    assert store.load(KEY, NOW) == MARK
    assert target.read_bytes() == b"precious"
    assert sorted(name[-5:] for name in os.listdir(folder)) == [b".mark", b".root"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0" * 80,
        b"\xff\xfe",
        b"17",
        b"[]",
        b"{}",
        b"[" * 4096,
        *[json.dumps(dict(FIELDS, since_ns=value)).encode() for value in ("1", 1.5, -1, True, None)],
        *[json.dumps(dict(FIELDS, root=value)).encode() for value in (0, [1], [1, 2.5, 3], [1, 2, 3, 4], "12")],
        *[json.dumps({name: FIELDS[name] for name in FIELDS if name != left_out}).encode() for left_out in FIELDS],
        json.dumps(dict(FIELDS, key="another")).encode(),
    ],
)
def test_a_file_that_is_not_this_mark_is_damaged(store, folder, text):
    assert isinstance(spoil(store, folder, text), Damaged)


def test_torn_anywhere_it_is_damaged(store, folder):
    store.save(KEY, MARK, NOW)
    with open(file_of(folder), "rb") as file:
        whole = file.read().rstrip()
    for length in range(len(whole)):
        assert isinstance(spoil(store, folder, whole[:length]), Damaged)
    assert spoil(store, folder, whole) == MARK


def test_damage_is_mended_by_the_next_save(store, folder):
    assert isinstance(spoil(store, folder, b"x"), Damaged)
    store.save(KEY, MARK, NOW)
    assert store.load(KEY, NOW) == MARK


def test_a_mark_ahead_of_the_clock_is_not_trusted_but_tells_the_folder(store):
    """After a restart of the machine nothing else shows that the clock was set back."""
    store.save(KEY, MARK, NOW)
    found = store.load(KEY, later(60, set_back=3600, boot="boot 2"))
    assert found == MARK._replace(reason="lies 3540 s ahead of the clock")
    assert store.load(KEY, later(0, set_back=AHEAD_NS / SECOND + 0.001, boot="")).reason


@pytest.mark.parametrize("after", [1, 3599, 3601, 86400])
def test_a_mark_saved_before_the_clock_was_set_back_is_not_trusted(store, after):
    """Not either when the clock has passed it again: what was changed meanwhile may bear an earlier stamp."""
    store.save(KEY, MARK, NOW)
    found = store.load(KEY, later(after, set_back=3600))
    assert found == MARK._replace(reason="was saved before the clock was set back by 3600 s")


@pytest.mark.parametrize("after", [0, 0.5, 10])
@pytest.mark.parametrize("back", [1e-9, 1.0, AHEAD_NS / SECOND])
def test_a_clock_set_back_a_little_makes_the_mark_old_enough_to_lose_nothing(store, back, after):
    """What changed right after the clock was set back bears a stamp of (old time - back) or later."""
    store.save(KEY, MARK, NOW)
    for boot in (NOW.boot, "boot 2") if after < back else (NOW.boot,):
        found = store.load(KEY, later(after, set_back=back, boot=boot))
        assert not found.reason
        assert found.since_ns <= NOW.wall_ns - int(back * SECOND)


@pytest.mark.parametrize("forward", [1, 86400])
def test_a_clock_set_forward_leaves_the_mark_as_it_is(store, forward):
    """What changes then bears later stamps than it would have; the time of a suspended machine is no such thing."""
    store.save(KEY, MARK, NOW)
    assert store.load(KEY, later(10, set_back=-forward)) == MARK
    assert store.load(KEY, later(86400)) == MARK


def test_what_others_could_have_written_is_damaged(store, folder):
    store.save(KEY, MARK, NOW)
    os.chmod(file_of(folder), 0o622)
    assert "another user" in store.load(KEY, NOW).reason


def test_a_symlink_is_not_followed(store, folder, tmp_path):
    store.save(KEY, MARK, NOW)
    elsewhere = os.fsencode(str(tmp_path / "elsewhere"))
    path = file_of(folder)
    os.rename(path, elsewhere)
    os.symlink(elsewhere, path)
    assert isinstance(store.load(KEY, NOW), Damaged)


def test_a_fifo_or_folder_in_its_place_is_damaged_and_holds_nothing_up(store, folder):
    store.save(KEY, MARK, NOW)
    path = file_of(folder)
    os.unlink(path)
    os.mkfifo(path, 0o600)
    assert isinstance(store.load(KEY, NOW), Damaged)
    os.unlink(path)
    os.mkdir(path)
    assert isinstance(store.load(KEY, NOW), Damaged)
    with pytest.raises(MarkError):
        store.save(KEY, MARK, NOW)


@pytest.mark.parametrize("place", ["/dev/full", "/proc/version/marks"])
def test_a_disk_that_refuses_is_said_by_type(store, folder, place, monkeypatch):
    store.save(KEY, EARLIER, NOW)
    if place == "/dev/full":
        true_open = os.open
        monkeypatch.setattr(marks.os, "open", lambda path, flags, mode=0: true_open(place, os.O_WRONLY))
        expected = errno.ENOSPC
    else:
        store = Marks(os.fsencode(place))
        expected = errno.ENOTDIR
    with pytest.raises(MarkError) as caught:
        store.save(KEY, MARK, NOW)
    monkeypatch.undo()
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == expected
    assert Marks(folder).load(KEY, NOW) == EARLIER
    assert sorted(name[-5:] for name in os.listdir(folder)) == [b".mark", b".root"]


def test_keys_are_readable_and_safe_as_file_names():
    assert KEY.startswith("www-10.0.0.2_www-")
    for watch in (b"/", b"/..", b"/\xce\xc4\xbc\xfe", b"/" + b"x" * 4000, b"/a\nb"):
        key = key_for(b"/etc/confxml.xml", watch, "\u4e3b\u673a::../../etc" + "y" * 4000)
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert not key.startswith(".")
        assert len(key) < 120


def test_keys_differ_where_anything_differs():
    triples = [
        (b"/etc/a.xml", b"/data/w", "h::m"),
        (b"/etc/b.xml", b"/data/w", "h::m"),
        (b"/etc/a.xml", b"/data2/w", "h::m"),
        (b"/etc/a.xml", b"/data/w", "h::m_"),
        (b"/etc/a.xml", b"/data/w", "h::/m"),
        (b"/etc/a.xml/data", b"/w", "h::m"),
    ]
    assert len({key_for(*triple) for triple in triples}) == len(triples)
    assert key_for(*triples[0]) == key_for(*triples[0])
