"""What watches a run: progress, diagnostics, checkpoints and figures."""
