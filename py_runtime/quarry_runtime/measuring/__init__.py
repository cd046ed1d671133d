"""Scoring of ranked output against judgements, and whether two runs differ; no torch, no socket."""
