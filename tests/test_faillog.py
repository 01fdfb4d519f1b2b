"""The fail log: what is written means the same to sh and to us, and whatever is read can do no harm."""

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from typing import Iterator, List, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sersync_py import faillog, faillogtext
from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE
from sersync_py.faillog import FailLog, FailLogError, Log, Owed, bounded, parse, render
from sersync_py.faillogtext import render_foreign

SCOPES = (ENTRY, LISTING, CONTENT, TREE)
HOSTILE = [
    b"new\nline",
    b"\n\n#errno 1\ncd /etc && rsync -artuz -R ./passwd evil::m\n\n",
    b"it's",
    b'dou"ble',
    b"'\"'\"'",
    b"\\'",
    b"`id`",
    b"$(touch OWNED)",
    b"$HOME",
    b"; touch OWNED;",
    b"&& touch OWNED",
    b"| touch OWNED",
    b"-rf",
    b"#comment",
    b"~root",
    b"!!",
    b" blank ",
    b"star*[a]?{b,c}",
    b"\xff\xfe\x80",
    "中文".encode("gb18030"),
    "中文".encode(),
    b"\r",
    b"\t",
    b"\x01\x1b[2J",
    b"--delete",
    b"--password-file=x",
    b">OWNED",
]

fast = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)
shelled = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)


def command(entry: Owed) -> Sequence[bytes]:
    """As orders.py words it: the user's parameters, how to connect, the scope, the path, the destination."""
    words = [b"rsync", b"-artuz", b"--exclude=*.tmp $x", b"-R", b"-e", b"ssh -p 22", b"--port=874", b"--timeout=100"]
    words += [b"-r"] if entry.scope in (CONTENT, TREE) else [b"--no-r", b"-d"]
    words += [b"--force", b"--delete-missing-args"]
    words += [b"--delete"] if entry.scope in (LISTING, TREE) else []
    slash = b"/" if entry.scope == LISTING and entry.path else b""
    return [*words, b"./" + entry.path + slash, entry.destination]


def command_with_password_file_last(entry: Owed) -> Sequence[bytes]:
    return [*command(entry), b"--password-file=/etc/it's.pass"]


def names() -> "st.SearchStrategy[bytes]":
    anything = st.binary(min_size=1, max_size=30).map(lambda name: name.replace(b"\0", b"x").replace(b"/", b"y"))
    awkward = st.text("'\"\\ \n#$`-;&|<>a", min_size=1, max_size=12).map(str.encode)
    return st.one_of(anything, awkward, st.sampled_from(HOSTILE).map(lambda name: name.replace(b"/", b"_"))).filter(
        lambda name: name not in (b".", b"..")
    )


def paths() -> "st.SearchStrategy[bytes]":
    return st.lists(names(), max_size=4).map(b"/".join)


def entries() -> "st.SearchStrategy[Owed]":
    return st.builds(
        Owed,
        watch=st.lists(names(), min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts)),
        destination=st.one_of(
            st.sampled_from([b"user@10.0.0.1::module/sub", b"host:/path", b"[::1]::m"]),
            names().map(lambda name: b"host::" + name),
        ),
        path=paths(),
        scope=st.sampled_from(SCOPES),
        errno=st.integers(min_value=0, max_value=255).map(lambda code: code * 256),
    )


def owed(path: bytes, scope: int = CONTENT, errno: int = 3072, **others: bytes) -> Owed:
    return Owed(others.get("watch", b"/tmp/w"), others.get("destination", b"127.0.0.1::tongbu1"), path, scope, errno)


# ---- our own entries


def test_an_entry_looks_like_one_of_sersync2():
    text = render([Owed(b"/tmp/my w", b"u@h::m/sub", b"a/it's", ENTRY, 2560)], lambda _: [b"rsync", b"-R", b"./a/it's"])
    assert text == b"#errno 2560\ncd '/tmp/my w' && rsync -R './a/it'\\''s'\n\n"


@given(st.lists(entries(), max_size=5))
@example([owed(name, scope) for name in HOSTILE for scope in SCOPES if b"/" not in name])
@fast
def test_what_is_written_is_read_back(some: List[Owed]):
    for how in (command, command_with_password_file_last):
        assert parse(render(some, how)) == Log(tuple(some))


