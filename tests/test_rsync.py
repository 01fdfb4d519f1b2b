"""What is said to rsync, and how its answers are understood."""

import os
import signal
import subprocess
import tempfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import HOSTILE_NAMES
from test_mirror import write

from sersync_py import orders, session
from sersync_py.changes import CONTENT, ENTRY, LISTING, TREE, ancestors
from sersync_py.loop import Loop
from sersync_py.orders import Order
from sersync_py.outcomes import AWAY, DONE, HOPELESS, PARTIAL, Outcome, bytes_sent, judge, less_able, surveyed
from sersync_py.settings import Remote, Rsync
from sersync_py.target import Target

NETWORK = {b"--sockopts=TCP_NODELAY", b"--contimeout=10"}
STDIN = {b"--from0", b"--files-from=-", b"--stats", b"--no-h"}
NAMES = [(b"a", ENTRY), (b"b/c", ENTRY)]


def target(host="10.0.0.1", name="module", delete=True, nanoseconds=True, watch=b"/data", **options):
    return Target(watch, Remote(host, name), Rsync(**options), delete, nanoseconds)


def words(order):
    """Return the set of an order's options; the program is the first word, source and destination are the last two."""
    assert order.argv[0] == b"rsync"
    assert order.argv[-2] == b"."
    return set(order.argv[1:-2])


COMMON = NETWORK | {b"-artuz", b"-R"}


@pytest.mark.parametrize(("order", "expected"), [
    (orders.push_names(target(), NAMES, force=True),
     STDIN | {b"--no-r", b"-d", b"--delete-missing-args", b"--force", b"--modify-window=-1"}),
    (orders.push_names(target(), NAMES, force=False),
     STDIN | {b"--no-r", b"-d", b"--delete-missing-args", b"--modify-window=-1"}),
    (orders.push_names(target(), NAMES, force=True, listing=True),
     STDIN | {b"--no-r", b"-d", b"--delete-missing-args", b"--force", b"--delete", b"--modify-window=-1"}),
    (orders.push_names(target(), NAMES, force=True, again=True),
     STDIN | {b"--no-r", b"-d", b"--delete-missing-args", b"--force", b"--checksum", b"--modify-window=-1"}),
    (orders.push_names(target(nanoseconds=False), NAMES, force=True),
     STDIN | {b"--no-r", b"-d", b"--delete-missing-args", b"--force", b"--checksum"}),
    (orders.push_names(target(delete=False), NAMES, force=True, listing=True),
     STDIN | {b"--no-r", b"-d", b"--ignore-missing-args", b"--modify-window=-1"}),
    (orders.push_names(target(), NAMES, force=False, excludes=("*.x",)),
     STDIN | {b"--no-r", b"-d", b"--delete-missing-args", b"--modify-window=-1", b"--exclude=*.x"}),
    (orders.push_tree(target(), NAMES, delete=True),
     STDIN | {b"-r", b"--delete", b"--force", b"--delete-missing-args", b"--modify-window=-1"}),
    (orders.push_tree(target(), NAMES, delete=False),
     STDIN | {b"-r", b"--ignore-missing-args", b"--modify-window=-1"}),
    (orders.push_tree(target(delete=False), NAMES, delete=True),
     STDIN | {b"-r", b"--ignore-missing-args", b"--modify-window=-1"}),
])
def test_each_kind_of_push_has_just_these_options(order, expected):
    """Beside the user's own, -R and what a daemon connection needs; deletions only where they are on."""
    assert words(order) == COMMON | expected
    assert order.argv[-1] == b"10.0.0.1::module"
    assert order.folder == b"/data"
    assert b"".join(order.feed) == b"./a\0./b/c\0"


def test_progress_is_asked_for_only_when_somebody_looks():
    """It costs a line of output a file."""
    extra = {b"--info=progress2", b"--outbuf=N"}
    for push in (lambda **more: orders.push_tree(target(), NAMES, True, **more),
                 lambda **more: orders.push_names(target(), NAMES, True, **more)):
        assert words(push(progress=True)) - words(push()) == extra


