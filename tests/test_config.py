"""What a confxml.xml may look like, and what is said of one that cannot be used."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sersync_py.config import ConfigError, Fault, load
from sersync_py.settings import Config, Crontab, FailLog, Inotify, RefreshCdn, Remote, Rsync

SAMPLE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "confxml.xml")

MINIMAL = """<head><sersync>
<localpath watch="{watch}"><remote ip="127.0.0.1" name="m"/></localpath>
{sersync}
</sersync>
{head}
</head>
"""


def minimal(watch, sersync="", head=""):
    return MINIMAL.format(watch=watch, sersync=sersync, head=head)


@pytest.fixture
def disk(tmp_path):
    """A config file to write, a watch folder that exists, and a password file that rsync would take."""
    place = SimpleNamespace(file=os.fsencode(str(tmp_path / "confxml.xml")), top=os.fsencode(str(tmp_path)))
    place.watch = os.path.join(place.top, b"data")
    os.mkdir(place.watch)
    place.password = os.path.join(place.top, b"rsync.pas")
    write(place.password, b"secret\n")
    os.chmod(place.password, 0o600)

    def read(content):
        write(place.file, content if isinstance(content, bytes) else content.encode("utf-8"))
        return load(place.file)

    def faults(content):
        with pytest.raises(ConfigError) as caught:
            read(content)
        assert all(isinstance(fault, Fault) for fault in caught.value.faults)
        assert str(caught.value).split("\n") == [str(fault) for fault in caught.value.faults]
        return [(fault.line, fault.found) for fault in caught.value.faults]

    place.read, place.faults = read, faults
    place.minimal = lambda sersync="", head="": minimal(os.fsdecode(place.watch), sersync, head)
    return place


def write(path, content):
    with open(path, "wb") as stream:
        stream.write(content)


# What the elements mean


def test_a_config_with_nothing_but_a_folder_and_a_remote_has_sersync2s_defaults(disk):
    config = disk.read(disk.minimal())
    assert config.file == disk.file
    assert [mirror.watch for mirror in config.mirrors] == [disk.watch]
    assert config.mirrors[0].remotes == (Remote("127.0.0.1", "m"),)
    assert config == Config(disk.file, config.mirrors)


def test_the_shipped_sample_loads_after_two_edits_and_has_the_defaults_too(disk):
    with open(SAMPLE, "rb") as stream:
        sample = stream.read()
    before = disk.faults(sample.replace(b"/opt/tongbu", b"/no/such/folder"))
    assert [found for _, found in before] == ["watch folder /no/such/folder does not exist"]
    sample = sample.replace(b'<localpath watch="/opt/tongbu">', b'<localpath watch="' + disk.watch + b'">')
    config = disk.read(sample.replace(b'ip="127.0.0.1"', b'ip="10.0.0.7"'))
    assert config == Config(disk.file, config.mirrors)
    assert config.mirrors == ((disk.watch, (("10.0.0.7", "tongbu1"),)),)


def test_every_element_reaches_its_place(disk):
    config = disk.read(
        disk.minimal(
            sersync=f"""<rsync><commonParams params="-avz --bwlimit=2000 --exclude='*.tmp file'"/>
            <auth start="true" users="bob" passwordfile="{os.fsdecode(disk.password)}"/>
            <userDefinedPort start="true" port="874"/><timeout start="true" time="100"/><ssh start="false"/></rsync>
            <failLog path="/var/log/fail.sh" timeToExecute="5"/>
            <crontab start="true" schedule="30"><crontabfilter start="true">
            <exclude expression="*.php"/><exclude expression="info/*"/></crontabfilter></crontab>
            <plugin start="true" name="refreshCDN"/>""",
            head="""<host hostip="localhost" port="8008"/><debug start="true"/><fileSystem xfs="true"/>
            <filter start="true"><exclude expression="(.*)\\.svn"/><exclude expression="[[:alpha:]]+"/></filter>
            <inotify><delete start="false"/><createFolder start="false"/><createFile start="true"/>
            <closeWrite start="false"/><moveFrom start="false"/><moveTo start="false"/><attrib start="true"/>
            <modify start="true"/><hiddenFiles start="true"/></inotify>
            <plugin name="refreshCDN" timeout="9"><localpath watch="/anywhere">
            <cdninfo domainname="cdn.example.com" port="81" username="me" passwd="secret"/>
            <sendurl base="http://pic.example.com/cms/"/><regexurl regex="true" match="cms/site([/a-z]*).xml"/>
            </localpath></plugin>""",
        )
    )
    assert config.debug
    assert config.excludes == ("(.*)\\.svn", "[[:alpha:]]+")
    assert config.inotify == Inotify(False, False, True, False, False, False, True, True, True)
    assert config.rsync == Rsync(
        ("-avz", "--bwlimit=2000", "--exclude=*.tmp file"), "bob", disk.password, 874, 100, False
    )
    assert config.fail_log == FailLog(b"/var/log/fail.sh", 5)
    assert config.crontab == Crontab(30, ("*.php", "info/*"))
    assert config.plugins == (
        RefreshCdn("cdn.example.com", 81, "me", "secret", "http://pic.example.com/cms", "cms/site([/a-z]*).xml", 9),
    )
    assert config.warnings == ()


def test_what_is_not_started_does_not_count_and_is_not_checked(disk):
    config = disk.read(
        disk.minimal(
            sersync="""<rsync><auth start="false" users="" passwordfile="/no/such"/>
            <userDefinedPort start="false" port="x"/><timeout start="false" time=""/></rsync>
            <crontab start="false" schedule="x"><crontabfilter start="true"><exclude expression="a"/></crontabfilter>
            </crontab><plugin start="false" name="nonsense"/>""",
            head='<filter start="false"><exclude expression="*("/></filter>',
        )
    )
    assert config == Config(disk.file, config.mirrors)


@pytest.mark.parametrize(
    ("schedule", "minutes", "warned"),
    [("schedule='5'", 5, False), ("schedule='0'", 600, False), ("", 600, False)]
    + [(f"schedule='{junk}'", 600, True) for junk in ("junk", "", "-5", "1.5", "9" * 5000)],
)
def test_a_schedule_that_is_0_or_junk_means_600_minutes(disk, schedule, minutes, warned):
    config = disk.read(disk.minimal(f'<crontab start="true" {schedule}/>'))
    assert config.crontab == Crontab(minutes)
    assert bool(config.warnings) == warned


def test_a_crontabfilter_that_is_not_started_excludes_nothing(disk):
    text = '<crontab start="true"><crontabfilter start="false"><exclude expression="a"/></crontabfilter></crontab>'
    assert disk.read(disk.minimal(text)).crontab == Crontab(600, ())


def test_with_ssh_the_name_is_a_path_and_auth_is_ignored(disk):
    text = disk.minimal('<rsync><auth start="true" users="" passwordfile="/no"/><ssh start="true"/></rsync>')
    config = disk.read(text.replace('name="m"', 'name="/srv/mirror/"').replace('ip="127', 'ip="bob@127'))
    assert config.rsync == Rsync(ssh=True)
    assert config.mirrors[0].remotes == (Remote("bob@127.0.0.1", "/srv/mirror"),)
    assert len(config.warnings) == 1
    assert "confxml.xml:3: auth is ignored" in config.warnings[0]


def test_relative_paths_do_not_depend_on_the_working_folder(disk):
    """The password file starts from the watch folder, where sersync2 runs rsync; the fail log from the config's."""
    write(os.path.join(disk.watch, b"pass"), b"x")
    os.chmod(os.path.join(disk.watch, b"pass"), 0o600)
    auth = '<rsync><auth start="true" users="u" passwordfile="pass"/></rsync>'
    config = disk.read(disk.minimal(auth + '<failLog path="fail.sh"/>'))
    assert config.rsync.password_file == os.path.join(disk.watch, b"pass")
    assert config.fail_log == FailLog(os.path.join(disk.top, b"fail.sh"), 60)


