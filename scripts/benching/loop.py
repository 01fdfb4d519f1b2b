"""The classic loop, a program of its own: inotifywait prints a path, one rsync pushes it, then the next line is read.

Called as `python loop.py DESTINATION` with the source as working folder; runs until it is ended.
"""
import os
import subprocess
import sys
from typing import List

EVENTS = "close_write,create,delete,move,attrib"


def command(path: str, destination: str) -> List[str]:
    """The rsync for one path: itself if it is there; otherwise its nearest living folder, with --delete."""
    if os.path.lexists(path):
        return ["rsync", "-artuz", "-R", path, destination]
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return ["rsync", "-artuz", "-R", "--delete", folder + "/", destination]


def main(destination: str) -> None:
    """Push for ever."""
    watch = subprocess.Popen(["inotifywait", "-m", "-r", "-q", "-e", EVENTS, "--format", "%w%f", "."],
                             stdout=subprocess.PIPE)
    for line in watch.stdout or ():
        subprocess.call(command(os.fsdecode(line.rstrip(b"\n")), destination))


if __name__ == "__main__":
    main(sys.argv[1])
