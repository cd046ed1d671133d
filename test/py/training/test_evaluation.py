"""What a rank does in an evaluation: waits for orders, works for a pool, refuses sharded weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from quarry_runtime.errors import ConfigError
from quarry_runtime.protocol.messages import Evaluate, Evaluation
from quarry_runtime.training.evaluation import Pause, is_due, refuse_sharded


@pytest.mark.parametrize(("eval_steps", "due"), [(2, [2, 4, 5]), (5, [5]), (10, [5]), (None, [])])
def test_every_nth_checkpoint_and_the_last_one_are_evaluated(
    eval_steps: int | None, due: list[int]
) -> None:
    task: Any = SimpleNamespace(eval_steps=eval_steps, max_steps=5)
    assert [step for step in range(1, 6) if is_due(task, step)] == due


@pytest.mark.parametrize("kind", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_ranks_that_hold_parts_of_the_weights_do_not_evaluate(kind: str) -> None:
    trainer = SimpleNamespace(is_fsdp_enabled=False, is_deepspeed_enabled=False)
    task: Any = SimpleNamespace(is_evaluating=True)
    refuse_sharded(task, trainer)
    setattr(trainer, kind, True)
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
