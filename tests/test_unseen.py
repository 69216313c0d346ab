from __future__ import annotations

from llmkit.unseen import in_line, printable


def test_text_that_is_shown_does_nothing_where_it_stands() -> None:
    assert printable("a\tb\nü 🎉") == "a\tb\nü 🎉"
    assert printable("\x1b[2J\x07\r\x9b\ud83d\u202ex") == r"\x1b[2J\x07\r\x9b\ud83d\u202ex"


def test_a_name_stays_on_its_line() -> None:
    assert in_line("gpt\t1\n\x1b[31m\u2028ü\x85") == r"gpt\t1\n\x1b[31m\u2028ü\x85"
