"""The settings of the plugins: what they may look like, and what is said of those that cannot be used."""

import os
import re
from xml.sax.saxutils import quoteattr

import pytest

from sersync_py.config import ConfigError, load
from sersync_py.settings import Command, Http, RefreshCdn, Socket


@pytest.fixture
def read(tmp_path):
    """A function that loads a config; WATCH in it becomes a folder that exists."""

    def loaded(text, alone=None):
        (tmp_path / "confxml.xml").write_text(text.replace("WATCH", loaded.watch), encoding="utf-8")
        return load(os.fsencode(str(tmp_path / "confxml.xml")), alone)

    loaded.watch = str(tmp_path / "data")
    os.mkdir(loaded.watch)
    return loaded


def minimal(sersync, head):
    return ('<head><sersync>\n<localpath watch="WATCH"><remote ip="h" name="m"/></localpath>\n'
            f"{sersync}</sersync>\n{head}</head>")


def started(name):
    return f'<plugin start="true" name="{name}"/>'


def plugin(name, inner="", attributes=""):
    return f'<plugin name="{name}"{attributes}>{inner}</plugin>'


def located(inner):
    return f'<localpath watch="/opt/tongbu">{inner}</localpath>'


CDN = '<cdninfo domainname="cdn.example.com" username="u" passwd="s3cret"/><sendurl base="http://p/"/>'


@pytest.mark.parametrize(("name", "element", "wanted"), [
    ("command", plugin("command", '<param prefix="/bin/sh -x \'a b\'" suffix="&quot;c d&quot; e"/>'),
     Command(("/bin/sh", "-x", "a b"), ("c d", "e"))),
    ("command", plugin("command", '<param prefix="/bin/sh" ignoreError="true"/><filter start="true">'
                                  '<include expression="(.*)\\.php"/></filter>', ' timeout="7"'),
     Command(("/bin/sh",), (), True, ("(.*)\\.php",), 7)),
    ("command", plugin("command", '<param prefix="/bin/sh"/><filter start="false"><include expression="*("/></filter>'),
     Command(("/bin/sh",))),
    ("socket", plugin("socket", located('<deshost ip=" 10.0.0.1 " port="8009"/>')), Socket("10.0.0.1", 8009)),
    ("socket", plugin("socket", located('<deshost ip="[fe80::1]" port="8009"/>')), Socket("fe80::1", 8009)),
    ("http", plugin("http", located('<deshost url="192.168.138.20" port="8080"/>')), Http("192.168.138.20", 8080)),
    ("http", plugin("http", located('<deshost url="http://h:81/a/\u4e2d?b=c"/>')), Http("h", 81, "/a/%E4%B8%AD?b=c")),
    ("http", plugin("http", located('<deshost url="HTTP://h" port="82"/>')), Http("h", 82)),
    ("refreshCDN", plugin("refreshCDN", located(CDN)), RefreshCdn("cdn.example.com", 80, "u", "s3cret", "http://p")),
])
def test_the_settings_of_a_plugin(read, name, element, wanted):
    assert read(minimal(started(name), element)).plugins == (wanted,)


def test_several_plugins_may_be_started_and_each_runs_once(read):
    both = read(minimal(
        started("socket") + started("command") + started("socket"),
        plugin("command", '<param prefix="/bin/true"/>') + plugin("socket", located('<deshost ip="h" port="1"/>'))))
    assert both.plugins == (Socket("h", 1), Command(("/bin/true",)))
    assert [warning.partition(": ")[2] for warning in both.warnings] == ["plugin socket is started twice; it runs once"]


def test_the_settings_of_a_plugin_that_is_not_started_are_not_checked(read):
    found = read(minimal('<plugin start="false" name="socket"/>', plugin("socket", located('<deshost/>'))))
    assert (found.plugins, found.warnings) == ((), ())


