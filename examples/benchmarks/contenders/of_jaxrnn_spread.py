"""jaxrnn with the rows of a batch shared among the cores, or among several accelerators."""

import here
import jax
from jobs import STREAMS, Model, Skip

jax.config.update("jax_num_cpu_devices", here.cores())  # before JAX looks which devices there are

from contenders import Ready, of_jaxrnn  # noqa: E402
from jaxrnn import training  # noqa: E402

equations = of_jaxrnn.equations


def build(work: str, model: Model) -> Ready:
    """The works, each device folding its rows."""
    mesh, rows = training.data_mesh(), model.size.batch
    if work in STREAMS:
        raise Skip("streams of text are not shared among devices.")
    if mesh.size == 1:
        raise Skip("there is one device, which shares with nobody.")
    if rows % mesh.size:
        raise Skip(f"a batch of {rows} is not shared in equal parts by {mesh.size} devices.")
    return of_jaxrnn.build(work, model, devices=training.ManyDevices(mesh))
