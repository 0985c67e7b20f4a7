"""What fills in for missing sensors from memory and from the other sensors."""
