"""What llama.cpp calls a layer's tensors, and the order of rows in which it wants queries and keys.

Its rotary embedding for the architecture `llama` pairs neighbouring rows of a head, where the weights as published pair
row i with row i + head_dim / 2. Queries and keys are therefore stored with their rows interleaved; what comes after
them does not change, because both change alike.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MODULES: Final = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
"""GGUF's names of the modules that an adapter may have (ggml-org/ggml, docs/gguf.md, "Standardized tensor names")."""


def interleaved(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """`rows`: (heads * head_dim, n), of `heads` query or key heads. Raises ValueError where that can't be."""
    return np.ascontiguousarray(rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape))
