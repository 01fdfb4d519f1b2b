"""What a filter excludes is neither sent nor deleted, however a push comes about; and it excludes what it says."""

import os
import re
import shutil
import signal
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig import LOOPBACK, Relay, differences, wait_equal, wait_for
from test_mirror import EXACT, fill, read, started, write

from sersync_py.changes import ENTRY, Dirt
from sersync_py.comparison import Request
from sersync_py.filters import Filter
from sersync_py.lane import Lane
from sersync_py.loop import Loop
from sersync_py.settings import Remote, Rsync
from sersync_py.target import Target
from sersync_py.warm import Slots

SAMPLE = (r"(.*)\.svn", r"(.*)\.gz", r"^info/*", r"^static/*")
"""The four excludes of sersync2's sample."""


def excluded(path):
    """Say, without the filter, what the sample excludes: a path itself or one below it."""
    parts = path.split(b"/")
    return parts[0] in (b"info", b"static") or any(part.endswith((b".svn", b".gz")) for part in parts)


OTHERS = {"ignore": excluded}


# ---- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "answer"), [
    (b"x.svn", True),
    (b"sub/y.svn", True),
    (b"a.gz", True),
    (b"a.gz.txt", False),
    (b"a.gzip", False),
    (b"agz", False),
    (b"info", True),
    (b"info/a", True),
    (b"info/a/b/c", True),
    (b"static/k", True),
    (b"infob", False),
    (b"infob/a", False),
    (b"sub/info", False),
    (b"sub/info/a", False),
    (b"sub.svn/inner/file", True),
    (b".svn", True),
    (b"deep/.svn/entries", True),
    (b"new\nline.gz", True),
    (b"\nx/new\nline.gz", True),
    (b"\xff\xfe.gz", True),
    ("\u4e2d\u6587/\u56fe.gz".encode(), True),
    (b"\xff\xfe", False),
    (b"", False),
])
def test_the_samples_excludes_hide_what_sersync2_leaves_out(path, answer):
    """A regex matches the whole of `name` in the watch folder itself, of `/dir/name` below, of `dir/` for a folder."""
    assert Filter(SAMPLE).hides(path) is answer


@pytest.mark.parametrize(("expression", "path", "folder", "answer"), [
    (r"[[:digit:]]+\.log", b"2024.log", False, True),
    (r"[[:digit:]]+\.log", b"x2024.log", False, False),
    (r"/(.*/)?[[:upper:][:digit:]]+", b"a/B7", False, True),
    (r"/(.*/)?[[:upper:][:digit:]]+", b"a/b7", False, False),
    (r"[^[:space:]]+", b"one", False, True),
    (r"[^[:space:]]+", b"one two", False, False),
    (r"[[:punct:]]x", b"]x", False, True),
    (r"[[:punct:]]x", b"\\x", False, True),
    (r"[[:xdigit:]]{4}", b"beEf", False, True),
    (r"[[:alpha:]]", b"[", False, False),
    # a dot is any character, a newline too, and a whole match is one to the very end
    (r"a.b", b"a\nb", False, True),
    (r"name", b"name\n", False, False),
    (r"name$", b"name\n", False, False),
    # a file in the watch folder has no slash before its name, anything deeper has
    (r"/name", b"name", False, False),
    (r"name", b"sub/name", False, False),
    (r"/sub/name", b"sub/name", False, True),
    (r"sub/name", b"sub/name", False, False),
    # a folder is also tried as sersync2 meets it at a start, with a slash behind
    (r"sub/deep/", b"sub/deep", True, True),
    (r"sub/deep/", b"sub/deep", False, False),
    (r"/sub/deep", b"sub/deep", True, True),
    (r"gone|here", b"gone", False, True),
    (r"gone|here", b"here", False, True),
    (r"(.*)xy{0,1}", b"ax", False, True),
    (r"(.*)xy?", b"ax", False, True),
    # groups that are referred to stay those of their own expression
    (r"(.)x\1", b"axa", False, True),
    (r"(.)x\1", b"axb", False, False),
])
def test_an_expression_is_posix_and_matches_the_whole_subject(expression, path, folder, answer):
    """The answer does not depend on which other expressions there are."""
    assert Filter([expression]).excludes(path, folder) is answer
    for others in (["no.such"], [r"(q)\1"], [r"(?i)NOSUCH"]):
        assert Filter([*others, expression]).excludes(path, folder) is answer
        assert Filter([expression, *others]).excludes(path, folder) is answer


