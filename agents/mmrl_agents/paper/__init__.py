"""The control that the GMC paper's code has: its DDPG and its rules."""
