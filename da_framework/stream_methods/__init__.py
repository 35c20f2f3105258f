"""Methods that learn while the target streams by: each batch is predicted, then learnt from."""
