"""vLLM's CPU platform with our LoRA computation. Imported by vLLM, by name (`app.engines.vllm.cpu_plugin`)."""

from app.engines.vllm.compat import CpuPlatform


class BatchedLoraCpuPlatform(CpuPlatform):  # type: ignore[misc]  # mypy does not follow vllm
    """Differs in nothing else."""

    @classmethod
    def get_punica_wrapper(cls) -> str:
        return "app.engines.vllm.cpu_lora.BatchedPunicaWrapper"
