"""Nothing is lost, whatever dies: the remote, the agent, the watch folder; a missing disk never empties a mirror."""

import os
import shutil
import signal
import stat
import subprocess
import time

import pytest
from rig import HOSTILE_NAMES, LOOPBACK, Relay, differences, wait_equal, wait_for
from test_mirror import EXACT, fill, started, write

from sersync_py.changes import ancestors
from sersync_py.faillog import parse


def said(running):
    """Return what the fail log says; nothing if it is not there."""
    try:
        with open(running.fail_log, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def kill(running):
    """Let the agent die as in a crash, and its sessions with it."""
    running.kill()
    running.end()


def change(source):
    """Write, delete and rename, files and folders."""
    write(source, b"new/deep/file", b"new")
    write(source, b"old/0.txt", b"written again")
    os.remove(os.path.join(source, b"old/1.txt"))
    os.rename(os.path.join(source, b"old/2.txt"), os.path.join(source, b"renamed"))
    shutil.rmtree(os.path.join(source, b"old/deeper"))


@pytest.fixture
def one(source, daemon, agent):
    """An agent in step with one mirror."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT)
    fill(os.path.join(source, b"old"))
    return started(running, source, [daemon.mirrors[0]])


# ---- the fail log ----------------------------------------------------------------------------------------------------


def test_what_failed_twice_stands_in_the_fail_log_as_sersync2_wrote_it_and_leaves_it_when_it_has_arrived(
    one, source, daemon
):
    """#errno, then cd and rsync in one line, then a blank line; readable for its owner alone."""
    daemon.stop()
    write(source, b"it's new")
    log = wait_for(lambda: said(one))
    lines = log.decode().split("\n")
    assert lines[0] == "#errno 2560"
    assert lines[1].startswith(f"cd {os.fsdecode(source)} && rsync -artz -R ")
    assert lines[1].endswith(f" './it'\\''s new' {LOOPBACK}::m1")
    assert lines[2:] == ["", ""]
    assert stat.S_IMODE(os.stat(one.fail_log).st_mode) == 0o600
    change(source)
    wait_for(lambda: said(one).count(b"#errno") >= 5)
    daemon.start()
    wait_equal(source, [daemon.mirrors[0]])
    wait_for(lambda: os.path.getsize(one.fail_log) == 0)


def test_the_fail_log_run_by_hand_repairs_the_mirror(one, source, daemon):
    """`sh rsync_fail_log.sh`, with the agent dead: writes, deletions, hostile names, and nothing else is executed."""
    daemon.stop()
    change(source)
    names = [name for name in HOSTILE_NAMES if not name.startswith(b".") and not name.endswith(b"~")]
    for name in names:
        write(source, b"hostile/" + name, name)
    shutil.copytree(os.path.join(source, b"hostile"), os.path.join(source, b"old/hostile"))
    changed = [folder + name for folder in (b"hostile/", b"old/hostile/") for name in names]
    changed += [b"new/deep/file", b"old/0.txt", b"old/1.txt", b"old/2.txt", b"renamed", b"old/deeper"]

    def is_owed(path):
        paths = {owed.path for owed in parse(said(one)).owed}
        return path in paths or any(above in paths for above in ancestors(path))

    wait_for(lambda: all(map(is_owed, changed)))
    kill(one)
    daemon.start()
    done = subprocess.run(["sh", one.fail_log], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=one.folder)
    assert not differences(source, daemon.mirrors[0]), done.stdout
    found = subprocess.run(["find", os.path.dirname(source), "-name", "owned"], stdout=subprocess.PIPE, check=True)
    assert found.stdout == b""


def test_a_log_that_sersync2_left_is_replayed_without_a_shell_and_then_emptied(source, daemon, agent):
    """Mode 777, names as they are between double quotes; deletions and a whole tree are in it too."""
    mirror, other = daemon.mirrors
    running = agent(source, daemon, params=EXACT)
    fill(os.path.join(source, b"old"))
    fill(os.path.join(source, b"gone"))
    started(running, source, daemon.mirrors)
    running.stop()
    # the mark says that all has arrived, so that only the log knows of what follows
    names = [b"`touch owned`", b"$(touch owned)", b'say "hi"; touch owned; "', b"plain"]
    for name in names:
        write(source, name, b"lost")
    for folder in (mirror, other):
        for name in (b"gone/0.txt", b"only here"):
            write(folder, name, b"the remote's own")
    os.remove(os.path.join(source, b"gone/0.txt"))
    shutil.rmtree(os.path.join(source, b"gone/deeper"))
    for entry in os.listdir(running.state_dir):
        if entry.endswith(".mark"):
            os.remove(os.path.join(running.state_dir, entry))
    port = str(daemon.port).encode()
    head = b"#errno 2560\ncd %s && rsync -artz -R " % source
    tail = b" >/dev/null 2>&1 \n\n"
    text = b"".join(head + b'"./%s" --port=%s %s::m1' % (name, port, LOOPBACK.encode()) + tail for name in names)
    for includes in (b'--include="gone/" --include="gone/0.txt"', b'--include="gone/" --include="gone/deeper" '
                     b'--include="gone/deeper/***"'):
        text += head + b"--port=%s --delete ./ %s --exclude=\"*\" %s::m1" % (port, includes, LOOPBACK.encode()) + tail
    text += head + b"--port=%s --delete ./ %s::m2" % (port, LOOPBACK.encode()) + tail
    with open(running.fail_log, "wb") as file:
        file.write(text)
    os.chmod(running.fail_log, 0o777)
    running.start()
    # the log told of two deletions at m1, and of the whole tree at m2; without marks nothing else is ever deleted
    wait_equal(source, mirror, ignore=lambda path: path == b"only here")
    wait_equal(source, other)
    assert os.path.exists(os.path.join(mirror, b"only here"))
    wait_for(lambda: os.path.getsize(running.fail_log) == 0)
    assert stat.S_IMODE(os.stat(running.fail_log).st_mode) == 0o600
    assert "mode 0777" in running.log()
    for folder in (running.folder, source, mirror, other):
        assert not os.path.exists(os.path.join(os.fsencode(folder), b"owned"))


def test_what_is_replayed_stays_in_the_log_until_it_has_arrived(one, source, daemon):
    """The agent is killed while the remote is away, twice; the log of the first outage is not lost with the second."""
    daemon.stop()
    os.remove(os.path.join(source, b"old/0.txt"))
    wait_for(lambda: b"./old/0.txt" in said(one))
    kill(one)
    one.arguments = ()
    one.start()
    kill(one)
    assert b"./old/0.txt" in said(one)
    one.start()
    daemon.start()
    wait_equal(source, [daemon.mirrors[0]])
    wait_for(lambda: os.path.getsize(one.fail_log) == 0)


def test_what_the_log_says_of_strangers_is_kept_as_a_comment_and_not_run(one, source, daemon, tmp_path):
    """A remote or a folder that the config does not have, and what is no command of ours at all."""
    one.stop()
    strangers = (
        b"#errno 2560\ncd %s && rsync -artuz -R \"./old/0.txt\" 10.9.8.7::elsewhere >/dev/null 2>&1 \n\n" % source
        + b"#errno 2560\ncd /somewhere && rsync -artuz -R \"./x\" 127.0.0.1::m1 >/dev/null 2>&1 \n\n"
        + b"touch %s/owned\n" % os.fsencode(str(tmp_path))
    )
    with open(one.fail_log, "wb") as file:
        file.write(strangers)
    one.start()
    log = wait_for(lambda: b"#not understood" in said(one) and said(one))
    assert all(word in log for word in (b"10.9.8.7::elsewhere", b"/somewhere", b"touch"))
    assert all(line.startswith(b"#") for line in log.split(b"\n") if line)
    wait_for(lambda: one.log().count("pushed the whole tree") == 2)
    daemon.stop()
    write(source, b"new")
    wait_for(lambda: b"./new " in said(one))
    daemon.start()
    wait_for(lambda: b"./new " not in said(one))
    assert b"10.9.8.7::elsewhere" in said(one)
    subprocess.run(["sh", one.fail_log], check=True)
    assert not os.path.exists(str(tmp_path / "owned"))


# ---- the agent dies --------------------------------------------------------------------------------------------------


def test_what_was_owed_when_the_agent_was_killed_arrives_after_a_start_without_r(one, source, daemon):
    """Nothing but the disk tells of it: writes, deletions and renames, before the kill and while it was down."""
    daemon.stop()
    change(source)
    wait_for(lambda: "away" in one.log())
    kill(one)
    write(source, b"while down", b"nobody saw it")
    os.remove(os.path.join(source, b"old/3.txt"))
    one.arguments = ()
    one.start()
    write(source, b"after the start")
    daemon.start()
    wait_equal(source, [daemon.mirrors[0]])


def test_a_first_start_without_r_sends_what_is_lacking_and_deletes_nothing(source, daemon, agent):
    """A mirror that has more than the source keeps it, until SIGUSR1 asks for the whole tree."""
    for mirror in daemon.mirrors:
        write(mirror, b"only at the mirror")
        write(mirror, b"old/only at the mirror")
    fill(os.path.join(source, b"old"))
    running = agent(source, daemon, params=EXACT).start()
    extra = {"ignore": lambda path: path.endswith(b"only at the mirror")}
    wait_equal(source, daemon.mirrors, **extra)
    os.remove(os.path.join(source, b"old/0.txt"))
    wait_equal(source, daemon.mirrors, **extra)
    for mirror in daemon.mirrors:
        assert os.path.exists(os.path.join(mirror, b"only at the mirror"))
        assert os.path.exists(os.path.join(mirror, b"old/only at the mirror"))
    running.signal(signal.SIGUSR1)
    wait_equal(source, daemon.mirrors)


def test_sigusr1_mends_what_somebody_else_did_to_a_mirror(one, source, daemon):
    """Whatever was changed, deleted or added there is as here again."""
    mirror = daemon.mirrors[0]
    write(mirror, b"old/0.txt", b"a longer text that is not ours")
    shutil.rmtree(os.path.join(mirror, b"old/deeper"))
    write(mirror, b"added/there")
    one.signal(signal.SIGUSR1)
    wait_equal(source, [mirror])


# ---- the watch folder goes -------------------------------------------------------------------------------------------


def test_an_empty_watch_folder_empties_no_mirror_until_sigusr1_says_so(source, daemon, agent):
    """An unmounted disk looks just like this, at a start with -r."""
    mirror = daemon.mirrors[0]
    fill(mirror)
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port).start()
    wait_for(lambda: "is empty; nothing is deleted" in running.log())
    # a change that arrives shows that the first push is through
    write(source, b"first")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"first")))
    os.remove(os.path.join(source, b"first"))
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"first")))
    assert os.path.exists(os.path.join(mirror, b"deeper/still/0.txt"))
    running.signal(signal.SIGUSR1)
    wait_for(lambda: not os.listdir(mirror))


