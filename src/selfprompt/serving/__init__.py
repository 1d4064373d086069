"""Trained models at work: many on one backbone, and as programs."""
