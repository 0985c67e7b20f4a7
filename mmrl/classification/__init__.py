"""The classification task: a method on data with missing modalities, and its scores."""