@pytest.mark.parametrize(("options", "expected", "destination"), [
    ({"port": 874}, {b"--port=874"}, b"10.0.0.1::module"),
    ({"user": "root", "password_file": b"/etc/r.pass"}, {b"--password-file=/etc/r.pass"}, b"root@10.0.0.1::module"),
    ({"timeout": 100}, {b"--timeout=100"}, b"10.0.0.1::module"),
    ({"host": "fe80::1"}, set(), b"[fe80::1]::module"),
    ({"host": "[fe80::1]", "user": "u"}, set(), b"u@[fe80::1]::module"),
    ({"name": "module/sub/folder"}, set(), b"10.0.0.1::module/sub/folder"),
    ({"name": "m\u6587"}, set(), "10.0.0.1::m\u6587".encode()),
])
def test_what_the_config_says_reaches_the_command(options, expected, destination):
    """Port, user, password file, timeout, IPv6, a folder of a module, a module with a Chinese name."""
    order = orders.push_names(target(**options), NAMES, force=False)
    plain = orders.push_names(target(), NAMES, force=False)
    assert words(order) - words(plain) == expected
    assert order.argv[-1] == destination


def test_the_users_params_come_first_and_are_not_overruled():
    """What the user has said about sockets, timeouts and times is not said a second time."""
    params = ("-avz", "--contimeout=3", "--sockopts=SO_KEEPALIVE", "--modify-window=2", "--exclude=*.tmp")
    order = orders.push_names(target(params=params), NAMES, force=False)
    assert order.argv[1:6] == tuple(word.encode() for word in params)
    ours = STDIN | {b"-R", b"--no-r", b"-d", b"--delete-missing-args"}
    assert words(order) == {word.encode() for word in params} | ours


@pytest.mark.parametrize(("port", "shell"), [
    (None, b"ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=3"),
    (2222, b"ssh -p 2222 -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=3"),
])
def test_with_ssh_the_port_is_sshs_and_nobody_is_asked_a_question(port, shell):
    """One colon, no daemon's options; names are not given to a shell there."""
    order = orders.push_names(target(name="/srv/data", ssh=True, port=port), NAMES, force=False)
    assert order.argv[order.argv.index(b"-e") + 1] == shell
    assert order.argv[-1] == b"10.0.0.1:/srv/data"
    assert b"-s" in order.argv
    assert not words(order) & NETWORK
    assert not any(word.startswith(b"--port") for word in order.argv)


@pytest.mark.parametrize("params", [("-artuz", "-e", "ssh -i /key"), ("-ae", "ssh"), ("-a", "--rsh=ssh -p 9")])
def test_the_users_own_remote_shell_is_kept(params):
    """A second -e would overrule it."""
    order = orders.push_names(target(ssh=True, params=params), NAMES, force=False)
    assert order.argv[1:len(params) + 1] == tuple(word.encode() for word in params)
    assert order.argv.count(b"-e") == params.count("-e")


def test_no_secret_stands_on_a_command_line(tmp_path):
    """The password stays in its file, which is named."""
    file = tmp_path / "pass"
    file.write_text("hunter2\n")
    spoken_to = target(user="u", password_file=os.fsencode(str(file)))
    said = [orders.push_names(spoken_to, NAMES, True), orders.push_tree(spoken_to, NAMES, True),
            orders.survey(spoken_to, NAMES, True), orders.purge(spoken_to, [b"a"])]
    for order in said:
        assert not any(b"hunter2" in word for word in order.argv)
        assert "hunter2" not in orders.shown(order)
    assert not any(b"hunter2" in word for word in orders.repair_command(spoken_to, b"a", ENTRY))


