"""Student and teacher: the meta-architectures of self-training."""