def test_a_config_named_relative_to_the_working_folder_gets_an_absolute_path(disk, monkeypatch):
    disk.read(disk.minimal())
    monkeypatch.chdir(os.fsdecode(disk.top))
    assert load(b"confxml.xml").file == disk.file


# Files found in the wild


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<head>", "<head> ## comment\n"),
        ("</sersync>", "#note\n</sersync>"),
        ("</head>", "</head>\n# the end\n"),
        ("<head>", "\n# mine\n<?xml version='1.0' encoding='ISO-8859-1'?>\n<head>"),
        ("<head>", "<?xml version='1.0' encoding='no-such-thing'?><head>"),
        ("<head>", "<?xml version='1.0' encoding='UTF-16'?><head>"),
        ("<head>", "<!DOCTYPE head><head>"),
        ("<head>", '<head><!-- <rsync params="-a --delete"/> -- -->'),
        ('/data"', '/data "'),
        ('/data"', '/data/"'),
        ('/data"', '/data// "'),
        ('/data"', '/./data/."'),
        ('watch="', 'watch="/'),
        ('watch="', 'watch=" \t'),
        ('name="m"', 'name=" m/ "'),
        ('ip="', 'ip=" '),
        ("\n", "\r\n"),
        ("<head>", '<head version="2.5">'),
    ],
)
def test_untidy_files_load_as_if_they_were_tidy(disk, old, new):
    text = disk.minimal()
    assert old in text
    config = disk.read(text.replace(old, new, text.count(old) if old == "\n" else 1))
    assert config == Config(disk.file, ((disk.watch, (Remote("127.0.0.1", "m"),)),))


@pytest.mark.parametrize("true", ["true", "TRUE", "True", " true "])
def test_true_may_be_written_in_capitals(disk, true):
    assert disk.read(disk.minimal(head=f'<debug start="{true}"/>')).debug


