"""Every message on the wire, written by scripts/gen-protocol.mjs; do not edit.

src/protocol/messages.ts is the source and says what each message means. `up` is worker or rank to
orchestrator, `down` the other way. Attributes are the wire's names in snake_case.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

PROTOCOL_VERSION: Final = 7

EXIT_STATUS: Final[dict[str, int]] = {
    "INTERNAL": 1,
    "CONFIG": 2,
    "DATA": 3,
    "ENVIRONMENT": 4,
    "WORKER": 5,
    "INTEGRITY": 6,
    "PROTOCOL": 7,
    "INTERRUPTED": 130,
}

Count = Annotated[int, Meta(ge=0, le=9007199254740991)]
Row = Annotated[int, Meta(ge=0, le=2147483647)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(max_length=65536)]
Path = Annotated[str, Meta(min_length=1, max_length=4096)]


class TensorSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`TensorSpec` of messages.ts."""

    dtype: Literal["float32", "float16", "bfloat16", "int32", "int8", "uint8"]
    shape: Annotated[list[Count], Meta(max_length=4)]
    frame: Annotated[int, Meta(ge=1, le=16)]


class AdapterSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`AdapterSpec` of messages.ts."""

    r: Annotated[int, Meta(ge=1, le=65536)]
    alpha: float
    dropout: float
    target_modules: Annotated[list[Name], Meta(min_length=1, max_length=64)] | None
    rslora: bool
    dora: bool
    base_dtype: Literal["float32", "bfloat16"]


class PluginFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`PluginFile` of messages.ts."""

    path: Path
    sha256: Name | None


class ModelSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`ModelSpec` of messages.ts."""

    checkpoint: Path
    revision: Name | None
    trust_remote_code: bool
    encoder: Name
    encoder_options: dict[str, Any]
    plugins: Annotated[list[PluginFile], Meta(max_length=64)]
    pooling: Name | None
    normalize: bool | None
    similarity: Name | None
    query_prompt: Text | None
    passage_prompt: Text | None
    query_max_length: Annotated[int, Meta(ge=1, le=1000000)] | None
    passage_max_length: Annotated[int, Meta(ge=1, le=1000000)] | None
    append_eos: bool | None
    pad_to_multiple_of: Annotated[int, Meta(ge=1, le=1024)] | None
    towers: Literal["tied", "separate"] | None
    query_checkpoint: Path | None
    query_revision: Name | None
    adapter: AdapterSpec | None
    quantization: Literal["8bit", "4bit"] | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"]


class ModelContract(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`ModelContract` of messages.ts."""

    checkpoint: Path
    architecture: Name
    dimension: Count
    pooling: Name
    normalize: bool
    similarity: Name
    query_prompt: Text
    passage_prompt: Text
    query_max_length: Count
    passage_max_length: Count
    padding_side: Literal["left", "right"]
    dtype: Literal["float32", "bfloat16", "float16"]
    parameter_count: Count
    revision: Name | None
    fingerprint: Name


