"""The billing manual as pure code: values in, values out; no I/O, no clock, no randomness, no environment."""
