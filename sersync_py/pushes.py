"""From dirty paths to rsync sessions: what is taken together, and which sessions carry it, one after the other.

Without filters rsync does the walking. With filters it cannot (it does not speak regexes), so we walk and send the
names; what a folder's deletion would remove is first listed, then deleted but for what the filter protects.
"""

from typing import (
    Container,
    Dict,
    FrozenSet,
    Generator,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Tuple,
)

from sersync_py import orders
from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE, Dirt, ancestors
from sersync_py.filters import Filter
from sersync_py.orders import Order
from sersync_py.outcomes import AWAY, DONE, HOPELESS, PARTIAL, UNSTARTED, Outcome, surveyed
from sersync_py.pacing import Pacing
from sersync_py.target import Target
from sersync_py.walk import FOLDER, GONE, OTHER, look, look_inside, topmost_gone, walk

__all__ = ["BIG_BYTES", "Batch", "Sessions", "divide", "sessions"]

BIG_BYTES = 64 << 20
"""From this size on a file goes in a session of its own, so that it does not hold up small ones."""
BATCH_BYTES = 256 << 20
BATCH_PATHS = 10000
_PURGE_PATHS = 1000
"""rsync tries every rule on every name, so a deletion by rules goes in portions."""

Sessions = Generator[Order, Outcome, Outcome]


class Batch(NamedTuple):
    """What one push takes from the dirty set, sorted by how it goes."""

    taken: Dict[bytes, Dirt]
    """As they stood in the dirty set: to be put back if the push fails."""
    names: Dict[bytes, int]
    """Paths that go by themselves, with their scope."""
    again: Dict[bytes, int]
    """Likewise, where sizes and times are not to be trusted."""
    trees: Dict[bytes, int]
    """Folders that go with all below them; with filters also what may stand in the place of one."""
    surplus: Tuple[bytes, ...] = ()
    """What a comparison found at the remote only, to be deleted just so unless it is here by now."""
    moves: Tuple[Tuple[bytes, bytes], ...] = ()
    """(old, new) path of folders that were renamed: the remote may have under the old name what is to be sent."""

    def asked(self) -> Dict[bytes, int]:
        """Return every path that is asked for, with its scope."""
        return {**self.names, **self.again, **self.trees}


def divide(
    target: Target, passes: Filter, pacing: Pacing, dirty: Iterable[Tuple[bytes, Dirt]], most: int = BATCH_PATHS
) -> Tuple[Batch, List[bytes]]:
    """Given dirty paths that may go now, look at each on the disk; return a batch and the big files beside it.

    At most `most` paths and about BATCH_BYTES are taken; big files are not in the batch.
    """
    batch = Batch({}, {}, {}, {})
    big: List[bytes] = []
    known: Dict[bytes, str] = {}
    room = BATCH_BYTES
    for path, dirt in dirty:
        if len(batch.taken) >= most or room <= 0:
            break
        found = look_inside(target.watch, path, known)
        if found.size >= BIG_BYTES:
            big.append(path)
            continue
        batch.taken[path] = dirt
        room -= found.size
        if found.kind == GONE:
            _sort_gone(target, passes, batch, path, dirt.scope, known)
        elif dirt.scope in (CONTENT, TREE) and (found.kind == FOLDER or passes):
            batch.trees[path] = dirt.scope
        elif dirt.scope == LISTING and found.kind == FOLDER:
            (batch.trees if passes else batch.names)[path] = LISTING
        elif found.kind == OTHER and pacing.ambiguous(path, found.mtime):
            batch.again[path] = ENTRY
        else:
            batch.names[path] = ENTRY
    return _without_covered(batch), big


def _sort_gone(
    target: Target, passes: Filter, batch: Batch, path: bytes, scope: int, known: Dict[bytes, str]
) -> None:
    """Put a path that is gone where it belongs: nowhere if deletions are off."""
    if not target.delete:
        return
    top, kind = topmost_gone(target.watch, path, known)
    if kind == OTHER and passes:
        # the folder that it was may still stand at the remote, and must be emptied with care
        batch.trees[top] = TREE
    elif kind == OTHER:
        batch.names[top] = ENTRY
    elif top != path or scope != ENTRY:
        # it was a folder; should it be back by the time rsync looks, it must be made equal as a whole
        batch.trees[top] = TREE
    else:
        batch.names[path] = ENTRY


def _without_covered(batch: Batch) -> Batch:
    """Leave out what a tree of the same batch sends and deletes anyway."""
    whole = {path for path, scope in batch.trees.items() if scope == TREE}
    if not whole:
        return batch

    def alone(paths: Dict[bytes, int]) -> Dict[bytes, int]:
        return {
            path: scope for path, scope in paths.items()
            if not (path in whole and paths is not batch.trees) and not any(above in whole for above in ancestors(path))
        }

    return batch._replace(names=alone(batch.names), again=alone(batch.again), trees=alone(batch.trees))


def _merged(first: Outcome, second: Outcome) -> Outcome:
    """Return the outcome of two sessions that belong together; the worse verdict counts."""
    worse = max(first, second, key=lambda outcome: (DONE, PARTIAL, HOPELESS, AWAY, UNSTARTED).index(outcome.verdict))
    failed: Optional[FrozenSet[bytes]] = None
    if first.failed is not None and second.failed is not None:
        failed = first.failed | second.failed
    return worse._replace(
        failed=failed, skipped=first.skipped | second.skipped, sent=first.sent + second.sent,
        seconds=first.seconds + second.seconds,
    )


