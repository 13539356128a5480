"""Experiments: a YAML file in; training configs, a plan and a list of problems out.

This room knows Axolotl, and evaluates no model.
"""
