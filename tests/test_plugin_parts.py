"""The parts of the plugins one by one: what they say, the row of calls, and what counts as arrived."""

import os
import re
import time
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sersync_py.announcer import Announcer
from sersync_py.arrivals import Arrivals
from sersync_py.changes import ENTRY, ROOT, TREE, Dirt, ancestors
from sersync_py.filters import Filter
from sersync_py.loop import Loop
from sersync_py.plugins import runner as runner_module
from sersync_py.plugins.call import Ended, Plugin, Task, call_for
from sersync_py.plugins.command import CommandPlugin, argv_for
from sersync_py.plugins.errand import Errand
from sersync_py.plugins.post import form_for
from sersync_py.plugins.refreshcdn import request_for, url_for
from sersync_py.plugins.runner import AT_ONCE, Runner
from sersync_py.settings import Command, Config, Inotify, Mirror, RefreshCdn
from sersync_py.walk import FOLDER, GONE, OTHER

# ---- what is said ----------------------------------------------------------------------------------------------------


def call(path=b"a", found=OTHER, scope=ENTRY, watch=b"/w"):
    return call_for(watch, path, scope, 1.5, found)


@pytest.mark.parametrize(("found", "scope", "word", "folder"), [
    (OTHER, ENTRY, "written", False), (OTHER, TREE, "written", False), (FOLDER, ENTRY, "folder", True),
    (FOLDER, TREE, "folder", True), (GONE, ENTRY, "deleted", False), (GONE, TREE, "folder-deleted", True),
])
def test_what_a_change_was_is_found_at_the_disk(found, scope, word, folder):
    kind = call(found=found, scope=scope).kind
    assert (kind.word, kind.folder, bool(kind.mask & 0x40000000)) == (word, folder, folder)


@settings(deadline=None)
@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_whatever_the_name_the_path_is_one_argument_and_the_form_gives_it_back(name):
    settings = Command(("sh", "$x"), ("y",))
    assert argv_for(settings, call(name)) == [b"sh", b"$x", b"/w/" + name, b"y"]
    form = form_for(call(name))
    assert re.match(rb"[A-Za-z0-9._~%+&=-]*\Z", form)
    request = request_for(RefreshCdn("h", 80, "u", "p", "b"), call(name), url_for("b", None, call(name)))
    assert re.match(rb"HEAD /index\.jsp\?user=u&pswd=p&ok=ok&urls=b/[A-Za-z0-9._~%/:-]* HTTP/1\.0\r\nHost: h\r\n\r\n\Z",
                    request)


@pytest.mark.parametrize(("path", "found", "wanted"), [
    (b"a.php", OTHER, True), (b"d/a.php", OTHER, True), (b"a.phpx", OTHER, False), (b"top", OTHER, True),
    (b"d/top", OTHER, False), (b"d/low", OTHER, True), (b"d", FOLDER, True), (b"d", OTHER, False),
    (b"x\n.php", OTHER, True), (b"\xff.php", OTHER, True), (b"abs", OTHER, True),
])
def test_an_include_must_match_the_whole_of_some_form_of_the_path(path, found, wanted):
    includes = (r"(.*)\.php", "top", "/d/low", "d/", "/w/abs")
    assert CommandPlugin(Command(("x",), includes=includes)).wants(call(path, found)) == wanted


@pytest.mark.parametrize(("match", "path", "url"), [
    (None, b"a/b.jpg", "http://p/cms/a/b.jpg"),
    (None, b"a b&c", "http://p/cms/a%20b%26c"),
    ("cms/site([/a-z]*).example/images", b"site/jx.example/images/a.jpg", "http://p/cms/jx/a.jpg"),
    ("cms/site([/a-z]*).example/images", b"other/a.jpg", None),
    ("site(/x)?", b"site", "http://p/cms"),
])
def test_the_url_of_a_path(match, path, url):
    """The regex sees the watch folder's own path too, as the sample of sersync2 wants it."""
    pattern = None if match is None else re.compile(match)
    assert url_for("http://p/cms", pattern, call(path, watch=b"/data/cms")) == url


# ---- the row of calls ------------------------------------------------------------------------------------------------


class Fake(Plugin):
    """A plugin whose calls end when the test says so."""

    name = "fake"

    def __init__(self):
        self.begun, self.open = [], {}

    def wants(self, call):
        return not call.path.startswith(b"unwanted")

    def begin(self, call, now):
        task = FakeTask()
        self.begun.append(call.path)
        self.open[call.path] = task
        return task

    def end(self, path, ended=None):
        self.open.pop(path).ended = ended or Ended()


class FakeTask(Task):
    alarm = float("inf")
    ended = None

    def step(self, now):
        return self.ended

    def end(self, now):
        self.ended = Ended("was ended")