PARTS = ["a", "b", "ab", "/", ".", r"\.", ".*", "(.*)", "a*", "b+", "b?", "[ab]", "[^]/]", "(a|b)", "|", "^", "$",
         r"\/", r"\w", "(?:a)", "b{2}", r"[\]a]", "(b)", "-", "\u4e2d", "(/.*)?", r"\-", "#", "(ab)*"]


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions=st.lists(st.lists(st.sampled_from(PARTS), max_size=5).map("".join), min_size=1, max_size=4),
       path=st.lists(st.sampled_from(["a", "b", "/", "x", ".", "-", "\u4e2d", "#", "\n"]), min_size=1, max_size=6))
def test_the_short_way_to_an_answer_gives_the_answer_of_each_expression_by_itself(expressions, path):
    """An expression that is not tried could not have matched."""
    try:
        patterns = [re.compile(expression, re.DOTALL) for expression in expressions]
    except re.error:
        return
    text = "".join(path).strip("/")
    subject = "/" + text if "/" in text else text
    for folder in (False, True):
        subjects = [subject, text + "/"] if folder else [subject]
        plain = any(pattern.fullmatch(each) for pattern in patterns for each in subjects)
        assert Filter(expressions).excludes(text.encode(), folder) is bool(text and plain)


def test_without_rules_nothing_is_excluded():
    """And it says so at once."""
    assert not Filter()
    assert not Filter().hides(b"anything/at.all")
    assert Filter(SAMPLE)


# ---- end to end ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(daemon):
    return daemon.mirrors[0]


def precious(mirror):
    """Put files that the filter excludes, and some that it does not, where only the remote has them."""
    for name in (b"info/p", b"a.gz", b"old/x.svn", b"old/deeper/still/y.gz", b"gone/z.gz", b"gone/on/z.gz"):
        write(mirror, name, b"precious")
    write(mirror, b"st/a.gz/b", b"precious")
    for name in (b"extra", b"gone/extra", b"gone/on/extra", b"old/extra", b"st/extra"):
        write(mirror, name, b"too much")


def excluded_at(folder):
    """Return what stands in a folder of what is excluded, with its content."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.relpath(os.path.join(parent, name), folder)
            if excluded(path):
                found[path] = read(folder, path)
    return found


def strew(source):
    """Put excluded files of all kinds into the source."""
    for name in (b"b.gz", b"info/secret", b"old/z.svn", b"old/a.svn/inner/file", b"new/deep/c.gz"):
        write(source, name, b"not for the remote")
    write(source, b"new/deep/plain")


def test_nothing_excluded_is_sent_or_deleted_by_events_and_whole_tree_pushes(source, daemon, agent, mirror):
    """At the start with -r, in real time, by SIGUSR1 and at a start without -r."""
    fill(os.path.join(source, b"old"))
    strew(source)
    precious(mirror)
    before = excluded_at(mirror)
    assert len(before) == 7
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, excludes=SAMPLE)
    running.start(watching=0)
    wait_equal(source, mirror, ignore=lambda path: excluded(path) or path in (b"gone", b"gone/on", b"st"))
    wait_for(lambda: "pushed the whole tree" in running.log())
    assert excluded_at(mirror) == before
    # what is excluded does not go and keeps its folder; all else in it goes
    assert sorted(os.listdir(os.path.join(mirror, b"gone"))) == [b"on", b"z.gz"]

    write(source, b"d.gz", b"in real time")
    write(source, b"static/again", b"a folder that comes later")
    write(source, b"later/info/sent", b"only at the top is it excluded")
    write(source, b"later/e.svn/file", b"not sent")
    write(source, b"old/f.gz", b"not sent")
    os.remove(os.path.join(source, b"b.gz"))
    os.rename(os.path.join(source, b"old/0.txt"), os.path.join(source, b"old/0.gz"))
    os.rename(os.path.join(source, b"old/z.svn"), os.path.join(source, b"old/z.txt"))
    os.rename(os.path.join(source, b"info"), os.path.join(source, b"public"))
    os.rename(os.path.join(source, b"new"), os.path.join(source, b"new.gz"))
    shutil.rmtree(os.path.join(source, b"old/deeper"))
    keeping = {"ignore": lambda path: excluded(path) or path.startswith((b"gone", b"st", b"old/deeper"))}
    wait_equal(source, mirror, **keeping)
    assert excluded_at(mirror) == before
    wait_for(lambda: os.listdir(os.path.join(mirror, b"old/deeper/still")) == [b"y.gz"])
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"later/info/sent")))

    write(mirror, b"extra", b"too much")
    write(mirror, b"old/deeper/extra", b"too much")
    running.signal(signal.SIGUSR1)
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"old/deeper/extra")))
    wait_equal(source, mirror, **keeping)
    assert excluded_at(mirror) == before

    running.stop()
    running.arguments = ()
    write(source, b"static/while down", b"not sent")
    write(source, b"old/while down")
    os.remove(os.path.join(source, b"old/1.txt"))
    running.start(watching=0)
    wait_equal(source, mirror, **keeping)
    assert excluded_at(mirror) == before
    running.stop()


def test_a_folder_deleted_here_keeps_its_excluded_files_there_and_only_those(source, daemon, agent, mirror):
    """However deep they are."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, excludes=SAMPLE)
    fill(os.path.join(source, b"old"))
    fill(os.path.join(source, b"plain"))
    started(running, source, [mirror])
    write(mirror, b"old/deeper/still/kept.gz", b"precious")
    shutil.rmtree(os.path.join(source, b"old"))
    shutil.rmtree(os.path.join(source, b"plain"))
    wait_for(lambda: sorted(os.listdir(mirror)) == [b"from the start", b"old"])
    wait_for(lambda: [os.listdir(os.path.join(mirror, path)) for path in (b"old", b"old/deeper", b"old/deeper/still")]
             == [[b"deeper"], [b"still"], [b"kept.gz"]])
    # that is how it shall be: nothing is owed
    write(source, b"later")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"later")))
    assert "failed" not in running.log()