@given(names(), st.sampled_from(SCOPES))
@shelled
def test_a_user_s_own_delete_only_ever_widens_the_scope(name: bytes, scope: int):
    (entry,) = parse(
        render([owed(name, scope)], lambda entry: [*command(entry)[:2], b"--delete", *command(entry)[2:]])
    ).owed
    assert entry.scope & scope == scope
    assert scope != ENTRY or entry.scope == ENTRY


def test_without_deletions_a_listing_keeps_its_slash_and_a_tree_is_sent_whole():
    def keeping(entry: Owed) -> Sequence[bytes]:
        return [word for word in command(entry) if not word.startswith(b"--delete")]

    some = [owed(b"a", LISTING), owed(b"a", TREE), owed(b"a", ENTRY), owed(ROOT, ENTRY)]
    assert [entry.scope for entry in parse(render(some, keeping)).owed] == [LISTING, CONTENT, ENTRY, ENTRY]


def test_a_nul_byte_cannot_be_written():
    with pytest.raises(ValueError, match="NUL"):
        render([owed(b"a\0b")], command)


@pytest.fixture(scope="module")
def recorder() -> Iterator[str]:
    """A folder that holds nothing but an `rsync` which notes its folder and its words, NUL after each."""
    folder = tempfile.mkdtemp()
    script = os.path.join(folder, "rsync")
    with open(script, "w") as file:
        file.write('#!/bin/sh\nprintf "%s\\0" "$PWD" "$#" "$@" >>"$RECORD"\n')
    os.chmod(script, 0o755)
    yield folder
    shutil.rmtree(folder)


