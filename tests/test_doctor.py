"""What --check says: of real remotes in each kind of trouble, of this host by given facts. It touches nothing."""

import contextlib
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
from rig import LOOPBACK, Daemon, Relay, SilentListener, confxml, free_port, wait_for
from test_command_line import run
from test_mirror import started, write
from test_old_ends import REFUSALS, stand_in
from test_remotes import sshd  # noqa: F401 - a fixture

from sersync_py import clock, diagnosis, doctor
from sersync_py.agent import QUEUED_EVENTS, most_open_files
from sersync_py.config import load
from sersync_py.diagnosis import Limits, Neighbour, Tree
from sersync_py.filters import Filter
from sersync_py.findings import FAULT, IN_ORDER, WARNING, Finding, sheet, verdict
from sersync_py.guard import Guard, Root
from sersync_py.language import ENGLISH, ZH, said
from sersync_py.legible import shown_path
from sersync_py.limits import Limit
from sersync_py.marks import Damaged, Mark, Marks, key_for
from sersync_py.mounts import Mount, mount_of, mounts_below, mounts_in
from sersync_py.outcomes import Outcome
from sersync_py.reachability import SILENT, Rehearsed, reachability
from sersync_py.settings import Config, Crontab, Mirror, Remote, Rsync
from sersync_py.target import Target
from sersync_py.terminal import Style, columns

SECRET = "hush-hush"


class Site:
    """A config, and the places of an agent that is never started."""

    def __init__(self, folder, source):
        self.folder, self.source = folder, source
        self.file = os.path.join(folder, "confxml.xml")
        self.state = os.path.join(folder, "state")

    def configure(self, to, **options):
        """Write the config; `to` is a daemon, or pairs of ip and name."""
        if isinstance(to, Daemon):
            options.setdefault("port", to.port)
            to = to.remotes
        options.setdefault("fail_log", os.path.join(self.folder, "fail.sh"))
        with open(self.file, "wb") as file:
            file.write(confxml(self.source, to, **options))

    def password(self, text=SECRET):
        """Write a password file; return its path."""
        path = os.path.join(self.folder, "password")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text + "\n")
        return path

    def files(self):
        return doctor.Files(self.state, self.state + "/lock", self.state + "/pid", None)

    def examine(self, to, seconds=doctor.REMOTE_SECONDS, **options):
        """Return the findings."""
        self.configure(to, **options)
        return doctor.examine(load(os.fsencode(self.file)), self.files(), 10, seconds)

    def faults(self, to, seconds=doctor.REMOTE_SECONDS, **options):
        """Return the faults, each as one text with its commands."""
        return [told(each) for each in self.examine(to, seconds, **options) if each.level == FAULT]

    def check(self, *arguments, **changes):
        """Run the command; return its exit code and all that it said."""
        code, out, err = run("--check", "-o", self.file, "--state-dir", self.state, *arguments, **changes)
        return code, out + err


def told(finding):
    return "\n".join([finding.what, finding.why, finding.mend, *finding.command])


def levels(findings):
    return [finding.level for finding in findings]


def snapshot(*folders):
    """Return all that stat says of what is below some folders, but when it was read."""
    found = {}
    for folder in folders:
        for top, folders_in, names in os.walk(folder):
            for path in [top] + [os.path.join(top, name) for name in names + folders_in]:
                status = os.lstat(path)
                found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return found


@pytest.fixture
def site(tmp_path, source):
    folder = tmp_path / "site"
    folder.mkdir()
    write(source, b"file")
    return Site(str(folder), source)


@pytest.fixture
def serve(tmp_path):
    """A factory of daemons; `serve(read_only=True)` runs until the test ends."""
    with contextlib.ExitStack() as running:
        def make(*modules, **options):
            folder = str(tmp_path / f"daemon{len(os.listdir(str(tmp_path)))}")
            paths = {name: os.fsencode(folder + "-" + name) for name in modules or ("m1",)}
            return running.enter_context(Daemon(folder, paths, **options))
        yield make


# ---- it works --------------------------------------------------------------------------------------------------------


def test_a_config_that_will_work_ends_with_0_and_nothing_is_changed_anywhere(site, serve):
    """Neither here nor at the remote, where something stands that a real push would delete."""
    there = serve("m1", "m2", users={"bob": SECRET})
    write(there.mirrors[0], b"only there")
    os.makedirs(os.path.join(site.source, b"sub/folder"))
    site.configure(there, user="bob", password_file=site.password())
    folders = (site.source, *there.mirrors, os.fsencode(site.folder))
    before = snapshot(*folders)
    code, said_there = site.check()
    assert code == 0, said_there
    assert snapshot(*folders) == before
    for name in ("m1", "m2"):
        assert re.search(rf"bob@{LOOPBACK}::{name} takes pushes \(rsync 3\..* there\)", said_there)
    assert "3 folders to watch" in " ".join(said_there.split())
    assert "mode 0600, owner " in said_there
    assert said_there.splitlines()[-1].startswith("It will work.")
    assert SECRET not in said_there


