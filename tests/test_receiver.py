"""scripts/receiver: what it makes of an rsyncd.conf, and that a real daemon and a real push take it."""

import os
import pty
import pwd
import re
import select
import shlex
import shutil
import subprocess

import pytest
from rig import LOOPBACK, _Family, differences, free_port, wait_for

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts", "receiver")
AWKS = [each for each in ("mawk", "gawk", "busybox", "original-awk") if shutil.which(each)]

HAND_WRITTEN = """\
# ours since 2012
uid = nobody
max connections = 50

[old]
  path = /srv/old
  comment = a module of ours; [web] is another

; the web
[web]
  Path = /srv/elsewhere
  auth  users = alice, \\
     bob:ro
  Hosts Allow = 10.0.0.0/8 127.0.0.1
  readonly = TRUE
  munge symlinks = 0
  exclude = *.tmp
  # a last word

[more]
  path = /srv/more
"""


class Receiver:
    """A receiving host below a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.conf = folder / "rsyncd.conf"
        self.secrets = folder / "rsyncd.secrets"
        self.path = folder / "data" / "www 数据"
        self.env = dict(os.environ)

    def words(self, *arguments, module="web", secrets=True):
        files = ["--secrets", str(self.secrets)] if secrets else []
        return [SCRIPT, "--module", module, "--path", str(self.path), "--allow", "127.0.0.1,10.0.0.0/8",
                "--conf", str(self.conf), *files, *arguments]

    def run(self, *arguments, given=None, **options):
        """Run the script; return its exit code and what it said."""
        stdin = {"input": given} if given is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(self.words(*arguments, **options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=30, env=self.env, **stdin)
        return done.returncode, done.stdout.decode("utf-8")

    def password(self, user="mirror"):
        lines = self.secrets.read_text().splitlines()
        (found,) = [line.partition(":")[2] for line in lines if line.startswith(user + ":")]
        return found

    def with_awk(self, name):
        """Let the script find this awk, and no other."""
        folder = self.folder / "awk"
        folder.mkdir()
        os.symlink(shutil.which(name), str(folder / "awk"))
        self.env["PATH"] = f"{folder}:{self.env['PATH']}"


@pytest.fixture
def receiver(tmp_path):
    return Receiver(tmp_path)


def sections(text):
    """Return {section: {key: value}} of an rsyncd.conf, as rsync reads it."""
    found = {"": {}}
    section = ""
    for line in text.replace("\\\n", "").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = {}
        elif "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            found[section][key.replace(" ", "").lower()] = value.strip()
    return found


OURS = {"uid": "root", "gid": "root", "usechroot": "yes", "readonly": "no", "reverselookup": "no"}


def test_it_shows_what_it_would_do_and_changes_nothing(receiver):
    """With --dry-run, and without a terminal to ask on."""
    receiver.conf.write_text(HAND_WRITTEN)
    for arguments, code in ((["--dry-run", "--yes"], 0), ([], 2)):
        found, text = receiver.run("--generate", *arguments)
        assert found == code
        assert "-  Path = /srv/elsewhere\n" in text
        assert f"+  path = {receiver.path}\n" in text
        assert f"make the folder {receiver.path}" in text
        assert "Nothing has been changed" in text
    assert receiver.conf.read_text() == HAND_WRITTEN
    assert sorted(path.name for path in receiver.folder.iterdir()) == ["rsyncd.conf"]


def test_a_second_run_finds_nothing_to_do(receiver):
    """On an empty host: conf, folder, user and password are made; the password is shown by neither run."""
    code, first = receiver.run("--generate", "--yes")
    assert code == 0
    files = {path: path.read_bytes() for path in receiver.folder.rglob("*") if path.is_file()}
    code, second = receiver.run("--generate", "--yes")
    assert code == 0
    assert "Nothing to do" in second
    assert files == {path: path.read_bytes() for path in receiver.folder.rglob("*") if path.is_file()}
    assert len(files) == 2
    assert sections(receiver.conf.read_text()) == {"": {}, "web": {
        **OURS, "path": str(receiver.path), "mungesymlinks": "no", "hostsallow": "127.0.0.1 10.0.0.0/8",
        "authusers": "mirror", "secretsfile": str(receiver.secrets)}}
    assert receiver.path.is_dir()
    assert re.match(r"[A-Za-z0-9]{32}\Z", receiver.password())
    assert receiver.secrets.stat().st_mode & 0o777 == 0o600
    assert receiver.password() not in first + second


@pytest.mark.parametrize("awk", AWKS)
def test_of_a_hand_written_conf_only_the_module_is_touched(receiver, awk):
    """Lists are added to, what is right or unknown stays as it is written, and the conf as it was is kept."""
    receiver.with_awk(awk)
    receiver.conf.write_text(HAND_WRITTEN)
    receiver.conf.chmod(0o640)
    assert receiver.run("--generate", "--yes")[0] == 0
    text = receiver.conf.read_text()
    before, after = sections(HAND_WRITTEN), sections(text)
    assert {name: after[name] for name in after if name != "web"} == \
        {name: before[name] for name in before if name != "web"}
    assert after["web"] == {
        **OURS, "path": str(receiver.path), "mungesymlinks": "0", "hostsallow": "10.0.0.0/8 127.0.0.1",
        "authusers": "alice, bob:ro, mirror", "exclude": "*.tmp", "secretsfile": str(receiver.secrets)}
    assert "  Hosts Allow = 10.0.0.0/8 127.0.0.1\n  read only = no\n  munge symlinks = 0\n" in text
    assert text.endswith("  # a last word\n\n[more]\n  path = /srv/more\n")
    assert text.startswith(HAND_WRITTEN.partition("  Path")[0])
    (kept,) = receiver.folder.glob("rsyncd.conf.2*")
    assert kept.read_text() == HAND_WRITTEN
    assert receiver.conf.stat().st_mode & 0o777 == 0o640
    assert "Nothing to do" in receiver.run("--generate", "--yes")[1]


def test_a_second_module_is_added_behind_the_first(receiver):
    """And the first stays."""
    assert receiver.run("--generate", "--yes")[0] == 0
    first = receiver.conf.read_text()
    assert receiver.run("--yes", module="pictures")[0] == 0
    assert receiver.conf.read_text().startswith(first + "\n[pictures]\n")


def test_a_module_stands_behind_the_comments_of_a_conf_that_has_no_module(receiver):
    """As CentOS brings it."""
    sample = "# See rsyncd.conf man page for more options.\n\n# [ftp]\n#        path = /home/ftp\n"
    receiver.conf.write_text(sample)
    assert receiver.run("--generate", "--yes")[0] == 0
    assert receiver.conf.read_text().startswith(sample + "\n[web]\n    path = ")


def test_the_secrets_file_that_the_conf_names_is_used(receiver):
    """The module's own, or that of the global part; other users in it stay."""
    theirs = receiver.folder / "their secrets"
    theirs.write_text("alice:wonder\nmirrored:x\n")
    theirs.chmod(0o644)
    receiver.conf.write_text(f"secrets file = {theirs}\n\n[web]\npath = /x\n")
    assert receiver.run("--yes", "--secret-file", "-", given=b"pass word:#1\n", secrets=False)[0] == 0
    assert theirs.read_text() == "alice:wonder\nmirrored:x\nmirror:pass word:#1\n"
    assert theirs.stat().st_mode & 0o777 == 0o600
    assert sections(receiver.conf.read_text())["web"]["secretsfile"] == str(theirs)
    assert not receiver.secrets.exists()


