"""CSV tables as spreadsheets and scripts write them, and in one line what is wrong with one."""

import gzip

import pytest

from emflow.files import InputError
from emflow.formats.table import read_table

TEXT = 'id,question\r\nk1,"Why, o ""kite"",\nfall?"\r\n\r\nk2,Höher?\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_by_their_marks(tmp_path, encoding):
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (tmp_path / "table.csv").write_bytes((mark + TEXT).encode(encoding))
    assert read_table(tmp_path / "table.csv") == (
        ("id", "question"),
        [{"id": "k1", "question": 'Why, o "kite",\nfall?'}, {"id": "k2", "question": "Höher?"}],
    )


def test_a_cell_may_be_long_and_an_index_without_name_is_none(tmp_path):
    (tmp_path / "table.csv").write_text(",a\n0," + 10**6 * "x" + "\n")
    assert read_table(tmp_path / "table.csv").rows == [{"a": 10**6 * "x"}]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (TEXT.encode("cp1252"), r"table\.csv, line 5: the byte 0xf6 is not UTF-8; save the file as UTF-8"),
        (
            gzip.compress(TEXT.encode(), mtime=0),
            "line 1: the byte 0x8b is not UTF-8; this is compressed by gzip; unpack it",
        ),
        (("[" + TEXT).encode("cp1252"), "line 5: the byte 0xf6 is not UTF-8; save the file as UTF-8"),
        (TEXT.encode("utf-16")[:-1], "line 5: the byte 0x0a is not UTF-16"),
        (b'a,b\n1,"2\n3,4\n', "line 3: no valid CSV"),
        (b'a,b\n1,"2"x\n', "line 2: no valid CSV"),
        (b"a,b\n1,2,3\n", "line 2: a row of 3 cells under a header of 2"),
        (b"a,a\n1,2\n", "the column a stands twice"),
        (b"a;b\n1;2\n", r"table\.csv: separated by semicolons; save it with commas"),
        (b"a\tb\n1\t2\n", "separated by tabs"),
        (b"\n", r"table\.csv: empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, data, words):
    (tmp_path / "table.csv").write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "table.csv")


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        read_table(tmp_path)