@pytest.fixture
def fake():
    return Fake()


def step(runner, now=0.0):
    """Step as often as the runner wants to be."""
    runner.step(now)
    while runner.alarm() <= 0.0:
        runner.step(now)


def test_a_few_calls_are_made_at_a_time_and_never_two_for_the_same_path(fake):
    runner = Runner(fake)
    for number in range(AT_ONCE):
        runner.add(call(b"%d" % number))
    step(runner)
    runner.add(call(b"0"))
    runner.add(call(b"next"))
    step(runner)
    assert len(fake.begun) == AT_ONCE
    fake.end(b"1")
    step(runner)
    assert fake.begun[AT_ONCE:] == [b"next"]
    assert runner.alarm() == float("inf")
    fake.end(b"0")
    step(runner)
    assert fake.begun[AT_ONCE + 1:] == [b"0"]
    assert not runner.idle()


def test_a_path_that_waits_is_told_once_as_it_is_by_then(fake):
    runner = Runner(fake)
    told = []
    fake.begin = lambda call, now: told.append(call) or FakeTask()
    runner.add(call(b"a"))
    runner.add(call(b"b"))
    runner.add(call(b"a", GONE))
    runner.add(call(b"unwanted"))
    step(runner)
    assert [(each.path, each.kind.word) for each in told] == [(b"a", "deleted"), (b"b", "written")]


def test_when_the_row_is_full_the_oldest_go_and_are_counted_and_said_once_a_minute(fake, caplog, monkeypatch):
    monkeypatch.setattr(runner_module, "MOST_WAITING", 10)
    runner = Runner(fake)
    for number in range(100):
        runner.add(call(b"%d" % number))
    step(runner, 1000.0)
    assert fake.begun == [b"90", b"91", b"92", b"93"]
    assert (runner.counts().waiting, runner.counts().dropped) == (6, 90)
    for number in range(50):
        runner.add(call(b"x%d" % number))
        step(runner, 1000.0 + number)
    assert [record.getMessage() for record in caplog.records] == [
        "plugin fake: calls dropped, for more than 10 wait: 90, the last: /w/89"]
    assert runner.alarm() == 1060.0
    step(runner, 1060.0)
    assert "wait: 46, the last: /w/x39" in caplog.records[1].getMessage()
    assert runner.alarm() == float("inf")


def test_outcomes_are_counted_and_failures_said_at_once_and_then_once_a_minute(fake, caplog):
    runner = Runner(fake)
    outcomes = [Ended(), Ended("broke"), Ended("broke", quiet=True), Ended("too long", late=True)]
    for number, ended in enumerate(outcomes):
        runner.add(call(b"%d" % number))
        step(runner, 1000.0)
        fake.end(b"%d" % number, ended)
        step(runner, 1000.0)
    counts = runner.counts()
    assert (counts.done, counts.failed, counts.late, counts.waiting, counts.running) == (1, 3, 1, 0, 0)
    assert [record.getMessage() for record in caplog.records] == [
        "plugin fake: calls failed: 1, the last: /w/1: broke"]
    step(runner, 1061.0)
    assert caplog.records[1].getMessage() == "plugin fake: calls failed: 1, the last: /w/3: too long"
    assert runner.idle()


def test_other_settings_take_over_what_waits_unless_it_is_not_for_them(fake):
    runner = Runner(fake)
    runner.add(call(b"a"))
    runner.add(call(b"b"))
    other = Fake()
    other.wants = lambda call: call.path == b"b"
    runner.renew(other)
    step(runner)
    assert (fake.begun, other.begun) == ([], [b"b"])


def test_at_the_end_nothing_is_begun_any_more(fake, caplog):
    runner = Runner(fake)
    for number in range(AT_ONCE + 2):
        runner.add(call(b"%d" % number))
    step(runner)
    runner.end(0.0)
    assert "2 calls were not made any more" in caplog.text
    step(runner)
    assert runner.idle()
    assert len(fake.begun) == AT_ONCE


def test_what_came_and_went_is_not_told_where_deletions_are_off(fake, tmp_path):
    """Nothing was done at any remote."""
    (tmp_path / "there").write_text("")
    watch = os.fsencode(str(tmp_path))
    config = Config(b"/c", (Mirror(watch, ()),), inotify=Inotify(delete=False), plugins=(Command(("x",)),))
    announcer = Announcer(None, config, lambda settings, loop: fake)
    source = SimpleNamespace(watch=watch, lanes=[], passes=Filter(), on_changed=None)
    announcer.follow(source)
    source.on_changed([b"gone", b"there"], ENTRY)
    announcer.step(0.0)
    assert fake.begun == [b"there"]