class CrossEncoderSpec(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`CrossEncoderSpec` of messages.ts."""

    checkpoint: Path
    revision: Name | None
    trust_remote_code: bool
    max_length: Annotated[int, Meta(ge=1, le=1000000)] | None
    activation: Literal["identity", "sigmoid", "softmax"] | None
    label: Count | None
    template: Text | None
    prompt: Text | None
    true_token: Name | None
    false_token: Name | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"]


class CrossEncoderContract(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`CrossEncoderContract` of messages.ts."""

    checkpoint: Path
    architecture: Name
    label_count: Count
    label: Count
    max_length: Count
    activation: Literal["identity", "sigmoid", "softmax"]
    template: Text | None
    tokens: Annotated[list[Count], Meta(max_length=2)]
    dtype: Literal["float32", "bfloat16", "float16"]
    parameter_count: Count
    revision: Name | None
    fingerprint: Name


class ErrorInfo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`ErrorInfo` of messages.ts."""

    code: Literal[
        "INTERNAL",
        "CONFIG",
        "DATA",
        "ENVIRONMENT",
        "WORKER",
        "INTEGRITY",
        "PROTOCOL",
        "INTERRUPTED",
    ]
    message: Text
    hint: Text | None
    is_retryable: bool
    rows: Annotated[list[Row], Meta(max_length=1000)]


class Scoring(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`Scoring` of messages.ts."""

    similarity: Name
    is_normalizing: bool
    plugins: Annotated[list[PluginFile], Meta(max_length=64)]


class MatryoshkaSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`MatryoshkaSpec` of messages.ts."""

    dimensions: Annotated[list[Count], Meta(min_length=1, max_length=64)]
    weights: Annotated[list[float], Meta(max_length=64)]


class LossSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`LossSpec` of messages.ts."""

    name: Name
    weight: float
    sources: Annotated[list[Name], Meta(max_length=1000)]
    matryoshka: MatryoshkaSpec | None
    options: dict[str, Any]


class RetrieverSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`RetrieverSpec` of messages.ts."""

    name: Name
    options: dict[str, Any]


class EncodeTask(
    Struct,
    tag_field="kind",
    tag="encode",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`EncodeTask` of messages.ts."""

    model: ModelSpec
    side: Literal["query", "passage"]
    batch_size: Annotated[int, Meta(ge=1, le=65536)]
    vector_dtype: Literal["float32", "float16", "bfloat16", "int8"]


class SearchTask(
    Struct,
    tag_field="kind",
    tag="search",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`SearchTask` of messages.ts."""

    model: ModelSpec | None
    files: Annotated[list[Path], Meta(max_length=1000)]
    vector_dtype: Literal["float32", "float16", "bfloat16", "int8"]
    scoring: Scoring
    tracked_count: Count
    batch_size: Annotated[int, Meta(ge=1, le=65536)]
    top_k: Annotated[int, Meta(ge=1, le=1000000)]
    query_count: Count
    dimension: Count
    snapshot_every_units: Annotated[int, Meta(ge=1, le=1000)]


class ScoreTask(
    Struct,
    tag_field="kind",
    tag="score",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`ScoreTask` of messages.ts."""

    model: CrossEncoderSpec
    batch_size: Annotated[int, Meta(ge=1, le=65536)]


class ProbeTask(
    Struct,
    tag_field="kind",
    tag="probe",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`ProbeTask` of messages.ts."""

    model: ModelSpec
    side: Literal["query", "passage"]
    max_batch_size: Annotated[int, Meta(ge=1, le=65536)]


class ProbeScoreTask(
    Struct,
    tag_field="kind",
    tag="probeScore",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`ProbeScoreTask` of messages.ts."""

    model: CrossEncoderSpec
    max_batch_size: Annotated[int, Meta(ge=1, le=65536)]


class TrainTask(
    Struct,
    tag_field="kind",
    tag="train",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`TrainTask` of messages.ts."""

    model: ModelSpec
    losses: Annotated[list[LossSpec], Meta(min_length=1, max_length=64)]
    sources: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    retriever: RetrieverSpec | None
    args: dict[str, Any]
    output_dir: Path
    max_steps: Annotated[int, Meta(ge=1, le=9007199254740991)]
    queries_per_rank: Annotated[int, Meta(ge=1, le=9007199254740991)]
    passages_per_query: Annotated[int, Meta(ge=1, le=9007199254740991)]
    accumulation_steps: Annotated[int, Meta(ge=1, le=9007199254740991)]
    mini_batch_size: Annotated[int, Meta(ge=1, le=9007199254740991)] | None
    length_groups: Annotated[int, Meta(ge=1, le=9007199254740991)] | None
    seed: Annotated[int, Meta(ge=0, le=4294967295)]
    resume_from: Path | None
    is_dropout_on: bool
    checkpoint_every: Annotated[int, Meta(ge=1, le=9007199254740991)] | None
    eval_steps: Annotated[int, Meta(ge=1, le=9007199254740991)] | None
    is_evaluating: bool


Task = EncodeTask | SearchTask | ScoreTask | ProbeTask | ProbeScoreTask | TrainTask


class SnapshotUnit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`SnapshotUnit` of messages.ts."""

    unit: Name
    attempt: Count


class ProbedSize(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`ProbedSize` of messages.ts."""

    batch_size: Annotated[int, Meta(ge=1, le=65536)]
    texts_per_second: float


class ModelFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`ModelFile` of messages.ts."""

    path: Path
    bytes: Count
    sha256: Name


class WorkerRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`WorkerRow` of messages.ts."""

    name: Name
    host: Name
    device: Name
    state: Name
    done_rows: Count


class Hello(
    Struct,
    tag_field="type",
    tag="hello",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`hello`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    role: Literal["worker", "rank", "control"]
    name: Name
    token: Name
    life: Name
    pid: Count
    host: Name
    device: Name
    device_name: Name
    rank: Count
    world_size: Count


class Ready(
    Struct,
    tag_field="type",
    tag="ready",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`ready`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    model: ModelContract | None
    cross_encoder: CrossEncoderContract | None
    credits: Annotated[int, Meta(ge=1, le=1024)]


class Result(
    Struct,
    tag_field="type",
    tag="result",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`result`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    unit: Name
    attempt: Count
    tensor: TensorSpec
    scales: TensorSpec | None
    seconds: float


class Probed(
    Struct,
    tag_field="type",
    tag="probed",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`probed`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    unit: Name
    attempt: Count
    sizes: Annotated[list[ProbedSize], Meta(min_length=1, max_length=32)]
    seconds: float


class Done(
    Struct,
    tag_field="type",
    tag="done",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`done`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    unit: Name
    attempt: Count
    seconds: float


class Snapshot(
    Struct,
    tag_field="type",
    tag="snapshot",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`snapshot`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    units: Annotated[list[SnapshotUnit], Meta(max_length=1000)]
    scores: TensorSpec
    rows: TensorSpec
    tracked: TensorSpec | None


class Failed(
    Struct,
    tag_field="type",
    tag="failed",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`failed`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    unit: Name
    attempt: Count
    error: ErrorInfo


class Heartbeat(
    Struct,
    tag_field="type",
    tag="heartbeat",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`heartbeat`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    progress: Count


class Log(
    Struct,
    tag_field="type",
    tag="log",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`log`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    level: Literal["debug", "info", "warning", "error"]
    text: Text


class Fatal(
    Struct,
    tag_field="type",
    tag="fatal",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`fatal`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    error: ErrorInfo
    query_rows: Annotated[list[Row], Meta(max_length=100)]
    passage_rows: Annotated[list[Row], Meta(max_length=100)]


class Bye(
    Struct,
    tag_field="type",
    tag="bye",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`bye`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    reason: Text


class Leave(
    Struct,
    tag_field="type",
    tag="leave",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`leave`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    reason: Text


class Fetch(
    Struct,
    tag_field="type",
    tag="fetch",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`fetch`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    checkpoint: Path
    file: Path
    offset: Count


class Control(
    Struct,
    tag_field="type",
    tag="control",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`control`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    action: Literal["list", "drain"]
    worker: Name | None


class Next(
    Struct,
    tag_field="type",
    tag="next",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`next`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count
    micro_step: Count


class TrainStep(
    Struct,
    tag_field="type",
    tag="trainStep",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`trainStep`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count
    loss: float
    learning_rate: float
    grad_norm: float | None
    seconds: float
    wait_seconds: float


class Sealing(
    Struct,
    tag_field="type",
    tag="sealing",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`sealing`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count


class Checkpoint(
    Struct,
    tag_field="type",
    tag="checkpoint",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`checkpoint`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count
    path: Path


class Evaluate(
    Struct,
    tag_field="type",
    tag="evaluate",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`evaluate`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count


class Trained(
    Struct,
    tag_field="type",
    tag="trained",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`trained`, up."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count
    path: Path


class Refuse(
    Struct,
    tag_field="type",
    tag="refuse",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`refuse`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    error: ErrorInfo


class Configure(
    Struct,
    tag_field="type",
    tag="configure",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`configure`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    task: Task


class Queries(
    Struct,
    tag_field="type",
    tag="queries",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`queries`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    first_row: Count
    tensor: TensorSpec


class Tracked(
    Struct,
    tag_field="type",
    tag="tracked",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`tracked`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    queries: TensorSpec
    rows: TensorSpec


class Unit(
    Struct,
    tag_field="type",
    tag="unit",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`unit`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    unit: Name
    attempt: Count
    row_count: Count


class Flush(
    Struct,
    tag_field="type",
    tag="flush",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`flush`, down."""

    v: Literal[7] = PROTOCOL_VERSION


class Welcome(
    Struct,
    tag_field="type",
    tag="welcome",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`welcome`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    name: Name


class Files(
    Struct,
    tag_field="type",
    tag="files",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`files`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    checkpoint: Path
    files: Annotated[list[ModelFile], Meta(max_length=1000)]


class Piece(
    Struct,
    tag_field="type",
    tag="piece",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`piece`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    file: Path
    offset: Count


class Controlled(
    Struct,
    tag_field="type",
    tag="controlled",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`controlled`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    is_done: bool
    text: Text
    workers: Annotated[list[WorkerRow], Meta(max_length=1000)]


class Ping(
    Struct,
    tag_field="type",
    tag="ping",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`ping`, down."""

    v: Literal[7] = PROTOCOL_VERSION


class Drain(
    Struct,
    tag_field="type",
    tag="drain",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`drain`, down."""

    v: Literal[7] = PROTOCOL_VERSION


class MicroBatch(
    Struct,
    tag_field="type",
    tag="microBatch",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`microBatch`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count
    micro_step: Count
    positive_columns: TensorSpec
    mask: TensorSpec
    labels: TensorSpec
    counts: TensorSpec
    sources: TensorSpec


class Seal(
    Struct,
    tag_field="type",
    tag="seal",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`seal`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    step: Count


class Evaluation(
    Struct,
    tag_field="type",
    tag="evaluation",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`evaluation`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    ticket_path: Path | None
    is_last: bool


class StopTraining(
    Struct,
    tag_field="type",
    tag="stopTraining",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """`stopTraining`, down."""

    v: Literal[7] = PROTOCOL_VERSION
    save: bool
    ends_batches: bool


UpMessage = (
    Hello
    | Ready
    | Result
    | Probed
    | Done
    | Snapshot
    | Failed
    | Heartbeat
    | Log
    | Fatal
    | Bye
    | Leave
    | Fetch
    | Control
    | Next
    | TrainStep
    | Sealing
    | Checkpoint
    | Evaluate
    | Trained
)

DownMessage = (
    Refuse
    | Configure
    | Queries
    | Tracked
    | Unit
    | Flush
    | Welcome
    | Files
    | Piece
    | Controlled
    | Ping
    | Drain
    | MicroBatch
    | Seal
    | Evaluation
    | StopTraining
)
