"""Broken adapters and the phrase that their refusal must hold. Each differs from a good one in one thing."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.adapters.make import PREFIX, Q_A, Q_B, V_A, V_B, Adapter, file_bytes, good, module_tensors

Case = tuple[str, Callable[[], Adapter], str]


def with_config(**config: Any) -> Callable[[], Adapter]:
    return lambda: good(**config)


def without(*keys: str) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        for key in keys:
            del adapter.config[key]
        return adapter

    return build


def config_data(data: bytes) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        adapter.config_data = data
        return adapter

    return build


def config_with(fragment: str) -> Callable[[], Adapter]:
    """The good configuration's text with `fragment` as its first member."""
    text = json.dumps(good().config)
    return config_data(("{" + fragment + ", " + text[1:]).encode())


def with_tensor(name: str, values: np.ndarray, dtype: str = "F32") -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        adapter.tensors[name] = values
        adapter.dtypes[name] = dtype
        return adapter

    return build


def without_tensors(*names: str) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        for name in names or tuple(adapter.tensors):
            del adapter.tensors[name]
        return adapter

    return build


def one_value(name: str, value: float, dtype: str = "F32", **config: Any) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good(**config)
        adapter.tensors[name].flat[-1] = value
        adapter.dtypes[name] = dtype
        return adapter

    return build


def all_values(value: float) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        for values in adapter.tensors.values():
            values[:] = value
        return adapter

    return build


def header_change(change: Callable[[dict[str, Any]], object]) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        header = adapter.header()
        change(header)
        adapter.weights_data = file_bytes(json.dumps(header).encode(), adapter.data())
        return adapter

    return build


def entry(name: str, **fields: Any) -> Callable[[], Adapter]:
    return header_change(lambda header: header[name].update(fields))


def shifted(by: int) -> Callable[[], Adapter]:
    def change(header: dict[str, Any]) -> None:
        start, end = header[Q_B]["data_offsets"]
        header[Q_B]["data_offsets"] = [start + by, end + by]

    return header_change(change)


def file(build_bytes: Callable[[bytes, bytes], bytes]) -> Callable[[], Adapter]:
    """`build_bytes` gets the good header and the good data."""

    def build() -> Adapter:
        adapter = good()
        adapter.weights_data = build_bytes(json.dumps(adapter.header()).encode(), adapter.data())
        return adapter

    return build


def many_tensors() -> Adapter:
    adapter = good()
    adapter.tensors = {f"t{number}": np.zeros((1,)) for number in range(4097)}
    return adapter


def on_another_base() -> Adapter:
    adapter = good()
    adapter.tensors[Q_A] = np.zeros((4, 4096))
    return adapter


def renamed(old: str, new: str) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        adapter.tensors = {new if name == old else name: values for name, values in adapter.tensors.items()}
        return adapter

    return build


def mlx_config() -> Adapter:
    adapter = good()
    adapter.config = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": {"rank": 4, "scale": 2.0}}
    return adapter


def rank_64_by_expression() -> Adapter:
    adapter = good(rank_pattern={".*layers.0.*q_proj": 32})
    adapter.tensors |= module_tensors(0, "q_proj", 64)
    return adapter


RED_HERRING = "(((a+)+)+)+$"