# ---- threads ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.mark.parametrize(("raised", "said"), [
    (OSError(111, "Connection refused"), "Connection refused"), (OSError("odd"), "odd"), (UnicodeError("bad"), "bad"),
])
def test_what_goes_wrong_in_a_thread_is_an_outcome_and_wakes_the_loop(loop, raised, said):
    def work(_line):
        raise raised

    begun = time.monotonic()
    errand = Errand(loop, work, 1000, begun)
    loop.wait(60)
    assert time.monotonic() - begun < 30
    assert errand.step(time.monotonic()) == Ended(said)


def test_who_finds_in_the_thread_that_the_time_is_over_is_late(loop):
    """Before anybody looks after the call."""
    errand = Errand(loop, lambda line: str(line.left()), 0, time.monotonic())
    loop.wait(20)
    assert errand.step(time.monotonic()) == Ended("no end after 0 s", late=True)


def test_a_thread_that_does_not_come_back_keeps_its_place_and_is_late_when_it_does(loop):
    """A name server may take its time; no second thread is started for the first one's place."""
    errand = Errand(loop, lambda line: time.sleep(0.3) or "", 0, time.monotonic())
    assert errand.step(time.monotonic()) is None
    loop.wait(20)
    assert errand.step(time.monotonic()) == Ended("no end after 0 s", late=True)


# ---- arrivals --------------------------------------------------------------------------------------------------------


class Lane:
    """A remote as arrivals see one: what it is still to get, and whether it is away."""

    def __init__(self, name):
        self.name, self.dirty, self.is_away, self.refused = name, {}, False, set()
        self.target = self
        self.on_settled = None

    def destination(self):
        return self.name

    def away(self):
        return (0.0, 0.0) if self.is_away else None

    def expects(self, path):
        if self.is_away or path in self.refused:
            return False
        return path in self.dirty or any(self.dirty.get(above) == TREE for above in ancestors(path))

    def take(self):
        taken, self.dirty = {path: Dirt(scope, 0.0) for path, scope in self.dirty.items()}, {}
        return taken

    def arrive(self, taken=None, failed=()):
        self.refused |= set(failed)
        self.on_settled(self, self.take() if taken is None else taken, failed)


class Rig:
    """A watch folder with some remotes."""

    def __init__(self, *names):
        self.told = []
        self.arrivals = Arrivals(lambda path, scope, seen: self.told.append(path))
        self.lanes = [Lane(name) for name in names]
        self.arrivals.follow(self.lanes, lambda path: False)

    def change(self, *paths, scope=ENTRY):
        for lane in self.lanes:
            lane.dirty.update(dict.fromkeys(paths, scope))
        self.arrivals.changed(paths, scope)

    def step(self):
        while True:
            self.arrivals.step()
            if self.arrivals.idle():
                return self.told


def test_a_change_is_told_when_it_has_arrived_everywhere():
    rig = Rig(b"one", b"two", b"three")
    rig.change(b"a", b"b")
    rig.lanes[0].arrive()
    rig.lanes[1].arrive()
    assert rig.step() == []
    rig.lanes[2].arrive()
    assert rig.step() == [b"a", b"b"]
    assert rig.arrivals._open == {}


def test_a_remote_that_is_away_is_not_waited_for_nor_told_of_when_it_is_back():
    rig = Rig(b"one", b"two")
    rig.lanes[1].is_away = True
    rig.change(b"a")
    rig.lanes[0].arrive()
    assert rig.step() == [b"a"]
    rig.lanes[1].is_away = False
    rig.step()
    rig.lanes[1].arrive()
    assert rig.step() == [b"a"]


def test_a_remote_that_goes_away_is_not_waited_for_any_longer():
    rig = Rig(b"one", b"two")
    rig.change(b"a")
    rig.lanes[0].arrive()
    assert rig.step() == []
    rig.lanes[1].is_away = True
    assert rig.step() == [b"a"]


def test_while_all_are_away_changes_wait_and_are_told_with_the_first_that_has_them():
    rig = Rig(b"one", b"two")
    for lane in rig.lanes:
        lane.is_away = True
    rig.change(b"a")
    assert rig.step() == []
    rig.lanes[0].is_away = False
    assert rig.step() == []
    rig.lanes[0].arrive()
    assert rig.step() == [b"a"]


def test_a_path_that_one_remote_refuses_is_told_and_one_that_all_refuse_waits():
    rig = Rig(b"one", b"two")
    rig.change(b"a", b"b")
    rig.lanes[0].arrive(failed=[b"a"])
    assert rig.step() == []
    rig.lanes[1].arrive(failed=[b"a"])
    assert rig.step() == [b"b"]
    rig.lanes[0].refused.clear()
    rig.lanes[0].arrive({b"a": Dirt(ENTRY, 0.0)})
    assert rig.step() == [b"b", b"a"]