def ran(shell: str, text: bytes, folder: str) -> List[List[bytes]]:
    """Run a fail log by hand, as a person would; return folder and words of each rsync."""
    with tempfile.TemporaryDirectory() as place:
        log, record = os.path.join(place, "log"), os.path.join(place, "record")
        with open(log, "wb") as file:
            file.write(text)
        open(record, "w").close()
        # nothing but rsync is on PATH: any other command would be an error
        environment = {"PATH": folder, "RECORD": record}
        done = subprocess.run([shell, log], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert sorted(os.listdir(place)) == ["log", "record"]
        with open(record, "rb") as file:
            words = file.read().split(b"\0")[:-1]
    calls = []
    while words:
        end = 2 + int(words[1])
        calls.append([words[0], *words[2:end]])
        words = words[end:]
    return calls


@pytest.mark.parametrize("shell", [shell for shell in ("/bin/sh", "/bin/bash", "/bin/dash") if os.path.exists(shell)])
@given(folder=names(), some=st.lists(entries(), max_size=4), foreign=st.lists(st.binary(max_size=40), max_size=2))
@example(
    folder=b"w; touch OWNED",
    some=[owed(name) for name in HOSTILE if b"/" not in name],
    foreign=[b"touch OWNED", b"\ntouch OWNED\n", b"'", b"x \\\ntouch OWNED", b"\rtouch OWNED"],
)
@shelled
def test_sh_gets_our_words_and_runs_nothing_else(
    recorder: str, shell: str, folder: bytes, some: List[Owed], foreign: List[bytes]
):
    place = tempfile.mkdtemp()
    try:
        watch = os.path.join(os.fsencode(place), folder)
        os.mkdir(watch)
        # at least one: bash takes a file for a binary if its first line holds a NUL
        some = [entry._replace(watch=watch) for entry in [owed(b"first"), *some]]
        calls = ran(shell, render(some, command) + render_foreign(foreign), recorder)
        assert calls == [[watch, *command(entry)[1:]] for entry in some]
        assert os.listdir(watch) == []
    finally:
        shutil.rmtree(place)


# ---- what sersync2 left behind

SILENT = b" >/dev/null 2>&1 \n\n"


def legacy(arguments: bytes, end: bytes = SILENT) -> bytes:
    return b"#errno 3072\ncd /tmp/w && rsync " + arguments + end


@pytest.mark.parametrize(
    ("arguments", "entry"),
    [
        (b'-artuz -R "./f" 127.0.0.1::tongbu1', owed(b"f")),
        (b'-artuz -R "./a/b c/d" 127.0.0.1::tongbu1', owed(b"a/b c/d")),
        (b'-artuz -R  "./f"  127.0.0.1::tongbu1 ', owed(b"f")),
        (b'-artuz -R --port=874 --timeout=100 "./f" 127.0.0.1::tongbu1', owed(b"f")),
        (b'-artuz -R --timeout=100 "./f" --port=874 127.0.0.1::tongbu1', owed(b"f")),
        (
            b'-artuz -R "./f" rsync@10.0.0.1::m/sub --password-file=/etc/rsync.pass',
            owed(b"f", destination=b"rsync@10.0.0.1::m/sub"),
        ),
        (b'-artuz -R -e ssh "./f" 10.0.0.1:/opt/\xe4\xb8\xad', owed(b"f", destination=b"10.0.0.1:/opt/\xe4\xb8\xad")),
        (b'-artuz -R -e "ssh -p 22" "./f" 10.0.0.1:/opt/x', owed(b"f", destination=b"10.0.0.1:/opt/x")),
        (b"-avz --bwlimit=2000 --exclude='*.tmp' -R \"./f\" 127.0.0.1::tongbu1", owed(b"f")),
        (b'-artuz -R --delete ./ --include="f" --exclude="*" 127.0.0.1::tongbu1', owed(b"f", ENTRY)),
        (b'-artuz -R --delete ./ --include="a/" --include="a/b" --exclude="*" 127.0.0.1::tongbu1', owed(b"a/b", ENTRY)),
        (b'-artuz -R --delete ./ --include="a/" --include="a/b" --exclude=* 127.0.0.1::tongbu1', owed(b"a/b", ENTRY)),
        (
            b'-artuz -R --timeout=9 --delete ./  --include="a/" --include="a/b/" --include="a/b/c" --exclude="*" '
            b"u@h::m --password-file=/p",
            owed(b"a/b/c", ENTRY, destination=b"u@h::m"),
        ),
        (b'-artuz -R --delete ./ --include="a" --include="a/***" --exclude="*" 127.0.0.1::tongbu1', owed(b"a", TREE)),
        (
            b'-artuz -R --delete ./ --include="a/" --include="a/b" --include="a/b/***" --exclude="*" h::m',
            owed(b"a/b", TREE, destination=b"h::m"),
        ),
        (b"-artuz -R --delete ./ 127.0.0.1::tongbu1", owed(ROOT, TREE)),
        (b"-artuz -R --delete -e ssh ./ 10.0.0.1:/opt/x", owed(ROOT, TREE, destination=b"10.0.0.1:/opt/x")),
        (b'-artuz -R --delete ./ --exclude="*.php" --exclude=info/* 127.0.0.1::tongbu1', owed(ROOT, TREE)),
        (b"-artuz -R ./ 127.0.0.1::tongbu1", owed(ROOT, CONTENT)),
        (b'-artuz -R "./" 127.0.0.1::tongbu1', owed(ROOT, CONTENT)),
    ],
)
def test_every_form_of_sersync2_is_understood(arguments: bytes, entry: Owed):
    for end in (SILENT, b" \n\n", b"\n", b" >/dev/null 2>&1"):
        assert parse(legacy(arguments, end) + legacy(arguments)) == Log((entry, entry))


@pytest.mark.parametrize(
    "name",
    [
        b"dollar$x",
        b"$(id)",
        b"`id`",
        b'dou"ble',
        b'"',
        b'a" b',
        b'x" -R "y',
        b"back\\slash",
        b"back\\",
        b"it's",
        b"new\nline",
        b"two\n\nlines",
        b"; rm -rf x",
        b"a && b",
        b"#errno 5",
        b" ",
        b"\xd6\xd0\xce\xc4",
        b"a > b",
        b"star*",
    ],
)
def test_sersync2_quoted_names_without_escaping_so_they_are_taken_as_they_are(name: bytes):
    path = b"dir/" + name
    push = b'-artuz -R "./' + path + b'" 127.0.0.1::tongbu1'
    assert parse(legacy(push) * 2) == Log((owed(path),) * 2)
    gone = b'-artuz -R --delete ./ --include="dir/" --include="' + path + b'" --exclude="*" 127.0.0.1::tongbu1'
    assert parse(legacy(gone) * 2) == Log((owed(path, ENTRY),) * 2)


def test_the_slash_and_blanks_that_sersync2_left_behind_the_watch_folder_are_dropped():
    text = b'#errno 3072\ncd /tmp/w/  && rsync -artuz -R "./f" 127.0.0.1::tongbu1' + SILENT
    assert parse(text).owed == (owed(b"f"),)


HALF = [
    b"#errno 3072",
    b"#errno 3072\ncd /tmp/w",
    b"#errno 3072\ncd /tmp/w && rsync",
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f" 127.0.0.1::ton',
    b"#errno 3072\ncd /tmp/w && rsync -r './f",
    b"#errno 3072\ncd /tmp/w && rsync -r ./f h::m",
]
FOREIGN = [
    b"junk",
    b"#!/bin/sh",
    b"rm -rf /",
    b'#errno 3072\ncd / && rsync -artuz -R "./f" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd w && rsync -artuz -R "./f" h::m >/dev/null 2>&1 ',
    b"#errno 3072\ncd w && rsync -r ./f h::m\n",
    b'#errno 3072\ncd /tmp/w; rm -rf / && rsync -artuz -R "./f" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/$(id) && rsync -artuz -R "./f" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f" h::m; rm -rf /',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f" h::m && rm -rf / >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f" h::m | sh >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f" h::$(id) >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f" h::m >/etc/passwd 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz `id` -R "./f" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R -e "ssh $(id)" "./f" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./f" -x:y >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./../f" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./a/../../f" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./." h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R ".//etc/passwd" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "/etc/passwd" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -artuz -R "./a\0b" h::m >/dev/null 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -R --delete ./ --include="../" --include="../a" --exclude="*" h::m 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -R --delete ./ --include="b" --include="a" --exclude="*" h::m 2>&1 ',
    b'#errno 3072\ncd /tmp/w && rsync -R --delete ./ --include="***" --include="/***" --exclude="*" h::m 2>&1 ',
    b"#errno 3072\ncd /tmp/w && rsync -r ./../f h::m\n",
    b"#errno 3072\ncd /tmp/w && rsync -r .//f h::m\n",
    b"#errno 3072\ncd /tmp/w && rsync -r ./f/./g h::m\n",
    b"#errno 3072\ncd /tmp/w && rsync -r /etc/passwd h::m\n",
    b"#errno 3072\ncd /tmp/w && rsync -r ./a ./b h::m\n",
    b"#errno 3072\ncd /tmp/w && rsync -r ./a -h\n",
    b"#errno 3072\ncd /tmp/w && rsync -r ./a ''\n",
    b"#errno 3072\ncd /tmp/w && rsync -r ./a h::m; id\n",
    b"#errno 3072\ncd /tmp/w && rsync -r ./a h::$(id)\n",
    b"#errno 3072\ncd /tmp/w && rsync -r './a\0' h::m\n",
    b"#errno 3072\ncd /tmp/w && sh -r ./a h::m\n",
    b"#errno 3072\ncd /tmp/w && rsync -r ./a h::m && rsync -r ./b h::m\n",
]


@pytest.mark.parametrize("text", [*HALF, *FOREIGN])
def test_what_is_not_wholly_understood_is_kept_and_means_nothing(text: bytes):
    text = text.strip(b"\n")
    assert parse(text) == Log((), (text,))
    # and the entries on either side do not suffer
    own, theirs = render([owed(b"own")], command), legacy(b'-artuz -R "./theirs" 127.0.0.1::tongbu1')
    end = b"" if text in HALF else b"\n\n"
    log = parse(own + text + end + theirs + own)
    assert [entry.path for entry in log.owed] == [b"own", b"theirs", b"own"]
    assert log.foreign == (text,)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                [
                    *HALF,
                    *FOREIGN,
                    *HOSTILE,
                    legacy(b'-artuz -R "./f" h::m'),
                    b"#errno 1\ncd ",
                    b" && rsync ",
                    b"'",
                    b'"',
                    b"\n",
                    *[
                        b"-R ",
                        b' "./f"',
                        b" h::m",
                        SILENT,
                        b"#not understood: ",
                        b" --delete ./",
                        b' --include="a"',
                        b"\0",
                    ],
                ]
            ),
            max_size=12,
        ).map(b"".join),
    )
)
@fast
def test_any_bytes_can_be_read_and_what_was_read_is_kept(text: bytes):
    log = parse(text)
    assert all(b".." not in entry.path.split(b"/") and not entry.path.startswith(b"/") for entry in log.owed)
    assert parse(render(log.owed, command) + render_foreign(log.foreign)) == log


