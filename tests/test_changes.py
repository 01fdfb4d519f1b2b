"""The dirty set: marks unite, the older moment stays, a dirty tree accounts for all below it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE, Dirt, DirtySet, ancestors

SCOPES = (ENTRY, LISTING, CONTENT, TREE)


@pytest.mark.parametrize(("path", "above"), [
    (b"", []),
    (b"a", [b""]),
    (b"a/b", [b"a", b""]),
    (b"a/b/c", [b"a/b", b"a", b""]),
    (b" /\n", [b" ", b""]),
])
def test_ancestors_are_the_folders_above_nearest_first(path, above):
    """Down to the watch folder itself, which has none."""
    assert list(ancestors(path)) == above


@pytest.mark.parametrize(("first", "second", "both"), [
    (ENTRY, ENTRY, ENTRY),
    (ENTRY, LISTING, LISTING),
    (ENTRY, CONTENT, CONTENT),
    (ENTRY, TREE, TREE),
    (LISTING, CONTENT, TREE),
    (LISTING, TREE, TREE),
    (CONTENT, CONTENT, CONTENT),
    (CONTENT, TREE, TREE),
])
def test_two_marks_of_a_path_unite(first, second, both):
    """Whatever their order; the older moment stays."""
    for one, other in ((first, second), (second, first)):
        dirty = DirtySet()
        dirty.mark(b"a", Dirt(one, 5.0))
        dirty.mark(b"a", Dirt(other, 3.0))
        dirty.mark(b"a", Dirt(one, 9.0))
        assert list(dirty.items()) == [(b"a", Dirt(both, 3.0))]


@pytest.mark.parametrize("scope", SCOPES)
def test_only_a_tree_accounts_for_what_is_below(scope):
    """A folder of which all is sent but nothing deleted does not account for a deletion below it."""
    dirty = DirtySet()
    dirty.mark(b"a", Dirt(scope, 1.0))
    dirty.mark(b"a/b/c", Dirt(ENTRY, 2.0))
    dirty.mark(b"ab", Dirt(ENTRY, 2.0))
    assert (b"a/b/c" in dirty) == (scope != TREE)
    assert dirty.covered(b"a/b/c") == (scope == TREE)
    assert b"ab" in dirty
    assert not dirty.covered(b"a")


def test_a_dirty_root_accounts_for_everything():
    """The watch folder is above every path."""
    dirty = DirtySet()
    dirty.mark(ROOT, Dirt(TREE, 1.0))
    dirty.mark(b"a/b", Dirt(TREE, 2.0))
    assert list(dirty) == [ROOT]


def test_a_tree_is_as_old_as_what_it_accounts_for():
    """Put back after a failed push, a path is older than the tree marked meanwhile; a mark goes by the oldest."""
    dirty = DirtySet()
    dirty.mark(b"a", Dirt(TREE, 5.0))
    dirty.mark(b"a/b/c", Dirt(ENTRY, 2.0))
    dirty.mark(b"a/b/d", Dirt(ENTRY, 9.0))
    assert list(dirty.items()) == [(b"a", Dirt(TREE, 2.0))]


def test_two_marks_that_become_a_tree_account_for_what_is_below():
    """LISTING and CONTENT together are a TREE."""
    dirty = DirtySet()
    dirty.mark(b"a", Dirt(LISTING, 1.0))
    dirty.mark(b"a", Dirt(CONTENT, 1.0))
    assert dirty.covered(b"a/b")
    dirty.take(b"a")
    assert not dirty.covered(b"a/b")
    dirty.mark(b"a/b", Dirt(ENTRY, 1.0))
    assert list(dirty) == [b"a/b"]


def test_what_is_taken_is_gone_and_taking_it_again_is_an_error():
    """The dirt comes back with it, to be put back if its push fails."""
    dirty = DirtySet()
    dirty.mark(b"a", Dirt(ENTRY, 1.0))
    assert dirty.take(b"a") == Dirt(ENTRY, 1.0)
    assert len(dirty) == 0
    assert not dirty
    with pytest.raises(KeyError):
        dirty.take(b"a")


def test_the_oldest_is_found_wherever_it_stands():
    """What is put back after a failure is older than its place in the order."""
    dirty = DirtySet()
    assert dirty.oldest() is None
    for path, since in ((b"a", 5.0), (b"b", 2.0), (b"c", 9.0)):
        dirty.mark(path, Dirt(ENTRY, since))
    assert dirty.oldest() == 2.0
    assert list(dirty) == [b"a", b"b", b"c"]


PATHS = st.lists(st.sampled_from([b"a", b"b", b"\n"]), max_size=4).map(b"/".join)
MARKS = st.tuples(st.just("mark"), PATHS, st.sampled_from(SCOPES), st.integers(0, 9))
TAKES = st.tuples(st.just("take"), st.integers(0, 20))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(MARKS, MARKS, TAKES), max_size=25))
def test_every_mark_is_accounted_for_until_it_is_taken(actions):
    """Against a list of all marks: each has its scope and its moment at its path, or a dirty tree above it."""
    dirty, marks, ever = DirtySet(), [], set()
    for action in actions:
        if action[0] == "mark":
            _, path, scope, since = action
            dirty.mark(path, Dirt(scope, float(since)))
            marks.append((path, scope, float(since)))
            ever.add(path)
        elif dirty:
            taken = list(dirty)[action[1] % len(dirty)]
            dirt = dirty.take(taken)
            whole = dirt.scope == TREE
            marks = [mark for mark in marks if mark[0] != taken and not (whole and taken in ancestors(mark[0]))]
        for path, scope, since in marks:
            found = dict(dirty.items()).get(path)
            if found is None:
                assert dirty.covered(path)
                assert min(dict(dirty.items())[above].since for above in ancestors(path) if above in dirty) <= since
            else:
                assert found.scope & scope == scope
                assert found.since <= since
        assert len(dirty) == len(list(dirty.items()))
        for path, dirt in dirty.items():
            assert dirt.scope in SCOPES
            assert path in ever, "nothing is dirty that was not marked"