@pytest.mark.parametrize(("path", "scope", "piece"), [
    (b"a", ENTRY, b"./a\0"),
    (b"a", LISTING, b"./a/\0"),
    (b"a", TREE, b"./a\0"),
    (b"a", CONTENT, b"./a\0"),
    (b"", TREE, b"./\0"),
    (b"", LISTING, b"./\0"),
    (b"#comment", ENTRY, b"./#comment\0"),
    (b"new\nline", ENTRY, b"./new\nline\0"),
    (b"\xff -e sh", ENTRY, b"./\xff -e sh\0"),
])
def test_names_go_to_stdin_as_bytes(path, scope, piece):
    """None is taken for a comment or an option; a slash asks for the listing."""
    assert list(orders.names_on_stdin([(path, scope)])) == [piece]


def test_an_order_is_given_some_time_beyond_the_timeout():
    """rsync ends a silent session itself, given a timeout; we end what does not."""
    assert orders.push_names(target(timeout=7), NAMES, True).silence == 27
    assert 30 <= orders.push_names(target(), NAMES, True).silence <= 120


@pytest.mark.parametrize(("path", "scope", "last"), [
    (b"it's", ENTRY, b"./it's"), (b"d", TREE, b"./d"), (b"d", LISTING, b"./d/"), (b"", TREE, b"./"),
])
def test_a_repair_command_stands_alone(path, scope, last):
    """A person can run it: the path is on it, nothing is read from stdin."""
    command = orders.repair_command(target(user="u"), path, scope)
    assert command[0] == b"rsync"
    assert command[-2:] == [last, b"u@10.0.0.1::module"]
    assert (b"-r" in command) == (scope == TREE)
    assert (b"--delete" in command) == (scope in (TREE, LISTING))
    assert not any(b"-from" in word for word in command)


# ---- exit codes and messages -----------------------------------------------------------------------------------------

EXPECTED = {0: DONE, 24: DONE, 23: PARTIAL, 25: PARTIAL, **dict.fromkeys([1, 2, 3, 4, 6], HOPELESS)}


@pytest.mark.parametrize("code", [*range(-15, 0), *range(36), 124, 125, 126, 127, 255])
def test_each_exit_code_has_its_verdict(code):
    """Done, partial, hopeless; all else means that the remote is away, unknown codes and signals too."""
    outcome = judge(code, b"rsync: [sender] some reason\n", {b"a": ENTRY}, b"/data")
    assert outcome.verdict == EXPECTED.get(code, AWAY)
    assert outcome.code == code
    assert str(abs(code)) in outcome.why()
    assert bool(outcome.message) == (outcome.verdict != DONE)


KNOWN = {b"a": ENTRY, b"d": TREE, b"l": LISTING, b"x/y": ENTRY, b"x/z": ENTRY, b"new\nline": ENTRY, b"\xff": ENTRY}
LAST = (b"rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338) "
        b"[sender=3.2.7]\n")


@pytest.mark.parametrize(("line", "failed"), [
    (b'rsync: [sender] send_files failed to open "/data/a": Permission denied (13)', {b"a"}),
    (b'rsync: send_files failed to open "/data/x/y": Permission denied (13)', {b"x/y"}),
    (b'rsync: [generator] recv_generator: mkdir "/x" (in module) failed: Permission denied (13)',
     {b"x/y", b"x/z", b"x"}),
    (b'rsync: [receiver] mkstemp "/x/.y.Ab3dE9" (in module) failed: Permission denied (13)', {b"x/y"}),
    (b'rsync: [receiver] mkstemp "/.a.Ab3dE9" (in module) failed: No space left on device (28)', {b"a"}),
    (b'rsync: [receiver] rename "/.a.Ab3dE9" -> "/a" (in module): Permission denied (13)', {b"a"}),
    (b'rsync: [sender] opendir "/data/d/sub" failed: Permission denied (13)', {b"d/sub"}),
    (b'rsync: [generator] chgrp "/d/sub/file" (in module) failed: Operation not permitted (1)', {b"d/sub/file"}),
    (b'rsync: [sender] readlink_stat("/data/new\\#012line") failed: Permission denied (13)', {b"new\nline"}),
    (b'rsync: [sender] send_files failed to open "/data/\\#377": Permission denied (13)', {b"\xff"}),
    (b"could not make way for new regular file: a", {b"a"}),
    (b'file has vanished: "/data/a"', set()),
    (b"cannot delete non-empty directory: d/sub", set()),
    (b"WARNING: parent dir is absent in the file list: x", set()),
    (b"WARNING: x/y failed verification -- update discarded (will try again).", set()),
    (b"ERROR: x/y failed verification -- update discarded.", {b"x/y"}),
])
def test_a_message_names_the_path_that_failed(line, failed):
    """As rsync 3.1 to 3.4 say it: names escaped, temporary names, names as the daemon sees them."""
    outcome = judge(23, line + b"\n" + LAST, KNOWN, b"/data")
    assert outcome.failed == failed


