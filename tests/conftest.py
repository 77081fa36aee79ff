"""Settings that every test shares."""

import os

import hypothesis

# The machine is noisy, so no deadline. In CI the examples are the same each time: a red run can be repeated.
hypothesis.settings.register_profile("sample", max_examples=50, deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.register_profile("full", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("sample")
