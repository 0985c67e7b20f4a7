"""The control task: an encoder, a policy on it, and how robust it is."""
