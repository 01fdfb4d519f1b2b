"""What is made of a status: problems, JSON, the table, the page, the metrics, the socket. No agent is needed."""

import base64
import hashlib
import json
import os
import re
import socket
import stat
import threading
import time

import pytest
import yaml
from lxml import html as htmlparser
from prometheus_client.parser import text_string_to_metric_families
from rig import HOSTILE_NAMES, free_port, wait_for

from sersync_py import asking, chart, metrics, page, web, words
from sersync_py.asking import Answers, NoAnswerError, NotRunningError, ask
from sersync_py.handover import Handover
from sersync_py.history import HOUR, History, Sample
from sersync_py.language import ENGLISH, ZH, spoken
from sersync_py.legible import printable
from sersync_py.loop import Loop
from sersync_py.overview import Seen
from sersync_py.settings import Page
from sersync_py.status import (
    AWAY,
    BEHIND,
    IN_STEP,
    LATE_SECONDS,
    PAUSED,
    PUSHING,
    STATES,
    PluginStatus,
    RemoteStatus,
    Status,
    WatchStatus,
    from_plain,
    plain,
    problems,
    remotes_behind,
    verdict,
)
from sersync_py.table import table
from sersync_py.terminal import columns

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts")
NOW = time.mktime((2026, 11, 22, 15, 0, 0, 0, 0, -1))
FINE = RemoteStatus("192.168.8.39::web", IN_STEP, bytes=1234567890, files=12, sessions=8, pushed_at=NOW - 3,
                    whole_tree_compared_at=NOW - 3600, whole_tree_pushed_at=NOW - 7200)
GONE = RemoteStatus("192.168.8.40::web", AWAY, why="no connection (exit 10)", away_since=NOW - 312, unsent_paths=17,
                    next_try_seconds=0.6, oldest_unsent_seconds=312.0, fail_log_entries=17, error_at=NOW - 1,
                    error="no connection (exit 10)", failed_sessions=4, sessions=9)


def status(*remotes, **watch):
    folder = WatchStatus("/data/图片", folders=12345, events=3, events_per_second=0.3, scanned_at=NOW - 60,
                         remotes=remotes or (FINE,))
    plugins = (PluginStatus("command", waiting=1, running=2, done=1000, failed=30, late=4, dropped=5),)
    return Status("1.0", 1234, "/etc/confxml.xml", NOW, NOW - 273600, (folder._replace(**watch),), NOW + 600,
                  plugins=plugins)


# ---- the verdict -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("found", "kinds"), [
    (status(), []),
    (status(FINE._replace(state=PUSHING, unsent_paths=9, oldest_unsent_seconds=LATE_SECONDS)), []),
    (status(FINE._replace(state=PUSHING, unsent_paths=9, oldest_unsent_seconds=LATE_SECONDS + 0.1)), ["late"]),
    (status(GONE), ["away"]),
    (status(FINE._replace(fail_log_entries=1)), ["fail log"]),
    (status(FINE._replace(estranged=True)), ["estranged"]),
    (status(uncovered_folders=3), ["uncovered"]),
    (status(FINE._replace(state=PAUSED, oldest_unsent_seconds=99.0), paused="is gone"), ["paused"]),
])
def test_what_keeps_something_from_a_remote_is_a_problem(found, kinds):
    """A momentary backlog is none; a paused or away remote is not late as well."""
    assert [problem.kind for problem in problems(found)] == kinds
    assert verdict(found) == (BEHIND if kinds else IN_STEP)
    assert remotes_behind(found) == (1 if kinds else 0)


def test_a_problem_of_a_watch_folder_is_one_of_all_its_remotes():
    """None of them is sent anything."""
    assert remotes_behind(status(FINE, GONE)) == 1
    assert remotes_behind(status(FINE, FINE._replace(name="other"), uncovered_folders=1)) == 2


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_shown_in_one_printable_line(name):
    """Whatever its bytes are."""
    shown = printable(name)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert printable(os.fsdecode(name)) == shown


def test_a_text_cannot_turn_the_direction_of_what_follows():
    """Nor move the cursor."""
    assert printable("a\u202eb\x1b[2J\x9b") == r"a\u202eb\x1b[2J\x9b"


# ---- JSON ------------------------------------------------------------------------------------------------------------