def test_a_plugin_alone_needs_no_rsync_and_asks_no_remote(site, tmp_path, monkeypatch):
    """It mirrors nothing."""
    extra = b'<plugin name="command"><param prefix="/bin/true" suffix="" ignoreError="true"/></plugin>'
    site.configure([("192.0.2.1", "m1")], plugin="command", extra=extra)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    code, said_there = site.check("-m", "command")
    assert code == 0, said_there
    assert "rsync is" not in said_there
    assert "192.0.2.1" not in said_there
    assert site.check()[0] == 1


def test_each_line_fits_80_columns_in_both_languages_and_there_is_no_colour_in_a_pipe(site):
    """But for the commands, which are to be copied as they are."""
    site.configure([(LOOPBACK, "m1"), ("localhost", "m2/sub")], port=free_port())
    for language in ("C", "zh_CN.UTF-8"):
        code, text = site.check(LC_ALL=language, PYTHONIOENCODING="utf-8")
        assert code == 1
        lines = text.splitlines()
        assert all(columns(line) <= 80 for line in lines if not line.startswith(" " * 10) and "/tmp" not in line)
        assert "\x1b" not in text
        assert sum("✗" in line for line in lines) == 2


def test_warnings_of_the_config_are_among_the_warnings(site, serve):
    """Also a watch folder in another one."""
    inner = os.path.join(site.source, b"inner")
    os.mkdir(inner)
    there = serve("m1", "m2")
    findings = site.examine(there.remotes[:1], port=there.port, more=[(inner, there.remotes[1:])], extra=b"<oh/>")
    texts = [told(each) for each in findings if each.level == WARNING]
    assert any("lies in watch folder" in text for text in texts)
    assert any("element oh in head is unknown" in text for text in texts)
    assert FAULT not in levels(findings)


# ---- remotes ---------------------------------------------------------------------------------------------------------


def test_a_port_that_nobody_listens_on(site):
    """And how to start the daemon there."""
    port = free_port()
    (fault,) = site.faults([(LOOPBACK, "m1")], port=port)
    assert f"{LOOPBACK}: nobody listens on port {port}" in fault
    assert "systemctl enable --now rsyncd" in fault


def test_a_host_is_named_once_however_many_of_its_modules_are_wanted(site):
    """It is one trouble."""
    site.configure([(LOOPBACK, f"m{number}") for number in range(5)], port=free_port())
    code, text = site.check()
    assert code == 1
    assert text.count("nobody listens") == 1
    assert "Faults: 1," in text


def test_silent_remotes_are_given_up_after_their_time_side_by_side(site):
    """One after another twenty would take a hundred seconds; no rsync stays behind."""
    with SilentListener() as silent:
        began = time.monotonic()
        faults = site.faults([(LOOPBACK, f"m{number}") for number in range(20)], seconds=5, port=silent.port)
        assert time.monotonic() - began < 60
        assert silent.connections == 20
    assert len(set(faults)) == 1
    assert f"{LOOPBACK}: no answer on port {silent.port} within 5 s" in faults[0]
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and f"--port={silent.port}" in command(pid)]


def command(pid):
    try:
        # names of all kinds stand there, those of other tests too
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def test_more_remotes_than_are_tried_at_a_time_are_all_tried(site, serve, monkeypatch):
    """In the order of the config."""
    monkeypatch.setattr("sersync_py.rehearsals._AT_A_TIME", 2)
    there = serve(*[f"m{number}" for number in range(5)])
    findings = site.examine([*there.remotes, (LOOPBACK, "none")], port=there.port)
    texts = [each.what for each in findings if "::m" in each.what and "takes pushes" in each.what]
    assert [re.search("::(m.)", text).group(1) for text in texts] == ["m0", "m1", "m2", "m3", "m4"]
    assert findings[-1].level == FAULT


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_something_else_on_the_port(site, answer):
    """A web server, ssh."""
    class Server(SilentListener):
        def _take(self, client):
            client.sendall(answer)

    with Server() as other:
        (fault,) = site.faults([(LOOPBACK, "m1")], port=other.port)
    assert f"what listens on port {other.port} is no rsync daemon" in fault


def test_a_connection_that_breaks_is_tried_again_and_then_said(site, serve):
    """With a command to look closer."""
    there = serve()

    class Cutting(Relay):
        def _take(self, client):
            client.close()

    with Cutting(there.port) as relay:
        (fault,) = site.faults([(LOOPBACK, "m1")], port=relay.port)
        assert 1 <= relay.connections <= 2
    assert f"--port={relay.port}" in fault or "no rsync daemon" in fault


def test_an_unknown_module(site, serve):
    """With what to write into rsyncd.conf."""
    there = serve()
    (fault,) = site.faults([(LOOPBACK, "other/sub")], port=there.port)
    assert "has no module [other]" in fault
    assert "[other]\npath =" in fault


def test_a_login_that_is_wrong_missing_or_written_the_daemons_way(site, serve):
    """The password is never in what is said."""
    there = serve(users={"bob": SECRET})
    (missing,) = site.faults(there)
    assert "the module wants a login, and the config has none" in missing
    assert '<auth start="true"' in missing
    (wrong,) = site.faults(there, user="bob", password_file=site.password("guess"))
    assert f"bob@{LOOPBACK}::m1: the login as bob fails" in wrong
    assert "chmod 600 /etc/rsyncd.secrets" in wrong
    assert "guess" not in wrong
    path = site.password("bob:" + SECRET)
    (pair,) = site.faults(there, user="bob", password_file=path)
    assert f"{path} begins with bob: but must hold the password alone" in pair
    assert SECRET not in pair
    # the command that mends it does
    subprocess.run(["sh", "-c", pair.splitlines()[-1]], check=True)
    assert site.faults(there, user="bob", password_file=path) == []