def test_a_password_file_with_a_blank_behind_it_is_found(disk):
    auth = f'<rsync><auth start="true" users="u " passwordfile="{os.fsdecode(disk.password)} "/></rsync>'
    assert disk.read(disk.minimal(auth)).rsync[1:3] == ("u", disk.password)


def test_every_localpath_is_synced_and_two_remotes_may_share_an_address(disk):
    other = os.path.join(disk.top, b"other")
    os.mkdir(other)
    text = '<localpath watch="{}"><remote ip="h" name="a"/><remote ip="h" name="b/c"/></localpath>'
    config = disk.read(disk.minimal(text.format(os.fsdecode(other))))
    assert [mirror.watch for mirror in config.mirrors] == [disk.watch, other]
    assert config.mirrors[1].remotes == (Remote("h", "a"), Remote("h", "b/c"))
    assert str(config.mirrors[1].remotes[1]) == "h::b/c"
    assert config.warnings == ()


def test_lines_are_counted_as_an_editor_counts_them_whatever_was_tidied(disk):
    text = "\n# note\n<?xml version='1.0'\n?>\n<!-- a\n -- b\n-->\n" + disk.minimal('<crontab start="x"/>')
    assert disk.faults(text) == [(10, 'crontab has start="x"')]


CHINESE = "同步/目录"


def declared(encoding, text):
    return f'<?xml version="1.0" encoding="{encoding}"?>\n<!-- 监控目录 -->\n{text}'


def chinese_file(disk, declaration, written, watch=CHINESE):
    text = minimal(
        os.path.join(os.fsdecode(disk.top), watch),
        f'<failLog path="{os.fsdecode(disk.top)}/失败.sh"/>',
        '<filter start="true"><exclude expression="缓存/.*"/></filter>',
    ).replace('name="m"', 'name="m/图片"')
    text = declared(declaration, text) if declaration else "<!-- 监控目录 -->\n" + text
    return text.encode(written)


DECLARATIONS = [None, "ISO-8859-1", "iso-8859-1", "UTF-8", "GB2312", "gbk", "us-ascii", "nonsense", "zip", "idna"]


