"""What the engine file uses of vLLM, in one import. Only `app.engines.vllm.engine` imports this, in a thread."""

from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMError
from vllm.inputs import tokens_input
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine import FinishReason
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.detokenizer import IncrementalDetokenizer
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.logprobs import LogprobsProcessor

__all__ = [
    "AsyncEngineArgs",
    "AsyncLLM",
    "EngineDeadError",
    "FinishReason",
    "IncrementalDetokenizer",
    "LoRARequest",
    "LogprobsProcessor",
    "RequestOutputKind",
    "SamplingParams",
    "StructuredOutputsParams",
    "VLLMError",
    "current_platform",
    "tokens_input",
]
