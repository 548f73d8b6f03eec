"""What is written, against exact probabilities; where it ends; what a prompt may hold."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare

import jaxrnn
from jaxrnn import text
from jaxrnn.errors import InputError, VocabularyError

VOCABULARY = text.CharVocabulary("abcdef")
LOGITS = np.array([1.5, -0.5, 0.7, 0.6, -2.0, 0.1])


@pytest.fixture(scope="module")
def independent():
    """A model without a memory, for which every character is a draw from the same logits."""
    network = jaxrnn.stack(jaxrnn.OneHot(6), jaxrnn.Linear(6, 6))
    params = jax.tree.map(jnp.zeros_like, network.init(jax.random.key(0)))
    return network, params._replace(layers=((), params.layers[1]._replace(bias=LOGITS)))


@pytest.fixture(scope="module")
def remembering():
    network = jaxrnn.stack(jaxrnn.Embedding(6, 4), jaxrnn.LSTM(4, 6), jaxrnn.Linear(6, 6))
    return network, jax.tree.map(lambda leaf: 3 * leaf, network.init(jax.random.key(0)))


def written(model, prompts, length, **options):
    pieces = text.generate(*model, VOCABULARY, prompts, length, jax.random.key(1), **options)
    return ["".join(stream) for stream in zip(*pieces, strict=True)]


def exact(previous, temperature=1.0, penalty=1.0, k=6, p=1.0):
    """The distribution of the next token, step by step as the papers say it."""
    logits = LOGITS / temperature
    logits[previous] *= 1 / penalty if logits[previous] > 0 else penalty
    order = np.argsort(-logits)[:k]
    shares = np.exp(logits[order]) / np.exp(logits[order]).sum()
    nucleus = next(n for n in range(1, k + 1) if shares[:n].sum() >= p - 1e-12)
    found = np.zeros(6)
    found[order[:nucleus]] = shares[:nucleus] / shares[:nucleus].sum()
    return found


def p_value(streams, **options):
    """Of the characters that followed each character, in a chi-square test against `exact`."""
    tokens = np.array([VOCABULARY.encode(stream) for stream in streams])
    counts = np.zeros((6, 6))
    np.add.at(counts, (tokens[:, :-1], tokens[:, 1:]), 1)
    statistics, freedom = 0.0, 0
    for previous, seen in enumerate(counts):
        expected = exact(previous, **options) * seen.sum()
        if seen[expected == 0].any():
            return 0.0
        possible = expected > 5
        if possible.sum() > 1:
            part = chisquare(seen[possible], expected[possible], sum_check=False)
            statistics, freedom = statistics + part.statistic, freedom + possible.sum() - 1
    return chi2.sf(statistics, freedom)


@pytest.mark.parametrize(
    ("temperature", "transforms", "options", "wrong"),
    [
        (0.7, [], {}, {"temperature": 0.74}),
        (1.3, [text.top_k(3)], {"k": 3}, {"temperature": 1.2}),
        # At this temperature the first four reach 0.8, at 1 the first three do.
        (1.3, [text.top_p(0.8)], {"p": 0.8}, {"temperature": 1.2}),
        (0.9, [text.repetition_penalty(1.5, last=1)], {"penalty": 1.5}, {"penalty": 1.4}),
        (
            0.8,
            [text.repetition_penalty(2.0, last=1), text.top_k(4), text.top_p(0.9)],
            {"penalty": 2.0, "k": 4, "p": 0.9},
            {"penalty": 1.9},
        ),
    ],
    ids=["temperature", "top-k", "top-p", "repetition penalty", "all"],
)
def test_frequencies_are_the_exact_probabilities(
    independent, temperature, transforms, options, wrong
):
    streams = written(independent, ["a"] * 100, 600, temperature=temperature, transforms=transforms)
    options = {"temperature": temperature} | options
    assert p_value(streams, **options) > 0.01
    assert p_value(streams, **options | wrong) < 1e-4  # 60,000 draws can tell


def test_a_penalty_counts_the_prompt_and_forgets_after_a_while(independent):
    """At temperature 0 and a crushing penalty the most likely of the other characters comes."""
    crushing = text.repetition_penalty(1e6, last=2)
    (found,) = written(independent, ["a"], 6, temperature=0, transforms=[crushing])
    assert found == "cdacda"
    assert written(independent, ["a"], 6, temperature=0) == ["aaaaaa"]


def test_what_is_forbidden_is_never_written(independent):
    (found,) = written(independent, ["a"], 300, transforms=[text.forbid(0, 3)])
    assert set(found) == set("bcef")


def test_a_function_of_ones_own_sees_the_last_tokens(independent):
    class Alternate:
        memory = 2

        def __call__(self, logits, recent):
            return jnp.where(jnp.arange(logits.size) == recent[0], 0.0, -jnp.inf)

    assert written(independent, ["ab", "b"], 6, transforms=[Alternate()])[0] == "ababab"


def test_no_transform_changes_nothing(remembering):
    all_kept = [text.top_k(6), text.top_p(1.0), text.repetition_penalty(1.0)]
    expected = written(remembering, ["ab"], 100)
    assert written(remembering, ["ab"], 100, transforms=all_kept) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: text.top_k(0),
        lambda: text.top_p(0.0),
        lambda: text.top_p(1.1),
        lambda: text.top_p(float("nan")),
        lambda: text.repetition_penalty(0.0),
        lambda: text.repetition_penalty(float("inf")),
        lambda: text.repetition_penalty(1.2, last=0),
        lambda: text.forbid(),
        lambda: text.forbid(-1),
        lambda: text.stop_before(""),
    ],
)
def test_transforms_and_stops_out_of_range(make):
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [((0, 70), "there are tokens from 0 to 2"), ((0, 1, 2), "every token is forbidden")],
)
def test_forbidden_tokens_are_some_that_there_are(tokens, sentence):
    with pytest.raises(InputError, match=sentence):
        text.forbid(*tokens)(jnp.zeros(3), jnp.zeros(0, int))


def test_one_text_is_no_list_of_prompts(remembering):
    with pytest.raises(InputError, match=r"prompts is one text; give a list.*\['ab'\]"):
        written(remembering, "ab", 3)


def cut_by_hand(whole, stops):
    for end in range(1, len(whole) + 1):
        for stop in sorted(stops, key=lambda stop: -len(stop.string)):
            if whole[:end].endswith(stop.string):
                return whole[: end if stop.kept else end - len(stop.string)]
    return whole


strings = st.text("ab\n", min_size=1, max_size=4)
stop_lists = st.lists(
    st.builds(text.Stop, strings, st.booleans()), max_size=3, unique_by=lambda stop: stop.string
)


@given(whole=st.text("ab\n", max_size=30), stops=stop_lists, cuts=st.lists(st.integers(0, 30)))
def test_a_text_is_cut_where_a_stop_string_is_first_complete(whole, stops, cuts):
    scanner = text.StopScanner(stops)
    borders = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(borders)]
    shown = ""
    for number, piece in enumerate(pieces):
        shown += scanner(piece, final=number == len(pieces) - 1)
        assert cut_by_hand(whole, stops).startswith(shown)  # nothing is shown that is cut later
    assert shown == cut_by_hand(whole, stops)


@pytest.mark.parametrize(
    "stops",
    [
        [text.stop_before("ab")],
        [text.stop_after("bab")],
        [text.stop_before("aabb"), text.stop_after("ba")],
        [text.stop_before("bb"), text.stop_before("abb"), text.stop_after("b" * 5)],
    ],
)
def test_every_text_of_two_letters_cut_one_by_one(stops):
    for letters in itertools.product("ab", repeat=8):
        scanner = text.StopScanner(stops)
        shown = [scanner(letter) for letter in letters] + [scanner("", final=True)]
        assert "".join(shown) == cut_by_hand("".join(letters), stops)


def test_every_stream_ends_by_itself_across_the_borders_of_chunks(remembering):
    prompts = ["a", "b", "cd"]
    whole = written(remembering, prompts, 200)
    stops = [text.stop_before(whole[0][30:35]), text.stop_after(whole[1][5:8])]
    expected = [cut_by_hand(stream, stops) for stream in whole]
    assert len({len(stream) for stream in expected}) > 1
    for chunk in (5, 1024):
        assert written(remembering, prompts, 200, stops=stops, chunk=chunk) == expected


def test_when_all_have_ended_nothing_is_written_any_more(independent):
    """A billion characters would take hours."""
    (found,) = written(independent, ["a"], 10**9, temperature=0, stops=[text.stop_after("aaa")])
    assert found == "aaa"


def test_pieces_begin_short_and_grow(independent):
    pieces = text.generate(*independent, VOCABULARY, ["a"], 3000, jax.random.key(0))
    lengths = [len(piece) for (piece,) in pieces]
    assert lengths == [32, 256, 1024, 1024, 664]


def test_long_prompts_of_different_lengths_are_read_to_their_ends(remembering, monkeypatch):
    from jaxrnn.text import prompts

    monkeypatch.setattr(prompts, "LONGEST", 8)
    random = np.random.default_rng(0)
    tokens = [random.integers(6, size=size, dtype=np.int32) for size in (1, 8, 9, 27, 8)]
    tokens[-1] = tokens[1]
    network, params = remembering
    found = prompts.read_prompts(network, params, tokens)
    for stream, row in enumerate(tokens):
        carry, ys = jaxrnn.unroll(network, params, row)
        np.testing.assert_allclose(found.logits[stream], ys[-1], rtol=1e-12)
        for mine, its in zip(jax.tree.leaves(found.carry), jax.tree.leaves(carry), strict=True):
            np.testing.assert_allclose(mine[stream], its, rtol=1e-12, atol=1e-15)


def test_unknown_characters_of_a_prompt_are_refused_skipped_or_replaced(remembering):
    with pytest.raises(VocabularyError, match=r"'x' \(U\+0078\) at position 1"):
        written(remembering, ["axb"], 5)
    assert written(remembering, ["axb"], 50, unknown=text.skip) == written(remembering, ["ab"], 50)
    replaced = written(remembering, ["axb"], 50, unknown=text.replace("c"))
    assert replaced == written(remembering, ["acb"], 50)
    with pytest.raises(InputError, match="nothing in the prompt"):
        written(remembering, ["xyz"], 5, unknown=text.skip)
    with pytest.raises(VocabularyError, match="one: give a shorter"):
        written(remembering, ["x"], 5, unknown=text.replace("ab"))
    with pytest.raises(VocabularyError, match="'x'"):
        written(remembering, ["a"], 5, unknown=text.replace("x"))


def test_words_are_written_and_never_the_unknown_one():
    vocabulary = text.WordVocabulary.from_text("to be or not to be", limit=4)
    network = jaxrnn.stack(jaxrnn.OneHot(4), jaxrnn.Linear(4, 4))
    model = text.LanguageModel(network, network.init(jax.random.key(0)), vocabulary)
    config = text.WriteConfig(length=60)
    pieces = text.write(model, " be", config, jax.random.key(0))
    found = "".join(piece for (piece,) in pieces)
    assert vocabulary.lookup(found).min() > 0 and len(vocabulary.encode(found)) == 60
    with pytest.raises(VocabularyError, match="the word 'be' is not among the 3 words"):
        text.write(model, "be", config, jax.random.key(0))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"length": -1}, "length is -1"),
        ({"top_k": 0}, "top-k is 0"),
        ({"top_p": 0.0}, "top-p is 0.0"),
        ({"repetition_penalty": -1.0}, "repetition penalty is -1.0"),
        ({"repetition_window": 0}, "looks back 0"),
        ({"stop": ("",)}, "empty"),
        ({"temperature": float("nan")}, "temperature is nan"),
    ],
)
def test_configurations_out_of_range(config, sentence):
    with pytest.raises(InputError, match=sentence):
        text.WriteConfig(**config).check(VOCABULARY)