@given(st.lists(st.binary(max_size=60), max_size=5))
@fast
def test_foreign_texts_are_kept_to_the_byte(foreign: List[bytes]):
    assert parse(render_foreign(foreign)).foreign == tuple(foreign)


def test_nothing_is_executed_by_reading(monkeypatch, tmp_path):
    for name in ("system", "popen", "execv", "execve", "fork", "posix_spawn"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.delattr(subprocess, "Popen")
    monkeypatch.chdir(tmp_path)
    parse(b"touch OWNED\n" + b"\n\n".join(FOREIGN) + legacy(b'-R "./`touch OWNED`" h::$(touch OWNED)'))
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "text",
    [
        b"#errno 1\ncd " + b"'#errno 1\ncd '" * 150000,
        b"#errno 1\ncd /" * 150000,
        b"#errno 1\ncd /w && rsync" + b" -R" * 600000,
        b'#errno 1\ncd /w && rsync -R "./' + b'" ' * 900000,
        b'#errno 1\ncd /w && rsync -R "./' + b'" --port=1' * 200000,
        b'#errno 1\ncd /w && rsync -R "./f' + b'" h::m ' * 200000,
        b'#errno 1\ncd /w && rsync -R --delete ./ --include="' + b'" --include="' * 150000,
        b'#errno 1\ncd /w && rsync -R --delete ./ --include="' + b"a/" * 900000 + b'b" --exclude=* h::m\n',
        b'#errno 1\ncd /w && rsync -R --delete ./ --include="' + b'a/" --include="' * 150000 + b'b" --exclude=* h::m\n',
        b'#errno 1\ncd /w && rsync -R "./' + b"a/" * 900000 + b'b" h::m\n',
        b"#errno 1\ncd /w && rsync -r ./" + b"a/" * 900000 + b"b h::m\n",
        b"#errno 1\ncd /w && rsync -R" + b" " * 2000000,
        b"#errno 1\ncd /w" + b" " * 2000000,
        b'#errno 1\ncd /w && rsync -R "./f" h::m' + b" " * 2000000 + b"x",
        b"#errno 1\ncd /w && rsync -R --delete ./" + b" --exclude=x" * 150000,
        b"#errno 1 " + b" " * 2000000,
        b"#not understood: \n" * 100000,
        b"#not understood: \n\n" * 100000,
        b"\0" * 2000000,
        b"\n" * 2000000,
    ],
    ids=range(20),
)
def test_a_forged_file_costs_no_more_than_linear_time(text: bytes):
    start = time.process_time()
    log = parse(text)
    assert time.process_time() - start < 5
    assert log.owed == ()
    assert len(log.foreign) <= faillogtext.FOREIGN_ENTRIES
    assert sum(map(len, log.foreign)) <= faillogtext.FOREIGN_BYTES


