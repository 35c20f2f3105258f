"""Pure functions of tensors: one scalar each, no state."""
