"""What can be seen of a text as a model read it: numbers, pictures, a page."""

import base64
import json
import math
import re
import sys
from html.parser import HTMLParser

import jax
import numpy as np
import pytest

import jaxrnn
from jaxrnn import text
from jaxrnn.errors import InputError, MissingExtraError

HOSTILE = "</script><script>alert('&amp;\"')</script>\n\t\x00\x1b\ud800é$x_1$"


@pytest.fixture(scope="module")
def model():
    vocabulary = text.CharVocabulary.from_text(HOSTILE)
    network = jaxrnn.stack(
        jaxrnn.OneHot(vocabulary.size),
        jaxrnn.LSTM(vocabulary.size, 4),
        jaxrnn.residual(jaxrnn.GRU(4, 4)),
        jaxrnn.Linear(4, vocabulary.size),
    )
    params = jax.tree.map(lambda leaf: 4 * leaf, network.init(jax.random.key(0)))
    return text.LanguageModel(network, params, vocabulary)


@pytest.fixture(scope="module")
def reading(model):
    return text.look(model, model.vocabulary.encode(HOSTILE))


def test_a_reading_is_what_the_model_makes_of_the_text(model, reading):
    network, params, vocabulary = model
    tokens = vocabulary.encode(HOSTILE)
    assert "".join(reading.pieces) == HOSTILE
    _, log_probs = text.log_probabilities(network, params, tokens)
    np.testing.assert_allclose(reading.surprise[1:], -log_probs, rtol=1e-12)
    assert math.isnan(reading.surprise[0]) and reading.guesses[0] == ()
    _, logits = jaxrnn.unroll(network, params, tokens)
    shares = np.asarray(jax.nn.softmax(logits[4]))
    best = np.argsort(-shares)[:3]
    assert [guess.piece for guess in reading.guesses[5]] == [
        vocabulary.characters[token] for token in best
    ]
    np.testing.assert_allclose([guess.probability for guess in reading.guesses[5]], shares[best])


def test_units_are_the_states_of_every_recurrent_layer(model, reading):
    history, _ = jaxrnn.unroll_history(
        model.network, model.params, model.vocabulary.encode(HOSTILE)
    )
    assert list(reading.units) == ["layers.1.h", "layers.1.c", "layers.2.h"]
    np.testing.assert_allclose(reading.units["layers.1.h"], history.layers[1].carry.h)
    assert np.abs(history.layers[1].carry.c).max() > 1
    np.testing.assert_allclose(reading.units["layers.1.c"], np.tanh(history.layers[1].carry.c))


def test_texts_too_short_or_too_long_to_look_at(model):
    for length in (1, 20_001):
        with pytest.raises(InputError, match="give from 2 to 20,000"):
            text.look(model, np.zeros(length, int))


def test_pictures(tmp_path, reading, monkeypatch):
    """Text that looks like mathematics, and characters that no font has, are drawn as they are."""
    pytest.importorskip("matplotlib")
    text.plot_surprise(tmp_path / "surprise.png", reading)
    text.plot_units(tmp_path / "units.png", reading, "layers.1.h", [0, 3])
    for name in ("surprise.png", "units.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="give one of layers.1.h, layers.1.c, layers.2.h"):
        text.plot_units(tmp_path / "units.png", reading, "layers.9")
    with pytest.raises(InputError, match="no unit 4 in layers.1.h; give one from 0 to 3"):
        text.plot_units(tmp_path / "units.png", reading, "layers.1.h", [4])
    with pytest.raises(InputError, match="cannot be drawn"):
        text.plot_surprise(tmp_path / "none" / "surprise.png", reading)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxrnn\[plot\]'"):
        text.plot_surprise(tmp_path / "surprise.png", reading)


def test_characters_are_drawn_in_the_colours_of_their_tokens(reading):
    from jaxrnn.text import pictures

    cells = list(pictures._cells(["ab", "\n", "c" * 85, "d"]))
    assert cells[:4] == [("a", 0, 0, 0), ("b", 0, 1, 0), ("⏎", 0, 2, 1), ("c", 1, 0, 2)]
    assert cells[3 + 80] == ("c", 2, 0, 2) and cells[-1] == ("d", 2, 5, 3)


class Parts(HTMLParser):
    """Tags, attributes and text of a page, as a browser sees them."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.shown = [], [], {}

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        if self.tags:
            self.shown[self.tags[-1]] = self.shown.get(self.tags[-1], "") + data


def test_the_page_shows_the_text_and_nothing_of_it_is_code(tmp_path, model, reading):
    path = tmp_path / "page.html"
    # A token may be a whole word: here it is a whole element.
    reading = reading._replace(pieces=(HOSTILE, *reading.pieces[1:]))
    losses = text.losses_section([10, 20], [2.0, 1.0], [2.5, math.nan])
    sections = text.surprise_section(reading), text.units_section(reading), losses
    text.write_page(path, HOSTILE, *sections)
    page = path.read_text(encoding="utf-8")
    parts = Parts()
    parts.feed(page)
    seen = re.sub("[\x00\x1b\ud800]", "·", HOSTILE + HOSTILE[1:])
    seen = seen.replace("\t", "→").replace("\n", "⏎\n")
    # Twice, for surprise and for units; the parser adds the line ends between the elements.
    assert parts.shown["span"].replace("\n", "").count(seen.replace("\n", "")) == 2
    assert parts.tags.count("script") == 2 and "alert" not in parts.shown["script"]
    assert {name for name, _ in parts.attributes}.isdisjoint({"src", "href", "onclick"})
    assert "http://" not in page and "https://" not in page and "default-src 'none'" in page
    titles = [value for name, value in parts.attributes if name == "title"]
    assert len(titles) == len(HOSTILE) and titles[0] == "the beginning"
    assert titles[5].startswith(f"{reading.surprise[5] / math.log(2):.2f} bits; expected ")


def test_the_page_holds_every_unit(reading):
    page = text.units_section(reading)
    states = json.loads(re.search(r'id="states">(.*?)</script>', page)[1])
    assert list(states) == list(reading.units)
    for name, state in states.items():
        raw = np.frombuffer(base64.b64decode(state["values"]), np.uint8)
        values = raw.reshape(-1, state["count"]) / 127.5 - 1
        np.testing.assert_allclose(values, reading.units[name], atol=1 / 255)
        assert state["telling"] == text.telling_units(reading.units[name], 1)[0]


def test_there_may_be_nothing_to_show(tmp_path, reading):
    assert text.units_section(reading._replace(units={})) == ""
    assert text.losses_section([], [], []) == ""
    with pytest.raises(InputError, match="cannot be written"):
        text.write_page(tmp_path, "a folder")