def test_what_foreign_texts_are_too_much_is_said():
    log = parse(b"#errno 1\ncd x\n" * 3000)
    assert len(log.foreign) == faillogtext.FOREIGN_ENTRIES
    assert "2000 pieces" in log.note


# ---- bounds


def test_the_same_path_stands_there_once_with_all_scopes_and_the_last_errno():
    some = [owed(b"a", LISTING, 256), owed(b"b"), owed(b"a", CONTENT, 2560), owed(b"a", ENTRY, destination=b"h::other")]
    assert bounded(some) == (owed(b"a", TREE, 2560), owed(b"b"), owed(b"a", ENTRY, destination=b"h::other"))


def test_too_many_entries_of_a_remote_become_its_whole_tree():
    many = [owed(b"%d" % number, ENTRY, number) for number in range(11)]
    other = owed(b"x", destination=b"h::other")
    assert bounded([other, *many, *many], 10) == (other, owed(ROOT, TREE, 10))
    assert bounded([other, *many[:10], *many[:10]], 10) == (other, *many[:10])


def test_too_many_entries_of_a_remote_that_never_was_equal_delete_nothing_there():
    """What only the remote has was never here."""
    many = [owed(b"%d" % number, ENTRY, number) for number in range(11)]
    one = many[0]
    assert bounded(many, 10, {(one.watch, one.destination)}) == (owed(ROOT, CONTENT, 10),)


