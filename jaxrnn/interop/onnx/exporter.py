"""To ONNX: a network as native RNN, GRU and LSTM nodes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cell import Layer, named_leaves
from jaxrnn.errors import ConversionError
from jaxrnn.interop.onnx.emit import Writer, emit, without_padding
from jaxrnn.interop.onnx.files import library, write_model
from jaxrnn.interop.onnx.importer import import_onnx
from jaxrnn.interop.weights import belongs, check_known
from jaxrnn.text.language_model import LanguageModel
from jaxrnn.text.vocabulary import vocabulary_from_description

OPSET, IR_VERSION = 17, 8  # read by runtimes since 2022
BFLOAT16_OPSET, BFLOAT16_IR_VERSION = 22, 10  # before it, the recurrent operators had none


def export_onnx(
    path: str | Path,
    network: Layer,
    params: Any,
    *,
    lengths: bool = False,
    carry: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a network as an ONNX graph of native RNN, GRU and LSTM nodes.

        input   xs           [time, batch, input_size], or int64 tokens [time, batch]
                lengths      [batch], int32                      with `lengths`
                carry.…      [batch, hidden], one per state      with `carry`
        output  ys           [time, batch, output_size]
                new_carry.…  [batch, hidden], one per state      with `carry`

    Time and batch may have any size. States are named as in the network's carry, for instance
    `carry.layers.0.h`; handed from `new_carry.…` to `carry.…` they continue a sequence. Without
    `carry` the network begins with its own start; with it, a start that is not zero stands under
    `start` in the file's `metadata_props`, as JSON, to be given with the first call. Outputs after
    the end of a row are zero.

    Of layers, the graph can hold `Elman`, `LSTM`, `GRU`, `ResetBeforeGRU`, `OnnxLSTM`, `OnnxGRU`;
    `stack`, `bidirectional` (`concatenate` and `add`), `reverse`, `residual`, `learned_carry`;
    `Embedding`, `OneHot` and `Linear`. Dropout of any kind acts in training only and is left out.

    The graph has the dtype of the parameters. onnxruntime runs float32 on its CPU (of float16 only
    the LSTM); float64 and bfloat16 are valid ONNX, but to run them there cast the parameters to
    float32 first.

    Args:
      path: where to; an existing file is replaced in one go, once it is whole and reads back.
      network: the layer.
      params: its parameters.
      lengths: whether the graph takes the length of each row.
      carry: whether the graph takes and gives the carry.
      metadata: texts to keep in the file's `metadata_props`.

    Raises:
      MissingExtraError: if onnx is not installed.
      ConversionError: if ONNX has no operator for a layer, or the parameters are not the network's.
      ModelFileError: if the file cannot be written.

    Example:
      >>> import tempfile, jaxrnn
      >>> network = jaxrnn.lstm_network(3, 8, num_layers=2, bidirectional=True)
      >>> params = network.init(jax.random.key(0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     export_onnx(Path(folder) / "model.onnx", network, params, lengths=True)
      ...     model = import_onnx(Path(folder) / "model.onnx")
      >>> model.network == network
      True
    """
    onnx = library()
    belongs(network, params)
    check_known(params)
    writer = Writer(onnx, _dtype(params))
    graph = _graph(writer, network, params, lengths, carry)
    is_bfloat16 = writer.dtype == jnp.bfloat16
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", BFLOAT16_OPSET if is_bfloat16 else OPSET)],
        ir_version=BFLOAT16_IR_VERSION if is_bfloat16 else IR_VERSION,
    )
    starts = _starts(network, params) if carry else {}
    for name, text in (starts | dict(metadata or {})).items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise ConversionError(
                f"the metadata have {name!r:.40}: {text!r:.40}; expected texts: write it as JSON."
            )
        model.metadata_props.add(key=name, value=text)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's own, where an old onnx does not know the opset
        reason = str(error).strip().split("\n")[0]
        raise ConversionError(f"onnx {onnx.__version__} refuses the graph: {reason}") from error
    write_model(path, model)