@pytest.mark.parametrize("line", [
    b"rsync: something nobody has ever read",
    b'rsync: [sender] send_files failed to open "/elsewhere/q": Permission denied (13)',
    b'rsync: [generator] failed to set times on "/l/below" (in module): Operation not permitted (1)',
])
def test_a_message_that_fits_no_path_means_that_anything_may_have_failed(line):
    """Nothing is taken for pushed that may not be."""
    assert judge(23, line + b"\n" + LAST, KNOWN, b"/data").failed is None


SKIPPED = b"IO error encountered -- skipping file deletion\n"
CHANGED = b'rsync: [sender] link_stat "/data/a/below" failed: Not a directory (20)\n'
UNREADABLE = b'rsync: [sender] send_files failed to open "/data/a": Permission denied (13)\n'


@pytest.mark.parametrize(("stderr", "output", "failed"), [
    (CHANGED, b"", set()),
    (CHANGED, SKIPPED, {b"d", b"l"}),
    (CHANGED + UNREADABLE, SKIPPED, {b"a", b"d", b"l"}),
    (CHANGED.replace(b"[sender] ", b""), SKIPPED, None),
    (UNREADABLE, SKIPPED, {b"a"}),
])
def test_folders_go_again_if_their_deletions_were_skipped_because_something_changed(stderr, output, failed):
    """rsync says it on stdout, and deletes nothing any more; what cannot be read is no reason to try for ever."""
    assert judge(23, stderr + LAST, KNOWN, b"/data", b"", output).failed == failed


@pytest.mark.parametrize(("stderr", "output", "skipped"), [
    (UNREADABLE, b"", set()),
    (UNREADABLE, SKIPPED, {b"d", b"l"}),
    (UNREADABLE.replace(b"/data/a", b"/data/d/x/y"), SKIPPED, {b"d", b"l"}),
    (UNREADABLE.replace(b"/data/a", b"/data/d"), SKIPPED, {b"l"}),
    (b"rsync: what?\n", SKIPPED, set()),
])
def test_folders_in_which_nothing_was_deleted_because_something_cannot_be_read_are_known(stderr, output, skipped):
    """Be it in them or elsewhere."""
    known = {b"a": ENTRY, b"d": TREE, b"l": LISTING, b"c": CONTENT}
    assert judge(23, stderr + LAST, known, b"/data", b"", output).skipped == skipped


def test_a_path_below_a_folder_of_the_module_is_known_by_its_own_name():
    """The daemon names it as its module has it, ssh as the host has it."""
    text = b'rsync: [receiver] mkstemp "/sub/folder/x/.y.Ab3dE9" (in module) failed: Permission denied (13)\n' + LAST
    assert judge(23, text, KNOWN, b"/data", b"sub/folder").failed == {b"x/y"}


def test_several_messages_name_several_paths():
    """Their union."""
    text = (b'rsync: [sender] send_files failed to open "/data/a": Permission denied (13)\n'
            b'rsync: [sender] send_files failed to open "/data/x/z": Permission denied (13)\n') + LAST
    assert judge(23, text, KNOWN, b"/data").failed == {b"a", b"x/z"}


