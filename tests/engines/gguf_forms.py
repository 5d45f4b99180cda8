"""The twelve quantizations of the GGUF files, made of an F16 one as people make them: with llama.cpp's own routines.

The package `gguf` can write five of the types; `ggml_quantize_chunk` of xllamacpp's library writes them all (ggml.h).
A form is a mixture: matrices that suffer most get more bits. Which, llama.cpp decides by layer (src/llama-quant.cpp,
`llama_tensor_get_type_impl`); here that is written down for three layers.
"""

import ctypes
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray

MORE_BITS: Final = {"blk.2.attn_v": "Q6_K", "blk.2.ffn_down": "Q6_K"}
FORMS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = MappingProxyType(
    {
        "Q2_K": ("Q2_K", {"attn_v": "Q4_K", "ffn_down": "Q3_K", "attn_output": "Q3_K"}),
        "Q3_K_S": ("Q3_K", {}),
        "Q3_K_M": (
            "Q3_K",
            {"attn_v": "Q5_K", "blk.2.attn_v": "Q4_K", "ffn_down": "Q4_K", "attn_output": "Q4_K"},
        ),
        "Q3_K_L": ("Q3_K", {"attn_v": "Q5_K", "ffn_down": "Q5_K", "attn_output": "Q5_K"}),
        "Q4_0": ("Q4_0", {}),
        "Q4_K_S": ("Q4_K", {"attn_v": "Q5_K"}),
        "Q4_K_M": ("Q4_K", MORE_BITS),
        "Q5_0": ("Q5_0", {}),
        "Q5_K_S": ("Q5_K", {}),
        "Q5_K_M": ("Q5_K", MORE_BITS),
        "Q6_K": ("Q6_K", {}),
        "Q8_0": ("Q8_0", {}),
    }
)
"""The type of most matrices, and that of others, by the matrix or by layer and matrix. The attention values of Q2_K are
those of a model with four heads to each key, which Mistral has.
"""

EMBEDDING: Final = "token_embd"
EMBEDDING_TYPE: Final = "Q6_K"
"""Where it is the output too. Q8_0 keeps it as it keeps everything."""

SKIPPED: Final = ("GGUF.", "general.architecture", "general.file_type")


class Forms:
    """Of `source`, an F16 or F32 file of three layers. A matrix is quantized once for all forms that have it alike."""

    def __init__(self, source: Path) -> None:
        self._reader = gguf.GGUFReader(source)
        self._chunk = _quantize_chunk()
        self._done: dict[tuple[str, str], NDArray[np.uint8]] = {}

    def write(self, path: Path, form: str) -> Path:
        """Norms stay as they are."""
        fields = self._reader.fields
        writer = gguf.GGUFWriter(path, fields["general.architecture"].contents())
        for name, field in fields.items():
            if not name.startswith(SKIPPED):
                writer.add_key_value(name, field.contents(), field.types[0], sub_type=field.types[-1])
        for tensor in self._reader.tensors:
            if len(tensor.shape) == 1:
                writer.add_tensor(tensor.name, tensor.data)
            else:
                kind = kind_of(form, tensor.name.removesuffix(".weight"))
                number = gguf.GGMLQuantizationType[kind]
                writer.add_tensor(tensor.name, self._quantized(tensor, kind), raw_dtype=number)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _quantized(self, tensor: Any, kind: str) -> NDArray[np.uint8]:
        """The bytes of each row; the columns fill blocks."""
        if (tensor.name, kind) not in self._done:
            number = gguf.GGMLQuantizationType[kind]
            rows = np.ascontiguousarray(tensor.data, np.float32)
            values, size = gguf.GGML_QUANT_SIZES[number]
            assert rows.shape[1] % values == 0
            out = np.zeros((rows.shape[0], rows.shape[1] // values * size), np.uint8)
            written = self._chunk(int(number), rows.ctypes.data, out.ctypes.data, 0, *rows.shape, None)
            assert written == out.nbytes
            self._done[tensor.name, kind] = out
        return self._done[tensor.name, kind]


def kind_of(form: str, matrix: str) -> str:
    """`matrix` is a tensor's name without its `.weight`."""
    base, others = FORMS[form]
    if matrix == EMBEDDING:
        return base if base == "Q8_0" else EMBEDDING_TYPE
    return others.get(matrix) or others.get(matrix.rsplit(".", 1)[-1], base)


def _quantize_chunk() -> Any:
    spec = importlib.util.find_spec("xllamacpp.xllamacpp")
    assert spec is not None
    assert spec.origin is not None
    chunk = ctypes.CDLL(spec.origin).ggml_quantize_chunk
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    return chunk
