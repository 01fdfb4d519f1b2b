"""README.zh-CN.md says what README.md says: the same sections, tables, commands and numbers, in Chinese."""

import os
import re

import pytest
from test_readme import README, TEXT, what_check_says

from sersync_py.language import ENGLISH, ZH

with open(README.replace(".md", ".zh-CN.md"), encoding="utf-8") as stream:
    CHINESE = stream.read()

CODE = re.compile(r"^```[^\n]*\n[\s\S]*?^```\n|(?<=\n\n)(?: {4}[^\n]*\n|\n(?= {4}))+", re.MULTILINE)
COMMENT = re.compile(r"\s+# .*$", re.MULTILINE)
NUMBER = re.compile(r"(?<![A-Za-z_\d])\d+(?:[.,:-]\d+)*")


def commands(text):
    """Return the blocks of code, without comments; what --check says there is said in the reader's language."""
    blocks = [block.strip("\n") for block in CODE.findall(text)]
    return [COMMENT.sub("", block) for block in blocks if block not in (what_check_says(ENGLISH), what_check_says(ZH))]


def sections(text):
    """Return the text below each heading, with its level; code is left out."""
    found = re.split(r"^(#+) .*$", CODE.sub("\n", text), flags=re.MULTILINE)
    return list(zip(found[1::2], found[2::2]))


def tables(text):
    """Return each table as rows of cells."""
    return [[[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]
            for table in re.findall(r"(?:^\|.*\n)+", CODE.sub("\n", text), re.MULTILINE)]


def spans(text):
    """Return what stands between backticks, sorted."""
    return sorted(re.findall(r"`+[^`]+`+", " ".join(text.split())))


PAIRS = list(zip(tables(TEXT), tables(CHINESE)))


def test_each_links_to_the_other_at_the_top():
    """In the first lines."""
    assert "[简体中文](README.zh-CN.md)" in TEXT[:100]
    assert "[English](README.md)" in CHINESE[:100]


def test_the_sections_are_the_same():
    """As many, at the same levels, with as many paragraphs, list entries and tables in each."""
    assert [level for level, _ in sections(TEXT)] == [level for level, _ in sections(CHINESE)]
    for (_, english), (_, chinese) in zip(sections(TEXT), sections(CHINESE)):
        assert shape(english) == shape(chinese), chinese[:200]


def shape(text):
    """Return of each paragraph of a section whether it is a table, and how many list entries it has."""
    entry = re.compile(r"^(?:- |\d\. )", re.MULTILINE)
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    return [(block[0] == "|", len(entry.findall(block))) for block in blocks]


def test_the_code_is_the_same():
    """Each block, but for the comments in it."""
    assert len(commands(TEXT)) >= 15
    assert commands(TEXT) == commands(CHINESE)


def test_check_is_shown_as_it_speaks_to_the_reader():
    """Word for word."""
    assert what_check_says(ZH) in CHINESE


def test_there_are_as_many_tables():
    """Pairs of them are compared below."""
    assert len(tables(TEXT)) == len(tables(CHINESE)) == len(PAIRS) > 10


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_the_rows_of_a_table_say_the_same(number):
    """As many rows and cells; in each row the same numbers and names; empty where the other is."""
    english, chinese = PAIRS[number]
    assert [len(row) for row in english] == [len(row) for row in chinese]
    for left, right in zip(english, chinese):
        assert [bool(cell) for cell in left] == [bool(cell) for cell in right], right
        said, told = " ".join(left), " ".join(right)
        assert sorted(NUMBER.findall(said)) == sorted(NUMBER.findall(told)), right
        assert spans(said) == spans(told), right


def test_element_attribute_and_default_of_the_reference_are_the_same():
    """Word for word, but for what is required."""
    english, chinese = next(pair for pair in PAIRS if pair[0][0][0] == "element")
    required = [[cell.replace("required", "必填") for cell in row[:3]] for row in english[2:]]
    assert required == [row[:3] for row in chinese[2:]]


def test_the_same_tests_are_named():
    """Of each fault."""
    english, chinese = next(pair for pair in PAIRS if pair[0][0][0] == "fault")
    assert [row[2] for row in english[2:]] == [row[2] for row in chinese[2:]]


def test_numbers_and_names_in_the_text_are_the_same():
    """Section by section, as sets: a sentence may say it in another order."""
    for (_, english), (_, chinese) in zip(sections(TEXT), sections(CHINESE)):
        assert set(NUMBER.findall(english)) == set(NUMBER.findall(chinese)), chinese[:300]
        assert set(spans(english)) == set(spans(chinese)), chinese[:300]


def test_links_lead_to_headings_and_files_that_there_are():
    """Headings of a Chinese page have Chinese names in links."""
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
               for title in re.findall(r"^#+ (.*)$", CHINESE, re.MULTILINE)}
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", CHINESE)
    for file, anchor in links:
        if not file:
            assert anchor in anchors
        elif not file.startswith("https:"):
            assert os.path.exists(os.path.join(os.path.dirname(README), file)), file
    assert len(links) == len(re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", TEXT))


def test_no_line_is_broken_within_a_sentence():
    """Between two Chinese characters it would be shown as a blank."""
    for _, text in sections(CHINESE):
        for block in text.split("\n\n"):
            lines = block.strip().splitlines()
            assert all(re.match(r"\||- |\d\. ", line) for line in lines[1:]), block