def test_json_goes_there_and_back():
    """The asker sees what the agent has."""
    found = status(FINE, GONE)._replace(notes=("marks cannot be saved",))
    text = json.dumps(plain(found))
    assert from_plain(json.loads(text)) == found
    assert json.loads(text)["verdict"] == BEHIND
    assert [problem["kind"] for problem in json.loads(text)["problems"]] == ["away"]


def test_json_of_another_version_is_understood():
    """A new command may ask an old agent, and the other way round."""
    found = json.loads(json.dumps(plain(status())))
    found["new"] = found["watches"][0]["new"] = found["watches"][0]["remotes"][0]["new"] = 1
    del found["notes"], found["watches"][0]["events"], found["watches"][0]["remotes"][0]["files"]
    assert from_plain(found).watches[0].remotes[0] == FINE._replace(files=0)
    for wrong in ({}, {"watches": 3}, {"watches": [{}]}):
        with pytest.raises((KeyError, TypeError)):
            from_plain(wrong)


# ---- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (0.04, "0 s"), (0.06, "0.1 s"), (9.9, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"),
    (312, "5 min 12 s"), (3599.7, "1 h 0 min"), (7260, "2 h 1 min"), (273600, "3 d 4 h"),
])
def test_a_span_has_two_units(seconds, text):
    """Tenths only where they matter."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [
    (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9950, "10 kB"), (999499, "999 kB"),
    (999500, "1.0 MB"), (1234567890, "1.2 GB"), (1e18, "1000 PB"),
])
def test_an_amount_is_short(number, text):
    """Powers of 1000, as networks count."""
    assert words.amount(number) == text


@pytest.mark.parametrize(("accepted", "language"), [
    ("", ENGLISH), ("zh-CN,zh;q=0.9,en;q=0.8", ZH), ("en-US,en;q=0.9,zh;q=0.8", ENGLISH), ("de,zh;q=0.1", ZH),
    ("zh;q=0", ENGLISH), ("ZH-tw", ZH), ("en;q=0.5, zh-Hans;q=0.7", ZH), ("*", ENGLISH), (";;,=,zh;q=x", ENGLISH),
    ("zhx", ENGLISH), ("en,zh", ENGLISH), ("zh" * 5000, ENGLISH),
])
def test_the_page_speaks_what_the_browser_likes_best(accepted, language):
    """English if nothing else is wished that there is."""
    assert words.of_browser(accepted) == language


def test_a_moment_of_another_day_has_its_date():
    """A clock alone would mislead."""
    assert words.moment(NOW - 3600, NOW) == "14:00:00"
    assert words.moment(NOW - 86400, NOW) == "2026-11-21 15:00"
    assert words.moment(None, NOW) == "never"


# ---- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [ENGLISH, ZH])
def test_the_table_is_aligned(language):
    """Columns end at the same place, Chinese characters counted as two."""
    lines = table(status(FINE, GONE), language, 80, coloured=False).split("\n")
    rows = [line for line in lines if line.startswith(("remote", "远端", "192.168."))]
    assert len(rows) == 3
    assert len({columns(row) for row in rows}) == 1
    assert columns(rows[0]) <= 80


def test_the_first_line_says_it_all():
    """A monitoring system may show that alone."""
    assert table(status(), ENGLISH, 0, False).split("\n")[0] == "sersync-py: everything is in step"
    first = table(status(FINE, GONE), ENGLISH, 0, False).split("\n")[0]
    assert first.startswith("sersync-py: 1 of 2 remotes behind; 192.168.8.40::web has been away for 5 min 12 s")
    assert table(status(FINE, GONE), ZH, 0, False).startswith("sersync-py: 2 个远端中有 1 个落后")


def test_a_name_too_long_for_the_terminal_has_a_line_of_its_own():
    """It is not cut: its end and its beginning both matter."""
    name = "a-host-with-a-long-name.of-a-long-domain.example::module/some/folder"
    lines = table(status(FINE._replace(name=name)), ENGLISH, 80, False).split("\n")
    place = lines.index(name)
    assert columns(lines[place + 1]) <= 80
    assert "in step" in lines[place + 1]
    assert name not in table(status(FINE._replace(name=name)), ENGLISH, 0, False).split("\n")


def test_plugins_have_a_line_each():
    """A call that failed is no reason to call a remote behind."""
    line = "plugin command: 1,000 calls done, 30 failed, 5 dropped, 3 waiting"
    assert line in table(status(), ENGLISH, 80, False)
    assert line in shown(status())[0]
    assert verdict(status()) == IN_STEP


def test_colours_are_for_terminals():
    """States only, and the headings bold."""
    assert "\x1b" not in table(status(FINE, GONE), ENGLISH, 80, False)
    assert "\x1b[31maway\x1b[0m" in table(status(FINE, GONE), ENGLISH, 80, True)


# ---- the last hour ---------------------------------------------------------------------------------------------------


def test_the_history_is_an_hour_long():
    """However often it is fed."""
    history = History()
    for number in range(1000):
        history.add({"a": Sample(NOW + 10 * number, number)})
    kept = history.of("a")
    assert kept[-1].total == 999
    assert kept[-1].at - kept[0].at == HOUR


def test_the_history_bears_a_clock_that_is_set():
    """What is of the future is dropped."""
    history = History()
    history.add({"a": Sample(NOW + 5000, 1)})
    history.add({"a": Sample(NOW, 2)})
    assert [sample.total for sample in history.of("a")] == [2]


def test_what_is_not_mirrored_any_more_is_forgotten():
    """After a reload."""
    history = History()
    history.add({"a": Sample(NOW, 1), "b": Sample(NOW, 1)})
    history.add({"b": Sample(NOW + 10, 2)})
    assert (len(history.of("a")), len(history.of("b"))) == (0, 2)


def test_a_rate_is_that_of_the_last_seconds():
    """Of the last two heartbeats at most, and never below zero."""
    history = History()
    assert history.rate("a", Sample(NOW, 5)) == 0
    for number in range(10):
        history.add({"a": Sample(NOW + 10 * number, 100 * number)})
    assert history.rate("a", Sample(NOW + 95, 950)) == 10
    assert history.rate("a", Sample(NOW + 95, 0)) == 0
    assert history.rate("a", Sample(NOW, 1)) == 0


def test_the_hour_has_a_column_for_each_minute():
    """The worst of each counts; what is not known stays empty."""
    samples = [
        Sample(NOW - 130, 0, 0.0, IN_STEP), Sample(NOW - 120, 1000, 3.0, AWAY), Sample(NOW - 110, 1000, 1.0, PUSHING),
    ]
    hour = chart.minutes(samples, NOW)
    assert len(hour) == 60
    assert [minute is not None for minute in hour[-4:]] == [True, True, False, False]
    assert hour[-3] == chart.Minute(3.0, 50.0, AWAY)


def test_the_charts_bear_anything():
    """Nothing known, nothing but zeros, and the largest values."""
    for samples in ([], [Sample(NOW, 0)], [Sample(NOW - 10, 0, 1e9, AWAY), Sample(NOW, 10**18, 1e9, AWAY)]):
        hour = chart.minutes([sample._replace(state=sample.state or IN_STEP) for sample in samples], NOW)
        for drawn in (chart.lag_bars(hour), chart.speed_bars(hour), chart.strip(hour)):
            assert "nan" not in drawn
            assert "inf" not in drawn
            htmlparser.fromstring(drawn)


# ---- the page --------------------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>\"'&amp;\x1b[31m"


def shown(found, language=ENGLISH, history=None):
    text = page.page(found, history or {}, language, "<host>")
    return text, htmlparser.document_fromstring(text.encode())


def test_the_page_says_at_once_whether_all_is_well():
    """In its headline and in the title of its tab."""
    for found, words_of_it, kind in ((status(), "everything is in step", "good"),
                                     (status(FINE, GONE), "1 of 2 remotes behind", "bad")):
        _, tree = shown(found)
        assert tree.findtext(".//h1") == words_of_it
        assert tree.findtext(".//title") == words_of_it + " - <host>"
        assert tree.find(".//section").get("class") == "verdict " + kind


def test_the_page_has_every_remote_with_its_charts():
    """And why one is away."""
    history = {(0, number): (Sample(NOW - 10, 0, 0.0, IN_STEP), Sample(NOW, 5, 1.0, PUSHING)) for number in (0, 1)}
    text, tree = shown(status(FINE, GONE), history=history)
    assert [each.text for each in tree.findall(".//h3")] == [FINE.name, GONE.name]
    assert len(tree.findall('.//svg[@class="chart"]')) == 4
    assert "no connection (exit 10); next try in 0.6 s" in text


def test_the_page_is_chinese_for_who_reads_chinese():
    """All of it but names, units and what rsync says."""
    _, tree = shown(status(FINE, GONE), ZH)
    assert tree.get("lang") == "zh-CN"
    left = set(re.findall(r"[A-Za-z]{3,}", " ".join(tree.find("body").itertext())))
    assert left <= {
        "sersync", "host", "web", "connection", "exit", "data", "etc", "confxml", "xml", "metrics", "status", "json",
        "command",
    }


@pytest.mark.parametrize("language", [ENGLISH, ZH])
def test_nothing_in_the_page_is_taken_for_markup(language):
    """Neither a name nor a message: what goes in as text comes out as text."""
    evil = printable(EVIL)
    remote = GONE._replace(name=evil, why=evil, error=evil)
    found = status(remote, FINE._replace(error=evil, error_at=NOW), path=evil, paused=evil)
    text, tree = shown(found._replace(config=evil, notes=(evil,)), language)
    assert len(tree.findall(".//script")) == 1
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert " ".join(tree.itertext()).count("<script>alert(1)</script>") >= 6


def test_the_page_loads_nothing_from_elsewhere():
    """Its own style and script are the only ones that the browser is allowed to take."""
    text, tree = shown(status(FINE, GONE))
    for attribute in ("src", "srcset", "action", "style", "onclick", "onload"):
        assert not tree.xpath(f"//@{attribute}")
    assert [each for each in tree.xpath("//@href") if not each.startswith(("/", "data:"))] == []
    assert "url(" not in text
    assert "@import" not in text
    policy = page.HEADERS["Content-Security-Policy"]
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


# ---- the metrics -----------------------------------------------------------------------------------------------------


def families(found, accepted=""):
    body, _ = metrics.exposition(found, accepted)
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def sample_names(found):
    return {sample.name for family in families(found).values() for sample in family.samples}


FULL = status(FINE._replace(error_at=NOW), GONE)


def test_the_metrics_are_as_prometheus_wants_them():
    """Names in the base units, counters that end in _total, a help text each."""
    for name, family in families(FULL).items():
        assert family.documentation, name
        for sample in family.samples:
            assert sample.name.startswith(("sersync_", "process_"))
            assert (family.type == "counter") == sample.name.endswith("_total")
            assert not re.search(r"(milli|kilo|minutes|hours|ratio_percent)", sample.name)


def test_the_metrics_have_the_values():
    """By watch folder and remote."""
    found = {(sample.name, sample.labels.get("remote"), sample.labels.get("state")): sample.value
             for family in families(FULL).values() for sample in family.samples}
    assert found["sersync_all_in_step", None, None] == 0
    assert found["sersync_sent_bytes_total", FINE.name, None] == FINE.bytes
    assert found["sersync_oldest_unsent_seconds", GONE.name, None] == 312
    assert found["sersync_fail_log_entries", GONE.name, None] == 17
    assert ("sersync_last_push_timestamp_seconds", GONE.name, None) not in found
    for state in STATES:
        assert found["sersync_state", GONE.name, state] == (state == AWAY)
    labels = families(FULL)["sersync_unsent_paths"].samples[0].labels
    assert labels == {"watch": "/data/图片", "remote": FINE.name}


def test_hostile_names_are_labels_like_others():
    """Quotes, backslashes and line ends do not break the format."""
    names = [printable(name) for name in HOSTILE_NAMES] + ['"', "\\", 'a"} 1\n']
    found = families(status(*(FINE._replace(name=name) for name in names)))
    assert {sample.labels["remote"] for sample in found["sersync_in_step"].samples} == set(names)


def test_two_remotes_of_one_name_are_one_line():
    """Prometheus refuses a page where the same line stands twice."""
    found = status(FINE, FINE)
    lines = metrics.exposition(found._replace(watches=found.watches * 2), "")[0].decode().splitlines()
    keys = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(keys) == len(set(keys))


def test_openmetrics_is_given_to_who_asks_for_it():
    """As newer Prometheus does."""
    body, kind = metrics.exposition(FULL, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def used_metrics(text):
    return set(re.findall(r"\b(?:sersync|process)_[a-z_]+\b", text))


def test_the_alert_rules_are_about_metrics_that_there_are():
    """And are YAML of the right shape."""
    with open(os.path.join(SCRIPTS, "prometheus-alerts.yml"), encoding="utf-8") as file:
        text = file.read()
    (group,) = yaml.safe_load(text)["groups"]
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
    used = set().union(*(used_metrics(rule["expr"]) for rule in group["rules"]))
    assert len(used) > 4
    assert used <= sample_names(FULL)


def test_the_dashboard_is_about_metrics_that_there_are():
    """Each panel has a query, and none lies upon another."""
    with open(os.path.join(SCRIPTS, "grafana-dashboard.json"), encoding="utf-8") as file:
        board = json.load(file)
    places = set()
    for panel in board["panels"]:
        assert all(used_metrics(target["expr"]) for target in panel["targets"])
        grid = panel["gridPos"]
        across, down = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        cells = {(x, y) for x in across for y in down}
        assert not cells & places
        places |= cells
        assert max(x for x, _ in cells) < 24
    used = used_metrics(json.dumps(board))
    assert len(used) > 10
    assert used <= sample_names(FULL)
    assert set(re.findall(r'state=\\"([a-z ]+)', json.dumps(board["panels"]))) <= set(STATES)


# ---- between threads, and through the socket -------------------------------------------------------------------------


@pytest.fixture
def loop():
    found = Loop()
    yield found
    found.close()


def turn(loop, seconds=5.0):
    """Let the loop turn in a thread of its own until told to stop."""
    ended = threading.Event()

    def run():
        while not ended.is_set():
            loop.wait(0.02)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def stop():
        ended.set()
        thread.join(seconds)

    return stop


def test_another_thread_gets_what_the_loop_makes(loop):
    """Once for all who wait."""
    made = []
    handover = Handover(loop, lambda: made.append(1) or len(made))
    got = []
    waiting = [threading.Thread(target=lambda: got.append(handover.get(10))) for _ in range(5)]
    for thread in waiting:
        thread.start()
    wait_for(lambda: len(handover._waiting) == 5, 10, "five who wait")
    stop = turn(loop)
    for thread in waiting:
        thread.join(10)
    assert got == [1] * 5
    assert handover.get(10) == 2
    stop()
    handover.close()


def test_who_asks_a_loop_that_does_not_turn_is_told_so(loop):
    """And who asks one that has ended."""
    handover = Handover(loop, lambda: 1)
    with pytest.raises(TimeoutError):
        handover.get(0.01)
    loop.wait(0)
    handover.close()
    with pytest.raises(TimeoutError):
        handover.get(0.01)


@pytest.fixture
def answers(loop, tmp_path):
    """A socket with a path longer than the kernel takes, answering with a lot."""
    folder = tmp_path / ("f" * 100)
    folder.mkdir()
    path = str(folder / "status.sock")
    found = Answers(loop, path, lambda: b"x" * (4 << 20))
    stop = turn(loop)
    yield path
    stop()
    found.close()
    assert not os.path.exists(path)


def test_who_asks_is_answered(answers):
    """However much there is to say; nobody else may ask."""
    assert stat.S_IMODE(os.stat(answers).st_mode) == 0o600
    assert ask(answers, 20) == b"x" * (4 << 20)


def test_who_does_not_read_keeps_nobody_waiting(answers):
    """Many may come and say and read nothing."""
    idle = []
    for _ in range(asking._MOST_ASKERS * 2):
        silent = socket.socket(socket.AF_UNIX)
        with asking._Folder(answers) as name:
            silent.connect(name)
        idle.append(silent)
    assert len(ask(answers, 20)) == 4 << 20
    # the first ones were cut off for the later ones
    idle[0].settimeout(20)
    assert sum(map(len, iter(lambda: idle[0].recv(1 << 20), b""))) < 4 << 20
    for silent in idle:
        silent.close()


def test_a_socket_that_a_killed_agent_left_is_replaced(loop, tmp_path):
    """The lock has been taken, so nobody else can be using it."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with pytest.raises(NotRunningError):
        ask(path, 5)
    found = Answers(loop, path, lambda: b"here")
    stop = turn(loop)
    assert ask(path, 10) == b"here"
    stop()
    found.close()


