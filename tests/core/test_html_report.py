"""A report is one valid HTML file without external resources; markup in text is escaped."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from opendactyl.core.html_report import HtmlReport

VOID = {"meta", "img", "br"}


class _Balance(HTMLParser):
    """Fails on a tag that is closed in the wrong order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.sources, self.words = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key == "src"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def _parse(path):
    parser = _Balance()
    parser.feed(path.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def _figure():
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1, 2], [0, 1, 4])
    return figure


def test_all_resources_are_embedded(tmp_path):
    picture = np.zeros((8, 12, 3), dtype=np.uint8)
    picture[2:5, 3:9] = (255, 120, 0)
    report = (
        HtmlReport("A report")
        .heading("Numbers")
        .text("See `code`, **bold**, [here](https://a.example/x).")
    )
    report.table(["name", "value"], [["x", 1.23456], ["n", 20000], ["none", None]])
    report.figure(_figure(), "A curve").image(picture, "A picture")
    report.write(tmp_path / "report.html")
    parsed = _parse(tmp_path / "report.html")
    assert parsed.tags.count("img") == 2
    assert all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(parsed.sources[1].split(",")[1]))))
    np.testing.assert_array_equal(back, picture)
    text = (tmp_path / "report.html").read_text()
    assert "<code>code</code>" in text
    assert "<strong>bold</strong>" in text
    assert '<a href="https://a.example/x">here</a>' in text
    assert "<td>1.235</td>" in text
    assert "<td>20000</td>" in text
    assert not re.search(r"<(script|link|iframe)", text)


def test_the_same_report_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        HtmlReport("t").figure(_figure(), "c").write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_markup_in_text_is_escaped(tmp_path):
    evil = '<script>alert(1)</script> " onload=x [a](javascript:alert(1))'
    report = HtmlReport(evil).heading(evil).text(evil).table([evil], [[evil]])
    report.image(np.zeros((2, 2, 3), np.uint8), evil)
    report.write(tmp_path / "evil.html")
    parsed = _parse(tmp_path / "evil.html")
    assert "script" not in parsed.tags
    assert "a" not in parsed.tags
    assert "<script>alert(1)</script>" in "".join(parsed.words)


def test_jpeg_bytes_keep_their_kind(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "jpeg")
    HtmlReport("t").image(buffer.getvalue()).write(tmp_path / "a.html")
    assert "data:image/jpeg;base64," in (tmp_path / "a.html").read_text()


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells, not 1"):
        HtmlReport("t").table(["one"], [[1, 2]])
