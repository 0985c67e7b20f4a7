"""The one training loop, of pretraining and of classification."""
