"""What is printed is on disk in order, within bounds, and can be read while it grows."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.execution.output import OutputWriter, end_of, lines, read, segments


def everything(folder: Path, after: int = 0) -> bytes:
    data = b""
    while (part := read(folder, after, 7)).data:
        data += part.data
        after = part.offset + len(part.data)
    return data


@settings(max_examples=50)
@given(chunks=st.lists(st.binary(max_size=40)))
def test_what_was_written_is_read_whatever_its_pieces(chunks: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = OutputWriter(folder, segment_bytes=16, max_bytes=1 << 20)
        for chunk in chunks:
            writer.append(chunk)
        writer.close()
        assert everything(folder) == b"".join(chunks)
        assert end_of(folder) == writer.end == len(b"".join(chunks))


def test_a_flood_stays_within_its_bound_and_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    writer = OutputWriter(tmp_path, segment_bytes=100, max_bytes=400)
    for number in range(1000):
        writer.append(b"%04d\n" % number)
    stored = sum(stop - start for start, stop in segments(tmp_path))
    assert stored <= 400
    text = everything(tmp_path)
    assert text.startswith(b"0000\n0001\n")
    assert text.endswith(b"0999\n")
    assert end_of(tmp_path) == 5000


def test_a_reader_of_what_is_gone_is_told_where_it_goes_on(tmp_path: Path) -> None:
    writer = OutputWriter(tmp_path, segment_bytes=100, max_bytes=300)
    writer.append(b"x" * 1000)
    part = read(tmp_path, 150, 10)
    assert part.offset == 800
    assert part.end == 1000


def test_a_reader_at_the_end_gets_nothing_until_there_is_more(tmp_path: Path) -> None:
    writer = OutputWriter(tmp_path)
    assert read(tmp_path, 0, 10).data == b""
    writer.append(b"hello")
    assert read(tmp_path, 5, 10).data == b""
    writer.append(b" you")
    assert read(tmp_path, 5, 10).data == b" you"


def test_a_second_writer_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    first = OutputWriter(tmp_path)
    first.append(b"one\n")
    first.close()
    OutputWriter(tmp_path).append(b"two\n")
    assert everything(tmp_path) == b"one\ntwo\n"


def test_lines_come_with_their_offsets_and_very_long_ones_in_pieces(tmp_path: Path) -> None:
    OutputWriter(tmp_path, segment_bytes=8).append(b"a\nbc\n" + b"y" * 25 + b"\nend")
    assert list(lines(tmp_path, 10)) == [
        (0, b"a"), (2, b"bc"), (5, b"y" * 11), (16, b"y" * 14), (31, b"end"),
    ]  # fmt: skip
