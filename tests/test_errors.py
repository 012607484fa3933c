"""What messages say of names and values from a file: short, and on one line."""

from __future__ import annotations

from typing import Any

import pytest

from nsrfc.errors import InputError, enumerate_names, printable, shortened, shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, with spaces", "plain, with spaces"),
        ("Größe 顔", "Größe 顔"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("lone \udcff", "lone \\udcff"),
    ],
)
def test_only_what_no_line_prints_is_escaped(text: str, escaped: str) -> None:
    assert printable(text) == escaped
    assert str(InputError(text)) == escaped


def test_long_lists_of_names_are_cut() -> None:
    assert enumerate_names(["a", "b", "c"]) == "a, b, c"
    assert enumerate_names([]) == ""
    many = enumerate_names(f"column {number}" for number in range(1000))
    assert many.startswith("column 0, column 1, ")
    assert many.endswith(", ... (1000)")
    assert len(enumerate_names(["x" * 10_000] * 1000)) < 120
    assert len(enumerate_names(["x" * 10_000])) < 90


def nested() -> list[Any]:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value] * 9
    return value


LONG = {
    "integer": 10**4000,
    "longer integer": 10**5000,
    "text": "x\n" * 9999,
    "list": [1] * 9999,
    "nested": nested(),
    "control": {"a": "\x1b"},
}


@pytest.mark.parametrize("value", LONG.values(), ids=LONG.keys())
def test_values_are_shown_in_a_few_letters(value: object) -> None:
    assert len(shown(value)) <= 40
    assert shown(value).isprintable()


def test_a_short_value_is_shown_as_it_is() -> None:
    assert shown("fast") == "'fast'"
    assert shown(2.5) == "2.5"
    assert shown((4, 3)) == "(4, 3)"
    assert shortened("x" * 50) == "x" * 37 + "..."
