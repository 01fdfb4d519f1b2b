"""Whatever happens in the watch folder stands at every mirror a moment later: names, types, content, modes, times."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from rig import HOSTILE_NAMES, wait_equal, wait_for

EXACT = "-artz"
"""Without -u: a mirror that is newer than its source is put right too."""


def write(folder, name, content=b"content"):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


def started(running, source, mirrors):
    """Start an agent on a tree that is not empty, and come back when its first whole-tree push is through."""
    write(source, b"from the start")
    running.start()
    wait_equal(source, mirrors)
    wait_for(lambda: first_pushes(running) >= len(mirrors), message="the sessions of the first push to end")
    return running


def first_pushes(running):
    """Return how many pushes of the whole tree are said to be through; with -r that stands in the line as well."""
    return sum("pushed the whole tree" in line or "(./)" in line for line in running.log().splitlines())


def fill(folder, files=5):
    for number in range(files):
        write(folder, b"%d.txt" % number, b"file %d" % number)
        write(folder, b"deeper/still/%d.txt" % number, b"deep %d" % number)
    os.symlink(b"0.txt", os.path.join(folder, b"link"))


def write_one(source, _outside):
    write(source, b"new")


def rewrite(source, _outside):
    write(source, b"old/0.txt", b"other content")


def append(source, _outside):
    with open(os.path.join(source, b"old/0.txt"), "ab") as file:
        file.write(b"more")


def delete_file(source, _outside):
    os.remove(os.path.join(source, b"old/0.txt"))


def delete_folder(source, _outside):
    shutil.rmtree(os.path.join(source, b"old"))


def rename_file(source, _outside):
    os.rename(os.path.join(source, b"old/0.txt"), os.path.join(source, b"old/renamed"))


def rename_file_over_another(source, _outside):
    os.rename(os.path.join(source, b"old/0.txt"), os.path.join(source, b"old/1.txt"))


def rename_folder(source, _outside):
    os.rename(os.path.join(source, b"old"), os.path.join(source, b"renamed"))


def rename_folder_and_write_below(source, _outside):
    os.rename(os.path.join(source, b"old"), os.path.join(source, b"renamed"))
    write(source, b"renamed/deeper/still/later", b"after the rename")


def rename_folder_there_and_back(source, _outside):
    os.rename(os.path.join(source, b"old"), os.path.join(source, b"renamed"))
    os.rename(os.path.join(source, b"renamed"), os.path.join(source, b"old"))
    write(source, b"old/deeper/still/later", b"after both")


def swap_folders(source, _outside):
    fill(os.path.join(source, b"second"), 2)
    os.rename(os.path.join(source, b"old"), os.path.join(source, b"temporary"))
    os.rename(os.path.join(source, b"second"), os.path.join(source, b"old"))
    os.rename(os.path.join(source, b"temporary"), os.path.join(source, b"second"))


def move_folder_in(source, outside):
    fill(os.path.join(outside, b"came"))
    os.rename(os.path.join(outside, b"came"), os.path.join(source, b"came"))


def move_file_in(source, outside):
    write(outside, b"came", b"from outside")
    os.rename(os.path.join(outside, b"came"), os.path.join(source, b"came"))


def move_folder_out(source, outside):
    os.rename(os.path.join(source, b"old"), os.path.join(outside, b"left"))
    write(outside, b"left/deeper/still/0.txt", b"no longer ours")


def move_file_out(source, outside):
    os.rename(os.path.join(source, b"old/0.txt"), os.path.join(outside, b"left"))


def make_symlinks(source, _outside):
    os.symlink(b"old/0.txt", os.path.join(source, b"link"))
    os.symlink(b"old", os.path.join(source, b"link to folder"))
    os.symlink(b"nowhere", os.path.join(source, b"dangling"))


def repoint_symlink(source, _outside):
    os.symlink(b"1.txt", os.path.join(source, b"old/link.new"))
    os.rename(os.path.join(source, b"old/link.new"), os.path.join(source, b"old/link"))


def make_hard_link(source, _outside):
    os.link(os.path.join(source, b"old/0.txt"), os.path.join(source, b"hard"))


def link_then_unlink(source, _outside):
    """What mail delivery does: the file has one link only by the time anybody looks."""
    write(source, b".temporary", b"delivered")
    os.link(os.path.join(source, b".temporary"), os.path.join(source, b"delivered"))
    os.unlink(os.path.join(source, b".temporary"))


def folder_becomes_file(source, _outside):
    shutil.rmtree(os.path.join(source, b"old"))
    write(source, b"old", b"a file now")


def file_becomes_folder(source, _outside):
    os.remove(os.path.join(source, b"old/0.txt"))
    fill(os.path.join(source, b"old/0.txt"), 2)


def folder_becomes_file_and_back(source, _outside):
    shutil.rmtree(os.path.join(source, b"old"))
    write(source, b"old", b"a file now")
    os.remove(os.path.join(source, b"old"))
    fill(os.path.join(source, b"old"), 1)


def folder_is_replaced_by_one_with_other_content(source, outside):
    fill(os.path.join(outside, b"came"), 1)
    os.rename(os.path.join(source, b"old"), os.path.join(outside, b"left"))
    os.rename(os.path.join(outside, b"came"), os.path.join(source, b"old"))


def empty_folders(source, _outside):
    os.makedirs(os.path.join(source, b"a/b/c/d"))


def deep_tree(source, _outside):
    write(source, b"/".join([b"deep"] * 100) + b"/file")


def copy_a_tree(source, _outside):
    library = os.path.dirname(os.__file__)
    subprocess.run(["cp", "-a", os.path.join(library, "json"), os.path.join(library, "email"), source], check=True)


def unpack_an_archive(source, outside):
    fill(os.path.join(outside, b"content"), 20)
    archive, unpacked = os.path.join(outside, b"it.tar"), os.path.join(source, b"unpacked")
    subprocess.run(["tar", "-cf", archive, "-C", os.path.join(outside, b"content"), "."], check=True)
    os.mkdir(unpacked)
    subprocess.run(["tar", "-xf", archive, "-C", unpacked], check=True)


def copy_and_remove_at_once(source, _outside):
    for _ in range(3):
        fill(os.path.join(source, b"fleeting"), 10)
        shutil.rmtree(os.path.join(source, b"fleeting"))


def make_a_fifo(source, _outside):
    os.mkfifo(os.path.join(source, b"fifo"))


def more_than_a_thousand_moved_in(source, outside):
    for number in range(1500):
        write(outside, b"many/%d/%d" % (number % 7, number), b"%d" % number)
    os.rename(os.path.join(outside, b"many"), os.path.join(source, b"many"))


OPERATIONS = [
    write_one, rewrite, append, delete_file, delete_folder, rename_file, rename_file_over_another, rename_folder,
    rename_folder_and_write_below, rename_folder_there_and_back, swap_folders, move_folder_in, move_file_in,
    move_folder_out, move_file_out, make_symlinks, repoint_symlink, make_hard_link, link_then_unlink,
    folder_becomes_file, file_becomes_folder, folder_becomes_file_and_back,
    folder_is_replaced_by_one_with_other_content, empty_folders, deep_tree, copy_a_tree, unpack_an_archive,
    copy_and_remove_at_once, make_a_fifo, more_than_a_thousand_moved_in,
]
FILTERS = {"without filters": (), "with filters": (r"(.*)\.excluded", r"^never/*")}


@pytest.mark.parametrize("excludes", list(FILTERS.values()), ids=list(FILTERS))
def test_each_operation_arrives_at_both_mirrors(source, daemon, agent, tmp_path, excludes):
    """Each kind of change makes both mirrors equal to the source again, with filters (another way of pushing) too."""
    outside = os.fsencode(str(tmp_path / "outside"))
    os.mkdir(outside)
    write(source, b"not empty")
    running = agent(source, daemon, "-r", params=EXACT, excludes=excludes).start()
    for number, operation in enumerate(OPERATIONS):
        # a place of its own for each: paths that are written again and again are pushed ever more seldom
        place, elsewhere = os.path.join(source, b"%d" % number), os.path.join(outside, b"%d" % number)
        fill(os.path.join(place, b"old"))
        os.mkdir(elsewhere)
        wait_equal(source, daemon.mirrors)
        operation(place, elsewhere)
        try:
            wait_equal(source, daemon.mirrors)
        except AssertionError as error:
            raise AssertionError(f"after {operation.__name__}: {error}") from None
    # but for one: an empty watch folder is taken for a disk that is not mounted
    for left in set(os.listdir(source)) - {b"not empty"}:
        path = os.path.join(source, left)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    wait_equal(source, daemon.mirrors)
    assert "ERROR" not in running.log()
    running.stop()


@pytest.mark.parametrize("excludes", list(FILTERS.values()), ids=list(FILTERS))
def test_every_legal_name_is_written_renamed_and_deleted_and_nothing_is_executed(source, daemon, agent, excludes):
    """Names with quotes, backquotes, newlines, wildcards, invalid UTF-8 and 255 bytes are data, of folders too."""
    started(agent(source, daemon, "-r", params=EXACT, excludes=excludes, hiddenFiles=True), source, daemon.mirrors)
    for name in HOSTILE_NAMES:
        write(source, name, name)
        write(source, b"folder " + name[:200] + b"/" + name, name)
    wait_equal(source, daemon.mirrors)
    for name in HOSTILE_NAMES:
        os.rename(os.path.join(source, name), os.path.join(source, name[:200] + b"2"))
    os.rename(os.path.join(source, b"folder `touch owned`"), os.path.join(source, b"$(touch owned)/"))
    wait_equal(source, daemon.mirrors)
    for name in HOSTILE_NAMES:
        os.remove(os.path.join(source, name[:200] + b"2"))
        shutil.rmtree(os.path.join(source, b"folder " + name[:200]), ignore_errors=True)
    wait_equal(source, daemon.mirrors)
    found = subprocess.run(["find", os.path.dirname(source), "-name", "owned"], stdout=subprocess.PIPE, check=True)
    assert found.stdout == b""


def test_a_file_is_not_pushed_before_it_is_closed(source, daemon, agent):
    """closeWrite means that nobody sees half a file at the mirror, however long it is being written."""
    started(agent(source, daemon, "-r"), source, daemon.mirrors)
    with open(os.path.join(source, b"slow"), "wb") as file:
        file.write(b"half")
        file.flush()
        write(source, b"meanwhile")
        wait_for(lambda: os.path.exists(os.path.join(daemon.mirrors[0], b"meanwhile")))
        time.sleep(1.5)
        assert not os.path.exists(os.path.join(daemon.mirrors[0], b"slow"))
    wait_equal(source, daemon.mirrors)


def test_files_of_editors_are_left_out_in_real_time_but_not_of_a_whole_tree_push(source, daemon, agent):
    """As with sersync2: `.x`, `x~` and `4913` wait for the whole tree; files in a folder such as .git do not."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    for name in (b".hidden", b"backup~", b"4913", b".git/config", b"plain"):
        write(source, name)
    mirror = daemon.mirrors[0]
    wait_for(lambda: sorted(os.listdir(mirror)) == [b".git", b"from the start", b"plain"])
    running.signal(signal.SIGUSR1)
    wait_equal(source, daemon.mirrors)


