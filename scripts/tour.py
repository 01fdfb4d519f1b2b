"""The body of scripts/demo: a watch folder, two mirrors, the agent, and how long each kind of change takes to arrive.

It stands on the rig of the tests, so what it shows is what they measure: bytes on the disk of the mirrors.
"""

import argparse
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from typing import Callable, List, NamedTuple, Tuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from rig import Agent, Daemon, differences, wait_equal

PATIENCE = 60.0
LIBRARY = ("asyncio", "email", "html", "http", "json", "logging", "unittest", "urllib", "xml")
MODULES = ("one", "two")


class Tour(NamedTuple):
    """What the tour walks through."""

    source: bytes
    mirrors: List[bytes]
    daemon: Daemon
    agent: Agent

    def arrived(self, folder: bytes = b"", content: bool = False) -> bool:
        """Say whether a folder is the same at both mirrors, by what stat says or by content too."""
        return not any(
            differences(os.path.join(self.source, folder), os.path.join(mirror, folder), content=content)
            for mirror in self.mirrors)


def write(path: bytes, data: bytes) -> None:
    """Write a file."""
    with open(path, "wb") as file:
        file.write(data)


def write_one(desk: bytes) -> None:
    """4 KB under a plain name."""
    write(desk + b"/letter.txt", b"x" * 4096)


def write_again(desk: bytes) -> None:
    """Other content of the same size: only content and mtime tell."""
    write(desk + b"/letter.txt", b"y" * 4096)


def write_strange(desk: bytes) -> None:
    """Names that a shell would run and that no decoder can read."""
    for name in (b"it's \"$(date)\" `id`", b"*", b"#1", b"\xd6\xd0\xce\xc4", b"new\nline", "文件.txt".encode()):
        write(desk + b"/" + name, name)


def link(desk: bytes) -> None:
    """A symbolic link, which closes no file after writing."""
    os.symlink(b"letter.txt", desk + b"/link")


def rename_one(desk: bytes) -> None:
    """A rename within the folder."""
    os.rename(desk + b"/letter.txt", desk + b"/renamed.txt")


