from pathlib import Path

NOTES = {
    "2025/11/shopping list.txt": "Date: 2025-11-03\nmilk\nbread\n",
    "2025/11/-draft.txt": "Date: 2025-11-28\nDear all,\n",
    "2024/01/it's late.txt": "Date: 2024-01-07\nto bed\n",
    "2024/12/plans (old).txt": "Date: 2024-12-31\nfewer plans\n",
    "undated/idea*.txt": "an idea\nDate: 2025-01-01\n",
    "2025/01/a  b.txt": "Date: 2025-01-15\ntwo spaces\n",
    "undated/soon.txt": "Date: soon\nor later\n",
    "2024/12/.hidden.txt": "Date: 2024-12-01\nfound me\n",
    "2026/02/$HOME.txt": "Date: 2026-02-02\nsweet home\n",
}


def test_every_note_is_where_it_belongs_and_is_what_it_was():
    archive = Path("archive")
    found = {str(path.relative_to(archive)): path.read_text() for path in archive.rglob("*") if path.is_file()}
    assert found == NOTES


def test_the_inbox_is_empty_and_still_there():
    assert Path("inbox").is_dir()
    assert list(Path("inbox").iterdir()) == []
