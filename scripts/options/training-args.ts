/**
 * What Quarry says of each field of transformers' TrainingArguments that schema.ts does not list itself: the sentence of
 * one that takes effect, or why another is not taken. A field that stands nowhere fails the generation.
 */

/** Sentences of options that are handed on as they are. */
export const SENTENCES: Readonly<Record<string, string>> = {
  lr_scheduler_kwargs: 'Further options of the schedule, e.g. { num_cycles: 2 } for "cosine_with_restarts".',
  optim_args: 'Further options of the optimiser as text, e.g. "relative_step=False".',
  optim_target_modules: "Names or patterns of the layers that GaLore and APOLLO optimisers work on.",
  tf32: "Whether matrix products on the GPU may use TF32.",
  gradient_checkpointing_kwargs: "Options of torch.utils.checkpoint; default: { use_reentrant: false }.",
  torch_compile_backend: 'Backend of torch.compile, e.g. "inductor" or "aot_eager"; turns compilation on.',
  torch_compile_mode: 'Mode of torch.compile, e.g. "max-autotune"; turns compilation on.',
  torch_empty_cache_steps: "Empties the device's cache of free memory every so many steps.",
  full_determinism: "Asks torch for deterministic kernels; slower, for finding differences.",
  ddp_find_unused_parameters: "Lets DDP look for parameters without a gradient in each step.",
  ddp_bucket_cap_mb: "Megabytes of gradients that DDP sends at once.",
  ddp_broadcast_buffers: "Whether DDP sends the buffers of rank 0 to all before each forward; Quarry's default: false.",
  ddp_static_graph: "Tells DDP that every step uses the same parameters.",
  ddp_backend: "Backend of torch.distributed; default: nccl on GPUs, gloo on the CPU.",
  ddp_timeout: "Seconds after which a collective that does not end fails.",
  fsdp_config: "How FSDP2 shards, as accelerate takes it, e.g. { reshard_after_forward: false }.",
  log_level: "How much transformers writes to the log of the first rank of a machine.",
  log_level_replica: "How much transformers writes to the logs of other ranks.",
  debug: 'Takes "underflow_overflow", which stops at the first layer whose activations are not finite.',
};

const plan = "The plan decides it: use train.globalBatchSize, train.queriesPerRank and seed.";
const feed = "The orchestrator feeds the ranks; there is no data loader to set up.";
const folder = "Quarry writes its own checkpoints: use train.args.saveSteps and saveTotalLimit.";
const tracker = "quarry track <runDir> --with wandb hands a run to a tracker, also while it is at work.";
const report = "Every step is in the run's events and in train/steps.jsonl; there is nothing to set.";
const evaluation = "Set train.evaluate: it has the measures of evaluate.";
const hub = "Push a finished checkpoint instead; training itself talks to no hub.";
const liger = "Liger's kernels are for language models with a head, which encoders lack.";
const batch = "The loss takes texts and Quarry's own labels, not those of a classifier.";

/** Why a field is not taken, and what to do instead. */
export const REFUSED: Readonly<Record<string, string>> = {
  output_dir: "Use runDir.",
  per_device_train_batch_size: plan,
  gradient_accumulation_steps: plan,
  average_tokens_across_devices: plan,
  auto_find_batch_size: plan,
  seed: "Use seed of the experiment.",
  data_seed: "Use seed of the experiment.",
  ignore_data_skip: plan,
  dataloader_drop_last: plan,
  train_sampling_strategy: plan,
  length_column_name: plan,
  dataloader_num_workers: feed,
  dataloader_pin_memory: feed,
  dataloader_persistent_workers: feed,
  dataloader_prefetch_factor: feed,
  dataloader_multiprocessing_context: feed,
  dataloader_in_order: feed,
  remove_unused_columns: feed,
  accelerator_config: feed,
  label_smoothing_factor: batch,
  label_names: batch,
  include_num_input_tokens_seen: report,
  logging_strategy: report,
  logging_steps: report,
  logging_first_step: report,
  log_on_each_node: report,
  logging_nan_inf_filter: "A loss that is not finite stops the training; it is never replaced by a mean.",
  disable_tqdm: report,
  report_to: tracker,
  run_name: tracker,
  project: tracker,
  trackio_space_id: tracker,
  trackio_bucket_id: tracker,
  trackio_static_space_id: tracker,
  skip_memory_metrics: report,
  eval_strategy: evaluation,
  eval_steps: evaluation,
  eval_delay: evaluation,
  eval_on_start: evaluation,
  eval_do_concat_batches: evaluation,
  eval_use_gather_object: evaluation,
  eval_accumulation_steps: evaluation,
  per_device_eval_batch_size: evaluation,
  prediction_loss_only: evaluation,
  include_for_metrics: evaluation,
  batch_eval_metrics: evaluation,
  bf16_full_eval: evaluation,
  fp16_full_eval: evaluation,
  do_train: evaluation,
  do_eval: evaluation,
  do_predict: evaluation,
  load_best_model_at_end: evaluation,
  metric_for_best_model: evaluation,
  greater_is_better: evaluation,
  save_only_model: folder,
  save_strategy: folder,
  save_on_each_node: folder,
  enable_jit_checkpoint: "A stop on request saves a checkpoint by itself.",
  restore_callback_states_from_checkpoint: folder,
  resume_from_checkpoint: "The same command goes on from the run's last checkpoint.",
  push_to_hub: hub,
  hub_token: hub,
  hub_private_repo: hub,
  hub_model_id: hub,
  hub_strategy: hub,
  hub_always_push: hub,
  hub_revision: hub,
  use_cpu: 'Use workers.device "cpu".',
  local_rank: "torchrun decides it.",
  activation_checkpointing: "Use gradientCheckpointing.",
  activation_checkpointing_kwargs: "Use gradientCheckpointingKwargs.",
  use_cache: "Encoders keep no cache of keys and values in training.",
  use_liger_kernel: liger,
  liger_kernel_config: liger,
  neftune_noise_alpha: "Its noise would not be repeated by a resume.",
  parallelism_config: "Tensor, context and pipeline parallelism are not supported.",
  deepspeed: "DeepSpeed is not supported; train.args.fsdp shards the model over the ranks.",
};

/** Values that transformers knows and that cannot work here. */
export const LEFT_OUT: Readonly<Record<string, readonly string[]>> = {
  // Both go by what an evaluation inside of Trainer says.
  lr_scheduler_type: ["reduce_lr_on_plateau", "greedy"],
};
