"""How dirty paths become sessions: decided by looking at the disk, taken together as far as they go together."""

import os

import pytest
from test_mirror import write

from sersync_py import pushes
from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE, Dirt
from sersync_py.filters import Filter
from sersync_py.outcomes import AWAY, DONE, HOPELESS, PARTIAL, Outcome
from sersync_py.pacing import Pacing
from sersync_py.pushes import BIG_BYTES, divide, sessions
from sersync_py.settings import Remote, Rsync
from sersync_py.target import Target

FILTER = Filter([r"(.*)\.excluded"])


@pytest.fixture
def watch(source):
    """A tree: a file, a folder with a file, an empty folder, a symlink to a folder."""
    write(source, b"file", b"12345")
    write(source, b"folder/inner")
    os.mkdir(os.path.join(source, b"empty"))
    os.symlink(b"folder", os.path.join(source, b"link"))
    return source


def target(watch, delete=True):
    return Target(watch, Remote("host", "m"), Rsync(), delete)


def divided(watch, *dirty, delete=True, passes=None, pacing=None, **more):
    """Divide paths, given as path or (path, scope)."""
    pairs = [(item if isinstance(item, tuple) else (item, ENTRY)) for item in dirty]
    items = [(path, Dirt(scope, 1.0)) for path, scope in pairs]
    return divide(target(watch, delete), passes or Filter(), pacing or Pacing(), items, **more)


@pytest.mark.parametrize(("dirty", "names", "trees"), [
    (b"file", {b"file": ENTRY}, {}),
    (b"folder", {b"folder": ENTRY}, {}),
    (b"link", {b"link": ENTRY}, {}),
    ((b"folder", LISTING), {b"folder": LISTING}, {}),
    ((b"folder", CONTENT), {}, {b"folder": CONTENT}),
    ((b"folder", TREE), {}, {b"folder": TREE}),
    ((ROOT, TREE), {}, {ROOT: TREE}),
    ((b"file", TREE), {b"file": ENTRY}, {}),
    ((b"link", TREE), {b"link": ENTRY}, {}),
    ((b"file", LISTING), {b"file": ENTRY}, {}),
    (b"gone", {b"gone": ENTRY}, {}),
    (b"folder/gone", {b"folder/gone": ENTRY}, {}),
    ((b"gone", TREE), {}, {b"gone": TREE}),
    (b"gone/below/it", {}, {b"gone": TREE}),
    (b"folder/gone/below", {}, {b"folder/gone": TREE}),
    (b"file/was/a/folder", {b"file": ENTRY}, {}),
    (b"link/inner", {b"link": ENTRY}, {}),
    ((b"link/was/a/folder", TREE), {b"link": ENTRY}, {}),
])
def test_what_stands_at_a_path_decides_how_it_goes(watch, dirty, names, trees):
    """There or gone, file or folder; of what is gone the topmost that is gone too."""
    batch, big = divided(watch, dirty)
    assert (batch.names, batch.trees, batch.again, big) == (names, trees, {}, [])


@pytest.mark.parametrize("dirty", [b"gone", (b"gone", TREE), b"gone/below", b"file/was/a/folder"])
def test_with_deletions_off_what_is_gone_goes_nowhere(watch, dirty):
    """It is taken all the same, so that it does not come again and again."""
    batch, _ = divided(watch, dirty, delete=False)
    assert batch.asked() == {}
    assert len(batch.taken) == 1


@pytest.mark.parametrize(("dirty", "names", "trees"), [
    (b"file", {b"file": ENTRY}, {}),
    ((b"folder", LISTING), {}, {b"folder": LISTING}),
    ((b"folder", TREE), {}, {b"folder": TREE}),
    ((b"file", TREE), {}, {b"file": TREE}),
    ((b"gone", TREE), {}, {b"gone": TREE}),
])
def test_with_filters_what_may_hide_something_protected_is_looked_at_first(watch, dirty, names, trees):
    """A folder, or a file in the place of one, must not take along what the filter protects at the remote."""
    batch, _ = divided(watch, dirty, passes=FILTER)
    assert (batch.names, batch.trees) == (names, trees)


def test_what_a_tree_of_the_batch_covers_is_not_sent_twice(watch):
    """Taken, but not asked for by itself."""
    batch, _ = divided(watch, b"folder/inner", (b"folder", TREE), b"file")
    assert batch.asked() == {b"folder": TREE, b"file": ENTRY}
    assert set(batch.taken) == {b"folder/inner", b"folder", b"file"}


def test_a_thousand_files_of_a_folder_that_is_gone_are_one_deletion(watch):
    """The topmost folder that is gone."""
    batch, _ = divided(watch, *[b"gone/%d" % number for number in range(1000)])
    assert batch.asked() == {b"gone": TREE}
    assert len(batch.taken) == 1000


def test_a_big_file_goes_beside_the_batch(watch):
    """From its size on; it is not taken yet, and a batch of its own is made for it."""
    with open(os.path.join(watch, b"big"), "wb") as file:
        file.truncate(BIG_BYTES)
    with open(os.path.join(watch, b"nearly"), "wb") as file:
        file.truncate(BIG_BYTES - 1)
    batch, big = divided(watch, b"big", b"nearly", b"file")
    assert big == [b"big"]
    assert set(batch.taken) == {b"nearly", b"file"}