def test_a_module_that_is_read_only(site, serve):
    """A dry run is refused as well."""
    (fault,) = site.faults(serve(read_only=True))
    assert "::m1: the module is read only" in fault
    assert fault.endswith("\nread only = no")


def test_a_module_that_does_not_let_us_in(site, serve):
    """hosts allow."""
    (fault,) = site.faults(serve(extra_global="hosts allow = 192.0.2.1"))
    assert "does not let this host in" in fault


def test_a_module_whose_folder_is_not_there(site, serve):
    """path = of the module."""
    there = serve()
    os.rmdir(there.mirrors[0])
    (fault,) = site.faults(there)
    assert "the folder of the module is not there" in fault


def test_a_daemon_that_refuses_deletions(site, serve):
    """Which a push would find out with its first file; without deletions all is well."""
    there = serve(extra_global="refuse options = delete")
    (fault,) = site.faults(there)
    assert re.search("the daemon refuses --delete", fault)
    assert site.faults(there, delete=False) == []


def test_a_folder_in_a_module_may_be_missing_but_not_the_one_above_it(site, serve):
    """rsync makes one folder, not two."""
    there = serve()
    assert site.faults([(LOOPBACK, "m1/a")], port=there.port) == []
    (fault,) = site.faults([(LOOPBACK, "m1/a/b")], port=there.port)
    assert "::m1/a/b: the folder above a/b is not there" in fault
    assert os.listdir(there.mirrors[0]) == []


def test_a_daemon_whose_connections_are_all_taken_is_a_warning(site, serve, tmp_path):
    """It will work once one is free."""
    there = serve(max_connections=1)
    with subprocess.Popen(["rsync", "-a", "--files-from=-", "--contimeout=10", "/", there.url("m1")],
                          stdin=subprocess.PIPE) as waiting:
        wait_for(there.sessions)
        findings = site.examine(there)
        waiting.communicate()
    warnings = [told(each) for each in findings if each.level == WARNING]
    assert FAULT not in levels(findings)
    assert any("the daemon has no connection free" in text for text in warnings)


@pytest.mark.parametrize("refusal", list(REFUSALS.values()), ids=list(REFUSALS))
def test_a_receiver_that_can_do_less_is_a_warning(site, serve, tmp_path, refusal, monkeypatch):
    """The rest is tried nevertheless."""
    monkeypatch.setenv("PATH", stand_in(str(tmp_path / "bin"), *refusal)["PATH"])
    there = serve()
    findings = site.examine(there)
    assert FAULT not in levels(findings)
    wanted = "older than 3.1.3" if "modify-window" in refusal[0] else "cannot take deletions by name"
    assert any(wanted in each.what and each.level == WARNING for each in findings)
    assert any("::m1 takes pushes" in each.what for each in findings)