def test_the_reason_is_one_harmless_line():
    """Control characters cannot play with the terminal of who reads the log."""
    outcome = judge(10, b"rsync: \x1b[31mfailed\x07\nrsync error: error in socket IO (code 10)\n", {}, b"/data")
    assert outcome.message == "rsync: \\x1b[31mfailed\\x07"
    assert outcome.why() == "no connection (exit 10): " + outcome.message
    assert len(judge(10, b"x" * 10000, {}, b"/data").message) <= 300


@pytest.mark.parametrize(("output", "sent"), [
    (b"Number of files: 1\nTotal bytes sent: 12345\nTotal bytes received: 9\n", 12345),
    (b"Total bytes sent: 1\r\n", 1),
    (b"a file named Total bytes sent: 7\n", 0),
    (b"", 0),
])
def test_the_bytes_sent_are_read_from_the_statistics(output, sent):
    """Of a session; 0 where it says none."""
    assert bytes_sent(output) == sent


def test_a_survey_is_understood():
    """What would be deleted, names unescaped; what else it says is left out."""
    output = (b"*deleting   gone/\n*deleting   gone/file\n*deleting   new\\#012line\n.d..t...... ./\n"
              b"*deleting    leading\n>f+++++++++ *deleting   x\n")
    assert surveyed(output) == [b"gone", b"gone/file", b"new\nline", b" leading"]


@pytest.mark.parametrize(("message", "verdict", "old"), [
    ("rsync: on remote machine: -@-1: unknown option", HOPELESS, True),
    ("rsync: on remote machine: -@-1: unknown option", AWAY, True),
    ("rsync: -e: unknown option", HOPELESS, False),
])
def test_a_receiver_that_does_not_know_nanoseconds_is_recognized(message, verdict, old):
    """By what it says of the option."""
    less = less_able(target(), Outcome(verdict, 1, message))
    assert (less is not None and not less[0].nanoseconds) == old


@pytest.mark.parametrize(("inherited", "expected"), [
    ({}, {b"LC_MESSAGES": b"C", b"LANGUAGE": b"C"}),
    ({b"LC_ALL": b"de_DE.UTF-8", b"HOME": b"/"},
     {b"LC_MESSAGES": b"C", b"LANGUAGE": b"C", b"LC_CTYPE": b"de_DE.UTF-8", b"HOME": b"/"}),
    ({b"LANGUAGE": b"zh", b"LC_CTYPE": b"C.UTF-8"}, {b"LC_MESSAGES": b"C", b"LANGUAGE": b"C", b"LC_CTYPE": b"C.UTF-8"}),
])
def test_messages_come_in_english_and_names_in_the_users_character_set(inherited, expected):
    """For messages are read, and --iconv goes by the locale."""
    before = dict(inherited)
    assert orders.environment(inherited) == expected
    assert inherited == before


def test_an_order_is_shown_as_a_person_can_read_it():
    """Words quoted, names at the end, control characters escaped, a long list cut."""
    order = Order((b"rsync", b"-a b", b"\xff\n"), b"/da ta", [b"./it's\0", *[b"./%d\0" % n for n in range(30)]])
    text = orders.shown(order)
    assert text.startswith("cd '/da ta' && rsync '-a b' '\\xff\\n' < './it'\"'\"'s' ./0 ./1 ")
    assert text.endswith("./18 and 11 more")
    assert "\n" not in text
    told = orders.in_words(orders.push_names(target(), [(b"%d" % n, ENTRY) for n in range(30)], force=False), 10**5)
    text = orders.shown(told)
    assert "--modify-window=-1 ./0 ./1 " in text
    assert text.endswith("./19 and 10 more 10.0.0.1::module")


# ---- names as words --------------------------------------------------------------------------------------------------


