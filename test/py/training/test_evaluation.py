"""What a rank does in an evaluation: waits for orders, works for a pool, refuses sharded weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quarry_runtime.errors import ConfigError
from quarry_runtime.protocol.messages import Evaluate, Evaluation
from quarry_runtime.training.evaluation import Pause, is_due, refuse_sharded


@pytest.mark.parametrize(("eval_steps", "due"), [(2, [2, 4, 5]), (5, [5]), (10, [5]), (None, [])])
def test_every_nth_checkpoint_and_the_last_one_are_evaluated(
    eval_steps: int | None, due: list[int]
) -> None:
    task: Any = SimpleNamespace(eval_steps=eval_steps, max_steps=5)
    assert [step for step in range(1, 6) if is_due(task, step)] == due


def test_ranks_that_hold_parts_of_the_weights_do_not_evaluate() -> None:
    trainer = SimpleNamespace(is_fsdp_enabled=False)
    task: Any = SimpleNamespace(is_evaluating=True)
    refuse_sharded(task, trainer)
    trainer.is_fsdp_enabled = True
    with pytest.raises(ConfigError) as raised:
        refuse_sharded(task, trainer)
    assert raised.value.hint == 'Set train.evaluate.mode to "workers".'
    refuse_sharded(SimpleNamespace(is_evaluating=False), trainer)  # type: ignore[arg-type]


class Feed:
    """Hands out orders in turn."""

    def __init__(self, *orders: Evaluation) -> None:
        self.orders = list(orders)

    def next_order(self) -> Evaluation:
        return self.orders.pop(0)


def test_a_ticket_that_is_gone_ends_neither_the_pause_nor_the_rank(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[Any] = []
    connection: Any = SimpleNamespace(send=said.append)
    feed: Any = Feed(
        Evaluation(ticket_path="/nowhere/ticket.json", is_last=False),
        Evaluation(ticket_path=None, is_last=True),
    )
    pause = Pause(connection, feed, 1, None, 1, lambda: None)
    assert pause(4) is True
    assert said == [Evaluate(step=4)]
    assert "The ticket /nowhere/ticket.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("trained", ["tf32", "none"])
def test_products_are_whole_in_a_pause_and_as_training_wants_them_after_it(
    trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    matmul: Any = torch.backends.cuda.matmul
    seen: list[str] = []

    class Loop:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def run(self) -> None:
            seen.append(matmul.fp32_precision)

    monkeypatch.setattr("quarry_runtime.loop.Loop", Loop)
    connection = SimpleNamespace(send=lambda _: None, close=lambda: None)
    monkeypatch.setattr("quarry_runtime.training.evaluation.Connection", lambda *_: connection)
    feed: Any = Feed(
        Evaluation(ticket_path="ticket.json", is_last=False),
        Evaluation(ticket_path=None, is_last=False),
    )
    before, matmul.fp32_precision = matmul.fp32_precision, trained
    try:
        Pause(connection, feed, 1, None, 1, lambda: None)(4)  # type: ignore[arg-type]
        assert (seen, matmul.fp32_precision) == (["ieee"], trained)
    finally:
        matmul.fp32_precision = before