def test_a_receiver_that_fails_only_at_names_that_are_gone_is_found_out(site, serve, tmp_path, monkeypatch):
    """As 3.4.3 does: it takes the option, and aborts on a name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "rsync"
    path.write_text(
        "#!/bin/bash\nnames=$(tr '\\0' '\\n' < /dev/stdin)\n"
        'if [[ $names && "$*" == *--delete-missing-args* ]]; then\n'
        '  echo "invalid file mode 00 for x [Receiver]" >&2; exit 2\nfi\n'
        f'exec {shutil.which("rsync")} "$@" < <(if [[ $names ]]; then printf "%s\\0" "$names"; fi)\n')
    path.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    findings = site.examine(serve())
    assert FAULT not in levels(findings)
    assert any("cannot take deletions by name" in each.what for each in findings)


def test_params_that_rsync_does_not_know(site, serve):
    """Its own words say which."""
    (fault,) = site.faults(serve(), params="-artuz --no-such-option")
    assert "does not take the params" in fault
    assert "--no-such-option" in fault


def test_ssh_that_works_and_ssh_that_does_not(sshd, site, tmp_path):  # noqa: F811 - the fixture
    """By the user's own command; the folder above the remote's must be there."""
    port, options = sshd
    mirror = str(tmp_path / "mirror")

    def by(command, path=mirror):
        return site.examine([(LOOPBACK, path)], 60, ssh=True, port=port, params=f'-artuz -e "{command}"')

    def fault_by(command, path=mirror):
        (fault,) = [told(each) for each in by(command, path) if each.level == FAULT]
        return fault

    findings = by(f"ssh {options}")
    assert FAULT not in levels(findings)
    assert any("takes pushes (rsync" in each.what for each in findings)
    assert not os.path.exists(mirror)
    assert f"the folder above {mirror}/no/such is not there" in fault_by(f"ssh {options}", mirror + "/no/such")
    nobody = "ssh -F none -oBatchMode=yes -oUserKnownHostsFile=/dev/null -oStrictHostKeyChecking="
    assert f"ssh-copy-id -p {port} {LOOPBACK}" in fault_by(nobody + "no -oPubkeyAuthentication=no")
    assert "its ssh key is not known here" in fault_by(nobody + "yes")
    assert "the command of ssh cannot be run here" in fault_by("/no/such/ssh")


TARGET = Target(b"/data", Remote("host", "web/sub"), Rsync(), True)
BY_SSH = Target(b"/data", Remote("bob@host", "/srv/web"), Rsync(ssh=True, port=2222), True)


@pytest.mark.parametrize(("target", "code", "message", "found"), [
    (TARGET, 10, "rsync: getaddrinfo: host 873: Name or service not known", "this name has no address"),
    (TARGET, 10, "rsync: failed to connect to host (192.0.2.1): No route to host (113)", "--add-port=873/tcp"),
    (TARGET, 35, "rsync error: timeout waiting for daemon connection (code 35) at socket.c(279)", "--add-port=873/tcp"),
    (TARGET, 10, "rsync: failed to connect to host (192.0.2.1): Connection timed out (110)", "reached on port 873"),
    (TARGET, 5, "Password: @ERROR: auth failed on module web", "wants a login"),
    (TARGET, 5, "@ERROR: chroot failed", "the folder of the module is not there"),
    (TARGET, 11, 'rsync: mkdir "/sub/x" (in web) failed: No such file or directory (2)', "mkdir -p sub"),
    (BY_SSH, 3, "rsync error: errors selecting input/output files, dirs (code 3) at main.c(779)", "the folder above"),
    (BY_SSH, 3, 'rsync: mkdir "/srv/x" failed: Read-only file system (30)', "Read-only file system"),
    (TARGET, 23, 'rsync: change_dir "/sub" (in web) failed: Permission denied (13)', "rsync_full_access"),
    (TARGET, 11, "rsync: write failed: No space left on device (28)", "its disk is full"),
    (TARGET, 12, "rsync: it went to the moon", "connection broke (exit 12): rsync: it went to the moon"),
    (TARGET, -9, "", "ended by signal 9 (exit -9)"),
    (TARGET, 20, SILENT, "no answer on port 873 within 10 s"),
    (BY_SSH, 20, SILENT, "no answer by ssh within 10 s"),
    (BY_SSH, 255, "ssh: connect to host host port 2222: Connection refused", "systemctl enable --now sshd"),
    (BY_SSH, 255, "ssh: connect to host host port 2222: No route to host", "--add-port=2222/tcp"),
    (BY_SSH, 255, "Host key verification failed.", "ssh -p 2222 bob@host"),
    (BY_SSH, 255, "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "ssh -p 2222 bob@host"),
    (BY_SSH, 255, "bob@host: Permission denied (publickey,password).", "ssh-copy-id -p 2222 bob@host"),
    (BY_SSH, 12, "bash: rsync: command not found", "yum install rsync"),
    (BY_SSH, 14, "rsync: Failed to exec ssh: No such file or directory (2)", "yum install openssh-clients"),
])
def test_what_rsync_and_ssh_say_becomes_what_to_do(target, code, message, found):
    """Each is one fault that says why it matters."""
    (fault,) = reachability(Rehearsed(target, Outcome("away", code, message), 10))
    assert found in told(fault)
    assert (fault.level, bool(fault.why), bool(fault.mend)) == (FAULT, True, True)


@pytest.mark.parametrize(("output", "release"), [
    (b"(Client) Protocol versions: remote=30, negotiated=30\n", "3.0"),
    (b"(Client) Protocol versions: remote=31, negotiated=31\n", "3.1 - 3.3"),
    (b"(Client) Protocol versions: remote=32, negotiated=32\n", "3.4 or later"),
    (b"(Client) Protocol versions: remote=29, negotiated=29\n", "before 3.0"),
])
def test_the_remotes_release_is_known_by_its_protocol(output, release):
    (finding,) = reachability(Rehearsed(TARGET, Outcome("done", 0, output=output), 10))
    assert finding == Finding(IN_ORDER, f"host::web/sub takes pushes (rsync {release} there)")


# ---- this host -------------------------------------------------------------------------------------------------------

CONFIG = Config(b"/c.xml", (Mirror(b"/data/www", (Remote("h", "m"),)),))
MIRROR = CONFIG.mirrors[0]


def limits(watches=524288, queue=QUEUED_EVENTS, instances=128, may_raise=False):
    values = {"max_user_watches": watches, "max_queued_events": queue, "max_user_instances": instances}
    return Limits(*(Limit("fs.inotify." + name, "/nowhere", value) for name, value in values.items()), may_raise)


PLENTY = limits()

MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /data rw,relatime - xfs /dev/sdb1 rw
41 40 0:41 / /data/www rw,relatime shared:3 master:2 - nfs4 10.0.0.9:/export/www rw,vers=4.2
42 41 0:42 / /data/www/with\040blank\134 rw - fuse.sshfs bob@h:/ rw
43 27 0:43 / /mnt rw - ext4 /dev/sdc rw
44 27 0:44 / /mnt rw - cifs //server/share rw
nonsense
"""


