"""A running agent tells how it is: by --status, on its page and in its metrics, within seconds of what happened."""

import json
import os
import re
import signal
import socket
import time
import urllib.request

from rig import LOOPBACK, Relay, free_port, wait_equal, wait_for
from test_mirror import write

from sersync_py import cli


def fetch(port, path="/", language="en"):
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}{path}", headers={"Accept-Language": language})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode("utf-8")


def headline(port, language="en"):
    return re.search("<h1>(.*?)</h1>", fetch(port, language=language)).group(1)


def metric(port, start):
    """Return the value of the line of /metrics that starts so."""
    (line,) = [line for line in fetch(port, "/metrics").splitlines() if line.startswith(start)]
    return float(line.rpartition(" ")[2])


def remotes(port):
    """Return {name: what JSON says} of all remotes."""
    found = json.loads(fetch(port, "/status.json"))
    return {remote["name"]: remote for watch in found["watches"] for remote in watch["remotes"]}


def test_a_remote_that_goes_and_comes_back_is_told_of_everywhere(source, daemon, agent, ask):
    """In --status, on the page in two languages, in /metrics, as JSON and in the log; the other remote goes on."""
    port, other = free_port(), "127.0.0.2"
    mirrored = agent(source, [(LOOPBACK, "m1"), (other, "m2")], port=daemon.port, page=port)
    with Relay(daemon.port, daemon.port, other) as relay:
        mirrored.start()
        write(source, b"first")
        wait_equal(source, daemon.mirrors)
        wait_for(lambda: ask(mirrored)[0] == 0 and not remotes(port)[other + "::m2"]["unsent_paths"])
        assert ask(mirrored)[1].startswith("sersync-py: everything is in step\n")
        assert headline(port) == "everything is in step"
        assert metric(port, "sersync_all_in_step") == 1
        assert metric(port, 'sersync_sent_files_total{remote="127.0.0.2::m2"') >= 1
        relay.close()
        write(source, b"second")
        begun = time.time()
        wait_for(lambda: ask(mirrored)[0] == 1, 20, "--status to tell")
        wait_for(lambda: headline(port) == "1 of 2 remotes behind", 20, "the page to tell")
        wait_for(lambda: remotes(port)[LOOPBACK + "::m1"]["state"] == "in step", 20, "the other one to go on")
        code, said = ask(mirrored)
        assert code == 1
        assert said.startswith("sersync-py: 1 of 2 remotes behind; 127.0.0.2::m2 has been away for ")
        assert headline(port, "zh-CN") == "2 个远端中有 1 个落后"
        assert metric(port, 'sersync_state{remote="127.0.0.2::m2",state="away"') == 1
        assert metric(port, 'sersync_state{remote="127.0.0.1::m1",state="in step"') == 1
        assert metric(port, "sersync_all_in_step") == 0
        assert "127.0.0.2::m2: away: no connection" in mirrored.log()
        gone = remotes(port)[other + "::m2"]
        assert (gone["state"], gone["unsent_paths"]) == ("away", 1)
        assert "Connection refused" in gone["why"]
        assert 0 < gone["oldest_unsent_seconds"] < time.time() - begun + 10
        assert json.loads(ask(mirrored, "--json")[1])["problems"][0]["kind"] == "away"
    with Relay(daemon.port, daemon.port, other):
        wait_for(lambda: ask(mirrored)[0] == 0, 20, "all in step again")
        assert headline(port) == "everything is in step"
        wait_equal(source, daemon.mirrors)


def test_a_momentary_backlog_is_not_behind_and_a_lasting_one_is(source, daemon, agent, ask, monkeypatch):
    """A remote that accepts and says nothing is not known to be away; that changes wait there is."""
    port = free_port()
    mirrored = agent(source, daemon, page=port).start()
    write(source, b"first")
    wait_equal(source, daemon.mirrors)
    wait_for(lambda: all(remote["state"] == "in step" for remote in remotes(port).values()), message="in step")
    monkeypatch.setattr("sersync_py.status.LATE_SECONDS", 1.0)
    daemon.freeze()
    write(source, b"second")
    wait_for(lambda: all(remote["unsent_paths"] == 1 for remote in remotes(port).values()), message="a backlog")
    code = ask(mirrored)[0]
    # it grows: if it is not a second yet, it was none when asked
    assert code == 0 or max(remote["oldest_unsent_seconds"] for remote in remotes(port).values()) > 1
    wait_for(lambda: ask(mirrored)[0] == 1, 20, "it to be behind")
    daemon.thaw()
    wait_for(lambda: ask(mirrored)[0] == 0, 20, "it to be in step")