def replace_by_nothing(source):
    """Only gone."""


def replace_by_an_empty_folder(source):
    """What stays when a disk is unmounted."""
    os.mkdir(source)


def replace_by_another_tree(source):
    """With other content, among it a name that the mirror has too."""
    write(source, b"old/0.txt", b"of the other tree")


@pytest.mark.parametrize(
    "replace", [replace_by_nothing, replace_by_an_empty_folder, replace_by_another_tree], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("excludes", [(), (r".*\.excluded",)], ids=["without filters", "with filters"])
def test_a_watch_folder_that_is_renamed_away_empties_no_mirror_and_is_mirrored_again_when_it_is_back(
    source, daemon, agent, replace, excludes
):
    """Not even SIGUSR1 makes it; what changed in the folder meanwhile arrives."""
    mirror = daemon.mirrors[0]
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, excludes=excludes)
    fill(os.path.join(source, b"old"))
    started(running, source, [mirror])
    away = source + b" renamed"
    os.rename(source, away)
    replace(source)
    running.signal(signal.SIGUSR1)
    wait_for(lambda: "nothing is pushed or deleted until it is back" in running.log())
    write(away, b"old/0.txt", b"written meanwhile")
    os.remove(os.path.join(away, b"old/1.txt"))
    time.sleep(0.7)
    assert os.path.exists(os.path.join(mirror, b"old/1.txt"))
    assert os.path.exists(os.path.join(mirror, b"old/deeper/still/2.txt"))
    with open(os.path.join(mirror, b"old/0.txt"), "rb") as file:
        assert file.read() == b"file 0"
    if os.path.exists(source):
        shutil.rmtree(source)
    os.rename(away, source)
    wait_equal(source, [mirror])
    write(source, b"old/deeper/new", b"after it was back")
    wait_equal(source, [mirror])