@pytest.mark.parametrize(("path", "mount"), [
    (b"/data/www", Mount(b"/data/www", "nfs4", b"10.0.0.9:/export/www")),
    (b"/data/www/sub", Mount(b"/data/www", "nfs4", b"10.0.0.9:/export/www")),
    (b"/data/www2", Mount(b"/data", "xfs", b"/dev/sdb1")),
    (b"/data/www/with blank\\/x", Mount(b"/data/www/with blank\\", "fuse.sshfs", b"bob@h:/")),
    (b"/mnt/x", Mount(b"/mnt", "cifs", b"//server/share")),
    (b"/home", Mount(b"/", "ext4", b"/dev/vda")),
])
def test_a_folder_lies_on_the_deepest_mount_and_there_on_the_last(path, mount):
    assert mount_of(mounts_in(MOUNTINFO), path) == mount


def test_mounts_below_a_folder_are_those_that_can_be_seen():
    mounts = mounts_in(MOUNTINFO)
    assert [mount.kind for mount in mounts_below(mounts, b"/data")] == ["nfs4", "fuse.sshfs"]
    assert mounts_below(mounts, b"/data/www2") == []
    assert len(mounts_below(mounts, b"/")) == 5
    assert mount_of([], b"/data") is None
    assert mounts_in(b"\xff\n\n - \n") == []


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.glusterfs", "9p", "ceph"])
def test_a_watch_folder_that_others_can_write_to_is_a_warning(kind):
    """With the comparison that finds what they wrote."""
    (finding,) = diagnosis.mounted_on(MIRROR, Mount(b"/data/www", kind, b"server:/x"), CONFIG)
    assert finding.level == WARNING
    assert finding.what == f"watch folder /data/www is on {kind} (server:/x)"
    assert finding.command == ('<crontab start="true" schedule="60"/>',)
    regularly = CONFIG._replace(crontab=Crontab(30))
    (finding,) = diagnosis.mounted_on(MIRROR, Mount(b"/data/www", kind, b"server:/x"), regularly)
    assert "every 30 minutes finds it" in finding.mend
    (inside,) = diagnosis.mounted_inside(MIRROR, [Mount(b"/data/www/up", kind, b"s:/")], CONFIG)
    assert inside.what == f"/data/www/up in watch folder /data/www is on {kind} (s:/)"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "fuseblk"])
def test_a_local_file_system_is_no_finding(kind):
    assert list(diagnosis.mounted_on(MIRROR, Mount(b"/", kind, b"x"), CONFIG)) == []
    assert list(diagnosis.mounted_inside(MIRROR, [Mount(b"/data/www/up", kind, b"x")], CONFIG)) == []


def test_a_containers_own_layer_is_a_warning():
    (finding,) = diagnosis.mounted_on(MIRROR, Mount(b"/", "overlay", b"overlay"), CONFIG)
    assert finding.level == WARNING


def test_watches_that_do_not_suffice_are_a_warning_with_both_commands():
    """For now and for the next boot; who may raise the limit is told that the agent does."""
    trees = [Tree(b"/a", 5000), Tree(b"/b", 4000)]
    low = limits(watches=8192)
    finding = diagnosis.watches(trees, low)
    assert finding.level == WARNING
    assert "9000 folders to watch, and the kernel allows 8192" in finding.what
    assert finding.command[0] == "sysctl -w fs.inotify.max_user_watches=18000"
    assert finding.command[1].endswith(">> /etc/sysctl.d/90-sersync-py.conf")
    assert diagnosis.watches(trees, PLENTY).level == IN_ORDER
    assert diagnosis.watches(trees, low._replace(may_raise=True)).level == IN_ORDER
    assert diagnosis.watches([Tree(b"/a", 8000)], low).level == WARNING, "other programs watch too"
    uncounted = diagnosis.watches([Tree(b"/a", 9000, complete=False)], low)
    assert uncounted.what.startswith("more than 9000 folders")


def test_a_short_queue_is_a_warning_to_who_may_not_raise_it():
    short = limits(queue=16384)
    assert diagnosis.queue(QUEUED_EVENTS, short).level == WARNING
    assert diagnosis.queue(QUEUED_EVENTS, short).command[0] == f"sysctl -w fs.inotify.max_queued_events={QUEUED_EVENTS}"
    assert diagnosis.queue(QUEUED_EVENTS, short._replace(may_raise=True)).level == IN_ORDER
    assert diagnosis.queue(QUEUED_EVENTS, PLENTY).level == IN_ORDER


def test_inotify_that_cannot_be_had_is_a_fault():
    assert diagnosis.instances(2, True, PLENTY).level == IN_ORDER
    finding = diagnosis.instances(2, False, PLENTY)
    assert finding.level == FAULT
    assert finding.command[0] == "sysctl -w fs.inotify.max_user_instances=258"
    assert diagnosis.instances(2, False, limits(0, 0, 0)).what == "this kernel has no inotify"


