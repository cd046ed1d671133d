"""The wire as Python sees it: generated messages, strict codec, tensors in binary frames."""