def test_a_path_that_changes_all_the_time_is_told_with_each_push_and_a_last_time():
    rig = Rig(b"one", b"two")
    rig.change(b"hot")
    for number in range(5):
        taken = [lane.take() for lane in rig.lanes]
        rig.change(b"hot")
        for lane, paths in zip(rig.lanes, taken):
            lane.arrive(paths)
        assert rig.step() == [b"hot"] * (number + 1)
    for lane in rig.lanes:
        lane.arrive()
    assert rig.step() == [b"hot"] * 6
    assert rig.arrivals._open == {}


def test_what_a_tree_carries_is_told_if_it_had_changed_by_itself_and_only_then():
    rig = Rig(b"one")
    rig.change(b"d/a", b"e")
    rig.change(b"d", scope=TREE)
    del rig.lanes[0].dirty[b"d/a"]
    assert rig.lanes[0].expects(b"d/a")
    taken = rig.lanes[0].take()
    rig.change(b"d/late")
    rig.lanes[0].arrive(taken)
    assert sorted(rig.step()) == [b"d", b"d/a", b"e"]
    rig.lanes[0].arrive()
    assert sorted(rig.step()) == [b"d", b"d/a", b"d/late", b"e"]


def test_the_watch_folder_itself_is_never_told():
    rig = Rig(b"one")
    rig.change(ROOT, b"a", scope=TREE)
    rig.lanes[0].arrive()
    assert rig.step() == [b"a"]


def test_without_a_remote_a_change_is_told_at_once():
    rig = Rig()
    rig.change(b"a")
    assert rig.step() == [b"a"]


def test_other_lanes_to_the_same_remotes_take_over_what_waits():
    """One is gone with the reload, one path is excluded by now."""
    rig = Rig(b"one", b"two", b"gone")
    rig.change(b"a", b"hidden", b"later")
    del rig.lanes[1].dirty[b"a"]
    rig.lanes[0].arrive({b"a": Dirt(ENTRY, 0.0)})
    rig.lanes[1].arrive({b"a": Dirt(ENTRY, 0.0)})
    assert rig.step() == []
    fresh = [Lane(b"one"), Lane(b"two")]
    fresh[1].dirty[b"later"] = ENTRY
    rig.arrivals.follow(fresh, lambda path: path == b"hidden")
    assert rig.step() == [b"a"]
    fresh[1].arrive()
    assert rig.step() == [b"a", b"later"]
    assert rig.arrivals._open == {}


def test_no_more_than_so_many_changes_are_kept_and_the_others_are_counted(monkeypatch):
    monkeypatch.setattr("sersync_py.arrivals.MOST_OPEN", 10)
    rig = Rig(b"one")
    rig.lanes[0].is_away = True
    rig.change(*(b"%d" % number for number in range(100)))
    assert len(rig.arrivals._open) == 10
    assert rig.arrivals.lost == 90


ACTIONS = st.lists(st.tuples(st.sampled_from(["change", "push", "land", "fail", "away", "back"]), st.integers(0, 2),
                             st.sampled_from([b"a", b"d", b"d/b"])), max_size=40)


@settings(deadline=None)
@given(ACTIONS)
def test_whatever_happens_each_last_change_is_told_in_the_end_and_nothing_is_left(actions):
    """However remotes come and go; once all is in step, each path that changed was told after its last change."""
    rig = Rig(b"one", b"two", b"three")
    flying, changed, told_before = {}, set(), {}
    for action, number, path in actions:
        lane = rig.lanes[number]
        if action == "change":
            rig.change(path)
            changed.add(path)
            told_before[path] = rig.told.count(path)
        elif action == "push" and not lane.is_away and lane not in flying:
            flying[lane] = lane.take()
        elif action in ("land", "away") and lane in flying and not (action == "land" and lane.is_away):
            taken = flying.pop(lane)
            if action == "land":
                lane.arrive(taken)
            else:
                lane.dirty.update({each: dirt.scope for each, dirt in taken.items()})
                lane.is_away = True
        elif action == "fail" and lane in flying:
            lane.arrive(flying.pop(lane), failed=[path])
            lane.dirty[path] = ENTRY
        elif action == "back":
            lane.is_away = False
        rig.step()
    for lane in rig.lanes:
        lane.is_away, lane.refused = False, set()
        if lane in flying:
            lane.dirty.update({each: dirt.scope for each, dirt in flying.pop(lane).items()})
    rig.step()
    for lane in rig.lanes:
        lane.arrive()
    rig.step()
    assert {path for path in changed if rig.told.count(path) == told_before[path]} == set()
    assert rig.arrivals._open == {}
