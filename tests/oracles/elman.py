"""Elman (1990), Finding Structure in Time: h' = φ(x W + h R + b), y = h'."""


def elman(activation):
    """The step of an Elman network with the given φ."""

    def step(params, carry, x):
        a = x @ params.input_kernel + carry.h @ params.recurrent_kernel
        if params.bias is not None:
            a = a + params.bias
        h = activation(a)
        return carry._replace(h=h), h

    return step
