"""Parameters from and to Haiku.

Haiku's modules live inside transformed functions, and what one has in hand is their parameters:
`{"lstm/linear": {"w": …, "b": …}}`. It is these that are converted, so Haiku itself is not needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cell import Layer
from jaxrnn.cells import (
    GRU,
    LSTM,
    Elman,
    ElmanParams,
    LSTMParams,
    ResetBeforeGRU,
    ResetBeforeGRUParams,
)
from jaxrnn.errors import ConversionError
from jaxrnn.interop.gates import reorder
from jaxrnn.interop.parts import Part, parts
from jaxrnn.interop.weights import belongs, chain, refuse, take
from jaxrnn.networks import (
    Bidirectional,
    Embedding,
    EmbeddingParams,
    Linear,
    LinearParams,
    Reverse,
)

HaikuParams = Mapping[str, Mapping[str, Any]]


def import_haiku(params: HaikuParams, modules: Mapping[str, str]) -> tuple[Layer, Any]:
    """Take over the modules of a Haiku function, as a `hk.DeepRNN` chains them.

    | Haiku | here |
    |---|---|
    | `VanillaRNN`: `linear`, `linear_1` | `Elman` with relu; two biases are added |
    | `LSTM`: `linear` | `LSTM`; w is W above R, gates i, g, f, o; b + 1 on f, as Haiku adds |
    | `GRU`: w_i, w_h, b | `ResetBeforeGRU`; gates z, r, a; z negated, since σ(−x) = 1 − σ(x) |
    | `Linear`: w, b | `Linear` |
    | `Embed`: embeddings | `Embedding` |

    The sum with 1 is rounded as sums are, in the dtype of b, where Haiku rounds it in its forward
    pass; all else is exact. It may stand inside `jax.jit` or `jax.grad`.

    Args:
      params: what `hk.transform(f).init` made; modules that are not asked for are let be.
      modules: what to take, from the lowest layer up: the name of each module in `params`, and the
        name of its class. Functions between modules, such as `jax.nn.relu`, leave no trace in
        `params`, so modules with one in between have to be taken by themselves.

    Returns:
      The network, a `stack`, and its parameters; of a single module, its layer and its parameters.
      `hk.LSTMState(hidden, cell)` is `LSTMCarry(h, c)`; the other states are the carry's h.

    Raises:
      ConversionError: if a module is missing or of no known class, or a weight is missing,
        unexpected, or of another shape.

    Example:
      >>> import haiku as hk, jax, jax.numpy as jnp, jaxrnn
      >>> def forward(xs):
      ...     core = hk.DeepRNN([hk.LSTM(4), hk.Linear(2)])
      ...     return hk.dynamic_unroll(core, xs, core.initial_state(xs.shape[1]))
      >>> xs = jnp.ones((10, 5, 3))
      >>> params = hk.transform(forward).init(jax.random.key(0), xs)
      >>> network, params = import_haiku(params, {"lstm": "LSTM", "linear": "Linear"})
      >>> network
      Stack(layers=(LSTM(input_size=3, hidden_size=4), Linear(input_size=4, output_size=2)))
      >>> carry, ys = jaxrnn.unroll(network, params, xs)
    """
    if not isinstance(modules, Mapping) or not modules:
        raise ConversionError(
            f"modules are {modules!r:.60}; say which to take, as in {{'lstm': 'LSTM'}}."
        )
    if not isinstance(params, Mapping) or not all(
        isinstance(weights, Mapping) for weights in params.values()
    ):
        raise ConversionError(
            "params are no dictionary of dictionaries; expected {'lstm/linear': {'w': …, 'b': …}}, "
            "as from hk.transform(f).init."
        )
    links = []
    for name, kind in modules.items():
        importer = _IMPORTERS.get(kind)
        if importer is None:
            raise ConversionError(
                f"module {name!r} is said to be of class {kind!r}, which has no counterpart in "
                f"jaxrnn; expected one of {', '.join(_IMPORTERS)}."
            )
        links.append(importer(f"haiku {kind} {name!r}", _below(params, name)))
    return links[0] if len(links) == 1 else chain(links)


def export_haiku(
    network: Layer, params: Any, names: Sequence[str] | None = None
) -> dict[str, dict[str, jax.Array]]:
    """Hand a cell or network over to Haiku, as the parameters of a transformed function.

    The mapping is that of `import_haiku`, read from right to left. Haiku's cells have a bias
    always: where ours have none, theirs is zero (-1 on f of an `LSTM`, to undo what Haiku adds).

    Args:
      network: an `LSTM`, `ResetBeforeGRU`, `Elman` with relu, `Linear` or `Embedding`, or a `stack`
        of these. Noise stays behind: it acts in training only, and is no module in Haiku.
      params: its parameters.
      names: the names of the modules, from the lowest layer up; None for the names that Haiku
        itself gives when the modules are made in this order: "lstm", "lstm_1", "linear" ….

    Returns:
      What `hk.transform(f).apply` takes, where f chains the same modules, as `hk.DeepRNN` does.

    Raises:
      ConversionError: if Haiku has no such module, the parameters are not the network's, or `names`
        does not name each layer.

    Example:
      >>> import jax, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.LSTM(3, 4), jaxrnn.LSTM(4, 2), jaxrnn.Linear(2, 1))
      >>> params = export_haiku(network, network.init(jax.random.key(0)))
      >>> list(params)
      ['lstm/linear', 'lstm_1/linear', 'linear']
    """
    belongs(network, params)
    exported = [_export(*part) for part in parts(network, params)]
    if names is None:
        names = _names([kind for kind, _ in exported])
    if len(names) != len(exported) or len({*names}) != len(names):
        raise ConversionError(
            f"names are {list(names)!r}; expected {len(exported)} different ones, one for each "
            "layer that has weights."
        )
    return {
        name + below: {weight: jnp.array(numbers) for weight, numbers in weights.items()}
        for name, (_, modules) in zip(names, exported, strict=True)
        for below, weights in modules.items()
    }


def _import_vanilla_rnn(owner, weights):
    hidden = _units(owner, weights, "linear/w", gates=1)
    double = "linear_1/b" in weights
    shapes = {"linear/w": (None, hidden), "linear/b": (hidden,), "linear_1/w": (hidden, hidden)}
    own = take(owner, weights, shapes | ({"linear_1/b": (hidden,)} if double else {}))
    kernel, bias = own["linear/w"], own["linear/b"]
    params = ElmanParams(
        input_kernel=kernel,
        recurrent_kernel=own["linear_1/w"],
        bias=bias + own["linear_1/b"] if double else bias,
    )
    return Part(Elman(len(kernel), hidden, activation=jax.nn.relu), params)


def _import_lstm(owner, weights):
    hidden = _units(owner, weights, "linear/w", gates=4)
    shapes = {"linear/w": (None, 4 * hidden), "linear/b": (4 * hidden,)}
    w, b = (reorder(own, "igfo", "ifgo") for own in take(owner, weights, shapes).values())
    inputs = len(w) - hidden
    if inputs < 1:
        raise ConversionError(
            f"{owner}: weight 'linear/w' has shape {w.shape}; expected rows for the input above "
            f"those of the {hidden} units."
        )
    params = LSTMParams(
        input_kernel=w[:inputs], recurrent_kernel=w[inputs:], bias=_add_to_f(b, 1.0)
    )
    return Part(LSTM(inputs, hidden), params)


def _import_gru(owner, weights):
    hidden = _units(owner, weights, "w_i", gates=3)
    shapes = {"w_i": (None, 3 * hidden), "w_h": (hidden, 3 * hidden), "b": (3 * hidden,)}
    own = take(owner, weights, shapes)
    w_i, w_h, b = (_negate_z(reorder(own[name], "zra", "rza")) for name in shapes)
    params = ResetBeforeGRUParams(input_kernel=w_i, recurrent_kernel=w_h, bias=b)
    return Part(ResetBeforeGRU(len(w_i), hidden), params)


def _import_linear(owner, weights):
    outputs = _units(owner, weights, "w", gates=1)
    bias = "b" in weights
    own = take(owner, weights, {"w": (None, outputs)} | ({"b": (outputs,)} if bias else {}))
    layer = Linear(len(own["w"]), outputs, use_bias=bias)
    return Part(layer, LinearParams(kernel=own["w"], bias=own.get("b")))


def _import_embed(owner, weights):
    table = take(owner, weights, {"embeddings": (None, None)})["embeddings"]
    return Part(Embedding(*table.shape), EmbeddingParams(table=table))


_IMPORTERS = {
    "VanillaRNN": _import_vanilla_rnn,
    "LSTM": _import_lstm,
    "GRU": _import_gru,
    "Linear": _import_linear,
    "Embed": _import_embed,
}


def _export(layer, params):
    """Haiku's name for the class, and the weights by what stands below the module's name."""
    if type(layer) is Elman and layer.activation is jax.nn.relu:
        bias = _bias(params)
        return "vanilla_rnn", {
            "/linear": {"w": params.input_kernel, "b": bias},
            "/linear_1": {"w": params.recurrent_kernel, "b": jnp.zeros_like(bias)},
        }
    if type(layer) is LSTM:
        w = jnp.concatenate([params.input_kernel, params.recurrent_kernel])
        b = _add_to_f(_bias(params), -1.0)
        return "lstm", {
            "/linear": {"w": reorder(w, "ifgo", "igfo"), "b": reorder(b, "ifgo", "igfo")}
        }
    if type(layer) is ResetBeforeGRU:
        weights = {"w_i": params.input_kernel, "w_h": params.recurrent_kernel, "b": _bias(params)}
        return "gru", {
            "": {name: reorder(_negate_z(w), "rza", "zra") for name, w in weights.items()}
        }
    if type(layer) is Linear:
        bias = {"b": params.bias} if layer.use_bias else {}
        return "linear", {"": {"w": params.kernel} | bias}
    if type(layer) is Embedding:
        return "embed", {"": {"embeddings": params.table}}
    refuse(layer, "haiku", _REASONS)


_ONE_WAY = (
    "no module of it reads from the end; export the layers of each direction, and run one of them "
    "with hk.dynamic_unroll(reverse=True)"
)
_REASONS = {
    Elman: "hk.VanillaRNN has relu and no other activation",
    GRU: "hk.GRU resets the state before the product, this cell after it, and no weights make the "
    "two one function; ResetBeforeGRU is Haiku's",
    Bidirectional: _ONE_WAY,
    Reverse: _ONE_WAY,
}


def _names(kinds):
    """What Haiku calls modules made one after the other: a number from the second of a kind on."""
    counts = [kinds[:number].count(kind) for number, kind in enumerate(kinds)]
    return [f"{kind}_{n}" if n else kind for kind, n in zip(kinds, counts, strict=True)]


def _below(params, name):
    """The weights of a module and of those inside it, by their path from it, as "linear/w"."""
    found = {
        f"{path}/{weight}".removeprefix(f"{name}/"): value
        for path, weights in params.items()
        if path == name or path.startswith(f"{name}/")
        for weight, value in weights.items()
    }
    if not found:
        raise ConversionError(f"there is no module {name!r} in {', '.join(params) or 'params'}.")
    return found


def _units(owner, weights, name, gates):
    """How many columns a matrix has for each gate; any number where it is missing."""
    shape = jnp.shape(weights.get(name, jnp.zeros((1, gates))))
    if len(shape) != 2 or not shape[1] or shape[1] % gates:
        raise ConversionError(
            f"{owner}: weight {name!r} has shape {shape}; expected a matrix with as many columns "
            f"for each of its gates ({gates})."
        )
    return shape[1] // gates


def _bias(params):
    if params.bias is not None:
        return params.bias
    kernel = params.recurrent_kernel
    return jnp.zeros(kernel.shape[-1], kernel.dtype)


def _add_to_f(bias, number):
    i, f, g, o = jnp.split(bias, 4)
    return jnp.concatenate([i, f + number, g, o])


def _negate_z(blocks):
    r, z, a = jnp.split(blocks, 3, axis=-1)
    return jnp.concatenate([r, -z, a], axis=-1)