def test_hidden_files_are_pushed_in_real_time_when_the_user_switches_them_on(source, daemon, agent):
    """`<hiddenFiles start="true"/>` is the one switch for .htaccess and .env."""
    started(agent(source, daemon, hiddenFiles=True), source, daemon.mirrors)
    for name in (b".htaccess", b"backup~", b"4913"):
        write(source, name)
    wait_equal(source, daemon.mirrors)


def test_with_delete_off_nothing_ever_goes_at_the_mirror(source, daemon, agent):
    """Neither a deletion, nor a move, nor a whole-tree push removes anything there; what is new still comes."""
    for mirror in daemon.mirrors:
        write(mirror, b"only at the mirror")
    fill(os.path.join(source, b"old"))
    running = agent(source, daemon, "-r", delete=False).start()
    wait_for(lambda: running.log().count("(./)") == 2)
    os.remove(os.path.join(source, b"old/0.txt"))
    os.rename(os.path.join(source, b"old/deeper"), os.path.join(source, b"moved"))
    write(source, b"last")
    wait_for(lambda: os.path.exists(os.path.join(daemon.mirrors[1], b"last")))
    running.signal(signal.SIGUSR1)
    write(source, b"very last")
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"very last"): os.path.exists(path))
        for kept in (b"only at the mirror", b"old/0.txt", b"old/deeper/still/1.txt", b"moved/still/1.txt"):
            assert os.path.exists(os.path.join(mirror, kept)), kept
    running.stop()