@pytest.mark.parametrize("excludes", [(), (r".*\.excluded",)], ids=["without filters", "with filters"])
def test_a_watch_folder_that_is_replaced_between_two_sessions_of_a_push_empties_no_mirror(
    source, daemon, agent, excludes
):
    """A push may take several sessions; none may start in a folder that is not ours."""
    mirror = daemon.mirrors[0]
    fill(os.path.join(source, b"old"))
    relay = Relay(daemon.port)
    remotes = [daemon.remotes[0]]
    running = agent(source, remotes, "-r", port=relay.port, params=EXACT, excludes=excludes, debug=True, warm=0)
    # the connections are counted: none is made to ask whether a remote that stands still is there
    running.prelude = "from sersync_py import probe\nprobe.QUIET_SECONDS = 1000\n"
    started(running, source, [mirror])
    relay.stall()
    before = relay.connections
    write(source, b"first", b"so that all that follows is one push")
    wait_for(lambda: relay.connections == before + 1)
    # a folder that goes is a tree, the files beside it are names: two sessions, without filters too
    shutil.rmtree(os.path.join(source, b"old/deeper"))
    write(source, b"old/1.txt", b"written again")
    write(source, b"old/2.txt", b"written again")
    wait_for(lambda: "old/2.txt" in running.log())
    relay.delay = 0.1
    relay.resume()
    wait_for(lambda: relay.connections == before + 2)
    relay.stall()
    away = source + b" renamed"
    os.rename(source, away)
    os.mkdir(source)
    wait_for(lambda: "nothing is pushed or deleted until it is back" in running.log())
    relay.delay = 0.0
    relay.resume()
    wait_for(lambda: len(running.processes()) == 1, message="the sessions in flight to end")
    time.sleep(0.5)
    assert relay.connections == before + 2
    assert os.path.exists(os.path.join(mirror, b"old/1.txt"))
    assert os.path.exists(os.path.join(mirror, b"from the start"))
    os.rmdir(source)
    os.rename(away, source)
    wait_equal(source, [mirror])
    relay.close()


