"""Model serving: TensorFlow Serving's contract, an embedded server, clients, drift monitoring, rollout, retraining."""