def write_many(desk: bytes) -> None:
    """1,000 files in 10 new folders."""
    for number in range(1000):
        folder = desk + b"/many/%d" % (number // 100)
        os.makedirs(folder, exist_ok=True)
        write(folder + b"/%03d" % number, b"%d\n" % number * 100)


def rename_many(desk: bytes) -> None:
    """A folder with all that is in it."""
    os.rename(desk + b"/many", desk + b"/moved")


def delete_many(desk: bytes) -> None:
    """The same folder goes."""
    shutil.rmtree(desk + b"/moved")


def write_large(desk: bytes) -> None:
    """64 MB that do not compress."""
    write(desk + b"/large.bin", os.urandom(64 << 20))


STEPS: Tuple[Tuple[str, Callable[[bytes], None]], ...] = (
    ("write a file of 4 KB", write_one),
    ("write it again", write_again),
    ("make a symbolic link", link),
    ("rename the file", rename_one),
    ("write 6 files whose names are traps", write_strange),
    ("write 1,000 files in 10 new folders", write_many),
    ("rename the folder above them", rename_many),
    ("delete it", delete_many),
    ("write a file of 64 MB", write_large),
)


def timed(title: str, tour: Tour, act: Callable[[], object], folder: bytes = b"") -> None:
    """Act, wait until both mirrors show it, and print the time from the first write until then."""
    begun = time.monotonic()
    act()
    while not tour.arrived(folder):
        if time.monotonic() > begun + PATIENCE:
            raise AssertionError(f"{title}: not at both mirrors after {PATIENCE:g} s")
        time.sleep(0.001)
    print(f"  {title:<56}{(time.monotonic() - begun) * 1000:>9.1f} ms", flush=True)


def fill(source: bytes) -> None:
    """Copy a part of Python's library, as content that is real."""
    library = sysconfig.get_paths()["stdlib"]
    for name in LIBRARY:
        shutil.copytree(os.path.join(library, name), os.path.join(os.fsdecode(source), name),
                        ignore=shutil.ignore_patterns("__pycache__"))


def kept(source: bytes) -> str:
    """Say how much a folder holds."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(source) for name in names]
    return f"{len(files):,} files, {sum(os.lstat(file).st_size for file in files) / 1e6:.1f} MB"


def introduce(tour: Tour) -> None:
    """Say what is where."""
    print("All of this is on 127.0.0.1 and goes away at the end.\n")
    print(f"  watch folder   {os.fsdecode(tour.source)}   ({kept(tour.source)} of Python's library)")
    for name, mirror in tour.daemon.modules.items():
        print(f"  mirror         {os.fsdecode(mirror)}   (module {name} of an rsync daemon on port {tour.daemon.port})")
    print(f"  config         {tour.agent.config_file}")
    print("\nFrom the first write until it stands at both mirrors:\n", flush=True)


def walk_through(tour: Tour) -> None:
    """Show each kind of change, then what happens when something dies."""
    timed("start, and push the whole tree (-r)", tour, lambda: tour.agent.start("-r"))
    desk = os.path.join(tour.source, b"desk")
    timed("make a folder", tour, lambda: os.mkdir(desk))
    for title, act in STEPS:
        timed(title, tour, lambda act=act: act(desk), b"desk")  # type: ignore[misc]
    survive_a_crash(tour, desk)
    survive_an_outage(tour, desk)


def survive_a_crash(tour: Tour, desk: bytes) -> None:
    """Change things while no agent runs; the time is that of the new start."""
    tour.agent.kill()
    write(desk + b"/while-down.txt", b"written while no agent ran\n")
    os.unlink(desk + b"/large.bin")
    os.rename(os.path.join(tour.source, b"json"), os.path.join(tour.source, b"json-renamed"))
    timed("kill -9, write, delete, rename a folder; start again", tour, tour.agent.start)


def survive_an_outage(tour: Tour, desk: bytes) -> None:
    """Change things while the receiver is down; the time is that since it is back."""
    tour.daemon.stop()
    write(desk + b"/while-away.txt", b"written while both mirrors were away\n")
    os.unlink(desk + b"/link")
    time.sleep(2)
    timed("receiver down for 2 s, write, delete; receiver back", tour, tour.daemon.start)


def compare(tour: Tour) -> None:
    """Say the last word: every byte."""
    wait_equal(tour.source, tour.mirrors, PATIENCE)
    print(f"\nBoth mirrors equal the source: {kept(tour.source)}, compared by name, content, mode and time.")


def follow(tour: Tour) -> None:
    """Show the agent's log as it grows, until Ctrl-C."""
    print(f"\nWrite into {os.fsdecode(tour.source)} and watch; Ctrl-C ends.\n", flush=True)
    with open(tour.agent.log_file, errors="backslashreplace") as log:
        log.seek(0, os.SEEK_END)
        while tour.agent.running():
            print(log.read(), end="", flush=True)
            time.sleep(0.05)
    raise AssertionError("the agent ended")


def prepare(stack: ExitStack) -> Tour:
    """Make the folders, start the daemon, write the config; all of it goes with the stack."""
    work = tempfile.mkdtemp(prefix="sersync-py-demo-")
    stack.callback(shutil.rmtree, work, ignore_errors=True)
    source = os.fsencode(os.path.join(work, "source"))
    modules = {name: os.fsencode(os.path.join(work, "mirror-" + name)) for name in MODULES}
    fill(source)
    daemon = stack.enter_context(Daemon(os.path.join(work, "daemon"), modules))
    agent = Agent(os.path.join(work, "agent"), source, daemon)
    stack.callback(agent.end)
    return Tour(source, daemon.mirrors, daemon, agent)


def main() -> int:
    """Walk the tour; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Shows sersync-py at work on 127.0.0.1.")
    parser.add_argument("--once", action="store_true", help="end after the tour instead of following the log")
    once = parser.parse_args().once or not sys.stdin.isatty()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that nothing is left behind
    with ExitStack() as stack:
        tour = prepare(stack)
        try:
            introduce(tour)
            walk_through(tour)
            compare(tour)
            if not once:
                follow(tour)
            tour.agent.stop()
        except KeyboardInterrupt:
            print("\nended")
        except (AssertionError, RuntimeError) as error:
            print(f"{error}\n\nThe agent's last words:\n{tour.agent.report()[-2000:]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
