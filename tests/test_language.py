"""Who has a Chinese locale reads Chinese: every sentence has its Chinese one, and no terminal gets a traceback."""

import ast
import os
import re
import string
import subprocess
import sys

import pytest
from rig import LOOPBACK, confxml
from test_command_line import environment

import sersync_py
from sersync_py import cli, config, terminal
from sersync_py.chinese import CHINESE, HEARD
from sersync_py.language import ENGLISH, ZH, Said, heard, language_of, said, spoken
from sersync_py.terminal import columns, wrapped
from sersync_py.xmltext import ConfigError

FOLDER = os.path.dirname(sersync_py.__file__)
WIDE = re.compile("[\u4e00-\u9fff]")


def sentences():
    """Return {template: where it stands} for each call of `said` in the code."""
    found = {}
    for name in sorted(os.listdir(FOLDER)):
        if not name.endswith(".py") or name == "language.py":
            continue
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "said":
                place = f"{name}:{node.lineno}"
                template = ast.literal_eval(node.args[0])
                given = {keyword.arg for keyword in node.keywords}
                assert given == placeholders(template), f"{place}: other values than its template names"
                found[template] = place
    return found


def placeholders(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def chinese(text):
    return spoken(text, ZH)


# ---- the catalogue ---------------------------------------------------------------------------------------------------


def test_every_sentence_has_a_chinese_one_and_none_is_left_over():
    """What is said in the code and what the catalogue holds are the same."""
    assert set(sentences()) == set(CHINESE)


@pytest.mark.parametrize("template", sorted({**CHINESE, **HEARD}))
def test_a_chinese_sentence_has_the_placeholders_of_the_english_one(template):
    """Each once or more, and nothing else in braces."""
    assert placeholders({**HEARD, **CHINESE}[template]) == placeholders(template)


def test_chinese_sentences_are_chinese():
    """But for those that only put values together, and words of the config."""
    plain = {english for english, text in {**CHINESE, **HEARD}.items() if not WIDE.search(text)}
    words = {english: re.sub(r"\{\w+\}", "", english) for english in plain}
    assert {english for english in plain if re.search("[a-z]", words[english])} == {"head", "sersync-py: {text}"}


def test_what_is_known_of_others_words_is_found_again_and_stays_what_it_was():
    """Each template of HEARD, filled with something, is recognized."""
    for template in HEARD:
        values = {name: f"<{name}>" for name in placeholders(template)}
        text = template.format(**values)
        assert heard(text) == text
        assert WIDE.search(chinese(heard(text))), text
        assert all(value in chinese(heard(text)) for value in values.values()), text


def test_what_nobody_knows_stays_as_it_is():
    """A new word of the kernel's is better than none."""
    assert chinese(heard("Quantum fluctuation")) == "Quantum fluctuation"
    assert chinese("{not} a template {}") == "{not} a template {}"


def test_a_sentence_is_english_text_and_its_values_are_put_into_chinese_with_it():
    """So that it can be logged as it is."""
    text = said("cannot write {file}: {reason}", file="{a}", reason=heard("Permission denied"))
    assert text == "cannot write {a}: Permission denied"
    assert spoken(text, ENGLISH) == text
    assert type(spoken(text, ENGLISH)) is str
    assert chinese(text) == "无法写入 {a}：权限不够"


# ---- the locale ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variables", "language"), [
    ({}, ENGLISH),
    ({"LANG": "zh_CN.UTF-8"}, ZH),
    ({"LANG": "zh_CN"}, ZH),
    ({"LANG": "zh_TW.Big5"}, ZH),
    ({"LANG": "zh"}, ZH),
    ({"LANG": "ZH_cn.gb18030@pinyin"}, ZH),
    ({"LANG": "zhx_XX"}, ENGLISH),
    ({"LANG": "en_US.UTF-8"}, ENGLISH),
    ({"LANG": "C"}, ENGLISH),
    ({"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, ZH),
    ({"LC_MESSAGES": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, ENGLISH),
    ({"LC_ALL": "C", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "zh_CN.UTF-8"}, ENGLISH),
    ({"LC_ALL": "zh_CN.UTF-8", "LC_MESSAGES": "C", "LANG": "C"}, ZH),
    ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"}, ZH),
    ({"LC_CTYPE": "zh_CN.UTF-8", "LANG": "C"}, ENGLISH),
])
def test_lc_all_comes_before_lc_messages_before_lang(variables, language):
    """An empty one does not count."""
    assert language_of(variables) == language


# ---- what a user sees ------------------------------------------------------------------------------------------------


def run(*arguments, python=(), **changes):
    """Run the command; return its exit code, stdout and stderr as bytes. A traceback is never an answer."""
    plain = dict.fromkeys(["LC_ALL", "LC_MESSAGES", "LC_CTYPE", "LANG", "LANGUAGE", "PYTHONIOENCODING", "PYTHONUTF8"])
    done = subprocess.run(
        [sys.executable, *python, "-m", "sersync_py", *arguments], cwd="/", env=environment(**{**plain, **changes}),
        timeout=30, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert b"Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def bad_config(tmp_path):
    file = tmp_path / "confxml.xml"
    file.write_bytes(confxml("/no/such/folder", [(LOOPBACK, "m1")], excludes=["(a"]))
    return str(file)


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "gb2312"])
def test_a_fault_of_the_config_is_said_in_chinese_in_the_terminals_encoding(bad_config, encoding):
    """File and line stay as an editor takes them."""
    code, out, err = run("-o", bad_config, LANG="zh_CN.UTF-8", PYTHONIOENCODING=encoding)
    assert (code, out) == (2, b"")
    lines = err.decode(encoding).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(bad_config + ":") and WIDE.search(line) for line in lines)
    assert lines[1].endswith("监控目录 /no/such/folder 不存在；应为：目录的绝对路径")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_where_the_terminal_has_no_chinese_characters_english_is_better_than_escapes(bad_config, encoding):
    """Help and errors alike."""
    for arguments, said_there in ((["-o", bad_config], b"does not exist; expected"), (["-x"], b"error: unrecognized")):
        code, _, err = run(*arguments, LANG="zh_CN.UTF-8", PYTHONIOENCODING=encoding)
        assert code == 2
        assert said_there in err
        assert b"\\u" not in err
    assert b"show this help" in run("-h", LANG="zh_CN.UTF-8", PYTHONIOENCODING=encoding)[1]


