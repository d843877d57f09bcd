"""The stages of the processor: pure functions over a Batch, without I/O or clock."""
