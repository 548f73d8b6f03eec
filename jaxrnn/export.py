"""Networks as StableHLO artifacts, which run where jaxrnn is not installed.

An artifact is a zip of four members, none of them compressed:

    start.stablehlo      xs → carry: the carry that sequences shaped like xs begin with
    forward.stablehlo    (carry, xs[, lengths]) → (carry, ys): the whole sequence
    config.json          names, shapes and dtypes of all these, the network in words, your metadata
    SHA256SUMS           a digest of each of the others, as `sha256sum` writes it

Parameters are constants inside the programs. Batch and time are symbolic: one artifact takes any
number of rows and instants, and an instant at a time where the carry is handed back in. A carry is
a dictionary of arrays, such as `{"layers.1.h": …}`, so that no class is needed to hold it. What
jaxrnn checks before it computes, the bare programs do not; tokens outside the table give NaN.

`load` checks everything. Without jaxrnn, jax (with flatbuffers) is enough:

    import hashlib, io, zipfile, jax

    def read(artifact, name):
        raw = artifact.read(name)
        line = f"{hashlib.sha256(raw).hexdigest()}  {name}"
        assert line in artifact.read("SHA256SUMS").decode().splitlines(), f"{name} is damaged"
        return jax.export.deserialize(bytearray(raw)).call

    with zipfile.ZipFile("model.zip") as artifact:
        start, forward = (read(artifact, f"{name}.stablehlo") for name in ("start", "forward"))
    carry, ys = forward(start(xs), xs)

JAX promises to read such a program for six months after it was written (see `jax.export`); what is
to live longer belongs in a model file (`jaxrnn.model_file`) or in ONNX.
"""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from jaxrnn import __version__, atomic_file
from jaxrnn.cell import Layer, named_leaves, parameter_dtype
from jaxrnn.errors import ConversionError, CorruptFileError, MissingExtraError, ModelFileError
from jaxrnn.folds import scan
from jaxrnn.networks import unroll
from jaxrnn.networks.border import check_layer, check_params

FORMAT = "1"
PLATFORMS = ("cpu", "cuda", "tpu")
_KNOWN_PLATFORMS = (*PLATFORMS, "rocm")
_PROGRAMS = ("start", "forward")
_MEMBERS = ("start.stablehlo", "forward.stablehlo", "config.json", "SHA256SUMS")


