"""What is fast or special with MuJoCo."""