def test_a_killed_agent_is_said_not_to_run_and_its_socket_is_taken_over(source, daemon, agent, ask):
    """Exit 2; and so for a config that nobody ever ran."""
    mirrored = agent(source, daemon)
    code, said = ask(mirrored)
    assert (code, said) == (2, f"sersync-py: not running for {mirrored.config_file}\n")
    mirrored.start()
    wait_for(lambda: ask(mirrored)[0] == 0)
    (name,) = [name for name in os.listdir(mirrored.state_dir) if name.endswith(".sock")]
    assert os.stat(os.path.join(mirrored.state_dir, name)).st_mode & 0o777 == 0o600
    mirrored.kill()
    assert name in os.listdir(mirrored.state_dir)
    assert ask(mirrored)[0] == 2
    mirrored.start()
    wait_for(lambda: ask(mirrored)[0] == 0)
    mirrored.stop()
    assert name not in os.listdir(mirrored.state_dir)
    assert ask(mirrored)[0] == 2


def test_an_agent_that_hangs_gives_no_answer(source, daemon, agent, ask, monkeypatch):
    """That is not the same as not running, and exit 2 too."""
    port = free_port()
    mirrored = agent(source, daemon, page=port).start()
    monkeypatch.setattr(cli, "_ASK_SECONDS", 0.5)
    mirrored.signal(signal.SIGSTOP)
    code, said = ask(mirrored)
    mirrored.signal(signal.SIGCONT)
    assert code == 2
    assert f"running for {mirrored.config_file} (pid {mirrored.pid}), but there is no answer" in said
    wait_for(lambda: ask(mirrored)[0] == 0)


def test_json_is_asked_for_with_status(source, daemon, agent, capsys):
    """Alone it would mean nothing."""
    assert cli.main(["--json", "-o", agent(source, daemon).config_file]) == 2
    assert "--json goes with --status" in capsys.readouterr().err


def test_readers_that_are_slow_or_silent_delay_nothing(source, daemon, agent, ask):
    """Neither the mirroring nor other readers, as soon as the silent ones are given up."""
    port = free_port()
    mirrored = agent(source, daemon, page=port).start()
    silent = [socket.create_connection((LOOPBACK, port), 20) for _ in range(40)]
    for each in silent[::2]:
        each.sendall(b"GET / HTTP/1.0\r\nX: ")
    write(source, b"file")
    wait_equal(source, daemon.mirrors, 10)
    assert ask(mirrored)[0] == 0
    assert "<h1>" in fetch(port)
    for each in silent:
        each.close()


def test_a_folder_with_a_hostile_name_is_shown_as_it_is(tmp_path, daemon, agent, ask):
    """As text, in all that is said."""
    watch = os.fsencode(str(tmp_path)) + "/<b>图片 & \"x\"\u202e<".encode()
    os.mkdir(watch)
    port = free_port()
    mirrored = agent(watch, daemon, page=port).start()
    assert "&lt;b&gt;图片 &amp; &quot;x&quot;\\u202e&lt;</h2>" in fetch(port)
    assert '<b>图片 & \\"x\\"\\\\u202e<"' in fetch(port, "/metrics")
    assert json.loads(fetch(port, "/status.json"))["watches"][0]["path"].endswith('<b>图片 & "x"\\u202e<')
    assert '<b>图片 & "x"\\u202e<: 1 folders watched' in ask(mirrored)[1]


def test_a_port_that_is_taken_is_no_reason_not_to_mirror(source, daemon, agent, ask):
    """There is a warning, and a page as soon as it is free; SIGHUP moves it, and takes it away."""
    port, next_port = free_port(), free_port()
    with socket.socket() as taken:
        taken.bind((LOOPBACK, port))
        taken.listen(1)
        mirrored = agent(source, daemon, page=port).start()
        write(source, b"file")
        wait_equal(source, daemon.mirrors)
        assert f"no status page at 127.0.0.1:{port}, mirroring goes on: Address already in use" in mirrored.log()
        wait_for(lambda: "no status page" in ask(mirrored)[1], message="--status to tell")
    # a heartbeat would do as well
    mirrored.signal(signal.SIGHUP)
    wait_for(lambda: f"status page: http://127.0.0.1:{port}/" in mirrored.log(), 25, "the page")
    assert headline(port) == "everything is in step"
    mirrored.configure(daemon, page=next_port)
    mirrored.signal(signal.SIGHUP)
    wait_for(lambda: f"status page: http://127.0.0.1:{next_port}/" in mirrored.log(), 20, "the page to move")
    assert headline(next_port) == "everything is in step"
    mirrored.configure(daemon)
    mirrored.signal(signal.SIGHUP)
    for each in (port, next_port):
        wait_for(lambda each=each: not is_there(each), 20, "the page to go")


def test_a_plugin_alone_is_asked_for_by_its_name_and_leaves_the_page_to_the_others(source, daemon, agent, ask):
    """It may run beside the agent that mirrors by the same config."""
    port = free_port()
    plugin = b'<plugin name="command"><param prefix="/bin/true" suffix="" ignoreError="true"/></plugin>'
    alone = agent(source, daemon, "-m", "command", page=port, extra=plugin).start()
    write(source, b"file")
    wait_for(lambda: "plugin command: 1 calls done" in ask(alone, "-m", "command")[1], message="the call to be counted")
    assert ask(alone, "-m", "command")[0] == 0
    assert ask(alone)[0] == 2
    assert not is_there(port)


def is_there(port):
    try:
        return bool(fetch(port))
    except OSError:  # refused, or cut off by the end of the page
        return False