def test_a_file_in_the_place_of_a_folder_does_not_delete_what_is_excluded_in_it(source, daemon, agent, mirror):
    """The failure is said and owed; once the excluded file is gone, the other takes its place by itself."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, excludes=SAMPLE)
    fill(os.path.join(source, b"old"))
    started(running, source, [mirror])
    kept = write(mirror, b"old/deeper/kept.gz", b"precious")
    shutil.rmtree(os.path.join(source, b"old"))
    write(source, b"old", b"a file now")
    write(source, b"beside")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"beside")))
    wait_for(lambda: "failed twice" in running.log() and "(old)" in running.log())
    wait_for(lambda: os.path.exists(running.fail_log) and b"./old " in read(os.fsencode(running.fail_log)))
    assert read(kept) == b"precious"
    assert os.listdir(os.path.join(mirror, b"old")) == [b"deeper"]
    os.remove(kept)
    wait_equal(source, mirror)
    wait_for(lambda: os.path.getsize(running.fail_log) == 0)


def test_a_replayed_fail_log_neither_sends_nor_deletes_what_is_excluded(source, daemon, agent, mirror):
    """Whoever wrote it: the excluded entries are dropped, the others are done."""
    running = agent(source, [daemon.remotes[0]], params=EXACT, port=daemon.port, excludes=SAMPLE)
    fill(os.path.join(source, b"old"))
    strew(source)
    precious(mirror)
    before = excluded_at(mirror)
    parts = [b'"./%s" --port=%d' % (name, daemon.port) for name in (b"b.gz", b"info/secret", b"old/a.svn", b"new")]
    parts += [b"--port=%d --delete ./ %s --exclude=\"*\"" % (daemon.port, includes) for includes in (
        b'--include="a.gz"', b'--include="info" --include="info/***"', b'--include="gone" --include="gone/***"',
        b'--include="old/" --include="old/x.svn"')]
    text = b"".join(b"#errno 2560\ncd %s && rsync -artz -R %s %s::m1 >/dev/null 2>&1 \n\n" % (
        source, part, LOOPBACK.encode()) for part in parts)
    with open(running.fail_log, "wb") as file:
        file.write(text)
    running.start(watching=0)
    wait_for(lambda: "8 entries to replay" in running.log())
    wait_for(lambda: os.path.getsize(running.fail_log) == 0)
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"gone/extra")))
    extras = (b"extra", b"old/extra", b"gone", b"gone/on", b"st", b"st/extra")
    wait_equal(source, mirror, ignore=lambda path: excluded(path) or path in extras)
    assert not os.path.exists(os.path.join(mirror, b"gone/on/extra"))
    assert excluded_at(mirror) == before


def test_100000_excluded_files_are_neither_sent_nor_named_in_a_push(daemon, agent, mirror, tmp_path):
    """They cost a walk, and nothing at the remote; a change beside them is one small session."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)
    source = os.fsencode(os.path.join(memory, f"sersync-py-test-{os.getpid()}"))
    os.makedirs(os.path.join(source, b"logs"))
    relay = Relay(daemon.port)
    try:
        for number in range(100000):
            os.close(os.open(source + b"/logs/%d.gz" % number, os.O_CREAT | os.O_WRONLY))
        write(source, b"logs/plain")
        running = agent(source, [daemon.remotes[0]], "-r", params=EXACT, port=relay.port, excludes=SAMPLE).start()
        wait_equal(source, mirror, **OTHERS)
        wait_for(lambda: "pushed the whole tree" in running.log())
        before = relay.bytes_sent
        os.remove(os.path.join(source, b"logs/plain"))
        write(source, b"logs/other")
        write(source, b"logs/0.gz", b"changed")
        wait_equal(source, mirror, **OTHERS)
        assert relay.bytes_sent - before < 5000
        assert os.listdir(os.path.join(mirror, b"logs")) == [b"other"]
        sent = [line for line in running.log().splitlines() if "pushed the whole tree" in line]
        assert int(sent[0].split(" bytes")[0].rpartition(" ")[2]) < 5000
        running.stop()
    finally:
        relay.close()
        shutil.rmtree(source)