def test_an_unmounted_disk_at_the_start_empties_no_mirror_and_its_return_is_noticed(source, daemon, agent):
    """Another folder than before: it is sent, nothing is deleted, with -r too, until SIGUSR1 or the return."""
    fill(os.path.join(source, b"old"))
    running = started(agent(source, daemon, "-r", params=EXACT), source, daemon.mirrors)
    wait_for(lambda: len([name for name in os.listdir(running.state_dir) if name.endswith(".mark")]) == 2)
    running.stop()
    os.rename(source, source + b".disk")
    os.mkdir(source)
    write(source, b"stray")
    for _ in range(2):
        running.start()
        for mirror in daemon.mirrors:
            wait_for(lambda path=os.path.join(mirror, b"stray"): os.path.exists(path))
        running.stop()
    running.start()
    running.signal(signal.SIGHUP)
    wait_for(lambda: "config reloaded" in running.log())
    for mirror in daemon.mirrors:
        assert os.path.exists(os.path.join(mirror, b"old/deeper/still/4.txt"))
    os.rename(source, source + b".mountpoint")
    os.rename(source + b".disk", source)
    write(source, b"the disk is back")
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"the disk is back"): os.path.exists(path))
    running.signal(signal.SIGUSR1)
    wait_equal(source, daemon.mirrors)


def test_a_start_without_r_never_deletes_what_was_never_here(source, daemon, agent):
    """As long as the mirror was not made equal once, a restart's listing is no proof of a deletion."""
    write(source, b"first")
    for mirror in daemon.mirrors:
        write(mirror, b"only at the mirror")
    running = agent(source, daemon, params=EXACT).start()
    wait_for(lambda: running.log().count("(./)") == 2)
    running.stop()
    write(source, b"second")
    os.remove(os.path.join(source, b"first"))
    running.start(watching=0)
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"second"): os.path.exists(path))
        assert os.path.exists(os.path.join(mirror, b"only at the mirror"))
