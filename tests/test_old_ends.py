"""Receivers that lack what the agent asks for, or abort on it: found out by trying, once a remote, and got around."""

import os
import shutil
import stat

import pytest
from rig import HOSTILE_NAMES, wait_equal, wait_for
from test_mirror import EXACT, OPERATIONS, fill, started, write

REFUSALS = {
    "3.4.3 aborts on a missing name": ("--delete-missing-args", "invalid file mode 00 for x [Receiver]", 2),
    "3.0.9 does not know the option": ("--delete-missing-args", "rsync: --delete-missing-args: unknown option", 1),
    "3.1.2 compares seconds only": ("--modify-window=-1", "rsync: -@-1: unknown option", 1),
}


def stand_in(folder, option, words, code):
    """Put an rsync on a PATH of its own that fails on an option as such a receiver would, and is the real one else."""
    os.mkdir(folder)
    path = os.path.join(folder, "rsync")
    with open(path, "w") as file:
        file.write(
            "#!/bin/sh\n"
            f'for word; do if [ "$word" = "{option}" ]; then echo "{words}" >&2; exit {code}; fi; done\n'
            f'exec {shutil.which("rsync")} "$@"\n'
        )
    os.chmod(path, stat.S_IRWXU)
    return {"PATH": folder + ":" + os.environ["PATH"]}


@pytest.mark.parametrize("excludes", [(), (r"(.*)\.excluded",)], ids=["without filters", "with filters"])
@pytest.mark.parametrize("refusal", list(REFUSALS.values()), ids=list(REFUSALS))
def test_everything_still_arrives_and_the_reason_is_said_once(source, daemon, agent, tmp_path, refusal, excludes):
    """Deletions of files and folders, replacements and hostile names among it."""
    outside = os.fsencode(str(tmp_path / "outside"))
    os.mkdir(outside)
    changes = stand_in(str(tmp_path / "bin"), *refusal)
    mirrors = daemon.mirrors[:1]
    running = agent(source, daemon.remotes[:1], "-r", port=daemon.port, params=EXACT, excludes=excludes, env=changes,
                    hiddenFiles=True)
    started(running, source, mirrors)
    for name in HOSTILE_NAMES:
        write(source, b"names/" + name, name)
        write(source, b"folders/" + name[:200] + b"/" + name, name)
    for number in range(len(OPERATIONS)):
        fill(os.path.join(source, b"%d/old" % number), 2)
        os.mkdir(os.path.join(outside, b"%d" % number))
    wait_equal(source, mirrors)
    for number, operation in enumerate(OPERATIONS):
        operation(os.path.join(source, b"%d" % number), os.path.join(outside, b"%d" % number))
    for name in HOSTILE_NAMES:
        os.remove(os.path.join(source, b"names", name))
        shutil.rmtree(os.path.join(source, b"folders", name[:200]))
    wait_equal(source, mirrors)
    wait_for(lambda: "its rsync" in running.log())
    assert running.log().count("its rsync") == 1
    assert "away" not in running.log()
    running.stop()