@pytest.mark.parametrize("declaration", DECLARATIONS)
@pytest.mark.parametrize("written", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_utf8_and_utf16_are_read_as_such_whatever_is_declared(disk, declaration, written):
    watch = os.path.join(disk.top, CHINESE.encode("utf-8"))
    os.makedirs(watch)
    data = chinese_file(disk, declaration, written)
    config = disk.read(data)
    assert config.mirrors == ((watch, (Remote("127.0.0.1", "m/图片"),)),)
    assert config.excludes == ("缓存/.*",)
    assert config.fail_log.path == os.path.join(disk.top, "失败.sh".encode())


@pytest.mark.parametrize("declaration", [*DECLARATIONS, "GB18030"])
@pytest.mark.parametrize("on_disk", ["utf-8", "gb18030"])
def test_in_a_gb18030_file_the_names_are_those_that_are_on_disk(disk, declaration, on_disk):
    """The texts go the way of the watch folder, so that filters and remote names fit the names in it."""
    watch = os.path.join(disk.top, CHINESE.encode(on_disk))
    os.makedirs(watch)
    config = disk.read(chinese_file(disk, declaration, "gb18030"))
    assert [mirror.watch for mirror in config.mirrors] == [watch]
    name = config.mirrors[0].remotes[0].name
    assert name.encode("utf-8", "surrogateescape") == "m/图片".encode(on_disk)
    assert config.excludes[0].encode("utf-8", "surrogateescape") == "缓存/.*".encode(on_disk)
    assert config.fail_log.path == os.path.join(disk.top, "失败.sh".encode(on_disk))


def test_where_both_forms_of_a_gb18030_name_exist_utf8_wins(disk):
    for encoding in ("utf-8", "gb18030"):
        os.makedirs(os.path.join(disk.top, CHINESE.encode(encoding)))
    config = disk.read(chinese_file(disk, None, "gb18030"))
    assert config.mirrors[0].watch == os.path.join(disk.top, CHINESE.encode("utf-8"))


@pytest.mark.parametrize("declaration", [None, "gb2312"])
@pytest.mark.parametrize("on_disk", ["utf-8", "gb18030"])
def test_gb18030_that_happens_to_be_valid_utf8_finds_its_folder(disk, declaration, on_disk):
    """The two characters of "目录" are c4bf c2bc in GB18030, which is the UTF-8 of two other letters."""
    watch = os.path.join(disk.top, "目录".encode(on_disk))
    os.mkdir(watch)
    text = minimal(os.path.join(os.fsdecode(disk.top), "目录"))
    if declaration:
        text = f'<?xml version="1.0" encoding="{declaration}"?>{text}'
    assert disk.read(text.encode("gb18030")).mirrors[0].watch == watch


@pytest.mark.parametrize("declaration", [None, "ISO-8859-1", "UTF-8"])
def test_a_utf8_path_is_found_in_a_file_with_comments_in_another_encoding(disk, declaration):
    watch = os.path.join(disk.top, CHINESE.encode("utf-8"))
    os.makedirs(watch)
    for comment in (b"\xb1\xb8\xb7\xdd", b"\xff\xfe\x81", b"caf\xe9 "):
        data = chinese_file(disk, declaration, "utf-8").replace("监控目录".encode(), comment)
        assert disk.read(data).mirrors[0].watch == watch


@pytest.mark.parametrize("on_disk", ["utf-8", "latin-1"])
@pytest.mark.parametrize("name", ["café", "à", "Å", "x\x85"])
def test_a_latin1_path_is_found_as_written_or_as_utf8(disk, on_disk, name):
    watch = os.path.join(disk.top, name.encode(on_disk))
    os.mkdir(watch)
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + minimal(os.path.join(os.fsdecode(disk.top), name))
    assert disk.read(text.encode("latin-1")).mirrors[0].watch == watch


def test_big5_is_read_if_it_is_declared(disk):
    watch = os.path.join(disk.top, "備份".encode())
    os.mkdir(watch)
    text = '<?xml version="1.0" encoding="Big5"?>' + minimal(os.path.join(os.fsdecode(disk.top), "備份"))
    assert disk.read(text.encode("big5")).mirrors[0].watch == watch


def test_bytes_that_are_no_text_in_any_encoding_stay_what_they_are(disk):
    watch = os.path.join(disk.top, b"\xff\x81/\xe4")
    os.makedirs(watch)
    text = disk.minimal(head='<filter start="true"><exclude expression="@"/></filter>').encode("utf-8")
    config = disk.read(text.replace(disk.watch, watch).replace(b"@", b"\xff+"))
    assert config.mirrors[0].watch == watch
    assert config.excludes == ("\udcff+",)


def test_a_character_reference_works_in_any_file(disk):
    watch = os.path.join(disk.top, "中".encode())
    os.mkdir(watch)
    text = minimal(os.path.join(os.fsdecode(disk.top), "&#20013;"))
    assert disk.read(text).mirrors[0].watch == watch
    assert disk.read(text.encode("utf-8") + b"<!-- \xff -->").mirrors[0].watch == watch


# Warnings


def test_unknown_elements_and_attributes_are_named_with_their_line_and_do_no_harm(disk):
    text = disk.minimal('<rsink/>\n<rsync color="red"><auht start="x"><deep/></auht></rsync>', "<p:q xmlns:p='u'/>")
    said = [warning.split("confxml.xml:")[1] for warning in disk.read(text).warnings]
    assert said == [
        "3: element rsink in sersync is unknown and ignored",
        "4: attribute color= of rsync is unknown and ignored",
        "4: element auht in rsync is unknown and ignored",
        "6: element {u}q in head is unknown and ignored",
    ]


@pytest.mark.parametrize(
    ("sersync", "head", "said"),
    [
        ('<crontab start="true"/><crontab start="false"/>', "", "a second crontab is ignored; the first counts"),
        ("", "<sersync/>", "a second sersync: its localpaths count"),
        ("", '<filter start="true"><exclude/></filter>', "exclude without expression= is ignored"),
        ('<rsync><commonParams params="-artuz --delete-excluded"/></rsync>', "", "--delete-excluded is left out"),
        ('<rsync><commonParams params="-a --remove-source-files"/></rsync>', "", "--remove-source-files is left out"),
        ('<failLog path=" "/>', "", "failLog has an empty path=; /tmp/rsync_fail_log.sh is used"),
    ],
)
def test_things_that_load_but_should_be_known_are_warnings(disk, sersync, head, said):
    (warning,) = disk.read(disk.minimal(sersync, head)).warnings
    assert said in warning


def test_localpaths_of_a_second_sersync_count_too(disk):
    os.mkdir(os.path.join(disk.top, b"other"))
    text = '<sersync><localpath watch="{}/other"><remote ip="h" name="n"/></localpath></sersync>'
    config = disk.read(disk.minimal(head=text.format(os.fsdecode(disk.top))))
    assert [os.path.basename(mirror.watch) for mirror in config.mirrors] == [b"data", b"other"]


def test_a_watch_folder_in_another_or_given_twice_is_a_warning_also_behind_a_symlink(disk):
    inner = os.path.join(disk.watch, b"in/ner")
    os.makedirs(inner)
    link = os.path.join(disk.top, b"link")
    os.symlink(disk.watch, link)
    text = '<localpath watch="{}"><remote ip="h" name="n{}"/></localpath>'
    both = text.format(os.fsdecode(inner), 1) + text.format(os.fsdecode(link), 2)
    config = disk.read(disk.minimal(both))
    assert [mirror.watch for mirror in config.mirrors] == [disk.watch, inner, link]
    assert "data/in/ner lies in watch folder" in config.warnings[0]
    assert "link is given twice" in config.warnings[1]
    assert len(config.warnings) == 2


def test_a_remote_that_stands_twice_in_a_localpath_is_served_once(disk):
    config = disk.read(disk.minimal().replace("</localpath>", '<remote ip="127.0.0.1" name="m/"/></localpath>'))
    assert config.mirrors[0].remotes == (Remote("127.0.0.1", "m"),)
    assert "is given twice" in config.warnings[0]


def test_two_folders_that_go_to_one_place_would_delete_each_others_files(disk):
    os.mkdir(os.path.join(disk.top, b"other"))
    text = '<localpath watch="{}/other"><remote ip="127.0.0.1" name="m"/></localpath>'
    text = text.format(os.fsdecode(disk.top))
    assert "127.0.0.1::m is also the remote of" in disk.read(disk.minimal(text)).warnings[0]
    keeping = '<inotify><delete start="false"/></inotify>'
    assert disk.read(disk.minimal(text, keeping)).warnings == ()


# Faults


def test_a_fault_reads_as_one_line_with_file_line_found_and_expected(disk):
    write(disk.file, b'<head>\n<sersync>\n<localpath><remote ip="h" name="m"/></localpath></sersync></head>')
    with pytest.raises(ConfigError) as caught:
        load(disk.file)
    (fault,) = caught.value.faults
    assert fault == Fault(os.fsdecode(disk.file), 3, "localpath has no watch=", "the absolute path of a folder")
    assert str(caught.value) == os.fsdecode(disk.file) + (
        ":3: localpath has no watch=; expected the absolute path of a folder"
    )


def test_all_faults_of_a_file_are_said_at_once_in_the_order_of_lines(disk):
    assert disk.faults(
        """<head>
        <debug start="yes"/>
        <filter start="true"><exclude expression="*.tmp"/>
        <exclude expression="(a"/></filter>
        <inotify><delete start="1"/></inotify>
        <sersync>
        <localpath watch="/no/such/folder"/>
        <localpath>
        <remote ip="" name="m"/>
        <remote ip="h"/>
        </localpath>
        <rsync>
        <commonParams params="-a 'b"/>
        <auth start="true" users="" passwordfile="/no/such/file"/>
        <userDefinedPort start="true" port="x"/>
        <timeout start="true"/>
        </rsync>
        <failLog timeToExecute="0"/>
        <crontab start="on"/>
        <plugin start="true" name="nonsense"/>
        </sersync></head>"""
    ) == [
        (2, 'debug has start="yes"'),
        (3, 'exclude has expression="*.tmp" (nothing to repeat at position 0)'),
        (4, 'exclude has expression="(a" (missing ), unterminated subpattern at position 0)'),
        (5, 'delete has start="1"'),
        (7, "watch folder /no/such/folder does not exist"),
        (7, "localpath has no remote"),
        (8, "localpath has no watch="),
        (9, 'remote has ip=""'),
        (10, "remote has no name="),
        (13, 'commonParams has params="-a \'b" (no closing quotation)'),
        (14, 'auth has users=""'),
        (14, "password file /no/such/file does not exist"),
        (15, 'userDefinedPort has port="x"'),
        (16, "timeout has no time="),
        (18, 'failLog has timeToExecute="0"'),
        (19, 'crontab has start="on"'),
        (20, 'plugin has name="nonsense"'),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "not well-formed"),
        ("nothing", "not well-formed"),
        ("<head>", "not well-formed"),
        ("<head><a></head>", "not well-formed"),
        ("<head><a b=></head>", "not well-formed"),
        ("<head>&nbsp;</head>", "not well-formed"),
        ("<head a='\0'/>", "not well-formed"),
        ("<head/><head/>", "not well-formed"),
        ("<head><!-- </head>", "not well-formed"),
        ("<Head/>", "the root element is Head"),
        ("<p:head xmlns:p='u'/>", "the root element is {u}head"),
        ("<head/>", "no localpath"),
        ("<head><sersync/></head>", "no localpath"),
        ("<head><localpath watch='/tmp'/></head>", "no localpath"),
    ],
)
def test_what_is_no_config_at_all_is_refused(disk, text, found):
    ((_, said),) = disk.faults(text)
    assert said.startswith(found)


