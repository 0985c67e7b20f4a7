"""The configuration files of the entry points, installed as `mmrl.configs`."""