CONFIG_CASES: list[Case] = [
    ("config empty", config_data(b""), "not strict JSON"),
    ("config cut off", config_data(b'{"r": 4'), "not strict JSON"),
    ("config is a list", config_data(b"[]"), "one JSON object"),
    ("config is too large", config_with('"revision": "' + "x" * 64_000 + '"'), "larger than 64000 bytes"),
    ("config is not UTF-8", config_data(b'{"r": "\xff"}'), "not strict JSON"),
    ("config has a byte order mark", config_data(b"\xef\xbb\xbf{}"), "not strict JSON"),
    ("config nested deeply", config_with('"x": ' + "[" * 20_000 + "]" * 20_000), "not strict JSON"),
    ("config has a lone surrogate", config_with('"revision": "\\ud800"'), "not strict JSON"),
    ("key twice", config_with('"r": 4'), "appears twice"),
    ("key twice inside", config_with('"rank_pattern": {"q_proj": 2, "q_proj": 4}'), "appears twice"),
    ("alpha NaN", config_with('"x": NaN'), "not strict JSON"),
    ("alpha overflows", config_with('"x": 1e999'), "not strict JSON"),
    ("alpha of 5000 digits", config_with('"x": 1' + "0" * 5000), "not strict JSON"),
    ("peft_type IA3", with_config(peft_type="IA3"), "peft_type must be LORA"),
    ("model_type llama", with_config(model_type="llama"), "model_type must be mistral"),
    ("model_type a list", with_config(model_type=["mistral"]), "model_type must be mistral"),
    ("task_type SEQ_CLS", with_config(task_type="SEQ_CLS"), "task_type must be"),
    ("r absent", without("r"), "r is absent"),
    ("r 0", with_config(r=0), "r is 0, must be a whole number from 1 to 32"),
    ("r 33", with_config(r=33), "r is 33, must be a whole number from 1 to 32"),
    ("r negative", with_config(r=-4), "r is -4"),
    ("r true", with_config(r=True), "r is not a number"),
    ("r a float", with_config(r=4.0), "r is 4.0"),
    ("r text", with_config(r="4"), "r is not a number"),
    ("alpha absent", without("lora_alpha"), "lora_alpha is absent"),
    ("alpha 0", with_config(lora_alpha=0), "lora_alpha is 0"),
    ("alpha negative", with_config(lora_alpha=-1.5), "lora_alpha is -1.5"),
    ("alpha 1e300", with_config(lora_alpha=1e300), "lora_alpha is 1e+300"),
    ("rslora a number", with_config(use_rslora=1), "use_rslora must be true or false"),
    ("targets unknown", with_config(target_modules=["q_proj", "qkv_proj"]), "does not name"),
    ("targets embeddings", with_config(target_modules=["q_proj", "embed_tokens"]), "does not name"),
    ("targets hold a number", with_config(target_modules=["q_proj", 5]), "holds something that is not text"),
    ("targets an object", with_config(target_modules={"q_proj": 1}), "target_modules must be a list"),
    ("no LoRA at all", without("peft_type", "r"), "peft_type must be LORA"),
    ("CorDA", with_config(init_lora_weights="corda"), "init_lora_weights must be"),
    ("LoftQ", with_config(init_lora_weights="loftq"), "init_lora_weights must be"),
    ("LoRA-GA", with_config(init_lora_weights="lora_ga"), "init_lora_weights must be"),
    ("KaSA", with_config(kasa_config={"beta": 1}), "KaSA computes with more"),
    ("MonteCLoRA", with_config(monteclora_config={"n": 1}), "monteclora_config must be null"),
    ("Arrow", with_config(arrow_config={"top_k": 3}), "arrow_config must be null"),
    ("a newer peft's switch", with_config(use_newlora=True), "use_newlora must be null"),
    ("a newer peft's configuration", with_config(newlora_config={"x": 1}), "newlora_config must be null"),
    ("a scale of somebody's own", with_config(scaling=2.0), "scaling must be null"),
    ("mlx-lm's own configuration", mlx_config, "is mlx-lm's configuration, not peft's"),
    ("alpha_pattern catastrophic", with_config(alpha_pattern={RED_HERRING: 4}), "not a literal module name"),
    ("rank_pattern 64", with_config(rank_pattern={"q_proj": 64}), "rank_pattern['q_proj'] is 64"),
    ("rank_pattern a list", with_config(rank_pattern=[4]), "rank_pattern must be an object"),
    ("alpha_pattern negative", with_config(alpha_pattern={"q_proj": -1}), "alpha_pattern['q_proj'] is -1"),
    ("bias all", with_config(bias="all"), "bias must be null, false or empty, none"),
    ("lora_bias", with_config(lora_bias=True), "lora_bias must be null"),
    ("DoRA", with_config(use_dora=True), "use_dora must be null"),
    ("QALoRA", with_config(use_qalora=True), "use_qalora must be null"),
    ("BD-LoRA", with_config(use_bdlora={"nblocks": 2}), "use_bdlora must be null"),
    ("PiSSA", with_config(init_lora_weights="pissa"), "init_lora_weights must be"),
    ("PiSSA with steps", with_config(init_lora_weights="pissa_niter_16"), "init_lora_weights must be"),
    ("OLoRA", with_config(init_lora_weights="olora"), "init_lora_weights must be"),
    ("layer_replication", with_config(layer_replication=[[0, 2]]), "layer_replication must be null"),
    ("aLoRA", with_config(alora_invocation_tokens=[1, 2]), "alora_invocation_tokens must be null"),
    ("trainable tokens", with_config(trainable_token_indices=[5]), "trainable_token_indices must be null"),
    ("target_parameters", with_config(target_parameters=["experts"]), "target_parameters must be null"),
    ("modules_to_save", with_config(modules_to_save=["lm_head"]), "modules_to_save must be null"),
    ("engine's own key", with_config(vllm_lora_scaling_factor=9.0), "vllm_lora_scaling_factor must be null"),
]

