"""Fields of TrainingArguments that are not taken, and what to do instead.

Written by scripts/gen.mjs from scripts/options/training-args.ts; do not edit.
"""

from typing import Final

_BY_REASON: Final[dict[str, list[str]]] = {
    "Use runDir.": ["output_dir"],
    "The plan decides it: use train.globalBatchSize, train.queriesPerRank and seed.": [
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "average_tokens_across_devices",
        "auto_find_batch_size",
        "ignore_data_skip",
        "dataloader_drop_last",
        "train_sampling_strategy",
        "length_column_name",
    ],
    "Use seed of the experiment.": ["seed", "data_seed"],
    "The orchestrator feeds the ranks; there is no data loader to set up.": [
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_persistent_workers",
        "dataloader_prefetch_factor",
        "dataloader_multiprocessing_context",
        "dataloader_in_order",
        "remove_unused_columns",
        "accelerator_config",
    ],
    "The loss takes texts and Quarry's own labels, not those of a classifier.": [
        "label_smoothing_factor",
        "label_names",
    ],
    "Every step is in the run's events and in train/steps.jsonl; there is nothing to set.": [
        "include_num_input_tokens_seen",
        "logging_strategy",
        "logging_steps",
        "logging_first_step",
        "log_on_each_node",
        "disable_tqdm",
        "skip_memory_metrics",
    ],
    "A loss that is not finite stops the training; it is never replaced by a mean.": [
        "logging_nan_inf_filter"
    ],
    "quarry track <runDir> --with wandb hands a run to a tracker, also while it is at work.": [
        "report_to",
        "run_name",
        "project",
        "trackio_space_id",
        "trackio_bucket_id",
        "trackio_static_space_id",
    ],
    "Set train.evaluate: it has the measures of evaluate.": [
        "eval_strategy",
        "eval_steps",
        "eval_delay",
        "eval_on_start",
        "eval_do_concat_batches",
        "eval_use_gather_object",
        "eval_accumulation_steps",
        "per_device_eval_batch_size",
        "prediction_loss_only",
        "include_for_metrics",
        "batch_eval_metrics",
        "bf16_full_eval",
        "fp16_full_eval",
        "do_train",
        "do_eval",
        "do_predict",
        "load_best_model_at_end",
        "metric_for_best_model",
        "greater_is_better",
    ],
    "Quarry writes its own checkpoints: use train.args.saveSteps and saveTotalLimit.": [
        "save_only_model",
        "save_strategy",
        "save_on_each_node",
        "restore_callback_states_from_checkpoint",
    ],
    "A stop on request saves a checkpoint by itself.": ["enable_jit_checkpoint"],
    "The same command goes on from the run's last checkpoint.": ["resume_from_checkpoint"],
    "Push a finished checkpoint instead; training itself talks to no hub.": [
        "push_to_hub",
        "hub_token",
        "hub_private_repo",
        "hub_model_id",
        "hub_strategy",
        "hub_always_push",
        "hub_revision",
    ],
    'Use workers.device "cpu".': ["use_cpu"],
    "torchrun decides it.": ["local_rank"],
    "Use gradientCheckpointing.": ["activation_checkpointing"],
    "Use gradientCheckpointingKwargs.": ["activation_checkpointing_kwargs"],
    "Encoders keep no cache of keys and values in training.": ["use_cache"],
    "Liger's kernels are for language models with a head, which encoders lack.": [
        "use_liger_kernel",
        "liger_kernel_config",
    ],
    "Its noise would not be repeated by a resume.": ["neftune_noise_alpha"],
    "Tensor, context and pipeline parallelism are not supported.": ["parallelism_config"],
    "DeepSpeed is not supported; train.args.fsdp shards the model over the ranks.": ["deepspeed"],
}

REFUSED: Final = {name: why for why, names in _BY_REASON.items() for name in names}