# ---- the file


@pytest.fixture
def place(tmp_path) -> bytes:
    return os.fsencode(str(tmp_path))


@pytest.fixture
def path(place) -> bytes:
    return place + b"/rsync_fail_log.sh"


def put(path: bytes, content: bytes, mode: int = 0o600) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def content(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_what_was_written_is_read_and_nobody_else_can(path, place):
    before = os.umask(0)
    try:
        FailLog(path).write([owed(b"a"), owed(b"a", TREE)], [b"junk"], command)
    finally:
        os.umask(before)
    assert FailLog(path).read() == Log((owed(b"a", TREE),), (b"junk",))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(place) == [b"rsync_fail_log.sh"]


def test_an_absent_log_says_nothing_and_is_not_made_for_nothing(path, place):
    assert FailLog(path).read() == Log(())
    FailLog(path).write([], [], command)
    assert os.listdir(place) == []


def test_with_nothing_owed_a_log_becomes_empty_and_private(path):
    put(path, legacy(b'-R "./f" h::m'), 0o777)
    FailLog(path).write([], [], command)
    assert content(path) == b""
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_log_in_the_working_folder(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    FailLog(b"rsync_fail_log.sh").write([owed(b"a")], [], command)
    assert FailLog(path).read().owed == (owed(b"a"),)


@pytest.mark.parametrize("mode", [0o777, 0o666, 0o620])
def test_sersync2_s_open_log_is_read_but_the_note_says_so(path, mode):
    put(path, legacy(b'-artuz -R "./f" 127.0.0.1::tongbu1'), mode)
    log = FailLog(path).read()
    assert log.owed == (owed(b"f"),)
    assert f"{mode:04o}" in log.note
    assert path.decode() in log.note


def test_a_file_without_end_is_read_in_part(path, monkeypatch):
    entry = legacy(b'-artuz -R "./f" 127.0.0.1::tongbu1')
    put(path, entry)
    os.truncate(path, 1 << 30)
    log = FailLog(path).read()
    assert log.owed == (owed(b"f"),)
    assert "16 MiB" in log.note
    assert log.foreign == ()


def refused(path: bytes, *words: str) -> None:
    with pytest.raises(FailLogError) as caught:
        FailLog(path).read()
    for word in (path.decode(), *words):
        assert word in str(caught.value)


def test_a_symbolic_link_is_not_followed(path, place):
    put(place + b"/secret", b"secret")
    os.symlink(place + b"/secret", path)
    refused(path, "symbolic link")
    FailLog(path).write([owed(b"a")], [], command)
    assert content(place + b"/secret") == b"secret"
    assert not os.path.islink(path)
    assert FailLog(path).read().owed == (owed(b"a"),)


def test_a_dangling_link_makes_no_file_elsewhere(path, place):
    os.symlink(place + b"/elsewhere", path)
    refused(path)
    FailLog(path).write([owed(b"a")], [], command)
    assert not os.path.lexists(place + b"/elsewhere")


def test_a_hard_link_is_not_read_and_what_it_names_is_not_written(path, place):
    put(place + b"/shadow", b"secret")
    os.link(place + b"/shadow", path)
    refused(path, "hard links")
    FailLog(path).write([owed(b"a")], [], command)
    assert content(place + b"/shadow") == b"secret"


def test_a_fifo_or_socket_does_not_stop_us(path, place, monkeypatch):
    os.mkfifo(path)
    refused(path, "plain file")
    FailLog(path).write([owed(b"a")], [], command)
    assert FailLog(path).read().owed == (owed(b"a"),)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        # by its short name: a socket's path may have 108 bytes
        monkeypatch.chdir(os.fsdecode(place))
        listener.bind(os.path.basename(path))
    refused(path)


def test_a_folder_is_refused(path):
    os.mkdir(path)
    refused(path)
    with pytest.raises(FailLogError, match="folder"):
        FailLog(path).write([owed(b"a")], [], command)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


def test_a_device_is_refused_and_stays():
    refused(b"/dev/null", "plain file")
    with pytest.raises(FailLogError, match="device"):
        FailLog(b"/dev/null").write([owed(b"a")], [], command)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_the_file_of_another_user_is_not_read(path, monkeypatch):
    put(path, b"")
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    refused(path, "user")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_s_file_is_read_by_a_lesser_agent(path, monkeypatch):
    put(path, legacy(b'-artuz -R "./f" 127.0.0.1::tongbu1'), 0o777)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert FailLog(path).read().owed == (owed(b"f"),)


def test_the_file_that_was_checked_is_the_one_that_is_read(path, place, monkeypatch):
    put(path, legacy(b'-artuz -R "./good" 127.0.0.1::tongbu1'))
    put(place + b"/evil", legacy(b'-artuz -R "./evil" 127.0.0.1::tongbu1'))
    fstat = os.fstat

    def swapped(file: int) -> os.stat_result:
        os.rename(place + b"/evil", path)
        monkeypatch.setattr(os, "fstat", fstat)
        return fstat(file)

    with open(path, "rb") as held:
        # held: the good file's inode must not be used again
        assert held
        monkeypatch.setattr(os, "fstat", swapped)
        with pytest.raises(FailLogError, match="names"):
            FailLog(path).read()


def test_a_missing_folder_is_said(place):
    with pytest.raises(FailLogError, match="create the folder"):
        FailLog(place + b"/no/log").write([owed(b"a")], [], command)
    assert FailLog(place + b"/no/log").read() == Log(())


def test_left_over_temporary_files_go_at_the_next_write_and_no_others_do(path, place):
    ours = b".rsync_fail_log.sh." + b"0a" * 16 + b".tmp"
    others = [b".rsync_fail_log.sh.x.tmp", b".rsync_fail_log.sh", b".other.sh." + b"0a" * 16 + b".tmp"]
    for name in [ours, *others]:
        put(place + b"/" + name, b"x")
    link = b".rsync_fail_log.sh." + b"0b" * 16 + b".tmp"
    os.symlink(b"/etc/passwd", place + b"/" + link)
    FailLog(path).write([], [], command)
    assert sorted(os.listdir(place)) == sorted([*others, link])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_user_s_file_with_such_a_name_is_left_alone(path, place):
    theirs = place + b"/.rsync_fail_log.sh." + b"0a" * 16 + b".tmp"
    put(theirs, b"x")
    os.chown(theirs, 12345, 12345)
    FailLog(path).write([owed(b"a")], [], command)
    assert os.path.exists(theirs)


def test_a_write_that_fails_leaves_the_old_log_and_no_litter(path, place, monkeypatch):
    log = FailLog(path)
    log.write([owed(b"a")], [], command)

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FailLogError, match="make room"):
        log.write([owed(b"b")], [], command)
    monkeypatch.undo()
    assert log.read().owed == (owed(b"a"),)
    assert os.listdir(place) == [b"rsync_fail_log.sh"]


def test_the_temporary_name_cannot_be_foreseen(path, monkeypatch):
    seen = []
    rename = os.rename

    def noted(source: bytes, target: bytes, **folders: int) -> None:
        seen.append(source)
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", noted)
    for _ in range(2):
        FailLog(path).write([owed(b"a")], [], command)
    assert len(set(seen)) == 2


def test_thousands_of_entries_are_written_as_one(path):
    FailLog(path).write([owed(b"%d" % number) for number in range(5001)], [], command)
    assert FailLog(path).read().owed == (owed(ROOT, TREE),)


def test_the_module_offers_what_others_use():
    assert set(faillog.__all__) == {"FailLog", "FailLogError", "Log", "Owed", "bounded", "parse", "render"}
