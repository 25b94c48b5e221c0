"""Text files as numbered lines and records in UTF-8, streamed: the part of reading that DuckDB leaves out.

DuckDB's CSV reader (2.0) skips blank lines, has no line number and drops a line that is not UTF-8, so a bad
line could not be traced. Splitting is done here (0.25 s per million lines), everything after it in DuckDB.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from orchestration.landing.literals import json_of_literal

BLOCK = 4 << 20  # bytes of decompressed text held at a time; a multiple of every encoding's unit
MAX_RECORD_LINES = 200  # a quoted field that is still open after so many lines was a stray quote
NOT_UTF8 = "not UTF-8"
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_BOMS = {
    "utf-8": {b"\xef\xbb\xbf": "utf-8"},
    "utf-16": {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"},
    "utf-32": {b"\xff\xfe\0\0": "utf-32-le", b"\0\0\xfe\xff": "utf-32-be"},
}
LINES_SCHEMA = pa.schema([("source_line", pa.int64()), ("raw_line", pa.string()), ("error", pa.string())])
# Python literals: `record` is the line as JSON, null where it is no dict.
LITERALS_SCHEMA = LINES_SCHEMA.append(pa.field("record", pa.string()))

Records = Iterator[tuple[Sequence[int], list[bytes]]]  # (number of the first line, text) of each record


@dataclass(frozen=True)
class Dialect:
    """How a file is written; the fields are those of `Files` in landbridge.yaml."""

    format: str
    delimiter: str = ","
    column_names: tuple[str, ...] | None = None
    quoting: bool = True
    encoding: str = "utf-8"

    @property
    def has_header(self) -> bool:
        """Whether the first record names the columns."""
        return self.format == "csv" and self.column_names is None

    @property
    def quoted(self) -> bool:
        """Whether quotes protect delimiters and line breaks; no rule for it with longer delimiters."""
        return self.format == "csv" and self.quoting and len(self.delimiter) == 1

    @property
    def undecodable(self) -> str:
        """The error of a line that is not in the file's encoding."""
        return f"not {self.encoding.upper()}"