def test_names_are_words_of_a_fresh_session_if_there_is_room():
    """A slash asks for a folder's listing there as well."""
    order = orders.push_names(target(), [(b"a", ENTRY), (b"-b", LISTING)], force=True)
    told = orders.in_words(order, 100)
    assert told.feed is None
    assert told.argv == (*[word for word in order.argv[:-2] if word not in (b"--from0", b"--files-from=-")],
                         b"./a", b"./-b/", order.argv[-1])
    assert orders.names(told) == orders.names(order) == [b"./a", b"./-b/"]
    assert orders.in_words(order, 20) is order


@pytest.mark.parametrize("order", [
    orders.push_names(target(), [], force=True),
    orders.push_tree(target(), NAMES, delete=True),
    orders.purge(target(), [b"a"]),
    orders.compare(target()),
])
def test_what_names_nothing_or_goes_into_folders_is_told_as_before(order):
    """Without a name, an rsync with only a destination would list what is there."""
    assert orders.in_words(order, 10**6) is order


ENTRIES = st.recursive(
    st.one_of(st.binary(max_size=9), st.none()),
    lambda inside: st.dictionaries(st.sampled_from([*HOSTILE_NAMES[:12], b"a", b"b", b"c:d"]), inside, max_size=4),
    max_leaves=12,
)


def lay_out(top, entry):
    """Make a file of some bytes, a symlink of None, a folder of a dict."""
    if isinstance(entry, dict):
        os.mkdir(top)
        for name, inside in entry.items():
            lay_out(os.path.join(top, name), inside)
    elif entry is None:
        os.symlink(b"a", top)
    else:
        with open(top, "wb") as file:
            file.write(entry)


def contents(top):
    """Return what there is below a folder: path -> target of a symlink, content of a file, or False."""
    found = {}
    for folder, folders, files in os.walk(top):
        for path in (os.path.join(folder, name) for name in folders + files):
            inside = os.path.islink(path) and os.readlink(path)
            if os.path.isfile(path) and not inside:
                with open(path, "rb") as file:
                    inside = b"content " + file.read()
            found[os.path.relpath(path, top)] = inside
    return found