def test_the_instances_are_asked_of_the_kernel_and_given_back():
    """What bounds them here is how many files may be open: to use up the user's would take them from other agents."""
    before = len(os.listdir("/proc/self/fd"))
    assert doctor._can_have_instances(3)
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 50, most))
    try:
        assert not doctor._can_have_instances(100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_limit_that_binds_is_named_be_it_the_containers():
    """In a user namespace of its own it has another name."""
    low = limits()._replace(watches=Limit("user.max_inotify_watches", "/nowhere", 100))
    assert diagnosis.watches([Tree(b"/a", 5000)], low).command[0] == "sysctl -w user.max_inotify_watches=10000"


def test_few_open_files_are_a_warning():
    many = CONFIG._replace(mirrors=(Mirror(b"/a", tuple(Remote("h", str(number)) for number in range(100))),))
    assert most_open_files(many, 10) > 1024 > most_open_files(CONFIG, 10)
    assert diagnosis.open_files(1700, 1024).command == ("ulimit -n 65536",)
    assert diagnosis.open_files(1700, 1024).level == WARNING
    assert diagnosis.open_files(1700, 1700).level == IN_ORDER


@pytest.mark.parametrize(("synchronised", "found"), [(True, [IN_ORDER]), (False, [WARNING]), (None, [])])
def test_a_clock_that_nobody_keeps_right_is_a_warning(synchronised, found):
    assert levels(diagnosis.clock(synchronised)) == found
    assert doctor._is_synchronised() in (True, False, None)


@pytest.mark.parametrize(("enforcing", "booleans", "found"), [
    (None, {}, []),
    (False, {"rsync_client": False}, [IN_ORDER]),
    (True, {"rsync_client": True, "rsync_full_access": True}, [IN_ORDER]),
    (True, {}, [IN_ORDER]),
    (True, {"rsync_client": False, "rsync_full_access": False}, [WARNING]),
])
def test_selinux_is_a_warning_where_it_may_be_in_the_way(enforcing, booleans, found):
    findings = list(diagnosis.selinux(enforcing, booleans))
    assert levels(findings) == found
    if found == [WARNING]:
        assert findings[0].command == ("setsebool -P rsync_client=1 rsync_full_access=1",)


@pytest.mark.parametrize(("mode", "level"), [(0o600, IN_ORDER), (0o400, IN_ORDER), (0o640, WARNING), (0o660, WARNING)])
def test_a_password_file_that_the_group_can_read_is_a_warning(mode, level):
    """Others are a fault of the config already, for rsync refuses such a file."""
    finding = diagnosis.password_file(b"/etc/it's", mode, "root")
    assert finding.level == level
    if level == WARNING:
        assert shlex.split(finding.command[0]) == ["chmod", "600", "/etc/it's"]


def test_a_watch_folder_that_is_empty_or_in_part_not_readable_is_a_warning():
    empty = list(diagnosis.tree(Tree(b"/data", 1, empty=True), "bob"))
    assert [(each.level, each.what) for each in empty] == [
        (WARNING, "watch folder /data is empty"), (IN_ORDER, "watch folder /data: 1 folders to watch")]
    part, _ = diagnosis.tree(Tree(b"/data", 9, unreadable=(b"/data/a", b"/data/b")), "bob")
    assert (part.level, part.what) == (WARNING, "2 folders in /data cannot be read, such as /data/a")
    (none,) = diagnosis.tree(Tree(b"/data", 1, unreadable=(b"/data",)), "bob")
    assert none.level == FAULT
    assert none.command == ("setfacl -R -m u:bob:rX /data",)


def test_folders_are_counted_with_the_filter_for_a_limited_time(source):
    """What is excluded is not watched; symlinks are not followed."""
    for name in (b"a/b/c", b"cache/x", b"d"):
        os.makedirs(os.path.join(source, name))
    os.symlink(source, os.path.join(source, b"link"))
    never = time.monotonic() + 60
    assert doctor._look_through(source, Filter(), never) == Tree(source, 7)
    assert doctor._look_through(source, Filter(["cache"]), never) == Tree(source, 5)
    assert doctor._look_through(source, Filter(), 0) == Tree(source, 1, complete=False)
    assert doctor._look_through(os.path.join(source, b"d"), Filter(), never).empty
    assert not doctor._look_through(os.path.join(source, b"a"), Filter(), never).empty


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_folders_that_cannot_be_read_are_named():
    """As somebody who is not root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.chmod(top, 0o755)
        os.makedirs(os.path.join(top, "closed/x"))
        os.chmod(os.path.join(top, "closed"), 0o700)
        os.seteuid(65534)
        try:
            found = doctor._look_through(os.fsencode(top), Filter(), time.monotonic() + 60)
            refused = doctor._why_not_folder(os.path.join(top, "new/state"))
        finally:
            os.seteuid(0)
        assert found == Tree(os.fsencode(top), 2, unreadable=(os.fsencode(top) + b"/closed",))
        assert refused == "Permission denied"


def test_a_remote_that_is_the_watch_folder_by_ssh_is_a_fault(site):
    """Itself, in it, above it; behind a symlink too. A folder beside it is none."""
    here = os.fsdecode(site.source)
    link = os.path.join(site.folder, "link")
    os.symlink(here, link)
    for path in (here, here + "/sub", os.path.dirname(here), link, link + "/sub"):
        site.configure([("bob@localhost", path)], ssh=True)
        faults = [each.what for each in doctor._folders(load(os.fsencode(site.file))) if each.level == FAULT]
        assert faults == [f"bob@localhost:{path} is watch folder {here} itself, lies in it, or holds it"]
    for host, path in (("localhost", here + "2"), ("192.0.2.1", here), ("localhost", "relative")):
        site.configure([(host, path)], ssh=True)
        assert FAULT not in levels(doctor._folders(load(os.fsencode(site.file))))
    assert doctor._is_here(socket.gethostname())
    assert doctor._is_here("[::1]")


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--state-dir", "--log-file", "--pid-file"])
def test_a_place_that_cannot_be_written_is_a_fault(site, serve, option):
    """The agent would end with the same words."""
    site.configure(serve())
    code, text = site.check(option, "/dev/null/below")
    assert code == 1
    assert "/dev/null/below cannot be written: Not a directory" in text
    assert f"another place with {option}" in " ".join(text.split())


def test_a_log_that_is_a_folder_or_in_none_is_a_fault(site, serve):
    site.configure(serve())
    code, text = site.check("--log-file", site.folder)
    assert code == 1
    assert f"{site.folder} cannot be written: Is a directory" in " ".join(text.split())
    assert doctor._why_not_file(site.folder + "/none/log") == "No such file or directory"
    assert doctor._why_not_file("/proc/version") == doctor._why_not_file("/proc/no-such") == "" or os.geteuid() != 0


def test_little_space_is_a_warning():
    assert diagnosis.space(b"/s", 1 << 30).level == IN_ORDER
    finding = diagnosis.space(b"/s", 5 << 20)
    assert (finding.level, finding.what) == (WARNING, "5120 KB are free where the state folder /s is")


def test_a_fail_log_in_tmp_is_a_warning_and_one_that_is_a_trap_too(site, serve):
    """The default of sersync2's configs."""
    there = serve()
    code, text = 0, ""
    site.configure(there, fail_log="/tmp/rsync_fail_log.of-no-one.sh")
    code, text = site.check()
    assert code == 0
    assert "is in a folder where everyone can write" in " ".join(text.split())
    assert f'<failLog path="{site.state}/rsync_fail_log.sh" timeToExecute="60"/>' in text
    trap = os.path.join(site.folder, "trap.sh")
    os.symlink("/etc/passwd", trap)
    findings = site.examine(there, fail_log=trap)
    assert any("never read through a symbolic link" in each.what and each.level == WARNING for each in findings)
    findings = site.examine(there, fail_log=site.folder + "/none/fail.sh")
    assert any("fail.sh cannot be written: No such file" in each.what and each.level == WARNING for each in findings)


def test_what_sersync2_left_in_its_fail_log_is_counted(site, serve):
    there = serve()
    path = os.path.join(site.folder, "fail.sh")
    with open(path, "w") as file:
        file.write(f'#errno 2560\ncd {os.fsdecode(site.source)} && rsync -artuz -R "./f" {LOOPBACK}::m1 '
                   ">/dev/null 2>&1 \n\n")
    assert any(each.what == f"fail log {path} has 1 entries to be made up for" for each in site.examine(there))


def test_a_mark_of_another_folder_a_damaged_one_and_one_ahead_of_the_clock(site, serve):
    """Each says what the next start does."""
    there = serve()
    site.configure(there)
    key = key_for(os.fsencode(os.path.realpath(site.file)), site.source, f"{LOOPBACK}::m1")
    marks = Marks(os.fsencode(site.state))
    now, root = clock.now(), Guard(site.source).root

    def of_marks():
        texts = [told(each) for each in site.examine(there) if "::m1" in each.what and "takes pushes" not in each.what]
        return "\n".join(texts)

    assert "not mirrored to before" in of_marks()
    marks.save(key, Mark(now.wall_ns, root), now)
    assert of_marks() == ""
    marks.save(key, Mark(now.wall_ns, root._replace(inode=root.inode + 1)), now)
    assert f"kill -USR1 $(cat {site.state}/pid)" in of_marks()
    marks.save(key, Mark(now.wall_ns + 3600 * 10**9, root), now)
    assert re.search(r"the mark of .* lies 3\d\d\d s ahead of the clock(.|\n)*timedatectl", of_marks())
    with open(os.path.join(site.state, key + ".mark"), "w") as file:
        file.write("torn")
    assert "is not a mark, or torn\nThe next start compares the whole tree." in of_marks()


def test_marks_are_judged_by_what_was_read():
    root = Root(1, 7, 9)
    good = Mark(5, root)
    assert list(diagnosis.mark(MIRROR, "h::m", good, root, "/p")) == []
    assert list(diagnosis.mark(MIRROR, "h::m", good._replace(root=None), root, "/p")) == []
    assert levels(diagnosis.mark(MIRROR, "h::m", Damaged("is bad"), root, "/p")) == [WARNING]
    assert levels(diagnosis.mark(MIRROR, "h::m", good._replace(reason="is bad"), root, "/p")) == [WARNING]


# ---- other programs --------------------------------------------------------------------------------------------------


def test_a_running_agent_is_named_and_not_disturbed(source, daemon, agent):
    """Its lock is not asked for, so an agent that starts meanwhile is not refused; a dead one's pid does not count."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    code, out, err = run("--check", "-o", running.config_file, "--state-dir", running.state_dir)
    assert (code, err) == (0, "")
    assert f"already, as process {running.pid}" in " ".join(out.split())
    assert f"kill -HUP {running.pid}" in out
    assert running.running()
    running.kill()
    (name,) = [name for name in os.listdir(running.state_dir) if name.endswith(".lock")]
    lock = os.path.join(running.state_dir, name)
    assert doctor._holder(lock) is None
    with open(lock, "w") as file:
        file.write(str(os.getpid()))
        file.flush()
        assert doctor._holder(lock) == os.getpid(), "it has the file open"
    assert doctor._holder(lock) is None
    assert doctor._holder(lock + "x") is None


@pytest.mark.parametrize(("name", "config", "found"), [
    ("sersync2", '<localpath watch="{}">', "sersync2 runs on {}, as process"),
    ("lsyncd", 'sync {{ default.rsync, source = "{}/", target = "x" }}', "lsyncd runs on {}, as process"),
    ("sersync2", '<localpath watch="{}2">', "on which folders cannot be told"),
    ("lsyncd", 'source = "{}2"', None),
])
def test_another_program_on_the_same_folder_is_a_warning(site, serve, name, config, found):
    """Found by the name of the process and by what its config says; one of other folders is none."""
    other = os.path.join(site.folder, "other.xml")
    with open(other, "w") as file:
        file.write(config.format(os.fsdecode(site.source)))
    process = subprocess.Popen([name, "-c", "sleep 60; :", "-d", "-o", "other.xml"], executable="/bin/sh",
                               cwd=site.folder, start_new_session=True)
    try:
        wait_for(lambda: command(process.pid).startswith(name))
        findings = [told(each) for each in site.examine(serve()) if f"process {process.pid}" in each.what]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if found is None:
        assert findings == []
    else:
        (text,) = findings
        assert found.format(os.fsdecode(site.source)) in text
        assert text.endswith(f"kill {process.pid}")


@pytest.mark.parametrize(("text", "same"), [
    (b'watch="/data/www"', True), (b"source = '/data/www/',", True), (b"-rsync\0/data/www\0h::m\0", True),
    (b'watch="/data/www2"', False), (b'watch="/data/www/sub"', False), (b"/data/www", True),
])
def test_a_text_names_a_folder_only_as_a_whole(text, same):
    (finding,) = diagnosis.neighbours([Neighbour(7, "sersync2", text)], CONFIG)
    assert ("runs on /data/www" in finding.what) == same


# ---- how it looks ----------------------------------------------------------------------------------------------------

FINDINGS = [
    Finding(WARNING, said("is empty"), said("As root:"), command=("x" * 100,)),
    Finding(FAULT, said("is relative"), said("Nothing could be sent."), said("As root:"), ("command",)),
    Finding(IN_ORDER, said("inotify can be used")),
    Finding(FAULT, said("is relative"), said("Nothing could be sent."), said("As root:"), ("command",)),
]


def test_findings_are_grouped_and_each_is_said_once():
    assert "\n".join(sheet(FINDINGS, Style(ENGLISH, 80))) == """
in order
  ✓ inotify can be used

warnings
  ! is empty
      As root:
          {}

faults
  ✗ is relative
      Nothing could be sent.
      As root:
          command""".format("x" * 100)


def test_where_there_are_no_marks_ascii_serves_and_colour_is_for_terminals():
    lines = sheet(FINDINGS, Style(ENGLISH, 80, marks=False))
    assert [line[2] for line in lines if re.match("  [^ ] ", line)] == ["+", "!", "x"]
    coloured = "\n".join(sheet(FINDINGS, Style(ENGLISH, 80, colour=True)))
    assert "\x1b[31m✗\x1b[0m is relative" in coloured
    assert "\n正常\n" in "\n".join(sheet(FINDINGS, Style(ZH, 80)))


@pytest.mark.parametrize(("findings", "code", "sentence"), [
    ([], 0, "It will work."),
    (FINDINGS[2:3], 0, "It will work."),
    (FINDINGS[:1], 0, "It will work. Warnings: 1."),
    (FINDINGS, 1, "It would not work now. Faults: 1, warnings: 1."),
])
def test_warnings_are_allowed_faults_are_not(findings, code, sentence):
    assert verdict(findings) == (sentence, code)


def test_hostile_names_are_harmless_in_what_is_said_and_in_commands(tmp_path, tmp_path_factory):
    """A command that is copied to a shell takes the name for a name."""
    watch = os.fsencode(str(tmp_path)) + b"/it's $(touch owned) \n;x"
    os.mkdir(watch)
    site = Site(str(tmp_path_factory.mktemp("site")), watch)
    (fault,) = site.faults([("localhost", "m")], port=free_port())
    watch += b"\x1b[31m"
    findings = list(diagnosis.tree(Tree(watch, 1, unreadable=(watch,)), "bob"))
    assert shlex.split(findings[0].command[0])[4:] == [shown_path(watch)]
    assert "\x1b" not in fault + told(findings[0])
    assert "\n" not in findings[0].command[0] + findings[0].what