@pytest.mark.parametrize("variables", [
    {"LANG": "zh_CN"}, {"LANG": "zh_CN.GB2312"}, {"LC_ALL": "zh_CN.UTF-8"}, {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"},
    {"LC_ALL": "POSIX"}, {"LC_MESSAGES": "zh_CN.UTF-8", "LC_CTYPE": "C"}, {"LANG": "zh_CN.UTF-8", "PYTHONUTF8": "0"},
], ids=str)
def test_no_locale_gets_a_traceback(bad_config, variables):
    """Be it installed or not; Python 3.6 takes much for ASCII."""
    assert run("-h", **variables)[0] == 0
    assert run("-o", bad_config, **variables)[0] == 2
    assert run("-n", "x", **variables)[0] == 2


@pytest.mark.parametrize("argv", [
    ["-x"], ["/stray"], ["-n", "0"], ["-n"], ["-o"], ["-m", "cook"], ["--log-level", "loud"], ["--check=1"], ["--lo"],
    ["-m", "command"], ["--dry-run", "-d"], ["-o", "/nowhere"], ["-o", "/"], ["-o", "/dev/null"],
], ids=str)
def test_every_mistake_on_the_command_line_is_explained_in_chinese(argv):
    """No sentence of argparse's is left in English."""
    code, out, err = run(*argv, LANG="zh_CN.UTF-8", PYTHONIOENCODING="utf-8")
    assert (code, out) == (2, b"")
    last = err.decode().splitlines()[-1]
    names = "command|confxml|xml|--dry-run|--?[a-z-]+|'[^']*'|sersync-py|/[a-z/]*"
    left = re.sub(names, "", last)
    assert WIDE.search(left)
    assert not re.search("[a-z]{3}", left), left


def test_the_help_is_chinese_and_fits_the_terminal():
    """A Chinese character is two columns wide."""
    text = run("-h", LANG="zh_CN.UTF-8", PYTHONIOENCODING="utf-8", COLUMNS="80")[1].decode()
    assert text.startswith("用法：")
    assert all(columns(line) <= 80 for line in text.splitlines())
    assert "以守护进程方式运行" in text
    assert "show this help" not in text


def test_each_option_has_a_help_that_can_be_translated():
    """A plain string would stay English."""
    assert all(isinstance(action.help, Said) for action in cli._parser()._actions)


FAULTY = """<head x="1"><debug start="yes"/><oh/>
<filter start="true"><exclude expression="*.tmp"/><exclude/></filter><sersync>
<localpath watch="/no/such/folder"/><localpath watch="rel"><remote ip="" name="m"/></localpath>
<localpath><remote ip="h"/></localpath><localpath watch="/etc/passwd"><remote ip="h" name="a b/../c"/></localpath>
<rsync><commonParams params="-a 'b"/><auth start="true" users="" passwordfile="/no/such/file"/>
<userDefinedPort start="true" port="x"/><timeout start="true"/></rsync><rsync/>
<failLog timeToExecute="0" path="/tmp"/><crontab start="on"/><plugin start="true" name="nonsense"/></sersync></head>"""


def test_every_fault_and_warning_of_a_config_can_be_translated(tmp_path):
    """What was found and what was expected."""
    file = tmp_path / "confxml.xml"
    file.write_text(FAULTY)
    with pytest.raises(ConfigError) as caught:
        config.load(os.fsencode(str(file)))
    assert len(caught.value.faults) == 19
    for fault in caught.value.faults:
        assert isinstance(fault.found, Said)
        assert isinstance(fault.expected, Said)
        assert WIDE.search(chinese(fault.sentence()).split("；")[0]), fault
    (tmp_path / "w").mkdir()
    file.write_bytes(confxml(str(tmp_path / "w"), [(LOOPBACK, "m1")] * 2, extra=b"<oh x='1'/>"))
    warnings = config.load(os.fsencode(str(file))).warnings
    assert len(warnings) == 2
    assert all(isinstance(warning, Said) and WIDE.search(chinese(warning)) for warning in warnings)


def test_the_log_stays_english(agent, daemon, source):
    """It is searched by scripts; a config's warnings are logged too."""
    running = agent(source, daemon, env={"LANG": "zh_CN.UTF-8", "LC_ALL": None, "LC_MESSAGES": None},
                    extra=b"<oh/>").start()
    running.stop()
    assert "element oh in head is unknown and ignored" in running.log()
    assert not WIDE.search(running.log())


# ---- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "width"), [("", 0), ("abc", 3), ("目录", 4), ("a目b", 4), ("e\u0301", 1), ("，", 2)])
def test_a_chinese_character_takes_two_columns(text, width):
    assert columns(text) == width


@pytest.mark.parametrize(("text", "lines"), [
    ("", [""]),
    ("one two three", ["one two", "three"]),
    ("averylongwordthatdoesnotfit x", ["averylongwordthatdoesnotfit", "x"]),
    ("监控目录不存在了", ["监控目录不", "存在了"]),
    ("监控目录不，存在了", ["监控目录", "不，存在了"]),
    ("监控 /data/www 不存在", ["监控", "/data/www", "不存在"]),
    ("监控目录（不存在）", ["监控目录", "（不存在）"]),
])
def test_lines_break_at_blanks_and_beside_chinese_characters_but_not_before_a_comma(text, lines):
    assert wrapped(text, 10) == lines


def test_a_stream_without_an_encoding_is_taken_for_utf8(monkeypatch):
    """As when a test or a wrapper has put its own in the place of stdout."""
    class Stream:
        encoding = None
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert terminal.language(Stream()) == ZH
