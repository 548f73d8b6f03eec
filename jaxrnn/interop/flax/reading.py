"""Flax's modules as our layers: the walk that linen and nnx have in common."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cell import Cell
from jaxrnn.cells import GRU, LSTM
from jaxrnn.errors import ConversionError
from jaxrnn.interop.flax.dialect import Dialect
from jaxrnn.interop.flax.layout import Arrays, own_dtype, read
from jaxrnn.interop.flax.options import (
    article,
    check_defaults,
    check_dtype,
    check_gates,
    check_merge,
)
from jaxrnn.interop.parts import Part
from jaxrnn.networks import (
    Bidirectional,
    BidirectionalParams,
    Dropout,
    OneHot,
    Stack,
    StackParams,
    concatenate,
    reverse,
)


def read_module(dialect: Dialect, arrays: Arrays, module: Any) -> Part:
    """Our layer for a module of Flax, with its parameters.

    Args:
      dialect: linen or nnx.
      arrays: all its parameters; each is taken.
      module: of the classes that the dialect has.

    Raises:
      ConversionError: if there is no such layer, or the parameters are not the module's.
    """
    reader = _Reader(dialect, arrays)
    modules = list(reader.modules(module))
    for number, each in enumerate(modules):
        if any(each is other for other in modules[:number]):
            raise ConversionError(
                f"{arrays.what}: one {type(each).__name__} stands at two places and shares its "
                "parameters, which layers of jaxrnn do not; make two modules, with copies."
            )
    part = reader.layer(module)
    arrays.finish()
    return part


class _Reader:
    def __init__(self, dialect, arrays):
        self.dialect, self.arrays, self.what = dialect, arrays, arrays.what

    def modules(self, module):
        """The modules that have parameters, or whose insides have."""
        kind = type(module)
        inside = []
        if kind is self.dialect.sequential:
            inside = list(module.layers)
        elif kind is self.dialect.rnn:
            inside = [module.cell]
        elif kind is self.dialect.bidirectional:
            inside = [module.forward_rnn, module.backward_rnn]
        elif kind not in self.dialect.kinds:
            return
        yield module
        for each in inside:
            yield from self.modules(each)

    def layer(self, module, path=()):
        """The layer of a module whose parameters lie under `path`."""
        kind = type(module)
        if kind is self.dialect.sequential:
            return self._chain(module, path)
        if isinstance(module, functools.partial) and module.func is jax.nn.one_hot:
            return self._one_hot(module)
        known = (*self.dialect.kinds, self.dialect.rnn, self.dialect.bidirectional)
        if kind not in known:
            raise ConversionError(
                f"{self.what}: {article(module)} is nothing that jaxrnn has a layer for; expected "
                f"one of {', '.join(each.__name__ for each in known)} (and no subclass, which "
                "may compute something else), or Sequential of them."
            )
        check_defaults(self.what, module, self.dialect.state_axes)
        if kind is self.dialect.rnn:
            return self._rnn(module, path)
        if kind is self.dialect.bidirectional:
            return self._both_ways(module, path)
        return self._leaf(module, path)

    def _leaf(self, module, path):
        kind = self.dialect.kinds[type(module)]
        if issubclass(kind.layer, LSTM | GRU):
            check_gates(self.what, module)
        width = self.arrays.width(path, kind.layout)
        try:
            layer = kind.make(module, width)
        except (TypeError, ValueError) as error:
            raise ConversionError(f"{self.what}: {article(module)}: {error}") from error
        layer, params = read(layer, kind.layout, self.arrays, path)
        dtype = own_dtype(self.what, layer, params)
        for each in (module, *self.dialect.inside(module)):
            check_defaults(self.what, each)
            check_dtype(self.what, each, dtype)
        if getattr(module, "residual", False):
            params = self._with_identity(layer, params, dtype)
        return Part(layer, params)

    def _with_identity(self, layer, params, dtype):
        # φ(x W + b + h R + h) = φ(x W + b + h (R + 1)).
        if dtype.itemsize < 4:
            raise ConversionError(
                f"{self.what}: SimpleCell with residual=True becomes an Elman whose recurrent "
                f"kernel has 1 added to its diagonal, which {dtype} would round; convert the "
                "parameters to float32 first."
            )
        kernel = params.recurrent_kernel + jnp.eye(layer.hidden_size, dtype=dtype)
        return params._replace(recurrent_kernel=kernel)

    def _cell(self, module, path):
        kind = self.dialect.kinds.get(type(module.cell))
        if kind is None or not issubclass(kind.layer, Cell):
            cells = [
                known.__name__
                for known, kind in self.dialect.kinds.items()
                if issubclass(kind.layer, Cell)
            ]
            raise ConversionError(
                f"{self.what}: RNN runs {article(module.cell)}, which jaxrnn has no cell for; "
                f"expected one of {', '.join(cells)}, and no subclass."
            )
        return self.layer(module.cell, (*path, "cell"))

    def _rnn(self, module, path):
        cell, params = self._cell(module, path)
        if module.reverse and not module.keep_order:
            raise ConversionError(
                f"{self.what}: RNN has reverse=True and keep_order=False, so that its outputs "
                "stand in reversed order; jaxrnn.reverse keeps the order, so give keep_order=True."
            )
        return Part(reverse(cell) if module.reverse else cell, params)

    def _both_ways(self, module, path):
        rnns = {name: getattr(module, name) for name in ("forward_rnn", "backward_rnn")}
        for name, rnn in rnns.items():
            if type(rnn) is not self.dialect.rnn:
                raise ConversionError(
                    f"{self.what}: {name} of Bidirectional is {article(rnn)}; expected an RNN."
                )
            check_defaults(self.what, rnn, self.dialect.state_axes)
        # Which way each reads, and how, Bidirectional says, whatever the RNN itself does.
        found = [self._cell(rnn, (*path, name)) for name, rnn in rnns.items()]
        (forward, forward_params), (backward, backward_params) = found
        check_merge(self.what, module.merge_fn)
        default = self.dialect.bidirectional.merge_fn
        merge = concatenate if module.merge_fn is default else module.merge_fn
        layer = Bidirectional(forward, backward, merge)
        return Part(layer, BidirectionalParams(forward_params, backward_params))

    def _chain(self, module, path):
        layers = list(module.layers)
        if not layers:
            raise ConversionError(f"{self.what}: Sequential has no layers.")
        self._check_chain(layers)
        found = [
            None
            if type(layer) is self.dialect.dropout
            else self.layer(layer, (*path, *self.dialect.place(number)))
            for number, layer in enumerate(layers)
        ]
        for number, layer in enumerate(layers):
            if found[number] is None:
                found[number] = self._dropout(layer, found[:number], found[number + 1 :])
        if len(found) == 1:
            return found[0]
        try:
            network = Stack(tuple(part.layer for part in found))
        except ValueError as error:
            raise ConversionError(f"{self.what}: {error}") from error
        return Part(network, StackParams(tuple(part.params for part in found)))

    def _check_chain(self, layers):
        timed = [
            layer
            for layer in layers
            if type(layer) in (self.dialect.rnn, self.dialect.bidirectional)
        ]
        if len({layer.time_major for layer in timed}) > 1:
            raise ConversionError(
                f"{self.what}: some layers of Sequential have time_major=True and others False, so "
                "that one runs over the batch of the other; make them alike."
            )
        for layer in layers[:-1]:
            if layer in timed and layer.return_carry:
                raise ConversionError(
                    f"{self.what}: {article(layer)} has return_carry=True within Sequential, which "
                    "hands the carry to the next layer as its input; leave it away."
                )
        for layer in layers:
            kind = self.dialect.kinds.get(type(layer))
            if kind is not None and issubclass(kind.layer, Cell):
                raise ConversionError(
                    f"{self.what}: Sequential calls {article(layer)} with an input only, and "
                    "a cell needs a carry; wrap it in an RNN."
                )

    def _dropout(self, module, below, above):
        check_defaults(self.what, module)
        if below:
            return Part(Dropout(below[-1].layer.output_size, module.rate), ())
        widths = [part.layer.input_size for part in above if part is not None]
        if not widths:
            raise ConversionError(f"{self.what}: nothing but Dropout is in Sequential.")
        return Part(Dropout(widths[0], module.rate), ())

    def _one_hot(self, function):
        options = dict(function.keywords)
        size, dtype = options.pop("num_classes", None), options.pop("dtype", None)
        if function.args or options or size is None:
            raise ConversionError(
                f"{self.what}: one_hot has options that OneHot does not; expected "
                "functools.partial(jax.nn.one_hot, num_classes=…, dtype=…)."
            )
        try:
            return Part(OneHot(size, None if dtype is None else jnp.dtype(dtype).name), ())
        except (TypeError, ValueError) as error:
            raise ConversionError(f"{self.what}: {error}") from error
