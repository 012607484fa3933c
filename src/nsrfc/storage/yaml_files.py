"""Reading YAML files, of settings and of embedder cards; no code in them is run."""

from __future__ import annotations

from typing import Any

import yaml

from nsrfc.storage.files import PathLike, existing_file, read_text, reading

__all__ = ["parse_yaml", "read_yaml"]

MOST_BYTES = 1 << 18
"""Parsing takes seconds for each megabyte."""

MOST_VALUES = 100_000
"""Values of a file, each counted as often as aliases repeat it: nine lines can stand for billions."""


def read_yaml(path: PathLike) -> Any:  # noqa: ANN401
    """Read a YAML file.

    Returns
    -------
    mapping, list, str, number, bool or None

    Raises
    ------
    InputError
        If there is no such file, it is larger than 256 KiB, or no YAML.
    """
    path = existing_file(path)
    text = read_text(path, MOST_BYTES)
    with reading(path):
        return parse_yaml(text)


def parse_yaml(text: str) -> Any:  # noqa: ANN401
    """Return the value of a YAML text, which must be short.

    Raises
    ------
    Exception
        Of any type, if it is no YAML, a value is impossible, or aliases repeat more than 100,000 values.
    """
    loader = yaml.SafeLoader(text)
    try:
        document = loader.get_single_node()
        if document is None:
            return None
        if _size(document, {}) > MOST_VALUES:
            raise ValueError("aliases repeat too many values")
        return loader.construct_document(document)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values below a node; one that contains itself counts as too many."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1
        parts = [part for pair in node.value for part in pair] if _is_mapping(node) else node.value
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)