HEADER_CASES: list[Case] = [
    ("file empty", file(lambda header, data: b""), "too few for a safetensors header"),
    ("file of 7 bytes", file(lambda header, data: b"1234567"), "too few for a safetensors header"),
    ("header claims 2^64", file(lambda header, data: file_bytes(header, data, 2**64 - 1)), "at most 1000000"),
    (
        "header claims 1 MB and 1",
        file(lambda header, data: file_bytes(header, data, 1_000_001)),
        "at most 1000000",
    ),
    (
        "header claims past the end",
        file(lambda header, data: file_bytes(header, b"", 900_000)),
        "the file ends after",
    ),
    ("header of 0 bytes", file(lambda header, data: file_bytes(b"", data)), "one JSON object"),
    ("header a list", file(lambda header, data: file_bytes(b"[1]", data)), "one JSON object"),
    ("header no JSON", file(lambda header, data: file_bytes(b"{nonsense}", data)), "not strict JSON"),
    (
        "header begins with a space",
        file(lambda header, data: file_bytes(b" " + header, data)),
        "padded with spaces",
    ),
    (
        "header ends in zeros",
        file(lambda header, data: file_bytes(header + b"\0" * 8, data)),
        "padded with spaces",
    ),
    (
        "tensor twice",
        file(lambda header, data: file_bytes(header[:-1] + b', "__metadata__": {}}', data)),
        "appears twice",
    ),
    ("pickle", file(lambda header, data: b"\x80\x04\x95\x10\x00\x00\x00\x00" + data), "at most 1000000"),
    ("zip", file(lambda header, data: b"PK\x03\x04\x14\x00\x00\x00" + data), "header claims"),
    (
        "metadata too large",
        header_change(lambda h: h.update(__metadata__={"a": "x" * 64_000})),
        "at most 64000",
    ),
    ("metadata not texts", header_change(lambda h: h.update(__metadata__={"a": 1})), "object of texts"),
    ("metadata null", header_change(lambda h: h.update(__metadata__=None)), "object of texts"),
    ("4097 tensors", many_tensors, "4097 tensors, must be at most 4096"),
    ("name with a slash", renamed(Q_A, "../../etc/passwd"), "name must be letters"),
    ("name with a control character", renamed(Q_A, "a\x1b[31m"), "name must be letters"),
    ("name empty", renamed(Q_A, ""), "name must be letters"),
    ("dtype F64", entry(Q_A, dtype="F64"), "dtype is F64, must be F16, BF16 or F32"),
    ("dtype I8", entry(Q_A, dtype="I8"), "dtype is I8"),
    ("dtype F8_E4M3", entry(Q_A, dtype="F8_E4M3"), "dtype is F8_E4M3"),
    ("dtype a list", entry(Q_A, dtype=["F32"]), "dtype is no text"),
    ("entry a list", header_change(lambda h: h.update({Q_A: []})), "exactly dtype, shape and data_offsets"),
    ("entry with more", entry(Q_A, strides=[1]), "exactly dtype, shape and data_offsets"),
    ("entry without shape", header_change(lambda h: h[Q_A].pop("shape")), "exactly dtype, shape"),
    ("shape negative", entry(Q_A, shape=[-4, -32]), "none below 0"),
    ("shape of booleans", entry(Q_A, shape=[True, 128]), "none below 0"),
    ("shape a float", entry(Q_A, shape=[4.0, 32]), "none below 0"),
    ("shape of nine", entry(Q_A, shape=[1] * 9), "at most 8 whole numbers"),
    ("shape overflows 64 bits", entry(Q_A, shape=[2**59, 2**59]), "data_offsets span 512"),
    ("shape larger than the bytes", entry(Q_A, shape=[4, 33]), "needs 528 bytes, data_offsets span 512"),
    ("offsets one number", entry(Q_A, data_offsets=[0]), "two whole numbers"),
    ("offsets negative", entry(Q_A, data_offsets=[-512, 0]), "two whole numbers"),
    ("offsets backwards", entry(Q_A, data_offsets=[512, 0]), "data_offsets span -512"),
    ("offsets far past the end", entry(Q_A, shape=[4, 2**40], data_offsets=[0, 2**44]), "begins at byte"),
    ("offsets overlap", shifted(-4), "overlaps another tensor"),
    ("offsets leave a gap", shifted(4), "leaves a gap"),
    ("all offsets shifted", header_change(lambda h: h.pop(Q_A)), "begins at byte 512 of the data where 0"),
    ("data cut off", file(lambda header, data: file_bytes(header, data[:-1])), "the tensors end at byte"),
    (
        "data behind the end",
        file(lambda header, data: file_bytes(header, data + b"\0")),
        "the tensors end at byte",
    ),
]