@pytest.mark.parametrize(("name", "element", "said"), [
    ("command", "", "plugin command has no settings; expected an element <plugin name=\"command\"> below head"),
    ("command", plugin("command"), "plugin command has no param; expected a param with prefix="),
    ("command", plugin("command", "<param/>"), "param has no prefix=; expected a command, quoted as in a shell"),
    ("command", plugin("command", '<param prefix=" "/>'), 'param has prefix=""; expected a command'),
    ("command", plugin("command", '<param prefix="a \'b"/>'), "(no closing quotation)"),
    ("command", plugin("command", '<param prefix="sh" suffix="\'"/>'), "param has suffix=\"'\" (no closing quotation)"),
    ("command", plugin("command", '<param prefix="sh" ignoreError="1"/>'), "ignoreError=\"1\"; expected true or false"),
    ("command", plugin("command", '<param prefix="sh"/><filter start="true"><include expression="*("/></filter>'),
     'include has expression="*("'),
    ("command", plugin("command", '<param prefix="sh"/>', ' timeout="0"'), 'timeout="0"; expected a number of seconds'),
    ("socket", plugin("socket"), "plugin socket has no deshost; expected a localpath, and in it a deshost with ip="),
    ("socket", plugin("socket", located('<deshost ip="" port="1"/>')), 'deshost has ip=""; expected a host name'),
    ("socket", plugin("socket", located('<deshost ip="a b" port="1"/>')), 'deshost has ip="a b"'),
    ("socket", plugin("socket", located('<deshost ip="h"/>')), "deshost has no port=; expected a port"),
    ("http", plugin("http", located('<deshost url="https://h/"/>')), 'url="https://h/"; expected a host, or http://'),
    ("http", plugin("http", located('<deshost url="h" port="x"/>')), 'port="x"; expected a port'),
    ("http", plugin("http", located('<deshost/>')), "deshost has no url="),
    ("refreshCDN", plugin("refreshCDN", located('<sendurl base="b"/>')), "has no cdninfo"),
    ("refreshCDN", plugin("refreshCDN", located('<cdninfo domainname="d"/>')), "has no sendurl"),
    ("refreshCDN", plugin("refreshCDN", located(CDN.replace("http://p/", "http://p q"))), 'base="http://p q"'),
    ("refreshCDN", plugin("refreshCDN", located(CDN.replace("cdn.example.com", "a/b"))), 'domainname="a/b"'),
    ("refreshCDN", plugin("refreshCDN", located(CDN + '<regexurl regex="true" match="("/>')), 'match="("'),
    ("refreshCDN", plugin("refreshCDN", located(CDN + '<regexurl regex="true" match="a"/>')),
     'match="a"; expected a regular expression with a group'),
])
def test_what_cannot_be_used_is_said_with_its_line(read, name, element, said):
    """And never with the password."""
    with pytest.raises(ConfigError) as caught:
        read(minimal(started(name), "\n\n" + element))
    assert said in str(caught.value)
    assert re.match(r".*confxml\.xml:[0-9]+: ", str(caught.value))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("text", "shell"), [
    ("x --a=b,c:d%e", False), ("-c 'a > b; c | d & e $x'", False), ('"a > b*"', False), ("; b", True), ("a | b", True),
    (">/dev/null 2>&1", True), ("< x", True), ("*.c", True), ("$HOME", True), ('"$HOME"', True), ("`id`", True),
    ("&& b", True),
])
def test_what_only_a_shell_understands_is_a_warning(read, text, shell):
    """People wrote it, for sersync2 had a shell."""
    param = f'<param prefix="/bin/sh" suffix={quoteattr(text)}/>'
    warnings = read(minimal(started("command"), plugin("command", param))).warnings
    assert bool([each for each in warnings if "what only a shell understands" in each]) == shell
    assert not [each for each in warnings if text in each], "it may hold a password, and this goes to the log"
    assert len(warnings) == shell


def test_a_command_that_is_not_there_is_a_warning(read):
    """It may come yet, and mirroring is more important."""
    config = read(minimal(started("command"), plugin("command", '<param prefix="/no/such x"/>')))
    assert "command /no/such is not there or may not be run; calls will fail" in config.warnings[0]


def test_alone_a_plugin_has_its_own_watch_folder_and_what_is_about_mirroring_is_not_looked_at(read):
    """Not the password file, not the remotes, not the folder of sersync."""
    text = """<head><sersync><localpath watch="/no/such"><remote ip="" name=""/></localpath>
    <rsync><auth start="true" users="" passwordfile="/no/such"/></rsync><plugin start="true" name="nonsense"/></sersync>
    <plugin name="socket"><localpath watch="WATCH"><deshost ip="h" port="1"/></localpath></plugin></head>"""
    config = read(text, "socket")
    assert [(mirror.watch, mirror.remotes) for mirror in config.mirrors] == [(os.fsencode(read.watch), ())]
    assert config.plugins == (Socket("h", 1),)
    with pytest.raises(ConfigError, match="plugin http has no settings"):
        read(text, "http")