def export_language_model(path: str | Path, model: LanguageModel) -> None:
    """Write a language model as an ONNX graph that writes text, one token or many at a time.

    The graph is that of `export_onnx` with `carry=True`: give it the prompt and a carry of zeros,
    then again and again the token chosen and the carry received. The vocabulary stands under
    `vocabulary` in the file's `metadata_props`, as JSON.

    Args:
      path: where to.
      model: what to write.

    Raises:
      MissingExtraError, ConversionError, ModelFileError: as `export_onnx` does.

    Example:
      >>> import tempfile, jaxrnn
      >>> from jaxrnn.text import CharVocabulary
      >>> network = jaxrnn.stack(jaxrnn.OneHot(3), jaxrnn.GRU(3, 8), jaxrnn.Linear(8, 3))
      >>> model = LanguageModel(network, network.init(jax.random.key(0)), CharVocabulary("abc"))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     export_language_model(Path(folder) / "model.onnx", model)
      ...     import_language_model(Path(folder) / "model.onnx").vocabulary
      CharVocabulary(characters='abc')
    """
    vocabulary = json.dumps(model.vocabulary.describe())
    export_onnx(path, model.network, model.params, carry=True, metadata={"vocabulary": vocabulary})


def import_language_model(path: str | Path) -> LanguageModel:
    """Read a language model from a file that `export_language_model` wrote.

    Args:
      path: the file.

    Raises:
      MissingExtraError, ConversionError, ModelFileError: as `import_onnx` does; also if the file
        holds no vocabulary, or the network does not predict its tokens.
    """
    network, params, *_, metadata = import_onnx(path)
    try:
        vocabulary = vocabulary_from_description(json.loads(metadata["vocabulary"]))
    except (KeyError, ValueError, RecursionError) as error:
        raise ConversionError(f"'{path}' holds no vocabulary: no language model.") from error
    if not network.takes_tokens or network.output_size != vocabulary.size:
        raise ConversionError(
            f"'{path}' holds {network!r}, which does not predict the {vocabulary.size} tokens of "
            "its vocabulary."
        )
    return LanguageModel(network=network, params=params, vocabulary=vocabulary)


def _starts(network, params):
    """The start that a graph is to be given, where it is not zero."""
    starts = {
        f"carry.{name}": np.asarray(leaf, np.float64).tolist()
        for name, leaf in named_leaves(network.start(params))
        if np.any(leaf)
    }
    return {"start": json.dumps(starts)} if starts else {}


def _dtype(params):
    dtypes = {np.dtype(leaf.dtype) for leaf in jax.tree.leaves(params)}
    if len(dtypes) > 1:
        raise ConversionError(
            f"the parameters have several dtypes, {', '.join(sorted(map(str, dtypes)))}; a graph "
            "has one: cast them."
        )
    return dtypes.pop() if dtypes else np.dtype(np.float32)


def _graph(writer, network, params, with_lengths, with_carry):
    helper = writer.onnx.helper
    element = writer.element(writer.dtype)
    if network.takes_tokens:
        xs = helper.make_tensor_value_info("tokens", writer.element(np.int64), ["time", "batch"])
    else:
        shape = ["time", "batch", network.input_size]
        xs = helper.make_tensor_value_info("xs", element, shape)
    inputs, outputs = [xs], []
    if with_lengths:
        writer.lengths = "lengths"
        inputs.append(helper.make_tensor_value_info("lengths", writer.element(np.int32), ["batch"]))
    start = network.start(params)
    names = [name for name, _ in named_leaves(start)]
    starts = jax.tree.leaves(start)
    if with_carry:
        for name, leaf in zip(names, starts, strict=True):
            inputs.append(_state(writer, f"carry.{name}", leaf))
            outputs.append(_state(writer, f"new_carry.{name}", leaf))
    given = [f"carry.{name}" for name in names] if with_carry else map(np.asarray, starts)
    carry = jax.tree.unflatten(jax.tree.structure(start), list(given))
    ys, new_carry = emit(writer, network, params, carry, xs.name, backwards=False)
    if with_lengths:
        ys = without_padding(writer, ys)
    writer.node("Identity", [ys], names=["ys"])
    outputs.insert(
        0, helper.make_tensor_value_info("ys", element, ["time", "batch", network.output_size])
    )
    if with_carry:
        for name, leaf in zip(names, jax.tree.leaves(new_carry), strict=True):
            writer.node("Identity", [leaf], names=[f"new_carry.{name}"])
    return helper.make_graph(writer.nodes, "jaxrnn", inputs, outputs, writer.constants)


def _state(writer, name, leaf):
    info = writer.onnx.helper.make_tensor_value_info
    return info(name, writer.element(writer.dtype), ["batch", *leaf.shape])