@dataclasses.dataclass(frozen=True, repr=False)
class Artifact:
    """A network that was exported, ready to run; made by `load`.

    Attributes:
      config: what `config.json` holds: `network`, `xs`, `ys` and `carry` with shapes and dtypes,
        `lengths`, `platforms`, versions, and `metadata`, which is what `save` was given.
    """

    config: dict[str, Any]
    _start: jax_export.Exported
    _forward: jax_export.Exported

    def start(self, xs: jax.Array) -> dict[str, jax.Array]:
        """The carry that sequences shaped like `xs` begin with."""
        return self._start.call(self._checked(xs))

    def __call__(
        self, xs: jax.Array, carry: dict[str, jax.Array] | None = None, lengths: Any = None
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """Run the network.

        Args:
          xs: `[time, batch, input_size]`, or tokens `[time, batch]`; cast to the dtype of the
            artifact.
          carry: as `start` or an earlier call gave it; None to begin.
          lengths: `[batch]`, for an artifact that was saved with `lengths=True`.

        Returns:
          carry: by name, after the last valid instant.
          ys: `[time, batch, output_size]`.

        Raises:
          ConversionError: if an argument does not fit, or this machine's platform is not among
            those that the artifact was made for.
        """
        xs = self._checked(xs)
        carry = self.start(xs) if carry is None else carry
        self._check_carry(carry, rows=xs.shape[1])
        if (lengths is not None) != self.config["lengths"]:
            need = "needs lengths" if self.config["lengths"] else "takes no lengths"
            raise ConversionError(
                f"the artifact {need}; `save` decides with lengths=True or False."
            )
        if lengths is None:
            return self._forward.call(carry, xs)
        lengths = jnp.asarray(lengths, jnp.int32)
        if lengths.shape != xs.shape[1:2] or (lengths < 0).any() or (lengths > len(xs)).any():
            raise ConversionError(
                f"lengths are {lengths.tolist()}; expected {xs.shape[1]} numbers from 0 to "
                f"{len(xs)}."
            )
        return self._forward.call(carry, xs, lengths)

    def __repr__(self) -> str:
        return f"Artifact({self.config['network']})"

    def _checked(self, xs: Any) -> jax.Array:
        spec, xs = self.config["xs"], jnp.asarray(xs)
        tokens = len(spec["shape"]) == 2
        if xs.ndim != len(spec["shape"]) or (not tokens and xs.shape[-1] != spec["shape"][-1]):
            raise ConversionError(f"xs has shape {xs.shape}; expected {_words(spec['shape'])}.")
        if 0 in xs.shape:
            raise ConversionError(f"xs has shape {xs.shape}; give at least one row and instant.")
        if tokens and not (
            jnp.issubdtype(xs.dtype, jnp.integer)
            and bool(((xs >= 0) & (xs < self.config["input_size"])).all())
        ):
            raise ConversionError(
                f"xs must hold token ids from 0 to {self.config['input_size'] - 1}."
            )
        if not tokens and not jnp.issubdtype(xs.dtype, jnp.floating):
            raise ConversionError(f"xs has dtype {xs.dtype}; expected {spec['dtype']}.")
        platform = jax.default_backend()
        platform = {"gpu": "cuda"}.get(platform, platform)
        if platform not in self.config["platforms"]:
            made_for = ", ".join(self.config["platforms"])
            raise ConversionError(f"the artifact runs on {made_for}, and not on {platform}.")
        return xs.astype(spec["dtype"])

    def _check_carry(self, carry: Any, rows: int) -> None:
        expected = {
            name: ((rows, *spec["shape"][1:]), spec["dtype"])
            for name, spec in self.config["carry"].items()
        }
        try:
            given = {name: (leaf.shape, str(leaf.dtype)) for name, leaf in carry.items()}
        except AttributeError:
            given = type(carry).__name__
        if given != expected:
            raise ConversionError(f"the carry is {given}; expected {expected}.")


def save(
    path: str | Path,
    network: Layer,
    params: Any,
    *,
    lengths: bool = False,
    platforms: Sequence[str] = PLATFORMS,
    **metadata: Any,
) -> None:
    """Write a network with its parameters as a program.

    Args:
      path: where to; an existing file is replaced in one go, once it is whole and reads back.
      network: any cell or network that can be unrolled, yours too.
      params: its parameters, whose dtype the program computes in.
      lengths: whether the program takes `lengths` (and then it needs them).
      platforms: for which of "cpu", "cuda", "tpu" and "rocm" it is written.
      **metadata: JSON-able values to keep beside it, such as a vocabulary.

    Raises:
      MissingExtraError: if flatbuffers is not installed.
      ConversionError: if the network cannot be exported, a platform is unknown, or the metadata is
        not JSON.
      ModelFileError: if the file cannot be written.

    Example:
      >>> import tempfile, jaxrnn
      >>> network = jaxrnn.stack(jaxrnn.GRU(3, 4), jaxrnn.Linear(4, 2))
      >>> params = network.init(jax.random.key(0))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(Path(folder) / "model.zip", network, params, author="me")
      ...     artifact = load(Path(folder) / "model.zip")
      >>> artifact
      Artifact(Stack(layers=(GRU(...), Linear(...))))
      >>> xs = jax.random.normal(jax.random.key(1), (10, 5, 3))
      >>> carry, ys = artifact(xs)
      >>> {name: leaf.shape for name, leaf in carry.items()}, artifact.config["metadata"]
      ({'layers.0.h': (5, 4)}, {'author': 'me'})
      >>> bool(jnp.allclose(ys, jaxrnn.unroll(network, params, xs)[1], atol=1e-6))
      True
    """
    _check_flatbuffers()
    check_layer(network)
    check_params(network, params)
    if not platforms or not set(platforms) <= set(_KNOWN_PLATFORMS):
        raise ConversionError(
            f"platforms are {platforms!r}; expected some of {', '.join(_KNOWN_PLATFORMS)}."
        )
    try:
        programs, carry, xs, ys = _programs(network, params, lengths, tuple(platforms))
        members = {
            f"{name}.stablehlo": bytes(program.serialize()) for name, program in programs.items()
        }
    except Exception as error:  # whatever jax or a user's layer raises while it is traced
        reason = str(error).strip().split("\n")[0]
        raise ConversionError(f"{network!r} cannot be exported: {reason}") from error
    config = {
        "format": FORMAT,
        "network": repr(network),
        "input_size": network.input_size,
        "xs": xs,
        "ys": ys,
        "carry": carry,
        "lengths": lengths,
        "platforms": list(platforms),
        "versions": {"jaxrnn": __version__, "jax": jax.__version__},
        "metadata": metadata,
    }
    try:
        members["config.json"] = json.dumps(config, sort_keys=True).encode()
    except (TypeError, ValueError) as error:
        raise ConversionError(f"the metadata cannot be written as JSON: {error}.") from error
    atomic_file.write_atomically(Path(path), _zipped(members), verify=_read)


def load(path: str | Path) -> Artifact:
    """Read an artifact that `save` wrote, and check it.

    The digest finds damage, not malice: whoever can change the programs can change the digest. A
    program computes and does nothing else.

    Args:
      path: the file.

    Returns:
      The artifact, to be called.

    Raises:
      MissingExtraError: if flatbuffers is not installed.
      CorruptFileError: if the file was damaged after it was written, or is no artifact.
      ModelFileError: if it cannot be read, or was written by another version.
    """
    _check_flatbuffers()
    path = Path(path)
    try:
        members = _read(path)
        config = json.loads(members["config.json"])
        if config["format"] != FORMAT:
            raise ModelFileError(
                f"format version {config['format']!r:.20}, but this jaxrnn reads {FORMAT!r}."
            )
        start, forward = (
            jax_export.deserialize(bytearray(members[f"{name}.stablehlo"])) for name in _PROGRAMS
        )
        dtype = jnp.dtype(config["xs"]["dtype"])
    except ModelFileError as error:
        raise type(error)(f"'{path}': {error}") from error
    except Exception as error:  # the digest was right, so this was written so
        raise ModelFileError(
            f"'{path}' cannot be read by jax {jax.__version__}: write it anew with this version "
            f"({error})."
        ) from error
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ModelFileError(
            f"'{path}' computes in {dtype}, which this JAX would round: call "
            'jax.config.update("jax_enable_x64", True) first.'
        )
    return Artifact(config=config, _start=start, _forward=forward)


def _programs(network, params, with_lengths, platforms):
    """Both programs, and the shapes of what goes in and out, in words."""
    batch, time = jax_export.symbolic_shape("batch, time")
    dtype = jnp.int32 if network.takes_tokens else parameter_dtype(params)
    width = () if network.takes_tokens else (network.input_size,)
    xs = jax.ShapeDtypeStruct((time, batch, *width), dtype)
    row = jax.eval_shape(lambda: network.start(params, (1,)))
    structure = jax.tree.structure(row)

    def start(xs):
        return dict(named_leaves(network.start(params, (xs.shape[1],))))

    def forward(carry, xs, lengths=None):
        carry = structure.unflatten([carry[name] for name, _ in named_leaves(row)])
        # The derivative is no part of the program, and other folds choose by the number of rows.
        carry, ys = unroll(network, params, xs, carry, lengths=lengths, fold=scan)
        return dict(named_leaves(carry)), ys

    rows = {
        name: jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype)
        for name, leaf in named_leaves(row)
    }
    lengths = [jax.ShapeDtypeStruct((batch,), jnp.int32)] if with_lengths else []
    programs = {
        "start": jax_export.export(jax.jit(start), platforms=platforms)(xs),
        "forward": jax_export.export(jax.jit(forward), platforms=platforms)(rows, xs, *lengths),
    }
    ys = programs["forward"].out_avals[-1]
    return programs, {name: _spec(leaf) for name, leaf in rows.items()}, _spec(xs), _spec(ys)


