import re
from xml.etree import ElementTree

import numpy as np
import pytest

from seq2seq.evaluation.charts import bar_chart, heat_map, line_chart, visible


def test_hidden_characters_become_visible_and_joiners_stay() -> None:
    assert visible("a\u202eb\x00\tc\u200d") == "a⟨U+202E⟩b⟨U+0000⟩⟨U+0009⟩c\u200d"
    assert visible("Größe — 中文 العربية") == "Größe — 中文 العربية"


@pytest.mark.parametrize(
    "points",
    [[(0, 0)], [(5, 3), (5, 3)], [(0, -1e-9), (1e7, 1e9)], [(1, float("inf")), (2, 1)], [(0, 1e38), (1, -1e38)]],
)
def test_line_charts_survive_any_finite_points(points: list[tuple[float, float]]) -> None:
    text = line_chart({"loss": points}, title="t", x_label="x", y_label="y")
    assert ElementTree.fromstring(text).tag == "svg"
    assert not re.search(r"\b(nan|inf)\b", text)


def test_charts_without_anything_to_draw_are_empty() -> None:
    assert line_chart({"loss": [(1, float("nan"))]}, title="t", x_label="x", y_label="y") == ""
    assert bar_chart([], {"BLEU": []}, title="t", x_label="x", y_label="y") == ""


def test_a_spike_survives_thinning() -> None:
    points = [(float(i), 1.0) for i in range(10_000)]
    points[5_003] = (5_003.0, 50.0)
    text = line_chart({"loss": points}, title="t", x_label="x", y_label="y")
    assert "60</text>" in text or "50</text>" in text
    assert len(text) < 20_000


def test_heat_maps_refuse_weights_that_do_not_fit_the_pieces() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1\)"):
        heat_map(np.zeros((1, 2)), ["a", "b"], ["c"], title="t")
    with pytest.raises(ValueError, match="shape"):
        heat_map(np.zeros((1, 0)), ["a"], [], title="t")


def test_darker_squares_mean_larger_weights() -> None:
    text = heat_map(np.array([[1.0, 0.25, 0.0]]), ["x"], ["a", "b", "c"], title="t")
    assert 'fill-opacity="1.000" d="M0 0h20v20h-20z"' in text
    assert 'fill-opacity="0.500" d="M20 0h20v20h-20z"' in text
    assert "M40 0" not in text
