"""Training: fine-tune a checkpoint on examples, or train one from nothing."""