def _spec(leaf):
    shape = [size if isinstance(size, int) else str(size) for size in leaf.shape]
    return {"shape": shape, "dtype": str(leaf.dtype)}


def _words(shape):
    return f"[{', '.join(map(str, shape))}]"


def _zipped(members):
    sums = "".join(f"{hashlib.sha256(raw).hexdigest()}  {name}\n" for name, raw in members.items())
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as file:
        for name, member in (members | {"SHA256SUMS": sums.encode()}).items():
            # A fixed date: the same network gives the same bytes.
            file.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), member)
    return raw.getvalue()


def _read(path):
    """The members, each of them proven by its digest."""
    atomic_file.check_readable(path)
    try:
        with zipfile.ZipFile(path) as file:
            found = file.infolist()
            # Not compressed, so that a member cannot be larger than the file: no zip bombs.
            stored = all(info.compress_type == zipfile.ZIP_STORED for info in found)
            if not stored or sorted(info.filename for info in found) != sorted(_MEMBERS):
                raise CorruptFileError("not an artifact of jaxrnn.export, or damaged.")
            members = {name: file.read(name) for name in _MEMBERS}
    except CorruptFileError:
        raise
    except Exception as error:  # `zipfile` raises a dozen kinds for damaged headers
        raise CorruptFileError(f"no zip, or damaged after it was written ({error}).") from error
    sums = members.pop("SHA256SUMS")
    expected = "".join(f"{hashlib.sha256(raw).hexdigest()}  {n}\n" for n, raw in members.items())
    if sums != expected.encode():
        raise CorruptFileError("damaged after it was written: a SHA-256 does not match.")
    return members


def _check_flatbuffers():
    try:
        import flatbuffers  # noqa: F401, PLC0415 -- `jax.export` needs it, and says so much later
    except ImportError as error:
        raise MissingExtraError("flatbuffers", extra="export") from error
