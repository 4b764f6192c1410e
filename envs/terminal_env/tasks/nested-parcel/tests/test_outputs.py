from pathlib import Path


def test_the_password_is_found():
    assert Path("password.txt").read_text().strip() == "seven-green-herons"