# ---- crontab's own patterns ------------------------------------------------------------------------------------------

PATTERNS = ("*.bak", "/cache/", "tmp[0-9]")


def left_out(path):
    """Say, without rsync, what PATTERNS leave out."""
    parts = path.split(b"/")
    return parts[0] == b"cache" or any(part.endswith(b".bak") or part in (b"tmp1", b"tmp2") for part in parts)


def target_of(daemon, source):
    return Target(source, Remote(LOOPBACK, "m1"), Rsync(params=("-artz",), port=daemon.port, warm=None), delete=True)


def strew_for_crontab(source, mirror):
    fill(os.path.join(source, b"old"))
    for name in (b"a.bak", b"old/b.bak", b"cache/c", b"old/tmp1"):
        write(source, name, b"not by crontab")
    for name in (b"z.bak", b"old/y.bak", b"cache/x", b"gone/tmp2"):
        write(mirror, name, b"stays")
    for name in (b"extra", b"old/extra", b"gone/extra"):
        write(mirror, name, b"goes")


def by_kind(mirror):
    """Return the files that PATTERNS leave out in a folder."""
    files = [os.path.join(parent, name) for parent, _, names in os.walk(mirror) for name in names]
    return sorted(path for path in (os.path.relpath(each, mirror) for each in files) if left_out(path))


@pytest.mark.parametrize("expressions", [(), (r".*\.excluded",)], ids=["without filters", "with filters"])
def test_crontabs_patterns_are_neither_sent_nor_deleted_by_its_comparison(source, daemon, mirror, expressions):
    """What they leave out stays at the mirror, even in a folder that is gone here; what is dirty goes in full."""
    strew_for_crontab(source, mirror)
    before = by_kind(mirror)
    loop = Loop()
    lane = Lane(loop, target_of(daemon, source), Filter(expressions), Slots(10))

    def drive():
        def step():
            lane.step(time.monotonic())
            loop.wait(0.01)
            return lane.in_step() and not lane.comparing()

        wait_for(step, message="the lane to come to rest")

    lane.compare(Request(PATTERNS))
    drive()
    assert by_kind(mirror) == before
    assert differences(source, mirror, ignore=lambda path: left_out(path) or path == b"gone") == []
    assert not os.path.exists(os.path.join(mirror, b"gone/extra"))
    lane.compare(Request(PATTERNS))
    lane.mark([b"a.bak"], Dirt(ENTRY, time.time()))
    drive()
    assert os.path.exists(os.path.join(mirror, b"a.bak"))
    lane.compare(Request())
    drive()
    assert differences(source, mirror) == []
    loop.close()