@pytest.mark.parametrize(
    ("watch", "found"),
    [
        ("/", "watch folder / is the whole system"),
        ("//./", "watch folder //./ is the whole system"),
        ("/tmp/..", "watch folder /tmp/.. is the whole system"),
        ("data", "watch folder data is relative"),
        ("", 'localpath has watch=""'),
        (" ", 'localpath has watch=""'),
        ("/etc/passwd", "watch folder /etc/passwd is not a folder"),
        ("/etc/passwd/x", "watch folder /etc/passwd/x does not exist (something above it is not a folder)"),
        ("/no&#10;such", "watch folder /no\\nsuch does not exist"),
        ("/不存在", "watch folder /不存在 does not exist"),
        ("/" + "x" * 300, "watch folder /" + "x" * 300 + " cannot be used: File name too long"),
    ],
)
def test_a_watch_folder_that_cannot_be_watched_is_refused(disk, watch, found):
    assert disk.faults(minimal(watch)) == [(2, found)]


@pytest.mark.parametrize("ip", ["", "a/b", "a b", "-e", "h:873", "::1", "h::m"])
def test_an_address_that_rsync_would_take_for_something_else_is_refused(disk, ip):
    assert disk.faults(disk.minimal().replace("127.0.0.1", ip)) == [(2, f'remote has ip="{ip}"')]


