"""How fast the events of a full inotify queue are taken, a program of its own so that it runs where sersync_py does.

Called as `python decoding.py FOLDER FILES` with a folder that may be filled; prints, as JSON, events a second: `bare`
for a loop that only decodes, `watcher` for sersync-py's, with the filters below, from the queue to the dirty paths.
"""
import json
import os
import struct
import sys
import time

from sersync_py.filters import Filter
from sersync_py.settings import Inotify
from sersync_py.watcher import Watcher

FOLDERS = 100
EXCLUDES = (
    r"(.*)\.svn", r"(.*)\.gz", "^info/*", "^static/*", r"(.*)\.tmp", r"(.*)\.swp", r"(.*)\.bak", r"(.*)\.log",
    r"(.*)\.pid", r"(.*)\.lock", r"(.*)\.part", r"(.*)\.(rar|zip|7z)", "^cache/*", "^tmp/*", r"(.*)/\.git/(.*)",
    r"(.*)/node_modules/(.*)", r"(.*)/sess_[0-9a-z]+", r"/upload/(.*)\.filepart", r"(.*)/Thumbs\.db", "(.*)#",
)
HEADER = struct.Struct("iIII")
PIECE = 1 << 18


def decode(handle: int) -> int:
    """Take all that is in the queue and do nothing with it; the number of events."""
    events = 0
    while True:
        try:
            buffer = os.read(handle, PIECE)
        except BlockingIOError:
            return events
        offset, end = 0, len(buffer)
        while offset < end:
            _watch, _mask, _cookie, length = HEADER.unpack_from(buffer, offset)
            start = offset + HEADER.size
            offset = start + length
            buffer[start:offset].rstrip(b"\0")
            events += 1


def main(root: bytes, files: int) -> None:
    """Fill the queues of two watchers alike, and empty each in its way."""
    for number in range(FOLDERS):
        os.makedirs(root + b"/2026/pictures%03d" % number)
    bare, full = Watcher(root, Inotify(), Filter()), Watcher(root, Inotify(), Filter(EXCLUDES))
    for watcher in (bare, full):
        watcher.cover()
    for number in range(files):
        with open(root + b"/2026/pictures%03d/IMG_%06d.jpg" % (number % FOLDERS, number), "wb"):
            pass
    begun = time.perf_counter()
    events = decode(bare.handle)
    decoded = time.perf_counter()
    seen = full.read(0.0)
    dirty = dict(seen.dirty)
    while seen.dirty:
        seen = full.read(0.0)
        dirty.update(seen.dirty)
    ended = time.perf_counter()
    if events != 2 * files or len(dirty) != files:
        sys.exit(f"{events} events instead of {2 * files}, {len(dirty)} dirty paths instead of {files}")
    json.dump({"events": events, "bare": events / (decoded - begun), "watcher": events / (ended - decoded)}, sys.stdout)


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]), int(sys.argv[2]))
