"""Flax's modules as our layers: the walk that linen and nnx have in common."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cell import Cell
from jaxrnn.cells import GRU, LSTM
from jaxrnn.errors import ConversionError
from jaxrnn.interop.flax.layout import Arrays, Path, own_dtype, read
from jaxrnn.interop.flax.library import Library
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


class Reader:
    """Reads modules of one library, each once: layers that share parameters cannot be told here."""

    def __init__(self, library: Library, arrays: Arrays):
        """Begin with no module seen."""
        self.library, self.arrays, self.what = library, arrays, arrays.what
        self._seen: list[Any] = []

    def layer(self, module: Any, path: Path = ()) -> Part:
        """Our layer for a module, with its parameters, which lie under `path`."""
        if any(module is other for other in self._seen):
            raise ConversionError(
                f"{self.what}: one {type(module).__name__} stands at two places and shares its "
                "parameters, which layers of jaxrnn do not; make two modules, with copies."
            )
        kind = type(module)
        if kind is self.library.sequential:
            return self._chain(module, path)
        if isinstance(module, functools.partial) and module.func is jax.nn.one_hot:
            return self._one_hot(module)
        known = (*self.library.kinds, self.library.rnn, self.library.bidirectional)
        if kind not in known:
            raise ConversionError(
                f"{self.what}: {article(module)} is nothing that jaxrnn has a layer for; expected "
                f"one of {', '.join(each.__name__ for each in known)} (and no subclass, which "
                "may compute something else), or Sequential of them."
            )
        self._seen.append(module)
        check_defaults(self.what, module, self.library.state_axes)
        if kind is self.library.rnn:
            return self._rnn(module, path)
        if kind is self.library.bidirectional:
            return self._both_ways(module, path)
        return self._leaf(module, path)

    def _leaf(self, module, path):
        kind = self.library.kinds[type(module)]
        if issubclass(kind.layer, LSTM | GRU):
            check_gates(self.what, module)
        width = self.arrays.width(path, kind.layout)
        try:
            layer = kind.make(module, width)
        except (TypeError, ValueError) as error:
            raise ConversionError(f"{self.what}: {article(module)}: {error}") from error
        layer, params = read(layer, kind.layout, self.arrays, path)
        dtype = own_dtype(self.what, layer, params)
        for each in (module, *self.library.inside(module)):
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
        part = self.layer(module.cell, (*path, "cell"))
        if not isinstance(part.layer, Cell):
            raise ConversionError(
                f"{self.what}: RNN runs {article(module.cell)}, which is no cell."
            )
        return part

    def _rnn(self, module, path):
        cell, params = self._cell(module, path)
        if module.reverse and not module.keep_order:
            raise ConversionError(
                f"{self.what}: RNN has reverse=True and keep_order=False, so that its outputs "
                "stand in reversed order; jaxrnn.reverse keeps the order, so give keep_order=True."
            )
        return Part(reverse(cell) if module.reverse else cell, params)

    def _both_ways(self, module, path):
        found = []
        for name in ("forward_rnn", "backward_rnn"):
            rnn = getattr(module, name)
            if type(rnn) is not self.library.rnn or any(rnn is other for other in self._seen):
                shared = type(rnn) is self.library.rnn
                problem = "shares its parameters" if shared else f"is {article(rnn)}"
                raise ConversionError(
                    f"{self.what}: {name} of Bidirectional {problem}; expected an RNN of its own "
                    "for each direction."
                )
            self._seen.append(rnn)
            check_defaults(self.what, rnn, self.library.state_axes)
            # Which way it reads, and how, Bidirectional says, whatever the RNN itself does.
            found.append(self._cell(rnn, (*path, name)))
        (forward, forward_params), (backward, backward_params) = found
        check_merge(self.what, module.merge_fn)
        default = self.library.bidirectional.merge_fn
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
            if type(layer) is self.library.dropout
            else self.layer(layer, (*path, *self.library.place(number)))
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
            if type(layer) in (self.library.rnn, self.library.bidirectional)
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
            kind = self.library.kinds.get(type(layer))
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