TENSOR_CASES: list[Case] = [
    ("no tensors", without_tensors(), "holds no tensor"),
    ("A without B", without_tensors(Q_B), "has no lora_B beside it"),
    ("B without A", without_tensors(V_A), "has no lora_A beside it"),
    (
        "another base's width",
        on_another_base,
        "shape [4, 4096] found, [r, 32] expected by this server's base tiny-",
    ),
    (
        "another base's layers",
        with_tensor(f"{PREFIX}.2.mlp.up_proj.lora_A.weight", np.zeros((4, 32))),
        "layers 0 to 1",
    ),
    ("layer 007", renamed(Q_A, Q_A.replace("layers.0", "layers.007")), "is not a lora_A or lora_B weight"),
    ("B transposed", with_tensor(V_B, np.zeros((4, 16))), "shape [4, 16] found, [16, r] expected"),
    ("A of one dimension", with_tensor(Q_A, np.zeros((128,))), "shape [128] found"),
    ("A of three dimensions", with_tensor(Q_A, np.zeros((4, 32, 1))), "shape [4, 32, 1] found"),
    ("A empty", with_tensor(Q_A, np.zeros((0, 32))), "shape [0, 32] found"),
    ("ranks of A and B differ", with_tensor(Q_B, np.zeros((32, 8))), "has rank 8, its lora_A has rank 4"),
    ("rank not the configuration's", with_config(r=8), "has rank 4, adapter_config.json says 8"),
    (
        "rank 64 behind r 4",
        lambda: _with_module(module_tensors(0, "q_proj", 64)),
        "has rank 64, adapter_config.json",
    ),
    (
        "pattern not followed",
        with_config(rank_pattern={"q_proj": 2}),
        "has rank 4, adapter_config.json says 2",
    ),
    (
        "unknown module",
        with_tensor(Q_A.replace("q_proj", "w_proj"), np.zeros((4, 32))),
        "is not a lora_A or lora_B weight",
    ),
    ("q_proj in the mlp", renamed(Q_A, Q_A.replace("self_attn", "mlp")), "is not a lora_A or lora_B weight"),
    (
        "embedding",
        with_tensor("base_model.model.lm_head.lora_A.weight", np.zeros((4, 32))),
        "the output layer",
    ),
    (
        "full weight",
        with_tensor(Q_A.replace(".lora_A", ""), np.zeros((32, 32))),
        "is a weight of the base and no lora_A or lora_B weight",
    ),
    (
        "bias",
        with_tensor(Q_B.replace("weight", "bias"), np.zeros((32,))),
        "is a bias; train with bias='none'",
    ),
    (
        "DoRA vector",
        with_tensor(Q_A.replace("lora_A.weight", "lora_magnitude_vector"), np.zeros((32,))),
        "is the magnitude of a DoRA",
    ),
    ("two adapters", renamed(Q_A, Q_A.replace("lora_A", "lora_A.other")), "several adapters"),
    (
        "one module twice",
        with_tensor(Q_A.removeprefix("base_model.model."), np.zeros((4, 32))),
        "is for the same module and side as base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
    ),
    (
        "a vision model's tower",
        renamed(Q_A, f"vision_tower.{Q_A}"),
        "is not a lora_A or lora_B weight of a module that can have one",
    ),
    ("rank 64 by an expression", rank_64_by_expression, "has rank 64, must be at most 32"),
    ("module outside target_modules", with_config(target_modules=["q_proj"]), "does not name"),
    ("NaN in F32", one_value(V_B, np.nan), "holds NaN, must be finite"),
    ("NaN in F16", one_value(V_B, np.nan, "F16"), "holds NaN, must be finite"),
    ("NaN in BF16", one_value(V_B, np.nan, "BF16"), "holds NaN, must be finite"),
    ("infinity", one_value(Q_A, np.inf), "holds an infinite value"),
    ("minus infinity in BF16", one_value(Q_A, -np.inf, "BF16"), "holds an infinite value"),
    ("1e30", one_value(Q_B, 1e30), "holds a value of 1e+30 at scale 2"),
    ("-1e30 in BF16", one_value(Q_B, -1e30, "BF16"), "at scale 2, must be at most 10000"),
    ("65504 in F16", one_value(Q_A, 65504, "F16"), "holds a value of 65504"),
    ("just too large with the scale", one_value(Q_B, 5001), "holds a value of 5001 at scale 2"),
    (
        "too large with rank stabilisation",
        one_value(Q_B, 2501, use_rslora=True),
        "holds a value of 2501 at scale 4",
    ),
    (
        "too large by alpha_pattern",
        one_value(Q_B, 51, alpha_pattern={"q_proj": 800}),
        "holds a value of 51 at scale 200",
    ),
    ("huge behind a tiny scale", one_value(Q_B, 1e30, lora_alpha=1e-30), "holds a value of 1e+30"),
    ("5000 throughout", all_values(5000), "norm of A times norm of B times scale"),
]


def _with_module(tensors: dict[str, np.ndarray]) -> Adapter:
    adapter = good()
    adapter.tensors |= tensors
    return adapter


CASES = CONFIG_CASES + HEADER_CASES + TENSOR_CASES
