"""Following runs with TensorBoard, Weights & Biases and MLflow; the records never depend on it."""
