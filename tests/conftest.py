"""Settings every test shares."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "spanward",
    deadline=None,  # the first example compiles kernels
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("spanward")