def test_a_blank_that_cannot_be_told_from_others_by_eye_is_escaped_in_messages(disk):
    assert disk.faults(disk.minimal().replace("127.0.0.1", "h\u3000x")) == [(2, 'remote has ip="h\\u3000x"')]


@pytest.mark.parametrize("ip", ["h", "h-1.example.com", "[::1]", "[fe80::1%eth0]", "u@h", "主机"])
def test_an_address_may_be_a_name_or_ipv6_in_brackets(disk, ip):
    assert disk.read(disk.minimal().replace("127.0.0.1", ip)).mirrors[0].remotes[0].host == ip


@pytest.mark.parametrize("name", ["", "/", "-x", "..", "m/../n", "m/..", "/srv", ":m"])
def test_a_name_that_is_no_module_is_refused(disk, name):
    assert disk.faults(disk.minimal().replace('name="m"', f'name="{name}"')) == [(2, f'remote has name="{name}"')]


@pytest.mark.parametrize("name", ["", "/", "-x", "/srv/../etc", ":m"])
def test_with_ssh_too_a_name_cannot_be_empty_the_root_or_lead_upwards(disk, name):
    text = disk.minimal('<rsync><ssh start="true"/></rsync>').replace('name="m"', f'name="{name}"')
    assert disk.faults(text) == [(2, f'remote has name="{name}"')]


@pytest.mark.parametrize("number", ["", "0", "-1", "+1", "1.5", "1_0", "０", "٣", "x", "9" * 30, "9" * 5000])
@pytest.mark.parametrize(
    "text",
    [
        '<rsync><userDefinedPort start="true" port="{}"/></rsync>',
        '<rsync><timeout start="true" time="{}"/></rsync>',
        '<failLog timeToExecute="{}"/>',
    ],
)
def test_ports_and_times_are_positive_numbers_in_plain_digits(disk, text, number):
    assert len(disk.faults(disk.minimal(text.format(number)))) == 1


@pytest.mark.parametrize(("port", "good"), [("1", True), ("873", True), ("65535", True), ("65536", False)])
def test_ports_end_at_65535(disk, port, good):
    text = disk.minimal(f'<rsync><userDefinedPort start="true" port=" {port} "/></rsync>')
    if good:
        assert disk.read(text).rsync.port == int(port)
    else:
        assert disk.faults(text) == [(3, 'userDefinedPort has port="65536"')]


@pytest.mark.parametrize(("host", "page"), [
    ("", None),
    ('<host hostip="localhost" port="8008"/>', None),
    ('<host hostip="some.name" port="none" status="false"/>', None),
    ('<host status="true"/>', ("127.0.0.1", 8008)),
    ('<host hostip=" localhost " port=" 8009 " status="TRUE"/>', ("127.0.0.1", 8009)),
    ('<host hostip="0.0.0.0" port="80" status="true"/>', ("0.0.0.0", 80)),
    ('<host hostip="[::1]" status="true"/>', ("::1", 8008)),
])
def test_a_status_page_is_for_this_host_alone_unless_an_address_says_otherwise(disk, host, page):
    config = disk.read(disk.minimal(head=host))
    assert config.page == page
    assert config.warnings == ()


def test_a_status_page_needs_an_address_and_a_port(disk):
    text = disk.minimal(head='<host hostip="some.name" port="none" status="true"/>')
    assert disk.faults(text) == [(5, 'host has hostip="some.name"'), (5, 'host has port="none"')]
    assert disk.faults(disk.minimal(head='<host status="yes"/>')) == [(5, 'host has status="yes"')]


@pytest.mark.parametrize("start", ["", "yes", "1", "truе"])
@pytest.mark.parametrize("tag", ["debug", "filter"])
def test_start_is_true_or_false_and_nothing_else(disk, tag, start):
    text = disk.minimal(head=f'<{tag} start="{start}"/>')
    assert disk.faults(text) == [(5, f'{tag} has start="{start}"')]


@pytest.mark.parametrize(
    "regex",
    ["(.*)\\.svn", "^info/*", "[[:alpha:]]", "[^[:space:]x]+", "a|b", "x{2,3}", "缓存", "[一-龥]+", "a--b", "[[a]"],
)
def test_regexes_of_posix_are_taken_as_written(disk, regex):
    text = disk.minimal(head=f'<filter start="true"><exclude expression=" {regex} "/></filter>')
    assert disk.read(text).excludes == (regex,)


