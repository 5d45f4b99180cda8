"""app.engines.vllm.high_temperature on real tensors, through the interfaces by which vLLM's two model runners call it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality
from vllm.v1.sample.logits_processor import LogitsProcessor as ProcessorV1
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as ProcessorV2

from app.engines.vllm.args import hot_processor
from app.engines.vllm.high_temperature import HighTemperatureProcessor, HighTemperatureProcessorV2
from app.engines.vllm.sampling_params import to_vllm
from app.types import Sampling

ROWS, VOCABULARY = 5, 1000
CPU = torch.device("cpu")


def params(temperature: float) -> SamplingParams:
    return SamplingParams(**to_vllm(Sampling(max_tokens=1, temperature=temperature)))


def random_logits() -> torch.Tensor:
    logits = torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 7
    logits[:, 3] = -float("inf")  # a token that a grammar forbids
    return logits


def assert_divided(result: torch.Tensor, divisors: dict[int, float]) -> None:
    """Rows in `divisors` are divided by them, every other row has the same bits as before."""
    before = random_logits()
    for row in range(ROWS):
        assert torch.equal(result[row], before[row] / divisors[row] if row in divisors else before[row]), row


class TestV1:
    @pytest.fixture
    def processor(self) -> HighTemperatureProcessor:
        return HighTemperatureProcessor(SimpleNamespace(), CPU, False)

    @staticmethod
    def update(
        processor: HighTemperatureProcessor, *, added: dict[int, float] | None = None, **changes: Any
    ) -> None:
        rows: list[tuple[Any, ...]] = [
            (row, params(temperature), [1], []) for row, temperature in (added or {}).items()
        ]
        processor.update_state(
            BatchUpdate(**{"batch_size": ROWS, "removed": [], "moved": [], **changes, "added": rows})
        )

    def test_is_what_the_runner_asks_for(self, processor: HighTemperatureProcessor) -> None:
        assert isinstance(processor, ProcessorV1)
        assert processor.is_argmax_invariant()

    def test_hot_rows_are_divided(self, processor: HighTemperatureProcessor) -> None:
        self.update(processor, added={0: 0.6, 1: 5.0, 2: 0.0, 3: 2.5, 4: 2.0})
        assert_divided(processor.apply(random_logits()), {1: 5.0, 3: 2.5})

    def test_stays_without_an_update(self, processor: HighTemperatureProcessor) -> None:
        self.update(processor, added={1: 5.0})
        processor.update_state(None)
        assert_divided(processor.apply(random_logits()), {1: 5.0})

    def test_a_new_request_takes_over_a_row(self, processor: HighTemperatureProcessor) -> None:
        self.update(processor, added={1: 5.0, 2: 3.0})
        self.update(processor, added={1: 1.0, 2: 4.0})
        assert_divided(processor.apply(random_logits()), {2: 4.0})

    def test_removed(self, processor: HighTemperatureProcessor) -> None:
        self.update(processor, added={1: 5.0, 2: 3.0})
        self.update(processor, removed=[1])
        assert_divided(processor.apply(random_logits()), {2: 3.0})
        self.update(processor, removed=[2])
        assert_divided(processor.apply(random_logits()), {})

    def test_moved(self, processor: HighTemperatureProcessor) -> None:
        self.update(processor, added={4: 5.0})
        self.update(processor, removed=[0], moved=[(4, 0, MoveDirectionality.UNIDIRECTIONAL)])
        assert_divided(processor.apply(random_logits()), {0: 5.0})

    def test_swapped(self, processor: HighTemperatureProcessor) -> None:
        self.update(processor, added={1: 5.0, 2: 3.0, 3: 0.6})
        self.update(processor, moved=[(1, 2, MoveDirectionality.SWAP)])
        assert_divided(processor.apply(random_logits()), {1: 3.0, 2: 5.0})
        self.update(processor, moved=[(1, 3, MoveDirectionality.SWAP)])
        assert_divided(processor.apply(random_logits()), {2: 5.0, 3: 3.0})


class TestV2:
    """Slots are persistent, rows are this step's: `rows` maps one to the other."""

    SLOTS = 8

    @pytest.fixture
    def processor(self) -> HighTemperatureProcessorV2:
        return HighTemperatureProcessorV2(
            SimpleNamespace(), SimpleNamespace(max_num_reqs=self.SLOTS, device=CPU)
        )

    @staticmethod
    def add(processor: HighTemperatureProcessorV2, temperatures: dict[int, float]) -> dict[int, bool]:
        wanted = {slot: processor.add_request(slot, params(value)) for slot, value in temperatures.items()}
        processor.apply_staged_writes()
        return wanted

    @staticmethod
    def apply(
        processor: HighTemperatureProcessorV2, rows: list[int], batch: list[int] | None = None
    ) -> torch.Tensor:
        """`rows`: slot of each row. `batch`: slot of each request, when requests have several rows."""
        slots, empty = torch.tensor(batch or rows), torch.zeros(len(rows), dtype=torch.int64)
        context = LogitsContext(
            expanded_idx_mapping=torch.tensor(rows),
            idx_mapping=slots,
            idx_mapping_np=slots.numpy(),
            expanded_local_pos=empty,
            input_ids=empty,
            pos=empty,
            seq_lens_upper_bound_np=np.zeros(len(slots), dtype=np.int32),
        )
        return processor.apply(random_logits(), context)

    def test_is_what_the_runner_asks_for(self, processor: HighTemperatureProcessorV2) -> None:
        assert isinstance(processor, ProcessorV2)

    def test_says_which_requests_it_changes(self, processor: HighTemperatureProcessorV2) -> None:
        assert self.add(processor, {0: 5.0, 1: 2.0, 2: 0.0}) == {0: True, 1: False, 2: False}

    def test_hot_rows_are_divided(self, processor: HighTemperatureProcessorV2) -> None:
        self.add(processor, {7: 5.0, 2: 0.6, 3: 2.5, 1: 0.0, 0: 1.0})
        assert_divided(self.apply(processor, [2, 7, 1, 3, 0]), {1: 5.0, 3: 2.5})

    def test_several_rows_of_one_request(self, processor: HighTemperatureProcessorV2) -> None:
        self.add(processor, {7: 5.0, 2: 0.6})
        assert_divided(self.apply(processor, [2, 7, 7, 7, 2], batch=[2, 7]), {1: 5.0, 2: 5.0, 3: 5.0})

    def test_a_new_request_takes_over_a_slot(self, processor: HighTemperatureProcessorV2) -> None:
        self.add(processor, {7: 5.0, 2: 3.0})
        self.add(processor, {7: 0.6, 2: 4.0})
        assert_divided(self.apply(processor, [7, 2, 0, 1, 3]), {1: 4.0})

    def test_hot_slots_outside_the_step_change_nothing(self, processor: HighTemperatureProcessorV2) -> None:
        self.add(processor, {7: 5.0})
        assert_divided(self.apply(processor, [0, 1, 2, 3, 4]), {})


def test_names_lead_to_the_classes() -> None:
    assert (
        hot_processor(v2_model_runner=False)
        == f"{HighTemperatureProcessor.__module__}:{HighTemperatureProcessor.__qualname__}"
    )
    assert (
        hot_processor(v2_model_runner=True)
        == f"{HighTemperatureProcessorV2.__module__}:{HighTemperatureProcessorV2.__qualname__}"
    )