def test_what_is_no_socket_is_not_removed(loop, tmp_path):
    """Whoever put it there may miss it."""
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(OSError, match="no socket"):
        Answers(loop, str(path), lambda: b"")
    assert path.read_text() == "mine"


def test_nobody_there_and_no_answer_are_two_things(tmp_path):
    """One is a process that does not run, the other one that hangs."""
    with pytest.raises(NotRunningError):
        ask(str(tmp_path / "none"), 5)
    with pytest.raises(NotRunningError):
        ask(str(tmp_path / "no folder" / "none"), 5)
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen(1)
        with pytest.raises(NoAnswerError):
            ask(path, 0.05)


# ---- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A server on a free port, and what it is to show."""
    port = free_port()
    found = web.Server(Page("127.0.0.1", port), lambda: Seen(FULL, {}))
    yield port
    found.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 5).close()


def talk(port, request, seconds=20):
    """Send bytes; return the head and the body of what comes back until the end."""
    with socket.create_connection(("127.0.0.1", port), seconds) as client:
        client.sendall(request)
        pieces = iter(lambda: client.recv(65536), b"")
        head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


def get(port, path, *headers, method="GET"):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return talk(port, "\r\n".join([*lines, "", ""]).encode())


@pytest.mark.parametrize(("path", "kind", "begins"), [
    ("/", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
    ("/?x=1", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
    ("/metrics", "text/plain; version=0.0.4", b"# HELP process_"),
    ("/status.json", "application/json", b'{"verdict": "behind"'),
    ("/healthz", "text/plain; charset=utf-8", b"behind\n"),
])
def test_each_address_has_its_answer(server, path, kind, begins):
    """And its headers, also to who wants only these."""
    head, body = get(server, path)
    assert head.startswith("HTTP/1.0 200 ")
    assert f"Content-Type: {kind}" in head
    assert f"Content-Length: {len(body)}" in head
    assert "Cache-Control: no-store" in head
    assert "X-Content-Type-Options: nosniff" in head
    assert body.startswith(begins)
    assert ("Content-Security-Policy: default-src 'none'" in head) == (kind[:9] == "text/html")
    assert get(server, path, method="HEAD")[1] == b""


def test_the_language_is_the_browsers(server):
    """Chinese for who prefers it."""
    assert spoken(words.headline(FULL), ZH).encode() in get(server, "/", "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8")[1]
    assert words.headline(FULL).encode() in get(server, "/", "Accept-Language: en")[1]


@pytest.mark.parametrize(("request_bytes", "code"), [
    (b"GET /etc/passwd HTTP/1.0\r\n\r\n", "404"),
    (b"GET /../../etc/passwd HTTP/1.0\r\n\r\n", "404"),
    (b"GET /%3Cscript%3E<script> HTTP/1.0\r\n\r\n", "404"),
    (b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "501"),
    (b"DELETE / HTTP/1.0\r\n\r\n", "501"),
    (b"nonsense\r\n\r\n", "400"),
    (b"GET / HTTP/9.9\r\n\r\n", "505"),
    (b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 200 + b"\r\n", "431"),
])
def test_what_is_not_meant_is_refused(server, request_bytes, code):
    """Nothing of a request stands in the answer as markup, and no file is ever read."""
    head, body = talk(server, request_bytes)
    assert code in head.split("\r\n")[0] or code.encode() in body
    assert b"<script>" not in body
    assert b"root:" not in body


def test_a_request_that_is_too_long_is_given_up(server):
    """There is no answer; the others are served."""
    with socket.create_connection(("127.0.0.1", server), 20) as client, pytest.raises(ConnectionError):
        client.sendall(b"x" * (64 << 20))
    assert get(server, "/healthz")[1] == b"behind\n"


def test_who_is_silent_is_cut_off_when_others_come(server, monkeypatch):
    """However many are silent or speak by the drop, and long before their time is over."""
    monkeypatch.setattr(web, "_REQUEST_SECONDS", 600)
    silent = [socket.create_connection(("127.0.0.1", server), 20) for _ in range(web._MOST_CONNECTIONS * 3)]
    for client in silent[::2]:
        client.sendall(b"GET / HT")
    for _ in range(10):
        assert get(server, "/healthz")[1] == b"behind\n"
    for client in silent:
        client.close()


def test_who_is_slow_is_given_up(server, monkeypatch):
    """Even if nobody else comes."""
    monkeypatch.setattr(web, "_REQUEST_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", server), 20) as client:
        client.sendall(b"GET / HT")
        assert client.recv(1) == b""


def test_an_agent_that_does_not_answer_is_said_to_be_busy():
    """Then it is not well, whatever the last status was."""
    def look():
        raise TimeoutError("no answer within 4 s")

    port = free_port()
    found = web.Server(Page("127.0.0.1", port), look)
    for path in ("/", "/healthz", "/metrics", "/status.json"):
        head, body = get(port, path)
        assert head.startswith("HTTP/1.0 503 ")
        assert b"busy" in body
    found.close()


def test_ipv6_will_do():
    """If the host has it."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    place = Page("::1", free_port())
    assert str(place) == f"[::1]:{place.port}"
    found = web.Server(place, lambda: Seen(FULL, {}))
    with socket.create_connection(("::1", place.port), 10) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.0 200")
    found.close()
