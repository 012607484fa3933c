"""Files are written whole or not at all, and headers are checked before arrays are mapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsrfc.errors import InputError
from nsrfc.storage.arrays import open_npy
from nsrfc.storage.outputs import atomic_path


def test_a_finished_file_takes_its_place(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deeper" / "labels.npy"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".npy"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "labels.npy"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("ha")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["<U-3", "<U2147483647", "|S-1"])
def test_text_of_a_negative_length_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "names.npy"
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (4,), }}".ljust(117) + "\n"
    path.write_bytes(
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)
    )
    with pytest.raises(InputError, match=r"names\.npy (states the impossible shape|cannot be read)"):
        open_npy(path)