def test_a_password_from_a_file_replaces_another_and_is_not_shown(receiver):
    """So that all receivers of a sender have the same one; given again, there is nothing to do."""
    assert receiver.run("--generate", "--yes")[0] == 0
    file = receiver.folder / "rsync.pas"
    file.write_text("shared-secret\n")
    code, text = receiver.run("--secret-file", str(file), "--yes")
    assert code == 0
    assert "shared-secret" not in text
    assert receiver.password() == "shared-secret"
    assert "Nothing to do" in receiver.run("--secret-file", str(file), "--yes")[1]


def test_it_asks_for_the_password_on_a_terminal_and_does_not_show_it(receiver):
    """Twice, and again if the two differ."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(receiver.words(), stdin=theirs, stdout=theirs, stderr=theirs, env=receiver.env,
                               start_new_session=True)
    os.close(theirs)
    seen = b""
    answers = [b"Do this", b"password", b"once more", b"password", b"once more"]
    words = [b"y\n", b"first-try\n", b"other\n", b"top-secret\n", b"top-secret\n"]
    while select.select([ours], [], [], 20)[0]:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # it has ended
            break
        # an answer is given once its question has come, and was not answered before
        if answers and seen.rpartition(b"\n")[2].startswith(answers[0]):
            os.write(ours, words.pop(0))
            answers.pop(0)
    os.close(ours)
    assert process.wait(10) == 0, seen
    assert receiver.password() == "top-secret"
    assert not re.search(rb"first-try|other\r|top-secret", seen)
    assert b"these were not the same" in seen


@pytest.mark.parametrize(("arguments", "reason"), [
    (["--module", "a]\npath = /"], "--module takes"),
    (["--path", "/x\nuid = root"], "rsyncd.conf cannot hold"),
    (["--path", "relative"], "--path takes"),
    (["--path", "/"], "--path takes"),
    (["--path", "/x/%RSYNC_USER_NAME%"], "without %"),
    (["--allow", "1.2.3.4; rm"], "--allow takes"),
    (["--user", "a:b"], "--user takes"),
    (["--nonsense"], "unknown option --nonsense"),
    (["--generate", "--secret-file", "x"], "not both"),
    ([], "no password yet, and there is no terminal"),
])
def test_a_wrong_call_is_told_what_is_wrong(receiver, arguments, reason):
    """Exit 2, one line, nothing written."""
    code, text = receiver.run("--yes", *arguments)
    assert (code, text.count("receiver: ")) == (2, 1)
    assert reason in text
    assert list(receiver.folder.iterdir()) == []


def test_a_module_in_an_included_file_is_not_made_a_second_time(receiver):
    """It says which file that is."""
    folder = receiver.folder / "rsyncd.d"
    folder.mkdir()
    (folder / "web.inc").write_text("[web]\npath = /x\n")
    receiver.conf.write_text(f"&include {folder}\n")
    code, text = receiver.run("--generate", "--yes")
    assert code == 1
    assert f"[web] stands in {folder}/web.inc" in text


def test_the_readme_shows_what_it_writes(receiver):
    """Its call makes its example, word for word."""
    with open(os.path.join(os.path.dirname(os.path.dirname(SCRIPT)), "README.md"), encoding="utf-8") as file:
        readme = file.read()
    call = re.search(r"^    \./receiver (.*)$", readme, re.MULTILINE).group(1).split()
    example = re.search(r"^```ini\n(.*?)^```", readme, re.MULTILINE | re.DOTALL).group(1)
    words = [SCRIPT, *call, "--conf", str(receiver.conf), "--dry-run"]
    text = subprocess.check_output(words, stdin=subprocess.DEVNULL, env=receiver.env).decode("utf-8")
    assert "".join(line[1:] + "\n" for line in text.splitlines() if re.match(r"\+(?!\+\+ )", line)) == example


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_new_folder_belongs_to_whoever_writes_in_it(receiver):
    """One that is there keeps its owner."""
    assert receiver.run("--uid", "nobody", "--generate", "--yes")[0] == 0
    owner = os.stat(str(receiver.path))
    assert (owner.st_uid, owner.st_gid) == (pwd.getpwnam("nobody").pw_uid, 0)
    assert receiver.run("--uid", "root", "--yes")[0] == 0
    assert os.stat(str(receiver.path)).st_uid == owner.st_uid


@pytest.mark.skipif(os.geteuid() != 0, reason="the module is root's")
def test_a_push_with_the_password_file_reaches_the_module(receiver, tmp_path):
    """The daemon serves the conf, and the password file is made by the command that the script tells."""
    code, text = receiver.run("--generate", "--yes")
    assert code == 0
    command = re.search(r"^    (\(umask 077; cd /etc .*?\))$", text, re.MULTILINE | re.DOTALL).group(1)
    (tmp_path / "ssh").write_text('#!/bin/sh\nexec sh -c "$2"\n')
    (tmp_path / "ssh").chmod(0o755)
    password_file = tmp_path / "rsync.pas"
    here = dict(os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}")
    command = command.replace("cd /etc ", "cd " + shlex.quote(str(tmp_path)) + " ")
    subprocess.run(["sh", "-c", command], check=True, env=here)
    assert os.stat(str(password_file)).st_mode & 0o777 == 0o600
    # asked where there is no such user, it leaves what is there
    subprocess.run(["sh", "-c", command.replace("^mirror:", "^stranger:")], check=False, env=here)
    assert password_file.read_text().strip() == receiver.password()
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    os.chown(str(source / "file"), 1234, 1234)
    os.symlink("/absolute", str(source / "link"))
    port = free_port()
    daemon = _Family(["rsync", "--daemon", "--no-detach", f"--config={receiver.conf}", f"--port={port}",
                      "--address=" + LOOPBACK], str(tmp_path / "daemon.out"))

    def push(*options):
        words = ["rsync", "-a", *options, f"{source}/", f"rsync://mirror@{LOOPBACK}:{port}/web/"]
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=20)

    try:
        wait_for(lambda: push(f"--password-file={password_file}").returncode == 0, 20, "a push that works")
        assert differences(os.fsencode(str(source)), os.fsencode(str(receiver.path)), owners=True) == []
        password_file.write_text("wrong\n")
        assert b"auth failed" in push(f"--password-file={password_file}").stdout
    finally:
        daemon.end()