def test_without_create_folder_an_empty_folder_is_not_pushed_but_its_later_content_is(source, daemon, agent):
    """createFolder="false" is about the folder's own sake; sersync2 lost the content too."""
    started(agent(source, daemon, createFolder=False), source, daemon.mirrors)
    os.mkdir(os.path.join(source, b"empty"))
    write(source, b"used/deeper/file")
    wait_for(lambda: os.path.exists(os.path.join(daemon.mirrors[0], b"used/deeper/file")))
    assert not os.path.exists(os.path.join(daemon.mirrors[0], b"empty"))


def test_attrib_pushes_the_path_when_it_is_on(source, daemon, agent):
    """A chmod arrives; sersync2 sent a stray deletion for it."""
    agent(source, daemon, "-r", attrib=True).start()
    path = write(source, b"file")
    wait_equal(source, daemon.mirrors)
    os.chmod(path, 0o600)
    wait_for(lambda: os.stat(os.path.join(daemon.mirrors[1], b"file")).st_mode & 0o777 == 0o600)


def test_several_watch_folders_go_to_their_own_remotes(source, daemon, agent, tmp_path):
    """Each localpath is mirrored, sersync2 took the first only."""
    other = os.fsencode(str(tmp_path / "other"))
    fill(other)
    fill(os.path.join(source, b"here"))
    agent(source, [daemon.remotes[0]], "-r", port=daemon.port, more=[(other, [daemon.remotes[1]])]).start(watching=4)
    wait_equal(source, [daemon.mirrors[0]])
    wait_equal(other, [daemon.mirrors[1]])
    write(other, b"later")
    write(source, b"later still")
    wait_equal(source, [daemon.mirrors[0]])
    wait_equal(other, [daemon.mirrors[1]])