@pytest.mark.parametrize("regex", ["*.log", "(", "a)", "[a", "a{3,1}", "[z-a]", "\\", "(" * 3000, "x{99999999999999}"])
def test_an_exclude_that_is_no_regex_is_refused(disk, regex):
    ((line, found),) = disk.faults(
        disk.minimal(head=f'<filter start="true">\n<exclude expression="{regex}"/></filter>')
    )
    assert line == 6
    assert found.startswith('exclude has expression="' + regex[:50])


@pytest.mark.parametrize("user", ["", "-x", "a b", "a/b", "a:b"])
def test_a_user_that_is_missing_or_would_change_the_command_is_refused(disk, user):
    auth = '<rsync><auth start="true" users="{}" passwordfile="{}"/></rsync>'
    text = disk.minimal(auth.format(user, os.fsdecode(disk.password)))
    assert disk.faults(text) == [(3, f'auth has users="{user}"')]


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"secret", 0o600, None),
        (b"secret", 0o400, None),
        (b"\nsecret", 0o640, None),
        (b"secret", 0o601, None),
        (b"secret", 0o644, "is open to others (mode 0644; chmod 600 it)"),
        (b"secret", 0o602, "is open to others (mode 0602; chmod 600 it)"),
        (b"", 0o600, "is empty"),
        (b"\r\n\n", 0o600, "is empty"),
    ],
)
def test_a_password_file_is_refused_when_rsync_would_refuse_it(disk, content, mode, problem):
    """Tried with rsync 3.5.0: reading and writing by others count, the group does not."""
    write(disk.password, content)
    os.chmod(disk.password, mode)
    name = os.fsdecode(disk.password)
    text = disk.minimal(f'<rsync><auth start="true" users="u" passwordfile="{name}"/></rsync>')
    if problem is None:
        assert disk.read(text).rsync.password_file == disk.password
    else:
        assert disk.faults(text) == [(3, f"password file {name} {problem}")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_run_by_root_the_password_file_must_be_roots(disk):
    os.chown(disk.password, 1, 1)
    text = f'<rsync><auth start="true" users="u" passwordfile="{os.fsdecode(disk.password)}"/></rsync>'
    ((_, found),) = disk.faults(disk.minimal(text))
    assert "is not owned by root" in found


@pytest.mark.parametrize(
    ("auth", "found"),
    [
        ('passwordfile="/etc"', "password file /etc is not a file"),
        ('passwordfile=" "', 'auth has passwordfile=""'),
        ("", "auth has no passwordfile="),
    ],
)
def test_auth_needs_a_password_file(disk, auth, found):
    text = disk.minimal(f'<rsync><auth start="true" users="u" {auth}/></rsync>')
    assert disk.faults(text) == [(3, found)]


def test_a_fail_log_cannot_be_a_folder(disk):
    assert disk.faults(disk.minimal('<failLog path="/tmp"/>')) == [(3, "failLog /tmp is a folder")]


# Files that mean harm


def test_files_that_cannot_be_read_are_refused_without_a_line(disk):
    fifo = os.path.join(disk.top, b"fifo")
    os.mkfifo(fifo)
    for path, found in (
        (os.path.join(disk.top, b"none"), "cannot be read: No such file or directory"),
        (disk.watch, "is a folder"),
        (fifo, "is no regular file"),
        (b"/dev/zero", "is no regular file"),
        (b"a\0b", "cannot be read: embedded null byte"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path)
        (fault,) = caught.value.faults
        assert (fault.line, fault.found) == (0, found)
        assert "\n" not in str(caught.value)
        assert ":0:" not in str(caught.value)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors by /proc")
def test_no_descriptor_stays_open(disk):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(ConfigError):
            load(disk.watch)
    assert len(os.listdir("/proc/self/fd")) == before


ENTITIES = '<!DOCTYPE head [<!ENTITY a "aaaaaaaaaa">{}]>'.format(
    "".join('<!ENTITY {} "{}">'.format(new, f"&{old};" * 10) for old, new in zip("abcdefghi", "bcdefghij"))
)


@pytest.mark.parametrize(
    "text",
    [
        ENTITIES + '<head x="&j;">&j;</head>',
        '<!DOCTYPE head [<!ENTITY x SYSTEM "file:///etc/passwd">]><head>&x;</head>',
        '<!DOCTYPE head SYSTEM "http://127.0.0.1:9/x.dtd"><head>&x;</head>',
        "<!DOCTYPE\thead[]><head/>",
        "<head>" * 100000,
        "<head>" + "<a>" * 5000 + "</a>" * 5000 + "</head>",
        "<head " + " ".join(f"a{number}=''" for number in range(300000)) + "/>",
        "<head><!-- " * 300000,
        "<head a='" + "x" * 3000000 + "'/>",
        "<head>" + "x" * 3000000 + "</head>",
        "<?xml " * 500000,
        "<?xml encoding" * 200000,
        "<!DOCTYPE " * 300000,
        " " * 4000000,
        "<head><sersync>" + "<localpath/>" * 30000 + "</sersync></head>",
        "<head><sersync>" + "<nonsense/>" * 200000 + "</sersync></head>",
        "<head>" + "<p:q/>" * 100 + "</head>",
    ],
    ids=lambda text: f"{len(text)} bytes of {text[:20].strip()}",
)
def test_hostile_files_are_refused_quickly(disk, text):
    began = time.process_time()
    assert disk.faults(text)
    assert time.process_time() - began < 10


def test_a_file_of_100_mb_is_refused_unread(disk):
    with open(disk.file, "wb") as stream:
        stream.truncate(100 * 1000 * 1000)
    with pytest.raises(ConfigError) as caught:
        load(disk.file)
    assert [fault.found for fault in caught.value.faults] == ["is larger than 4 MB"]


def test_a_large_file_that_is_allowed_is_read_quickly(disk):
    remotes = "".join(f'<remote ip="h{number}" name="m"/>\n' for number in range(30000))
    began = time.process_time()
    config = disk.read(disk.minimal().replace("</localpath>", remotes + "</localpath>"))
    assert len(config.mirrors[0].remotes) == 30001
    assert time.process_time() - began < 10


def test_a_message_never_holds_the_password(disk):
    write(disk.password, b"hush-hush")
    os.chmod(disk.password, 0o644)
    text = f'<rsync><auth start="true" users="u" passwordfile="{os.fsdecode(disk.password)}"/></rsync>'
    assert "hush-hush" not in str(disk.faults(disk.minimal(text)))


OPENINGS = [
    declared("ISO-8859-1", "").encode("utf-8"),
    declared("GB2312", "").encode("gb18030"),
    b"",
]


@st.composite
def edits(draw):
    """A few cuts, copies and flips, each as a place, a length and what to do there."""
    place = st.floats(0, 1)
    change = st.tuples(place, st.integers(0, 60), st.sampled_from(["flip", "delete", "double", "truncate", "insert"]))
    return draw(st.lists(st.tuples(change, st.binary(max_size=4)), min_size=1, max_size=6))


def attempt(file):
    try:
        return load(file), None
    except ConfigError as error:
        return None, error


def edited(data, changes):
    for (place, length, what), extra in changes:
        start = int(place * len(data))
        piece = data[start : start + length]
        if what == "flip":
            piece = bytes(byte ^ (1 << (length % 8)) for byte in piece[:3]) + piece[3:]
        elif what == "delete":
            piece = b""
        elif what == "double":
            piece += piece
        elif what == "insert":
            piece = extra + piece
        data = data[:start] + (b"" if what == "truncate" and length == 60 else piece + data[start + length :])
    return data


UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=400, deadline=None, suppress_health_check=UNHURRIED)
@given(changes=edits(), start=st.sampled_from(OPENINGS))
def test_whatever_happens_to_a_files_bytes_the_result_is_a_config_or_a_config_error(disk, changes, start):
    with open(SAMPLE, "rb") as stream:
        sample = stream.read()
    sample = sample.replace(b"/opt/tongbu", disk.watch).replace(b'start="false"', b'start="true"')
    sample = sample.replace(b"/etc/rsync.pas", disk.password).replace(b'<ssh start="true"', b'<ssh start="false"')
    write(disk.file, edited(start + sample[sample.index(b"<head") :], changes))
    config, error = attempt(disk.file)
    if error is None:
        assert isinstance(config, Config)
        assert config.mirrors
        "".join(config.warnings).encode("utf-8")
    else:
        assert error.faults
        assert len(str(error).split("\n")) == len(error.faults)
        str(error).encode("utf-8")


@settings(max_examples=300, deadline=None, suppress_health_check=UNHURRIED)
@given(
    data=st.binary(max_size=200), head=st.sampled_from([b"", b"<", b"\xff\xfe", b"<?xml version='1.0'?>", b"<head>"])
)
def test_arbitrary_bytes_are_refused_without_a_crash(disk, data, head):
    write(disk.file, head + data)
    with pytest.raises(ConfigError):
        load(disk.file)


def test_a_config_loads_under_any_locale(disk):
    """A systemd unit may start us with LC_ALL=C, where Python 3.6 takes names for ASCII."""
    watch = os.path.join(disk.top, "中文".encode())
    os.mkdir(watch)
    file = os.path.join(disk.top, "配置.xml".encode())
    write(file, minimal(os.fsdecode(watch), '<crontab start="嗯"/>').encode("utf-8", "surrogateescape"))
    code = (
        "import os, sys\nfrom sersync_py.config import ConfigError, load\n"
        "try: load(os.fsencode(sys.argv[1]))\n"
        "except ConfigError as error: sys.stdout.buffer.write(str(error).encode('utf-8'))"
    )
    environment = dict(os.environ, LC_ALL="C", PYTHONPATH=os.path.dirname(SAMPLE))
    said = subprocess.run(
        [os.fsencode(sys.executable), b"-c", code.encode("ascii"), file], stdout=subprocess.PIPE, env=environment
    )
    assert said.returncode == 0
    assert said.stdout.decode("utf-8").endswith('配置.xml:3: crontab has start="嗯"; expected true or false')
