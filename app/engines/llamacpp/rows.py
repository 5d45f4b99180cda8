"""The order of rows in which llama.cpp wants queries and keys.

Its rotary embedding for the architecture `llama` pairs neighbouring rows of a head, where the weights as published pair
row i with row i + head_dim / 2. Queries and keys are therefore stored with their rows interleaved; what comes after
them does not change, because both change alike.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def interleaved(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """`rows`: (heads * head_dim, n), of `heads` query or key heads. Raises ValueError where that can't be."""
    return np.ascontiguousarray(rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape))