def test_a_batch_is_bounded_in_paths_and_bytes(watch, monkeypatch):
    """What is left over stays dirty for the next one."""
    many = [b"%d" % number for number in range(50)]
    assert len(divided(watch, *many, most=7)[0].taken) == 7
    for name in (b"one", b"two", b"three"):
        write(watch, name, b"x" * 100)
    monkeypatch.setattr(pushes, "BATCH_BYTES", 150)
    assert set(divided(watch, b"one", b"two", b"three")[0].taken) == {b"one", b"two"}


def test_a_file_pushed_a_moment_ago_is_compared_by_its_content(watch):
    """Its size and time may be those of an earlier version."""
    pacing = Pacing()
    pacing.started([b"file", b"folder"], 5.0)
    batch, _ = divided(watch, b"file", b"folder", b"link", pacing=pacing)
    assert batch.again == {b"file": ENTRY}
    assert set(batch.names) == {b"folder", b"link"}


# ---- the sessions of a batch -----------------------------------------------------------------------------------------


def carried(watch, *dirty, passes=None, outcomes=(), delete=True):
    """Run the sessions of a batch with these outcomes, then DONE; return the orders and the outcome of the whole."""
    passes = passes or Filter()
    batch, _ = divided(watch, *dirty, passes=passes, delete=delete)
    steps, orders, given = sessions(target(watch, delete), passes, batch), [], list(outcomes)
    try:
        order = next(steps)
        while True:
            orders.append((set(order.argv), b"".join(order.feed).split(b"\0")[:-1]))
            order = steps.send(given.pop(0) if given else Outcome(DONE, 0))
    except StopIteration as ended:
        return orders, ended.value


def test_names_of_all_kinds_go_in_one_session(watch):
    """Created, changed, deleted, a folder, a symlink."""
    orders, outcome = carried(watch, b"file", b"gone", b"empty", b"link")
    assert len(orders) == 1
    options, names = orders[0]
    assert names == [b"./file", b"./gone", b"./empty", b"./link"]
    assert {b"--delete-missing-args", b"--force", b"--no-r"} <= options
    assert b"--delete" not in options
    assert outcome.verdict == DONE


def test_trees_go_before_names_and_those_that_delete_apart_from_those_that_do_not(watch):
    """Three kinds, three sessions, one after the other."""
    orders, _ = carried(watch, (b"folder", CONTENT), (b"empty", TREE), b"file")
    assert [(b"--delete" in options, names) for options, names in orders] == [
        (True, [b"./empty"]), (False, [b"./folder"]), (False, [b"./file"])]


def test_nothing_to_ask_for_is_no_session(watch):
    """All of it gone, and deletions off."""
    assert carried(watch, b"gone", delete=False) == ([], Outcome(DONE, 0))


@pytest.mark.parametrize("verdict", [AWAY, HOPELESS])
def test_the_first_session_that_does_not_reach_the_remote_ends_it(watch, verdict):
    """The rest would not either."""
    orders, outcome = carried(watch, (b"folder", TREE), b"file", outcomes=[Outcome(verdict, 10)])
    assert len(orders) == 1
    assert outcome.verdict == verdict


def test_the_worse_outcome_counts_and_what_failed_adds_up(watch):
    """Bytes and seconds too."""
    given = [Outcome(PARTIAL, 23, "why", frozenset([b"folder/inner"]), sent=10, seconds=1.0),
             Outcome(DONE, 0, sent=5, seconds=0.5)]
    _, outcome = carried(watch, (b"folder", TREE), b"file", outcomes=given)
    assert (outcome.verdict, outcome.code, outcome.failed) == (PARTIAL, 23, {b"folder/inner"})
    assert (outcome.sent, outcome.seconds) == (15, 1.5)
    given[1] = Outcome(PARTIAL, 23, "why", None)
    assert carried(watch, (b"folder", TREE), b"file", outcomes=given)[1].failed is None


def test_with_filters_a_tree_is_surveyed_then_purged_then_sent_name_by_name(watch):
    """Nothing excluded is deleted, nothing excluded is sent, what is there is not deleted."""
    write(watch, b"folder/x.excluded")
    survey = (b"*deleting   folder/old\n*deleting   folder/keep.excluded\n*deleting   folder/inner\n"
              b"*deleting   folder/sub.excluded/below\n")
    orders, _ = carried(watch, (b"folder", TREE), passes=FILTER, outcomes=[Outcome(DONE, 0, output=survey)])
    assert len(orders) == 3
    assert b"-n" in orders[0][0]
    assert orders[0][1] == [b"./folder"]
    assert b"--exclude=*" in orders[1][0]
    assert orders[1][1] == [b"/folder/", b"/folder/old"]
    assert b"-n" not in orders[2][0]
    assert sorted(orders[2][1]) == [b"./folder", b"./folder/inner"]
    assert not orders[2][0] & {b"--delete", b"--force", b"-r"}


@pytest.mark.parametrize("scope", [ENTRY, LISTING, CONTENT, TREE])
def test_with_filters_the_watch_folder_itself_never_takes_along_what_stands_in_it(watch, scope):
    """rsync takes `./` as "and all that is directly in it": an excluded file must not go that way."""
    write(watch, b"x.excluded")
    orders, _ = carried(watch, (ROOT, scope), passes=FILTER)
    for options, names in orders:
        if b"-n" not in options:
            assert b"./" not in names or b"--exclude=/*" in options
            assert b"./x.excluded" not in names


def test_with_filters_and_deletions_off_nothing_is_surveyed(watch):
    """There is nothing to be found out."""
    orders, _ = carried(watch, (b"folder", TREE), passes=FILTER, delete=False)
    assert len(orders) == 1
    assert b"-n" not in orders[0][0]
    assert not any(option.startswith(b"--delete") for option in orders[0][0])