@settings(max_examples=40, deadline=None)
@given(ENTRIES, ENTRIES, st.data(), st.booleans())
def test_names_as_words_do_the_same_as_on_stdin(here, there, data, delete):
    """With a real rsync, for names that are there, names that are gone, and what has become something else."""
    with tempfile.TemporaryDirectory() as place:
        source, *mirrors = [os.path.join(os.fsencode(place), name) for name in (b"source", b"one", b"two")]
        lay_out(source, {b"top": here})
        for mirror in mirrors:
            lay_out(mirror, {b"top": there})
        known = sorted({b"", *contents(source), *contents(mirrors[0])})
        scopes = st.tuples(st.sampled_from(known), st.sampled_from([ENTRY, LISTING]))
        asked = [(path, scope if os.path.isdir(os.path.join(source, path)) else ENTRY)
                 for path, scope in data.draw(st.lists(scopes, min_size=1, unique_by=lambda each: each[0]))
                 if not any(os.path.islink(os.path.join(source, above)) for above in ancestors(path))]
        codes = []
        for mirror, room in zip(mirrors, (0, 10**6)):
            order = orders.push_names(target(watch=source, delete=delete), asked, force=True, listing=True)
            order = orders.in_words(order, room)
            argv = [word for word in order.argv[:-1] if word not in NETWORK]
            codes.append(subprocess.run([*argv, mirror], cwd=source, input=b"".join(order.feed or ()), check=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode)
        assert codes[0] == codes[1]
        assert contents(mirrors[0]) == contents(mirrors[1])


# ---- purge, against a real rsync -------------------------------------------------------------------------------------

NAME = st.one_of(
    st.sampled_from(HOSTILE_NAMES),
    st.binary(min_size=1, max_size=12).map(lambda name: name.replace(b"/", b"*").replace(b"\0", b"\\")),
    st.text(alphabet="ab*?[]!^\\-. ", min_size=1, max_size=6).map(str.encode),
).filter(lambda name: name not in (b".", b".."))


@settings(max_examples=60, deadline=None)
@given(st.lists(NAME, min_size=2, max_size=8, unique=True), st.integers(1, 3), st.booleans())
def test_a_purge_deletes_just_what_it_names(names, count, nested):
    """With a real rsync, for names full of wildcards and backslashes, at the top and in a folder of such a name."""
    with tempfile.TemporaryDirectory() as top:
        source, mirror = os.fsencode(top) + b"/source", os.fsencode(top) + b"/mirror"
        folder, files = (names[0] + b"/", names[1:]) if nested else (b"", names)
        for place in (source, mirror):
            os.makedirs(os.path.join(place, folder))
        for name in files:
            with open(os.path.join(mirror, folder, name), "wb"):
                pass
        gone = files[:count]
        order = orders.purge(target(watch=source), [folder + name for name in gone])
        argv = [word for word in order.argv[:-1] if word not in NETWORK]
        done = subprocess.run([*argv, mirror], cwd=source, input=b"".join(order.feed), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        assert sorted(os.listdir(os.path.join(mirror, folder))) == sorted(files[count:])


def test_a_purge_leaves_a_folder_that_holds_something_else(tmp_path):
    """What the filter protects below a deleted folder keeps the folder."""
    source, mirror = tmp_path / "source", tmp_path / "mirror"
    source.mkdir()
    for name in ("gone/sub/file", "gone/kept", "other/file"):
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_text("")
    watch = os.fsencode(str(source))
    order = orders.purge(target(watch=watch), [b"gone/sub/file", b"gone/sub", b"gone"])
    argv = [word for word in order.argv[:-1] if word not in NETWORK]
    subprocess.run([*argv, os.fsencode(str(mirror))], cwd=str(source), input=b"".join(order.feed), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    left = sorted(str(path.relative_to(mirror)) for path in mirror.rglob("*"))
    assert left == ["gone", "gone/kept", "other", "other/file"]


@pytest.mark.parametrize(("line", "failed"), [
    (b'rsync: [receiver] mkstemp "/d/.f.Ab12Cd" (in m) failed: No space left on device (28)', b"d/f"),
    (b'rsync: [receiver] rename "/d/.f.Ab12Cd" (in m) -> "d/f": Permission denied (13)', b"d/f"),
    (b'rsync: [generator] symlink "/d/l" (in m) -> "target" failed: Permission denied (13)', b"d/l"),
])
def test_what_fails_below_a_tree_is_found_whatever_else_its_line_may_be_about(line, failed):
    """The file behind a temporary name, and each path of a line that names two."""
    assert failed in judge(23, line + b"\n" + LAST, {b"": TREE}, b"/data").failed
    assert failed in judge(23, line + b"\n" + LAST, {b"d": TREE, b"target": ENTRY}, b"/data").failed


def test_more_errors_than_are_kept_may_be_about_anything_that_was_asked(source, monkeypatch):
    """Otherwise those that were cut off would count as arrived."""
    line = b'rsync: [sender] send_files failed to open "' + source + b'/1": x (13)\n'
    monkeypatch.setattr(session, "_KEPT_BYTES", len(line))
    for number in range(20):
        write(source, b"%d" % number)
    loop, known = Loop(), {b"%d" % number: ENTRY for number in range(20)}
    loop.on_signals({signal.SIGCHLD: lambda: None})
    words = (b"sh", b"-c", b'printf %s "$0$0$0" >&2; exit 23', line)
    running = session.Session(loop, Order(words, source), known, time.monotonic())
    try:
        while running.step(time.monotonic()) is None:
            loop.wait(0.05)
    finally:
        loop.close()
    assert running.outcome.verdict == PARTIAL
    assert running.outcome.failed is None
