"""What other systems send, as JSON values, into fields of the event: pure functions of (payload, origin), no clock and no I/O."""