def compression_of(path: Path) -> str | None:
    """The compression by the file's first bytes, whatever its name says."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def _read(stream: pa.NativeFile, size: int) -> bytes:
    """`size` bytes, fewer only at the end: a compressed stream may give less at a time."""
    data: bytes = stream.read(size)
    while 0 < len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def _last_break(data: bytes, newline: bytes) -> int:
    """Where the last line break begins, -1 without one; in wide encodings only at whole characters."""
    at = data.rfind(newline)
    while at % len(newline) and at >= 0:
        at = data.rfind(newline, 0, at + len(newline) - 1)
    return at


def _split(data: bytes, newline: bytes) -> list[bytes]:
    width = len(newline)
    if width == 1:
        return data.split(newline)
    breaks = [at for at in range(0, len(data) - width + 1, width) if data.startswith(newline, at)]
    starts, ends = [0, *(at + width for at in breaks)], [*breaks, len(data)]
    return [data[start:end] for start, end in zip(starts, ends, strict=True)]


def _utf8(data: bytes, encoding: str, newline: bytes, first: int, undecodable: set[int]) -> bytes:
    """Whole lines (without the last line's end) as UTF-8 with LF; numbers of bad ones go to `undecodable`."""
    try:
        text = data.decode(encoding)
        data = data if encoding == "utf-8" else text.encode()
    except UnicodeError:
        lines = _split(data, newline)
        for place, line in enumerate(lines):
            try:
                lines[place] = line.decode(encoding).encode()
            except UnicodeError:
                undecodable.add(first + place)
                lines[place] = line.decode(encoding, "backslashreplace").encode("utf-8", "replace")
        data = b"\n".join(lines)
    return data.replace(b"\r\n", b"\n").removesuffix(b"\r") if b"\r" in data else data


def line_blocks(
    path: Path, encoding: str = "utf-8", undecodable: set[int] | None = None, size: int | None = None
) -> Iterator[bytes]:
    """A file's text in blocks of whole lines, as UTF-8: LF between lines, no line end after the last one.

    CRLF and a byte order mark are taken away; blank lines are kept. A line that is not in `encoding` has its
    bad bytes escaped and its number (from 1) put into `undecodable`.
    """
    encoding = {"utf-8-sig": "utf-8", "ascii": "utf-8"}.get(encoding, encoding)
    undecodable, size = set() if undecodable is None else undecodable, size or BLOCK
    parts: list[bytes] = []  # of a line that is longer than what was read so far
    number = 1
    with pa.input_stream(str(path), compression=compression_of(path)) as stream:
        block = _read(stream, size)
        for mark, written in _BOMS.get(encoding, {}).items():
            if block.startswith(mark):
                block, encoding = block[len(mark) :] + _read(stream, len(mark)), written
                break
        newline = "\n".encode({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding))
        while block:
            at = _last_break(block, newline)
            if at >= 0:
                lines = _utf8(b"".join([*parts, block[:at]]), encoding, newline, number, undecodable)
                number += 1 + lines.count(b"\n")
                yield lines
                parts = []
                at += len(newline)
            parts.append(block[max(at, 0) :])
            block = _read(stream, size)
    if last := b"".join(parts):
        yield _utf8(last, encoding, newline, number, undecodable)


def _complete_record(delimiter: str) -> re.Pattern[bytes]:
    d = re.escape(delimiter.encode())
    plain = rb"(?:(?!" + d + rb")[^\n])*"
    field = rb'(?:"[^"]*(?:""[^"]*)*"|(?!")' + plain + rb")"
    return re.compile(field + rb"(?:" + d + field + rb")*")


def _joined(lines: list[bytes], number: int, ended: bool, complete: re.Pattern[bytes]) -> tuple:
    """(numbers, records, lines that wait for the next block): the quoted line breaks of `lines` mended."""
    odd = [i for i, line in enumerate(lines) if line.count(b'"') % 2]
    numbers: list[int] = []
    records: list[bytes] = []
    held: list[bytes] = []
    at = 0
    for here, opening in enumerate(odd):
        if opening < at:
            continue
        closing = odd[here + 1] if here + 1 < len(odd) else None
        if closing is None and not ended and len(lines) - opening < MAX_RECORD_LINES:
            held, lines = lines[opening:], lines[:opening]
            break
        if closing is not None and closing - opening < MAX_RECORD_LINES:
            record = b"\n".join(lines[opening : closing + 1])
            if complete.fullmatch(record):
                numbers += range(number + at, number + opening + 1)
                records += [*lines[at:opening], record]
                at = closing + 1
    numbers += range(number + at, number + len(lines))
    return numbers, records + lines[at:], held


def csv_records(blocks: Iterator[bytes], delimiter: str) -> Records:
    """Blocks of (first line numbers, records): lines inside a quoted field are joined to their record.

    A line with an odd number of quotes opens a field and the next such line closes it. Where the two do not
    make a well-formed record, the quote was stray: that line stands alone, the ones after it are unharmed.
    """
    complete = _complete_record(delimiter)
    number = 1
    held: list[bytes] = []  # the lines from a record that is still open on; the first one has `number`
    for block in blocks:
        lines = block.split(b"\n")
        if not held and b'"' not in block:
            yield range(number, number + len(lines)), lines
            number += len(lines)
            continue
        known = len(held) + len(lines)
        numbers, records, held = _joined(held + lines, number, False, complete)
        number += known - len(held)
        if records:
            yield numbers, records
    if held:
        numbers, records, _ = _joined(held, number, True, complete)
        yield numbers, records


def plain_records(blocks: Iterator[bytes]) -> Records:
    """Blocks of (line numbers, lines) where every line is a record."""
    number = 1
    for block in blocks:
        lines = block.split(b"\n")
        yield range(number, number + len(lines)), lines
        number += len(lines)


def _errors(numbers: Sequence[int], last: int, bad: set[int], error: str) -> pa.Array:
    """The errors of records that begin at `numbers`; the bad lines up to `last` are taken out of `bad`."""
    errors: list[str | None] = [None] * len(numbers)
    for line in [line for line in bad if line <= last]:
        errors[bisect_right(numbers, line) - 1] = error
        bad.discard(line)
    return pa.array(errors, pa.string())


def _batches(path: Path, dialect: Dialect, size: int | None) -> Iterator[pa.RecordBatch]:
    bad: set[int] = set()
    blocks = line_blocks(path, dialect.encoding, bad, size)
    records = csv_records(blocks, dialect.delimiter) if dialect.quoted else plain_records(blocks)
    for numbers, found in records:
        texts = pa.array(found, pa.binary()).cast(pa.string())
        if isinstance(numbers, range):
            starts = pa.array(np.arange(numbers.start, numbers.stop, dtype=np.int64))
        else:
            starts = pa.array(numbers, pa.int64())
        if bad:
            errors = _errors(numbers, numbers[-1] + found[-1].count(b"\n"), bad, dialect.undecodable)
        else:
            errors = pa.nulls(len(texts), pa.string())
        columns = [starts, texts, errors]
        if dialect.format == "python":
            literals = [json_of_literal(text) for text in texts.to_pylist()]
            yield pa.record_batch([*columns, pa.array(literals, pa.string())], schema=LITERALS_SCHEMA)
        else:
            yield pa.record_batch(columns, schema=LINES_SCHEMA)


def read_lines(path: Path, dialect: Dialect, size: int | None = None) -> pa.RecordBatchReader:
    """A text file as a stream of LINES_SCHEMA (LITERALS_SCHEMA for Python); a CSV header is its first row.

    A record that is not in the file's encoding is kept with its bad bytes escaped and `error` set. Raises
    OSError where the compressed stream is broken. size: bytes read at a time.
    """
    schema = LITERALS_SCHEMA if dialect.format == "python" else LINES_SCHEMA
    return pa.RecordBatchReader.from_batches(schema, _batches(path, dialect, size))
