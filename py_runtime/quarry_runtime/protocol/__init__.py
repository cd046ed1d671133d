"""The wire as Python sees it: generated messages, strict codec, tensors and tables in binary frames."""
