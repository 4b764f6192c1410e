"""The folder of a workspace, whatever programs have done to it."""

from openenv.execution.inside import folder


def test_what_lay_in_a_folder_before_stays_when_it_is_emptied(tmp_path):
    """The interpreter of a virtual environment in `/tmp` is mounted there, in folders and beside links."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to("python3")
    kept = folder.below(str(tmp_path))

    (tmp_path / "left.txt").write_text("of a program")
    (tmp_path / "venv" / "bin" / "left.txt").write_text("of a program")
    (tmp_path / "venv" / "left").mkdir()
    folder.empty(str(tmp_path), kept)

    assert folder.below(str(tmp_path)) == kept
    assert (tmp_path / "venv" / "bin" / "python").is_symlink()


def test_a_link_that_a_program_puts_in_the_place_of_a_kept_folder_leads_nowhere(tmp_path):
    """Emptying goes through no link, so nothing outside is touched."""
    place, outside = tmp_path / "place", tmp_path / "outside"
    (place / "venv").mkdir(parents=True)
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    kept = folder.below(str(place))

    (place / "venv").rmdir()
    (place / "venv").symlink_to(outside)
    folder.empty(str(place), kept)

    assert (outside / "mine.txt").read_text() == "mine"
