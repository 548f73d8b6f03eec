"""Large batches in little memory: the gradient is summed over parts of a batch."""

import jax
import jax.numpy as jnp

from jaxrnn.errors import InputError
from jaxrnn.training.step import LossFn


def accumulated(loss_fn: LossFn, parts: int, noisy: bool = False) -> LossFn:
    """A loss whose value and gradient are computed for one part of the batch after the other.

        L = 1/n Σᵢ Lᵢ,    ∂L/∂θ = 1/n Σᵢ ∂Lᵢ/∂θ

    Each part's gradient is taken as soon as its loss is, so that what backpropagation keeps is kept
    for one part at a time. Where losses are means over equal parts, this is the loss of the whole.

    Args:
      loss_fn: `loss_fn(params, carry, batch) -> (loss, carry)`; the batch a tuple of arrays
        [time, batch, ...], the carry a tree of [batch, ...].
      parts: how many; the batch is a multiple of it.
      noisy: whether the last of the batch is a key, of which each part gets one of its own.

    Returns:
      A loss function for `make_update`; its gradient with respect to `params` only.

    Raises:
      InputError: if `parts` is not positive, or a batch has no so many equal parts.

    Example:
      >>> from jaxrnn.training import cross_entropy
      >>> def loss_fn(w, carry, batch):
      ...     return jnp.mean(jnp.square(w * batch[0] - batch[1])), carry
      >>> batch = jnp.arange(12.0).reshape(3, 4), jnp.ones((3, 4))
      >>> whole, parts = (
      ...     jax.grad(lambda w: loss(w, (), batch)[0])(2.0)
      ...     for loss in (loss_fn, accumulated(loss_fn, parts=2))
      ... )
      >>> bool(jnp.allclose(whole, parts))
      True
    """
    if parts < 1:
        raise InputError(f"parts is {parts}; give a positive number.")

    def forward(params, carry, batch):
        *arrays, key = batch if noisy else (*batch, None)
        of_parts = (
            jax.tree.map(lambda leaf: _cut(leaf, parts, 0), carry),
            [_cut(array, parts, 1) for array in arrays],
            jax.random.split(key, parts) if noisy else None,
        )

        def part(gradient, inputs):
            carry, arrays, key = inputs
            batch = (*arrays, key) if noisy else tuple(arrays)
            take = jax.value_and_grad(loss_fn, has_aux=True)
            (loss, carry), more = take(params, carry, batch)
            return jax.tree.map(lambda a, b: a + b / parts, gradient, more), (loss, carry)

        nothing = jax.tree.map(jnp.zeros_like, params)
        gradient, (losses, carries) = jax.lax.scan(part, nothing, of_parts)
        carry = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), carries)
        return (losses.mean(), carry), gradient

    @jax.custom_vjp
    def loss(params, carry, batch):
        return loss_fn(params, carry, batch)

    def backward(gradient, cotangents):
        d_loss, _ = cotangents  # the carry is data where a window ends
        return jax.tree.map(lambda leaf: leaf * d_loss, gradient), None, None

    loss.defvjp(forward, backward)
    return loss


def _cut(leaf, parts, axis):
    """`[..., batch, ...]` to `[parts, ..., batch / parts, ...]`."""
    shape = leaf.shape
    if shape[axis] % parts:
        raise InputError(
            f"a batch of {shape[axis]} rows has no {parts} equal parts; give a divisor."
        )
    cut = leaf.reshape(*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :])
    return jnp.moveaxis(cut, axis, 0)
