"""What a program has left is removed, whatever it has made of it."""

import os

import pytest
from tests import deep

from openenv.containment import removal
from openenv.containment.removal import remove


@pytest.fixture
def top(tmp_path):
    made = tmp_path / "top"
    made.mkdir()
    return made


def test_folders_too_deep_for_a_recursion_are_removed(top):
    deep.fill(top)
    remove(str(top))
    assert not top.exists()


def test_folders_side_by_side_and_in_each_other_are_removed_with_their_files(top):
    for path in ("a/b/c", "a/d", "e"):
        (top / path).mkdir(parents=True)
    for path in ("1", "a/2", "a/b/3", "a/b/c/4", "a/d/5", "e/6"):
        (top / path).write_text("left")
    remove(str(top))
    assert not top.exists()


def test_locked_folders_are_removed(top):
    (top / "locked" / "inner").mkdir(parents=True)
    (top / "locked" / "inner" / "file").write_text("left")
    for folder in (top / "locked" / "inner", top / "locked", top):
        folder.chmod(0)
    remove(str(top))
    assert not top.exists()


def test_links_are_removed_and_what_they_lead_to_stays(top, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    (top / "folder").symlink_to(outside)
    (top / "file").symlink_to(outside / "mine.txt")
    (top / "nowhere").symlink_to("nowhere")
    remove(str(top))
    assert not top.exists()
    assert (outside / "mine.txt").read_text() == "mine"


def test_nothing_is_removed_through_a_link_in_the_place_of_the_folder(top, tmp_path):
    (top / "mine.txt").write_text("mine")
    (tmp_path / "link").symlink_to(top)
    remove(str(tmp_path / "link"))
    assert (top / "mine.txt").exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path):
    remove(str(tmp_path / "none"))


def test_what_cannot_be_removed_stays_without_an_error_and_the_rest_goes(top, monkeypatch):
    (top / "held").mkdir()
    (top / "held" / "stays").write_text("")
    (top / "held" / "goes").write_text("")
    (top / "goes").mkdir()
    unlink = os.unlink

    def refusing(name, **options):
        if name == "stays":
            raise PermissionError
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", refusing)
    remove(str(top))
    assert [path.relative_to(top).as_posix() for path in top.rglob("*")] == ["held", "held/stays"]


def test_a_folder_that_is_moved_away_meanwhile_leads_to_nothing_outside(top, tmp_path, monkeypatch):
    """The way back up then leads to other files, some of which may have the same names."""
    outside = tmp_path / "outside"
    for folder in (outside, top / "moved"):
        folder.mkdir()
        (folder / "same").write_text("mine")
    (top / "same").write_text("left")
    monkeypatch.setattr(os, "listdir", lambda _, left=[["same", "moved"], ["same"]]: left.pop(0))
    opened = removal._opened

    def moving(name, within=None):
        found = opened(name, within)
        if name == "moved":
            os.rename(top / "moved", outside / "moved")
        return found

    monkeypatch.setattr(removal, "_opened", moving)
    remove(str(top))
    assert (outside / "same").read_text() == "mine"