def sessions(target: Target, passes: Filter, batch: Batch, progress: bool = False) -> Sessions:
    """Yield the orders that carry a batch, take each one's outcome, and return the outcome of the whole.

    The first session that does not reach the remote ends it.
    """
    steps = _steps(target, passes, batch, progress)
    total = Outcome(DONE, 0)
    outcome: Optional[Outcome] = None
    while True:
        try:
            order = next(steps) if outcome is None else steps.send(outcome)
        except StopIteration:
            return total
        outcome = yield order
        if order.keep_output and outcome.verdict == PARTIAL:
            # a survey that met an error has not listed all: what it was about must be asked again
            outcome = outcome._replace(failed=None)
        total = _merged(total, outcome)
        if outcome.verdict not in (DONE, PARTIAL):
            return total


def _items(paths: Dict[bytes, int], *scopes: int) -> List[Tuple[bytes, int]]:
    return [(path, scope) for path, scope in paths.items() if scope in scopes]


def _steps(target: Target, passes: Filter, batch: Batch, progress: bool) -> Generator[Order, Outcome, None]:
    known: Dict[bytes, str] = {}
    surplus = [path for path in batch.surplus if _may_be_purged(target, passes, path, known)]
    yield from _purges(target, surplus)
    if target.delete and not target.missing_args:
        names = [*batch.names, *batch.again] + ([] if passes else list(batch.trees))
        gone = [path for path in names if look(target.watch, path).kind == GONE]
        yield from _purges(target, gone, below=not passes)
    if passes:
        yield from _with_filter(target, passes, batch, progress)
    else:
        yield from _moves(target, batch)
        yield from _without_filter(target, batch, progress)
    if batch.names.get(ROOT) == ENTRY:
        yield orders.push_names(target, [(ROOT, ENTRY)], force=False, excludes=("/*",))


def _may_be_purged(target: Target, passes: Filter, path: bytes, known: Dict[bytes, str]) -> bool:
    return not passes.misses(path) and look_inside(target.watch, path, known).kind == GONE


def _apart_from_root(names: Dict[bytes, int]) -> Dict[bytes, int]:
    """Leave out the watch folder itself: rsync takes it as "and all that stands directly in it", excluded or not."""
    return {path: scope for path, scope in names.items() if path or scope != ENTRY}


def _purges(target: Target, paths: List[bytes], below: bool = False) -> Generator[Order, Outcome, None]:
    for start in range(0, len(paths), _PURGE_PATHS):
        yield orders.purge(target, paths[start: start + _PURGE_PATHS], below)


def _moves(target: Target, batch: Batch) -> Generator[Order, Outcome, None]:
    """Let renamed folders be made of what the remote has; whatever comes of it, what is dirty is sent then."""
    for old, new in batch.moves:
        order = orders.push_moved(target, old, new)
        if order is None or look(target.watch, new).kind != FOLDER or look(target.watch, old).kind != GONE:
            continue
        # first the folder itself: it may be in a new one, and through a symlink in its place rsync would go
        yield orders.push_names(target, [(new, ENTRY)], force=True)
        yield order


def _without_filter(target: Target, batch: Batch, progress: bool) -> Generator[Order, Outcome, None]:
    for scope in (TREE, CONTENT):
        trees = _items(batch.trees, scope)
        if trees:
            yield orders.push_tree(target, trees, scope == TREE, progress)
    for names, again in ((_apart_from_root(batch.names), False), (batch.again, True)):
        if names:
            listing = LISTING in names.values()
            yield orders.push_names(target, names.items(), force=True, listing=listing, again=again)


def _with_filter(target: Target, passes: Filter, batch: Batch, progress: bool) -> Generator[Order, Outcome, None]:
    if target.delete:
        for order, asked in _surveys(target, batch):
            outcome = yield order
            if outcome.verdict in (DONE, PARTIAL):
                gone = [path for path in surveyed(outcome.output) if _may_go(target, passes, path, asked)]
                yield from _purges(target, gone)
    if batch.names or batch.trees:
        names = _passing(target, passes, batch)
        yield orders.push_names(target, names, force=False, progress=progress)
    if batch.again:
        yield orders.push_names(target, batch.again.items(), force=False, again=True)


def _surveys(target: Target, batch: Batch) -> Iterator[Tuple[Order, Container[bytes]]]:
    """Yield the orders that say what the remote has too much, each with the paths at or below which that counts."""
    whole = _items(batch.trees, TREE)
    kinds = {path: look(target.watch, path).kind for path, _ in whole}
    folders = [(path, scope) for path, scope in whole if kinds[path] == FOLDER]
    others = [path for path, _ in whole if kinds[path] != FOLDER]
    listings = _items(batch.trees, LISTING)
    if folders:
        # should one go meanwhile, its event makes it a tree again
        yield orders.survey(target, folders, below=True), batch.trees
    for start in range(0, len(others), _PURGE_PATHS):
        portion = others[start: start + _PURGE_PATHS]
        yield orders.survey_as_gone(target, portion), frozenset(portion)
    if listings:
        yield orders.survey(target, listings), batch.trees


def _may_go(target: Target, passes: Filter, path: bytes, asked: Container[bytes]) -> bool:
    """Say whether a path that is at the remote only may be deleted there."""
    if path not in asked and not any(above in asked for above in ancestors(path)):
        return False
    return not passes.hides(path) and look_inside(target.watch, path, {}).kind == GONE


def _passing(target: Target, passes: Filter, batch: Batch) -> Iterator[Tuple[bytes, int]]:
    """Yield the batch's names and all below its trees that the filter lets through, but not the watch folder itself."""
    yield from _apart_from_root(batch.names).items()
    for path, scope in batch.trees.items():
        if scope == LISTING or look(target.watch, path).kind != FOLDER:
            below: Iterable[Tuple[bytes, int]] = [(path, ENTRY)]
        else:
            below = walk(target.watch, path, passes.excludes)
        yield from (item for item in below if item[0])
