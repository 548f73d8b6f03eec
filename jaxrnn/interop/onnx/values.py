"""What a tensor of a graph means for a network, without its numbers.

A graph is read by following these through its nodes: where time, batch and directions stand, which
layers a sequence has passed, from where a state comes.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.cell import Layer
from jaxrnn.errors import ConversionError
from jaxrnn.networks import Bidirectional, Residual, Stack, StackParams, reverse
from jaxrnn.networks.bidirectional import BidirectionalParams
from jaxrnn.networks.pointwise import Pointwise
from jaxrnn.networks.reverse import Reverse

# Axes of a sequence: an integer for an axis of the graph's input, or one of these.
DIRECTIONS, FEATURES, ONE = "directions", "features", "one"

Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Link:
    """One layer that a sequence has passed.

    Attributes:
      layer: it.
      params: its parameters, as NumPy arrays.
      inner: links inside of it, each with the way to its carry.
      starts: where its carry comes from: rows by the way to them.
    """

    layer: Layer
    params: Any
    inner: tuple[tuple[Path, "Link"], ...] = ()
    starts: tuple[tuple[Path, "Row"], ...] = ()


class Row(NamedTuple):
    """One state, `[batch, hidden]`.

    Attributes:
      kind: "zero", "input" (of the graph), "constant" (of the file), "learned" (one for all rows of
        the batch), or "final" (what a link hands on).
      name: of the input.
      index: axis and place in the input; None where the input is this one state.
      array: the numbers, `[batch, hidden]`, learned ones `[hidden]`.
      link: the link of a final one, and `path` the way to it in the carry of that link.
      chain: all links that the sequence had passed.
    """

    kind: str
    name: str = ""
    index: tuple[int, int] | None = None
    array: np.ndarray | None = None
    link: Link | None = None
    path: Path = ()
    chain: tuple[Link, ...] = ()


class States(NamedTuple):
    """States of several directions or layers.

    Attributes:
      rows: one per direction and layer.
      axes: the order of "rows", "batch" and FEATURES; without "rows" there is one row.
    """

    rows: tuple[Row, ...]
    axes: tuple[str, ...]


class Sequence(NamedTuple):
    """The sequence, after some links.

    Attributes:
      axes: what each axis is.
      links: what it has passed.
      tokens: whether it still holds token ids.
    """

    axes: tuple[str | int, ...]
    links: tuple[Link, ...] = ()
    tokens: bool = False

    @property
    def width(self) -> int:
        """Of the last layer, all directions together; 0 before the first."""
        return self.links[-1].layer.output_size if self.links else 0


class Lengths(NamedTuple):
    """How long each row is: an input of the graph by name, numbers of the file, or full length."""

    name: str = ""
    array: np.ndarray | None = None

    def same(self, other: "Lengths") -> bool:
        """Whether two are certainly the same numbers."""
        return self.name == other.name and np.array_equal(self.array, other.array)


class Filled(NamedTuple):
    """A tensor of zeros, of a shape that may be symbolic."""

    shape: np.ndarray


class Flags(NamedTuple):
    """What is computed of lengths: the number of each instant, or whether something is valid.

    Attributes:
      kind: "instants", "valid" or "not empty".
      axes: of "time", "batch" and ONE.
    """

    kind: str
    axes: tuple[str, ...]


class Assembled(NamedTuple):
    """A network, and where the links that it was made of stand in its carry."""

    network: Layer
    params: Any
    places: dict[Link, Path]


def assemble(links: tuple[Link, ...]) -> Assembled:
    """The network that links on top of each other are."""
    if not links:
        raise ConversionError("the graph has no layer between its input and its output.")
    if len(links) == 1:
        (link,) = links
        return Assembled(link.layer, link.params, dict(_places(link, ())))
    try:
        network = Stack(tuple(link.layer for link in links))
    except ValueError as error:
        raise ConversionError(str(error)) from error
    places = {}
    for number, link in enumerate(links):
        places.update(_places(link, ("layers", number)))
    return Assembled(network, StackParams(tuple(link.params for link in links)), places)


def merge(first: Sequence, second: Sequence, function: Any) -> Sequence:
    """Two branches that become one: both directions, or a path around layers.

    Args:
      first: one branch.
      second: the other.
      function: `jaxrnn.concatenate` or `jaxrnn.add`.

    Raises:
      ConversionError: if no network does this.
    """
    if first.axes != second.axes or DIRECTIONS in first.axes or FEATURES != first.axes[-1]:
        raise ConversionError("its two inputs have different axes.")
    shared = 0
    for one, other in zip(first.links, second.links, strict=False):
        if one is not other:
            break
        shared += 1
    below, one, other = first.links[:shared], first.links[shared:], second.links[shared:]
    try:
        if one and other:
            link = _both_ways(assemble(one), assemble(other), function)
        elif function.__name__ == "add" and (one or other):
            inside = assemble(one or other)
            link = Link(Residual(inside.network), inside.params, _inner(inside))
        else:
            raise ConversionError("it joins a sequence with one that it was made from, or itself.")
    except ValueError as error:
        raise ConversionError(str(error)) from error
    return first._replace(links=(*below, link))


def _both_ways(forward, backward, function):
    if forward.places.keys() & backward.places.keys():
        raise ConversionError("a layer is used twice.")
    layer = Bidirectional(forward.network, _reversed(backward.network), function)
    return Link(
        layer,
        BidirectionalParams(forward.params, backward.params),
        _inner(forward, "forward") + _inner(backward, "backward"),
    )


def _reversed(layer):
    """What, read from the end, is `layer`: `reverse` undone where it stands outermost."""
    match layer:
        case Reverse(layer=inside):
            return inside
        case Stack(layers=layers) if all(isinstance(each, Reverse | Pointwise) for each in layers):
            return Stack(tuple(getattr(each, "layer", each) for each in layers))
    return reverse(layer)


def _inner(assembled, *prefix):
    return tuple(((*prefix, *path), link) for link, path in assembled.places.items())


def _places(link, path):
    yield link, path
    for inside, inner in link.inner:
        yield inner, (*path, *inside)
