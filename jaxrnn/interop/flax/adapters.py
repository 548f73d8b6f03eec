"""Our cells and networks as modules of Flax, linen and nnx.

A cell goes where Flax's cells go, into `RNN` and `Bidirectional`, which fold it as they fold their
own: batch first, and an LSTM's carry is `(c, h)`. A network keeps what `jaxrnn.unroll` can do.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from jaxrnn.cell import Cell, Layer, cast, named_leaves, parameter_dtype, specification
from jaxrnn.interop.flax.carry import export_carry, import_carry
from jaxrnn.networks import unroll
from jaxrnn.networks.border import check_layer, check_params


class LinenCell(nn.RNNCellBase):
    """A cell of jaxrnn as a cell of linen.

    Its parameters are those of the cell, by name: `input_kernel`, `recurrent_kernel`, `bias` …

    Attributes:
      cell: any cell, yours included.
      param_dtype: what its parameters are drawn in; None for the cell's own choice.

    Example:
      >>> import jaxrnn
      >>> module = nn.RNN(LinenCell(jaxrnn.LSTM(3, 4)))
      >>> xs = jnp.ones((2, 10, 3))  # [batch, time, features]
      >>> variables = module.init(jax.random.key(0), xs)
      >>> variables["params"]["cell"]["input_kernel"].shape, module.apply(variables, xs).shape
      ((3, 16), (2, 10, 4))
    """

    cell: Cell
    param_dtype: Any = None

    @nn.compact
    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        """One instant: the new carry, and y."""
        return _instant(self.cell, _linen_params(self, self.cell), carry, inputs)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        """The carry before the first instant, for inputs `[*batch, features]`."""
        del rng  # Cells begin with the same carry always.
        return _first_carry(self.cell, self.param_dtype, input_shape)

    @property
    def num_feature_axes(self) -> int:
        """One."""
        return 1


class LinenNetwork(nn.Module):
    """A network (or a cell) of jaxrnn over whole sequences, as a module of linen.

    Its parameters are those of the network, by name: `layers.0.input_kernel` …

    Attributes:
      network: any layer of jaxrnn.
      time_axis: where time stands, 0 for jaxrnn's `[time, *batch, features]`, 1 for Flax's
        `[batch, time, features]`.
      param_dtype: what its parameters are drawn in; None for the network's own choice.

    Example:
      >>> import jaxrnn
      >>> module = LinenNetwork(jaxrnn.gru_network(3, 4, num_layers=2), time_axis=1)
      >>> xs = jnp.ones((2, 10, 3))
      >>> variables = module.init(jax.random.key(0), xs)
      >>> module.apply(variables, xs, lengths=jnp.array([10, 7])).shape
      (2, 10, 4)
    """

    network: Layer
    time_axis: int = 0
    param_dtype: Any = None

    @nn.compact
    def __call__(
        self, xs: jax.Array, carry: Any = None, *, return_carry: bool = False, **options: Any
    ) -> Any:
        """`jaxrnn.unroll`, with the noise that a stream called "dropout" gives.

        Args:
          xs: the sequence.
          carry: jaxrnn's carry of the network; None to begin anew.
          return_carry: whether the last carry is returned too, as by `RNN` of Flax.
          **options: of `jaxrnn.unroll`: `lengths`, `mask`, `resets`, `fold`.

        Returns:
          `ys`, or `(carry, ys)`.
        """
        params = _linen_params(self, self.network)
        key = self.make_rng("dropout") if self.has_rng("dropout") else None
        return _sequence(self, params, xs, carry, key, return_carry, options)


class NnxCell(nnx.RNNCellBase):
    """A cell of jaxrnn as a cell of nnx.

    Its parameters are those of the cell, in `weights` by name; `params` has them as jaxrnn does.

    Example:
      >>> import jaxrnn
      >>> module = nnx.RNN(NnxCell(jaxrnn.LSTM(3, 4), rngs=nnx.Rngs(0)))
      >>> module(jnp.ones((2, 10, 3))).shape  # [batch, time, features]
      (2, 10, 4)
      >>> module.cell.params.input_kernel.shape
      (3, 16)
    """

    def __init__(
        self,
        cell: Cell,
        *,
        rngs: nnx.Rngs | None = None,
        params: Any = None,
        param_dtype: Any = None,
    ):
        """Draw the parameters, or take those that are there.

        Args:
          cell: any cell, yours included.
          rngs: what parameters are drawn from (its stream "params").
          params: parameters of the cell, to begin with these instead.
          param_dtype: what they are drawn in; None for the cell's own choice.
        """
        self.cell = cell
        self.weights = _weights(cell, rngs, params, param_dtype)

    @property
    def params(self) -> Any:
        """The parameters as `cell.init` makes them."""
        return _from_weights(self.cell, self.weights)

    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        """One instant: the new carry, and y."""
        return _instant(self.cell, self.params, carry, inputs)

    def initialize_carry(
        self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None
    ) -> Any:
        """The carry before the first instant, for inputs `[*batch, features]`.

        Args:
          input_shape: the shape of one instant.
          rngs: what `carry_init` draws from (its stream "carry").
          carry_init: an initializer of Flax, in place of the cell's own start.
        """
        carry = export_carry(self.cell.start(self.params, tuple(input_shape[:-1])))
        if carry_init is None:
            return carry
        draw = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs
        return jax.tree.map(lambda leaf: carry_init(draw(), leaf.shape, leaf.dtype), carry)

    @property
    def num_feature_axes(self) -> int:
        """One."""
        return 1


class NnxNetwork(nnx.Module):
    """A network (or a cell) of jaxrnn over whole sequences, as a module of nnx.

    Its parameters are those of the network, in `weights` by name, each an `nnx.Param`, so that
    `nnx.jit`, `nnx.grad`, `nnx.Optimizer` and `nnx.split` know them; `params` has them as jaxrnn
    does, for `jaxrnn.unroll` or a model file.

    Example:
      >>> import jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.Embedding(7, 3), jaxrnn.LSTM(3, 4), jaxrnn.Linear(4, 7))
      >>> module = NnxNetwork(network, rngs=nnx.Rngs(0), time_axis=1)
      >>> tokens = jnp.zeros((2, 10), int)  # [batch, time]
      >>> module(tokens).shape
      (2, 10, 7)
      >>> gradient = nnx.grad(lambda module: module(tokens).sum())(module)
      >>> gradient["weights"]["layers.1.bias"].shape
      (16,)
    """

    def __init__(
        self,
        network: Layer,
        *,
        rngs: nnx.Rngs | None = None,
        params: Any = None,
        time_axis: int = 0,
        param_dtype: Any = None,
    ):
        """Draw the parameters, or take those that are there.

        Args:
          network: any layer of jaxrnn.
          rngs: what parameters are drawn from (its stream "params").
          params: parameters of the network, to begin with these instead.
          time_axis: where time stands, 0 for jaxrnn's `[time, *batch, features]`, 1 for Flax's
            `[batch, time, features]`.
          param_dtype: what they are drawn in; None for the network's own choice.
        """
        self.network = network
        self.time_axis = time_axis
        self.weights = _weights(network, rngs, params, param_dtype)

    @property
    def params(self) -> Any:
        """The parameters as `network.init` makes them."""
        return _from_weights(self.network, self.weights)

    def __call__(
        self,
        xs: jax.Array,
        carry: Any = None,
        *,
        return_carry: bool = False,
        rngs: nnx.Rngs | None = None,
        **options: Any,
    ) -> Any:
        """`jaxrnn.unroll`.

        Args:
          xs: the sequence.
          carry: jaxrnn's carry of the network; None to begin anew.
          return_carry: whether the last carry is returned too, as by `RNN` of Flax.
          rngs: for noise, from its stream "dropout"; None for none.
          **options: of `jaxrnn.unroll`: `lengths`, `mask`, `resets`, `fold`.

        Returns:
          `ys`, or `(carry, ys)`.
        """
        key = None if rngs is None else rngs.dropout()
        return _sequence(self, self.params, xs, carry, key, return_carry, options)


def _instant(cell, params, carry, x):
    dtype = parameter_dtype(params)
    if jnp.result_type(x) != dtype:
        raise TypeError(
            f"{cell!r}: inputs have dtype {jnp.result_type(x)} but the parameters have {dtype}; "
            f"cast one of them, as in inputs.astype({dtype.name!r}), so that nothing is promoted "
            "unasked."
        )
    carry, y = cell(params, import_carry(cell, carry), x)
    return export_carry(carry), y


def _sequence(module, params, xs, carry, key, return_carry, options):
    options = {"time_axis": module.time_axis, **options}
    carry, ys = unroll(module.network, params, xs, carry, key=key, **options)
    return (carry, ys) if return_carry else ys


def _first_carry(cell, param_dtype, input_shape):
    dtype = param_dtype or parameter_dtype(specification(cell))
    return export_carry(cast(cell.initial_carry(tuple(input_shape[:-1])), dtype))


def _linen_params(module, layer):
    """The parameters of a layer, each a parameter of the module, drawn all at once."""
    check_layer(layer)
    spec = specification(layer)
    names = {name or "itself": leaf for name, leaf in named_leaves(spec)}
    drawn: dict[str, Any] = {}
    missing = not all(module.has_variable("params", name) for name in names)
    if missing and module.is_mutable_collection("params"):
        params = _in_dtype(layer.init(module.make_rng("params")), module.param_dtype)
        drawn = {name: leaf for name, (_, leaf) in zip(names, named_leaves(params), strict=True)}

    def draw(key, name):
        # Flax also asks where the parameter is there, to compare the shapes.
        del key
        return drawn[name] if name in drawn else jnp.zeros(names[name].shape, names[name].dtype)

    leaves = [module.param(name, draw, name) for name in names]
    return jax.tree.unflatten(jax.tree.structure(spec), leaves)


def _weights(layer, rngs, params, param_dtype):
    check_layer(layer)
    if (rngs is None) == (params is None):
        raise TypeError(f"{layer!r}: give either rngs, to draw parameters from, or params.")
    if params is None:
        params = layer.init(rngs.params())
    else:
        check_params(layer, params)
        params = jax.tree.map(jnp.array, params)  # Copies: nnx may donate its own.
    named = named_leaves(_in_dtype(params, param_dtype))
    return nnx.Dict({name or "itself": nnx.Param(leaf) for name, leaf in named})


def _from_weights(layer, weights):
    spec = specification(layer)
    leaves = [weights[name or "itself"][...] for name, _ in named_leaves(spec)]
    return jax.tree.unflatten(jax.tree.structure(spec), leaves)


def _in_dtype(params, dtype):
    return params if dtype is None else cast(params, dtype)
