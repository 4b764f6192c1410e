"""Every Python block of the README, the documentation and the environments' READMEs prints what it says."""

import re

import pytest
from tests.snippets.pages import Block, blocks, pages, run

PROGRAMS = [block for page in pages() for block in blocks(page) if block.file is None]


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_prints_what_its_comments_say(program, tmp_path):
    try:
        printed = iter(run(program, tmp_path))
    except AssertionError as error:
        if "There is no browser" in str(error):
            pytest.skip("there is no browser")
        absent = re.search(r"No module named '(\w+)'", str(error))
        if absent and program.page.parent.name == "trainers":  # those are installed in an environment of their own
            pytest.skip(f"{absent[1]} is not installed; `make test-trainers` runs this")
        raise
    missing = [line for line in program.printed if line not in printed]  # each is looked for after the one before
    assert not missing


def test_every_block_is_python():
    for page in pages():
        for block in blocks(page):
            compile(block.code, block.name, "exec")


def test_blocks_are_found_with_their_lines_their_files_and_what_they_print(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n```python\n# one.py\nvalue = 1\n```\n\n```text\nprint(no)\n```\n"
        "\n```python\nimport one\nprint(one.value)  # 1\nprint('x')\n```\n"
    )
    monkeypatch.setattr("tests.snippets.pages.ROOT", tmp_path)
    first, second = blocks(page)
    assert (first.file, first.line, first.printed) == ("one.py", 4, [])
    assert (second.file, second.line, second.printed) == (None, 13, ["1"])
    assert second.name == "page.md:13"
    (tmp_path / "run").mkdir()
    assert run(second, tmp_path / "run") == ["1", "x"]


def test_a_block_that_fails_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.snippets.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\npass\n1 / 0\n```\n")
    (block,) = blocks(page)
    assert isinstance(block, Block)
    with pytest.raises(AssertionError, match=r"page\.md:4 failed(.|\n)*line 5"):
        run(block, tmp_path)
