"""How sensors fail: patterns in time, mechanisms, and the wrappers that apply them."""

from mmrl_envs.faults.fault import MECHANISMS, PATTERNS, Fault, expected_rates, make_faults

__all__ = ["MECHANISMS", "PATTERNS", "Fault", "expected_rates", "make_faults"]
