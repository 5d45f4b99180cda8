"""The stand-in that does not stop: so that every request of every server delivers exactly `max_tokens` tokens.

Our native API has no `ignore_eos`, so the weights do it: the row of `</s>` becomes that of a token that is never drawn.
"""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.standin import compact
from app.standin.expand import ensure_expanded
from app.standin.shape import EOS_ID, VOCAB_SIZE

FOLDER_NAME = "endless"


def endless_standin(folder: Path) -> Path:
    """`folder/endless`: the stand-in's files with that one row changed."""
    made = folder / FOLDER_NAME
    shutil.copytree(ensure_expanded(folder), made)
    small = compact.read()
    tensors = {**small.tensors, compact.EMBEDDING: _embedding(small)}
    (made / "model.safetensors").write_bytes(compact.to_safetensors(tensors))
    return made


def _embedding(small: compact.Compact) -> NDArray[np.uint16]:
    """All rows, that of `</s>` equal to the row of every token that was not trained."""
    rows = small.tensors[compact.EMBEDDING]
    embedding = np.repeat(rows[-1:], VOCAB_SIZE, axis=0)
    embedding[small.kept_ids] = rows[:-1]
    embedding[EOS_ID] = rows[-1]
    return embedding
