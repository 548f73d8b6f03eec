import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.errors import ModelFileError, VocabularyError
from jaxrnn.text import (
    ByteVocabulary,
    CharVocabulary,
    WordVocabulary,
    refuse,
    replace,
    skip,
    vocabulary_from_description,
)

any_text = st.text(alphabet=st.characters(exclude_categories=[]))  # half surrogates as well
utf_8_text = st.text()


@given(text=any_text.filter(bool), data=st.data())
@settings(deadline=None)
def test_characters_survive_encoding(text, data):
    vocabulary = CharVocabulary.from_text(text)
    tokens = vocabulary.encode(text)
    assert tokens.dtype == np.int32 and tokens.shape == (len(text),)
    assert vocabulary.decode(tokens) == text
    shuffled = CharVocabulary("".join(data.draw(st.permutations(vocabulary.characters))))
    assert shuffled.decode(shuffled.encode(text)) == text
    assert [shuffled.characters[token] for token in shuffled.encode(text)] == list(text)


@given(text=utf_8_text)
@settings(deadline=None)
def test_bytes_survive_encoding(text):
    vocabulary = ByteVocabulary()
    assert vocabulary.encode(text).tolist() == list(text.encode())
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(raw=st.binary(), cuts=st.lists(st.integers(0, 40)))
@settings(deadline=None)
def test_bytes_in_pieces_are_never_broken_utf_8(raw, cuts):
    """However bytes are cut, the pieces join to what decoding at once gives."""
    vocabulary = ByteVocabulary()
    decoder = vocabulary.decoder()
    borders = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    tokens = vocabulary.encode(raw)
    pieces = [decoder(tokens[a:b]) for a, b in zip(borders, borders[1:], strict=False)]
    pieces.append(decoder(tokens[:0], final=True))
    assert "".join(pieces) == vocabulary.decode(tokens) == raw.decode("utf-8", "replace")
    for piece in pieces:
        piece.encode("utf-8")  # raises on half a surrogate


@given(text=any_text.filter(bool))
@settings(deadline=None)
def test_descriptions_survive_json(text):
    for vocabulary in (CharVocabulary.from_text(text), ByteVocabulary()):
        description = json.loads(json.dumps(vocabulary.describe()))
        assert vocabulary_from_description(description) == vocabulary


def test_an_unknown_character_is_named_with_its_position_and_a_way_out():
    vocabulary = CharVocabulary("abc")
    for character in "\x00dé😀":
        with pytest.raises(VocabularyError) as caught:
            vocabulary.encode(f"ab{character}a{character}")
        message = str(caught.value)
        assert repr(character) in message and "position 2" in message and "--bytes" in message


words_text = any_text.filter(bool).filter(lambda text: "\ufffd" not in text)


@given(text=words_text)
@settings(deadline=None)
def test_words_survive_encoding(text):
    """Whatever blanks, signs and letters there are."""
    vocabulary = WordVocabulary.from_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert (refuse(vocabulary, text) == vocabulary.encode(text)).all()
    described = vocabulary_from_description(json.loads(json.dumps(vocabulary.describe())))
    assert described == vocabulary


def test_words_by_frequency_and_the_unknown_one():
    text = "It is, it was; it is.\n\tIs it?"
    vocabulary = WordVocabulary.from_text(text, limit=5)
    assert vocabulary.size == 5 and vocabulary.words == (" it", " is", "\t", "\n")
    assert vocabulary.encode("it is\n it was").tolist() == [0, 2, 4, 1, 0]
    assert vocabulary.decode([0, 2, 4, 1, 0]) == "\ufffd is\n it\ufffd"
    assert WordVocabulary.from_text(text, limit=99) == WordVocabulary.from_text(text)
    assert vocabulary.beginning == "\n" and WordVocabulary(("a", "b")).beginning == "a"
    assert vocabulary.unit == "word" and vocabulary.decoder()([1, 0]) == " it\ufffd"


def test_unknown_parts_are_refused_skipped_or_replaced():
    words, characters = WordVocabulary(("a", " b")), CharVocabulary("ab ")
    with pytest.raises(VocabularyError, match="the word ' c' is not among the 2 words"):
        refuse(words, "a b c")
    assert skip(words, "a c b").tolist() == [1, 2]
    assert replace("\ufffd")(words, "a c b").tolist() == [1, 0, 2]
    assert skip(characters, "xaxb").tolist() == [0, 1]
    assert replace(" ")(characters, "xaxb").tolist() == [2, 0, 2, 1]
    assert skip(ByteVocabulary(), "a\ud800\udfffé").tolist() == [97, 195, 169]
    assert replace("?")(ByteVocabulary(), "a\ud800").tolist() == [97, 63]


@pytest.mark.parametrize("words", [(), ("a", "a"), ("a b",), ("  ",), ("",), ("\ufffd",), (5,)])
def test_what_are_no_words(words):
    with pytest.raises(VocabularyError):
        WordVocabulary(words)
    with pytest.raises(VocabularyError, match="at least 2"):
        WordVocabulary.from_text("a b", limit=1)


@pytest.mark.parametrize("tokens", [[3], [-1], [0, 256]])
def test_tokens_outside_the_vocabulary_are_refused(tokens):
    with pytest.raises(VocabularyError, match="tokens 0 to 2"):
        CharVocabulary("abc").decode(tokens)


def test_what_is_no_byte_is_refused():
    with pytest.raises(VocabularyError, match="tokens 0 to 255"):
        ByteVocabulary().decode([256])
    with pytest.raises(VocabularyError, match="position 1 is half a surrogate"):
        ByteVocabulary().encode("a\ud800")


@pytest.mark.parametrize("characters", ["", "aba"])
def test_characters_must_be_distinct_and_some(characters):
    with pytest.raises(VocabularyError, match="each only once"):
        CharVocabulary(characters)


@pytest.mark.parametrize(
    "description",
    [
        None,
        [],
        "ByteVocabulary",
        {},
        {"type": "os.system"},
        {"type": "ByteVocabulary", "extra": 1},
        {"type": "CharVocabulary"},
        {"type": "CharVocabulary", "characters": 5},
        {"type": "CharVocabulary", "characters": "aa"},
        {"type": ["CharVocabulary"], "characters": "ab"},
        {"type": "WordVocabulary"},
        {"type": "WordVocabulary", "words": "ab"},
        {"type": "WordVocabulary", "words": ["a", ["b"]]},
        {"type": "WordVocabulary", "words": ["a", "a"]},
        {"type": "WordVocabulary", "words": ["a"], "limit": 3},
    ],
)
def test_hostile_descriptions_are_refused(description):
    with pytest.raises(ModelFileError, match="vocabulary"):
        vocabulary_from_description(description)


def test_a_text_begins_with_a_line_if_there_are_lines():
    assert CharVocabulary("a\n").beginning == ByteVocabulary().beginning == "\n"
    assert CharVocabulary("ab").beginning == "a"
