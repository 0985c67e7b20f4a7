"""What a run is: its folder, settings from the command line, seeds, device, progress."""