def test_a_name_goes_into_a_folder_of_the_module(source, daemon, agent):
    """`name="module/sub/folder"` mirrors below that folder, which exists there."""
    os.makedirs(os.path.join(daemon.mirrors[0], b"sub/folder"))
    agent(source, [(daemon.remotes[0][0], "m1/sub/folder")], "-r", port=daemon.port).start()
    write(source, b"a/b")
    wait_equal(source, [os.path.join(daemon.mirrors[0], b"sub/folder")])


def test_chinese_names_are_mirrored_under_the_c_locale(source, daemon, agent):
    """A systemd unit has LC_ALL=C; names are bytes all the way."""
    changes = {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    started(agent(source, daemon, "-r", env=changes), source, daemon.mirrors)
    write(source, "\u56fe\u7247/\u4e00.txt".encode())
    write(source, "\u56fe\u7247/\u4e00.txt".encode("gbk"))
    wait_equal(source, daemon.mirrors)
    shutil.rmtree(os.path.join(source, "\u56fe\u7247".encode("gbk")))
    wait_equal(source, daemon.mirrors)


def test_a_file_written_over_and_over_is_pushed_at_a_bounded_rate_and_its_last_version_arrives(source, daemon, agent):
    """A hot file costs about a session a second, not one a write."""
    agent(source, [daemon.remotes[0]], "-r", port=daemon.port).start()
    write(source, b"hot", b"0")
    wait_equal(source, [daemon.mirrors[0]])
    before, begun, number = daemon.sessions(), time.monotonic(), 0
    while time.monotonic() < begun + 3 or number <= 100:
        number += 1
        write(source, b"hot", b"%d" % number)
        time.sleep(0.002)
    wait_equal(source, [daemon.mirrors[0]])
    assert daemon.sessions() - before <= 3 * (time.monotonic() - begun)


def test_two_writes_of_the_same_size_within_a_tick_both_arrive(source, daemon, agent):
    """Size and time look the same to rsync; the content that counts is the last."""
    agent(source, [daemon.remotes[0]], "-r", port=daemon.port).start()
    path = write(source, b"same", b"0000")
    for number in range(1, 6):
        wait_equal(source, [daemon.mirrors[0]])
        stamp = os.stat(path).st_mtime_ns
        write(source, b"same", b"%04d" % number)
        os.utime(path, ns=(stamp, stamp))
        write_again = os.open(path, os.O_WRONLY)
        os.utime(write_again, ns=(stamp, stamp))
        os.close(write_again)
        wait_for(lambda wanted=b"%04d" % number: read(daemon.mirrors[0], b"same") == wanted)


@pytest.mark.parametrize("excludes", list(FILTERS.values()), ids=list(FILTERS))
def test_a_comparison_of_the_whole_tree_finds_what_differs_and_has_it_put_right(source, daemon, agent, excludes):
    """SIGUSR1: whatever somebody did at a mirror by hand is undone, files and folders of hostile names too."""
    fill(os.path.join(source, b"old"))
    for name in HOSTILE_NAMES:
        write(source, b"names/" + name, name)
    os.makedirs(os.path.join(source, b"becomes a file there"))
    running = started(agent(source, daemon, "-r", params=EXACT, excludes=excludes), source, daemon.mirrors)
    for mirror in daemon.mirrors:
        shutil.rmtree(os.path.join(mirror, b"names"))
        write(mirror, b"old/0.txt", b"changed by hand at the mirror")
        write(mirror, b"too/much/of/it", b"")
        write(mirror, b"new\nline $(touch owned)", b"")
        os.rmdir(os.path.join(mirror, b"becomes a file there"))
        write(mirror, b"becomes a file there", b"")
        os.remove(os.path.join(mirror, b"old/1.txt"))
        write(mirror, b"old/1.txt/in the way", b"")
    running.signal(signal.SIGUSR1)
    wait_equal(source, daemon.mirrors)

    def nothing_differs():
        """A folder whose time was stamped anew while it was pushed is put right by the next comparison."""
        before = running.log().count("whole tree compared")
        running.signal(signal.SIGUSR1)
        wait_for(lambda: running.log().count("whole tree compared") >= before + len(daemon.mirrors), 10)
        compared = [line for line in running.log().splitlines() if "whole tree compared" in line]
        return all(", 0 paths differ" in line for line in compared[-len(daemon.mirrors):])

    wait_for(nothing_differs)


def test_with_filters_a_symlink_takes_the_place_of_a_folder_that_the_mirror_still_has(source, daemon, agent):
    """What is below the folder goes, what stands beside it at the mirror only stays: nobody deleted that here."""
    write(source, b"parent/becomes a link/deep/file")
    running = started(agent(source, daemon, "-r", params=EXACT, excludes=["never"]), source, daemon.mirrors)
    running.kill()
    shutil.rmtree(os.path.join(source, b"parent/becomes a link"))
    for mirror in daemon.mirrors:
        write(mirror, b"parent/only there", b"")
    running.start(watching=0)
    os.symlink(b"nowhere", os.path.join(source, b"parent/becomes a link"))
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"parent/becomes a link"): os.path.islink(path))


@pytest.mark.parametrize("excludes", [(), (r"(.*)\.never",)], ids=["without filters", "with filters"])
def test_what_is_reached_through_a_symlink_only_is_not_taken_for_what_stood_there(source, daemon, agent, excludes):
    """A symlink takes the place of a folder, and below its target there are the same names: the symlink arrives."""
    for folder in (b"old", b"target", b"second"):
        fill(os.path.join(source, folder))
    running = started(agent(source, daemon, "-r", params=EXACT, excludes=excludes), source, daemon.mirrors)
    daemon.stop()
    write(source, b"old/deeper/still/0.txt", b"changed before")
    write(source, b"old/new", b"no longer there")
    os.rename(os.path.join(source, b"old"), os.path.join(source, b"gone"))
    os.symlink(b"target", os.path.join(source, b"old"))
    write(source, b"target/new", b"by another way")
    write(source, b"old/deeper/still/0.txt", b"changed by the other way")
    daemon.start()
    wait_equal(source, daemon.mirrors)
    running.stop()
    shutil.rmtree(os.path.join(source, b"second"))
    os.symlink(b"target", os.path.join(source, b"second"))
    running.start()
    wait_equal(source, daemon.mirrors)
