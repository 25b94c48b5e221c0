"""Lines and records of text files: nothing is lost, and one bad quote harms one line."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.landing import lines
from orchestration.landing.lines import Dialect, csv_records, line_blocks, read_lines


def lines_of(path: Path, encoding: str = "utf-8") -> list[bytes]:
    return [line for block in line_blocks(path, encoding) for line in block.split(b"\n")]


def records(text: str, block: int = 10_000) -> list[tuple[int, str]]:
    rows = text.encode().split(b"\n")
    if rows[-1] == b"":
        rows.pop()
    blocks = iter([b"\n".join(rows[i : i + block]) for i in range(0, len(rows), block)])
    return [
        (n, r.decode())
        for numbers, found in csv_records(blocks, ",")
        for n, r in zip(numbers, found, strict=True)
    ]


def test_line_numbers_count_blank_lines_and_ends_of_line_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfuser,item\r\nu1,i1\r\n\r\nu2,i2")
    assert lines_of(path) == [b"user,item", b"u1,i1", b"", b"u2,i2"]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "bz2"])
def test_compression_is_told_by_content_not_by_name(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "plain.csv"
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write(b"a\nb\n")
    assert lines_of(path) == [b"a", b"b"]


def test_a_broken_gzip_stream_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(b"user,item\n" * 5000)[:-20])
    with pytest.raises(OSError):
        lines_of(path)


def test_lines_across_blocks_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", 7)
    path = tmp_path / "a.csv"
    path.write_bytes(b"first line\nsecond line\n")
    assert lines_of(path) == [b"first line", b"second line"]


def test_a_line_that_is_not_utf8_is_kept_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"u,i\nu1,caf\xe9\nu2,caf\xc3\xa9\n")
    table = read_lines(path, Dialect("csv")).read_all()
    assert table["raw_line"].to_pylist() == ["u,i", "u1,caf\\xe9", "u2,café"]
    assert table["error"].to_pylist() == [None, "not UTF-8", None]


@pytest.mark.parametrize(
    "encoding,mark", [("utf-16-le", b""), ("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff")]
)
def test_a_line_break_of_a_wide_encoding_is_a_whole_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, mark: bytes
) -> None:
    """U+0A05 and U+0100 side by side hold the bytes of a line feed, half of each."""
    monkeypatch.setattr(lines, "BLOCK", 4)
    path = tmp_path / "a.csv"
    path.write_bytes(
        mark + "\u0a05\u0100\u0a05\n\u0a00\r\n\nö".encode("utf-16-be" if mark == b"\xfe\xff" else "utf-16-le")
    )
    assert [line.decode() for line in lines_of(path, encoding)] == ["\u0a05\u0100\u0a05", "\u0a00", "", "ö"]


def test_a_line_that_is_not_in_its_encoding_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('x,"a\n\x81b"\n'.encode("latin-1") + "€\n".encode("cp1252"))
    table = read_lines(path, Dialect("csv", encoding="cp1252")).read_all()
    assert table["raw_line"].to_pylist() == ['x,"a\n\\x81b"', "€"]
    assert table["error"].to_pylist() == ["not CP1252", None]


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_a_quoted_line_break_joins_lines_to_one_record(block: int) -> None:
    text = 'h,x\n1,"two\nlines"\n2,"three\n""big""\nlines"\n3,c\n'
    expected = [(1, "h,x"), (2, '1,"two\nlines"'), (4, '2,"three\n""big""\nlines"'), (7, "3,c")]
    assert records(text, block) == expected


@pytest.mark.parametrize("block", [1, 2, 100])
def test_a_stray_quote_costs_one_line(block: int) -> None:
    text = 'h,x\n1,"broken\n2,b\n3,"fine, thing"\n4,d\n5,12" pipe\n'
    found = records(text, block)
    assert found == list(enumerate(text.splitlines(), start=1))


def test_a_field_left_open_for_too_long_is_a_stray_quote() -> None:
    text = '1,"open\n' + "x,y\n" * lines.MAX_RECORD_LINES + 'z"\n'
    assert [n for n, _ in records(text, 7)] == list(range(1, lines.MAX_RECORD_LINES + 3))


cell = st.text(alphabet=st.sampled_from('ab ,"\n'), max_size=6)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.lists(cell, min_size=2, max_size=3), min_size=1, max_size=8), block=st.integers(1, 5))
def test_records_of_any_well_formed_file_are_those_of_the_csv_module(
    rows: list[list[str]], block: int
) -> None:
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(rows)
    assert [next(csv.reader([r], strict=True)) for _, r in records(target.getvalue(), block)] == rows
